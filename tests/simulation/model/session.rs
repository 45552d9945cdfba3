//! Sessions as the judge sees them.

use std::collections::{BTreeMap, BTreeSet};

use cloudsignal_broker::ConnId;
use cloudsignal_broker::policy::Policy;
use cloudsignal_core::{Instant, Qos, TopicFilter, TopicName};

use super::SessionKey;
use super::access::Who;

/// One life of a session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) key: SessionKey,
    pub(crate) who: Who,
    pub(crate) expiry_secs: u32,
    /// Whether the store was told of it.
    pub(crate) is_stored: bool,
    /// By filter.
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
    /// QoS 2 packet ids from the client that wait for PUBREL.
    pub(crate) received: BTreeSet<u16>,
    pub(crate) conn: Option<Conn>,
    /// While it has no connection: when it ends.
    pub(crate) expires_at: Instant,
    /// The will of the last connection, until its delay has passed.
    pub(crate) will: Option<(Instant, Will)>,
    /// What its client says is its largest packet.
    pub(crate) packet_bytes_max: Option<u32>,
}

/// An open connection.
#[derive(Clone, Debug)]
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    pub(crate) is_v5: bool,
    pub(crate) heard_at: Instant,
    /// Publishes that a rate refused within the running second, and since when it runs.
    pub(crate) refused: (u32, Instant),
    /// How long it may be silent, in microseconds; 0 for ever.
    pub(crate) silence_micros: u64,
    pub(crate) ends_at: Instant,
    pub(crate) will: Option<Will>,
}

/// A subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) qos: Qos,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) id: Option<u32>,
}

/// A will: the number of its message, and how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Will {
    pub(crate) number: usize,
    pub(crate) delay_secs: u32,
}

impl Session {
    pub(crate) const fn is_persistent(&self) -> bool {
        self.expiry_secs > 0
    }

    pub(crate) fn may_receive(&self, policy: &Policy, topic: &str) -> bool {
        self.who.may_receive(policy, topic)
    }

    /// Its subscriptions that are not shared and match.
    pub(crate) fn matching<'a>(&'a self, topic: &str) -> impl Iterator<Item = &'a Subscription> {
        let name = TopicName::parse(topic).expect("invariant: a topic of the run");
        self.subscriptions
            .iter()
            .filter(move |(filter, _)| {
                let filter = TopicFilter::parse(filter).expect("invariant: a filter of the run");
                filter.share().is_none() && filter.matches(name)
            })
            .map(|(_, subscription)| subscription)
    }

    /// Its shared subscriptions that match, with their filters.
    pub(crate) fn matching_shared<'a>(
        &'a self,
        topic: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Subscription)> {
        let name = TopicName::parse(topic).expect("invariant: a topic of the run");
        self.subscriptions
            .iter()
            .filter(move |(filter, _)| {
                let filter = TopicFilter::parse(filter).expect("invariant: a filter of the run");
                filter.share().is_some() && filter.matches(name)
            })
            .map(|(filter, subscription)| (filter.as_str(), subscription))
    }
}

impl Conn {
    /// When it has been silent for too long.
    pub(crate) const fn silent_at(&self) -> Instant {
        match self.silence_micros {
            0 => Instant::MAX,
            micros => Instant::from_micros(self.heard_at.as_micros() + micros),
        }
    }
}

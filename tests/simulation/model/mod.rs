//! The judge's idea of one organization: what a reader of the specification expects, as plain lists.
//!
//! It knows nothing of how the broker works inside. Sessions are a map, matching is trying every filter, a
//! policy is asked rule by rule. It is told of every call in the order in which the broker got it.
//!
//! | file | holds |
//! |---|---|
//! | [`access`] | what a policy allows |
//! | [`session`] | sessions, connections, wills |
//! | [`connecting`] | CONNECT, and all the ways in which a connection ends |
//! | [`subscribing`] | SUBSCRIBE and UNSUBSCRIBE |
//! | [`routing`] | who gets a message |
//! | [`quotas`] | what the bounds let in |

pub(crate) mod access;
pub(crate) mod connecting;
pub(crate) mod quotas;
pub(crate) mod routing;
pub(crate) mod session;
pub(crate) mod subscribing;

use std::collections::{BTreeMap, BTreeSet};

use cloudsignal_broker::{CloseCause, ConnId, Limits, Policy};
use cloudsignal_core::Instant;

use quotas::Credit;
use session::{Session, Will};

/// Names one life of a session in the whole run.
pub(crate) type SessionKey = u64;

/// What the judge knows of one organization.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) limits: Limits,
    pub(crate) policy: Policy,
    /// By client id.
    pub(crate) sessions: BTreeMap<String, Session>,
    /// The last accepted retained message of each topic.
    pub(crate) retained: BTreeMap<String, Kept>,
    /// Which sessions have ever been members of which shared group.
    pub(crate) members: BTreeSet<(String, SessionKey)>,
    last_key: u64,
    /// Counts accepted messages: their order.
    index: u64,
    pub(crate) events: Events,
    /// How many clients may come in.
    pub(crate) connects: Credit,
}

/// What one call must have done beside its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events {
    /// Connections that the broker must have closed, and why.
    pub(crate) closes: Vec<(ConnId, CloseCause)>,
    /// Those of them that were silent for too long and whose credential has ended.
    pub(crate) either: Vec<ConnId>,
    /// Sessions that ended.
    pub(crate) ended: Vec<SessionKey>,
    /// Wills that must have been published, with the session they came from.
    pub(crate) wills: Vec<(Session, Will)>,
}

/// What may be the retained message of a topic: one possibility, or several when one call published several.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) now: Vec<Option<Keep>>,
    /// What it was before the call at work.
    pub(crate) before: Vec<Option<Keep>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keep {
    pub(crate) number: usize,
    pub(crate) index: u64,
    pub(crate) expires_at: Instant,
}

impl Model {
    pub(crate) fn new(number: usize, limits: Limits, policy: Policy) -> Self {
        Self {
            connects: Credit::new(limits.connects_per_sec),
            limits,
            policy,
            sessions: BTreeMap::new(),
            retained: BTreeMap::new(),
            members: BTreeSet::new(),
            last_key: (number as u64) << 32,
            index: 0,
            events: Events::default(),
        }
    }

    pub(crate) fn session_of(&self, conn: ConnId) -> Option<&Session> {
        self.sessions
            .values()
            .find(|session| session.conn.as_ref().is_some_and(|open| open.id == conn))
    }

    pub(crate) fn session_of_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        self.sessions
            .values_mut()
            .find(|session| session.conn.as_ref().is_some_and(|open| open.id == conn))
    }

    pub(crate) fn by_key(&self, key: SessionKey) -> Option<&Session> {
        self.sessions.values().find(|session| session.key == key)
    }

    pub(crate) fn connections(&self) -> usize {
        self.sessions
            .values()
            .filter(|session| session.conn.is_some())
            .count()
    }

    const fn next_key(&mut self) -> SessionKey {
        self.last_key += 1;
        self.last_key
    }

    /// The place of the next message that is accepted.
    pub(crate) const fn next_index(&mut self) -> u64 {
        self.index += 1;
        self.index
    }

    /// A call begins: what the last one left open is settled.
    pub(crate) fn begin(&mut self) {
        for kept in self.retained.values_mut() {
            kept.before.clone_from(&kept.now);
        }
        self.events = Events::default();
    }

    /// A retained message was accepted, or with `None` the topic was cleared. Without certainty it may also
    /// have been refused.
    pub(crate) fn retain(&mut self, topic: &str, keep: Option<Keep>, is_certain: bool) {
        let kept = self.retained.entry(topic.to_owned()).or_insert_with(|| Kept {
            now: vec![None],
            before: vec![None],
        });
        if is_certain {
            kept.now.clear();
        }
        kept.now.push(keep);
    }

    /// What the retained message of a topic may be now.
    pub(crate) fn may_be_retained(&self, topic: &str) -> Vec<Option<Keep>> {
        self.retained
            .get(topic)
            .map_or_else(|| vec![None], |kept| kept.now.clone())
    }

    /// When the message may expire as the retained one of its topic, now and before the call at work.
    pub(crate) fn retained_ends(&self, topic: &str, number: usize) -> Vec<Instant> {
        let kept = self.retained.get(topic).into_iter();
        let may_be = kept
            .flat_map(|kept| kept.now.iter().chain(&kept.before))
            .flatten();
        let same = may_be.filter(|keep| keep.number == number);
        same.map(|keep| keep.expires_at).collect()
    }
}

//! One client's state, sorted by lifetime: what lives with the session and what lives with its
//! connection.
//!
//! ```text
//!            CONNECT                    connection ends, expiry > 0
//!   (none) ──────────► connected ◄─────────────────────────────────► away
//!                          │      CONNECT finds it (session present)   │
//!                          │ connection ends, expiry = 0               │ expiry interval passes
//!                          └───────────────► (none) ◄──────────────────┘
//! ```

pub(crate) mod connection;
mod fan_out;
mod outbound;

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use cloudsignal_core::topic::TopicFilterBuf;
use cloudsignal_core::{Instant, Qos, TopicFilter};

use crate::authz::Grants;
use crate::change::Change;
use crate::identity::Identity;
use crate::message::Message;
use crate::router::Scan;

pub(crate) use connection::Connection;
pub use connection::Traffic;
pub(crate) use fan_out::{Delivered, Delivery, FanOut, Resent, accepts, send_alone};
pub(crate) use outbound::{Acknowledged, Outbound, Pending, Stage};

/// One client's state in one organization.
#[derive(Debug)]
pub(crate) struct Session {
    // Lives with the session.
    /// Never used again; 0 is nobody.
    pub(crate) serial: u64,
    pub(crate) client_id: Arc<str>,
    /// Seconds it outlives its connection; 0 ends it with the connection, [`u32::MAX`] never.
    pub(crate) expiry_secs: u32,
    /// Whether the store knows of it.
    pub(crate) stored: bool,
    /// Who opened it last; permissions follow from it, also while it is away.
    pub(crate) identity: Arc<Identity>,
    pub(crate) grants: Grants,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) outbound: Outbound,
    /// QoS 2 packet ids that arrived and wait for PUBREL.
    pub(crate) received: BTreeSet<u16>,
    /// Retained messages that its subscriptions still have to be given, oldest subscription first.
    pub(crate) scans: VecDeque<Scan>,

    // Lives with the connection.
    pub(crate) conn: Option<Box<Connection>>,

    // Lives between two connections.
    /// When the expiry timer fires; [`Instant::MAX`] when it is not armed.
    pub(crate) expires_at: Instant,
    /// The will of a lost connection, until its delay has passed.
    pub(crate) will: Option<Box<Will>>,
    /// When the will timer fires; [`Instant::MAX`] when it is not armed.
    pub(crate) will_at: Instant,
    /// When the resume timer fires; [`Instant::MAX`] when it is not armed.
    pub(crate) resume_at: Instant,
}

impl Session {
    pub(crate) fn new(serial: u64, client_id: Arc<str>, identity: Arc<Identity>, grants: Grants) -> Self {
        Self {
            serial,
            client_id,
            identity,
            expiry_secs: 0,
            stored: false,
            grants,
            subscriptions: Subscriptions::default(),
            outbound: Outbound::default(),
            received: BTreeSet::new(),
            scans: VecDeque::new(),
            conn: None,
            expires_at: Instant::MAX,
            will: None,
            will_at: Instant::MAX,
            resume_at: Instant::MAX,
        }
    }

    /// What the store has to know about it.
    pub(crate) fn change(&self) -> Change {
        Change::Session {
            client_id: Arc::clone(&self.client_id),
            principal: (&*self.identity.principal).into(),
            expiry_secs: self.expiry_secs,
        }
    }

    /// Whether it outlives its connection, so that its state is worth storing.
    pub(crate) const fn is_persistent(&self) -> bool {
        self.expiry_secs > 0
    }
}

/// A client's last will.
#[derive(Debug)]
pub(crate) struct Will {
    /// Its message, whose expiry begins when it is published.
    pub(crate) message: Arc<Message>,
    pub(crate) expiry_secs: Option<u32>,
    pub(crate) delay_secs: u32,
}

/// A session's subscription to one filter.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// As it was sent, `$share/…` included.
    pub(crate) filter: TopicFilterBuf,
    pub(crate) id: Option<NonZeroU32>,
    /// What was granted.
    pub(crate) qos: Qos,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// Whether everything that matches may be delivered without asking the policy.
    pub(crate) covered: bool,
}

/// A session's subscriptions, in filter order: few, so a sorted list is the smallest map.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    list: Vec<Subscription>,
    /// Bytes of all filters.
    filter_bytes: usize,
}

impl Subscriptions {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) const fn filter_bytes(&self) -> usize {
        self.filter_bytes
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Subscription> {
        self.list.iter_mut()
    }

    pub(crate) fn contains(&self, filter: TopicFilter<'_>) -> bool {
        self.find(filter).is_ok()
    }

    /// Adds or replaces the subscription to its filter.
    pub(crate) fn put(&mut self, subscription: Subscription) {
        match self.find(subscription.filter.as_ref()) {
            Ok(at) => self.list[at] = subscription,
            Err(at) => {
                self.filter_bytes += subscription.filter.as_str().len();
                self.list.insert(at, subscription);
            }
        }
    }

    pub(crate) fn remove(&mut self, filter: TopicFilter<'_>) -> bool {
        let Ok(at) = self.find(filter) else { return false };
        self.filter_bytes -= filter.as_str().len();
        self.list.remove(at);
        true
    }

    fn find(&self, filter: TopicFilter<'_>) -> Result<usize, usize> {
        self.list
            .binary_search_by(|known| known.filter.as_str().cmp(filter.as_str()))
    }
}

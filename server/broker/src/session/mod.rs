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

mod alone;
pub(crate) mod connection;
mod fan_out;
mod numbering;
mod outbound;
mod outlet;
pub(crate) mod queue;
mod seldom;
mod subscriptions;

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::num::NonZeroU32;

use cloudsignal_core::Instant;

use crate::authz::{CompiledPolicy, Grants};
use crate::change::{Change, SessionName};
use crate::identity::Identity;
use crate::message::Message;
use crate::router::Scan;
use crate::sink::Sink;
use crate::turn::Turn;

pub(crate) use alone::send_alone;
pub(crate) use connection::Connection;
pub use connection::Traffic;
pub(crate) use fan_out::{Delivered, Delivery, FanOut, Recorded, accepts, must_hold};
pub(crate) use numbering::Numbering;
pub(crate) use outbound::{Acknowledged, Left, Outbound, Pending, Progress, Stage};
pub(crate) use outlet::Outlet;
pub(crate) use seldom::Seldom;
pub(crate) use subscriptions::{Subscription, Subscriptions};

/// One client's state in one organization.
#[derive(Debug)]
pub(crate) struct Session {
    // Lives with the session.
    /// Never used again; 0 is nobody.
    pub(crate) serial: u64,
    /// Where it is among the sessions.
    pub(crate) place: u32,
    /// Seconds it outlives its connection; 0 ends it with the connection, [`u32::MAX`] never.
    pub(crate) expiry_secs: u32,
    /// Whether the store knows of it.
    pub(crate) stored: bool,
    /// Whether it was read back and nobody has looked yet at what that changed.
    pub(crate) is_restored: bool,
    /// Who opened it last; permissions follow from it, also while it is away.
    pub(crate) identity: Arc<Identity>,
    /// Its client id too.
    pub(crate) subscriptions: Subscriptions,
    pub(crate) outbound: Outlet,
    /// QoS 2 packet ids that arrived and wait for PUBREL.
    pub(crate) received: Seldom<BTreeSet<u16>>,
    /// How far its client's numbered publishes have come, if they ever were.
    pub(crate) numbering: Option<Box<Numbering>>,
    /// Retained messages that its subscriptions still have to be given, oldest subscription first.
    pub(crate) scans: Seldom<VecDeque<Scan>>,

    // Lives with the connection.
    pub(crate) conn: Option<Box<Connection>>,

    // Lives between two connections.
    /// When the expiry timer fires; [`Instant::MAX`] when it is not armed.
    pub(crate) expires_at: Instant,
    /// The will of a lost connection, until its delay has passed.
    pub(crate) will: Option<Box<Will>>,
    /// Whether the store has a will of it.
    pub(crate) will_stored: bool,
}

impl Session {
    pub(crate) fn new(serial: u64, client_id: &str, identity: Arc<Identity>) -> Self {
        Self {
            serial,
            place: u32::MAX,
            identity,
            expiry_secs: 0,
            stored: false,
            is_restored: false,
            subscriptions: Subscriptions::of(client_id),
            outbound: Outlet::default(),
            received: Seldom::new(),
            numbering: None,
            scans: Seldom::new(),
            conn: None,
            expires_at: Instant::MAX,
            will: None,
            will_stored: false,
        }
    }

    /// What it may do.
    pub(crate) fn grants<'a>(&'a self, policy: &'a CompiledPolicy) -> Grants<'a> {
        Grants::new(policy, &self.identity, self.client_id())
    }

    pub(crate) fn client_id(&self) -> &str {
        self.subscriptions.client_id()
    }

    /// Its name in changes.
    pub(crate) fn name(&self) -> SessionName {
        SessionName {
            serial: self.serial,
            client_id: match &self.conn {
                Some(conn) => Arc::clone(&conn.client_id),
                None => self.client_id().into(),
            },
        }
    }

    /// What the store has to know about it.
    pub(crate) fn change(&self) -> Change {
        Change::Session {
            session: self.name(),
            identity: Arc::clone(&self.identity),
            expiry_secs: self.expiry_secs,
            ends_at: (self.expires_at != Instant::MAX).then_some(self.expires_at),
        }
    }

    /// What the store has to know about its client's numbered publishes, if any have come.
    pub(crate) fn numbered(&self) -> Option<Change> {
        let numbering = self.numbering.as_deref().filter(|it| it.numbers().through > 0)?;
        Some(Change::Numbered {
            session: self.name(),
            numbers: numbering.numbers().clone(),
        })
    }

    /// What the store has to know about its will, if it has one.
    pub(crate) fn will_change(&self) -> Option<Change> {
        let left = self.conn.as_deref().and_then(|conn| conn.will.as_deref());
        let will = left.or(self.will.as_deref())?;
        Some(Change::Will {
            session: self.name(),
            message: Arc::clone(&will.message),
            expiry_secs: will.expiry_secs,
            delay_secs: will.delay_secs,
            due_at: (will.due_at != Instant::MAX).then_some(will.due_at),
        })
    }

    /// Tells the store of its will, or that there is none any more.
    pub(crate) fn store_will<S: Sink>(&mut self, turn: &mut Turn<'_, S>) {
        let will = self.will_change().filter(|_| self.is_persistent());
        let is_known = core::mem::replace(&mut self.will_stored, will.is_some());
        match will {
            Some(change) => turn.note(change),
            None if is_known => turn.note(Change::WillGone { session: self.name() }),
            None => {}
        }
    }

    /// What the store has to know about a subscription.
    pub(crate) fn subscribed(&self, subscription: &Subscription<'_>) -> Change {
        let filter = subscription.filter;
        Change::Subscribed {
            session: self.name(),
            filter: filter.as_str().into(),
            options: subscription.options(),
            subscription_id: subscription.id.map(NonZeroU32::get),
            owes_retained: self.scans.iter().any(|scan| scan.filter() == filter),
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
    /// When the will timer fires; [`Instant::MAX`] when it is not armed.
    pub(crate) due_at: Instant,
}

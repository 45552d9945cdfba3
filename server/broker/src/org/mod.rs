//! The machine: one organization, from CONNECT to the last acknowledgement.
//!
//! # How to run it
//! Decode bytes into packets, call the `handle_*` that fits what happened, and do what it wrote into
//! the sink. At the end of a turn (one lock hold, one batch) call [`Org::seal`]; when it gives a
//! ticket, store the changes of the turn and then call [`Org::handle_stored`] with it. Ask
//! [`Org::poll_timeout`] when to call [`Org::handle_timeout`]. [`Org::is_awaited`] says whether anybody waits for the
//! store; when the store fails, [`Org::handle_storage`] says so. After a restart an organization is read back by
//! [`Restoring`](restore::Restoring).
//!
//! A turn never fails and never panics on input. Same calls, same seed: same effects.

mod acknowledge;
mod admin;
mod admit;
mod alias;
pub(crate) mod auth;
mod client_ids;
mod close;
mod connect;
mod fetch;
mod identities;
mod inspect;
mod numbering;
mod owners;
mod packet;
mod publish;
mod pump;
pub mod restore;
mod route;
mod snapshot;
mod stopped;
mod storage;
mod submission;
mod subscribe;
mod sys;
mod timeout;

use alloc::sync::Arc;
use alloc::vec::Vec;

use cloudsignal_core::{Instant, TopicName};
use slab::Slab;

use crate::authz::CompiledPolicy;
use crate::counters::Counters;
use crate::identity::OrgId;
use crate::limits::Limits;
use crate::message::Message;
use crate::policy::Policy;
use crate::random::Random;
use crate::router::{Groups, MatchCache, Retained, Trie};
use crate::session::Session;
use crate::sink::{ConnId, Sink, Ticket};
use crate::timers::Timer;
use crate::turn::{Desk, Turn};

use client_ids::ClientIds;
use identities::Identities;
use owners::Owners;

pub use auth::{AUTH_DATA_BYTES_MAX, AUTH_METHOD};
pub use inspect::{ConnectionView, SessionView, SubscriptionView};
pub use submission::{Submission, Submitted};

/// Everything of one organization. Nothing in here knows that there are others.
#[derive(Debug)]
pub struct Org {
    id: OrgId,
    policy: Arc<CompiledPolicy>,
    desk: Desk,
    random: Random,
    /// Connection → the place of its session.
    conns: Vec<Option<u32>>,
    sessions: Slab<Session>,
    client_ids: ClientIds,
    identities: Identities,
    owners: Owners,
    last_serial: u64,
    trie: Trie,
    cache: MatchCache,
    groups: Groups,
    retained: Retained,
    submitters: submission::Submitters,
    sys_at: Instant,
    /// The place of the session whose queue is looked at next.
    sweep_from: usize,
}

impl Org {
    /// An organization without sessions. `seed` feeds hashing and assigned client ids: random in
    /// production, fixed in a simulation.
    #[must_use]
    pub fn new(id: OrgId, limits: Limits, policy: Policy, seed: u64) -> Self {
        Self {
            id,
            policy: Arc::new(CompiledPolicy::new(policy)),
            desk: Desk::new(limits),
            random: Random::new(seed),
            conns: Vec::new(),
            sessions: Slab::new(),
            client_ids: ClientIds::new(seed),
            identities: Identities::new(seed),
            owners: Owners::new(seed),
            last_serial: 0,
            trie: Trie::new(seed),
            cache: MatchCache::new(seed),
            groups: Groups::new(seed),
            retained: Retained::default(),
            submitters: submission::Submitters::default(),
            sys_at: Instant::MAX,
            sweep_from: 0,
        }
    }

    /// Its short id.
    #[must_use]
    pub const fn id(&self) -> &OrgId {
        &self.id
    }

    /// Its bounds.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.desk.limits
    }

    /// What it has counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.desk.counters
    }

    /// When [`Org::handle_timeout`] wants to be called next. Cheap: ask after every turn.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.desk.timers.next(), self.retained.next_end()) {
            (Some(timer), Some(end)) => Some(timer.min(end)),
            (timer, end) => timer.or(end),
        }
    }

    /// Ends a turn: the ticket of everything that was written to [`Sink::store`] since the last one.
    pub fn seal(&mut self) -> Option<Ticket> {
        if !core::mem::take(&mut self.desk.unsealed) {
            return None;
        }
        let sealed = self.desk.ticket;
        self.desk.ticket = Ticket(sealed.0 + 1);
        Some(sealed)
    }

    /// The ticket that [`Org::seal`] will give, if this turn has changed anything so far: for answers that
    /// wait for the store as an acknowledgement does.
    #[must_use]
    pub fn unsealed(&mut self) -> Option<Ticket> {
        let ticket = self.desk.unsealed.then_some(self.desk.ticket)?;
        self.desk.awaited = ticket;
        Some(ticket)
    }

    /// Whether anybody waits for what is not stored yet: for an acknowledgement, for a QoS 2 message, for the answer
    /// to a submission. If nobody does, the shell may wait for more before it writes.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        !self.desk.waiting.is_empty() || self.desk.awaited > self.desk.stored
    }

    /// Everything up to `stored` is stored: what waited for it is sent.
    pub fn handle_stored(&mut self, stored: Ticket, now: Instant, sink: &mut impl Sink) {
        self.desk.changed = false;
        self.desk.stored = self.desk.stored.max(stored);
        while let Some((_, id)) = self.desk.waiting.pop_front_if(|(ticket, _)| *ticket <= stored) {
            let Some(place) = self.place_of(id) else { continue };
            let mut turn = Turn {
                desk: &mut self.desk,
                now,
                sink: &mut *sink,
            };
            if let Some(conn) = self.sessions[place as usize].conn.as_deref_mut() {
                conn.release(&mut turn, stored);
            }
            self.pump(place, now, sink);
        }
        self.spill_stored(now, sink);
    }

    /// The session of an open connection.
    fn place_of(&self, id: ConnId) -> Option<u32> {
        self.conns.get(id.0 as usize).copied().flatten()
    }

    fn bind(&mut self, id: ConnId, place: u32) {
        let at = id.0 as usize;
        if self.conns.len() <= at {
            self.conns.resize(at + 1, None);
        }
        debug_assert_eq!(
            self.conns[at], None,
            "the shell gives a connection number that is free"
        );
        self.conns[at] = Some(place);
    }

    /// The retained message of a topic, for whoever may know it.
    #[must_use]
    pub fn retained(&self, topic: TopicName<'_>) -> Option<&Arc<Message>> {
        self.retained.get(topic)
    }

    /// Checks what must always hold. For tests and simulations: it looks at everything.
    ///
    /// # Panics
    /// When something does not hold, which is our bug.
    pub fn invariants(&self) {
        self.check_lists();
        let counters = &self.desk.counters;
        let (mut connections, mut subscriptions, mut queued, mut queue_bytes) = (0, 0, 0, 0);
        let (mut wildcards, mut inflight_bytes) = (0, 0);
        for (place, session) in &self.sessions {
            let conn = session.conn.as_deref();
            session.outbound.invariants(&self.desk, conn);
            queued += session.outbound.queue.len() as u64;
            queue_bytes += session.outbound.queue.bytes() as u64;
            inflight_bytes += session.outbound.window_bytes() as u64;
            subscriptions += session.subscriptions.len() as u64;
            let wild = session
                .subscriptions
                .iter()
                .filter(|it| subscribe::has_wildcard(it.filter));
            wildcards += wild.count() as u64;
            self.check_subscriptions(place, session);
            connections += u64::from(conn.is_some());
            assert!(
                conn.is_some() || session.is_persistent() || session.expires_at < Instant::MAX,
                "a session without expiry ends with its connection"
            );
            let bound = conn.is_none_or(|conn| self.place_of(conn.id).is_some_and(|at| at as usize == place));
            assert!(bound, "a connection leads to its session");
        }
        self.check_owners();
        assert_eq!(
            counters.connections_now, connections,
            "connections are counted right"
        );
        assert_eq!(
            counters.subscriptions_now, subscriptions,
            "subscriptions are counted right"
        );
        assert_eq!(
            (counters.wildcard_subscriptions_now, counters.inflight_bytes_now),
            (wildcards, inflight_bytes),
            "subscriptions with wildcards and bytes in flight are counted right"
        );
        assert_eq!(
            (self.trie.len() + self.groups.len()) as u64,
            subscriptions,
            "the tree and the groups hold nothing else"
        );
        assert_eq!(
            counters.queue_messages_now, queued,
            "queued messages are counted right"
        );
        assert_eq!(
            counters.queue_bytes_now, queue_bytes,
            "queued bytes are counted right"
        );
    }

    fn check_lists(&self) {
        let counters = &self.desk.counters;
        assert_eq!(
            counters.sessions_now,
            self.sessions.len() as u64,
            "sessions are counted right"
        );
        assert_eq!(
            self.client_ids.len(),
            self.sessions.len(),
            "every session has its client id"
        );
        assert_eq!(
            counters.retained_messages_now,
            self.retained.len() as u64,
            "retained messages are counted right"
        );
        assert_eq!(
            counters.retained_bytes_now,
            self.retained.bytes() as u64,
            "retained bytes are counted right"
        );
        assert!(self.desk.scratch.is_empty(), "the scratch buffer is given back");
    }

    /// What a session has subscribed to is what the tree and the groups know of it.
    fn check_subscriptions(&self, place: usize, session: &Session) {
        let place = u32::try_from(place).expect("invariant: limits count in 32 bits");
        for subscription in session.subscriptions.iter() {
            let filter = subscription.filter;
            let known = match filter.share() {
                Some(_) => self
                    .groups
                    .member(filter, place)
                    .map(|it| (it.qos, it.id, it.covered)),
                None => self
                    .trie
                    .subscription(filter, place)
                    .map(|it| (it.qos, it.id, it.covered)),
            };
            let own = (subscription.qos(), subscription.id, subscription.covered);
            assert_eq!(known, Some(own), "{filter} is routed as it was granted");
        }
    }
}

/// Arms a timer that a field remembers, in place of the one it remembers now.
fn rearm(desk: &mut Desk, field: &mut Instant, at: Instant, timer: Timer) {
    if *field != at {
        desk.timers.cancel(*field, timer);
        desk.timers.arm(at, timer);
        *field = at;
    }
}

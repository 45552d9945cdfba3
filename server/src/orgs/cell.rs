//! Who holds `&mut Org`: whoever has the organization's lock, for a short turn and never across an await.
//!
//! Two ways were open. An owner task per organization costs a hand-over between threads for every lone message.
//! A short lock, taken by the connection's own task once per batch of packets, costs nothing when nobody else
//! wants it, and lets decoding, encryption and system calls of one organization run on every core. So it is the
//! lock. What keeps it short:
//!
//! - packets are decoded before the hold, and sockets are written after it: an effect only appends to an
//!   [`Outbox`](crate::net::outbox::Outbox), which has a lock of its own;
//! - a hold has a budget of packets and of effects, after which the lock is given to whoever waits for it;
//! - waking connections and writing log lines happen after the hold.
//!
//! This file is the only one that knows which of the two it is.

mod storing;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use slab::Slab;
use tokio::sync::oneshot;

use cloudsignal_broker::change::Change;
use cloudsignal_broker::{CloseCause, ConnId, Org, OrgId, Sink, Ticket};
use cloudsignal_core::Instant;
use cloudsignal_core::codec::ReasonCode;

use crate::config::ConnectionLog;
use crate::durable::Stored;
use crate::durable::committer::Committer;
use crate::durable::pipeline::{Pipeline, TakenIn};
use crate::history::History;
use crate::net::origin::Origin;
use crate::orgs::sink::{Afterwards, Bound, Effects};
use crate::orgs::timekeeper::Alarm;
use crate::orgs::turns::Turns;

/// Effects after which a hold should end, so that others get their turn.
pub(crate) const SENDS_PER_HOLD_MAX: usize = 4_096;

/// One organization, and the connections that are bound to it.
#[derive(Debug)]
pub(crate) struct OrgCell {
    id: OrgId,
    held: Mutex<Held>,
    /// When the organization wants [`Org::handle_timeout`], in microseconds; `u64::MAX` for never.
    due_micros: AtomicU64,
    /// A turn panicked, which is our bug: nobody enters any more, and the next login makes the organization anew.
    is_broken: AtomicBool,
    /// It is being read back from the store.
    is_reviving: AtomicBool,
    alarm: Arc<Alarm>,
    turns: Arc<Turns>,
    /// As [`Turns::company`] knows it.
    number: u64,
    log: ConnectionLog,
    history: History,
    /// Somebody sees to it that the organization stores as the directory says.
    is_switching: AtomicBool,
    committer: Arc<Committer>,
}

#[derive(Debug)]
struct Held {
    org: Org,
    conns: Slab<Bound>,
    changes: Vec<Change>,
    pipeline: Pipeline,
    /// Who waits for a group of changes to be stored, in the order of tickets. One for each request at work.
    waiters: VecDeque<(Ticket, oneshot::Sender<()>)>,
}

thread_local! {
    /// Lent to the hold at work on this thread.
    static AFTERWARDS: RefCell<Afterwards> = RefCell::default();
}

/// Whether somebody else should have the lock before the same caller comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// The lock is simply freed.
    Free,
    /// The lock goes to whoever waits for it.
    Fair,
}

impl OrgCell {
    pub(crate) fn new(
        mut org: Org,
        (pipeline, committer): Stored,
        alarm: Arc<Alarm>,
        turns: Arc<Turns>,
        log: ConnectionLog,
        history: History,
    ) -> Self {
        org.handle_storage(pipeline.storage());
        Self {
            id: org.id().clone(),
            held: Mutex::new(Held {
                org,
                conns: Slab::new(),
                changes: Vec::new(),
                pipeline,
                waiters: VecDeque::new(),
            }),
            due_micros: AtomicU64::new(u64::MAX),
            is_broken: AtomicBool::new(false),
            is_reviving: AtomicBool::new(false),
            is_switching: AtomicBool::new(false),
            alarm,
            number: turns.company.number(),
            turns,
            log,
            history,
            committer,
        }
    }

    pub(crate) const fn id(&self) -> &OrgId {
        &self.id
    }

    /// Whether other organizations are at work these seconds, too.
    pub(crate) fn has_company(&self, now: Instant) -> bool {
        self.turns.company.is_here(now)
    }

    /// Whether a turn has panicked.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    /// Whether the caller is the one who brings a broken organization back.
    pub(crate) fn begins_revival(&self) -> bool {
        !self.is_reviving.swap(true, Ordering::AcqRel)
    }

    /// It could not be brought back: somebody else may try.
    pub(crate) fn ends_revival(&self) {
        self.is_reviving.store(false, Ordering::Release);
    }

    /// When the organization wants its next time-out.
    pub(crate) fn due(&self) -> Instant {
        Instant::from_micros(self.due_micros.load(Ordering::Relaxed))
    }

    /// One turn. `current` is the connection whose task is at work, if one is: it is not woken.
    ///
    /// `None`: the organization is broken, and the connection ends.
    pub(crate) fn hold<R>(
        &self,
        now: Instant,
        current: Option<ConnId>,
        act: impl FnOnce(&mut Org, &mut Effects<'_>) -> (R, Handover),
    ) -> Option<R> {
        if current.is_some() {
            self.turns.company.note(self.number, now);
        }
        let mut after = AFTERWARDS.take();
        let mut held = self.held.lock();
        let answer = if self.is_broken() {
            None
        } else {
            let turn = || self.turn(&mut held, now, current, &mut after, act);
            // Nothing in there is looked at again after a panic, except the list of connections.
            catch_unwind(AssertUnwindSafe(turn)).ok()
        };
        match &answer {
            Some((_, Handover::Free)) => drop(held),
            Some((_, Handover::Fair)) => MutexGuard::unlock_fair(held),
            None => self.give_up(held, now, &mut after),
        }
        after.run(&self.id, self.log, &self.history, &self.turns, now);
        self.committer.fetches.ask(&mut after.fetches);
        AFTERWARDS.set(after);
        answer.map(|(answer, _)| answer)
    }

    fn turn<R>(
        &self,
        held: &mut Held,
        now: Instant,
        current: Option<ConnId>,
        after: &mut Afterwards,
        act: impl FnOnce(&mut Org, &mut Effects<'_>) -> (R, Handover),
    ) -> (R, Handover) {
        let Held {
            org,
            conns,
            changes,
            pipeline,
            waiters,
        } = held;
        let mut effects = Effects {
            conns,
            waiters,
            changes,
            pipeline,
            after,
            current,
            sends: 0,
            rest_until: None,
            log: self.log,
            now,
        };
        let answer = act(org, &mut effects);
        while let Some(ticket) = org.seal() {
            match effects.pipeline.take_in(effects.changes, ticket) {
                TakenIn::Stored => release(org, ticket, now, &mut effects),
                TakenIn::Waiting => {}
            }
        }
        effects.after.submission = effects.pipeline.next(org.is_awaited());
        let due = org.poll_timeout().unwrap_or(Instant::MAX);
        if self.due_micros.swap(due.as_micros(), Ordering::Relaxed) != due.as_micros() {
            self.alarm.set(due);
        }
        answer
    }

    /// After a panic in a turn: every connection is closed, and the organization is not entered again.
    fn give_up(&self, mut held: MutexGuard<'_, Held>, now: Instant, after: &mut Afterwards) {
        self.due_micros.store(u64::MAX, Ordering::Relaxed);
        if !self.is_broken.swap(true, Ordering::AcqRel) {
            tracing::error!(org = %self.id, "a turn panicked: closing the organization's connections, starting it anew");
        }
        let Held {
            conns,
            changes,
            pipeline,
            waiters,
            ..
        } = &mut *held;
        waiters.clear();
        changes.clear();
        // What the panicking turn made of it is not to be trusted, so nothing more is stored.
        *pipeline = Pipeline::memory();
        let numbers: Vec<_> = conns.iter().map(|(conn, _)| conn).collect();
        let mut effects = Effects {
            conns,
            waiters,
            changes,
            pipeline,
            after,
            current: None,
            sends: 0,
            rest_until: None,
            log: self.log,
            now,
        };
        for conn in numbers {
            let conn = ConnId(u32::try_from(conn).expect("invariant: numbers come from admit"));
            effects.close(conn, CloseCause::Server(ReasonCode::ImplementationSpecific));
        }
    }

    /// Looks at the organization without a turn.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&Org) -> R) -> R {
        look(&self.held.lock().org)
    }

    /// Looks at the organization and at where its connections come from; then the lock goes to whoever waits for it.
    pub(crate) fn inspect<R>(&self, look: impl FnOnce(&Org, Origins<'_>) -> R) -> R {
        let held = self.held.lock();
        let answer = look(&held.org, Origins(&held.conns));
        MutexGuard::unlock_fair(held);
        answer
    }
}

/// Where the connections of an organization come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origins<'a>(&'a Slab<Bound>);

impl Origins<'_> {
    pub(crate) fn of(self, conn: ConnId) -> Option<Origin> {
        self.0.get(conn.0 as usize).map(Bound::origin)
    }
}

impl Drop for OrgCell {
    fn drop(&mut self) {
        self.committer.close();
    }
}

/// Everything up to `ticket` is stored: whoever waits for it hears.
fn release(org: &mut Org, ticket: Ticket, now: Instant, effects: &mut Effects<'_>) {
    org.handle_stored(ticket, now, effects);
    while let Some((_, waiter)) = effects.waiters.pop_front_if(|(awaited, _)| *awaited <= ticket) {
        effects.after.stored.push(waiter);
    }
}

#[cfg(test)]
mod tests {
    use cloudsignal_broker::{Identity, Limits, Policy};
    use cloudsignal_core::Version;
    use cloudsignal_core::codec::{Connect, Packet};

    use super::*;
    use crate::clock::{Clock, WallTime};
    use crate::durable::{Durability, Level};
    use crate::net::outbox::{Batch, Outbox};
    use crate::store::{Store, memory};

    fn cell() -> OrgCell {
        let org = Org::new(OrgId::new("org_test"), Limits::default(), Policy::permit_all(), 1);
        let clock = Clock::manual(WallTime::ZERO);
        let store: Arc<dyn Store> = Arc::new(memory::open(clock.clone()).unwrap());
        let history = History::new(Arc::clone(&store), clock.clone());
        let in_memory = Durability::new(store, clock, Level::Memory).fresh(org.id());
        OrgCell::new(
            org,
            in_memory,
            Arc::default(),
            Arc::default(),
            ConnectionLog::Debug,
            history,
        )
    }

    fn identity() -> Identity {
        Identity::anonymous(OrgId::new("org_test"), "ada")
    }

    fn connect(cell: &OrgCell) -> (Arc<Outbox>, ConnId) {
        let outbox = Outbox::new();
        let connect = Connect::new(Version::V311, "ada");
        let conn = cell.hold(Instant::ZERO, None, |org, effects| {
            let conn = effects.admit(&outbox, Origin::unknown());
            org.handle_connect(conn, &connect, identity(), Instant::ZERO, effects);
            (conn, Handover::Free)
        });
        (outbox, conn.unwrap())
    }

    fn sent(outbox: &Outbox) -> Vec<u8> {
        let mut batch = Batch::default();
        outbox.take(0, &mut batch);
        batch.bytes
    }

    #[test]
    fn effects_of_a_turn_reach_the_outbox_of_their_connection() {
        let cell = cell();
        let (outbox, conn) = connect(&cell);
        assert_eq!(sent(&outbox), [0x20, 2, 0, 0], "CONNACK");
        cell.hold(Instant::ZERO, Some(conn), |org, effects| {
            org.handle_packet(conn, &Packet::PingReq, Instant::ZERO, effects);
            ((), Handover::Fair)
        });
        assert_eq!(sent(&outbox), [0xD0, 0], "PINGRESP");
    }

    #[test]
    fn whoever_waits_for_the_store_hears_when_the_turn_is_stored() {
        let cell = cell();
        let mut waits = cell
            .hold(Instant::ZERO, None, |org, effects| {
                let submission = cloudsignal_broker::org::Submission {
                    topic: cloudsignal_core::TopicName::parse("x").unwrap(),
                    payload: b"kept",
                    properties: Default::default(),
                    qos: cloudsignal_core::Qos::AtLeastOnce,
                    retain: true,
                };
                let submitted = org.handle_submission(&identity(), &submission, Instant::ZERO, effects);
                (effects.stored(submitted.ticket.unwrap()), Handover::Free)
            })
            .unwrap();
        assert_eq!(waits.try_recv(), Ok(()));
    }

    #[test]
    fn whoever_waits_for_a_broken_organization_hears_that() {
        let cell = cell();
        let (tell, mut told) = oneshot::channel();
        cell.held.lock().waiters.push_back((Ticket(9), tell));
        let answer: Option<()> = cell.hold(Instant::ZERO, None, |_, _| panic!("on purpose"));
        assert_eq!(answer, None);
        assert_eq!(told.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }

    #[test]
    fn a_panic_ends_the_organization_and_nothing_else() {
        let cell = cell();
        let (outbox, _) = connect(&cell);
        let answer: Option<()> = cell.hold(Instant::ZERO, None, |_, _| panic!("on purpose"));
        assert_eq!(answer, None);
        assert!(cell.is_broken());
        let cause = outbox.take(0, &mut Batch::default()).close;
        assert_eq!(
            cause,
            Some(CloseCause::Server(ReasonCode::ImplementationSpecific))
        );
        let again = cell.hold(Instant::ZERO, None, |_, _| ((), Handover::Free));
        assert_eq!(again, None, "nobody enters a broken organization");
    }
}

//! One organization under test, and around it what the shell does in production: turns, tickets, connection
//! numbers, outboxes. Every call into the organization passes through [`Host::call`] and [`Host::finish`], which
//! judge it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cloudsignal_broker::change::Change;
use cloudsignal_broker::counters::Counters;
use cloudsignal_broker::sink::DropReason;
use cloudsignal_broker::{CloseCause, ConnId, Limits, Org, OrgId, Policy, Ticket};
use cloudsignal_core::codec::ReasonCode;
use cloudsignal_core::{Instant, TopicName};

use crate::crash::Survival;
use crate::disk::Disk;
use crate::faults::Fault;
use crate::ledger::Ledger;
use crate::link::{Link, Phase};
use crate::model::Model;
use crate::model::session::Session;
use crate::reading::Reading;
use crate::recorder::{Effect, Recorder};
use crate::scene::Scene;
use crate::settings::TOPICS;
use crate::shelf::Shelf;

/// Every connection of the run.
pub(crate) type Links = BTreeMap<u32, Link>;

/// Bytes by which an outbox may exceed its bound: one message, and the replies to one read.
const OUTBOX_EXCESS_BYTES_MAX: usize = 16_384 + 8_192;

/// An organization and its surroundings.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) number: usize,
    pub(crate) org: Org,
    pub(crate) recorder: Recorder,
    pub(crate) model: Model,
    pub(crate) ledger: Ledger,
    pub(crate) shelf: Shelf,
    /// Connection → link.
    pub(crate) conns: BTreeMap<ConnId, u32>,
    /// Tokens that the organization wants to be checked.
    pub(crate) asked: Vec<(ConnId, Vec<u8>)>,
    /// Changes of the turn at work.
    turn: Vec<Change>,
    /// Groups that wait for the store.
    pub(crate) sealed: VecDeque<(u64, Vec<Change>)>,
    /// The ticket of the turn at work.
    pub(crate) open_ticket: u64,
    /// Everything up to this ticket is stored.
    pub(crate) stored: u64,
    /// When publishes of the last second were accepted.
    pub(crate) accepted_at: VecDeque<Instant>,
    /// When messages of the last second were sent for the first time.
    pub(crate) sent_at: VecDeque<Instant>,
    /// Publishes that were accepted, and with them all wills.
    pub(crate) accepted: u64,
    pub(crate) month_at_most: u64,
    /// The sessions before the call that is being judged.
    pub(crate) before: BTreeMap<String, Session>,
    /// What the store has on its disk.
    pub(crate) disk: Disk,
    /// Queues that it wants to be read.
    pub(crate) reading: Reading,
    /// Where it may crash: what it comes back from.
    pub(crate) survival: Option<Survival>,
}

/// A call that was made and is not judged yet.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) effects: Vec<Effect>,
    pub(crate) counted: Counters,
    pub(crate) before: BTreeMap<String, Session>,
    first_due: usize,
    first_group: usize,
}

impl Called {
    pub(crate) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Store(change) => Some(change),
            Effect::Send(..)
            | Effect::Close(..)
            | Effect::Verify(..)
            | Effect::Fetch(_)
            | Effect::Connected { .. } => None,
        })
    }

    /// Whether the call dropped something for this reason.
    pub(crate) fn has_dropped(&self, org: &Org, reason: DropReason) -> bool {
        org.counters().dropped[reason.index()] > self.counted.dropped[reason.index()]
    }
}

impl Host {
    pub(crate) fn new(number: usize, limits: Limits, policy: Policy, seed: u64, may_crash: bool) -> Self {
        let id = OrgId::new(&format!("org_{number}"));
        let model = Model::new(number, limits.clone(), policy.clone());
        Self {
            survival: may_crash.then(|| Survival::new(model.clone())),
            number,
            org: Org::new(id, limits, policy, seed),
            recorder: Recorder::default(),
            model,
            ledger: Ledger::default(),
            shelf: Shelf::default(),
            conns: BTreeMap::new(),
            asked: Vec::new(),
            turn: Vec::new(),
            sealed: VecDeque::new(),
            open_ticket: 1,
            stored: 0,
            accepted_at: VecDeque::new(),
            sent_at: VecDeque::new(),
            accepted: 0,
            month_at_most: 0,
            before: BTreeMap::new(),
            disk: Disk::default(),
            reading: Reading::default(),
        }
    }

    /// The smallest connection number that is free.
    pub(crate) fn admit(&mut self, link: u32) -> ConnId {
        let conn = (0..)
            .map(ConnId)
            .find(|conn| !self.conns.contains_key(conn))
            .expect("invariant: numbers outlast a run");
        self.conns.insert(conn, link);
        conn
    }

    /// Calls the organization. The model is told afterwards, by whoever called.
    pub(crate) fn call(&mut self, act: impl FnOnce(&mut Org, &mut Recorder)) -> Called {
        self.model.begin();
        self.ledger.open_ticket = self.open_ticket;
        let counted = self.org.counters().clone();
        act(&mut self.org, &mut self.recorder);
        self.org.invariants();
        Called {
            effects: std::mem::take(&mut self.recorder.effects),
            counted,
            before: self.model.sessions.clone(),
            first_due: self.ledger.dues.len(),
            first_group: self.ledger.groups.len(),
        }
    }

    /// The ticket that a reply to this call waits for. Nothing is promised about messages that left a queue.
    pub(crate) fn ticket(&self, called: &Called) -> Option<u64> {
        called
            .changes()
            .find(|change| is_promise(change))
            .map(|_| self.open_ticket)
    }

    /// As [`Host::ticket`], for a reply that does not wait for the session itself.
    pub(crate) fn ticket_beside_session(&self, called: &Called) -> Option<u64> {
        let promises = |change: &&Change| is_promise(change) && !matches!(change, Change::Session { .. });
        called.changes().find(promises).map(|_| self.open_ticket)
    }

    /// Judges what a call did, and does it.
    pub(crate) fn finish(&mut self, called: Called, links: &mut Links, scene: &mut Scene) {
        self.publish_wills(&called, scene);
        for key in std::mem::take(&mut self.model.events.ended) {
            self.ledger.session_ended(key, &self.model, scene.now);
        }
        self.forget_lost_retained();
        self.note_full_queues(&called);
        for due in &self.ledger.groups[called.first_group..] {
            scene.log.note(format_args!(
                "org {}: message {} is for {}, owed {}",
                self.number, due.number, due.filter, due.is_owed
            ));
        }
        self.check_queued(&called, scene);
        self.check_closes(&called, scene);
        self.before = called.before;
        for effect in called.effects {
            match effect {
                Effect::Send(conn, bytes) => self.send(conn, &bytes, links, scene),
                Effect::Close(conn, cause) => self.close(conn, cause, links, scene),
                Effect::Verify(conn, token) => self.asked.push((conn, token)),
                Effect::Store(change) => self.keep_change(change, scene),
                Effect::Fetch(fetch) => self.reading.asked.push(fetch),
                Effect::Connected { .. } => {}
            }
        }
        self.check_sessions(scene);
        self.check_retained(scene);
    }

    /// Where a topic may have lost its retained message, no subscription waits for one.
    fn forget_lost_retained(&mut self) {
        for (topic, kept) in &self.model.retained {
            if kept.now.contains(&None) {
                self.ledger.forget_retained(topic);
            }
        }
    }

    /// When the broker counted a message that found a full queue, it was one of those that this call routed, or one
    /// that was handed over in a shared group. At the end no more may be missing than were counted.
    fn note_full_queues(&mut self, called: &Called) {
        if !called.has_dropped(&self.org, DropReason::QueueFull) {
            return;
        }
        for due in &mut self.ledger.dues[called.first_due..] {
            due.may_be_dropped = true;
        }
        for due in &mut self.ledger.groups {
            due.may_be_dropped = true;
        }
    }

    /// What is owed to a session that outlives its connection must have been given to the store.
    fn check_queued(&self, called: &Called, scene: &mut Scene) {
        let queued: BTreeSet<(&str, Option<usize>)> = called
            .changes()
            .filter_map(|change| {
                let Change::Queued { session, message, .. } = change else {
                    return None;
                };
                Some((&*session.client_id, scene.number_of(message.payload())))
            })
            .collect();
        for due in &self.ledger.dues[called.first_due..] {
            let session = self.model.by_key(due.session).filter(|s| s.is_persistent());
            let Some(session) = session.filter(|_| due.is_owed && !due.may_be_dropped) else {
                continue;
            };
            let is_queued = queued.contains(&(session.who.client_id.as_str(), Some(due.number)));
            scene
                .verdict
                .require(is_queued, || format!("changes: nothing was stored for {due:?}"));
        }
        for due in &self.ledger.groups[called.first_group..] {
            let mut members = called
                .before
                .values()
                .filter(|session| session.subscriptions.contains_key(&due.filter));
            let needs_store = due.is_owed && !due.may_be_dropped && members.all(Session::is_persistent);
            let is_queued = queued.iter().any(|(_, number)| *number == Some(due.number));
            scene.verdict.require(!needs_store || is_queued, || {
                format!("changes: nothing was stored for {due:?}")
            });
        }
    }

    fn check_closes(&self, called: &Called, scene: &mut Scene) {
        let mut observed: Vec<_> = called
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Close(conn, cause) => Some((*conn, *cause)),
                Effect::Send(..)
                | Effect::Verify(..)
                | Effect::Store(_)
                | Effect::Fetch(_)
                | Effect::Connected { .. } => None,
            })
            .collect();
        let mut expected = self.model.events.closes.clone();
        for (conn, cause) in &mut expected {
            // When both are due, the broker may name either.
            let either = self.model.events.either.contains(conn);
            let ended = CloseCause::Server(ReasonCode::MaximumConnectTime);
            if either && observed.contains(&(*conn, ended)) {
                *cause = ended;
            }
        }
        observed.sort_by_key(|(conn, _)| *conn);
        expected.sort_by_key(|(conn, _)| *conn);
        scene.verdict.require(observed == expected, || {
            format!("closes: {observed:?} were closed, due were {expected:?}")
        });
    }

    fn keep_change(&mut self, change: Change, scene: &mut Scene) {
        match &change {
            Change::Queued {
                session,
                order,
                message,
                packet_id,
                terms,
            } => {
                let number = scene.number_of(message.payload());
                scene.log.note(format_args!(
                    "org {}: queued for {}: {number:?}, {}, order {order}, packet id {packet_id:?}",
                    self.number,
                    session.client_id,
                    message.number()
                ));
                let key = self
                    .model
                    .sessions
                    .get(&*session.client_id)
                    .map(|session| session.key);
                if let (Some(key), Some(number), Some(_)) = (key, number, packet_id.filter(|_| terms.retain))
                {
                    let topic = message.topic().as_str();
                    let ends = self.model.retained_ends(topic, number);
                    self.ledger.step_begun(key, topic, number, &ends);
                }
            }
            Change::Settled { session, order, .. } => scene.log.note(format_args!(
                "org {}: settled for {}: order {order}",
                self.number, session.client_id
            )),
            Change::SessionEnded { session } => scene.log.note(format_args!(
                "org {}: the session of {} ended",
                self.number, session.client_id
            )),
            Change::Session { .. }
            | Change::Subscribed { .. }
            | Change::Unsubscribed { .. }
            | Change::Will { .. }
            | Change::WillGone { .. }
            | Change::Sent { .. }
            | Change::Released { .. }
            | Change::Received { .. }
            | Change::Completed { .. }
            | Change::Retained { .. }
            | Change::RetainedCleared { .. } => {}
        }
        self.turn.push(change);
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8], links: &mut Links, scene: &mut Scene) {
        let link = self.conns.get(&conn).and_then(|link| links.get_mut(link));
        let Some(link) = link else {
            return scene
                .verdict
                .fail(|| format!("sent after close: {conn:?} is no connection"));
        };
        scene.log.note(format_args!(
            "org {} link {}: sends {} bytes",
            self.number,
            link.number,
            bytes.len()
        ));
        scene.log.bytes(bytes);
        if matches!(link.broker_end.phase, Phase::Closing(_) | Phase::Gone) {
            scene
                .verdict
                .fail(|| format!("sent after close: link {}", link.number));
        }
        if !self.watch(link, bytes, scene) {
            return;
        }
        link.broker_end.outbox.extend(bytes);
        if scene.fault == Some(Fault::PacketRepeated) && bytes[0] >> 4 == 3 && scene.random.chance(5) {
            self.watch(link, bytes, scene);
        }
        let output_bytes_max = self.org.limits().output_bytes_max;
        let waiting = link.broker_end.outbox.len();
        link.broker_end.was_full |= waiting >= output_bytes_max;
        scene
            .verdict
            .require(waiting <= output_bytes_max + OUTBOX_EXCESS_BYTES_MAX, || {
                format!("bounds: {waiting} bytes wait on link {}", link.number)
            });
    }

    fn close(&mut self, conn: ConnId, cause: CloseCause, links: &mut Links, scene: &mut Scene) {
        let link = self.conns.get(&conn).and_then(|link| links.get_mut(link));
        let Some(link) = link else { return };
        scene.log.note(format_args!(
            "org {} link {}: closed, {cause}",
            self.number, link.number
        ));
        if let CloseCause::Server(reason) = cause
            && link.version.is_v5()
            && link.tap.is_welcome
        {
            scene.verdict.require(link.tap.said_goodbye == Some(reason), || {
                format!(
                    "goodbye: link {} was closed for {reason}, told {:?}",
                    link.number, link.tap.said_goodbye
                )
            });
        }
        link.broker_end.phase = Phase::Closing(cause);
        link.tap.expected.clear();
        link.tap.releases.clear();
        self.ledger
            .link_ended(link.number, link.tap.session, &self.model, scene.now);
    }

    /// The sessions are those that the model has.
    pub(crate) fn check_sessions(&self, scene: &mut Scene) {
        let actual: BTreeMap<_, _> = self
            .org
            .sessions()
            .map(|view| {
                let facts = (view.connected, view.expiry_secs, view.subscriptions);
                (view.client_id, facts)
            })
            .collect();
        let expected: BTreeMap<_, _> = self
            .model
            .sessions
            .iter()
            .map(|(client_id, session)| {
                let facts = (
                    session.conn.is_some(),
                    session.expiry_secs,
                    session.subscriptions.len(),
                );
                (client_id.as_str(), facts)
            })
            .collect();
        scene.verdict.require(actual == expected, || {
            format!("sessions: they are {actual:?}, due are {expected:?}")
        });
    }

    /// The retained messages are the last accepted ones.
    pub(crate) fn check_retained(&mut self, scene: &mut Scene) {
        for topic in TOPICS {
            let name = TopicName::parse(topic).expect("invariant: a topic of the run");
            let actual = self
                .org
                .retained(name)
                .and_then(|message| scene.number_of(message.payload()));
            let may_be = self.model.may_be_retained(topic);
            let found = may_be.iter().find(|keep| keep.map(|keep| keep.number) == actual);
            let Some(found) = found else {
                return scene
                    .verdict
                    .fail(|| format!("retained: {topic} has {actual:?}, due is {may_be:?}"));
            };
            if let Some(kept) = self.model.retained.get_mut(*topic) {
                kept.now = vec![*found];
            }
        }
    }

    /// A turn ends.
    pub(crate) fn seal(&mut self, scene: &mut Scene) {
        let sealed = self.org.seal();
        let is_right = match sealed {
            Some(ticket) => ticket.0 == self.open_ticket && !self.turn.is_empty(),
            None => self.turn.is_empty(),
        };
        scene.verdict.require(is_right, || {
            format!(
                "tickets: {sealed:?} was sealed, due is {} with {} changes",
                self.open_ticket,
                self.turn.len()
            )
        });
        if sealed.is_some() {
            self.sealed
                .push_back((self.open_ticket, std::mem::take(&mut self.turn)));
            if let Some(survival) = &mut self.survival {
                survival.sealed(self.open_ticket, &self.model, &self.ledger.windows);
            }
            self.open_ticket += 1;
        }
    }

    /// The process has died: what was under way to the store is lost, and tickets begin anew.
    pub(crate) fn forget_turn(&mut self) {
        self.turn.clear();
        self.sealed.clear();
        (self.open_ticket, self.stored) = (1, 0);
        self.conns.clear();
        self.asked.clear();
        self.reading = Reading::default();
        self.recorder = Recorder::default();
        self.before.clear();
        self.sent_at.clear();
    }

    /// The store has caught up with some of the groups, at most `groups`.
    pub(crate) fn store(&mut self, groups: usize, links: &mut Links, scene: &mut Scene) {
        for _ in 0..groups {
            let Some((ticket, changes)) = self.sealed.pop_front() else {
                break;
            };
            for change in &changes {
                self.shelf.apply(change, scene);
                self.write(change, scene);
            }
            self.stored = ticket;
            if let Some(survival) = &mut self.survival {
                survival.stored(ticket);
            }
        }
        let mut stored = self.stored;
        if scene.fault == Some(Fault::StoredTooEarly) && scene.random.chance(20) {
            stored = self.open_ticket - 1;
        }
        scene
            .log
            .note(format_args!("org {}: stored up to {stored}", self.number));
        let now = scene.now;
        let called = self.call(|org, sink| org.handle_stored(Ticket(stored), now, sink));
        self.finish(called, links, scene);
    }
}

/// Whether somebody may be told only once the change is stored.
const fn is_promise(change: &Change) -> bool {
    match change {
        Change::Settled { .. } | Change::Sent { .. } | Change::Will { .. } | Change::WillGone { .. } => false,
        // When its connection ends, nobody is told.
        Change::Session { ends_at, .. } => ends_at.is_none(),
        Change::Subscribed { owes_retained, .. } => *owes_retained,
        Change::SessionEnded { .. }
        | Change::Unsubscribed { .. }
        | Change::Queued { .. }
        | Change::Released { .. }
        | Change::Received { .. }
        | Change::Completed { .. }
        | Change::Retained { .. }
        | Change::RetainedCleared { .. } => true,
    }
}

//! One organization under test, and around it what the shell does in production: connection numbers, outboxes. Every
//! call into the organization passes through [`Host::call`] and [`Host::finish`], which judge it.

use std::collections::{BTreeMap, VecDeque};

use cloudsignal_broker::change::Change;
use cloudsignal_broker::counters::Counters;
use cloudsignal_broker::sink::DropReason;
use cloudsignal_broker::{CloseCause, ConnId, Limits, Org, OrgId, Policy};
use cloudsignal_core::Instant;

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
    pub(crate) turn: Vec<Change>,
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
    pub(crate) first_due: usize,
    pub(crate) first_group: usize,
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
}

//! A run: rounds of operations, with time passing between them.

use std::collections::BTreeSet;

use cloudsignal_broker::{Limits, OrgId};
use cloudsignal_core::ReasonCode;
use cloudsignal_tests::random::Random;

use crate::bench::{Bench, Event};
use crate::cast::Org;
use crate::client::{Client, Expects, News};
use crate::console::Route;
use crate::judge::{Acting, Judge, mark};
use crate::leaks::Leak;
use crate::tally::Tally;

/// Organizations of a run.
pub(crate) const ORGS: usize = 50;
/// Operations of a round. Time stands still in it.
const ROUND_OPERATIONS: u64 = 1_500;
/// Organizations that do nothing in a round.
const SLEEPERS: usize = 5;
/// Connections that an organization may have at once: one fewer than it has sessions.
pub(crate) const CONNECTIONS_MAX: u32 = 5;
/// Messages that an organization may publish in a second.
pub(crate) const MESSAGES_PER_SEC: u32 = 40;

/// Everything of a run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) bench: Bench,
    pub(crate) random: Random,
    pub(crate) orgs: Vec<Org>,
    pub(crate) ids: Vec<OrgId>,
    /// By wire.
    pub(crate) clients: Vec<Option<Client>>,
    /// Logins that are not answered yet.
    pub(crate) asked: usize,
    pub(crate) judge: Judge,
    pub(crate) tally: Tally,
    pub(crate) leak: Option<Leak>,
    pub(crate) sleepers: BTreeSet<usize>,
    /// What the API can do.
    pub(crate) routes: Vec<Route>,
    /// Organizations, and the keys under which they have repeated a request.
    pub(crate) retried: BTreeSet<(usize, &'static str)>,
    /// Does a quarter of everything in a round.
    busy: usize,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Publish,
    Subscribe,
    Unsubscribe,
    Acknowledge,
    Ping,
    /// A client shows a token on its open connection.
    ShowToken,
    Connect,
    Disconnect,
    Cut,
    /// An owner's request.
    Manage,
    /// A login with a credential of another organization.
    Intrude,
    /// A request with a credential of another organization.
    Trespass,
    /// A question to the API.
    Ask,
    /// An operation of the API in another organization.
    AskElsewhere,
    /// A message over HTTP.
    PublishOverHttp,
}

const OPERATIONS: [(Operation, u64); 15] = [
    (Operation::Publish, 420),
    (Operation::Subscribe, 110),
    (Operation::Unsubscribe, 35),
    (Operation::Acknowledge, 60),
    (Operation::Ping, 30),
    (Operation::ShowToken, 60),
    (Operation::Connect, 130),
    (Operation::Disconnect, 40),
    (Operation::Cut, 40),
    (Operation::Manage, 15),
    (Operation::Intrude, 90),
    (Operation::Trespass, 30),
    (Operation::Ask, 10),
    (Operation::AskElsewhere, 20),
    (Operation::PublishOverHttp, 15),
];

fn limits() -> Limits {
    Limits {
        connections_max: CONNECTIONS_MAX,
        publish_messages_per_sec: MESSAGES_PER_SEC,
        // Nobody rests for what it was refused: no time passes by itself here.
        refused_publishes_per_sec: 1_000_000,
        queue_messages_max: 50,
        // Both ways that a payload can leave are taken.
        shared_payload_bytes_min: 100,
        inflight_max: 20,
        ..Limits::default()
    }
}

impl World {
    pub(crate) fn new(seed: u64, leak: Option<Leak>) -> Self {
        let mut world = Self {
            bench: Bench::new(limits()),
            random: Random::new(seed),
            orgs: Vec::new(),
            ids: Vec::new(),
            clients: Vec::new(),
            asked: 0,
            judge: Judge::new(),
            tally: Tally::default(),
            leak,
            sleepers: BTreeSet::new(),
            routes: Vec::new(),
            retried: BTreeSet::new(),
            busy: 0,
        };
        world.routes = world.read_document();
        for number in 0..ORGS {
            let org = world.found(number);
            world.ids.push(OrgId::new(&org.id));
            world.orgs.push(org);
        }
        world
    }

    /// Does so many operations, or stops where the judge finds something. Tells after each round what was done.
    pub(crate) fn run(&mut self, operations: u64, mut tell: impl FnMut(&Tally)) {
        while self.tally.operations < operations && self.judge.wrong().is_none() {
            self.pass_time();
            self.begin_round();
            let portraits = self.portraits();
            for _ in 0..ROUND_OPERATIONS.min(operations - self.tally.operations) {
                self.operate();
                if self.judge.wrong().is_some() {
                    return;
                }
            }
            self.compare_portraits(&portraits);
            tell(&self.tally);
        }
        self.bench.broker.check_invariants();
    }

    fn begin_round(&mut self) {
        self.busy = self.random.index(ORGS);
        self.sleepers.clear();
        while self.sleepers.len() < SLEEPERS {
            let org = self.random.index(ORGS);
            if org != self.busy {
                self.sleepers.insert(org);
            }
        }
        for org in &mut self.orgs {
            org.sent.messages_at_once = 0;
        }
    }

    /// Time passes for everybody: wills, expiries, `$SYS`, ends of tokens.
    fn pass_time(&mut self) {
        self.judge.set_acting(Acting::Time);
        let secs = match self.random.below(10) {
            0 => self.random.between(60, 4_000),
            _ => self.random.between(1, 15),
        };
        self.bench.clock.advance(std::time::Duration::from_secs(secs));
        self.bench.broker.serve_timeouts();
        self.settle();
        // Wills that were late count; a second later everybody has the whole quota again.
        self.bench.clock.advance(std::time::Duration::from_secs(1));
        self.tally.rounds += 1;
    }

    /// One operation, and everything that it causes.
    fn operate(&mut self) {
        let org = self.pick_org();
        self.judge.set_acting(Acting::Org(org));
        let witness = (org + 1 + self.random.index(ORGS - 1)) % ORGS;
        let before = self.bench.broker.counters(&self.ids[witness]);
        let weights = OPERATIONS.map(|(_, weight)| weight);
        let at = self
            .random
            .weighted(&weights)
            .expect("invariant: some weight is not 0");
        match OPERATIONS[at].0 {
            Operation::Manage => self.manage(org),
            Operation::Intrude => self.intrude(org),
            Operation::Trespass => self.trespass(org),
            Operation::Ask => self.ask(org),
            Operation::AskElsewhere => self.ask_elsewhere(org),
            Operation::PublishOverHttp => self.publish_over_http(org),
            operation => self.act(org, operation),
        }
        self.settle();
        self.tally.operations += 1;
        let mut after = self.bench.broker.counters(&self.ids[witness]);
        if let Some(after) = after.as_mut().filter(|_| self.leaks(Leak::Counter, 1)) {
            after.messages_received[0] += 1;
        }
        self.judge.unmoved(witness, &before, &after);
    }

    fn pick_org(&mut self) -> usize {
        loop {
            let org = if self.random.chance(25) {
                self.busy
            } else {
                self.random.index(ORGS)
            };
            if !self.sleepers.contains(&org) {
                return org;
            }
        }
    }

    /// Awaits that the broker has nothing left to do.
    pub(crate) fn settle(&mut self) {
        loop {
            match self.bench.next() {
                Some(Event::Bytes(wire, bytes)) => self.hear(wire, &bytes),
                Some(Event::End(wire)) => self.end(wire),
                None if self.asked > 0 => self.bench.wait(),
                None => return,
            }
        }
    }

    fn hear(&mut self, wire: usize, bytes: &[u8]) {
        let Some(mut client) = self.clients[wire].take() else {
            return;
        };
        self.judge.heard(client.org, bytes);
        self.leak_delivery(&client, bytes);
        let (news, replies) = client.hear(bytes);
        for news in news {
            self.note(&client, wire, news);
        }
        if !replies.is_empty() {
            self.bench.write(wire, &replies);
        }
        self.clients[wire] = Some(client);
    }

    /// A planted leak: another organization's client is sent the same.
    fn leak_delivery(&mut self, client: &Client, bytes: &[u8]) {
        let leak = match self.judge.acting() {
            Acting::Org(_) => Leak::Delivery,
            Acting::Time => Leak::LateDelivery,
        };
        let is_publish = bytes.first().is_some_and(|first| first >> 4 == 3);
        if is_publish && self.leaks(leak, 60) {
            let others = self.clients.iter().flatten();
            if let Some(other) = others.map(|other| other.org).find(|org| *org != client.org) {
                self.judge.heard(other, bytes);
            }
        }
    }

    fn note(&mut self, client: &Client, wire: usize, news: News) {
        let org = client.org;
        match news {
            News::Answer { reason, has_session } => self.note_answer(client, wire, reason, has_session),
            News::Message {
                topic,
                payload,
                qos: _,
                is_retained,
            } => self.note_message(org, &topic, &payload, is_retained),
            News::Told(reason) => self.note_told(org, reason),
            News::Renewed if client.shown == Some(Expects::Refusal) => {
                self.judge
                    .accuse("let in", format!("{org}: goes on with a token of another one"));
            }
            News::Renewed => self.tally.renewed += 1,
            News::Subscribed { granted, refused } => {
                self.tally.subscriptions += granted;
                if refused.contains(&ReasonCode::QuotaExceeded) {
                    self.judge
                        .accuse("quota", format!("{org}: a handful of filters is too many"));
                }
            }
            News::Unreadable => self.judge.accuse("unreadable", format!("{org}: on wire {wire}")),
        }
    }

    fn note_answer(&mut self, client: &Client, wire: usize, reason: ReasonCode, has_session: bool) {
        self.asked -= 1;
        let org = client.org;
        match (client.expects, reason) {
            (Expects::Refusal, ReasonCode::Success) => {
                self.judge
                    .accuse("let in", format!("{org}: with what is not good there"));
            }
            (Expects::Refusal, _) => {}
            (Expects::Welcome, ReasonCode::Success) => {
                self.tally.logins += 1;
                self.tally.resumed += u64::from(has_session);
            }
            // 3.1.1 has no word for a quota.
            (Expects::Welcome, ReasonCode::QuotaExceeded | ReasonCode::ServerUnavailable) => {
                self.tally.full += 1;
                let open = self.open_wires(org, wire);
                if open < CONNECTIONS_MAX as usize {
                    self.judge
                        .accuse("quota", format!("{org}: refused with {open} connections"));
                }
            }
            (Expects::Welcome, reason) => {
                self.judge
                    .accuse("refused", format!("{org}: a good login, with {reason}"));
            }
        }
    }

    /// Connections of an organization beside one.
    fn open_wires(&self, org: usize, wire: usize) -> usize {
        let others = self
            .clients
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != wire);
        others
            .filter(|(_, client)| client.as_ref().is_some_and(|it| it.org == org && it.is_welcome))
            .count()
    }

    fn note_message(&mut self, org: usize, topic: &str, payload: &[u8], is_retained: bool) {
        self.tally.messages += 1;
        self.tally.retained += u64::from(is_retained);
        self.orgs[org].sent.received += 1;
        if topic.starts_with("$SYS/") {
            self.tally.statistics += 1;
            self.note_statistics(org, topic, payload);
            return;
        }
        let own = mark(org);
        if !payload.is_empty() && !payload.starts_with(own.as_bytes()) {
            let text = String::from_utf8_lossy(payload);
            self.judge
                .accuse("foreign bytes", format!("{org} reads {text:?} on {topic}"));
        }
        self.tally.wills += u64::from(
            payload
                .get(own.len()..)
                .is_some_and(|rest| rest.starts_with(b"will")),
        );
    }

    fn note_told(&mut self, org: usize, reason: ReasonCode) {
        let reason = if reason == ReasonCode::Success && self.leaks(Leak::Quota, 1) {
            ReasonCode::QuotaExceeded
        } else {
            reason
        };
        let at_once = self.orgs[org].sent.messages_at_once;
        match reason {
            ReasonCode::QuotaExceeded if at_once <= u64::from(MESSAGES_PER_SEC) => {
                self.judge
                    .accuse("quota", format!("{org}: exceeded by {at_once} messages"));
            }
            ReasonCode::QuotaExceeded => self.tally.over_quota += 1,
            ReasonCode::SessionTakenOver => self.tally.takeovers += 1,
            _ => {}
        }
    }

    fn end(&mut self, wire: usize) {
        if let Some(client) = self.clients[wire].take() {
            self.judge.ended(client.org);
            self.asked -= usize::from(!client.is_answered);
            self.forget(&client, wire);
        }
        self.bench.unplug(wire);
    }

    /// A client is gone.
    pub(crate) fn forget(&mut self, client: &Client, wire: usize) {
        // Its will counts as a message.
        self.orgs[client.org].sent.messages_at_once += 1;
        if let Some(slot) = client.slot {
            let place = &mut self.orgs[client.org].slots[slot].wire;
            if *place == Some(wire) {
                *place = None;
            }
        }
    }

    /// Whether a planted leak leaks now: in `percent` of a hundred chances.
    pub(crate) fn leaks(&mut self, leak: Leak, percent: u64) -> bool {
        self.leak == Some(leak) && self.random.chance(percent)
    }
}

//! A run: the agenda, what happens, and the quiet end.

use std::collections::BTreeMap;
use std::fmt;

use cloudsignal_broker::Ticket as BrokerTicket;
use cloudsignal_core::client::{AskId, Ticket, Wake, WireId};
use cloudsignal_core::{Duration, Instant, Qos};
use cloudsignal_tests::random::Random;

use crate::broker::{Broker, WireKey, Wires};
use crate::judge::Judge;
use crate::peer::{Peer, Wish};
use crate::wire::Wire;

/// What is going to happen.
#[derive(Clone, Copy, Debug)]
enum Event {
    Opened(WireKey, WireId),
    Up(WireKey),
    Down(WireKey, WireId),
    BrokerStored(BrokerTicket, u64),
    PeerStored(usize, Ticket, u64),
    Token(usize, AskId, u64),
    Act,
}

/// What a run has done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) wrong: Option<String>,
    pub(crate) delivered: u64,
    repeated: u64,
    cuts: u64,
    crashes: u64,
    tokens: u64,
    events: u64,
}

impl Run {
    pub(crate) fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.repeated += other.repeated;
        self.cuts += other.cuts;
        self.crashes += other.crashes;
        self.tokens += other.tokens;
        self.events += other.events;
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events, {} messages delivered, {} of them again; {} cuts, {} crashes, {} tokens",
            self.events, self.delivered, self.repeated, self.cuts, self.crashes, self.tokens
        )
    }
}

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    random: Random,
    now: Instant,
    agenda: BTreeMap<(Instant, u64), Event>,
    entries: u64,
    broker: Broker,
    peers: Vec<Peer>,
    wires: Wires,
    wire_numbers: BTreeMap<WireKey, WireId>,
    next_wire: u64,
    judge: Judge,
    run: Run,
    actions: u64,
    has_faults: bool,
    is_calm: bool,
    keeps_lines: bool,
}

/// The quiet end of a run is over by then, or something hangs.
const CALM_SECS_MAX: u32 = 3_600;

impl World {
    pub(crate) fn new(seed: u64, keeps_lines: bool) -> Self {
        let mut random = Random::new(seed);
        let now = Instant::from_micros(1_000_000);
        let (has_method, has_tokens) = (random.chance(50), random.chance(50));
        let count = random.between(2, 4) as usize;
        let peers = (0..count)
            .map(|place| Peer::new(place, random.chance(50), has_tokens, random.next(), now))
            .collect();
        Self {
            now,
            agenda: BTreeMap::new(),
            entries: 0,
            broker: Broker::new(random.next(), has_method),
            peers,
            wires: Wires::new(),
            wire_numbers: BTreeMap::new(),
            next_wire: 0,
            judge: Judge::new(count),
            run: Run::default(),
            actions: random.between(50, 400),
            has_faults: false,
            is_calm: false,
            keeps_lines,
            random,
        }
    }

    pub(crate) fn run(mut self) -> Run {
        self.judge.keeps_lines = self.keeps_lines;
        for place in 0..self.peers.len() {
            let wishes = self.peers[place].begin(&mut self.judge, self.now);
            self.grant(place, wishes);
        }
        self.until("the beginning", |world| {
            world.peers.iter().all(|peer| peer.is_granted)
        });
        self.has_faults = true;
        self.later(10, Event::Act);
        while self.actions > 0 && self.run.wrong.is_none() {
            self.step();
        }
        self.calm();
        if self.run.wrong.is_none() {
            self.until("the end", |world| {
                world.peers.iter().all(Peer::is_settled) && world.agenda.is_empty()
            });
        }
        if self.run.wrong.is_none() {
            self.run.wrong = self.judge.verdict();
        }
        self.run.delivered = self.judge.delivered();
        self.run.repeated = self.judge.repeated;
        self.run
    }

    /// No more faults: what is broken breaks now.
    fn calm(&mut self) {
        self.has_faults = false;
        self.is_calm = true;
        for key in self.wires.keys().copied().collect::<Vec<_>>() {
            self.cut(key);
        }
        for place in 0..self.peers.len() {
            if self.peers[place].is_suspended {
                self.suspend_or_resume(place);
            }
        }
    }

    fn until(&mut self, what: &str, is_reached: impl Fn(&Self) -> bool) {
        let deadline = self.now.after_secs(CALM_SECS_MAX);
        while !is_reached(self) && self.run.wrong.is_none() {
            if self.now > deadline {
                let states: Vec<_> = self
                    .peers
                    .iter()
                    .map(|peer| format!("{:?}", peer.client))
                    .collect();
                self.run.wrong = Some(format!("{what} does not come: {states:?}"));
            }
            self.step();
        }
    }

    fn note(&self, line: impl FnOnce() -> String) {
        if self.keeps_lines {
            println!("{:>12} {}", self.now.as_micros(), line());
        }
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.entries += 1;
        self.agenda.insert((at, self.entries), event);
    }

    fn later(&mut self, millis: u64, event: Event) {
        let at = self.now.after(Duration::from_millis(millis));
        self.at(at, event);
    }

    /// The next thing that happens, whoever it happens to.
    fn step(&mut self) {
        self.run.events += 1;
        let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let broker = self.broker.poll_timeout();
        let peer = (0..self.peers.len())
            .filter_map(|place| Some((self.peers[place].client.poll_timeout()?, place)))
            .min();
        let timer = peer.map(|(at, _)| at).into_iter().chain(broker).min();
        match (planned, timer) {
            (Some(planned), timer) if timer.is_none_or(|timer| planned <= timer) => {
                let ((at, _), event) = self.agenda.pop_first().expect("looked at");
                self.now = self.now.max(at);
                self.happen(event);
            }
            (_, Some(timer)) => {
                self.now = self.now.max(timer);
                if broker == Some(timer) {
                    let ticket = self.broker.handle_timeout(self.now, &mut self.wires);
                    self.after_broker(ticket);
                } else if let Some((_, place)) = peer {
                    let now = self.now;
                    self.call(place, |client, sink| client.handle_timeout(now, sink));
                }
            }
            (_, None) => self.run.wrong = Some("nothing will ever happen again".into()),
        }
    }

    fn call(
        &mut self,
        place: usize,
        act: impl FnOnce(&mut cloudsignal_core::client::Client, &mut dyn cloudsignal_core::client::Sink),
    ) {
        let ((), wishes) = self.peers[place].call(&mut self.judge, act);
        self.grant(place, wishes);
    }

    fn grant(&mut self, place: usize, wishes: Vec<Wish>) {
        let life = self.peers[place].life;
        for wish in wishes {
            let delay = self.random.between(1, 30);
            match wish {
                Wish::Dial(wire) => {
                    self.next_wire += 1;
                    let key = (place, self.next_wire);
                    self.wire_numbers.insert(key, wire);
                    self.wires.insert(key, Wire::new());
                    self.note(|| format!("{place} dials {wire:?}"));
                    self.later(delay, Event::Opened(key, wire));
                }
                Wish::Send(wire, bytes) => {
                    let key = self.key_of(place, wire);
                    let found = key.and_then(|key| Some((key, self.wires.get_mut(&key)?)));
                    if let Some((key, it)) = found.filter(|(_, it)| !it.client_is_gone) {
                        it.up.extend(bytes);
                        self.later(delay, Event::Up(key));
                    }
                }
                Wish::Hangup(wire) => {
                    if let Some(key) = self.key_of(place, wire) {
                        if let Some(it) = self.wires.get_mut(&key) {
                            it.client_is_gone = true;
                            it.down.clear();
                        }
                        self.wire_numbers.remove(&key);
                        self.later(delay, Event::Up(key));
                    }
                }
                Wish::Token(ask) => self.later(delay, Event::Token(place, ask, life)),
                Wish::Stored(ticket) => self.later(delay, Event::PeerStored(place, ticket, life)),
            }
        }
    }

    fn key_of(&self, place: usize, wire: WireId) -> Option<WireKey> {
        let mut keys = self
            .wire_numbers
            .iter()
            .filter(|(key, it)| key.0 == place && **it == wire);
        keys.next_back().map(|(key, _)| *key)
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Opened(key, wire) => {
                if self.has_faults && self.random.chance(10) {
                    self.cut(key);
                } else if self.wire_numbers.get(&key) == Some(&wire) {
                    self.call(key.0, |client, sink| client.handle_opened(wire, now, sink));
                }
            }
            Event::Up(key) => self.carry_up(key),
            Event::Down(key, wire) => self.carry_down(key, wire),
            Event::BrokerStored(ticket, life) if life == self.broker.life => {
                let ticket = self.broker.stored(ticket, now, &mut self.wires);
                self.after_broker(ticket);
            }
            Event::PeerStored(place, ticket, life) if life == self.peers[place].life => {
                let wishes = self.peers[place].stored(ticket, &mut self.judge, now);
                self.grant(place, wishes);
            }
            Event::Token(place, ask, life) if life == self.peers[place].life => {
                self.run.tokens += 1;
                let secs = self.random.between(10, 60) as u32;
                let wishes = self.peers[place].token(ask, secs, &mut self.judge, now);
                self.grant(place, wishes);
            }
            Event::BrokerStored(..) | Event::PeerStored(..) | Event::Token(..) => {}
            Event::Act => self.act(),
        }
    }

    fn carry_up(&mut self, key: WireKey) {
        let Some(wire) = self.wires.get_mut(&key).filter(|wire| !wire.is_stalled) else {
            return;
        };
        if !wire.up.is_empty() {
            let bytes = Wire::take(&mut wire.up, &mut self.random);
            if self.keeps_lines {
                println!("{:>12} {key:?} up {}", self.now.as_micros(), describe(&bytes));
            }
            let ticket = self.broker.read(key, &bytes, self.now, &mut self.wires);
            self.after_broker(ticket);
        }
        let Some(wire) = self.wires.get_mut(&key) else {
            return;
        };
        if !wire.up.is_empty() {
            self.later(1, Event::Up(key));
        } else if wire.client_is_gone && !wire.is_over {
            wire.is_over = true;
            let ticket = self.broker.lost(key, self.now, &mut self.wires);
            self.after_broker(ticket);
            self.forget_if_over(key);
        }
    }

    fn carry_down(&mut self, key: WireKey, wire: WireId) {
        let Some(it) = self.wires.get_mut(&key).filter(|it| !it.is_stalled) else {
            return;
        };
        let bytes = if it.down.is_empty() {
            Vec::new()
        } else {
            Wire::take(&mut it.down, &mut self.random)
        };
        let (rest, is_gone) = (!it.down.is_empty(), it.broker_is_gone);
        let now = self.now;
        let is_listening = self.wire_numbers.get(&key) == Some(&wire);
        if is_listening && !bytes.is_empty() {
            self.note(|| format!("{key:?} down {}", describe(&bytes)));
            self.call(key.0, |client, sink| client.handle_bytes(wire, &bytes, now, sink));
        }
        if rest {
            self.later(1, Event::Down(key, wire));
        } else if is_gone {
            if self.wire_numbers.remove(&key).is_some() {
                if let Some(it) = self.wires.get_mut(&key) {
                    it.client_is_gone = true;
                }
                self.call(key.0, |client, sink| client.handle_closed(wire, now, sink));
            }
            self.later(1, Event::Up(key));
            self.forget_if_over(key);
        }
    }

    fn forget_if_over(&mut self, key: WireKey) {
        let is_over = self
            .wires
            .get(&key)
            .is_some_and(|wire| wire.is_over && wire.down.is_empty());
        if is_over && !self.wire_numbers.contains_key(&key) {
            self.wires.remove(&key);
        }
    }

    /// What the broker has sent gets on its way, and its store to work.
    fn after_broker(&mut self, ticket: Option<BrokerTicket>) {
        if let Some(ticket) = ticket {
            // The store answers in order.
            let delay = if self.random.chance(10) { 200 } else { 5 };
            let last = self
                .agenda
                .iter()
                .rev()
                .find_map(|((at, _), event)| matches!(event, Event::BrokerStored(..)).then_some(*at));
            let at = self
                .now
                .after(Duration::from_millis(delay))
                .max(last.unwrap_or(self.now));
            self.at(at, Event::BrokerStored(ticket, self.broker.life));
        }
        let busy: Vec<_> = self
            .wires
            .iter()
            .filter(|(_, wire)| !wire.down.is_empty() || wire.broker_is_gone)
            .filter_map(|(key, _)| Some((*key, *self.wire_numbers.get(key)?)))
            .collect();
        for (key, wire) in busy {
            let delay = self.random.between(1, 30);
            self.later(delay, Event::Down(key, wire));
        }
    }

    fn cut(&mut self, key: WireKey) {
        let Some(wire) = self.wires.get_mut(&key) else {
            return;
        };
        self.run.cuts += 1;
        wire.cut(&mut self.random);
        self.note(|| format!("{key:?} is cut"));
        self.later(1, Event::Up(key));
        if let Some(wire) = self.wire_numbers.get(&key).copied() {
            self.later(1, Event::Down(key, wire));
        }
    }

    /// An application does something, or something breaks.
    fn act(&mut self) {
        if self.is_calm {
            return;
        }
        self.actions = self.actions.saturating_sub(1);
        let place = self.random.index(self.peers.len());
        let now = self.now;
        match self.random.below(100) {
            0..=69 => {
                let qos = *self.random.pick(&[
                    Qos::AtMostOnce,
                    Qos::AtLeastOnce,
                    Qos::AtLeastOnce,
                    Qos::ExactlyOnce,
                    Qos::ExactlyOnce,
                ]);
                for _ in 0..self.random.between(1, 8) {
                    let wishes = self.peers[place].publish(qos, &mut self.judge, now);
                    self.grant(place, wishes);
                }
            }
            70..=79 => {
                if let Some(key) = self.any_wire() {
                    self.cut(key);
                }
            }
            80..=83 => {
                if let Some(wire) = self.any_wire().and_then(|key| self.wires.get_mut(&key)) {
                    wire.is_stalled = true;
                }
            }
            84..=87 => self.call(place, |client, sink| client.handle_wake(Wake::Now, now, sink)),
            88..=90 => self.suspend_or_resume(place),
            91..=93 => self.crash_broker(),
            94..=96 => self.crash_peer(place),
            _ => self.now = self.now.after(Duration::from_secs(self.random.between(1, 20))),
        }
        let pause = if self.random.chance(10) { 3_000 } else { 60 };
        let pause = self.random.between(1, pause);
        self.later(pause, Event::Act);
    }

    fn any_wire(&mut self) -> Option<WireKey> {
        let keys: Vec<_> = self.wires.keys().copied().collect();
        (!keys.is_empty()).then(|| *self.random.pick(&keys))
    }

    fn suspend_or_resume(&mut self, place: usize) {
        let now = self.now;
        let peer = &mut self.peers[place];
        peer.is_suspended = !peer.is_suspended;
        if peer.is_suspended {
            self.call(place, |client, sink| client.suspend(now, sink));
        } else {
            self.call(place, |client, sink| client.connect(now, sink));
        }
    }

    fn crash_broker(&mut self) {
        self.run.crashes += 1;
        self.note(|| "the broker dies".into());
        for key in self.wires.keys().copied().collect::<Vec<_>>() {
            self.cut(key);
            if let Some(wire) = self.wires.get_mut(&key) {
                wire.conn = None;
                wire.up.clear();
            }
        }
        self.broker.crash(self.now);
    }

    fn crash_peer(&mut self, place: usize) {
        if !self.peers[place].is_durable() {
            return;
        }
        self.run.crashes += 1;
        self.note(|| format!("{place} dies"));
        for key in self
            .wires
            .keys()
            .copied()
            .filter(|key| key.0 == place)
            .collect::<Vec<_>>()
        {
            self.cut(key);
            self.wire_numbers.remove(&key);
        }
        let survivors = self.random.below(1_000) as usize;
        let wishes = self.peers[place].crash(survivors, &mut self.judge, self.now);
        self.peers[place].is_suspended = false;
        self.grant(place, wishes);
    }
}

/// Bytes as a line: hexadecimal, with what is text as text.
fn describe(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

//! What happened, in the one order in which this process saw it. Clients write it down before they send and after they
//! receive, so what is acknowledged here was acknowledged, and what is subscribed here was subscribed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cloudsignal_core::Qos;

use crate::fault::{Faults, Kind};
use crate::message::Name;
use crate::plan::{Plan, Reach, StreamKind};
use crate::retained::{Shelf, Value};
use crate::route::{Arrival, Ordering, Route};
use crate::tally::Tally;

/// Everything that is written down.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub(crate) plan: Arc<Plan>,
    /// Events so far.
    pub(crate) now: u64,
    /// Counted from 1; 0 before the first start.
    pub(crate) cycle: u32,
    pub(crate) streams: Vec<Stream>,
    /// By subscription, then stream.
    pub(crate) routes: BTreeMap<(usize, usize), Route>,
    pub(crate) standings: Vec<Standing>,
    pub(crate) sessions: Vec<SessionBook>,
    pub(crate) faults: Faults,
    pub(crate) tally: Tally,
    /// How long somebody who is connected may get nothing before others stop to wait for it.
    patience: Duration,
}

/// What was sent in one stream since the last reckoning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    /// The number of the first one in the list.
    pub(crate) first: u64,
    pub(crate) messages: VecDeque<Message>,
    pub(crate) shelf: Shelf,
}

/// When something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    pub(crate) event: u64,
    pub(crate) cycle: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) sent: Stamp,
    /// PUBACK or PUBREC.
    pub(crate) acked: Option<Stamp>,
}

/// How a subscription stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) state: State,
    /// Members of whom SUBACK was the last word.
    holders: BTreeSet<usize>,
    /// When the last message was sent that came by it.
    pub(crate) newest_arrived: u64,
}

/// What the broker has said last about a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing, or a packet is under way that may change it.
    Unsure,
    /// SUBACK.
    Held,
    /// UNSUBACK, at this event.
    Gone(u64),
}

/// How a session stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct SessionBook {
    /// CONNACK has agreed on it.
    is_agreed: bool,
    /// Cycles at whose end it was lost.
    pub(crate) lost_in: Vec<u32>,
    /// Subscriptions that are to be made again although the session is there.
    pub(crate) to_heal: BTreeSet<usize>,
    /// The rest that this member has come to: everything said, everything answered.
    pub(crate) rested_for: u32,
    /// What it is doing, for whoever waits for it.
    pub(crate) doing: String,
}

/// Messages that may be on their way to one session before their publishers wait for it: far below what brokers
/// queue by default, so that nothing is dropped by agreement.
pub(crate) const BEHIND_MAX: u64 = 500;

impl Books {
    pub(crate) fn new(plan: &Arc<Plan>, patience: Duration) -> Self {
        let pairs = plan.subscriptions.iter().enumerate();
        let pairs = pairs.flat_map(|(number, it)| it.streams.iter().map(move |&stream| (number, stream)));
        Self {
            now: 0,
            cycle: 0,
            streams: vec![Stream::default(); plan.streams.len()],
            routes: pairs.map(|pair| (pair, Route::new())).collect(),
            standings: vec![Standing::new(); plan.subscriptions.len()],
            sessions: vec![SessionBook::default(); plan.members.len()],
            faults: Faults::default(),
            tally: Tally::default(),
            plan: Arc::clone(plan),
            patience,
        }
    }

    fn stamp(&mut self) -> Stamp {
        self.now += 1;
        Stamp {
            event: self.now,
            cycle: self.cycle,
        }
    }

    /// CONNACK with success. Answers whether the client may go on with what it remembers.
    pub(crate) fn connected(&mut self, member: usize, present: Presence) {
        self.stamp();
        self.tally.connects += 1;
        let plan = Arc::clone(&self.plan);
        for &subscription in &plan.members[member].subscriptions {
            self.routes_of(subscription).for_each(Route::touch);
        }
        let session = &mut self.sessions[member];
        let was_agreed = std::mem::replace(&mut session.is_agreed, true);
        if present == Presence::Present || !was_agreed {
            return;
        }
        let cycle = self.cycle.saturating_sub(1);
        session.lost_in.push(cycle);
        let client_id = &plan.members[member].client_id;
        self.faults.add(Kind::Session, || {
            format!("{client_id}, agreed on in CONNACK, was gone after the end of cycle {cycle}")
        });
        for &subscription in &plan.members[member].subscriptions {
            let standing = &mut self.standings[subscription];
            standing.holders.remove(&member);
            if standing.holders.is_empty() {
                standing.state = State::Unsure;
                self.routes_of(subscription).for_each(Route::pass_over);
            }
        }
    }

    /// A SUBSCRIBE or UNSUBSCRIBE is about to be sent.
    pub(crate) fn asking(&mut self, subscription: usize, ask: Ask) {
        self.stamp();
        match (self.plan.subscriptions[subscription].reach, ask) {
            // Another member may hold it, and whoever asks takes nothing away.
            (Reach::Group, Ask::Subscribe) if self.standings[subscription].state == State::Held => {}
            (Reach::Own | Reach::Group, Ask::Subscribe) => self.standings[subscription].state = State::Unsure,
            (Reach::Own | Reach::Group, Ask::Unsubscribe) => {
                self.standings[subscription].state = State::Unsure;
                self.routes_of(subscription).for_each(Route::waive);
            }
        }
    }

    /// SUBACK with success, or UNSUBACK.
    pub(crate) fn answered(&mut self, member: usize, subscription: usize, ask: Ask) {
        let at = self.stamp();
        let standing = &mut self.standings[subscription];
        match ask {
            Ask::Subscribe => {
                standing.holders.insert(member);
                standing.state = State::Held;
                self.tally.subscribes += 1;
            }
            Ask::Unsubscribe => {
                standing.holders.remove(&member);
                standing.state = State::Gone(at.event);
                self.tally.unsubscribes += 1;
            }
        }
    }

    /// A message is about to be sent for the first time. Gives its number.
    pub(crate) fn sent(&mut self, stream: usize, value: Value) -> u64 {
        let sent = self.stamp();
        let book = &mut self.streams[stream];
        let number = book.first + book.messages.len() as u64;
        book.messages.push_back(Message { sent, acked: None });
        if self.plan.streams[stream].kind == StreamKind::Retained {
            book.shelf.sent(number, value);
            return number;
        }
        for (&(subscription, _), route) in self.routes.iter_mut().filter(|((_, it), _)| *it == stream) {
            if self.standings[subscription].state == State::Held {
                route.owe(number);
            }
        }
        number
    }

    /// PUBACK or PUBREC with success.
    pub(crate) fn acked(&mut self, name: Name) {
        let at = self.stamp();
        let book = &mut self.streams[name.stream];
        let place = name.number.checked_sub(book.first);
        let message = place.and_then(|place| book.messages.get_mut(usize::try_from(place).ok()?));
        let Some(message) = message else { return };
        message.acked.get_or_insert(at);
        let qos = self.plan.streams[name.stream].qos;
        if qos == Qos::AtLeastOnce {
            book.shelf.acked(name.number);
        }
        self.tally.acked(qos);
    }

    /// PUBCOMP: a broker may keep a QoS 2 message to itself until PUBREL, so only now a retained one must be seen.
    pub(crate) fn completed(&mut self, name: Name) {
        self.stamp();
        self.streams[name.stream].shelf.acked(name.number);
    }

    /// PUBACK or PUBREC with an error: the broker has said no, and owes nothing.
    pub(crate) fn refused(&mut self, name: Name) {
        self.stamp();
        self.tally.refused += 1;
        self.streams[name.stream].shelf.refused(name.number);
    }

    /// A message has come to a member that had not come to it before, as far as it remembers.
    pub(crate) fn arrived(&mut self, member: usize, name: Name) {
        self.stamp();
        let plan = Arc::clone(&self.plan);
        let stream = plan.streams.get(name.stream);
        let subscription = stream.and_then(|_| plan.subscription_for(member, name.stream));
        let (Some(stream), Some(number)) = (stream, subscription) else {
            self.wrong(member, || {
                format!("a message that it has never asked for: {name:?}")
            });
            return;
        };
        let subscription = &plan.subscriptions[number];
        let ordering = match subscription.reach {
            Reach::Own => Ordering::Kept,
            Reach::Group => Ordering::Free,
        };
        let route = self.routes.get_mut(&(number, name.stream));
        let route = route.expect("invariant: every pair of the plan has a route");
        let arrival = route.arrive(name.number, ordering);
        let sent = self.streams[name.stream].sent(name.number);
        let (client_id, cycle) = (&plan.members[member].client_id, self.cycle);
        let story = || format!("{} at {client_id} in cycle {cycle}", describe(&plan, name, sent));
        let is_exact = stream.qos == Qos::ExactlyOnce && subscription.qos == Qos::ExactlyOnce;
        match arrival {
            Arrival::First => self.tally.delivered += 1,
            Arrival::Late => {
                self.tally.delivered += 1;
                self.faults.add(Kind::OutOfOrder, story);
            }
            Arrival::Found => self.tally.late += 1,
            Arrival::Repeated if is_exact => self.faults.add(Kind::Duplicate, story),
            Arrival::Repeated => self.tally.duplicates += 1,
        }
        let standing = &mut self.standings[number];
        let Some(sent) = sent else { return };
        standing.newest_arrived = standing.newest_arrived.max(sent.sent.event);
        if matches!(standing.state, State::Gone(since) if since < sent.sent.event) {
            self.faults.add(Kind::Ghost, story);
        }
    }

    /// Something that no broker should send to a member.
    pub(crate) fn wrong(&mut self, member: usize, story: impl FnOnce() -> String) {
        let client_id = self.plan.members[member].client_id.clone();
        let cycle = self.cycle;
        self.faults.add(Kind::Protocol, || {
            format!("{client_id} got {} in cycle {cycle}", story())
        });
    }

    /// Messages on their way to a member.
    pub(crate) fn behind(&self, member: usize) -> u64 {
        let plan = &self.plan;
        let own = plan.members[member].subscriptions.iter();
        own.map(|&subscription| self.behind_of(subscription)).sum()
    }

    fn behind_of(&self, subscription: usize) -> u64 {
        let streams = self.plan.subscriptions[subscription].streams.iter();
        streams
            .map(|&stream| self.routes[&(subscription, stream)].behind())
            .sum()
    }

    /// Whether nobody who gets this stream has too much before it. Who gets nothing for long is not waited for:
    /// what it has not got is lost, and will be counted.
    pub(crate) fn may_publish(&mut self, stream: usize) -> bool {
        let plan = Arc::clone(&self.plan);
        let mut may = true;
        for member in plan.readers_of(stream) {
            if self.behind(member) < BEHIND_MAX {
                continue;
            }
            may = false;
            let patience = self.patience;
            for &subscription in &plan.members[member].subscriptions {
                let stalled = self
                    .routes_of(subscription)
                    .filter(|it| it.still_since() > patience);
                stalled.for_each(Route::pass_over);
            }
        }
        may
    }

    pub(crate) fn routes_of(&mut self, subscription: usize) -> impl Iterator<Item = &mut Route> {
        let all = self.routes.range_mut((subscription, 0)..(subscription + 1, 0));
        all.map(|(_, route)| route)
    }
}

/// The session as CONNACK tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Present,
    Absent,
}

/// What a client wants of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Subscribe,
    Unsubscribe,
}

impl Standing {
    const fn new() -> Self {
        Self {
            state: State::Unsure,
            holders: BTreeSet::new(),
            newest_arrived: 0,
        }
    }

    /// It must be made again.
    pub(crate) fn forget(&mut self) {
        self.holders.clear();
        self.state = State::Unsure;
    }
}

impl Stream {
    /// A message, unless a reckoning has closed its book.
    pub(crate) fn sent(&self, number: u64) -> Option<Message> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.messages.get(place).copied()
    }
}

/// A message and its story so far.
pub(crate) fn describe(plan: &Plan, name: Name, message: Option<Message>) -> String {
    let stream = &plan.streams[name.stream];
    let writer = plan.writer_of(name.stream);
    let head = format!(
        "{} number {} of {writer} (QoS {})",
        stream.topic,
        name.number,
        stream.qos.bits()
    );
    match message {
        None => format!("{head}, of an earlier reckoning"),
        Some(Message { sent, acked: None }) => {
            format!("{head}, sent in cycle {} at event {}", sent.cycle, sent.event)
        }
        Some(Message {
            sent,
            acked: Some(acked),
        }) => format!(
            "{head}, sent in cycle {} at event {}, acknowledged in cycle {} at event {}",
            sent.cycle, sent.event, acked.cycle, acked.event
        ),
    }
}

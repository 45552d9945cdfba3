//! A client, its store, and its application.

use std::collections::{BTreeMap, VecDeque};

use cloudsignal_core::client::{
    AskId, Client, Key as Record, Login, Options, Outcome, Output, Publication, PublishId, Sink, State,
    Storage, Subscription, Ticket, Token, WireId,
};
use cloudsignal_core::{Duration, Instant, Qos, TopicFilter, TopicName};

use crate::judge::{Judge, Key};

/// What a client asked of its surroundings.
#[derive(Debug)]
pub(crate) enum Wish {
    Dial(WireId),
    Send(WireId, Vec<u8>),
    Hangup(WireId),
    Token(AskId),
    Stored(Ticket),
}

#[derive(Debug)]
enum Write {
    Put(Record, Vec<u8>),
    Delete(Record),
    Sync(Ticket),
}

/// Gathers what a call asks for.
#[derive(Debug, Default)]
struct Tape {
    wishes: Vec<Wish>,
    writes: VecDeque<Write>,
    arrived: Vec<Key>,
    stored: Vec<PublishId>,
    ended: Vec<(PublishId, Outcome)>,
    granted: bool,
}

impl Sink for Tape {
    fn output(&mut self, output: Output<'_>) {
        match output {
            Output::Dial { wire, .. } => self.wishes.push(Wish::Dial(wire)),
            Output::Send { wire, bytes } => self.wishes.push(Wish::Send(wire, bytes.to_vec())),
            Output::Hangup { wire } => self.wishes.push(Wish::Hangup(wire)),
            Output::AskToken { ask, .. } => self.wishes.push(Wish::Token(ask)),
            Output::Put { key, record } => self.writes.push_back(Write::Put(key, record.to_vec())),
            Output::Delete { key } => self.writes.push_back(Write::Delete(key)),
            Output::Sync { ticket } => {
                self.writes.push_back(Write::Sync(ticket));
                self.wishes.push(Wish::Stored(ticket));
            }
            Output::Message(message) => {
                assert_eq!(message.subscriptions.len(), 1, "{:?}", message.topic);
                self.arrived.extend(read(message.payload));
            }
            Output::Stored { id } => self.stored.push(id),
            Output::Published { id, outcome } => self.ended.push((id, outcome)),
            Output::Subscribed { .. } => self.granted = true,
            Output::SubscribeRefused { id, reason } => panic!("{id:?} was refused: {reason:?}"),
            Output::State(_)
            | Output::Connected { .. }
            | Output::Replied { .. }
            | Output::RequestFailed { .. }
            | Output::Unsubscribed { .. }
            | Output::Warning(_) => {}
        }
    }
}

/// A client and everything that belongs to it.
#[derive(Debug)]
pub(crate) struct Peer {
    place: usize,
    pub(crate) client: Client,
    options: Options,
    tape: Tape,
    /// What survives its process.
    disk: BTreeMap<Record, Vec<u8>>,
    /// Its process: what an earlier one asked for is answered to nobody.
    pub(crate) life: u64,
    numbers: u64,
    /// Messages whose end it has not heard.
    open: BTreeMap<PublishId, Key>,
    /// Messages that it has got and that a crash would make it forget.
    unmarked: Vec<(Key, usize)>,
    pub(crate) is_granted: bool,
    pub(crate) is_suspended: bool,
    seed: u64,
}

impl Peer {
    pub(crate) fn new(place: usize, is_durable: bool, has_token: bool, seed: u64, now: Instant) -> Self {
        let options = Options {
            login: if has_token { Login::Token } else { Login::Anonymous },
            storage: if is_durable {
                Storage::Durable
            } else {
                Storage::Volatile
            },
            session_expiry_secs: u32::MAX,
            client_id: Some(format!("peer-{place}").into()),
            inflight_max: 10,
            receive_max: 10,
            topic_alias_max: 4,
            queue_messages_max: 200,
            ..Options::default()
        };
        Self {
            place,
            client: Client::new(options.clone(), seed, now, now.as_micros()),
            options,
            tape: Tape::default(),
            disk: BTreeMap::new(),
            life: 0,
            numbers: 0,
            open: BTreeMap::new(),
            unmarked: Vec::new(),
            is_granted: false,
            is_suspended: false,
            seed,
        }
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.options.storage == Storage::Durable
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.state() == State::Connected
    }

    /// Whether it waits for nothing.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_connected() && self.open.is_empty() && self.tape.writes.is_empty()
    }

    /// Calls the client and does its books. Answers what it asked for.
    pub(crate) fn call<T>(
        &mut self,
        judge: &mut Judge,
        act: impl FnOnce(&mut Client, &mut dyn Sink) -> T,
    ) -> (T, Vec<Wish>) {
        let answer = act(&mut self.client, &mut self.tape);
        self.is_granted |= std::mem::take(&mut self.tape.granted);
        let marks = self.tape.writes.len();
        for message in self.tape.arrived.drain(..) {
            judge.arrived(self.place, message);
            self.unmarked.push((message, marks));
        }
        for id in self.tape.stored.drain(..) {
            if let Some(message) = self.open.get(&id) {
                judge.safe(*message);
            }
        }
        for (id, outcome) in self.tape.ended.drain(..) {
            let message = self.open.remove(&id);
            match (message, outcome) {
                (Some(message), Outcome::Acknowledged(_)) => judge.safe(message),
                (Some(message), outcome) => {
                    assert_ne!(outcome, Outcome::Indeterminate, "no session is ever lost");
                    judge.given_up(message);
                }
                (None, _) => {}
            }
        }
        (answer, std::mem::take(&mut self.tape.wishes))
    }

    pub(crate) fn begin(&mut self, judge: &mut Judge, now: Instant) -> Vec<Wish> {
        let filter = TopicFilter::parse("t/#").expect("a filter");
        let wanted = Subscription::new(filter, Qos::ExactlyOnce);
        self.call(judge, |client, sink| {
            client.subscribe(&wanted, now, sink).expect("room");
            client.connect(now, sink);
        })
        .1
    }

    pub(crate) fn publish(&mut self, qos: Qos, judge: &mut Judge, now: Instant) -> Vec<Wish> {
        use cloudsignal_core::client::Accepted;
        let message = Key {
            peer: self.place,
            number: self.numbers + 1,
        };
        let topic = format!("t/{}", message.number % 3);
        let topic = TopicName::parse(&topic).expect("a topic");
        let payload = format!("{} {}", message.peer, message.number);
        let payload = if qos == Qos::AtMostOnce { "-" } else { &payload };
        let publication = Publication::new(topic, payload.as_bytes(), qos);
        // The books must know of it before it can arrive.
        let before = self.client.queued_messages();
        let (accepted, wishes) = self.call(judge, |client, sink| client.publish(&publication, now, sink));
        match accepted {
            Ok(Accepted::Queued(id)) if qos != Qos::AtMostOnce => {
                self.numbers += 1;
                judge.published(message, qos);
                self.open.insert(id, message);
            }
            Ok(_) => {}
            Err(why) => assert!(before > 0, "{why}: {:?}", self.client),
        }
        wishes
    }

    /// The store has done everything up to this ticket.
    pub(crate) fn stored(&mut self, ticket: Ticket, judge: &mut Judge, now: Instant) -> Vec<Wish> {
        let until = self
            .tape
            .writes
            .iter()
            .position(|write| matches!(write, Write::Sync(it) if *it == ticket));
        let Some(until) = until else { return Vec::new() };
        self.write(until + 1);
        self.call(judge, |client, sink| client.handle_stored(ticket, now, sink))
            .1
    }

    fn write(&mut self, count: usize) {
        for write in self.tape.writes.drain(..count) {
            match write {
                Write::Put(key, record) => {
                    self.disk.insert(key, record);
                }
                Write::Delete(key) => {
                    self.disk.remove(&key);
                }
                Write::Sync(_) => {}
            }
        }
        self.unmarked.retain_mut(|(_, marks)| {
            *marks = marks.saturating_sub(count);
            *marks > 0
        });
    }

    /// The process dies: of what was not stored, a beginning survives. Another one begins.
    pub(crate) fn crash(&mut self, survivors: usize, judge: &mut Judge, now: Instant) -> Vec<Wish> {
        let survivors = survivors % (self.tape.writes.len() + 1);
        self.write(survivors);
        judge.pardon(self.place, self.unmarked.drain(..).map(|(message, _)| message));
        self.life += 1;
        self.tape = Tape::default();
        self.open.clear();
        self.client = Client::new(
            self.options.clone(),
            self.seed ^ self.life << 40,
            now,
            now.as_micros(),
        );
        for (key, record) in &self.disk {
            self.client.restore(*key, record).expect("its own record");
        }
        self.begin(judge, now)
    }

    pub(crate) fn token(&mut self, ask: AskId, secs: u32, judge: &mut Judge, now: Instant) -> Vec<Wish> {
        let token = Token {
            username: None,
            password: now.after_secs(secs).as_micros().to_string().into_bytes().into(),
            lifetime: Some(Duration::from_secs(secs.into())),
        };
        self.call(judge, |client, sink| {
            client.handle_token(ask, Ok(token), now, sink);
        })
        .1
    }
}

fn read(payload: &[u8]) -> Option<Key> {
    let (peer, number) = std::str::from_utf8(payload).ok()?.split_once(' ')?;
    Some(Key {
        peer: peer.parse().ok()?,
        number: number.parse().ok()?,
    })
}

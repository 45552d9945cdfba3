//! Records, what the backlog makes of changes, and what comes back from the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudsignal_broker::change::{Change, Keeping, SessionName, Terms};
use cloudsignal_broker::policy::Actions;
use cloudsignal_broker::{
    Access, Credential, Identity, Limits, Message, Org, OrgId, Policy, Scope, ScopePart, StoredMessage,
};
use cloudsignal_core::codec::UserProperties;
use cloudsignal_core::topic::TopicFilterBuf;
use cloudsignal_core::{Instant, Qos, TopicName};

use super::backlog::Backlog;
use super::keys::{Kind, parse_number, parse_pair, parse_session};
use super::record::{
    Damage, DeliveryRecord, MessagePlace, Reader, SessionRecord, SubscriptionRecord, WillRecord, Writer,
    shared_message,
};
use super::restore::restore;
use super::{Durability, Level};
use crate::clock::{Clock, WallTime};
use crate::store::{Commit, Shelf, ShelfWrites, Store, StoreExt, memory};

fn org() -> OrgId {
    OrgId::new("org_test")
}

fn clock() -> Clock {
    Clock::manual(WallTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap())
}

fn name(serial: u64) -> SessionName {
    SessionName {
        serial,
        client_id: format!("client{serial}").into(),
    }
}

fn identity() -> Arc<Identity> {
    let filter = TopicFilterBuf::parse("a/+/#").unwrap();
    let actions = Actions {
        publish: false,
        subscribe: true,
    };
    Arc::new(Identity {
        org: org(),
        username: "ada".into(),
        principal: "user:ada".into(),
        credential: Credential::Token { id: "t1".into() },
        claims: vec![("email".into(), "ada@example.com".into())],
        expires_at: Some(Instant::from_micros(77_000_000)),
        access: Access::Policy,
        scope: Some(Arc::new(Scope {
            parts: [ScopePart { filter, actions }].into(),
        })),
    })
}

fn message(number: u64, topic: &str) -> Arc<Message> {
    let mut user = Vec::new();
    UserProperties::push(&mut user, "name", "value").unwrap();
    let rich = number.is_multiple_of(2);
    let stored = StoredMessage {
        number,
        publisher: 3,
        topic: TopicName::parse(topic).unwrap(),
        payload: &number.to_be_bytes(),
        payload_format: rich.then_some(true),
        content_type: rich.then_some("text/plain"),
        response_topic: rich.then(|| TopicName::parse("answers").unwrap()),
        correlation_data: rich.then_some(b"id"),
        user_properties: if rich { &user } else { &[] },
        qos: Qos::ExactlyOnce,
        retain: rich,
        expires_at: rich.then(|| Instant::from_micros(5_000_000)),
    };
    Message::restored(&stored).unwrap()
}

fn terms(qos: Qos) -> Terms {
    Terms {
        qos,
        retain: true,
        subscription_ids: [7, 9].into(),
        group: Some("$share/g/a".into()),
        queued_at: Instant::ZERO,
        keeping: Keeping::Together,
    }
}

fn bytes(write: impl FnOnce(Writer<'_>), clock: &Clock) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(Writer {
        bytes: &mut bytes,
        clock,
    });
    bytes
}

fn facts(message: &Message) -> String {
    format!("{message:?}")
}

#[test]
fn records_come_back_as_they_were() {
    let clock = clock();
    let session = SessionRecord {
        client_id: "c".into(),
        identity: identity(),
        expiry_secs: 60,
        ends_at: Some(Instant::from_micros(60_000_000)),
    };
    let written = bytes(|writer| writer.session(&session), &clock);
    assert_eq!(
        Reader::new(&written, &clock).unwrap().session(&org()),
        Ok(session)
    );
    let subscription = SubscriptionRecord {
        options: 0b10_1101,
        subscription_id: Some(4),
        owes_retained: true,
    };
    let written = bytes(|writer| writer.subscription("a/+", subscription), &clock);
    assert_eq!(
        Reader::new(&written, &clock).unwrap().subscription(),
        Ok(("a/+", subscription))
    );
    for number in [1, 2] {
        let message = message(number, "a/b");
        let written = bytes(|writer| writer.message(&message), &clock);
        let read = Reader::new(&written, &clock).unwrap().message().unwrap();
        assert_eq!(facts(&read), facts(&message));
        let will = WillRecord {
            message: Arc::clone(&message),
            expiry_secs: Some(5),
            delay_secs: 6,
            due_at: None,
        };
        let written = bytes(|writer| writer.will(&will), &clock);
        let read = Reader::new(&written, &clock).unwrap().will().unwrap();
        assert_eq!(format!("{read:?}"), format!("{will:?}"));
        let places = [
            (MessagePlace::Inline(message), Keeping::Apart),
            (MessagePlace::Shared(number), Keeping::Together),
        ];
        for (place, keeping) in places {
            let delivery = DeliveryRecord::Queued {
                message: place,
                terms: Terms {
                    keeping,
                    ..terms(Qos::AtLeastOnce)
                },
                packet_id: Some(9),
            };
            let written = bytes(|writer| writer.delivery(&delivery), &clock);
            let read = Reader::new(&written, &clock).unwrap().delivery().unwrap();
            assert_eq!(format!("{read:?}"), format!("{delivery:?}"));
        }
    }
}

#[test]
fn damaged_records_are_refused_at_every_length_and_in_every_version() {
    let clock = clock();
    let session = SessionRecord {
        client_id: "c".into(),
        identity: identity(),
        expiry_secs: 60,
        ends_at: None,
    };
    let delivery = DeliveryRecord::Queued {
        message: MessagePlace::Inline(message(2, "a")),
        terms: terms(Qos::ExactlyOnce),
        packet_id: None,
    };
    type Read = fn(Reader<'_>) -> Result<(), Damage>;
    let records: [(Vec<u8>, Read); 3] = [
        (bytes(|writer| writer.session(&session), &clock), |reader| {
            reader.session(&org()).map(drop)
        }),
        (bytes(|writer| writer.delivery(&delivery), &clock), |reader| {
            reader.delivery().map(drop)
        }),
        (bytes(|writer| writer.packet_id(3), &clock), |reader| {
            reader.packet_id().map(drop)
        }),
    ];
    for (whole, read) in &records {
        let read = |bytes: &[u8]| Reader::new(bytes, &clock).and_then(read);
        assert_eq!(read(whole), Ok(()));
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), Err(Damage::Short), "{length} bytes");
        }
        assert_eq!(read(&[whole, b"x".as_slice()].concat()), Err(Damage::Long));
        // Any other byte is refused or read as something else, and never a panic.
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7F, 0xFF] {
                let mut other = whole.clone();
                other[at] = byte;
                let _ = read(&other);
            }
        }
    }
    assert_eq!(Reader::new(&[9], &clock).unwrap_err(), Damage::UnknownVersion(9));
}

/// A bench of sessions, a store, and what should be in it.
struct Bench {
    clock: Clock,
    store: Arc<dyn Store>,
    backlog: Backlog,
    /// Every delivery that is not settled: its message, and its packet id once only PUBREL remains.
    model: BTreeMap<(u64, u64), (u64, Option<u16>)>,
    sent: BTreeMap<(u64, u64), u16>,
    /// Deliveries whose message is stored with them.
    apart: BTreeSet<(u64, u64)>,
    sessions: BTreeSet<u64>,
    received: BTreeSet<(u64, u16)>,
    retained: BTreeMap<String, u64>,
    subscriptions: BTreeSet<(u64, String)>,
    ended: Vec<u64>,
    next_order: u64,
    next_serial: u64,
    seed: u64,
    writes: usize,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let clock = clock();
        Self {
            store: Arc::new(memory::open(clock.clone()).unwrap()),
            clock,
            backlog: Backlog::default(),
            model: BTreeMap::new(),
            sent: BTreeMap::new(),
            apart: BTreeSet::new(),
            sessions: BTreeSet::new(),
            received: BTreeSet::new(),
            retained: BTreeMap::new(),
            subscriptions: BTreeSet::new(),
            ended: Vec::new(),
            next_order: 1,
            next_serial: 1,
            seed: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            writes: 0,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) % below
    }

    fn pick<T: Clone>(&mut self, of: impl Iterator<Item = T>) -> Option<T> {
        let all: Vec<T> = of.collect();
        let count = all.len() as u64;
        (count > 0).then(|| all[usize::try_from(self.random(count)).unwrap()].clone())
    }

    fn act(&mut self) {
        match self.random(13) {
            0 => {
                let serial = self.next_serial;
                self.next_serial += 1;
                self.sessions.insert(serial);
                self.backlog.add(Change::Session {
                    session: name(serial),
                    identity: identity(),
                    expiry_secs: u32::MAX,
                    ends_at: None,
                });
            }
            1..=3 => self.queue(),
            11 => self.queue_again(),
            4 | 5 => {
                if let Some(delivery) = self.pick(self.model.keys().copied().collect::<Vec<_>>().into_iter())
                {
                    let shares = self.shares(delivery);
                    self.model.remove(&delivery);
                    self.apart.remove(&delivery);
                    self.sent.remove(&delivery);
                    let (serial, order) = delivery;
                    let session = name(serial);
                    self.backlog.add(Change::Settled {
                        session,
                        order,
                        shares,
                    });
                }
            }
            6 | 7 => self.advance(),
            8 => self.receive(),
            9 => self.retain(),
            10 => self.subscribe(),
            _ => {
                if self.random(4) == 0
                    && let Some(serial) = self.pick(self.sessions.clone().into_iter())
                {
                    self.end(serial);
                }
            }
        }
    }

    /// One message to some sessions.
    fn queue(&mut self) {
        let number = self.next_order;
        let message = message(number, "queued");
        for serial in self.sessions.clone() {
            if self.random(3) == 0 {
                continue;
            }
            let order = self.next_order;
            self.next_order += 1;
            let is_sent = self.random(2) == 0;
            let packet_id = is_sent.then(|| u16::try_from(order % 60_000 + 1).unwrap());
            self.model.insert((serial, order), (number, None));
            if let Some(packet_id) = packet_id {
                self.sent.insert((serial, order), packet_id);
            }
            self.backlog.add(Change::Queued {
                session: name(serial),
                order,
                message: Arc::clone(&message),
                terms: terms(Qos::ExactlyOnce),
                packet_id,
            });
        }
        self.next_order += 1;
    }

    /// A message that was queued before goes to one more session, as one of a shared group does.
    fn queue_again(&mut self) {
        let known: Vec<u64> = self.model.values().map(|(number, _)| *number).collect();
        let (number, serial) = (
            self.pick(known.into_iter()),
            self.pick(self.sessions.clone().into_iter()),
        );
        let (Some(number), Some(serial)) = (number, serial) else {
            return;
        };
        let order = self.next_order;
        self.next_order += 1;
        self.model.insert((serial, order), (number, None));
        self.apart.insert((serial, order));
        self.backlog.add(Change::Queued {
            session: name(serial),
            order,
            message: message(number, "queued"),
            terms: Terms {
                keeping: Keeping::Apart,
                ..terms(Qos::ExactlyOnce)
            },
            packet_id: None,
        });
    }

    /// The message that a delivery shares with others, as the organization knows it.
    fn shares(&self, delivery: (u64, u64)) -> Option<u64> {
        let (number, released) = self.model[&delivery];
        (released.is_none() && !self.apart.contains(&delivery)).then_some(number)
    }

    /// A delivery is sent, or received.
    fn advance(&mut self) {
        let open = self.model.iter().filter(|(_, (_, released))| released.is_none());
        let open: Vec<_> = open.map(|(delivery, _)| *delivery).collect();
        let Some(delivery @ (serial, order)) = self.pick(open.into_iter()) else {
            return;
        };
        let session = name(serial);
        if let Some(packet_id) = self.sent.remove(&delivery) {
            let shares = self.shares(delivery);
            self.model.get_mut(&delivery).unwrap().1 = Some(packet_id);
            self.backlog.add(Change::Released {
                session,
                order,
                packet_id,
                shares,
            });
        } else {
            let packet_id = u16::try_from(order % 60_000 + 1).unwrap();
            self.sent.insert(delivery, packet_id);
            self.backlog.add(Change::Sent {
                session,
                order,
                packet_id,
            });
        }
    }

    fn receive(&mut self) {
        let Some(serial) = self.pick(self.sessions.clone().into_iter()) else {
            return;
        };
        let packet_id = u16::try_from(self.random(3) + 1).unwrap();
        let session = name(serial);
        if self.received.remove(&(serial, packet_id)) {
            self.backlog.add(Change::Completed { session, packet_id });
        } else {
            self.received.insert((serial, packet_id));
            self.backlog.add(Change::Received { session, packet_id });
        }
    }

    fn retain(&mut self) {
        let topic = format!("retained/{}", self.random(3));
        if self.random(3) == 0 {
            self.retained.remove(&topic);
            let topic = topic.into();
            self.backlog.add(Change::RetainedCleared { topic });
        } else {
            let number = self.next_order;
            self.next_order += 1;
            let message = message(number, &topic);
            self.retained.insert(topic, number);
            self.backlog.add(Change::Retained { message });
        }
    }

    fn subscribe(&mut self) {
        let Some(serial) = self.pick(self.sessions.clone().into_iter()) else {
            return;
        };
        let filter = format!("filter/{}", self.random(3));
        let session = name(serial);
        if self.subscriptions.remove(&(serial, filter.clone())) {
            let filter = filter.into();
            self.backlog.add(Change::Unsubscribed { session, filter });
        } else {
            self.subscriptions.insert((serial, filter.clone()));
            self.backlog.add(Change::Subscribed {
                session,
                filter: filter.into(),
                options: 1,
                subscription_id: None,
                owes_retained: false,
            });
        }
    }

    fn end(&mut self, serial: u64) {
        self.sessions.remove(&serial);
        self.model.retain(|(of, _), _| *of != serial);
        self.sent.retain(|(of, _), _| *of != serial);
        self.received.retain(|(of, _)| *of != serial);
        self.subscriptions.retain(|(of, _)| *of != serial);
        let session = name(serial);
        self.backlog.add(Change::SessionEnded { session });
    }

    async fn write(&mut self) {
        let mut batch = self.backlog.take();
        assert!(self.backlog.is_empty() && self.backlog.bytes() == 0);
        self.ended.append(&mut batch.ended);
        let writes = batch.encode(&org(), &self.clock);
        self.writes += writes.len();
        self.store
            .write(Commit::new().shelve(Arc::new(writes)))
            .await
            .unwrap();
    }

    async fn shelf(&self, shelf: Shelf) -> Vec<(bytes::Bytes, bytes::Bytes)> {
        let page = self.store.shelf(shelf, &org(), &[], None, usize::MAX);
        page.await.unwrap().entries
    }

    /// What ended sessions have left goes, as the task does it.
    async fn sweep(&mut self) {
        for serial in std::mem::take(&mut self.ended) {
            for shelf in [Shelf::Session, Shelf::Queue] {
                for (key, value) in self.shelf(shelf).await {
                    if key.starts_with(&serial.to_be_bytes()) {
                        let shares = shared_message(&value, &self.clock).filter(|_| shelf == Shelf::Queue);
                        self.backlog.sweep(shelf, key, shares);
                    }
                }
            }
        }
        self.write().await;
    }

    async fn check(&self) {
        let mut messages: BTreeSet<u64> = BTreeSet::new();
        for (key, _) in self.shelf(Shelf::Message).await {
            messages.insert(parse_number(&key).unwrap());
        }
        let (mut needed, mut progress, mut sessions) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        let (mut received, mut subscriptions) = (BTreeSet::new(), BTreeSet::new());
        for (key, value) in self.shelf(Shelf::Session).await {
            let (serial, kind, rest) = parse_session(&key).unwrap();
            let reader = Reader::new(&value, &self.clock).unwrap();
            match kind {
                Kind::Session => _ = sessions.insert(serial),
                Kind::Subscription => {
                    subscriptions.insert((serial, String::from_utf8(rest.to_vec()).unwrap()));
                }
                Kind::Progress => {
                    progress.insert((serial, parse_number(rest).unwrap()), reader.packet_id().unwrap());
                }
                Kind::Received => {
                    received.insert((serial, u16::from_be_bytes(rest.try_into().unwrap())));
                }
                Kind::Will => panic!("nobody left a will"),
            }
        }
        let (mut deliveries, mut sent) = (BTreeMap::new(), BTreeMap::new());
        for (key, value) in self.shelf(Shelf::Queue).await {
            let delivery = parse_pair(&key).unwrap();
            match Reader::new(&value, &self.clock).unwrap().delivery().unwrap() {
                DeliveryRecord::Queued {
                    message, packet_id, ..
                } => {
                    let number = match message {
                        MessagePlace::Inline(message) => message.number(),
                        MessagePlace::Shared(number) => {
                            assert!(messages.contains(&number), "a shared message is there");
                            needed.insert(number);
                            number
                        }
                    };
                    deliveries.insert(delivery, (number, None));
                    if let Some(packet_id) = progress.remove(&delivery).or(packet_id) {
                        sent.insert(delivery, packet_id);
                    }
                }
                DeliveryRecord::Released { packet_id } => {
                    let number = self.model.get(&delivery).map_or(0, |(number, _)| *number);
                    deliveries.insert(delivery, (number, Some(packet_id)));
                }
            }
        }
        assert_eq!(deliveries, self.model, "deliveries");
        assert_eq!(sent, self.sent, "packet ids");
        assert_eq!(progress, BTreeMap::new(), "no progress without its delivery");
        assert_eq!(messages, needed, "no message without a delivery");
        assert_eq!(sessions, self.sessions);
        assert_eq!(received, self.received);
        assert_eq!(subscriptions, self.subscriptions);
        let retained = self.shelf(Shelf::Retained).await.into_iter();
        let retained: BTreeMap<_, _> = retained
            .map(|(key, value)| {
                let message = Reader::new(&value, &self.clock).unwrap().message().unwrap();
                (String::from_utf8(key.to_vec()).unwrap(), message.number())
            })
            .collect();
        assert_eq!(retained, self.retained);
    }
}

/// However changes fall into commits, the store holds what they say in the end, and nothing beside it.
#[tokio::test]
async fn the_store_holds_what_the_changes_say() {
    for seed in 0..200 {
        let mut bench = Bench::new(seed);
        for _ in 0..300 {
            bench.act();
            if bench.random(8) == 0 {
                bench.write().await;
            }
            if bench.random(40) == 0 {
                bench.sweep().await;
            }
        }
        bench.write().await;
        bench.sweep().await;
        bench.check().await;
        assert!(bench.writes > 0);
    }
}

/// A reader goes on where the last run stopped: what it knows of the store is what that knew.
#[tokio::test]
async fn a_restart_in_between_makes_no_difference() {
    for seed in 0..50 {
        let mut bench = Bench::new(seed);
        for _ in 0..10 {
            for _ in 0..50 {
                bench.act();
            }
            bench.write().await;
            // Some sessions that ended are never swept: the start removes what they left.
            bench.ended.clear();
            let fresh = Org::new(org(), Limits::default(), Policy::permit_all(), 1);
            let durability = Durability::new(Arc::clone(&bench.store), bench.clock.clone(), Level::Disk);
            let restored = restore(&durability, fresh).await.unwrap();
            let aside = bench.shelf(Shelf::Quarantine).await;
            assert_eq!(aside, [], "seed {seed}");
            assert_eq!(restored.totals.sessions as usize, bench.sessions.len());
            assert_eq!(restored.totals.deliveries as usize, bench.model.len());
            assert_eq!(restored.totals.retained as usize, bench.retained.len());
            bench.backlog = Backlog::new(restored.known);
            bench.check().await;
        }
    }
}

#[test]
fn what_is_queued_and_settled_meanwhile_is_never_written() {
    let mut backlog = Backlog::default();
    for order in 1..=100 {
        backlog.add(Change::Queued {
            session: name(1),
            order,
            message: message(order, "a"),
            terms: terms(Qos::AtLeastOnce),
            packet_id: None,
        });
    }
    assert!(backlog.bytes() > 100 * 128);
    for order in 1..=100 {
        let session = name(1);
        backlog.add(Change::Settled {
            session,
            order,
            shares: Some(order),
        });
    }
    assert!(backlog.is_empty());
    assert_eq!((backlog.bytes(), backlog.elided()), (0, 100));
}

#[tokio::test]
async fn damaged_entries_are_put_aside_and_cost_nothing_else() {
    let mut bench = Bench::new(1);
    for _ in 0..200 {
        bench.act();
    }
    bench.write().await;
    bench.sweep().await;
    let sessions = bench.sessions.len();
    let mut damage = ShelfWrites::new(&org());
    damage.put(Shelf::Retained, b"damaged", |value| {
        value.extend_from_slice(b"\x01???");
    });
    damage.put(Shelf::Queue, b"no delivery", |value| value.push(1));
    damage.put(Shelf::Session, &[0, 0, 0, 0, 0, 0, 0, 99, 0], |value| {
        value.push(9);
    });
    bench
        .store
        .write(Commit::new().shelve(Arc::new(damage)))
        .await
        .unwrap();
    let durability = Durability::new(Arc::clone(&bench.store), bench.clock.clone(), Level::Disk);
    for quarantined in [3, 0] {
        let fresh = Org::new(org(), Limits::default(), Policy::permit_all(), 1);
        let restored = restore(&durability, fresh).await.unwrap();
        assert_eq!(restored.totals.quarantined, quarantined);
        assert_eq!(restored.totals.sessions as usize, sessions);
    }
    let aside = bench.shelf(Shelf::Quarantine).await;
    assert_eq!(aside.len(), 3);
    assert!(aside.iter().any(|(key, _)| &key[..] == b"retained/damaged"));
    let reason = b"stored in format 9, and this program knows format 1";
    let is_named = aside
        .iter()
        .any(|(_, value)| value.windows(reason.len()).any(|part| part == reason));
    assert!(is_named, "the reason is kept");
}

#[tokio::test]
async fn what_belongs_to_a_damaged_session_is_put_aside_with_it() {
    let mut bench = Bench::new(1);
    for _ in 0..200 {
        bench.act();
    }
    bench.write().await;
    bench.sweep().await;
    let serial = *bench.sessions.first().unwrap();
    let mut damage = ShelfWrites::new(&org());
    let key = serial.to_be_bytes();
    damage.put(Shelf::Session, &[&key[..], &[0]].concat(), |value| value.push(9));
    let damage = Commit::new().shelve(Arc::new(damage));
    bench.store.write(damage).await.unwrap();
    let named = |shelf: Shelf, key: &[u8]| [shelf.name().as_bytes(), b"/", key].concat();
    let mut expected = BTreeSet::new();
    for shelf in [Shelf::Session, Shelf::Queue] {
        let entries = bench.shelf(shelf).await;
        let own = entries.iter().filter(|(entry, _)| entry.starts_with(&key));
        expected.extend(own.map(|(entry, _)| named(shelf, entry)));
    }
    assert!(expected.len() > 5, "it has subscriptions and deliveries");
    let messages = bench.shelf(Shelf::Message).await;
    let durability = Durability::new(Arc::clone(&bench.store), bench.clock.clone(), Level::Disk);
    for start in 1..=2 {
        let fresh = Org::new(org(), Limits::default(), Policy::permit_all(), 1);
        let totals = restore(&durability, fresh).await.unwrap().totals;
        assert_eq!(totals.orphans, 0, "nothing is removed");
        assert_eq!(totals.quarantined > 0, start == 1);
    }
    let aside = bench.shelf(Shelf::Quarantine).await;
    let aside: BTreeSet<_> = aside.into_iter().map(|(entry, _)| entry.to_vec()).collect();
    assert!(expected.is_subset(&aside));
    let left = bench.shelf(Shelf::Message).await;
    for message in &messages {
        let is_kept = left.contains(message) || aside.contains(&named(Shelf::Message, &message.0));
        assert!(is_kept, "no message is lost");
    }
}

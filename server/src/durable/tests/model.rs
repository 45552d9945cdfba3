//! Sessions that do what they like, and what the store should hold of it.

use super::*;

/// A bench of sessions, a store, and what should be in it.
pub(in crate::durable) struct Bench {
    pub(in crate::durable) clock: Clock,
    pub(in crate::durable) store: Arc<dyn Store>,
    pub(in crate::durable) backlog: Backlog,
    /// Every delivery that is not settled: its message, and its packet id once only PUBREL remains.
    pub(in crate::durable) model: BTreeMap<(u64, u64), (u64, Option<u16>)>,
    pub(in crate::durable) sent: BTreeMap<(u64, u64), u16>,
    /// Deliveries whose message is stored with them.
    pub(in crate::durable) apart: BTreeSet<(u64, u64)>,
    pub(in crate::durable) sessions: BTreeSet<u64>,
    pub(in crate::durable) received: BTreeSet<(u64, u16)>,
    pub(in crate::durable) numbers: BTreeMap<u64, PublishNumbers>,
    pub(in crate::durable) retained: BTreeMap<String, u64>,
    pub(in crate::durable) subscriptions: BTreeSet<(u64, String)>,
    pub(in crate::durable) ended: Vec<u64>,
    pub(in crate::durable) next_order: u64,
    pub(in crate::durable) next_serial: u64,
    pub(in crate::durable) seed: u64,
    pub(in crate::durable) writes: usize,
}

impl Bench {
    pub(in crate::durable) fn new(seed: u64) -> Self {
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
            numbers: BTreeMap::new(),
            retained: BTreeMap::new(),
            subscriptions: BTreeSet::new(),
            ended: Vec::new(),
            next_order: 1,
            next_serial: 1,
            seed: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            writes: 0,
        }
    }

    pub(in crate::durable) fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) % below
    }

    pub(in crate::durable) fn pick<T: Clone>(&mut self, of: impl Iterator<Item = T>) -> Option<T> {
        let all: Vec<T> = of.collect();
        let count = all.len() as u64;
        (count > 0).then(|| all[usize::try_from(self.random(count)).unwrap()].clone())
    }

    pub(in crate::durable) fn act(&mut self) {
        match self.random(15) {
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
                for _ in 0..=self.random(20) {
                    self.settle();
                }
            }
            6 | 7 => self.advance(),
            8 => self.receive(),
            9 => self.retain(),
            10 => self.subscribe(),
            12 => self.number(),
            13 => self.burst(),
            _ => {
                if self.random(4) == 0
                    && let Some(serial) = self.pick(self.sessions.clone().into_iter())
                {
                    self.end(serial);
                }
            }
        }
    }

    /// A delivery is done with.
    fn settle(&mut self) {
        let Some(delivery @ (serial, order)) = self.pick(self.model.clone().into_keys()) else {
            return;
        };
        let shares = self.shares(delivery);
        self.model.remove(&delivery);
        self.apart.remove(&delivery);
        self.sent.remove(&delivery);
        let session = name(serial);
        self.backlog.add(Change::Settled {
            session,
            order,
            shares,
        });
    }

    /// One message to some sessions.
    pub(in crate::durable) fn queue(&mut self) {
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

    /// Many messages to one session.
    fn burst(&mut self) {
        let Some(serial) = self.pick(self.sessions.clone().into_iter()) else {
            return;
        };
        for _ in 0..=self.random(100) {
            let order = self.next_order;
            self.next_order += 1 + u64::from(self.random(20) == 0);
            self.model.insert((serial, order), (order, None));
            self.backlog.add(Change::Queued {
                session: name(serial),
                order,
                message: message(order, "burst"),
                terms: terms(Qos::AtLeastOnce),
                packet_id: None,
            });
        }
    }

    /// A message that was queued before goes to one more session, as one of a shared group does.
    pub(in crate::durable) fn queue_again(&mut self) {
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
    pub(in crate::durable) fn shares(&self, delivery: (u64, u64)) -> Option<u64> {
        let (number, released) = self.model[&delivery];
        (released.is_none() && !self.apart.contains(&delivery)).then_some(number)
    }

    /// A delivery is sent, or received.
    pub(in crate::durable) fn advance(&mut self) {
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

    pub(in crate::durable) fn receive(&mut self) {
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

    fn number(&mut self) {
        let Some(serial) = self.pick(self.sessions.clone().into_iter()) else {
            return;
        };
        let numbers = numbers(self.next_order);
        self.numbers.insert(serial, numbers.clone());
        let session = name(serial);
        self.backlog.add(Change::Numbered { session, numbers });
    }

    pub(in crate::durable) fn retain(&mut self) {
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

    pub(in crate::durable) fn subscribe(&mut self) {
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

    pub(in crate::durable) fn end(&mut self, serial: u64) {
        self.sessions.remove(&serial);
        self.model.retain(|(of, _), _| *of != serial);
        self.sent.retain(|(of, _), _| *of != serial);
        self.received.retain(|(of, _)| *of != serial);
        self.numbers.remove(&serial);
        self.subscriptions.retain(|(of, _)| *of != serial);
        let session = name(serial);
        self.backlog.add(Change::SessionEnded { session });
    }

    pub(in crate::durable) async fn write(&mut self) {
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

    pub(in crate::durable) async fn shelf(&self, shelf: Shelf) -> Vec<(Bytes, Bytes)> {
        let page = self.store.shelf(shelf, &org(), &[], None, usize::MAX);
        page.await.unwrap().entries
    }

    /// What ended sessions have left goes, as the task does it.
    pub(in crate::durable) async fn sweep(&mut self) {
        for serial in std::mem::take(&mut self.ended) {
            for shelf in [Shelf::Session, Shelf::Queue] {
                for (key, value) in self.shelf(shelf).await {
                    if key.starts_with(&serial.to_be_bytes()) {
                        let shares =
                            shared_message(&key, &value, &self.clock).filter(|_| shelf == Shelf::Queue);
                        self.backlog.sweep(shelf, key, shares);
                    }
                }
            }
        }
        self.write().await;
    }

    pub(in crate::durable) async fn check(&self) {
        let mut messages: BTreeSet<u64> = BTreeSet::new();
        for (key, _) in self.shelf(Shelf::Message).await {
            messages.insert(parse_number(&key).unwrap());
        }
        let (mut needed, mut progress, mut sessions) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        let (mut received, mut subscriptions) = (BTreeSet::new(), BTreeSet::new());
        let mut numbers = BTreeMap::new();
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
                Kind::Numbers => _ = numbers.insert(serial, reader.numbers().unwrap()),
                Kind::Will => panic!("nobody left a will"),
            }
        }
        let (mut deliveries, mut sent) = (BTreeMap::new(), BTreeMap::new());
        for (delivery, value) in deliveries_of(&self.shelf(Shelf::Queue).await, &self.clock) {
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
        assert_eq!((received, numbers), (self.received.clone(), self.numbers.clone()));
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

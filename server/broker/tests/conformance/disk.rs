//! What a store has on its disk: changes, applied in order, and an organization made of them again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudsignal_broker::change::{Change, PublishNumbers, Terms};
use cloudsignal_broker::{Fetch, Fetched, Identity, Message, Org, Restoring, StoredDelivery, StoredMessage};
use cloudsignal_core::{Instant, Qos};

/// The stored state of one organization.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// By serial.
    pub(crate) sessions: BTreeMap<u64, OnDisk>,
    pub(crate) retained: BTreeMap<String, Arc<Message>>,
}

/// The stored state of one session.
#[derive(Clone, Debug)]
pub(crate) struct OnDisk {
    pub(crate) client_id: String,
    pub(crate) identity: Arc<Identity>,
    pub(crate) expiry_secs: u32,
    pub(crate) ends_at: Option<Instant>,
    pub(crate) will: Option<OnDiskWill>,
    /// Filter → options, identifier, whether retained messages are owed.
    pub(crate) subscriptions: BTreeMap<String, (u8, Option<u32>, bool)>,
    /// By order.
    pub(crate) deliveries: BTreeMap<u64, (Arc<Message>, Terms, Option<u16>)>,
    /// Order → packet id.
    pub(crate) released: BTreeMap<u64, u16>,
    pub(crate) received: BTreeSet<u16>,
    pub(crate) numbers: Option<PublishNumbers>,
}

#[derive(Clone, Debug)]
pub(crate) struct OnDiskWill {
    message: Arc<Message>,
    expiry_secs: Option<u32>,
    delay_secs: u32,
    pub(crate) due_at: Option<Instant>,
}

impl Disk {
    /// A change is written. An error if it is of something that is not there.
    pub(crate) fn apply(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Session {
                session,
                identity,
                expiry_secs,
                ends_at,
            } => {
                let stored = self.sessions.entry(session.serial).or_insert_with(|| OnDisk {
                    client_id: session.client_id.to_string(),
                    identity: Arc::clone(identity),
                    expiry_secs: 0,
                    ends_at: None,
                    will: None,
                    subscriptions: BTreeMap::new(),
                    deliveries: BTreeMap::new(),
                    released: BTreeMap::new(),
                    received: BTreeSet::new(),
                    numbers: None,
                });
                stored.identity = Arc::clone(identity);
                (stored.expiry_secs, stored.ends_at) = (*expiry_secs, *ends_at);
            }
            Change::SessionEnded { session } => {
                self.sessions.remove(&session.serial);
            }
            Change::Retained { message } => {
                let topic = message.topic().as_str().to_owned();
                self.retained.insert(topic, Arc::clone(message));
            }
            Change::RetainedCleared { topic } => {
                self.retained.remove(&**topic);
            }
            Change::Will { session, .. }
            | Change::WillGone { session }
            | Change::Subscribed { session, .. }
            | Change::Unsubscribed { session, .. }
            | Change::Queued { session, .. }
            | Change::Sent { session, .. }
            | Change::Released { session, .. }
            | Change::Settled { session, .. }
            | Change::Received { session, .. }
            | Change::Numbered { session, .. }
            | Change::Completed { session, .. } => {
                let stored = self.sessions.get_mut(&session.serial);
                stored
                    .and_then(|stored| stored.apply(change))
                    .ok_or_else(|| format!("{change:?} is of something that is not stored"))?;
            }
        }
        Ok(())
    }

    /// Adds what only the store has, which must be as much as the organization says.
    pub(crate) fn add_spilled(&mut self, stored: &Self, org: &Org) -> Result<(), String> {
        for (serial, session) in &mut self.sessions {
            let known = stored.sessions.get(serial).into_iter();
            let only_stored: Vec<_> = known
                .flat_map(|stored| &stored.deliveries)
                .filter(|(order, _)| !session.deliveries.contains_key(order))
                .map(|(order, delivery)| (*order, delivery.clone()))
                .collect();
            let spilled = org
                .session(&session.client_id)
                .map_or(0, |view| view.queue_spilled);
            if only_stored.len() != spilled {
                let (client, stored) = (&session.client_id, only_stored.len());
                return Err(format!(
                    "{client}: {stored} deliveries are only stored, {spilled} counted"
                ));
            }
            session.deliveries.extend(only_stored);
        }
        Ok(())
    }

    /// What a session has next, as it stands.
    pub(crate) fn fetch(&self, fetch: &Fetch) -> Fetched {
        let mut fetched = Fetched {
            deliveries: Vec::new(),
            through: fetch.through,
        };
        let Some(session) = self.sessions.get(&fetch.session.serial) else {
            return fetched;
        };
        let mut bytes = 0;
        let next = session.deliveries.range(fetch.after + 1..=fetch.through);
        for (&order, (message, terms, _)) in next {
            if fetched.deliveries.len() == fetch.messages_max || bytes >= fetch.bytes_max {
                fetched.through = order - 1;
                break;
            }
            bytes += message.size();
            fetched.deliveries.push(StoredDelivery {
                order,
                message: copy(message),
                terms: terms.clone(),
            });
        }
        fetched
    }

    /// The organization, read back into `org`, which is new.
    pub(crate) fn restore(&self, org: Org, now: Instant) -> Org {
        let mut restoring = Restoring::new(org);
        for (&serial, stored) in &self.sessions {
            let (client_id, identity) = (&stored.client_id, Arc::clone(&stored.identity));
            restoring
                .session(serial, client_id, identity, stored.expiry_secs, stored.ends_at)
                .expect("a session fits");
        }
        for (&serial, stored) in &self.sessions {
            stored.restore(serial, &mut restoring);
        }
        for message in self.retained.values() {
            restoring
                .retained(copy(message))
                .expect("a retained message fits");
        }
        restoring.finish(now)
    }

    /// Everything, a line for each thing. What a delivery at QoS 1 is sent as is forgotten if it was sent from the
    /// queue, so packet ids at QoS 1 are left out unless asked for.
    pub(crate) fn lines(&self, qos1_ids: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for (serial, it) in &self.sessions {
            let mut line = |text: String| lines.push(format!("{} ({serial}): {text}", it.client_id));
            let (principal, expiry_secs, ends_at) = (&it.identity.principal, it.expiry_secs, it.ends_at);
            line(format!("{principal}, {expiry_secs}, {ends_at:?}"));
            if let Some(will) = &it.will {
                line(format!("{will:?}"));
            }
            it.subscriptions.iter().for_each(|it| line(format!("{it:?}")));
            for (order, (message, terms, packet_id)) in &it.deliveries {
                let shows_id = qos1_ids || terms.qos == Qos::ExactlyOnce;
                let packet_id = packet_id.filter(|_| shows_id);
                line(format!("{order}: {message:?}, {terms:?}, {packet_id:?}"));
            }
            it.released.iter().for_each(|it| line(format!("released {it:?}")));
            it.received.iter().for_each(|it| line(format!("received {it:?}")));
            it.numbers.iter().for_each(|it| line(format!("{it:?}")));
        }
        let retained = self.retained.values();
        lines.extend(retained.map(|message| format!("retained {message:?}")));
        lines
    }
}

impl OnDisk {
    /// `None` if the change is of something that is not there.
    fn apply(&mut self, change: &Change) -> Option<()> {
        match change {
            Change::Will {
                message,
                expiry_secs,
                delay_secs,
                due_at,
                ..
            } => {
                self.will = Some(OnDiskWill {
                    message: Arc::clone(message),
                    expiry_secs: *expiry_secs,
                    delay_secs: *delay_secs,
                    due_at: *due_at,
                });
            }
            Change::WillGone { .. } => self.will = None,
            Change::Subscribed {
                filter,
                options,
                subscription_id,
                owes_retained,
                ..
            } => {
                let stored = (*options, *subscription_id, *owes_retained);
                self.subscriptions.insert(filter.to_string(), stored);
            }
            Change::Unsubscribed { filter, .. } => {
                self.subscriptions.remove(&**filter)?;
            }
            Change::Queued {
                order,
                message,
                terms,
                packet_id,
                ..
            } => {
                let stored = (Arc::clone(message), terms.clone(), *packet_id);
                self.deliveries.insert(*order, stored);
            }
            Change::Sent { order, packet_id, .. } => {
                self.deliveries.get_mut(order)?.2 = Some(*packet_id);
            }
            Change::Released { order, packet_id, .. } => {
                // Of the delivery nothing else is needed.
                self.deliveries.remove(order);
                self.released.insert(*order, *packet_id);
            }
            Change::Settled { order, .. } => {
                let (delivery, released) = (self.deliveries.remove(order), self.released.remove(order));
                (delivery.is_some() || released.is_some()).then_some(())?;
            }
            Change::Received { packet_id, .. } => {
                self.received.insert(*packet_id);
            }
            Change::Numbered { numbers, .. } => self.numbers = Some(numbers.clone()),
            Change::Completed { packet_id, .. } => {
                self.received.remove(packet_id).then_some(())?;
            }
            Change::Session { .. }
            | Change::SessionEnded { .. }
            | Change::Retained { .. }
            | Change::RetainedCleared { .. } => {}
        }
        Some(())
    }

    fn restore(&self, serial: u64, restoring: &mut Restoring) {
        for (filter, &(options, id, owes_retained)) in &self.subscriptions {
            restoring
                .subscription(serial, filter, options, id, owes_retained)
                .expect("a subscription fits");
        }
        for (&order, (message, terms, packet_id)) in &self.deliveries {
            restoring
                .delivery(serial, order, copy(message), terms.clone(), *packet_id)
                .expect("a delivery fits");
        }
        for (&order, &packet_id) in &self.released {
            restoring
                .released(serial, order, packet_id)
                .expect("a delivery fits");
        }
        for &packet_id in &self.received {
            restoring.received(serial, packet_id).expect("an exchange fits");
        }
        if let Some(numbers) = &self.numbers {
            restoring.numbered(serial, numbers.clone()).expect("they fit");
        }
        if let Some(will) = &self.will {
            let (message, expiry_secs) = (copy(&will.message), will.expiry_secs);
            restoring
                .will(serial, message, expiry_secs, will.delay_secs, will.due_at)
                .expect("a will fits");
        }
    }
}

/// The message as it is after it was written and read.
fn copy(message: &Message) -> Arc<Message> {
    Message::restored(&StoredMessage {
        number: message.number(),
        publisher: message.publisher(),
        topic: message.topic(),
        payload: message.payload(),
        payload_format: message.payload_format(),
        content_type: message.content_type(),
        response_topic: message.response_topic(),
        correlation_data: message.correlation_data(),
        user_properties: message.user_properties(),
        qos: message.qos(),
        retain: message.retain(),
        expires_at: message.expires_at(),
    })
    .expect("what was a message is one")
}

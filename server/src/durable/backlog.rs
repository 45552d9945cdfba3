//! Changes that are not stored yet, by what they are about: a later one replaces an earlier one, and what was
//! queued and settled meanwhile is never written.

mod taken;

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeBounds;
use std::sync::Arc;

use bytes::Bytes;

use cloudsignal_broker::Message;
use cloudsignal_broker::change::{Change, PublishNumbers};

use super::batch::Aside;
use super::known::{DeliveryName, Known, all_of};
use super::record::{DeliveryRecord, SessionRecord, SubscriptionRecord, WillRecord};
use crate::store::Shelf;

/// What an entry is charged beside its message, bytes.
const ENTRY_BYTES: usize = 128;

/// Changes of one organization that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    sessions: BTreeMap<u64, Option<SessionRecord>>,
    subscriptions: BTreeMap<(u64, Box<str>), Option<SubscriptionRecord>>,
    wills: BTreeMap<u64, Option<WillRecord>>,
    received: BTreeMap<(u64, u16), bool>,
    numbers: BTreeMap<u64, PublishNumbers>,
    deliveries: BTreeMap<DeliveryName, Waiting>,
    progress: BTreeMap<DeliveryName, Option<u16>>,
    retained: BTreeMap<Box<str>, Option<Arc<Message>>>,
    /// Keys that a sweep has found.
    swept: Vec<(Shelf, Bytes)>,
    /// Messages that these deliveries shared.
    unshared: Vec<u64>,
    /// Entries that cannot be used.
    aside: BTreeMap<(Shelf, Bytes), Aside>,
    /// Sessions that end with this, and of which more may be stored.
    ended: Vec<u64>,
    known: Known,
    bytes: usize,
    elided: u64,
    /// The message that was charged last: of its many deliveries only one is.
    charged: u64,
    /// Messages with more than one delivery, if some of them still wait.
    repeated: HashSet<u64>,
}

/// What becomes of the record of a delivery.
#[derive(Debug)]
enum Waiting {
    /// It is new: the store knows nothing of it.
    New(DeliveryRecord<Arc<Message>>, usize),
    /// It replaces what the store has. The message that it shared is not needed any more.
    Released(u16, Option<u64>),
    /// It goes, and does not need the message any more that it shared.
    Gone(Option<u64>),
}

impl Backlog {
    /// Over a store that holds what is `known`.
    pub(super) fn new(known: Known) -> Self {
        Self {
            known,
            ..Self::default()
        }
    }

    /// About how much memory waits, bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Deliveries that never had to be written, so far.
    pub(crate) const fn elided(&self) -> u64 {
        self.elided
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
            && self.subscriptions.is_empty()
            && self.wills.is_empty()
            && self.received.is_empty()
            && self.numbers.is_empty()
            && self.deliveries.is_empty()
            && self.progress.is_empty()
            && self.retained.is_empty()
            && self.swept.is_empty()
            && self.aside.is_empty()
    }

    /// Takes a change in.
    pub(crate) fn add(&mut self, change: Change) {
        match change {
            Change::Queued {
                session,
                order,
                message,
                terms,
                packet_id,
            } => {
                let bytes = ENTRY_BYTES + self.charge(&message);
                self.bytes += bytes;
                let record = DeliveryRecord::Queued {
                    message,
                    terms,
                    packet_id,
                };
                self.deliveries
                    .insert((session.serial, order), Waiting::New(record, bytes));
            }
            Change::Settled {
                session,
                order,
                shares,
            } => self.settle((session.serial, order), shares),
            Change::Sent {
                session,
                order,
                packet_id,
            } => self.sent((session.serial, order), packet_id),
            Change::Released {
                session,
                order,
                packet_id,
                shares,
            } => self.release((session.serial, order), packet_id, shares),
            Change::Received { session, packet_id } => {
                let key = (session.serial, packet_id);
                self.received.remove(&key);
                if !self.known.received.contains(&key) {
                    self.received.insert(key, true);
                    self.bytes += ENTRY_BYTES;
                }
            }
            Change::Completed { session, packet_id } => {
                let key = (session.serial, packet_id);
                self.received.remove(&key);
                if self.known.received.contains(&key) {
                    self.received.insert(key, false);
                    self.bytes += ENTRY_BYTES;
                }
            }
            Change::Retained { message } => {
                self.bytes += ENTRY_BYTES + self.charge(&message);
                self.retained
                    .insert(message.topic().as_str().into(), Some(message));
            }
            Change::RetainedCleared { topic } => {
                self.bytes += ENTRY_BYTES;
                self.retained.insert(topic, None);
            }
            of_session @ (Change::Session { .. }
            | Change::SessionEnded { .. }
            | Change::Will { .. }
            | Change::WillGone { .. }
            | Change::Subscribed { .. }
            | Change::Unsubscribed { .. }
            | Change::Numbered { .. }) => self.add_of_session(of_session),
        }
    }

    fn add_of_session(&mut self, change: Change) {
        self.bytes += ENTRY_BYTES;
        match change {
            Change::Session {
                session,
                identity,
                expiry_secs,
                ends_at,
            } => {
                let record = SessionRecord {
                    client_id: session.client_id,
                    identity,
                    expiry_secs,
                    ends_at,
                };
                self.sessions.insert(session.serial, Some(record));
            }
            Change::SessionEnded { session } => self.end(session.serial),
            Change::Will {
                session,
                message,
                expiry_secs,
                delay_secs,
                due_at,
            } => {
                self.bytes += self.charge(&message);
                let record = WillRecord {
                    message,
                    expiry_secs,
                    delay_secs,
                    due_at,
                };
                self.wills.insert(session.serial, Some(record));
            }
            Change::WillGone { session } => {
                self.wills.insert(session.serial, None);
            }
            Change::Subscribed {
                session,
                filter,
                options,
                subscription_id,
                owes_retained,
            } => {
                let record = SubscriptionRecord {
                    options,
                    subscription_id,
                    owes_retained,
                };
                self.subscriptions.insert((session.serial, filter), Some(record));
            }
            Change::Unsubscribed { session, filter } => {
                self.subscriptions.insert((session.serial, filter), None);
            }
            Change::Numbered { session, numbers } => {
                self.numbers.insert(session.serial, numbers);
            }
            Change::Queued { .. }
            | Change::Settled { .. }
            | Change::Sent { .. }
            | Change::Released { .. }
            | Change::Received { .. }
            | Change::Completed { .. }
            | Change::Retained { .. }
            | Change::RetainedCleared { .. } => {
                unreachable!("invariant: everything about deliveries and topics was taken in before")
            }
        }
    }

    /// What a message is charged: nothing if the one before was the same, as deliveries of one message are.
    fn charge(&mut self, message: &Message) -> usize {
        let is_same = std::mem::replace(&mut self.charged, message.number()) == message.number();
        if is_same {
            self.repeated.insert(message.number());
            return 0;
        }
        message.size()
    }

    fn settle(&mut self, delivery: DeliveryName, shares: Option<u64>) {
        self.progress.remove(&delivery);
        match self.deliveries.remove(&delivery) {
            Some(Waiting::New(_, bytes)) => {
                self.bytes = self.bytes.saturating_sub(bytes);
                self.elided += 1;
            }
            Some(Waiting::Released(_, shared) | Waiting::Gone(shared)) => {
                self.deliveries.insert(delivery, Waiting::Gone(shared.or(shares)));
            }
            None => {
                self.deliveries.insert(delivery, Waiting::Gone(shares));
                self.bytes += ENTRY_BYTES;
            }
        }
        if self.known.progressed.contains(&delivery) {
            self.progress.insert(delivery, None);
        }
    }

    fn sent(&mut self, delivery: DeliveryName, id: u16) {
        if let Some(Waiting::New(DeliveryRecord::Queued { packet_id, .. }, _)) =
            self.deliveries.get_mut(&delivery)
        {
            *packet_id = Some(id);
        } else {
            self.bytes += ENTRY_BYTES;
            self.progress.insert(delivery, Some(id));
        }
    }

    /// The message is needed no more, and how far the delivery is stands in its own record from now on.
    fn release(&mut self, delivery: DeliveryName, packet_id: u16, shares: Option<u64>) {
        self.progress.remove(&delivery);
        let released = match self.deliveries.remove(&delivery) {
            Some(Waiting::New(_, bytes)) => {
                self.bytes = self.bytes.saturating_sub(bytes) + ENTRY_BYTES;
                Waiting::New(DeliveryRecord::Released { packet_id }, ENTRY_BYTES)
            }
            Some(Waiting::Released(_, shared) | Waiting::Gone(shared)) => {
                Waiting::Released(packet_id, shared.or(shares))
            }
            None => {
                self.bytes += ENTRY_BYTES;
                Waiting::Released(packet_id, shares)
            }
        };
        self.deliveries.insert(delivery, released);
        if self.known.progressed.contains(&delivery) {
            self.progress.insert(delivery, None);
        }
    }

    /// What waits about a session goes, and so does what is stored about it: its deliveries later, by a sweep.
    fn end(&mut self, serial: u64) {
        self.wills.insert(serial, None);
        self.sessions.insert(serial, None);
        self.ended.push(serial);
        self.numbers.remove(&serial);
        remove_range(&mut self.received, (serial, 0)..=(serial, u16::MAX));
        remove_range(&mut self.progress, all_of(serial));
        for (_, waiting) in remove_range(&mut self.deliveries, all_of(serial)) {
            if let Waiting::New(_, bytes) = waiting {
                self.bytes = self.bytes.saturating_sub(bytes);
                self.elided += 1;
            }
        }
        let first = |serial: u64| (serial, Box::from(""));
        remove_range(&mut self.subscriptions, first(serial)..first(serial + 1));
    }

    /// A key of a session that has ended. It may be that of a delivery that shares a message.
    pub(super) fn sweep(&mut self, shelf: Shelf, key: Bytes, shares: Option<u64>) {
        self.swept.push((shelf, key));
        self.unshared.extend(shares);
        self.bytes += ENTRY_BYTES;
    }

    /// An entry that cannot be used.
    pub(super) fn set_aside(&mut self, entry: Aside) {
        self.bytes += ENTRY_BYTES + entry.value.len();
        self.aside.insert((entry.shelf, entry.key.clone()), entry);
    }
}

fn remove_range<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, range: impl RangeBounds<K>) -> Vec<(K, V)> {
    let keys: Vec<K> = map.range(range).map(|(key, _)| key.clone()).collect();
    let removed = keys.into_iter();
    removed
        .filter_map(|key| map.remove(&key).map(|value| (key, value)))
        .collect()
}

//! What one commit of an organization writes, and its bytes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use cloudsignal_broker::change::PublishNumbers;
use cloudsignal_broker::{Message, OrgId};

use super::block::{self, Deliveries, Mark};
use super::keys::{KeyBytes, Kind};
use super::known::DeliveryName;
use super::quarantine::set_aside;
use super::record::{DeliveryRecord, MessagePlace, SessionRecord, SubscriptionRecord, WillRecord, Writer};
use crate::clock::Clock;
use crate::store::{Shelf, ShelfWrites};

/// What one commit of an organization writes. `None` removes.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(super) sessions: BTreeMap<u64, Option<SessionRecord>>,
    pub(super) subscriptions: BTreeMap<(u64, Box<str>), Option<SubscriptionRecord>>,
    pub(super) wills: BTreeMap<u64, Option<WillRecord>>,
    pub(super) received: BTreeMap<(u64, u16), bool>,
    pub(super) numbers: BTreeMap<u64, PublishNumbers>,
    pub(super) deliveries: Vec<(DeliveryName, Option<DeliveryRecord<MessagePlace>>)>,
    /// Which of the deliveries are one entry each time.
    pub(super) blocks: Vec<Range<usize>>,
    /// What becomes of blocks that something leaves.
    pub(super) marks: BTreeMap<DeliveryName, Mark>,
    pub(super) progress: BTreeMap<DeliveryName, Option<u16>>,
    pub(super) messages: BTreeMap<u64, Option<Arc<Message>>>,
    pub(super) retained: BTreeMap<Box<str>, Option<Arc<Message>>>,
    /// Keys of sessions that have ended.
    pub(super) swept: Vec<(Shelf, Bytes)>,
    /// Entries that cannot be used.
    pub(super) aside: BTreeMap<(Shelf, Bytes), Aside>,
    /// Sessions of which everything else that is stored can go after this.
    pub(super) ended: Vec<u64>,
    /// About how much memory it is, bytes.
    pub(super) bytes: usize,
}

/// An entry that cannot be used, and why.
#[derive(Debug)]
pub(crate) struct Aside {
    pub(super) shelf: Shelf,
    pub(super) key: Bytes,
    pub(super) value: Bytes,
    pub(super) reason: String,
}

impl Batch {
    /// Nobody needs a shared message any more.
    pub(super) fn forget_message(&mut self, number: u64) {
        self.messages.insert(number, None);
    }

    /// Nobody needs what says of a block which of its deliveries are left.
    pub(super) fn forget_mark(&mut self, first: DeliveryName) {
        let key = Bytes::copy_from_slice(KeyBytes::default().left(first));
        self.swept.push((Shelf::Queue, key));
    }

    /// The bytes that are written.
    pub(crate) fn encode(&self, org: &OrgId, clock: &Clock) -> ShelfWrites {
        let writes = ShelfWrites::new(org);
        let (mut out, mut key) = (Encoder { writes, clock }, KeyBytes::default());
        for (serial, record) in &self.sessions {
            let key = key.of(Kind::Session, *serial);
            out.set(Shelf::Session, key, record.as_ref(), |writer, it| {
                writer.session(it);
            });
        }
        for ((serial, filter), record) in &self.subscriptions {
            let key = key.subscription(*serial, filter);
            out.set(Shelf::Session, key, *record, |writer, it| {
                writer.subscription(filter, it);
            });
        }
        for (serial, record) in &self.wills {
            let key = key.of(Kind::Will, *serial);
            out.set(Shelf::Session, key, record.as_ref(), |writer, it| writer.will(it));
        }
        for (name, is_there) in &self.received {
            let mark = is_there.then_some(());
            out.set(Shelf::Session, key.received(*name), mark, |writer, ()| {
                writer.mark();
            });
        }
        for (serial, numbers) in &self.numbers {
            let key = key.of(Kind::Numbers, *serial);
            out.set(Shelf::Session, key, Some(numbers), |writer, it| {
                writer.numbers(it);
            });
        }
        for (name, packet_id) in &self.progress {
            out.set(Shelf::Session, key.progress(*name), *packet_id, |writer, it| {
                writer.packet_id(it);
            });
        }
        for (number, message) in &self.messages {
            out.message(Shelf::Message, key.number(*number), message.as_deref());
        }
        out.queues(self);
        for (topic, message) in &self.retained {
            out.message(Shelf::Retained, key.retained(topic), message.as_deref());
        }
        for (shelf, key) in &self.swept {
            out.writes.delete(*shelf, key);
        }
        for aside in self.aside.values() {
            let place = (aside.shelf, &aside.key[..]);
            set_aside(&mut out.writes, clock, place, &aside.value, &aside.reason);
        }
        out.writes
    }
}

struct Encoder<'a> {
    writes: ShelfWrites,
    clock: &'a Clock,
}

impl Encoder<'_> {
    fn queues(&mut self, batch: &Batch) {
        let (clock, mut key, mut from) = (self.clock, KeyBytes::default(), 0);
        for block in &batch.blocks {
            self.deliveries(&batch.deliveries[from..block.start]);
            let deliveries = &batch.deliveries[block.clone()];
            let key = key.block(deliveries[0].0);
            let write = |bytes: &mut Vec<u8>| block::write(deliveries, bytes, clock);
            self.writes.put(Shelf::Queue, key, write);
            from = block.end;
        }
        self.deliveries(&batch.deliveries[from..]);
        for (first, mark) in &batch.marks {
            mark.write(&mut self.writes, *first, clock);
        }
    }

    /// Each with an entry of its own.
    fn deliveries(&mut self, deliveries: &Deliveries) {
        let mut key = KeyBytes::default();
        for (name, record) in deliveries {
            let key = key.delivery(*name);
            self.set(Shelf::Queue, key, record.as_ref(), |writer, it| {
                writer.delivery(it);
            });
        }
    }

    fn set<T>(&mut self, shelf: Shelf, key: &[u8], record: Option<T>, write: impl FnOnce(Writer<'_>, T)) {
        let clock = self.clock;
        match record {
            Some(record) => self
                .writes
                .put(shelf, key, |bytes| write(Writer { bytes, clock }, record)),
            None => self.writes.delete(shelf, key),
        }
    }

    fn message(&mut self, shelf: Shelf, key: &[u8], message: Option<&Message>) {
        self.set(shelf, key, message, |writer, message| writer.message(message));
    }
}

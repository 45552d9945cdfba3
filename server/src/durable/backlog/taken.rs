//! What of the changes becomes the next commit.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cloudsignal_broker::Message;
use cloudsignal_broker::change::{Keeping, Terms};

use super::super::batch::Batch;
use super::super::block;
use super::super::keys::{QueueKey, parse_queue};
use super::super::known::DeliveryName;
use super::super::record::{DeliveryRecord, MessagePlace};
use super::{Backlog, Waiting};
use crate::store::Shelf;

impl Backlog {
    /// Takes everything out, to be written as one.
    pub(crate) fn take(&mut self) -> Batch {
        let mut batch = Batch {
            sessions: std::mem::take(&mut self.sessions),
            subscriptions: std::mem::take(&mut self.subscriptions),
            wills: std::mem::take(&mut self.wills),
            received: std::mem::take(&mut self.received),
            numbers: std::mem::take(&mut self.numbers),
            progress: std::mem::take(&mut self.progress),
            retained: std::mem::take(&mut self.retained),
            swept: std::mem::take(&mut self.swept),
            aside: std::mem::take(&mut self.aside),
            ended: std::mem::take(&mut self.ended),
            ..Batch::default()
        };
        let left = self.take_deliveries(&mut batch);
        self.take_marks(left, &mut batch);
        let known = &mut self.known;
        for (key, is_there) in &batch.received {
            if *is_there {
                known.received.insert(*key);
            } else {
                known.received.remove(key);
            }
        }
        for (key, packet_id) in &batch.progress {
            match packet_id {
                Some(_) => known.progressed.insert(*key),
                None => known.progressed.remove(key),
            };
        }
        for number in std::mem::take(&mut self.unshared) {
            if let Some(number) = self.known.release(number) {
                batch.forget_message(number);
            }
        }
        for &serial in &batch.ended {
            self.known.forget(serial);
        }
        batch.bytes = std::mem::take(&mut self.bytes);
        self.charged = 0;
        batch
    }

    /// How many deliveries wait of each message that has more than one.
    fn count_repeated(&mut self) -> HashMap<u64, u32> {
        let repeated = std::mem::take(&mut self.repeated);
        let mut waiting = HashMap::new();
        if repeated.is_empty() {
            return waiting;
        }
        for delivery in self.deliveries.values() {
            if let Waiting::New(DeliveryRecord::Queued { message, terms, .. }, _) = delivery
                && terms.keeping == Keeping::Together
                && repeated.contains(&message.number())
            {
                *waiting.entry(message.number()).or_insert(0) += 1;
            }
        }
        waiting
    }

    /// Answers the blocks that something has left.
    fn take_deliveries(&mut self, batch: &mut Batch) -> BTreeSet<DeliveryName> {
        let mut left = BTreeSet::new();
        let waiting = self.count_repeated();
        batch.deliveries.reserve(self.deliveries.len());
        for (name, delivery) in std::mem::take(&mut self.deliveries) {
            if let Waiting::Released(_, Some(number)) | Waiting::Gone(Some(number)) = &delivery
                && let Some(number) = self.known.release(*number)
            {
                batch.forget_message(number);
            }
            let record = match delivery {
                Waiting::New(
                    DeliveryRecord::Queued {
                        message,
                        terms,
                        packet_id,
                    },
                    _,
                ) => Some(DeliveryRecord::Queued {
                    message: self.place(message, &terms, &waiting, batch),
                    terms,
                    packet_id,
                }),
                Waiting::New(DeliveryRecord::Released { packet_id }, _) => {
                    Some(DeliveryRecord::Released { packet_id })
                }
                Waiting::Released(packet_id, _) => {
                    left.extend(self.known.leave_block(name));
                    Some(DeliveryRecord::Released { packet_id })
                }
                Waiting::Gone(_) => match self.known.leave_block(name) {
                    Some(first) => {
                        left.insert(first);
                        continue;
                    }
                    None => None,
                },
            };
            batch.deliveries.push((name, record));
        }
        let mut from = 0;
        while let Some((deliveries, made)) = block::next_block(&batch.deliveries, from) {
            self.known.note_block(batch.deliveries[deliveries.start].0, made);
            from = deliveries.end;
            batch.blocks.push(deliveries);
        }
        left
    }

    /// Where the message of a new delivery will be.
    fn place(
        &mut self,
        message: Arc<Message>,
        terms: &Terms,
        waiting: &HashMap<u64, u32>,
        batch: &mut Batch,
    ) -> MessagePlace {
        let number = message.number();
        let is_stored = self.known.shared.contains_key(&number);
        let is_shared = is_stored || waiting.get(&number).is_some_and(|deliveries| *deliveries > 1);
        if !is_shared || terms.keeping == Keeping::Apart {
            return MessagePlace::Inline(message);
        }
        self.known.refer(number);
        if !is_stored {
            batch.messages.insert(number, Some(message));
        }
        MessagePlace::Shared(number)
    }

    /// What becomes of the blocks that something has left, and of those that cannot be used.
    fn take_marks(&mut self, mut left: BTreeSet<DeliveryName>, batch: &mut Batch) {
        let aside = batch.aside.keys().filter(|(shelf, _)| *shelf == Shelf::Queue);
        let aside: Vec<_> = aside.filter_map(|(_, key)| parse_queue(key)).collect();
        for key in aside {
            match key {
                QueueKey::Delivery(name) => left.extend(self.known.leave_block(name)),
                QueueKey::Block(first) if self.known.forget_block(first) => batch.forget_mark(first),
                QueueKey::Block(_) | QueueKey::Left(_) => {}
            }
        }
        for first in left {
            if let Some(mark) = self.known.mark_block(first) {
                batch.marks.insert(first, mark);
            }
        }
    }
}

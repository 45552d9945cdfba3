//! Queues that are not in memory are read when their time comes: a session asks, and gets what it has next.
//!
//! One question of an organization is at work at a time, so that a thousand clients that come back at once cost the
//! memory of one; a message that many of them have is read once.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use cloudsignal_broker::{Fetch, Fetched, Message, StoredDelivery, Unreadable};

use super::batch::Aside;
use super::block::{self, BLOCK_ORDERS_MAX};
use super::committer::Committer;
use super::keys::{KeyBytes, QueueKey, parse_number, parse_queue};
use super::known::DeliveryName;
use super::record::{Damage, DeliveryRecord, MessagePlace, Reader};
use crate::orgs::cell::OrgCell;
use crate::store::{Shelf, ShelfPage, StoreError};

/// Entries that are read at first; each may be a block of many deliveries, and mostly few are needed.
const PAGE_ENTRIES_MIN: usize = 8;
/// Entries that are read at once when the first ones were not enough.
const PAGE_ENTRIES_MAX: usize = 256;
/// Bytes of messages that are kept for the next session that asks.
const RECENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Questions that wait for their answer: at most one of each session, but for those that have ended.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    waiting: Mutex<VecDeque<Fetch>>,
    wake: Notify,
}

impl Fetches {
    /// Puts questions in line. Leaves `fetches` empty.
    pub(crate) fn ask(&self, fetches: &mut Vec<Fetch>) {
        if !fetches.is_empty() {
            self.waiting.lock().extend(fetches.drain(..));
            self.wake.notify_one();
        }
    }

    fn next(&self) -> Option<Fetch> {
        let mut waiting = self.waiting.lock();
        let next = waiting.pop_front();
        if waiting.is_empty() {
            *waiting = VecDeque::new();
        }
        next
    }
}

/// Answers questions for as long as the organization is there.
pub(super) async fn run(committer: Arc<Committer>, cell: Weak<OrgCell>) {
    let mut reader = QueueReader {
        recent: Recent::default(),
        aside: Vec::new(),
        is_failing: false,
        committer,
    };
    loop {
        let Some(fetch) = reader.committer.fetches.next() else {
            reader.recent = Recent::default();
            reader.committer.fetches.wake.notified().await;
            continue;
        };
        let answer = reader.read(&fetch).await;
        let answer = reader.tell_failure(answer);
        let Some(cell) = cell.upgrade() else { return };
        cell.fetched(&fetch, answer, std::mem::take(&mut reader.aside));
    }
}

struct QueueReader {
    committer: Arc<Committer>,
    recent: Recent,
    /// Entries that cannot be used.
    aside: Vec<Aside>,
    /// Whether the last answer was that the store cannot be read.
    is_failing: bool,
}

/// Why a delivery cannot be used.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("its key is damaged")]
    Key,
    #[error("{0}")]
    Record(#[from] Damage),
    #[error("its message is missing, or damaged")]
    NoMessage,
}

impl QueueReader {
    async fn read(&mut self, fetch: &Fetch) -> Result<Fetched, StoreError> {
        let Found {
            records, looked_at, ..
        } = self.find(fetch).await?;
        let through = looked_at.min(fetch.through);
        let shared = records.iter().filter_map(|(_, record, ..)| match record {
            DeliveryRecord::Queued {
                message: MessagePlace::Shared(number),
                ..
            } => Some(*number),
            DeliveryRecord::Queued { .. } | DeliveryRecord::Released { .. } => None,
        });
        let shared: Vec<u64> = shared.collect();
        self.read_messages(shared).await?;
        Ok(self.collect(fetch, through, records))
    }

    /// What is stored behind `fetch.after`, from a little in front of it: a block with the next delivery may begin
    /// there. Page by page, until it is enough.
    async fn find(&mut self, fetch: &Fetch) -> Result<Found, StoreError> {
        let serial = fetch.session.serial;
        let (mut prefix, mut after) = (KeyBytes::default(), KeyBytes::default());
        let prefix = prefix.number(serial);
        let from = fetch.after.saturating_sub(BLOCK_ORDERS_MAX - 1);
        let mut after = Bytes::copy_from_slice(after.delivery((serial, from)));
        let (mut found, mut entries_max) = (Found::new(fetch), PAGE_ENTRIES_MIN);
        loop {
            let (store, org) = (self.committer.store(), self.committer.org());
            let page = store.shelf(Shelf::Queue, org, prefix, Some(&after), entries_max);
            let page = page.await?;
            let is_last = page.next.is_none();
            if let Some(seen) = self.records(fetch, page, &mut found) {
                after = seen;
            }
            if found.is_enough(fetch) {
                return Ok(found);
            }
            if is_last {
                found.looked_at = u64::MAX;
                return Ok(found);
            }
            entries_max = (2 * entries_max).min(PAGE_ENTRIES_MAX);
        }
    }

    /// Takes deliveries from a page, as long as more are needed. Answers the last key that nothing more is needed of.
    fn records(&mut self, fetch: &Fetch, page: ShelfPage, found: &mut Found) -> Option<Bytes> {
        let is_last = page.next.is_none();
        let mut seen = None;
        let mut entries = page.entries.into_iter().peekable();
        while !found.is_enough(fetch)
            && let Some((key, value)) = entries.next()
        {
            let seen_key = key.clone();
            let block = match parse_queue(&key) {
                Some(QueueKey::Delivery((_, order))) => {
                    found.looked_at = found.looked_at.max(order);
                    if order > fetch.after {
                        self.record(order, key, value, found);
                    }
                    None
                }
                Some(QueueKey::Block(first)) => Some((first, key, value)),
                // Of a block in front of the page, or of none.
                Some(QueueKey::Left(_)) => None,
                None => {
                    self.set_aside(key, value, &Fault::Key);
                    None
                }
            };
            let Some((first, key, value)) = block else {
                seen = Some(seen_key);
                continue;
            };
            let is_behind = |(key, _): &(Bytes, Bytes)| parse_queue(key) == Some(QueueKey::Left(first));
            let left = entries.next_if(is_behind);
            if left.is_none() && entries.peek().is_none() && !is_last {
                // What is left of it is on the next page.
                break;
            }
            let (left_key, left) = left.unzip();
            let last = self.block(fetch, first, (key, value), left.as_deref(), found);
            found.looked_at = found.looked_at.max(last);
            seen = Some(left_key.unwrap_or(seen_key));
        }
        seen
    }

    fn record(&mut self, order: u64, key: Bytes, value: Bytes, found: &mut Found) {
        match Reader::new(&value, self.committer.clock()).and_then(Reader::delivery) {
            Ok(record) => found.put((order, record, key, value)),
            Err(damage) => self.set_aside(key, value, &damage.into()),
        }
    }

    /// The deliveries of a block that were asked for and are left. Answers the last order of the block.
    fn block(
        &mut self,
        fetch: &Fetch,
        first: DeliveryName,
        (key, value): (Bytes, Bytes),
        left: Option<&[u8]>,
        found: &mut Found,
    ) -> u64 {
        let clock = self.committer.clock();
        let left = left.map_or(Ok(u64::MAX), |left| Reader::new(left, clock)?.left());
        let read = block::read(first, &value).and_then(|block| Ok((block.records, left?)));
        let (of_block, left) = match read {
            Ok(read) => read,
            Err(damage) => {
                self.set_aside(key, value, &damage.into());
                return first.1;
            }
        };
        let last = of_block.last().map_or(first.1, |(order, _)| *order);
        let mut key = KeyBytes::default();
        for (order, value) in of_block {
            if order > fetch.after && left >> (order - first.1) & 1 == 1 {
                let key = Bytes::copy_from_slice(key.delivery((first.0, order)));
                self.record(order, key, value, found);
            }
        }
        last
    }

    /// Makes sure that these messages are at hand, as far as they can be read. Those of neighbours are often
    /// neighbours themselves.
    async fn read_messages(&mut self, mut numbers: Vec<u64>) -> Result<(), StoreError> {
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| !self.recent.messages.contains_key(number));
        self.recent.make_room();
        let mut numbers = VecDeque::from(numbers);
        while let Some(first) = numbers.front().copied() {
            let mut before = KeyBytes::default();
            let before = before.number(first.saturating_sub(1));
            let (store, org) = (self.committer.store(), self.committer.org());
            let page = store.shelf(Shelf::Message, org, &[], Some(before), numbers.len());
            let ShelfPage { entries, next } = page.await?;
            for (key, value) in &entries {
                if let Some(number) = parse_number(key).filter(|number| numbers.contains(number))
                    && let Ok(message) = self.decode_message(value)
                {
                    self.recent.put(number, message);
                }
            }
            // The last page has looked at everything there is.
            let through = next.as_deref().and_then(parse_number);
            numbers.retain(|&number| through.is_some_and(|through| number > through.max(first)));
        }
        Ok(())
    }

    fn decode_message(&self, value: &[u8]) -> Result<Arc<Message>, Damage> {
        Reader::new(value, self.committer.clock())?.message()
    }

    fn collect(&mut self, fetch: &Fetch, through: u64, records: Vec<Record>) -> Fetched {
        let mut fetched = Fetched {
            deliveries: Vec::with_capacity(records.len()),
            through,
        };
        let mut bytes = 0;
        for (order, record, key, value) in records {
            if order > fetch.through {
                break;
            }
            if bytes >= fetch.bytes_max || fetched.deliveries.len() >= fetch.messages_max {
                fetched.through = order - 1;
                break;
            }
            let DeliveryRecord::Queued { message, terms, .. } = record else {
                continue;
            };
            let message = match message {
                MessagePlace::Inline(message) => Some(message),
                MessagePlace::Shared(number) => self.recent.messages.get(&number).cloned(),
            };
            match message {
                Some(message) => {
                    bytes += message.size();
                    fetched.deliveries.push(StoredDelivery {
                        order,
                        message,
                        terms,
                    });
                }
                None => self.set_aside(key, value, &Fault::NoMessage),
            }
        }
        fetched
    }

    fn set_aside(&mut self, key: Bytes, value: Bytes, fault: &Fault) {
        let (org, shelf) = (self.committer.org(), Shelf::Queue);
        self.committer.store().meters().quarantined.inc();
        tracing::error!(
            %org,
            shelf = shelf.name(),
            key = %key.escape_ascii(),
            reason = %fault,
            "a stored entry cannot be used and is put aside"
        );
        self.aside.push(Aside {
            shelf,
            key,
            value,
            reason: fault.to_string(),
        });
    }

    /// A store that cannot be read is told of once, and that it can be again.
    fn tell_failure(&mut self, answer: Result<Fetched, StoreError>) -> Result<Fetched, Unreadable> {
        let org = self.committer.org();
        match (&answer, std::mem::replace(&mut self.is_failing, answer.is_err())) {
            (Err(error), false) => tracing::error!(%org, %error, "a queue cannot be read; it is tried again"),
            (Ok(_), true) => tracing::info!(%org, "queues can be read again"),
            (Err(_), true) | (Ok(_), false) => {}
        }
        answer.map_err(|_told| Unreadable)
    }
}

/// Its order, itself, its key and its value.
type Record = (u64, DeliveryRecord<MessagePlace>, Bytes, Bytes);

/// What a question has found so far.
struct Found {
    records: Vec<Record>,
    /// Bytes of their values.
    bytes: usize,
    /// Nothing else is stored up to this order.
    looked_at: u64,
}

impl Found {
    const fn new(fetch: &Fetch) -> Self {
        Self {
            records: Vec::new(),
            bytes: 0,
            looked_at: fetch.after,
        }
    }

    fn put(&mut self, record: Record) {
        self.bytes += record.3.len();
        self.records.push(record);
    }

    const fn is_enough(&self, fetch: &Fetch) -> bool {
        self.records.len() >= fetch.messages_max
            || self.bytes >= fetch.bytes_max
            || self.looked_at >= fetch.through
    }
}

/// Messages that were read lately.
#[derive(Debug, Default)]
struct Recent {
    messages: HashMap<u64, Arc<Message>>,
    /// Oldest first.
    numbers: VecDeque<u64>,
    bytes: usize,
}

impl Recent {
    fn put(&mut self, number: u64, message: Arc<Message>) {
        self.bytes += message.size();
        if self.messages.insert(number, message).is_none() {
            self.numbers.push_back(number);
        }
    }

    fn make_room(&mut self) {
        while self.bytes > RECENT_BYTES_MAX {
            let Some(number) = self.numbers.pop_front() else {
                return;
            };
            if let Some(message) = self.messages.remove(&number) {
                self.bytes -= message.size();
            }
        }
    }
}

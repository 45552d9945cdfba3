//! From the store to an organization, at the start. Page by page: beside the organization itself, a few numbers are
//! held of each message that several deliveries share.

mod blocks;
mod deliveries;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use cloudsignal_broker::{Message, Org, OrgId, Restoring, StoredFacts, Unfit};
use cloudsignal_core::Instant;

use super::Durability;
use super::keys::{KeyBytes, Kind, QueueKey, parse_number, parse_queue, parse_session};
use super::known::{DeliveryName, Known};
use super::quarantine::set_aside;
use super::record::{Damage, Reader};
use crate::clock::Clock;
use crate::store::{Commit, CommitError, Shelf, ShelfWrites, StoreError, StoreExt as _};

use blocks::OpenBlock;
use deliveries::{Undecided, facts_of};

/// Entries of one page.
const PAGE_ENTRIES_MAX: usize = 4_096;
/// Removals, and entries put aside, in one commit.
const MENDS_MAX: usize = 4_096;
/// How often a long start says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// Damaged entries of an organization that are logged one by one.
const DAMAGE_LINES_MAX: u64 = 10;

/// What was read back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) sessions: u64,
    pub(crate) subscriptions: u64,
    pub(crate) deliveries: u64,
    pub(crate) retained: u64,
    /// Left by sessions that had ended, and removed now.
    pub(crate) orphans: u64,
    /// Not understood, and put aside.
    pub(crate) quarantined: u64,
}

impl Totals {
    /// Whether nothing was stored.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) const fn add(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.subscriptions += other.subscriptions;
        self.deliveries += other.deliveries;
        self.retained += other.retained;
        self.orphans += other.orphans;
        self.quarantined += other.quarantined;
    }
}

/// An organization as it was stored.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) org: Org,
    pub(super) known: Known,
    pub(crate) totals: Totals,
}

/// Why an organization could not be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] CommitError),
}

/// What keeps an entry from being used.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("its key is damaged")]
    Key,
    #[error("{0}")]
    Record(#[from] Damage),
    #[error("{0}")]
    Unfit(#[from] Unfit),
    #[error("its message is missing")]
    NoMessage,
    #[error("the deliveries that need it were put aside")]
    NoDelivery,
}

/// Reads an organization back into `fresh`, which must be a new one.
///
/// # Errors
/// What the store answers.
pub(crate) async fn restore(durability: &Durability, fresh: Org) -> Result<Restored, RestoreError> {
    let id = fresh.id().clone();
    let clock = &durability.clock;
    let shared_messages_max = fresh.limits().queue_shared_messages_max;
    let mut reading = Reading {
        durability,
        restoring: Restoring::new(fresh),
        known: Known::default(),
        totals: Totals::default(),
        sessions: HashSet::new(),
        messages: HashMap::new(),
        undecided: Undecided::default(),
        block: None,
        blocks_left: BTreeSet::new(),
        last_message: None,
        shared_messages_max,
        progress: BTreeMap::new(),
        mends: ShelfWrites::new(&id),
        say_at: clock.now().after(PROGRESS_EVERY),
        damaged: HashSet::new(),
        id,
    };
    // Messages come before the deliveries that share them, sessions before everything of theirs.
    for shelf in [Shelf::Message, Shelf::Session, Shelf::Queue, Shelf::Retained] {
        reading.read(shelf).await?;
    }
    reading.remove_leftovers().await?;
    let Reading {
        restoring,
        known,
        totals,
        ..
    } = reading;
    Ok(Restored {
        org: restoring.finish(clock.now()),
        known,
        totals,
    })
}

/// A message that deliveries share.
struct Shared {
    facts: StoredFacts,
    /// How many do.
    deliveries: u32,
}

struct Reading<'a> {
    durability: &'a Durability,
    id: OrgId,
    restoring: Restoring,
    known: Known,
    totals: Totals,
    /// Sessions that are there.
    sessions: HashSet<u64>,
    /// Messages that deliveries share.
    messages: HashMap<u64, Shared>,
    undecided: Undecided,
    /// The block that was read last, as far as its deliveries were not.
    block: Option<OpenBlock>,
    /// Blocks that something leaves.
    blocks_left: BTreeSet<DeliveryName>,
    /// The one of them that was read last.
    last_message: Option<Arc<Message>>,
    /// Deliveries of a session that came through a shared group and stay in memory.
    shared_messages_max: usize,
    /// Packet ids of deliveries that are being sent.
    progress: BTreeMap<DeliveryName, u16>,
    /// Removals, and entries put aside, that are not written yet.
    mends: ShelfWrites,
    say_at: Instant,
    /// Sessions whose own entry was put aside: what belongs to them is put aside too, and not removed.
    damaged: HashSet<u64>,
}

impl Reading<'_> {
    async fn read(&mut self, shelf: Shelf) -> Result<(), RestoreError> {
        let mut after: Option<Bytes> = None;
        loop {
            let store = &self.durability.store;
            let page = store.shelf(shelf, &self.id, &[], after.as_deref(), PAGE_ENTRIES_MAX);
            let page = page.await?;
            for (key, value) in &page.entries {
                let outcome = match shelf {
                    Shelf::Message => self.message(key, value),
                    Shelf::Session => self.of_session(key, value),
                    Shelf::Queue => self.queued_entry(key, value).await?,
                    Shelf::Retained => self.retained(key, value),
                    Shelf::Quarantine => Ok(()),
                };
                match outcome {
                    Ok(()) => {}
                    Err(Fault::Unfit(Unfit::NoSession)) if !self.is_of_damaged(shelf, key) => {
                        self.remove(shelf, key);
                    }
                    Err(fault) => self.set_aside(shelf, key, value, &fault),
                }
                if self.mends.len() >= MENDS_MAX {
                    self.mend().await?;
                }
            }
            self.say_progress();
            after = page.next;
            if after.is_none() {
                self.block_before(None).await?;
                return self.none_has_begun(0).await;
            }
        }
    }

    const fn clock(&self) -> &Clock {
        &self.durability.clock
    }

    fn message(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let number = parse_number(key).ok_or(Fault::Key)?;
        let message = Reader::new(value, self.clock())?.message()?;
        let facts = facts_of(&message);
        self.messages.insert(number, Shared { facts, deliveries: 0 });
        Ok(())
    }

    fn of_session(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let (serial, kind, name) = parse_session(key).ok_or(Fault::Key)?;
        let reader = Reader::new(value, &self.durability.clock)?;
        match kind {
            Kind::Session => {
                let it = reader.session(&self.id)?;
                self.restoring
                    .session(serial, &it.client_id, it.identity, it.expiry_secs, it.ends_at)?;
                self.sessions.insert(serial);
                self.totals.sessions += 1;
            }
            Kind::Subscription => {
                let (filter, it) = reader.subscription()?;
                let (options, id) = (it.options, it.subscription_id);
                self.restoring
                    .subscription(serial, filter, options, id, it.owes_retained)?;
                self.totals.subscriptions += 1;
            }
            Kind::Progress => {
                let order = parse_number(name).ok_or(Fault::Key)?;
                if !self.sessions.contains(&serial) {
                    return Err(Unfit::NoSession.into());
                }
                self.progress.insert((serial, order), reader.packet_id()?);
            }
            Kind::Received => {
                let packet_id = u16::from_be_bytes(name.try_into().map_err(|_| Fault::Key)?);
                self.restoring.received(serial, packet_id)?;
                self.known.note_received((serial, packet_id));
            }
            Kind::Numbers => self.restoring.numbered(serial, reader.numbers()?)?,
            Kind::Will => {
                let it = reader.will()?;
                self.restoring
                    .will(serial, it.message, it.expiry_secs, it.delay_secs, it.due_at)?;
            }
        }
        Ok(())
    }

    fn retained(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let message = Reader::new(value, self.clock())?.message()?;
        if KeyBytes::default().retained(message.topic().as_str()) != key {
            return Err(Fault::Key);
        }
        self.restoring.retained(message)?;
        self.totals.retained += 1;
        Ok(())
    }

    /// Whether an entry belongs to a session whose own entry was put aside.
    fn is_of_damaged(&self, shelf: Shelf, key: &[u8]) -> bool {
        let serial = key.first_chunk().map(|serial| u64::from_be_bytes(*serial));
        let is_damaged = serial.is_some_and(|serial| self.damaged.contains(&serial));
        is_damaged && matches!(shelf, Shelf::Session | Shelf::Queue)
    }

    fn remove(&mut self, shelf: Shelf, key: &[u8]) {
        self.totals.orphans += 1;
        self.mends.delete(shelf, key);
    }

    fn set_aside(&mut self, shelf: Shelf, key: &[u8], value: &[u8], reason: &dyn Display) {
        if let (Shelf::Session, Some((serial, Kind::Session, _))) = (shelf, parse_session(key)) {
            self.damaged.insert(serial);
        }
        self.totals.quarantined += 1;
        self.durability.store.meters().quarantined.inc();
        if self.totals.quarantined <= DAMAGE_LINES_MAX {
            tracing::error!(
                org = %self.id,
                shelf = shelf.name(),
                key = %key.escape_ascii(),
                %reason,
                "a stored entry cannot be used and is put aside"
            );
        }
        let clock = &self.durability.clock;
        set_aside(&mut self.mends, clock, (shelf, key), value, reason);
        if let (Shelf::Queue, Some(QueueKey::Delivery(name))) = (shelf, parse_queue(key)) {
            self.blocks_left.extend(self.known.leave_block(name));
        }
    }

    /// What nothing leads to any more.
    async fn remove_leftovers(&mut self) -> Result<(), RestoreError> {
        let mut key = KeyBytes::default();
        for name in std::mem::take(&mut self.progress).into_keys() {
            self.remove(Shelf::Session, key.progress(name));
        }
        let mut unused: Vec<u64> = Vec::new();
        for (number, shared) in &self.messages {
            if shared.deliveries == 0 {
                unused.push(*number);
            }
        }
        for number in unused {
            if self.damaged.is_empty() {
                self.remove(Shelf::Message, key.number(number));
            } else {
                self.set_message_aside(key.number(number)).await?;
            }
            if self.mends.len() >= MENDS_MAX {
                self.mend().await?;
            }
        }
        self.mend().await
    }

    /// A message of which the deliveries may have been put aside: without it they would be worth nothing.
    async fn set_message_aside(&mut self, key: &[u8]) -> Result<(), RestoreError> {
        let store = &self.durability.store;
        let page = store.shelf(Shelf::Message, &self.id, key, None, 1).await?;
        for (key, value) in &page.entries {
            self.set_aside(Shelf::Message, key, value, &Fault::NoDelivery);
        }
        Ok(())
    }

    /// Writes removals and what was put aside. What is removed must be gone before its name is used again.
    async fn mend(&mut self) -> Result<(), RestoreError> {
        let mut mends = std::mem::replace(&mut self.mends, ShelfWrites::new(&self.id));
        for first in std::mem::take(&mut self.blocks_left) {
            if let Some(mark) = self.known.mark_block(first) {
                mark.write(&mut mends, first, &self.durability.clock);
            }
        }
        if !mends.is_empty() {
            let commit = Commit::new().shelve(Arc::new(mends));
            self.durability.store.write(commit).await?;
        }
        Ok(())
    }

    fn say_progress(&mut self) {
        let now = self.clock().now();
        if now >= self.say_at {
            self.say_at = now.after(PROGRESS_EVERY);
            let Totals {
                sessions,
                deliveries,
                retained,
                ..
            } = self.totals;
            tracing::info!(org = %self.id, sessions, deliveries, retained, "reading back");
        }
    }
}

//! A store inside this process: an [`Engine`] that holds sorted bytes, and the one thread that writes to it.

mod commit_thread;
mod mending;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{broadcast, watch};

use cloudsignal_broker::OrgId;

use super::format::{self, FormatError, STORE_VERSION, Stored};
use super::reading::{PAGE_BYTES_MAX, WATCH_EVENTS_MAX};
use super::shelf::prefix_of;
use super::view::{Space, View, Visit};
use super::{
    Commit, CommitError, Done, Entry, Event, Key, LogRecord, Meters, Page, Prefix, Reading, Seq, Shelf,
    ShelfPage, ShelfWrites, Store, StoreError, Survives, Table, Watch,
};
use crate::clock::Clock;
use commit_thread::CommitThread;

/// Commits that may wait for the commit thread. One more is refused as busy.
pub(super) const QUEUE_COMMITS_MAX: usize = 16_384;
/// Bytes of commits that may wait. A commit that finds this much waiting is refused as busy.
pub(super) const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a group writes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// What becomes of each key: its bytes, or nothing. The last write of a key counts.
    pub(super) pairs: Pairs,
    /// At most one of each organization, so that no key is written twice.
    pub(super) shelves: Vec<Arc<ShelfWrites>>,
    /// What it has to survive.
    pub(super) survives: Survives,
}

pub(super) type Pairs = BTreeMap<(Space, Vec<u8>), Option<Vec<u8>>>;

impl Batch {
    fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.shelves.is_empty()
    }

    /// Every write: where, which key, and its value unless it is removed.
    pub(super) fn writes(&self) -> impl Iterator<Item = (Space, &[u8], Option<&[u8]>)> {
        let pairs = self.pairs.iter();
        let pairs = pairs.map(|((space, key), value)| (*space, key.as_slice(), value.as_deref()));
        let shelves = self.shelves.iter().flat_map(|writes| writes.iter());
        pairs.chain(shelves.map(|write| (Space::Shelf(write.shelf), write.key, write.value)))
    }

    fn records(&self) -> usize {
        self.pairs.len() + self.shelves.iter().map(|writes| writes.len()).sum::<usize>()
    }

    fn bytes(&self) -> usize {
        let pairs = self.pairs.iter();
        let pairs = pairs.map(|((_, key), value)| key.len() + value.as_ref().map_or(0, Vec::len));
        pairs.sum::<usize>() + self.shelves.iter().map(|writes| writes.bytes()).sum::<usize>()
    }
}

/// Sorted bytes with atomic batches.
pub(super) trait Engine: fmt::Debug + Send + Sync + 'static {
    /// Whether reading may wait for a disk.
    const READS_DISK: bool;

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, String>;

    /// Visits pairs in key order, from the first key that begins with `prefix` and is greater than `after`.
    fn scan(&self, space: Space, prefix: &[u8], after: Option<&[u8]>, visit: Visit<'_>)
    -> Result<(), String>;

    /// Writes everything or nothing; it survives what the batch asks for when this returns.
    ///
    /// After an error it is not known whether the batch is there, and the engine is reopened before the next one.
    fn apply(&self, batch: &Batch) -> Result<(), String>;

    /// Closes and opens again, so that what can be read is what is on stable storage.
    fn reopen(&self) -> Result<(), String>;

    /// How often sorted files were merged since it was opened.
    fn compactions(&self) -> u64 {
        0
    }

    /// Counts files that were damaged.
    fn damaged_files(&self) -> Counter {
        Counter::default()
    }

    /// Everything as it is now, for as long as the view lives. An engine that is never copied has none.
    fn view(&self) -> Result<Arc<dyn View>, String> {
        Err("this store cannot be copied".into())
    }
}

const META_FORMAT: &[u8] = b"format";
pub(super) const META_SEQ: &[u8] = b"seq";

/// A commit in line.
struct Waiting {
    commit: Commit,
    bytes: usize,
    done: Done,
}

/// The store over one engine. Dropping it writes what waits, then closes.
pub(super) struct Embedded<E: Engine> {
    engine: Arc<E>,
    clock: Clock,
    queue: Option<SyncSender<Waiting>>,
    queued_bytes: Arc<AtomicUsize>,
    events: broadcast::Sender<Event>,
    committed: watch::Receiver<Seq>,
    meters: Meters,
    thread: Option<JoinHandle<()>>,
}

impl<E: Engine> Embedded<E> {
    pub(super) fn open(engine: E, clock: Clock) -> Result<Self, StoreError> {
        let last = read_meta(&engine)?;
        let meters = Meters {
            damaged_files: engine.damaged_files(),
            ..Meters::default()
        };
        let engine = Arc::new(engine);
        let (queue, waiting) = sync_channel(QUEUE_COMMITS_MAX);
        let (committed_sender, committed) = watch::channel(last);
        let (events, _) = broadcast::channel(WATCH_EVENTS_MAX);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let thread = CommitThread::new(
            Arc::clone(&engine),
            clock.clone(),
            waiting,
            Arc::clone(&queued_bytes),
            events.clone(),
            committed_sender,
            meters.clone(),
        );
        let thread = std::thread::Builder::new()
            .name("commit".into())
            .spawn(move || thread.run())
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self {
            engine,
            clock,
            queue: Some(queue),
            queued_bytes,
            events,
            committed,
            meters,
            thread: Some(thread),
        })
    }

    fn read_with<T, F>(&self, read: F) -> Reading<T>
    where
        T: Send + 'static,
        F: FnOnce(&E) -> Result<T, StoreError> + Send + 'static,
    {
        let engine = Arc::clone(&self.engine);
        if !E::READS_DISK {
            return Box::pin(async move { read(&engine) });
        }
        Box::pin(async move {
            let reading = tokio::task::spawn_blocking(move || read(&engine));
            reading.await.map_err(|_stopped| StoreError::Stopped)?
        })
    }

    fn enqueue(&self, waiting: Waiting) -> Result<(), (Done, CommitError)> {
        let Some(queue) = &self.queue else {
            return Err((waiting.done, CommitError::Stopped));
        };
        let bytes = waiting.bytes;
        // A large commit may go alone, whatever its size; it may not join a full queue.
        if self.queued_bytes.fetch_add(bytes, Ordering::Relaxed) > QUEUE_BYTES_MAX {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err((waiting.done, CommitError::Busy));
        }
        queue.try_send(waiting).map_err(|error| {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            match error {
                TrySendError::Full(waiting) => (waiting.done, CommitError::Busy),
                TrySendError::Disconnected(waiting) => (waiting.done, CommitError::Stopped),
            }
        })
    }
}

impl<E: Engine> Store for Embedded<E> {
    fn commit(&self, commit: Commit, done: Done) {
        if let Err(error) = commit.check_size() {
            return done(Err(error));
        }
        let bytes = commit.bytes();
        if let Err((done, error)) = self.enqueue(Waiting { commit, bytes, done }) {
            done(Err(error));
        }
    }

    fn get(&self, table: Table, key: &Key) -> Reading<Option<Entry>> {
        let (key, now) = (key.clone(), self.clock.wall());
        self.read_with(move |engine| {
            let stored = load(engine, table, &key)?.filter(|stored| !stored.has_expired(now));
            Ok(stored.map(|stored| entry(key, stored)))
        })
    }

    fn scan(&self, table: Table, prefix: &Prefix, after: Option<&Key>, entries_max: usize) -> Reading<Page> {
        let (prefix, after, now) = (prefix.clone(), after.cloned(), self.clock.wall());
        self.read_with(move |engine| {
            let mut page = Page {
                entries: Vec::new(),
                next: None,
            };
            let (mut bytes, mut fault) = (0, None);
            let after = after.as_ref().map(Key::as_bytes);
            let visited = engine.scan(
                Space::Table(table),
                prefix.as_bytes(),
                after,
                &mut |key, value| {
                    if page.entries.len() == entries_max || bytes >= PAGE_BYTES_MAX {
                        page.next = page.entries.last().map(|entry: &Entry| entry.key.clone());
                        return ControlFlow::Break(());
                    }
                    let key = Key::from_stored(Bytes::copy_from_slice(key));
                    match Stored::decode(value) {
                        Ok(stored) if stored.has_expired(now) => {}
                        Ok(stored) => {
                            bytes += stored.value.len();
                            page.entries.push(entry(key, stored));
                        }
                        Err(error) => {
                            fault = Some(bad_format(table, &key, error));
                            return ControlFlow::Break(());
                        }
                    }
                    ControlFlow::Continue(())
                },
            );
            visited.map_err(StoreError::Failed)?;
            fault.map_or(Ok(page), Err)
        })
    }

    fn read(&self, org: &OrgId, from: Seq, records_max: usize) -> Reading<Vec<LogRecord>> {
        let (prefix, org) = (format::log_prefix(org), org.clone());
        let after = from
            .0
            .checked_sub(1)
            .map(|before| format::log_key(&org, Seq(before)));
        self.read_with(move |engine| {
            let (mut records, mut bytes, mut fault) = (Vec::new(), 0, None);
            let visited = engine.scan(Space::Log, &prefix, after.as_deref(), &mut |key, value| {
                if records.len() == records_max || bytes >= PAGE_BYTES_MAX {
                    return ControlFlow::Break(());
                }
                bytes += value.len();
                match format::decode_record(key, value) {
                    Ok(record) => records.push(record),
                    Err(error) => {
                        fault = Some(StoreError::Format {
                            place: format!("log of {org}"),
                            error,
                        });
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            });
            visited.map_err(StoreError::Failed)?;
            fault.map_or(Ok(records), Err)
        })
    }

    fn shelf(
        &self,
        shelf: Shelf,
        org: &OrgId,
        prefix: &[u8],
        after: Option<&[u8]>,
        entries_max: usize,
    ) -> Reading<ShelfPage> {
        let org = prefix_of(org);
        let of_org = |key: &[u8]| [&org, key].concat();
        let (prefix, after, org_bytes) = (of_org(prefix), after.map(of_org), org.len());
        self.read_with(move |engine| {
            let (mut page, mut bytes) = (ShelfPage::default(), 0);
            let visited = engine.scan(
                Space::Shelf(shelf),
                &prefix,
                after.as_deref(),
                &mut |key, value| {
                    if page.entries.len() == entries_max || bytes >= PAGE_BYTES_MAX {
                        page.next = page.entries.last().map(|(key, _)| key.clone());
                        return ControlFlow::Break(());
                    }
                    bytes += key.len() + value.len();
                    let key = key.get(org_bytes..).unwrap_or_default();
                    page.entries.push((Bytes::copy_from_slice(key), value.clone()));
                    ControlFlow::Continue(())
                },
            );
            visited.map_err(StoreError::Failed)?;
            Ok(page)
        })
    }

    fn watch(&self, table: Table, prefix: Prefix) -> Watch {
        Watch {
            events: self.events.subscribe(),
            table,
            prefix,
        }
    }

    fn committed(&self) -> watch::Receiver<Seq> {
        self.committed.clone()
    }

    fn meters(&self) -> &Meters {
        &self.meters
    }

    fn view(&self) -> Reading<Arc<dyn View>> {
        self.read_with(|engine| engine.view().map_err(StoreError::Failed))
    }
}

impl<E: Engine> fmt::Debug for Embedded<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("engine", &self.engine)
            .field("committed", &*self.committed.borrow())
            .finish_non_exhaustive()
    }
}

impl<E: Engine> Drop for Embedded<E> {
    fn drop(&mut self) {
        drop(self.queue.take());
        let Some(thread) = self.thread.take() else { return };
        // The last owner may be a callback on the commit thread, which cannot wait for itself.
        if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
            tracing::error!("the commit thread panicked");
        }
    }
}

/// Reads or writes the store's own facts: refuses a newer format, answers the last position.
pub(super) fn read_meta<E: Engine>(engine: &E) -> Result<Seq, StoreError> {
    let found = engine.get(Space::Meta, META_FORMAT).map_err(StoreError::Failed)?;
    let error = match found.as_deref() {
        Some([STORE_VERSION]) => None,
        None | Some([1..STORE_VERSION]) => {
            // From here on an older program would not understand it.
            let format = ((Space::Meta, META_FORMAT.to_vec()), Some(vec![STORE_VERSION]));
            let format = Batch {
                pairs: Pairs::from([format]),
                ..Batch::default()
            };
            engine.apply(&format).map_err(StoreError::Failed)?;
            None
        }
        Some([]) => Some(FormatError::Short { bytes: 0 }),
        Some([found, ..]) => Some(FormatError::UnknownVersion {
            known: STORE_VERSION,
            found: *found,
        }),
    };
    if let Some(error) = error {
        return Err(StoreError::Format {
            place: "the data folder".into(),
            error,
        });
    }
    let stored = engine.get(Space::Meta, META_SEQ).map_err(StoreError::Failed)?;
    let Some(bytes) = stored else { return Ok(Seq::ZERO) };
    let error = FormatError::Short { bytes: bytes.len() };
    let seq = bytes.first_chunk::<8>().ok_or(StoreError::Format {
        place: "the last position".into(),
        error,
    })?;
    Ok(Seq(u64::from_be_bytes(*seq)))
}

fn load<E: Engine>(engine: &E, table: Table, key: &Key) -> Result<Option<Stored>, StoreError> {
    let bytes = engine
        .get(Space::Table(table), key.as_bytes())
        .map_err(StoreError::Failed)?;
    let stored = bytes.map(|bytes| Stored::decode(&bytes)).transpose();
    stored.map_err(|error| bad_format(table, key, error))
}

fn bad_format(table: Table, key: &Key, error: FormatError) -> StoreError {
    StoreError::Format {
        place: format!("{key:?} in table {}", table.name()),
        error,
    }
}

fn entry(key: Key, stored: Stored) -> Entry {
    Entry {
        key,
        seq: stored.seq,
        expires_at: stored.expires_at,
        value: stored.value,
    }
}

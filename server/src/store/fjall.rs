//! The store on disk, by the embedded engine of the same name.
//!
//! | file | holds |
//! |---|---|
//! | `birth` | a store that was cut off while it was made |
//! | `mend` | looks at the files before the engine opens them; puts aside what is damaged |
//! | `journal` | finds the batches of a journal that are whole |
//! | `catalog` | the list of a keyspace's sorted files |
//! | `rewrite` | the bytes of a journal, once more in their place |
//! | `table` | the whole blocks of a sorted file |
//!
//! One journal; a batch is one entry in it, checked by its sum when it is read back, so after a crash
//! it is there as a whole or not at all. `apply` returns after `fdatasync` of the journal. If that ever
//! fails the engine refuses all further writes: what reached the disk is not known then. `Engine::reopen` closes it,
//! writes the journal's bytes once more, and reads it back.

mod birth;
mod catalog;
mod journal;
mod mend;
mod rewrite;
mod table;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use fjall::compaction::Leveled;
use fjall::config::FilterPolicy;
use fjall::{
    Database, Iter, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode, Readable as _, Snapshot,
};
use parking_lot::RwLock;
use prometheus_client::metrics::counter::Counter;

use super::embedded::{Batch, Embedded, Engine};
use super::loss::{DataLoss, Loss};
use super::view::{Space, View, Visit};
use super::{Shelf, Store, StoreError, Survives, Table};
use crate::clock::Clock;

/// Memory for blocks read from disk, bytes.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Disk for journals before old ones must be flushed away, bytes.
const JOURNAL_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Memory for entries of one table that are not yet in sorted files, bytes. Connections that end leave a record in three
/// tables: this is how far memory grows by them.
const MEMTABLE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The same of a shelf. A commit that comes while a file is synced waits for the whole file: filesystems write the
/// data of a new file before the metadata that the journal's sync needs. So what is flushed at once is little.
const SHELF_MEMTABLE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Size of a shelf's sorted files, bytes; small for the same reason.
const SHELF_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// The engine's mark of a folder that is one of its own.
const VERSION_FILE: &str = "version";
/// Threads that flush and compact.
const WORKERS: usize = 1;
/// How much they give way to everything else of the process, as `nice` counts it. A flush may take longer; nobody
/// waits for it.
#[cfg(target_os = "linux")]
const WORKERS_NICE: i32 = 10;

/// Opens the store in `folder`, or makes it. Compares its files with their sums and reads back the journal; blocks
/// meanwhile. What is damaged is put aside and logged.
///
/// # Errors
/// [`StoreError::InUse`], [`StoreError::Damaged`] where an operator has to accept what is lost, or
/// [`StoreError::Failed`].
pub fn open(folder: &Path, clock: Clock, data_loss: DataLoss) -> Result<impl Store + use<>, StoreError> {
    Embedded::open(FjallEngine::open(folder, clock.clone(), data_loss)?, clock)
}

/// The engine over its folder.
pub(super) struct FjallEngine {
    folder: PathBuf,
    clock: Clock,
    /// Files that were damaged.
    damaged_files: Counter,
    /// Something that was read, or that the engine did by itself, went wrong since its files were looked at.
    is_suspect: AtomicBool,
    /// The engine has stopped by itself, and its files were looked at since. A full disk stops it again and again.
    is_known_to_stop: AtomicBool,
    /// `None` after a failure, until it can be opened again.
    opened: Arc<RwLock<Option<Opened>>>,
}

/// Everything as it was at one moment, until the engine is opened again.
struct FjallView {
    opened: Arc<RwLock<Option<Opened>>>,
    era: Arc<()>,
    snapshot: Snapshot,
}

struct Opened {
    /// The same only for what was read since it was opened.
    era: Arc<()>,
    database: Database,
    tables: [Keyspace; Table::ALL.len()],
    shelves: [Keyspace; Shelf::ALL.len()],
    log: Keyspace,
    expiry: Keyspace,
    meta: Keyspace,
}

impl FjallEngine {
    pub(super) fn open(folder: &Path, clock: Clock, data_loss: DataLoss) -> Result<Self, StoreError> {
        let engine = Self {
            folder: folder.to_owned(),
            clock,
            damaged_files: Counter::default(),
            is_suspect: AtomicBool::new(false),
            is_known_to_stop: AtomicBool::new(false),
            opened: Arc::default(),
        };
        engine.mend(data_loss)?;
        let opened = match (Opened::open(folder), data_loss) {
            (Err(StoreError::Damaged(reason)), DataLoss::Accepted) => {
                engine.report(&[mend::put_aside(folder, engine.clock.wall(), reason)?]);
                Opened::open(folder)
            }
            (opened, _) => opened,
        };
        *engine.opened.write() = Some(opened?);
        Ok(engine)
    }

    /// Puts aside what is damaged.
    fn mend(&self, data_loss: DataLoss) -> Result<(), StoreError> {
        self.report(&mend::mend(&self.folder, self.clock.wall(), data_loss)?);
        Ok(())
    }

    /// Has the files looked at before the engine is opened again, if they may be the reason.
    fn suspect(&self, error: &fjall::Error) {
        let has_stopped = matches!(error, fjall::Error::Poisoned);
        if is_damage(error) && !(has_stopped && self.is_known_to_stop.swap(true, Ordering::Relaxed)) {
            self.is_suspect.store(true, Ordering::Relaxed);
        }
    }

    fn report(&self, losses: &[Loss]) {
        for loss in losses {
            self.damaged_files.inc();
            let kept_as = loss.kept_as.as_ref().map(|path| path.display());
            tracing::error!(kept_as = kept_as.map(tracing::field::display), "damaged: {loss}");
        }
        if !losses.is_empty() {
            let data_dir = self.folder.parent().unwrap_or(&self.folder).display();
            tracing::error!(
                files = losses.len(),
                "the store was damaged; to see what is lost, stop the broker and run: \
                 cloudsignal store inspect quarantine --data-dir {data_dir}"
            );
        }
    }

    /// Whether there is a store in a folder.
    pub(super) fn is_store(folder: &Path) -> bool {
        folder.join(VERSION_FILE).exists()
    }

    fn with<T>(&self, work: impl FnOnce(&Opened) -> Result<T, fjall::Error>) -> Result<T, String> {
        match &*self.opened.read() {
            Some(opened) => work(opened).map_err(|error| {
                self.suspect(&error);
                error.to_string()
            }),
            None => Err("it is closed after a failure, until it can be opened again".into()),
        }
    }
}

impl Opened {
    fn open(folder: &Path) -> Result<Self, StoreError> {
        // The engine trusts its files; what is in none of their sums may be anything, and it may panic.
        let opened = thread::scope(|scope| {
            let opening = scope.spawn(|| {
                give_way();
                Self::open_engine(folder)
            });
            opening.join()
        });
        let opened = opened.unwrap_or(Err(fjall::Error::Unrecoverable));
        opened.map_err(|error| open_error(&error))
    }

    fn open_engine(folder: &Path) -> Result<Self, fjall::Error> {
        birth::forget_unborn(folder)?;
        let database = Database::builder(folder)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(WORKERS)
            .manual_journal_persist(true)
            .open()?;
        let keyspace = |name: &str| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES_MAX);
            database.keyspace(name, options)
        };
        let [config, history, audit, usage] = Table::ALL.map(|table| keyspace(table.name()));
        let [session, queue, message, retained, quarantine] =
            Shelf::ALL.map(|shelf| database.keyspace(shelf.name(), shelf_options));
        Ok(Self {
            era: Arc::default(),
            tables: [config?, history?, audit?, usage?],
            shelves: [session?, queue?, message?, retained?, quarantine?],
            log: keyspace("log")?,
            expiry: keyspace("expiry")?,
            meta: keyspace("meta")?,
            database,
        })
    }

    const fn keyspace(&self, space: Space) -> &Keyspace {
        match space {
            // Both are in the order of their list.
            Space::Table(table) => &self.tables[table as usize],
            Space::Shelf(shelf) => &self.shelves[shelf as usize],
            Space::Log => &self.log,
            Space::Expiry => &self.expiry,
            Space::Meta => &self.meta,
        }
    }
}

/// Nothing looks for a single key of a shelf, so filters would be work for nobody.
fn shelf_options() -> KeyspaceCreateOptions {
    let compaction = Leveled::default().with_table_target_size(SHELF_FILE_BYTES);
    KeyspaceCreateOptions::default()
        .max_memtable_size(SHELF_MEMTABLE_BYTES_MAX)
        .compaction_strategy(Arc::new(compaction))
        .filter_policy(FilterPolicy::disabled())
}

/// Lowers the priority of this thread, and of the threads that it starts: the engine's own.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(WORKERS_NICE) {
        tracing::debug!(%error, "the store's threads have the priority of all others");
    }
}

impl Engine for FjallEngine {
    const READS_DISK: bool = true;

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, String> {
        let value = self.with(|opened| opened.keyspace(space).get(key))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        visit: Visit<'_>,
    ) -> Result<(), String> {
        self.with(|opened| {
            let bounds = (start(prefix, after), Bound::Unbounded);
            walk(opened.keyspace(space).range::<&[u8], _>(bounds), prefix, visit)
        })
    }

    fn apply(&self, batch: &Batch) -> Result<(), String> {
        self.with(|opened| {
            let persist = match batch.survives {
                Survives::Crash => PersistMode::Buffer,
                Survives::PowerLoss => PersistMode::SyncData,
            };
            let mut writes = opened.database.batch().durability(Some(persist));
            for (space, key, value) in batch.writes() {
                match value {
                    Some(value) => writes.insert(opened.keyspace(space), key, value),
                    None => writes.remove(opened.keyspace(space), key),
                }
            }
            writes.commit()?;
            self.is_known_to_stop.store(false, Ordering::Relaxed);
            Ok(())
        })
    }

    fn reopen(&self) -> Result<(), String> {
        let mut opened = self.opened.write();
        drop(opened.take());
        rewrite::rewrite_journal(&self.folder)
            .map_err(|error| format!("the journal cannot be rewritten: {error}"))?;
        if self.is_suspect.load(Ordering::Relaxed) {
            self.mend(DataLoss::Refused).map_err(|error| error.to_string())?;
            self.is_suspect.store(false, Ordering::Relaxed);
        }
        *opened = Some(Opened::open(&self.folder).map_err(|error| error.to_string())?);
        Ok(())
    }

    fn compactions(&self) -> u64 {
        let completed = self.with(|opened| Ok(opened.database.compactions_completed()));
        completed.map_or(0, |completed| completed as u64)
    }

    fn damaged_files(&self) -> Counter {
        self.damaged_files.clone()
    }

    fn view(&self) -> Result<Arc<dyn View>, String> {
        self.with(|opened| {
            Ok(Arc::new(FjallView {
                opened: Arc::clone(&self.opened),
                era: Arc::clone(&opened.era),
                snapshot: opened.database.snapshot(),
            }) as Arc<dyn View>)
        })
    }
}

impl View for FjallView {
    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        visit: Visit<'_>,
    ) -> Result<(), String> {
        match &*self.opened.read() {
            Some(opened) if Arc::ptr_eq(&opened.era, &self.era) => {
                let bounds = (start(prefix, after), Bound::Unbounded);
                let range = self.snapshot.range::<&[u8], _>(opened.keyspace(space), bounds);
                walk(range, prefix, visit).map_err(|error| error.to_string())
            }
            Some(_) | None => Err("it was closed meanwhile, after a failure; begin anew".into()),
        }
    }
}

/// Where to begin to read.
fn start<'a>(prefix: &'a [u8], after: Option<&'a [u8]>) -> Bound<&'a [u8]> {
    match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        Some(_) | None => Bound::Included(prefix),
    }
}

fn walk(range: Iter, prefix: &[u8], visit: Visit<'_>) -> Result<(), fjall::Error> {
    for guard in range {
        let (key, value) = guard.into_inner()?;
        let visited = key
            .starts_with(prefix)
            .then(|| visit(&key, &Bytes::copy_from_slice(&value)));
        match visited {
            Some(ControlFlow::Continue(())) => {}
            Some(ControlFlow::Break(())) | None => break,
        }
    }
    Ok(())
}

impl std::fmt::Debug for FjallView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fjall as it was")
    }
}

impl std::fmt::Debug for FjallEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fjall")
    }
}

fn open_error(error: &fjall::Error) -> StoreError {
    let newer = "its files are of another version of the engine; use the program that wrote them";
    if is_damage(error) {
        return StoreError::Damaged(error.to_string());
    }
    // The engine's error type is not closed, so the rest has to share an arm.
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, non-exhaustive enum")]
    match error {
        fjall::Error::Locked => StoreError::InUse,
        fjall::Error::InvalidVersion(_) => StoreError::Failed(newer.into()),
        error => StoreError::Failed(error.to_string()),
    }
}

/// Whether an error is of the files, and not of the disk or of whoever asks.
fn is_damage(error: &fjall::Error) -> bool {
    // The engine's error types are not closed, so the rest has to share an arm.
    #[expect(clippy::wildcard_enum_match_arm, reason = "foreign, non-exhaustive enums")]
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => {
            error.kind() == ErrorKind::UnexpectedEof
        }
        fjall::Error::Locked | fjall::Error::KeyspaceDeleted | fjall::Error::InvalidVersion(_) => false,
        _ => true,
    }
}

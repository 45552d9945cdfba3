//! The store on disk, by the embedded engine of the same name.
//!
//! One journal; a batch is one entry in it, checked by its sum when it is read back, so after a crash
//! it is there as a whole or not at all. `apply` returns after `fdatasync` of the journal. If that ever
//! fails the engine refuses all further writes: what reached the disk is not known then. `Engine::reopen` closes it,
//! writes the journal's bytes once more, and reads it back.

use std::fs::File;
use std::ops::{Bound, ControlFlow};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::RwLock;

use super::embedded::{Batch, Embedded, Engine, Space, Visit};
use super::{Shelf, Store, StoreError, Survives, Table};
use crate::clock::Clock;

/// Memory for blocks read from disk, bytes.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Disk for journals before old ones must be flushed away, bytes.
const JOURNAL_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Memory for entries of one table that are not yet in sorted files, bytes.
const MEMTABLE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What is read at once when a journal is rewritten, bytes.
const REWRITE_BYTES: usize = 64 * 1024;
/// Threads that flush and compact.
const WORKERS: usize = 1;

/// Opens the store in `folder`, or makes it. Reads back the journal; blocks meanwhile.
///
/// # Errors
/// [`StoreError::InUse`], [`StoreError::Format`] for a folder of a newer program, or [`StoreError::Failed`].
pub fn open(folder: &Path, clock: Clock) -> Result<impl Store + use<>, StoreError> {
    Embedded::open(FjallEngine::open(folder)?, clock)
}

/// The engine over its folder.
struct FjallEngine {
    folder: PathBuf,
    /// `None` after a failure, until it can be opened again.
    opened: RwLock<Option<Opened>>,
}

struct Opened {
    database: Database,
    tables: [Keyspace; Table::ALL.len()],
    shelves: [Keyspace; Shelf::ALL.len()],
    log: Keyspace,
    expiry: Keyspace,
    meta: Keyspace,
}

impl FjallEngine {
    fn open(folder: &Path) -> Result<Self, StoreError> {
        let opened = Opened::open(folder).map_err(open_error)?;
        Ok(Self {
            folder: folder.to_owned(),
            opened: RwLock::new(Some(opened)),
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Opened) -> Result<T, fjall::Error>) -> Result<T, String> {
        match &*self.opened.read() {
            Some(opened) => work(opened).map_err(|error| error.to_string()),
            None => Err("it is closed after a failure, until it can be opened again".into()),
        }
    }
}

impl Opened {
    fn open(folder: &Path) -> Result<Self, fjall::Error> {
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
        let [session, queue, message, retained, quarantine] = Shelf::ALL.map(|shelf| keyspace(shelf.name()));
        Ok(Self {
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
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        self.with(|opened| {
            let range = opened
                .keyspace(space)
                .range::<&[u8], _>((start, Bound::Unbounded));
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
            writes.commit()
        })
    }

    fn reopen(&self) -> Result<(), String> {
        let mut opened = self.opened.write();
        drop(opened.take());
        rewrite_journal(&self.folder).map_err(|error| format!("the journal cannot be rewritten: {error}"))?;
        *opened = Some(Opened::open(&self.folder).map_err(|error| error.to_string())?);
        Ok(())
    }
}

/// Writes the bytes of the newest journal once more in their place, and syncs them.
///
/// After a failed sync the system takes the pages for written, though the disk may not have them. What is
/// acknowledged from now on stands behind them in the journal and would be lost with them.
fn rewrite_journal(folder: &Path) -> std::io::Result<()> {
    let Some(path) = newest_journal(folder)? else {
        return Ok(());
    };
    let journal = File::options().read(true).write(true).open(path)?;
    let (mut block, mut at) = (vec![0; REWRITE_BYTES], 0);
    loop {
        let bytes = journal.read_at(&mut block, at)?;
        let Some(read) = block.get(..bytes).filter(|read| !read.is_empty()) else {
            break;
        };
        // What was never written takes no room on the disk, and shall not from now on.
        if read.iter().any(|byte| *byte != 0) {
            journal.write_all_at(read, at)?;
        }
        at += bytes as u64;
    }
    journal.sync_all()
}

/// Journals are named by their numbers: `7.jnl`.
fn newest_journal(folder: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(number) = stem
            .filter(|_| is_journal)
            .and_then(|stem| stem.parse::<u64>().ok())
        {
            newest = newest.max(Some((number, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

impl std::fmt::Debug for FjallEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fjall")
    }
}

fn open_error(error: fjall::Error) -> StoreError {
    // The engine's error type is not closed, so the rest has to share an arm.
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, non-exhaustive enum")]
    match error {
        fjall::Error::Locked => StoreError::InUse,
        other => StoreError::Failed(other.to_string()),
    }
}

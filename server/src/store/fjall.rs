//! The store on disk, by the embedded engine of the same name.
//!
//! One journal; a batch is one entry in it, checked by its sum when it is read back, so after a crash
//! it is there as a whole or not at all. `apply` returns after `fdatasync` of the journal. If that ever
//! fails the engine refuses all further writes: what reached the disk is not known then.

use std::ops::{Bound, ControlFlow};
use std::path::Path;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::embedded::{Batch, Embedded, Engine, Space, Visit};
use super::{Store, StoreError, Table};
use crate::clock::Clock;

/// Memory for blocks read from disk, bytes.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Disk for journals before old ones must be flushed away, bytes.
const JOURNAL_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Memory for entries of one table that are not yet in sorted files, bytes.
const MEMTABLE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Threads that flush and compact.
const WORKERS: usize = 1;

/// Opens the store in `folder`, or makes it. Reads back the journal; blocks meanwhile.
///
/// # Errors
/// [`StoreError::InUse`], [`StoreError::Format`] for a folder of a newer program, or [`StoreError::Failed`].
pub fn open(folder: &Path, clock: Clock) -> Result<impl Store + use<>, StoreError> {
    Embedded::open(FjallEngine::open(folder)?, clock)
}

struct FjallEngine {
    database: Database,
    config: Keyspace,
    session: Keyspace,
    retained: Keyspace,
    history: Keyspace,
    audit: Keyspace,
    usage: Keyspace,
    log: Keyspace,
    expiry: Keyspace,
    meta: Keyspace,
}

impl FjallEngine {
    fn open(folder: &Path) -> Result<Self, StoreError> {
        let database = Database::builder(folder)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(WORKERS)
            .manual_journal_persist(true)
            .open()
            .map_err(open_error)?;
        let keyspace = |name: &str| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES_MAX);
            database.keyspace(name, options).map_err(open_error)
        };
        Ok(Self {
            config: keyspace(Table::Config.name())?,
            session: keyspace(Table::Session.name())?,
            retained: keyspace(Table::Retained.name())?,
            history: keyspace(Table::History.name())?,
            audit: keyspace(Table::Audit.name())?,
            usage: keyspace(Table::Usage.name())?,
            log: keyspace("log")?,
            expiry: keyspace("expiry")?,
            meta: keyspace("meta")?,
            database,
        })
    }

    const fn keyspace(&self, space: Space) -> &Keyspace {
        match space {
            Space::Table(Table::Config) => &self.config,
            Space::Table(Table::Session) => &self.session,
            Space::Table(Table::Retained) => &self.retained,
            Space::Table(Table::History) => &self.history,
            Space::Table(Table::Audit) => &self.audit,
            Space::Table(Table::Usage) => &self.usage,
            Space::Log => &self.log,
            Space::Expiry => &self.expiry,
            Space::Meta => &self.meta,
        }
    }
}

impl Engine for FjallEngine {
    const READS_DISK: bool = true;

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, String> {
        let value = self.keyspace(space).get(key).map_err(|error| error.to_string())?;
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
        for guard in self.keyspace(space).range::<&[u8], _>((start, Bound::Unbounded)) {
            let (key, value) = guard.into_inner().map_err(|error| error.to_string())?;
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

    fn apply(&self, batch: Batch) -> Result<(), String> {
        let mut writes = self.database.batch().durability(Some(PersistMode::SyncData));
        for ((space, key), value) in batch {
            match value {
                Some(value) => writes.insert(self.keyspace(space), key, value),
                None => writes.remove(self.keyspace(space), key),
            }
        }
        writes.commit().map_err(|error| error.to_string())
    }
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

//! Looks at the files of a store before the engine opens them, and puts aside what is damaged.
//!
//! The engine cuts a damaged journal off without a word, removes keyspaces of which it does not know the name, and does
//! not open at all for one missing file. So each file is compared with its sum first.
//!
//! | damaged | what becomes of it |
//! |---|---|
//! | the end of the newest journal | it is cut off: a commit that was not finished when the power went |
//! | a journal elsewhere | the commits that are whole stay; the file as it was is put aside |
//! | a sorted file | its whole blocks stay, in a new file; the old one is put aside |
//! | a missing sorted file | the keyspace goes on without it |
//! | the list of a keyspace's files | the keyspace begins empty; its files are put aside |
//! | the names of the keyspaces | the store begins empty; all of it is put aside |
//!
//! Where accounts are concerned, or everything of one kind, an operator has to accept it first.
//!
//! | file | holds |
//! |---|---|
//! | `examine` | which files are not as they were written |
//! | `repair` | what is damaged is put aside, what is whole of it saved |

mod examine;
mod repair;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use super::catalog::{Catalog, TableEntry};
use super::journal::{Hole, Scan};
use crate::clock::WallTime;
use crate::store::loss::{DataLoss, Loss, fresh_folder, write_list};
use crate::store::{StoreError, Table};

const LOCK_FILE: &str = "lock";
const KEYSPACES: &str = "keyspaces";
/// The engine's own keyspace: the names of the others.
const NAMES: u64 = 0;
/// How often the lock of the store is tried, and the pause between: a broker that ends may hold it a little longer.
const LOCK_TRIES: u32 = 3;
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// What a version file holds.
const VERSION: [u8; 4] = *b"FJL\x03";

/// Something that is not as it was written.
#[derive(Debug)]
enum Finding {
    Version,
    Names(String),
    Catalog {
        keyspace: u64,
        tables: usize,
        reason: String,
    },
    Table {
        keyspace: u64,
        level: u8,
        entry: TableEntry,
        reason: &'static str,
    },
    Journal {
        path: PathBuf,
        scan: Scan,
    },
    /// The newest journal was cut off in the middle of a commit.
    Tail {
        path: PathBuf,
        whole_bytes: u64,
        tail: Hole,
    },
}

/// The files of a store.
struct Files<'a> {
    store: &'a Path,
    names: BTreeMap<u64, String>,
    catalogs: BTreeMap<u64, Catalog>,
    findings: Vec<Finding>,
}

/// Compares every file with its sum and mends what is damaged. Answers what was lost.
///
/// # Errors
/// [`StoreError::InUse`]; [`StoreError::Damaged`] for what an operator has to accept first, and then nothing was
/// changed; [`StoreError::Failed`].
pub(super) fn mend(store: &Path, at: WallTime, data_loss: DataLoss) -> Result<Vec<Loss>, StoreError> {
    let failed = |error: io::Error| StoreError::Failed(format!("{}: {error}", store.display()));
    if !store.join(KEYSPACES).exists() {
        return Ok(Vec::new());
    }
    let lock = lock(store)?;
    let mut files = Files {
        store,
        names: BTreeMap::new(),
        catalogs: BTreeMap::new(),
        findings: Vec::new(),
    };
    files.examine().map_err(failed)?;
    let losses = match data_loss {
        DataLoss::Refused => match files.refusal() {
            Some(refusal) => return Err(StoreError::Damaged(refusal)),
            None => files.mend(at).map_err(failed)?,
        },
        DataLoss::Accepted => files.mend(at).map_err(failed)?,
    };
    drop(lock);
    Ok(losses)
}

/// Puts a whole store aside, so that an empty one can begin in its place.
///
/// # Errors
/// [`StoreError::InUse`] and [`StoreError::Failed`].
pub(super) fn put_aside(store: &Path, at: WallTime, reason: String) -> Result<Loss, StoreError> {
    let lock = lock(store)?;
    let aside = put_all_aside(store, at, reason);
    drop(lock);
    aside.map_err(|error| StoreError::Failed(format!("{}: {error}", store.display())))
}

fn put_all_aside(store: &Path, at: WallTime, reason: String) -> io::Result<Loss> {
    let folder = fresh_folder(store, at)?;
    let kept_as = folder.join("store");
    let loss = Loss {
        file: "the store".into(),
        holds: vec!["everything".into()],
        reason,
        bytes_lost: crate::store::stopped::disk_bytes(store)?,
        entries_lost: None,
        entries_saved: None,
        written_at: written_at(store),
        kept_as: Some(kept_as.clone()),
    };
    write_list(&folder, std::slice::from_ref(&loss))?;
    fs::rename(store, kept_as)?;
    Ok(loss)
}

/// A running broker changes what would be looked at.
fn lock(store: &Path) -> Result<File, StoreError> {
    let path = store.join(LOCK_FILE);
    let failed = |error: io::Error| StoreError::Failed(format!("{}: {error}", path.display()));
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let file = file.map_err(failed)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    Err(StoreError::InUse)
}

impl Files<'_> {
    fn keyspace(&self, keyspace: u64) -> PathBuf {
        self.store.join(KEYSPACES).join(keyspace.to_string())
    }

    fn name(&self, keyspace: u64) -> String {
        match self.names.get(&keyspace) {
            Some(name) => name.clone(),
            None if keyspace == NAMES => "names".into(),
            None => format!("keyspace {keyspace}"),
        }
    }

    /// What an operator has to accept before anything is changed.
    fn refusal(&self) -> Option<String> {
        let grave = self.findings.iter().any(|finding| self.is_grave(finding));
        let lines: Vec<_> = self
            .findings
            .iter()
            .map(|finding| self.describe(finding))
            .collect();
        grave.then(|| lines.join("; "))
    }

    /// Whether accounts are concerned, or everything of one kind.
    fn is_grave(&self, finding: &Finding) -> bool {
        let holds_accounts = |keyspace: &u64| {
            let name = self.names.get(keyspace).map(String::as_str);
            name == Some(Table::Config.name()) || name == Some("meta")
        };
        match finding {
            Finding::Names(_) => true,
            // What there is of it is in the journal.
            Finding::Catalog { tables: 0, .. } => false,
            Finding::Catalog { keyspace, .. } => {
                let spare = [
                    Table::History.name(),
                    Table::Audit.name(),
                    Table::Usage.name(),
                    "expiry",
                ];
                !self
                    .names
                    .get(keyspace)
                    .is_some_and(|name| spare.contains(&name.as_str()))
            }
            Finding::Table { keyspace, .. } => *keyspace == NAMES || holds_accounts(keyspace),
            Finding::Journal { scan, .. } => {
                let holes = scan.holes.iter().chain(&scan.tail);
                holes.flat_map(|hole| &hole.keyspaces).any(holds_accounts)
            }
            Finding::Version | Finding::Tail { .. } => false,
        }
    }

    fn describe(&self, finding: &Finding) -> String {
        match finding {
            Finding::Version => "the mark of the engine is lost".into(),
            Finding::Names(reason) => reason.clone(),
            Finding::Catalog { keyspace, reason, .. } => format!("{}: {reason}", self.name(*keyspace)),
            Finding::Table {
                keyspace,
                entry,
                reason,
                ..
            } => {
                format!("{}: file {} {reason}", self.name(*keyspace), entry.number)
            }
            Finding::Journal { path, scan } => {
                let bytes: u64 = scan.holes.iter().chain(&scan.tail).map(Hole::bytes).sum();
                format!("journal {}: {bytes} bytes are damaged", file_name(path))
            }
            Finding::Tail { path, tail, .. } => {
                format!(
                    "journal {}: its last commit was cut off after {} bytes",
                    file_name(path),
                    tail.bytes()
                )
            }
        }
    }
}

/// Journals, the oldest first.
pub(super) fn journals(store: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(store)? {
        let path = entry?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
        let stem = path
            .file_stem()
            .filter(|_| is_journal)
            .and_then(|stem| stem.to_str());
        if let Some(number) = stem.and_then(|stem| stem.parse::<u64>().ok()) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("?")
}

fn written_at(path: &Path) -> Option<WallTime> {
    let modified = fs::metadata(path).ok()?.modified().ok()?;
    Some(WallTime::ZERO.after(modified.duration_since(SystemTime::UNIX_EPOCH).ok()?))
}

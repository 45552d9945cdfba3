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

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use super::catalog::{self, Catalog, TableEntry};
use super::journal::{self, Hole, Scan};
use super::table;
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

    fn examine(&mut self) -> io::Result<()> {
        let mut keyspaces = Vec::new();
        for entry in fs::read_dir(self.store.join(KEYSPACES))? {
            let name = entry?.file_name();
            keyspaces.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        keyspaces.sort_unstable();
        for keyspace in &keyspaces {
            self.examine_keyspace(*keyspace)?;
        }
        self.learn_names(&keyspaces)?;
        let mut journals = journals(self.store)?;
        let newest = journals.pop();
        for path in journals {
            let scan = journal::scan(&path)?;
            if !scan.holes.is_empty() || scan.tail.is_some() {
                self.findings.push(Finding::Journal { path, scan });
            }
        }
        if let Some(path) = newest {
            self.examine_newest(path)?;
        }
        let version = fs::read(self.store.join(super::VERSION_FILE)).unwrap_or_default();
        // A name of another engine, or of a newer one, is not for us to mend.
        if !version.starts_with(&VERSION[..3]) && !keyspaces.is_empty() {
            self.findings.push(Finding::Version);
        }
        Ok(())
    }

    fn examine_newest(&mut self, path: PathBuf) -> io::Result<()> {
        let mut scan = journal::scan(&path)?;
        if !scan.holes.is_empty() {
            self.findings.push(Finding::Journal { path, scan });
        } else if let Some(tail) = scan.tail.take() {
            let whole_bytes = scan.whole_bytes();
            self.findings.push(Finding::Tail {
                path,
                whole_bytes,
                tail,
            });
        }
        Ok(())
    }

    fn examine_keyspace(&mut self, keyspace: u64) -> io::Result<()> {
        let folder = self.keyspace(keyspace);
        // The engine was cut off while it made the keyspace.
        if !catalog::exists(&folder) && catalog::table_files(&folder)?.is_empty() {
            return Ok(());
        }
        match Catalog::read(&folder) {
            Err(reason) => {
                let tables = catalog::table_files(&folder)?.len();
                self.findings.push(Finding::Catalog {
                    keyspace,
                    tables,
                    reason,
                });
            }
            Ok(catalog) => {
                for (level, runs) in (0_u8..).zip(&catalog.levels) {
                    for entry in runs.iter().flatten() {
                        if let Some(reason) = examine_table(&folder, *entry)? {
                            let entry = *entry;
                            self.findings.push(Finding::Table {
                                keyspace,
                                level,
                                entry,
                                reason,
                            });
                        }
                    }
                }
                self.catalogs.insert(keyspace, catalog);
            }
        }
        Ok(())
    }

    /// The engine removes keyspaces that it knows no name of.
    fn learn_names(&mut self, keyspaces: &[u64]) -> io::Result<()> {
        let folder = self.keyspace(NAMES);
        let Some(names) = self.catalogs.get(&NAMES) else {
            if keyspaces.iter().any(|keyspace| *keyspace != NAMES) {
                let reason = "the list of the names of keyspaces cannot be read";
                self.findings.push(Finding::Names(reason.into()));
            }
            return Ok(());
        };
        for keyspace in keyspaces.iter().filter(|keyspace| **keyspace != NAMES) {
            let key = [&b"n"[..], &keyspace.to_be_bytes()].concat();
            let mut name = None;
            for entry in names.tables() {
                let path = catalog::table_file(&folder, entry.number);
                if name.is_none() && path.exists() {
                    name = table::look_up(&path, &key)?;
                }
            }
            match name.map(String::from_utf8) {
                Some(Ok(name)) => _ = self.names.insert(*keyspace, name),
                Some(Err(_)) | None if catalog::table_files(&self.keyspace(*keyspace))?.is_empty() => {}
                Some(Err(_)) | None => {
                    let reason = format!("the name of keyspace {keyspace} is lost");
                    self.findings.push(Finding::Names(reason));
                }
            }
        }
        Ok(())
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

    fn mend(&mut self, at: WallTime) -> io::Result<Vec<Loss>> {
        let findings = std::mem::take(&mut self.findings);
        let everything = findings.iter().find_map(|finding| match finding {
            Finding::Names(reason) => Some(reason.clone()),
            Finding::Version
            | Finding::Catalog { .. }
            | Finding::Table { .. }
            | Finding::Journal { .. }
            | Finding::Tail { .. } => None,
        });
        if let Some(reason) = everything {
            return Ok(vec![put_all_aside(self.store, at, reason)?]);
        }
        let (mut losses, mut aside) = (Vec::new(), None);
        for finding in findings {
            if let Finding::Tail {
                path,
                whole_bytes,
                tail,
            } = &finding
            {
                cut_off(path, *whole_bytes)?;
                let (journal, bytes) = (file_name(path), tail.bytes());
                tracing::info!(
                    journal,
                    bytes,
                    "a commit that was not finished is cut off the journal"
                );
                continue;
            }
            if aside.is_none() {
                aside = Some(fresh_folder(self.store, at)?);
            }
            let aside = aside.as_ref().expect("invariant: it was made above");
            losses.push(match finding {
                Finding::Version => self.mend_version()?,
                Finding::Catalog { keyspace, reason, .. } => self.mend_catalog(keyspace, reason, aside)?,
                Finding::Table {
                    keyspace,
                    level,
                    entry,
                    reason,
                } => self.mend_table((keyspace, level), entry, reason, aside)?,
                Finding::Journal { path, scan } => self.mend_journal(&path, &scan, aside)?,
                Finding::Names(_) | Finding::Tail { .. } => continue,
            });
        }
        if let Some(aside) = aside {
            write_list(&aside, &losses)?;
        }
        Ok(losses)
    }

    fn mend_version(&self) -> io::Result<Loss> {
        let path = self.store.join(super::VERSION_FILE);
        fs::write(&path, VERSION)?;
        File::open(&path)?.sync_all()?;
        File::open(self.store)?.sync_all()?;
        Ok(Loss {
            file: super::VERSION_FILE.into(),
            holds: Vec::new(),
            reason: "the mark of the engine was lost, and is written anew: nothing else is".into(),
            bytes_lost: 0,
            entries_lost: Some(0),
            entries_saved: None,
            written_at: None,
            kept_as: None,
        })
    }

    fn mend_catalog(&self, keyspace: u64, reason: String, aside: &Path) -> io::Result<Loss> {
        let sample = self.catalogs.values().next();
        let sample = sample.ok_or_else(|| io::Error::other("no list of tables can be read"))?;
        let folder = self.keyspace(keyspace);
        let kept_as = aside.join(format!("keyspace-{keyspace}"));
        let bytes_lost = crate::store::stopped::disk_bytes(&folder)?;
        let written_at = written_at(&folder);
        let empty = sample.emptied(&folder)?;
        fs::create_dir(&kept_as)?;
        for number in catalog::table_files(&folder)? {
            fs::rename(
                catalog::table_file(&folder, number),
                kept_as.join(number.to_string()),
            )?;
        }
        empty.write(&folder)?;
        Ok(Loss {
            file: format!("{KEYSPACES}/{keyspace}"),
            holds: vec![self.name(keyspace)],
            reason,
            bytes_lost,
            entries_lost: None,
            entries_saved: Some(0),
            written_at,
            kept_as: Some(kept_as),
        })
    }

    fn mend_table(
        &mut self,
        (keyspace, level): (u64, u8),
        entry: TableEntry,
        reason: &str,
        aside: &Path,
    ) -> io::Result<Loss> {
        let folder = self.keyspace(keyspace);
        let path = catalog::table_file(&folder, entry.number);
        let mut loss = Loss {
            file: format!("{KEYSPACES}/{keyspace}/tables/{}", entry.number),
            holds: vec![self.name(keyspace)],
            reason: reason.into(),
            bytes_lost: 0,
            entries_lost: None,
            entries_saved: None,
            written_at: None,
            kept_as: None,
        };
        let catalog = self.catalogs.get_mut(&keyspace);
        let catalog = catalog.expect("invariant: what lists the table was read");
        let mut instead = None;
        let kept_as = aside.join(format!("keyspace-{keyspace}-table-{}", entry.number));
        if path.exists() {
            let facts = table::facts(&path);
            let number = 1 + catalog::table_files(&folder)?
                .into_iter()
                .max()
                .unwrap_or(entry.number);
            let saved = table::save(&path, entry, (level, number), &aside.join("scratch"))?;
            instead = saved.table;
            loss.bytes_lost = saved.bytes_lost;
            loss.entries_saved = Some(saved.entries);
            loss.entries_lost = facts.entries.map(|entries| entries.saturating_sub(saved.entries));
            loss.written_at = facts.written_at.or_else(|| written_at(&path));
            loss.kept_as = Some(kept_as.clone());
            fs::hard_link(&path, &kept_as).or_else(|_| fs::copy(&path, &kept_as).map(drop))?;
        }
        catalog.replace(entry.number, instead);
        catalog.write(&folder)?;
        *catalog = Catalog::read(&folder).map_err(io::Error::other)?;
        if loss.kept_as.is_some() {
            fs::remove_file(&path)?;
        }
        Ok(loss)
    }

    fn mend_journal(&self, path: &Path, scan: &Scan, aside: &Path) -> io::Result<Loss> {
        let kept_as = aside.join(file_name(path));
        let written_at = written_at(path);
        fs::hard_link(path, &kept_as).or_else(|_| fs::copy(path, &kept_as).map(drop))?;
        journal::write_whole(path, scan)?;
        let holes = || scan.holes.iter().chain(&scan.tail);
        let mut holds: Vec<_> = holes()
            .flat_map(|hole| &hole.keyspaces)
            .map(|it| self.name(*it))
            .collect();
        holds.sort_unstable();
        holds.dedup();
        Ok(Loss {
            file: file_name(path).to_owned(),
            holds,
            reason: format!("{} places are damaged", holes().count()),
            bytes_lost: holes().map(Hole::bytes).sum(),
            entries_lost: None,
            entries_saved: None,
            written_at,
            kept_as: Some(kept_as),
        })
    }
}

fn examine_table(keyspace: &Path, entry: TableEntry) -> io::Result<Option<&'static str>> {
    match table::sum_of(&catalog::table_file(keyspace, entry.number)) {
        Ok(sum) if sum == entry.sum => Ok(None),
        Ok(_) => Ok(Some("does not have its sum")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some("is missing")),
        Err(error) => Err(error),
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

fn cut_off(path: &Path, bytes: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    file.set_len(bytes)?;
    file.sync_all()
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("?")
}

fn written_at(path: &Path) -> Option<WallTime> {
    let modified = fs::metadata(path).ok()?.modified().ok()?;
    Some(WallTime::ZERO.after(modified.duration_since(SystemTime::UNIX_EPOCH).ok()?))
}

//! Finds out which files are not as they were written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::super::catalog::{self, Catalog, TableEntry};
use super::super::{VERSION_FILE, journal, table};
use super::{Files, Finding, KEYSPACES, NAMES, VERSION, journals};

/// Sorted files that are read at the same time: a disk answers several questions sooner than one after the other.
const READERS: usize = 4;

impl Files<'_> {
    /// Looks at every file.
    pub(super) fn examine(&mut self) -> io::Result<()> {
        let mut keyspaces = Vec::new();
        for entry in fs::read_dir(self.store.join(KEYSPACES))? {
            let name = entry?.file_name();
            keyspaces.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        keyspaces.sort_unstable();
        for keyspace in &keyspaces {
            self.read_catalog(*keyspace)?;
        }
        self.examine_tables()?;
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
        let version = fs::read(self.store.join(VERSION_FILE)).unwrap_or_default();
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

    fn read_catalog(&mut self, keyspace: u64) -> io::Result<()> {
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
                self.catalogs.insert(keyspace, catalog);
            }
        }
        Ok(())
    }

    /// Compares every sorted file with its sum.
    fn examine_tables(&mut self) -> io::Result<()> {
        let mut listed = Vec::new();
        for (keyspace, catalog) in &self.catalogs {
            for (level, runs) in (0_u8..).zip(&catalog.levels) {
                listed.extend(runs.iter().flatten().map(|entry| (*keyspace, level, *entry)));
            }
        }
        let results = compare(&listed, |(keyspace, _, entry)| {
            examine_table(&self.keyspace(*keyspace), *entry)
        });
        for ((keyspace, level, entry), result) in listed.into_iter().zip(results) {
            if let Some(reason) = result? {
                self.findings.push(Finding::Table {
                    keyspace,
                    level,
                    entry,
                    reason,
                });
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
}

fn examine_table(keyspace: &Path, entry: TableEntry) -> io::Result<Option<&'static str>> {
    match table::sum_of(&catalog::table_file(keyspace, entry.number)) {
        Ok(sum) if sum == entry.sum => Ok(None),
        Ok(_) => Ok(Some("does not have its sum")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some("is missing")),
        Err(error) => Err(error),
    }
}

/// Looks at each, several at the same time. The answers are in the order of what was looked at.
fn compare<T: Sync, R: Send>(all: &[T], look: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let read = || {
        let mut answers = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(at) else { return answers };
            answers.push((at, look(one)));
        }
    };
    let mut answers: Vec<_> = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS.min(all.len())).map(|_| scope.spawn(read)).collect();
        let answers = readers
            .into_iter()
            .flat_map(|reader| reader.join().expect("invariant: reading does not panic"));
        answers.collect()
    });
    answers.sort_unstable_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

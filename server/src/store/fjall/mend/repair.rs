//! Puts aside what is damaged, and saves what is whole of it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::super::catalog::{self, Catalog, TableEntry};
use super::super::journal::{self, Hole, Scan};
use super::super::{VERSION_FILE, table};
use super::{Files, Finding, KEYSPACES, VERSION, file_name, put_all_aside, written_at};
use crate::clock::WallTime;
use crate::store::loss::{Loss, fresh_folder, write_list};

impl Files<'_> {
    /// Mends what was found. Answers what is lost.
    pub(super) fn mend(&mut self, at: WallTime) -> io::Result<Vec<Loss>> {
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
        let path = self.store.join(VERSION_FILE);
        fs::write(&path, VERSION)?;
        File::open(&path)?.sync_all()?;
        File::open(self.store)?.sync_all()?;
        Ok(Loss {
            file: VERSION_FILE.into(),
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

fn cut_off(path: &Path, bytes: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    file.set_len(bytes)?;
    file.sync_all()
}

//! From a backup to a data folder of a broker that does not run.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::read::{Item, check, read};
use super::{BackupError, FILES, Head};
use crate::first_run::folder::{store_in, write_private};
use crate::store::stopped::Stopped;
use crate::store::view::{Space, pages};

/// What is to be restored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) from: &'a Path,
    pub(crate) data_dir: &'a Path,
    /// The organization's short id; everything that the backup holds, if there is none.
    pub(crate) org: Option<&'a str>,
    pub(crate) existing: Existing,
}

/// What becomes of an organization that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Nothing: it is not restored.
    Stays,
    /// It goes, with everything that is stored of it.
    IsReplaced,
}

/// What was restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Restored {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// Restores everything into a data folder without a store, or one organization into any. The backup is read through
/// before anything is changed.
///
/// # Errors
/// [`BackupError`]. A folder without a store has none then either; of an organization a part may be there: restore it
/// again, replacing it.
pub(crate) fn restore(wanted: Wanted<'_>) -> Result<Restored, BackupError> {
    let (head, _) = check(wanted.from)?;
    if let Some(org) = wanted.org {
        let mut is_there = false;
        read(wanted.from, |item| {
            is_there |= matches!(item, Item::Entry { space, key, .. } if space.is_account_of(org, key));
            Ok(())
        })?;
        if !is_there {
            return Err(BackupError::NoSuchOrg(org.to_owned()));
        }
    }
    let store = store_in(wanted.data_dir);
    match wanted.org {
        Some(org) if Stopped::is_in(&store) => into_existing(wanted, &store, org),
        Some(_) | None => into_fresh(wanted, &store, &head),
    }
}

fn into_fresh(wanted: Wanted<'_>, store: &Path, head: &Head) -> Result<Restored, BackupError> {
    let is_empty = match fs::read_dir(store) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error.into()),
    };
    if !is_empty {
        return Err(BackupError::NotEmpty(wanted.data_dir.to_owned()));
    }
    // It gets its name when it is complete.
    let unfinished = wanted.data_dir.join("store.unfinished");
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let folders = [
        wanted.data_dir.to_owned(),
        wanted.data_dir.join("tls"),
        unfinished.clone(),
    ];
    for folder in folders {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let restored = fill(wanted, Stopped::create(&unfinished)?)?;
    if head.organization.is_none() && wanted.org.is_none() {
        files(wanted)?;
    }
    fs::rename(&unfinished, store)?;
    File::open(wanted.data_dir)?.sync_all()?;
    Ok(restored)
}

fn into_existing(wanted: Wanted<'_>, store: &Path, org: &str) -> Result<Restored, BackupError> {
    let mut store = Stopped::open(store)?;
    let mut old = 0_u64;
    for space in Space::ALL {
        let view = store.view()?;
        let mut gone = Vec::new();
        pages(&*view, space, b"", |key, _| {
            if space.is_of(org, key) && space != Space::Meta {
                old += 1;
                if wanted.existing == Existing::Stays {
                    return Err(BackupError::OrgExists(org.to_owned()));
                }
                gone.push(key.to_vec());
            }
            if gone.len() >= GONE_MAX {
                gone.drain(..).try_for_each(|key| store.write(space, key, None))?;
            }
            Ok(())
        })?;
        gone.into_iter()
            .try_for_each(|key| store.write(space, key, None))?;
    }
    store.write_out()?;
    tracing::debug!(old, "what was there of the organization is removed");
    fill(wanted, store)
}

/// Keys that are gathered before they are removed.
const GONE_MAX: usize = 4_096;

/// Writes what is wanted of the backup into a store.
fn fill(wanted: Wanted<'_>, mut store: Stopped) -> Result<Restored, BackupError> {
    let mut restored = Restored::default();
    read(wanted.from, |item| {
        let Item::Entry { space, key, value } = item else {
            return Ok(());
        };
        if space == Space::Meta {
            return Ok(store.raise_meta(key, value)?);
        }
        if wanted.org.is_none_or(|org| space.is_of(org, key)) {
            store.write(space, key.to_vec(), Some(value.to_vec()))?;
            restored.entries += 1;
            restored.bytes += (key.len() + value.len()) as u64;
        }
        Ok(())
    })?;
    store.write_out()?;
    Ok(restored)
}

/// Files beside the store, unless they are there.
fn files(wanted: Wanted<'_>) -> Result<(), BackupError> {
    read(wanted.from, |item| {
        let Item::File { name, bytes } = item else {
            return Ok(());
        };
        let path = wanted.data_dir.join(name);
        // Nothing but what belongs there is written, whatever the file says.
        if FILES.contains(&name) && !path.exists() {
            write_private(&path, bytes)?;
        }
        Ok(())
    })?;
    Ok(())
}

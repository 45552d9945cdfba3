//! Files of a store that were damaged: what was lost with them, and where they are now.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;

/// The list of what was lost, in the folder of the damaged files.
const LIST_FILE: &str = "lost.json";

/// Whether a store may be opened though accounts, or everything of one kind, are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataLoss {
    /// Then it is not opened, and nothing is changed.
    #[default]
    Refused,
    /// An operator has said so.
    Accepted,
}

/// One damaged file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Loss {
    /// Which, in the store's folder.
    pub(crate) file: String,
    /// What was in it: `queue`, `session`, …; of a journal as far as it is known.
    pub(crate) holds: Vec<String>,
    /// What is wrong with it.
    pub(crate) reason: String,
    /// Bytes that cannot be used.
    pub(crate) bytes_lost: u64,
    /// Entries in them, if that is known.
    pub(crate) entries_lost: Option<u64>,
    /// Entries of the same file that are in use.
    pub(crate) entries_saved: Option<u64>,
    /// When the file was last written.
    pub(crate) written_at: Option<WallTime>,
    /// The damaged file, if there is one.
    pub(crate) kept_as: Option<PathBuf>,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holds = if self.holds.is_empty() {
            "unknown".to_owned()
        } else {
            self.holds.join(", ")
        };
        let Self {
            file,
            reason,
            bytes_lost,
            ..
        } = self;
        write!(f, "{file} ({holds}): {reason}; {bytes_lost} bytes")?;
        if let Some(entries) = self.entries_lost {
            write!(f, ", {entries} entries")?;
        }
        if let Some(at) = self.written_at {
            write!(f, ", written {}", at.whole_secs().rfc3339())?;
        }
        Ok(())
    }
}

/// Where damaged files of a store are put: beside the store.
pub(crate) fn quarantine_of(store: &Path) -> PathBuf {
    store.with_file_name("quarantine")
}

/// A fresh folder for damaged files, for their owner only.
///
/// # Errors
/// Those of the file system.
pub(super) fn fresh_folder(store: &Path, at: WallTime) -> io::Result<PathBuf> {
    let quarantine = quarantine_of(store);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&quarantine)?;
    let stamp = at.whole_secs().rfc3339().replace(':', "");
    let mut number = 0;
    loop {
        let name = if number == 0 {
            stamp.clone()
        } else {
            format!("{stamp}-{number}")
        };
        let folder = quarantine.join(name);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            made => return made.map(|()| folder),
        }
    }
}

/// Leaves the list of what was lost with the damaged files.
///
/// # Errors
/// Those of the file system.
pub(super) fn write_list(folder: &Path, losses: &[Loss]) -> io::Result<()> {
    let json = serde_json::to_vec_pretty(losses).map_err(io::Error::other)?;
    let mut file = File::create(folder.join(LIST_FILE))?;
    file.write_all(&json)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

/// Folders of damaged files beside a store, the oldest first, and what was lost with each.
///
/// # Errors
/// Those of the file system, and a list that cannot be read.
pub(crate) fn lists(store: &Path) -> io::Result<Vec<(PathBuf, Vec<Loss>)>> {
    let folders = match fs::read_dir(quarantine_of(store)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        folders => folders?,
    };
    let mut found = Vec::new();
    for folder in folders {
        let folder = folder?.path();
        let list = match fs::read(folder.join(LIST_FILE)) {
            Ok(list) => serde_json::from_slice(&list)?,
            // It was cut off before the list was written: the files are there all the same.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        found.push((folder, list));
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

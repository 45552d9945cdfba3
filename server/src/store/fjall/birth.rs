//! A store that was being made when the power went has never begun. The engine would refuse what is there of it, so it
//! goes, and the store is made anew.
//!
//! The engine writes its version last, and nothing of ours before that: without it, and with journals that hold nothing,
//! nobody was promised anything.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::VERSION_FILE;

/// What the file of the version holds.
const VERSION_BYTES: usize = 4;
const KEYSPACES_FOLDER: &str = "keyspaces";
/// What is read of a journal at once, bytes.
const READ_BYTES: usize = 64 * 1024;

/// Removes what is there of a store that has never begun.
pub(super) fn forget_unborn(folder: &Path) -> io::Result<()> {
    let version = match fs::read(folder.join(VERSION_FILE)) {
        Ok(version) => Some(version),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if version.as_ref().is_some_and(|it| it.len() == VERSION_BYTES) || has_keyspaces(folder)? {
        return Ok(());
    }
    let journals = journals(folder)?;
    for path in &journals {
        if !is_blank(path)? {
            return Ok(());
        }
    }
    for path in &journals {
        fs::remove_file(path)?;
    }
    if version.is_some() {
        fs::remove_file(folder.join(VERSION_FILE))?;
    }
    Ok(())
}

fn has_keyspaces(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder.join(KEYSPACES_FOLDER)) {
        Ok(mut keyspaces) => Ok(keyspaces.next().is_some()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn journals(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(journals),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            journals.push(path);
        }
    }
    Ok(journals)
}

fn is_blank(path: &Path) -> io::Result<bool> {
    let (mut file, mut block) = (File::open(path)?, vec![0; READ_BYTES]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(true),
            bytes if block.iter().take(bytes).all(|byte| *byte == 0) => {}
            _ => return Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_store_that_was_cut_off_while_it_was_made_is_made_anew() {
        for version in [None, Some("")] {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join(KEYSPACES_FOLDER)).unwrap();
            fs::write(folder.path().join("0.jnl"), [0; 100]).unwrap();
            if let Some(version) = version {
                fs::write(folder.path().join(VERSION_FILE), version).unwrap();
            }
            forget_unborn(folder.path()).unwrap();
            assert_eq!(files(folder.path()), 1);
            assert!(super::super::Opened::open(folder.path()).is_ok());
        }
    }

    #[test]
    fn what_holds_anything_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("0.jnl"), [0, 0, 1]).unwrap();
        forget_unborn(folder.path()).unwrap();
        assert_eq!(files(folder.path()), 1);
        fs::write(folder.path().join("0.jnl"), [0]).unwrap();
        fs::create_dir_all(folder.path().join(KEYSPACES_FOLDER).join("1")).unwrap();
        forget_unborn(folder.path()).unwrap();
        assert_eq!(files(folder.path()), 2);
    }
}

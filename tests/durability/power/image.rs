//! What a disk holds at one moment: folders and files, each with what was written to it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cloudsignal_tests::random::Random;

/// What a disk writes as a whole.
const SECTOR_BYTES: usize = 512;

/// What a disk holds when the power is back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(super) folders: Vec<PathBuf>,
    pub(super) files: BTreeMap<PathBuf, Content>,
}

/// A file: what was written, and zeros up to its length.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) len: u64,
}

/// A change of a file.
#[derive(Clone, Debug)]
pub(super) enum What {
    Bytes { at: u64, bytes: Vec<u8> },
    Len(u64),
}

impl Content {
    pub(super) fn apply(&mut self, what: &What) {
        match what {
            What::Bytes { at, bytes } => self.write(*at, bytes),
            What::Len(len) => {
                self.len = *len;
                let kept = usize::try_from(*len).unwrap_or(usize::MAX).min(self.bytes.len());
                self.bytes.truncate(kept);
            }
        }
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        let start = usize::try_from(at).expect("files of a test fit into memory");
        let end = start + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(bytes);
        self.len = self.len.max(end as u64);
    }

    pub(super) fn apply_head(&mut self, what: &What, dice: &mut Random) {
        match what {
            What::Len(_) => self.apply(what),
            What::Bytes { at, bytes } => {
                let end = usize::try_from(dice.between(0, bytes.len() as u64)).unwrap_or(0);
                self.write(*at, &bytes[..end]);
            }
        }
    }

    pub(super) fn apply_sectors(&mut self, what: &What, dice: &mut Random) {
        match what {
            What::Len(_) => {
                if dice.chance(50) {
                    self.apply(what);
                }
            }
            What::Bytes { at, bytes } => {
                let mut start = 0;
                while start < bytes.len() {
                    let place = usize::try_from(*at).unwrap_or(0) + start;
                    let end = bytes.len().min(start + SECTOR_BYTES - place % SECTOR_BYTES);
                    if dice.chance(50) {
                        self.write(*at + start as u64, &bytes[start..end]);
                    }
                    start = end;
                }
            }
        }
    }
}

impl Image {
    /// Tells images apart.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.folders.hash(&mut hasher);
        self.files.hash(&mut hasher);
        hasher.finish()
    }

    /// Makes the folder anew.
    pub(crate) fn lay(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("a folder for an image");
        for below in &self.folders {
            fs::create_dir_all(folder.join(below)).expect("a folder of an image");
        }
        for (below, content) in &self.files {
            let path = folder.join(below);
            if !path.parent().is_some_and(Path::is_dir) {
                continue;
            }
            let file = File::create(&path).expect("a file of an image");
            file.write_all_at(&content.bytes, 0)
                .expect("an image fits the disk");
            file.set_len(content.len).expect("a file takes its length");
        }
    }
}

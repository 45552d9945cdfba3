//! The store of a broker that does not run: what tools open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::embedded::{Batch, Engine as _, META_SEQ, Pairs, read_meta};
use super::fjall::FjallEngine;
use super::view::{Space, View};
use super::{DataLoss, StoreError, format};
use crate::clock::Clock;

/// Most bytes that are written at once.
const WRITE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Opened without a commit thread. No broker can open it meanwhile.
#[derive(Debug)]
pub(crate) struct Stopped {
    engine: FjallEngine,
    folder: PathBuf,
    pairs: Pairs,
    bytes: usize,
}

impl Stopped {
    /// Opens the store in `folder`, which must be one.
    ///
    /// # Errors
    /// [`StoreError::NoStore`], [`StoreError::InUse`], [`StoreError::Format`] and [`StoreError::Failed`].
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        if !Self::is_in(folder) {
            return Err(StoreError::NoStore(folder.to_owned()));
        }
        Self::create(folder)
    }

    /// Whether there is a store in a folder.
    pub(crate) fn is_in(folder: &Path) -> bool {
        FjallEngine::is_store(folder)
    }

    /// Opens the store in `folder`, or makes it. What is damaged is put aside, as at the start of a broker.
    ///
    /// # Errors
    /// As [`Stopped::open`].
    pub(crate) fn create(folder: &Path) -> Result<Self, StoreError> {
        let engine = FjallEngine::open(folder, Clock::system(), DataLoss::Refused)?;
        read_meta(&engine)?;
        Ok(Self {
            engine,
            folder: folder.to_owned(),
            pairs: Pairs::new(),
            bytes: 0,
        })
    }

    /// What is stored now.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub(crate) fn view(&self) -> Result<Arc<dyn View>, StoreError> {
        self.engine.view().map_err(StoreError::Failed)
    }

    /// Bytes that its files take on the disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn disk_bytes(&self) -> io::Result<u64> {
        disk_bytes(&self.folder)
    }

    /// The layout of what is stored.
    pub(crate) const fn format() -> u8 {
        format::STORE_VERSION
    }

    /// Sets or removes a key. It is stored when [`Stopped::write_out`] has answered.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub(crate) fn write(
        &mut self,
        space: Space,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        self.pairs.insert((space, key), value);
        if self.bytes >= WRITE_BYTES_MAX {
            self.write_out()?;
        }
        Ok(())
    }

    /// Takes over a fact of another store: positions are never used again, so the higher last one holds.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub(crate) fn raise_meta(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let known = self.engine.get(Space::Meta, key).map_err(StoreError::Failed)?;
        if key == META_SEQ && known.is_none_or(|known| known[..] < *value) {
            self.write(Space::Meta, key.to_vec(), Some(value.to_vec()))?;
        }
        Ok(())
    }

    /// Everything that was written is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub(crate) fn write_out(&mut self) -> Result<(), StoreError> {
        self.bytes = 0;
        let pairs = std::mem::take(&mut self.pairs);
        let batch = Batch {
            pairs,
            ..Batch::default()
        };
        self.engine.apply(&batch).map_err(StoreError::Failed)
    }
}

/// Bytes that the files in a folder take on the disk; what was never written of them takes none.
///
/// # Errors
/// Those of the file system.
pub(crate) fn disk_bytes(folder: &Path) -> io::Result<u64> {
    /// Of what `blocks` counts.
    const BLOCK_BYTES: u64 = 512;
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += std::os::unix::fs::MetadataExt::blocks(&metadata) * BLOCK_BYTES;
            }
        }
    }
    Ok(bytes)
}

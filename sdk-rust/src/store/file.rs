//! A store in a file, kept by redb: one transaction for all that has gathered, on the disk when it is over.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use redb::{Database, DatabaseError, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::{Change, RecordKey, Store};

const RECORDS: TableDefinition<'_, [u8; RecordKey::BYTES], &[u8]> = TableDefinition::new("records");

/// The file in the folder that is given.
const FILE: &str = "client.redb";

/// What redb may keep in memory, bytes: everything here is small, and read once.
const CACHE_BYTES: usize = 1 << 20;

/// A folder of one client. It survives the end of the process at any moment, and the loss of power.
pub struct FileStore {
    database: Database,
}

impl fmt::Debug for FileStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FileStore").finish_non_exhaustive()
    }
}

impl FileStore {
    /// Opens the store in this folder, or makes both. Blocks while the file is read.
    ///
    /// # Errors
    /// When another client has it open, or the system says no.
    pub fn open(folder: impl AsRef<Path>) -> io::Result<Self> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder)?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(folder.join(FILE))
            .map_err(|error| {
                if let DatabaseError::DatabaseAlreadyOpen = error {
                    io::Error::new(io::ErrorKind::ResourceBusy, "another client has this store open")
                } else {
                    io::Error::other(error)
                }
            })?;
        Ok(Self { database })
    }
}

impl Store for FileStore {
    fn load(&mut self) -> io::Result<Vec<(RecordKey, Vec<u8>)>> {
        let transaction = self.database.begin_read().map_err(io::Error::other)?;
        let records = match transaction.open_table(RECORDS) {
            Ok(records) => records,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(io::Error::other(error)),
        };
        let mut loaded = Vec::new();
        for entry in records.iter().map_err(io::Error::other)? {
            let (key, record) = entry.map_err(io::Error::other)?;
            loaded.push((RecordKey::from_bytes(key.value()), record.value().to_vec()));
        }
        Ok(loaded)
    }

    fn apply(&mut self, changes: &[Change]) -> io::Result<()> {
        let mut transaction = self.database.begin_write().map_err(io::Error::other)?;
        transaction
            .set_durability(Durability::Immediate)
            .map_err(io::Error::other)?;
        {
            let mut records = transaction.open_table(RECORDS).map_err(io::Error::other)?;
            for Change { key, record } in changes {
                match record {
                    Some(record) => records.insert(key.as_bytes(), &**record).map(drop),
                    None => records.remove(key.as_bytes()).map(drop),
                }
                .map_err(io::Error::other)?;
            }
        }
        transaction.commit().map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use cloudsignal_core::client::Key;

    use super::*;

    fn change(order: u64, record: Option<&[u8]>) -> Change {
        Change {
            key: RecordKey::new(Key::Outgoing(order)),
            record: record.map(Into::into),
        }
    }

    #[test]
    fn what_was_applied_is_there_when_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = FileStore::open(folder.path().join("new")).unwrap();
        assert_eq!(store.load().unwrap(), []);
        store
            .apply(&[change(1, Some(b"one")), change(2, Some(b"two"))])
            .unwrap();
        store
            .apply(&[change(1, None), change(2, Some(b"deux")), change(3, None)])
            .unwrap();
        drop(store);
        let mut store = FileStore::open(folder.path().join("new")).unwrap();
        let deux = (RecordKey::new(Key::Outgoing(2)), b"deux".to_vec());
        assert_eq!(store.load().unwrap(), [deux]);
    }

    #[test]
    fn one_client_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let _first = FileStore::open(folder.path()).unwrap();
        let second = FileStore::open(folder.path()).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::ResourceBusy);
    }
}

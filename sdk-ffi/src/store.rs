//! A store that is written in another language.

use std::fmt;
use std::io;

use cloudsignal::{Change, RecordKey, Store};

/// Keeps the records of one client, which mean something to it only. It is called on threads of the library, never twice
/// at once, and may take its time; it must not call the client.
#[uniffi::export(callback_interface)]
pub trait RecordStore: Send + Sync {
    /// Everything that is kept, in any order. Called once, while the client is made, before anything else.
    ///
    /// # Errors
    /// The client is then not made.
    fn load(&self) -> Result<Vec<StoredRecord>, StoreError>;

    /// Makes all of these changes or none, in this order, and comes back when they will survive.
    ///
    /// # Errors
    /// The store is not asked again; the client goes on without it and says so.
    fn apply(&self, changes: Vec<StoredRecord>) -> Result<(), StoreError>;
}

/// A record, or a change of one.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct StoredRecord {
    /// Its name: 9 bytes.
    pub key: Vec<u8>,
    /// What it holds. `None` in a change: it is forgotten, whether it was there or not.
    pub value: Option<Vec<u8>>,
}

impl fmt::Debug for StoredRecord {
    /// Not what is in it: that is the application's.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.value.as_ref().map(Vec::len);
        write!(out, "{:?}: {bytes:?} bytes", self.key)
    }
}

/// Why a store does not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum StoreError {
    /// It cannot read or write.
    #[error("{detail}")]
    Failed {
        /// What has happened, for people.
        detail: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for StoreError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { detail: error.reason }
    }
}

/// The same for the client.
pub(crate) struct Foreign(pub(crate) Box<dyn RecordStore>);

impl fmt::Debug for Foreign {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Foreign").finish_non_exhaustive()
    }
}

impl Store for Foreign {
    fn load(&mut self) -> io::Result<Vec<(RecordKey, Vec<u8>)>> {
        let records = self.0.load().map_err(io::Error::other)?;
        records.into_iter().map(known).collect()
    }

    fn apply(&mut self, changes: &[Change]) -> io::Result<()> {
        let changes = changes.iter().map(|Change { key, record }| StoredRecord {
            key: key.as_bytes().to_vec(),
            value: record.as_ref().map(|record| record.to_vec()),
        });
        self.0.apply(changes.collect()).map_err(io::Error::other)
    }
}

fn known(record: StoredRecord) -> io::Result<(RecordKey, Vec<u8>)> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let key = record
        .key
        .try_into()
        .map_err(|_| invalid("the store has given a record whose name has not 9 bytes"))?;
    let value = record
        .value
        .ok_or_else(|| invalid("the store has given a record that holds nothing"))?;
    Ok((RecordKey::from_bytes(key), value))
}

//! What readers get: entries, pages, the tail of a log, the changes of a table.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{broadcast, watch};

use cloudsignal_broker::OrgId;

use super::{FormatError, Key, Prefix, Seq, Store, Table};
use crate::clock::WallTime;

/// Most bytes of values in one page of a scan or a read; one entry may exceed it alone.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Changes that a watcher may fall behind before it is told [`WatchEnd::Lagged`].
pub const WATCH_EVENTS_MAX: usize = 4_096;

/// An answer of the store, later. Reading never blocks the thread that waits for it.
pub type Reading<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// What is stored was written by another program version, or is damaged.
    #[error("{place}: {error}")]
    Format {
        /// Table and key.
        place: String,
        /// What is wrong with it.
        error: FormatError,
    },
    /// Files of it are damaged, and more is lost with them than anybody but an operator may decide.
    #[error(
        "the store is damaged: {0}; restore a backup (cloudsignal restore), or start with --accept-data-loss: then what is damaged is put aside, and what was in it is lost"
    )]
    Damaged(String),
    /// There is nothing to open.
    #[error("{} holds no store", .0.display())]
    NoStore(PathBuf),
    /// Another process has the data folder open.
    #[error("the data folder is in use by another process; stop that one first")]
    InUse,
    /// The disk refused.
    #[error("the store cannot read: {0}")]
    Failed(String),
    /// The store is closing.
    #[error("the store is closed")]
    Stopped,
}

/// An entry of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// The commit that wrote it.
    pub seq: Seq,
    /// When it goes by itself.
    pub expires_at: Option<WallTime>,
    /// Its value.
    pub value: Bytes,
}

/// Part of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In key order.
    pub entries: Vec<Entry>,
    /// Where to go on: pass it as `after`. `None` when this was the last page.
    pub next: Option<Key>,
}

/// A record of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Its position.
    pub seq: Seq,
    /// Its bytes.
    pub record: Bytes,
}

/// A change of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which table.
    pub table: Table,
    /// Which key.
    pub key: Key,
    /// By which commit.
    pub seq: Seq,
    /// What happened.
    pub change: Change,
}

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has this value now.
    Put(Bytes),
    /// It was deleted.
    Deleted,
    /// Its time was over.
    Expired,
}

/// The changes of a table below a prefix, in order, from the moment of [`Store::watch`] on.
#[derive(Debug)]
pub struct Watch {
    pub(super) events: broadcast::Receiver<Event>,
    pub(super) table: Table,
    pub(super) prefix: Prefix,
}

/// Why a watch cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchEnd {
    /// Changes were missed. Scan again; the watch goes on from here.
    #[error("the watcher fell behind by more than {WATCH_EVENTS_MAX} changes")]
    Lagged,
    /// The store is closed.
    #[error("the store is closed")]
    Stopped,
}

impl Watch {
    /// The next change. Cancel-safe.
    ///
    /// # Errors
    /// [`WatchEnd`]
    pub async fn next(&mut self) -> Result<Event, WatchEnd> {
        loop {
            match self.events.recv().await {
                Ok(event) if event.table == self.table && self.prefix.holds(&event.key) => return Ok(event),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => return Err(WatchEnd::Lagged),
                Err(broadcast::error::RecvError::Closed) => return Err(WatchEnd::Stopped),
            }
        }
    }
}

/// An organization's log from some position on: what is there, then what comes.
///
/// It holds no queue: a slow reader costs the store nothing.
#[derive(Debug)]
pub struct Tail {
    store: Arc<dyn Store>,
    org: OrgId,
    next: Seq,
    committed: watch::Receiver<Seq>,
}

impl Tail {
    /// Follows the log of `org` from `from` on.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, org: OrgId, from: Seq) -> Self {
        let committed = store.committed();
        Self {
            store,
            org,
            next: from,
            committed,
        }
    }

    /// The next records in order, at least one and at most `records_max`; waits for the first.
    /// Cancel-safe: records of a dropped call come again.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] when the store closes, or what reading answers.
    pub async fn next(&mut self, records_max: usize) -> Result<Vec<LogRecord>, StoreError> {
        loop {
            // Marked as seen before reading, so a commit during the read wakes us again.
            self.committed.borrow_and_update();
            let records = self.store.read(&self.org, self.next, records_max).await?;
            if let Some(last) = records.last() {
                self.next = last.seq.next();
                return Ok(records);
            }
            self.committed
                .changed()
                .await
                .map_err(|_closed| StoreError::Stopped)?;
        }
    }
}

//! What a writer asks for, and what it is told.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use cloudsignal_broker::OrgId;
use cloudsignal_core::codec::PACKET_BYTES_MAX;

use super::key::KEY_BYTES_MAX;
use super::shelf::{SHELF_WRITES_MAX, ShelfWrites};
use super::{Key, Seq, Store, Table};

/// Most single writes of one commit.
pub const COMMIT_WRITES_MAX: usize = 10_000;
/// Most bytes of one commit: the largest MQTT packet and room for the rest.
pub const COMMIT_BYTES_MAX: usize = 300 * 1024 * 1024;
/// What a message takes more in a commit than it did as a packet: keys, and what is written about it.
const ROOM_BYTES_MIN: usize = 1024 * 1024;
const _: () = assert!(
    COMMIT_BYTES_MAX - ROOM_BYTES_MIN > PACKET_BYTES_MAX as usize,
    "whatever a client may send can be stored"
);

/// A group of writes that happens as a whole or not at all.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    pub(super) appends: Vec<Append>,
    pub(super) ops: Vec<Op>,
    pub(super) trims: Vec<Trim>,
    pub(super) shelves: Vec<Arc<ShelfWrites>>,
    pub(super) survives: Survives,
}

/// What a commit is safe from once it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Survives {
    /// The end of the process, however it comes. The system has the bytes.
    Crash,
    /// The loss of power too. The disk has the bytes.
    #[default]
    PowerLoss,
}

#[derive(Clone, Debug)]
pub(super) struct Append {
    pub(super) org: OrgId,
    pub(super) record: Bytes,
}

#[derive(Clone, Debug)]
pub(super) struct Trim {
    pub(super) org: OrgId,
    pub(super) up_to: Seq,
}

#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) table: Table,
    pub(super) key: Key,
    pub(super) expect: Expect,
    pub(super) write: Write,
}

#[derive(Clone, Debug)]
pub(super) enum Write {
    Put {
        value: Bytes,
        ttl: Option<Duration>,
    },
    Delete,
    /// Only the expectation matters.
    Nothing,
}

/// What a commit relies on for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// The key has no entry, or it has expired.
    Absent,
    /// The entry was last written by this position.
    At(Seq),
}

impl Commit {
    /// An empty commit. It may stay empty; then it says when everything before it is stored.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a record to an organization's log, after those already in this commit.
    #[must_use]
    pub fn append(mut self, org: &OrgId, record: impl Into<Bytes>) -> Self {
        self.appends.push(Append {
            org: org.clone(),
            record: record.into(),
        });
        self
    }

    /// Removes an organization's records up to and including `up_to`.
    #[must_use]
    pub fn trim(mut self, org: &OrgId, up_to: Seq) -> Self {
        self.trims.push(Trim {
            org: org.clone(),
            up_to,
        });
        self
    }

    /// Sets a key.
    #[must_use]
    pub fn put(self, table: Table, key: Key, expect: Expect, value: impl Into<Bytes>) -> Self {
        self.op(
            table,
            key,
            expect,
            Write::Put {
                value: value.into(),
                ttl: None,
            },
        )
    }

    /// Sets a key for `ttl`; then it is gone as if deleted.
    #[must_use]
    pub fn put_for(
        self,
        table: Table,
        key: Key,
        expect: Expect,
        value: impl Into<Bytes>,
        ttl: Duration,
    ) -> Self {
        self.op(
            table,
            key,
            expect,
            Write::Put {
                value: value.into(),
                ttl: Some(ttl),
            },
        )
    }

    /// Removes a key.
    #[must_use]
    pub fn delete(self, table: Table, key: Key, expect: Expect) -> Self {
        self.op(table, key, expect, Write::Delete)
    }

    /// Relies on a key without writing it.
    #[must_use]
    pub fn expect(self, table: Table, key: Key, expect: Expect) -> Self {
        self.op(table, key, expect, Write::Nothing)
    }

    /// Writes to shelves. The caller may keep the writes, to write them again.
    #[must_use]
    pub fn shelve(mut self, writes: Arc<ShelfWrites>) -> Self {
        self.shelves.push(writes);
        self
    }

    /// What the commit must survive before it is acknowledged: [`Survives::PowerLoss`] if nothing is said.
    #[must_use]
    pub const fn surviving(mut self, survives: Survives) -> Self {
        self.survives = survives;
        self
    }

    fn op(mut self, table: Table, key: Key, expect: Expect, write: Write) -> Self {
        self.ops.push(Op {
            table,
            key,
            expect,
            write,
        });
        self
    }

    pub(super) fn records(&self) -> usize {
        self.appends.len() + self.ops.len() + self.trims.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let appended: usize = self.appends.iter().map(|append| append.record.len()).sum();
        let put: usize = self
            .ops
            .iter()
            .map(|op| op.key.as_bytes().len() + op.write.bytes())
            .sum();
        let shelved: usize = self.shelves.iter().map(|writes| writes.bytes()).sum();
        appended + put + shelved
    }

    /// What it makes of keys, in their order: what it relies on, and the value unless the key is removed.
    pub(crate) fn writes(&self) -> impl Iterator<Item = (Table, &Key, Expect, Option<&Bytes>)> {
        self.ops.iter().filter_map(|op| match &op.write {
            Write::Put { value, .. } => Some((op.table, &op.key, op.expect, Some(value))),
            Write::Delete => Some((op.table, &op.key, op.expect, None)),
            Write::Nothing => None,
        })
    }

    /// Whether a value that goes to a shelf has these bytes in it.
    #[cfg(test)]
    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        let values = self.shelves.iter().flat_map(|writes| writes.entries());
        let mut values = values.filter_map(|(.., value)| value);
        values.any(|value| value.windows(bytes.len()).any(|part| part == bytes))
    }

    pub(super) fn check_size(&self) -> Result<(), CommitError> {
        if self.records() > COMMIT_WRITES_MAX {
            return Err(CommitError::TooLarge {
                what: "writes",
                max: COMMIT_WRITES_MAX,
            });
        }
        if self.shelves.iter().map(|writes| writes.len()).sum::<usize>() > SHELF_WRITES_MAX {
            return Err(CommitError::TooLarge {
                what: "writes to shelves",
                max: SHELF_WRITES_MAX,
            });
        }
        if self.bytes() > COMMIT_BYTES_MAX {
            return Err(CommitError::TooLarge {
                what: "bytes",
                max: COMMIT_BYTES_MAX,
            });
        }
        let shelved = self.shelves.iter().map(|writes| writes.key_bytes_max());
        let keys = self.ops.iter().map(|op| op.key.as_bytes().len()).chain(shelved);
        if keys.max().is_some_and(|bytes| bytes > KEY_BYTES_MAX) {
            return Err(CommitError::TooLarge {
                what: "bytes in a key",
                max: KEY_BYTES_MAX,
            });
        }
        Ok(())
    }
}

impl Write {
    fn bytes(&self) -> usize {
        match self {
            Self::Put { value, .. } => value.len(),
            Self::Delete | Self::Nothing => 0,
        }
    }
}

/// Where a commit stands in the order of all commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Position of its first appended record; of its puts if it appended nothing.
    pub first: Seq,
    /// Position of its last appended record, and of its puts. Records in between are consecutive.
    pub last: Seq,
}

/// Hears once what became of a commit, on the commit thread: be short, never wait for the store there.
pub type Done = Box<dyn FnOnce(Result<Committed, CommitError>) + Send>;

/// Why a commit did not happen. Nothing of it is stored, except where the variant says otherwise.
///
/// | whose fault | variants | tried again as it is |
/// |---|---|---|
/// | the commit's | `Conflict`, `TooLarge`, `Refused` | it fails again: [`CommitError::is_final`] |
/// | the store's | `Busy`, `Failed` | it may succeed, at once or once the disk works |
/// | nobody's | `Stopped` | not in this process |
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Another writer was first.
    #[error("{key:?} in table {} is not as expected", table.name())]
    Conflict {
        /// The table.
        table: Table,
        /// The first key whose expectation failed.
        key: Key,
    },
    /// The commit is larger than any may be.
    #[error("a commit may have at most {max} {what}")]
    TooLarge {
        /// Which measure.
        what: &'static str,
        /// Its bound.
        max: usize,
    },
    /// The engine takes nothing like it: it gave up on this commit alone, and again after it was reopened.
    #[error("the store cannot hold it: {0}")]
    Refused(String),
    /// Too much is waiting to be stored. Try again.
    #[error("the store is busy: too much waits to be written")]
    Busy,
    /// The store is closing.
    #[error("the store is closed")]
    Stopped,
    /// The disk refused. Whether the commit survives a restart is not known: do not acknowledge it.
    #[error("the store cannot write: {0}")]
    Failed(String),
}

impl CommitError {
    /// Whether the same commit will never be stored, however often it is tried.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Conflict { .. } | Self::TooLarge { .. } | Self::Refused(_) => true,
            Self::Busy | Self::Stopped | Self::Failed(_) => false,
        }
    }
}

/// Waiting for a commit, for callers that may await.
pub trait StoreExt {
    /// Commits, and answers when that is on stable storage.
    ///
    /// Dropping the future does not take the commit back.
    fn write(&self, commit: Commit) -> impl Future<Output = Result<Committed, CommitError>> + Send;
}

impl<S: Store + ?Sized> StoreExt for S {
    async fn write(&self, commit: Commit) -> Result<Committed, CommitError> {
        let (tell, told) = oneshot::channel();
        self.commit(
            commit,
            Box::new(move |outcome| {
                // Nobody listens any more: the commit stands all the same.
                let _ = tell.send(outcome);
            }),
        );
        told.await.unwrap_or(Err(CommitError::Stopped))
    }
}

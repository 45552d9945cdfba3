//! Stable storage: an ordered log and keyed tables behind one small trait.
//!
//! | file | holds |
//! |---|---|
//! | [`key`] | keys: every one begins with its organization, or with `sys/` |
//! | [`commit`] | what a writer asks for, and what it is told |
//! | [`shelf`] | bytes that are written much and that nobody watches: sessions, queues, messages |
//! | [`meters`] | what a store counts |
//! | [`reading`] | entries, pages, [`Tail`] of the log and [`Watch`] of a table |
//! | [`format`](mod@format) | bytes of a stored record, with their version |
//! | `embedded` | the commit thread: group commit, expectations, expiry |
//! | [`fjall`] | on disk |
//! | [`view`] | everything at one moment, for backups and tools |
//! | [`loss`] | what was lost with damaged files |
//! | `stopped` | the store of a broker that does not run |
//! | [`memory`] | in memory, for tests and for what need not outlive the process |
//!
//! # What is promised
//!
//! - A [`Commit`] is all or nothing, over tables and log together, and commits happen one after the
//!   other: what one expects is judged against all that came before it.
//! - Its `done` is called once, after the commit is on stable storage (or with the system, if it asked for no
//!   more: [`Survives`]). Nothing that is not on stable
//!   storage can be read, watched or tailed.
//! - No method blocks the caller. `done` runs on the store's own commit thread: it must be short and
//!   must not wait for the store.
//! - A commit that could not be written is not acknowledged. Whether it is there after a restart is not known: who
//!   must know writes it again.
//! - Full means refused: [`CommitError::Busy`], at once. Callers slow down whoever feeds them.

pub mod commit;
mod embedded;
pub mod fjall;
#[cfg(test)]
pub(crate) mod flaky;
pub mod format;
pub mod key;
pub mod loss;
pub mod memory;
pub mod meters;
pub mod reading;
pub mod shelf;
pub(crate) mod stopped;
pub mod view;

#[cfg(test)]
pub(crate) mod conformance;

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use cloudsignal_broker::OrgId;

pub use commit::{Commit, CommitError, Committed, Done, Expect, StoreExt, Survives};
pub use format::FormatError;
pub use key::{Key, Prefix};
pub use loss::DataLoss;
pub use meters::Meters;
pub use reading::{Change, Entry, Event, LogRecord, Page, Reading, StoreError, Tail, Watch, WatchEnd};
pub use shelf::{Shelf, ShelfPage, ShelfWrites};

use view::View;

/// Position in the order of all commits of a store. Starts at 1 and rises; a log may skip numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// Before everything.
    pub const ZERO: Self = Self(0);

    /// The position right after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The keyed tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Organizations, users, keys, policies, marks of tokens.
    Config,
    /// Connections that have ended.
    History,
    /// Who changed what.
    Audit,
    /// What organizations have used, by day and by month.
    Usage,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 4] = [Self::Config, Self::History, Self::Audit, Self::Usage];

    /// The table's name in a data folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::History => "history",
            Self::Audit => "audit",
            Self::Usage => "usage",
        }
    }
}

/// Where state outlives the process. See the module for what is promised.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Puts `commit` in line; `done` hears when it is on stable storage, or why it never will be.
    ///
    /// `done` is called on this very call for a commit that is refused at the door
    /// ([`CommitError::Busy`], [`CommitError::TooLarge`], [`CommitError::Stopped`]).
    fn commit(&self, commit: Commit, done: Done);

    /// The entry of a key, unless it has expired.
    fn get(&self, table: Table, key: &Key) -> Reading<Option<Entry>>;

    /// Entries in key order whose keys begin with `prefix` and come after `after`: at most `entries_max`,
    /// and no more than [`reading::PAGE_BYTES_MAX`] of them.
    fn scan(&self, table: Table, prefix: &Prefix, after: Option<&Key>, entries_max: usize) -> Reading<Page>;

    /// Records of an organization's log in order, from `from` on: at most `records_max`, and no more than
    /// [`reading::PAGE_BYTES_MAX`] of them.
    fn read(&self, org: &OrgId, from: Seq, records_max: usize) -> Reading<Vec<LogRecord>>;

    /// Entries of an organization's shelf in key order, whose keys begin with `prefix` and come after `after`: at
    /// most `entries_max`, and no more than [`reading::PAGE_BYTES_MAX`] of them.
    fn shelf(
        &self,
        shelf: Shelf,
        org: &OrgId,
        prefix: &[u8],
        after: Option<&[u8]>,
        entries_max: usize,
    ) -> Reading<ShelfPage>;

    /// Every later change of a table below `prefix`. Start watching, then scan: nothing is missed.
    fn watch(&self, table: Table, prefix: Prefix) -> Watch;

    /// The last position on stable storage, as it moves.
    fn committed(&self) -> watch::Receiver<Seq>;

    /// What it counts.
    fn meters(&self) -> &Meters;

    /// Everything as it is now, across organizations.
    ///
    /// A store that only stands before another one has nothing to show.
    fn view(&self) -> Reading<Arc<dyn View>> {
        let refused = StoreError::Failed("this store cannot be copied".into());
        Box::pin(std::future::ready(Err(refused)))
    }
}

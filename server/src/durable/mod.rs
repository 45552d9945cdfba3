//! What organizations have to remember is stored here, and read back at the start.
//!
//! | file | holds |
//! |---|---|
//! | `backlog` | changes that are not stored yet; what cancels out is never written |
//! | `known` | what of the store is remembered |
//! | `batch` | what one commit writes, and its bytes |
//! | `block` | deliveries of a session that are written together are one entry |
//! | `pipeline` | when the next commit is made, and what holds back when it takes long |
//! | `committer` | hands commits to the store, one at a time |
//! | `kept` | what is being written, until it is stored; what never can be is found and given up |
//! | `task` | one per organization: acknowledges what is stored, retries what failed, sweeps |
//! | `fetch` | queues that are not in memory are read when their time comes |
//! | `restore` | from the store to organizations, at the start |
//! | `quarantine` | what could not be understood is put aside |
//! | `runs` | how often the process has begun |
//! | `survey` | what a store holds, counted |
//! | `keys`, `record` | bytes of keys and of values |
//!
//! # What is promised
//!
//! An acknowledgement leaves after the changes that it promises are stored, at the level of durability that is
//! configured. Changes of one turn are stored together or not at all, and in the order of turns.
//!
//! What ends with its connection is not stored, and ends with the process: a session without expiry, its subscriptions,
//! and its will, which nobody publishes after a crash. [MQTT-3.1.2-8] wants a will kept with its session, and whoever
//! wants it to outlive the server gives the session an expiry: one second will do. Storing the others would make every
//! CONNECT with a will wait for the disk.

mod backlog;
mod batch;
#[cfg(test)]
pub(crate) mod bench;
mod block;
pub(crate) mod committer;
pub(crate) mod fetch;
mod kept;
mod keys;
mod known;
#[cfg(test)]
mod outage;
pub(crate) mod pipeline;
pub(crate) mod quarantine;
mod record;
pub(crate) mod restore;
mod runs;
pub(crate) mod survey;
pub(crate) mod task;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use cloudsignal_broker::{Org, OrgId};

use crate::clock::Clock;
use crate::store::{
    Commit, Expect, Key, Meters, Prefix, Shelf, ShelfWrites, Store, StoreError, StoreExt as _, Survives,
    Table,
};

pub(crate) use batch::Aside;

use committer::Committer;
pub(crate) use kept::Refused;
use known::Known;
use pipeline::Pipeline;
use restore::{RestoreError, Restored};

/// Both parts of what stores the changes of an organization.
pub(crate) type Stored = (Pipeline, Arc<Committer>);

/// Entries of an organization that is gone, removed in one commit.
const ERASE_ENTRIES_MAX: usize = 4_096;

/// Marks organizations that are gone and may have left something.
const ERASE: &str = "erase/";

/// Stands in the table of the configuration from the deletion of an organization on, until nothing of it is left.
pub(crate) fn erase_mark(org: &OrgId) -> Key {
    Key::of_system(&format!("{ERASE}{org}"))
}

/// What an acknowledgement survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The loss of power: the disk has the bytes.
    #[default]
    Disk,
    /// The end of the process, however it comes: the system has the bytes.
    Os,
    /// Nothing: sessions, queues and retained messages live in memory only.
    Memory,
}

impl Level {
    /// Every level.
    pub const ALL: [Self; 3] = [Self::Disk, Self::Os, Self::Memory];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Os => "os",
            Self::Memory => "memory",
        }
    }

    /// Whether anything is stored.
    pub(crate) const fn is_kept(self) -> bool {
        match self {
            Self::Disk | Self::Os => true,
            Self::Memory => false,
        }
    }

    /// What has to be true of its commits; `None`: there are none.
    const fn survives(self) -> Option<Survives> {
        match self {
            Self::Disk => Some(Survives::PowerLoss),
            Self::Os => Some(Survives::Crash),
            Self::Memory => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where organizations store what they have to remember, and how well.
#[derive(Clone, Debug)]
pub(crate) struct Durability {
    store: Arc<dyn Store>,
    clock: Clock,
    level: Level,
}

impl Durability {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock, level: Level) -> Self {
        Self { store, clock, level }
    }

    /// The same at another level; at this one, if there is none.
    pub(crate) fn at(&self, level: Option<Level>) -> Self {
        Self {
            level: level.unwrap_or(self.level),
            ..self.clone()
        }
    }

    /// For an organization of which the store holds what is `known`.
    fn pipeline(&self, org: &OrgId, known: Known) -> Stored {
        let committer = Committer::new(org, Arc::clone(&self.store), self.clock.clone(), self.level);
        let pipeline = if self.is_kept() {
            Pipeline::new(Arc::clone(&committer), known)
        } else {
            Pipeline::memory()
        };
        (pipeline, committer)
    }

    /// What the store counts.
    pub(crate) fn meters(&self) -> &Meters {
        self.store.meters()
    }

    /// What acknowledgements survive.
    pub(crate) const fn level(&self) -> Level {
        self.level
    }

    /// Whether anything is stored.
    pub(crate) const fn is_kept(&self) -> bool {
        self.level.is_kept()
    }

    /// Whether anything of an organization is stored.
    ///
    /// # Errors
    /// What the store answers.
    pub(crate) async fn holds_some(&self, org: &OrgId) -> Result<bool, StoreError> {
        for shelf in Shelf::ALL {
            let page = self.store.shelf(shelf, org, &[], None, 1).await?;
            if shelf != Shelf::Quarantine && !page.entries.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes everything that an organization has stored. Answers how many entries that were.
    ///
    /// # Errors
    /// What the store answers.
    pub(crate) async fn erase(&self, org: &OrgId) -> Result<u64, RestoreError> {
        let mut entries = 0;
        for shelf in Shelf::ALL {
            let mut after = None;
            loop {
                let page = self
                    .store
                    .shelf(shelf, org, &[], after.as_deref(), ERASE_ENTRIES_MAX);
                let page = page.await?;
                let mut writes = ShelfWrites::new(org);
                page.entries.iter().for_each(|(key, _)| writes.delete(shelf, key));
                entries += writes.len() as u64;
                self.store.write(Commit::new().shelve(Arc::new(writes))).await?;
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        let mark = Commit::new().delete(Table::Config, erase_mark(org), Expect::Any);
        self.store.write(mark).await?;
        Ok(entries)
    }

    /// Removes what deleted organizations have left, when the process ended in between. Answers how many they were.
    ///
    /// # Errors
    /// What the store answers.
    pub(crate) async fn erase_leftovers(&self) -> Result<u64, RestoreError> {
        let marks = Prefix::of_system(ERASE);
        let mut orgs = 0;
        // Each mark goes with what it stands for, so the first page is always the next one.
        loop {
            let page = self
                .store
                .scan(Table::Config, &marks, None, ERASE_ENTRIES_MAX)
                .await?;
            if page.entries.is_empty() {
                return Ok(orgs);
            }
            for entry in page.entries {
                let org = entry.key.path().and_then(|path| path.strip_prefix(ERASE));
                self.erase(&OrgId::new(org.unwrap_or_default())).await?;
                orgs += 1;
            }
        }
    }

    /// An organization that was read back, and what stores its changes.
    pub(crate) fn of(&self, restored: Restored) -> (Org, Stored) {
        let Restored { org, known, .. } = restored;
        let stored = self.pipeline(org.id(), known);
        (org, stored)
    }

    /// For an organization of which the store holds nothing.
    pub(crate) fn fresh(&self, org: &OrgId) -> Stored {
        self.pipeline(org, Known::default())
    }
}

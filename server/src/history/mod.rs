//! Connections that have ended: when, how long, why, and how much went through them.
//!
//! | file | holds |
//! |---|---|
//! | [`record`] | one ended connection, and why it ended |
//! | [`ring`] | where an organization's records are stored, and how they are found again |
//!
//! A record is noted after the organization's lock is free, and waits in memory until it is written with
//! others: at most [`BATCH_TIME_MAX`], at once when somebody reads, and when the server stops. A process
//! that is killed loses what waits, and the records of the connections that were open. When more waits
//! than [`PENDING_ENTRIES_MAX`], new records are lost too; that is counted and logged.
//!
//! An organization keeps its last [`ENTRIES_PER_ORG_MAX`] records, each for [`ENTRY_LIFETIME`].

pub(crate) mod record;
mod ring;

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use cloudsignal_broker::OrgId;

use crate::clock::{Clock, WallTime};
use crate::store::{Commit, CommitError, Store, StoreError, StoreExt as _};
pub(crate) use record::{EndReason, EndedConnection};
pub(crate) use ring::{HistoryPage, Wanted};

/// Longest time that a record waits to be written.
pub(crate) const BATCH_TIME_MAX: Duration = Duration::from_secs(1);
/// Records written in one commit.
const BATCH_ENTRIES_MAX: usize = 1_000;
/// Records of all organizations that may wait to be written, some 400 bytes each.
pub(crate) const PENDING_ENTRIES_MAX: usize = 65_536;
/// Records that an organization keeps.
pub(crate) const ENTRIES_PER_ORG_MAX: u64 = 65_536;
/// How long a record is kept: thirty days.
pub(crate) const ENTRY_LIFETIME: Duration = Duration::from_secs(30 * 86_400);
/// Pause after the store has refused.
const RETRY_TIME: Duration = Duration::from_millis(250);

/// The history of all organizations. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct History(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    clock: Clock,
    pending: Mutex<Pending>,
    arrived: Notify,
    /// Held by whoever writes: the next place of each organization that was written to.
    heads: tokio::sync::Mutex<BTreeMap<OrgId, u64>>,
}

#[derive(Debug, Default)]
struct Pending {
    entries: VecDeque<(OrgId, EndedConnection)>,
    /// Records that found no room since the last write.
    lost: u64,
}

impl History {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            store,
            clock,
            pending: Mutex::default(),
            arrived: Notify::new(),
            heads: tokio::sync::Mutex::default(),
        }))
    }

    /// The clock that tells records their times.
    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Notes that connections have ended. Never waits for the store.
    pub(crate) fn note(&self, org: &OrgId, ended: impl Iterator<Item = EndedConnection>) {
        let mut pending = self.0.pending.lock();
        for entry in ended {
            if pending.entries.len() < PENDING_ENTRIES_MAX {
                pending.entries.push_back((org.clone(), entry));
            } else {
                pending.lost += 1;
            }
        }
        drop(pending);
        self.0.arrived.notify_one();
    }

    /// Writes what arrives, in batches, until it is dropped.
    pub(crate) async fn run(self) {
        loop {
            self.0.arrived.notified().await;
            tokio::time::sleep(BATCH_TIME_MAX).await;
            while let Err(error) = self.flush().await {
                tracing::debug!(%error, "session history waits for the store");
                if error == CommitError::Stopped {
                    return;
                }
                tokio::time::sleep(RETRY_TIME).await;
            }
        }
    }

    /// Writes everything that waits.
    ///
    /// # Errors
    /// What the store answers. What was not written waits again, unless its disk refused.
    pub(crate) async fn flush(&self) -> Result<(), CommitError> {
        // In a task of its own: a batch that was begun is finished, also when nobody waits any more.
        let flushing = tokio::spawn({
            let history = self.clone();
            async move { history.flush_all().await }
        });
        flushing.await.unwrap_or(Err(CommitError::Stopped))
    }

    async fn flush_all(&self) -> Result<(), CommitError> {
        let mut heads = self.0.heads.lock().await;
        loop {
            let (batch, lost) = self.0.pending.lock().take();
            if lost > 0 {
                tracing::warn!(
                    lost,
                    "session history: more connections ended than could be written"
                );
            }
            if batch.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.write(&mut heads, &batch).await {
                let may_try_again = matches!(error, CommitError::Busy);
                if may_try_again {
                    self.0.pending.lock().put_back(batch);
                } else {
                    tracing::warn!(lost = batch.len(), %error, "session history cannot be written");
                }
                return Err(error);
            }
        }
    }

    async fn write(
        &self,
        heads: &mut BTreeMap<OrgId, u64>,
        batch: &[(OrgId, EndedConnection)],
    ) -> Result<(), CommitError> {
        let mut by_org: BTreeMap<&OrgId, Vec<&EndedConnection>> = BTreeMap::new();
        for (org, entry) in batch {
            by_org.entry(org).or_default().push(entry);
        }
        let old = self.old();
        let (mut commit, mut moved) = (Commit::new(), Vec::new());
        for (org, entries) in by_org {
            let store = &*self.0.store;
            let unreadable = |error: StoreError| CommitError::Failed(error.to_string());
            let head = match heads.get(org) {
                Some(head) => *head,
                None => ring::head(store, org).await.map_err(unreadable)?,
            };
            moved.push((org, head + entries.len() as u64));
            commit = ring::append(store, commit, org, head, entries.into_iter(), old)
                .await
                .map_err(unreadable)?;
        }
        self.0.store.write(commit).await?;
        for (org, head) in moved {
            heads.insert(org.clone(), head);
        }
        Ok(())
    }

    /// A page of an organization's history, the latest first. What waits is written before.
    ///
    /// # Errors
    /// What the store answers.
    pub(crate) async fn page(&self, org: &OrgId, wanted: &Wanted) -> Result<HistoryPage, StoreError> {
        self.flush()
            .await
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        ring::page(&*self.0.store, org, wanted, self.old()).await
    }

    /// Records from before this time are not kept.
    fn old(&self) -> WallTime {
        self.0.clock.wall().before(ENTRY_LIFETIME)
    }
}

impl Pending {
    /// The oldest records, as many as one commit takes, and how many were lost.
    fn take(&mut self) -> (Vec<(OrgId, EndedConnection)>, u64) {
        let count = self.entries.len().min(BATCH_ENTRIES_MAX);
        let batch = self.entries.drain(..count).collect();
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
        (batch, mem::take(&mut self.lost))
    }

    fn put_back(&mut self, batch: Vec<(OrgId, EndedConnection)>) {
        for entry in batch.into_iter().rev() {
            self.entries.push_front(entry);
        }
    }
}

#[cfg(test)]
mod tests;

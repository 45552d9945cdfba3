//! Changes of which nobody knows whether they were stored, because the disk failed while they were written. Their
//! callers were told that it failed. Before anything else is changed in the organization, and as soon as the store
//! works again, the store is asked: what is there is made in memory, late, and the rest is forgotten. So memory never
//! disagrees with what a restart would find.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tokio::time::sleep;

use super::account::Account;
use super::change::Change;
use super::command::{CommandError, OrgState};
use super::directory::{Directory, Inner};
use crate::store::{Commit, CommitError, Expect, Key, Store, StoreError, StoreExt as _, Table};

/// Pause before the store is asked again. It doubles each time.
const ASK_PAUSE_MIN: Duration = Duration::from_millis(100);
/// It grows no further.
const ASK_PAUSE_MAX: Duration = Duration::from_secs(5);

/// A change that is stored or not.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) witness: Witness,
    pub(super) change: Change,
}

/// Changes of an organization that are in doubt, in their order. As many as were under way at once when the store
/// began to fail: from then on a change begins only after the store was asked.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Held by whoever asks the store.
    turn: tokio::sync::Mutex<()>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Doubt>,
    /// Whether somebody asks until none is left.
    is_served: bool,
}

impl Doubts {
    /// Answers whether somebody has to see to it.
    pub(super) fn push(&self, doubt: Doubt) -> bool {
        let mut queue = self.queue.lock();
        queue.waiting.push_back(doubt);
        !std::mem::replace(&mut queue.is_served, true)
    }

    fn len(&self) -> usize {
        self.queue.lock().waiting.len()
    }

    fn first(&self) -> Option<Witness> {
        let queue = self.queue.lock();
        queue.waiting.front().map(|doubt| doubt.witness.clone())
    }

    fn take_first(&self) -> Option<Doubt> {
        self.queue.lock().waiting.pop_front()
    }

    /// Whether none is left; then nobody sees to them any more.
    fn are_served(&self) -> bool {
        let mut queue = self.queue.lock();
        queue.is_served = !queue.waiting.is_empty();
        !queue.is_served
    }
}

/// One write of a commit that tells whether the commit is stored: all of it is, or nothing.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    table: Table,
    key: Key,
    /// `None`: it is removed.
    value: Option<Bytes>,
}

impl Witness {
    /// The write that says most: an entry of the audit trail is like no other one; a key that must be new was not
    /// there before. What is left are values that do no harm when they are set once more. `None`: nothing is written.
    pub(super) fn of(commit: &Commit) -> Option<Self> {
        let says_less =
            |(table, _, expect, value): &(Table, &Key, Expect, Option<&Bytes>)| match (table, expect) {
                (Table::Audit, _) if value.is_some() => 0,
                (_, Expect::Absent) => 1,
                (
                    Table::Config | Table::History | Table::Audit | Table::Usage,
                    Expect::Any | Expect::At(_),
                ) => 2,
            };
        let (table, key, _, value) = commit.writes().min_by_key(says_less)?;
        Some(Self {
            table,
            key: key.clone(),
            value: value.cloned(),
        })
    }

    async fn is_stored(&self, store: &dyn Store) -> Result<bool, StoreError> {
        let entry = store.get(self.table, &self.key).await?;
        Ok(entry.map(|entry| entry.value) == self.value)
    }
}

impl Directory {
    /// Waits for earlier changes of an organization, and until the guard is dropped keeps later ones waiting. What the
    /// memory holds of it then is what is stored.
    pub(super) async fn lock(&self, account: &Arc<Account>) -> Result<OwnedMutexGuard<()>, CommandError> {
        let gate = Arc::clone(&account.gate).lock_owned().await;
        self.settle(account).await?;
        match account.state.read().record.state {
            OrgState::Active | OrgState::Suspended => Ok(gate),
            OrgState::Deleting => Err(CommandError::not_found("organization")),
        }
    }

    /// Finds out what became of the changes that were in doubt when it was called.
    ///
    /// # Errors
    /// [`CommandError::Busy`] and [`CommandError::Storage`]; some are in doubt still.
    pub(super) async fn settle(&self, account: &Arc<Account>) -> Result<(), CommandError> {
        let doubts = &account.doubts;
        let _turn = doubts.turn.lock().await;
        let doubtful = doubts.len();
        if doubtful == 0 {
            return Ok(());
        }
        // When this is stored, what can be read is what is stored.
        let mended = self.0.store.write(Commit::new()).await;
        mended.map_err(|error| match error {
            CommitError::Busy => CommandError::Busy,
            CommitError::Conflict { .. }
            | CommitError::TooLarge { .. }
            | CommitError::Refused(_)
            | CommitError::Stopped
            | CommitError::Failed(_) => CommandError::Storage,
        })?;
        for _ in 0..doubtful {
            let Some(witness) = doubts.first() else { break };
            let is_stored = witness.is_stored(&*self.0.store).await;
            let is_stored = is_stored.map_err(|_unreadable| CommandError::Storage)?;
            let Some(Doubt { change, .. }) = doubts.take_first() else {
                break;
            };
            tracing::warn!(org = %account.id, is_stored, "a change was in doubt: the store has answered");
            if is_stored {
                change.make(&self.0, account);
            }
        }
        Ok(())
    }
}

/// Asks until nothing is in doubt, so that connections hear of a change though nobody changes anything more.
pub(super) async fn settle_later(inner: Weak<Inner>, account: Arc<Account>) {
    let mut pause = ASK_PAUSE_MIN;
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(ASK_PAUSE_MAX);
        let Some(inner) = inner.upgrade() else { return };
        // Whoever changes something asks under the gate; so does this, and makes nothing in the middle of a change.
        let gate = Arc::clone(&account.gate).lock_owned().await;
        // What could not be found out is asked again.
        let _ = Directory(inner).settle(&account).await;
        drop(gate);
        if account.doubts.are_served() {
            return;
        }
    }
}

//! The one task of an organization that hears from the store.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::committer::Committer;
use super::fetch;
use super::kept::Refused;
use super::keys::{KeyBytes, Kind};
use super::pipeline::{Finished, Swept};
use super::record::shared_message;
use crate::orgs::cell::OrgCell;
use crate::store::{CommitError, Shelf, ShelfPage, StoreError};

/// How long changes that nobody waits for may wait for company.
const LINGER: Duration = Duration::from_millis(50);
/// Pause before a commit that failed is tried again. It doubles each time.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// It grows no further.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Pause when the store has too much to do.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// Keys of an ended session that are removed in one commit.
const SWEEP_KEYS_MAX: usize = 1_000;

type Looking = Pin<Box<dyn Future<Output = Result<ShelfPage, StoreError>> + Send>>;

/// Keys that an ended session may have left on a shelf, behind those that were found.
struct Left {
    serial: u64,
    shelf: Shelf,
    after: Option<Bytes>,
}

/// What the task has to do later.
struct Task {
    committer: Arc<Committer>,
    cell: Weak<OrgCell>,
    /// When to look after what nobody waits for.
    linger_at: Option<Instant>,
    /// When to write again what failed.
    retry_at: Option<Instant>,
    pause: Duration,
    /// Sessions of which keys may be left.
    ended: VecDeque<Left>,
    /// Keys of the first of them that are being looked for.
    sweep: Option<(Shelf, Looking)>,
}

/// Runs until the organization is gone.
pub(crate) async fn run(committer: Arc<Committer>, cell: Weak<OrgCell>) {
    let fetching = fetch::run(Arc::clone(&committer), Weak::clone(&cell));
    let mut task = Task {
        committer,
        cell,
        linger_at: None,
        retry_at: None,
        pause: RETRY_MIN,
        ended: VecDeque::new(),
        sweep: None,
    };
    let storing = async { while task.step().await.is_some() {} };
    tokio::select! {
        () = fetching => {}
        () = storing => {}
    }
}

impl Task {
    /// `None`: the organization is gone.
    async fn step(&mut self) -> Option<()> {
        let wake_at = self.linger_at.into_iter().chain(self.retry_at).min();
        let page = tokio::select! {
            () = self.committer.wake.notified() => None,
            () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => None,
            page = look(&mut self.sweep) => Some(page),
        };
        let cell = self.cell.upgrade()?;
        if self.committer.closes.load(Ordering::Acquire) {
            return None;
        }
        let now = Instant::now();
        if let Some((shelf, page)) = page {
            self.swept(&cell, shelf, page);
        }
        if let Some(outcome) = self.committer.take_outcome() {
            self.outcome(&cell, outcome, now);
        }
        if self.committer.lingers.swap(false, Ordering::AcqRel) {
            self.linger_at = Some(now + LINGER);
        }
        if self.linger_at.is_some_and(|at| at <= now) {
            self.linger_at = None;
            cell.write_out();
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.committer.commit();
        }
        self.look_for_keys();
        Some(())
    }

    fn outcome(&mut self, cell: &OrgCell, outcome: Result<Refused, CommitError>, now: Instant) {
        match outcome {
            Ok(refused) => {
                self.pause = RETRY_MIN;
                if let Some(Finished {
                    ended, has_recovered, ..
                }) = cell.acknowledge(&refused)
                {
                    if has_recovered {
                        tracing::info!(org = %self.committer.org(), "stored again: the store works");
                    }
                    let shelves = |serial| {
                        [Shelf::Session, Shelf::Queue].map(|shelf| Left {
                            serial,
                            shelf,
                            after: None,
                        })
                    };
                    self.ended.extend(ended.into_iter().flat_map(shelves));
                }
                self.committer.acknowledged.notify_waiters();
            }
            // It has more to do than it takes: that is no failure yet.
            Err(CommitError::Busy) => self.retry_at = Some(now + BUSY_PAUSE),
            Err(error) => {
                if cell.note_failure() {
                    let org = self.committer.org();
                    tracing::error!(%org, %error, "not stored; nothing of it is acknowledged until it is");
                }
                self.retry_at = Some(now + self.pause);
                self.pause = (self.pause * 2).min(RETRY_MAX);
            }
        }
    }

    /// Looks for what is left of a session that has ended.
    fn look_for_keys(&mut self) {
        if self.sweep.is_some() {
            return;
        }
        let Some(Left { serial, shelf, after }) = self.ended.front() else {
            return;
        };
        let (serial, shelf) = (*serial, *shelf);
        let mut key = KeyBytes::default();
        let prefix = match shelf {
            Shelf::Queue => key.number(serial),
            Shelf::Session | Shelf::Message | Shelf::Retained | Shelf::Quarantine => {
                &key.of(Kind::Session, serial)[..size_of::<u64>()]
            }
        };
        let (store, org) = (self.committer.store(), self.committer.org());
        let page = store.shelf(shelf, org, prefix, after.as_deref(), SWEEP_KEYS_MAX);
        self.sweep = Some((shelf, page));
    }

    fn swept(&mut self, cell: &OrgCell, shelf: Shelf, page: Result<ShelfPage, StoreError>) {
        self.sweep = None;
        match page {
            Ok(page) => {
                match (page.next, self.ended.front_mut()) {
                    (Some(next), Some(left)) => left.after = Some(next),
                    (Some(_) | None, _) => _ = self.ended.pop_front(),
                }
                let clock = self.committer.clock();
                cell.sweep(page.entries.into_iter().map(|(key, value)| {
                    let shares = match shelf {
                        Shelf::Queue => shared_message(&key, &value, clock),
                        Shelf::Session | Shelf::Message | Shelf::Retained | Shelf::Quarantine => None,
                    };
                    Swept { shelf, key, shares }
                }));
            }
            Err(error) => {
                // The next start removes it.
                tracing::warn!(org = %self.committer.org(), %error, "what ended sessions left is not removed yet");
                self.ended.clear();
            }
        }
    }
}

/// The keys that are being looked for.
async fn look(sweep: &mut Option<(Shelf, Looking)>) -> (Shelf, Result<ShelfPage, StoreError>) {
    match sweep {
        Some((shelf, page)) => (*shelf, page.await),
        None => std::future::pending().await,
    }
}

//! Between an organization and the store: one commit at a time, tried again until it is stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::Mutex;
use tokio::sync::Notify;

use cloudsignal_broker::{ConnId, OrgId};

use super::Level;
use super::batch::Batch;
use super::fetch::Fetches;
use super::kept::{Cut, Kept, Refused};
use crate::clock::Clock;
use crate::store::{Commit, CommitError, Store};

/// A commit on its way to the store. To be sent when the organization's lock is free.
#[derive(Debug)]
#[must_use]
pub(crate) struct Submission {
    committer: Arc<Committer>,
    batch: Batch,
}

/// The part that needs no lock of the organization.
#[derive(Debug)]
pub(crate) struct Committer {
    org: OrgId,
    store: Arc<dyn Store>,
    clock: Clock,
    /// [`Level::Memory`] while nothing is written.
    level: Mutex<Level>,
    /// What is being written, until it is stored.
    kept: Mutex<Option<Kept>>,
    outcome: Mutex<Option<Result<(), CommitError>>>,
    is_congested: AtomicBool,
    /// Connections that are not read, and how to wake them.
    paused: Mutex<HashMap<ConnId, Waker>>,
    /// Queues that are to be read.
    pub(crate) fetches: Fetches,
    pub(super) lingers: AtomicBool,
    pub(super) closes: AtomicBool,
    /// Wakes the organization's task.
    pub(super) wake: Notify,
    /// Tells that a commit was acknowledged.
    pub(super) acknowledged: Notify,
    /// Tells that connections are read again.
    relieved: Notify,
}

impl Committer {
    pub(super) fn new(org: &OrgId, store: Arc<dyn Store>, clock: Clock, level: Level) -> Arc<Self> {
        Arc::new(Self {
            org: org.clone(),
            store,
            clock,
            level: Mutex::new(level),
            kept: Mutex::default(),
            outcome: Mutex::default(),
            is_congested: AtomicBool::new(false),
            paused: Mutex::default(),
            fetches: Fetches::default(),
            lingers: AtomicBool::new(false),
            closes: AtomicBool::new(false),
            wake: Notify::new(),
            acknowledged: Notify::new(),
            relieved: Notify::new(),
        })
    }

    /// What an acknowledgement survives now.
    pub(crate) fn level(&self) -> Level {
        *self.level.lock()
    }

    /// From the next commit on. Whether there are any is the [`Pipeline`](super::pipeline::Pipeline)'s to say.
    pub(crate) fn set_level(&self, level: Level) {
        *self.level.lock() = level;
    }

    pub(super) const fn org(&self) -> &OrgId {
        &self.org
    }

    pub(super) const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(super) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The task is to come back for what nobody waits for.
    pub(super) fn linger(&self) {
        self.ask(&self.lingers);
    }

    pub(super) fn is_congested(&self) -> bool {
        self.is_congested.load(Ordering::Acquire)
    }

    /// Whether connections have to wait before they are read.
    pub(super) fn set_congested(&self, is_congested: bool) {
        let was_congested = self.is_congested.swap(is_congested, Ordering::AcqRel);
        if was_congested && !is_congested {
            self.relieved.notify_waiters();
            let paused = std::mem::take(&mut *self.paused.lock());
            paused.into_values().for_each(Waker::wake);
        }
    }

    fn ask(&self, what: &AtomicBool) {
        what.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Hears when the next commit has been acknowledged; counts from this call on.
    pub(crate) fn acknowledged(&self) -> impl Future<Output = ()> + Send + '_ {
        let mut acknowledged = Box::pin(self.acknowledged.notified());
        acknowledged.as_mut().enable();
        acknowledged
    }

    /// Waits until nothing is being written.
    pub(crate) async fn rested(&self) {
        loop {
            let acknowledged = self.acknowledged();
            if self.kept.lock().is_none() {
                return;
            }
            acknowledged.await;
        }
    }

    /// Nobody needs the task any more.
    pub(crate) fn close(&self) {
        self.ask(&self.closes);
    }

    /// Whether a connection has to wait before it is read; then it is woken later.
    pub(crate) fn pauses(&self, conn: ConnId, waker: &Waker) -> bool {
        if !self.is_congested() {
            return false;
        }
        let mut paused = self.paused.lock();
        match paused.get_mut(&conn) {
            Some(known) => known.clone_from(waker),
            None => _ = paused.insert(conn, waker.clone()),
        }
        // It may have become free before we were on the list.
        self.is_congested()
    }

    /// Waits while too much is unstored.
    pub(crate) async fn relieved(&self) {
        loop {
            let mut relieved = Box::pin(self.relieved.notified());
            relieved.as_mut().enable();
            if !self.is_congested() {
                return;
            }
            relieved.await;
        }
    }

    /// What became of the commit under way, once: who waits for what could not be stored of it, or why it has to be
    /// tried again.
    pub(super) fn take_outcome(self: &Arc<Self>) -> Option<Result<Refused, CommitError>> {
        let outcome = self.outcome.lock().take()?;
        let mut slot = self.kept.lock();
        let kept = slot.as_mut()?;
        match outcome {
            Ok(()) => kept.stored(),
            Err(error) if error.is_final() => {
                if kept.cut(&error, &self.clock) == Cut::GivenUp {
                    self.store.meters().refused.inc();
                }
            }
            Err(error) => return Some(Err(error)),
        }
        if kept.part().is_none() {
            return slot.take().map(|kept| Ok(kept.into_refused()));
        }
        drop(slot);
        self.commit();
        None
    }

    /// Writes what is kept.
    pub(super) fn commit(self: &Arc<Self>) {
        let part = self.kept.lock().as_ref().and_then(|kept| kept.part().cloned());
        let Some(part) = part else { return };
        let commit = Commit::new()
            .shelve(part)
            .surviving(self.level().survives().unwrap_or_default());
        let committer = Arc::clone(self);
        let done = Box::new(move |outcome: Result<_, CommitError>| {
            *committer.outcome.lock() = Some(outcome.map(drop));
            committer.wake.notify_one();
        });
        self.store.commit(commit, done);
    }
}

impl Submission {
    pub(super) const fn new(committer: Arc<Committer>, batch: Batch) -> Self {
        Self { committer, batch }
    }

    /// Encodes it and hands it to the store.
    pub(crate) fn send(self) {
        let Self { committer, batch } = self;
        let writes = batch.encode(&committer.org, &committer.clock);
        *committer.kept.lock() = Some(Kept::new(writes));
        committer.commit();
    }
}

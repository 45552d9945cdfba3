//! How changes reach the store: at most one commit of an organization is under way, and what changes meanwhile is
//! one commit after it. So one sync serves all who wait, and what is settled while it lasts is never written.
//!
//! ```text
//!   turn ── changes ──▶ Backlog ── take, when somebody waits, or after LINGER ──▶ commit ──▶ store
//!                          ▲                                                                  │ done
//!                          └────────── one task: Org::handle_stored, then the next ◀──────────┘
//! ```
//!
//! A commit that fails is kept and written again, with growing pauses, before anything else: nothing that comes
//! after it is written without it, and nobody hears of it before it is stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use cloudsignal_broker::change::Change;
use cloudsignal_broker::{ConnId, OrgId, Ticket};

use super::Level;
use super::backlog::{Backlog, Known};
use super::batch::{Aside, Batch};
use super::fetch::Fetches;
use super::kept::{Cut, Kept, Refused};
use crate::clock::Clock;
use crate::store::{Commit, CommitError, Shelf, Store};

/// Bytes of an organization that wait to be stored, from which on its connections are not read: about as much again
/// may come of what was read before.
pub(super) const UNSTORED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// They are read again when no more than this is left.
const UNSTORED_BYTES_LOW: usize = UNSTORED_BYTES_MAX / 2;
/// From here on what waits is written even if nobody waits for it.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// The part that lives behind the organization's lock.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// `None`: nothing is written.
    committer: Option<Arc<Committer>>,
    backlog: Backlog,
    /// Everything up to this ticket was taken in.
    newest: Ticket,
    under_way: Option<UnderWay>,
    /// Whether the task was asked to come back for what nobody waits for.
    lingers: bool,
    /// What waits is written though nobody waits for it.
    hurries: bool,
    is_failing: bool,
}

/// A key that a session has left when it ended.
#[derive(Debug)]
pub(crate) struct Swept {
    pub(super) shelf: Shelf,
    pub(super) key: Bytes,
    /// The message that the delivery shared.
    pub(super) shares: Option<u64>,
}

/// What is being written.
#[derive(Debug)]
struct UnderWay {
    ticket: Ticket,
    bytes: usize,
    ended: Vec<u64>,
}

/// Whether changes are stored already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakenIn {
    /// There is nothing to write, or nothing is ever written.
    Stored,
    /// They have to be written first.
    Waiting,
}

/// What a finished commit means.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Everything up to here is stored.
    pub(crate) stored: Ticket,
    /// Sessions of which everything that is stored can go.
    pub(crate) ended: Vec<u64>,
    /// The store works again.
    pub(crate) has_recovered: bool,
}

/// A commit on its way to the store. To be sent when the organization's lock is free.
#[derive(Debug)]
#[must_use]
pub(crate) struct Submission {
    committer: Arc<Committer>,
    batch: Option<Batch>,
}

/// What an organization's pipeline stores, for whoever looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unstored {
    /// Bytes that wait, or are being written.
    pub(crate) bytes: usize,
    /// Deliveries that never had to be written.
    pub(crate) elided: u64,
    /// Whether the last commit failed.
    pub(crate) is_failing: bool,
}

impl Pipeline {
    /// Nothing is written.
    pub(crate) fn memory() -> Self {
        Self::over(None, Known::default())
    }

    /// Over a store that holds what is `known`.
    pub(super) fn new(committer: Arc<Committer>, known: Known) -> Self {
        Self::over(Some(committer), known)
    }

    fn over(committer: Option<Arc<Committer>>, known: Known) -> Self {
        Self {
            committer,
            backlog: Backlog::new(known),
            newest: Ticket(0),
            under_way: None,
            lingers: false,
            hurries: false,
            is_failing: false,
        }
    }

    /// Takes the changes of a turn in.
    pub(crate) fn take_in(&mut self, changes: &mut Vec<Change>, ticket: Ticket) -> TakenIn {
        if self.committer.is_none() {
            changes.clear();
            return TakenIn::Stored;
        }
        self.newest = ticket;
        changes.drain(..).for_each(|change| self.backlog.add(change));
        if self.under_way.is_none() && self.backlog.is_empty() {
            TakenIn::Stored
        } else {
            TakenIn::Waiting
        }
    }

    /// Keys of a session that has ended.
    pub(crate) fn sweep(&mut self, keys: impl Iterator<Item = Swept>) {
        keys.for_each(|it| self.backlog.sweep(it.shelf, it.key, it.shares));
    }

    /// Entries that cannot be used.
    pub(crate) fn set_aside(&mut self, entries: Vec<Aside>) {
        entries
            .into_iter()
            .for_each(|entry| self.backlog.set_aside(entry));
    }

    /// The next commit, if it is time for one.
    pub(crate) fn next(&mut self, is_awaited: bool) -> Option<Submission> {
        let committer = self.committer.as_ref()?;
        if self.under_way.is_some() || self.backlog.is_empty() {
            self.look();
            return None;
        }
        if !is_awaited && !self.hurries && self.backlog.bytes() < LINGER_BYTES_MAX {
            if !std::mem::replace(&mut self.lingers, true) {
                committer.ask(&committer.lingers);
            }
            return None;
        }
        (self.lingers, self.hurries) = (false, false);
        let mut batch = self.backlog.take();
        let submission = Submission {
            committer: Arc::clone(committer),
            batch: None,
        };
        self.under_way = Some(UnderWay {
            ticket: self.newest,
            bytes: batch.bytes,
            ended: std::mem::take(&mut batch.ended),
        });
        self.look();
        Some(Submission {
            batch: Some(batch),
            ..submission
        })
    }

    /// The commit under way is stored.
    pub(crate) fn finished(&mut self) -> Option<Finished> {
        let UnderWay { ticket, ended, .. } = self.under_way.take()?;
        // What came since may have come to nothing.
        let stored = if self.backlog.is_empty() {
            self.newest
        } else {
            ticket
        };
        Some(Finished {
            stored,
            ended,
            has_recovered: std::mem::take(&mut self.is_failing),
        })
    }

    /// The commit under way could not be written, and will be tried again. Answers whether that is news.
    pub(crate) const fn failed(&mut self) -> bool {
        !std::mem::replace(&mut self.is_failing, true)
    }

    /// What waits is written at the end of this turn, or after what is under way.
    pub(crate) fn hurry(&mut self) {
        self.hurries = !self.backlog.is_empty();
    }

    /// Whether everything is stored.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.is_none() && self.backlog.is_empty()
    }

    pub(crate) fn unstored(&self) -> Unstored {
        let under_way = self.under_way.as_ref().map_or(0, |under_way| under_way.bytes);
        Unstored {
            bytes: self.backlog.bytes() + under_way,
            elided: self.backlog.elided(),
            is_failing: self.is_failing,
        }
    }

    /// Whether connections wait before they are read.
    pub(crate) fn is_congested(&self) -> bool {
        let committer = self.committer.as_ref();
        committer.is_some_and(|committer| committer.is_congested.load(Ordering::Acquire))
    }

    /// Whether connections have to wait.
    fn look(&self) {
        let Some(committer) = &self.committer else { return };
        let Unstored {
            bytes, is_failing, ..
        } = self.unstored();
        // While the store fails, the organization refuses what it would have to store, and goes on with the rest.
        if !is_failing && bytes > UNSTORED_BYTES_MAX {
            committer.is_congested.store(true, Ordering::Release);
        } else if (is_failing || bytes <= UNSTORED_BYTES_LOW)
            && committer.is_congested.swap(false, Ordering::AcqRel)
        {
            committer.resume();
        }
    }
}

/// The part that needs no lock of the organization.
#[derive(Debug)]
pub(crate) struct Committer {
    org: OrgId,
    store: Arc<dyn Store>,
    clock: Clock,
    /// Never [`Level::Memory`].
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
    /// `None` for a level at which nothing is written.
    pub(super) fn new(org: &OrgId, store: Arc<dyn Store>, clock: Clock, level: Level) -> Option<Arc<Self>> {
        level.survives()?;
        Some(Arc::new(Self {
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
        }))
    }

    /// What an acknowledgement survives now.
    pub(crate) fn level(&self) -> Level {
        *self.level.lock()
    }

    /// From the next commit on. Whether the organization stores at all is decided when it is read back.
    pub(crate) fn set_level(&self, level: Level) {
        if level.survives().is_some() {
            *self.level.lock() = level;
        }
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
        if !self.is_congested.load(Ordering::Acquire) {
            return false;
        }
        let mut paused = self.paused.lock();
        match paused.get_mut(&conn) {
            Some(known) => known.clone_from(waker),
            None => _ = paused.insert(conn, waker.clone()),
        }
        // It may have become free before we were on the list.
        self.is_congested.load(Ordering::Acquire)
    }

    /// Waits while too much is unstored.
    pub(crate) async fn relieved(&self) {
        loop {
            let mut relieved = Box::pin(self.relieved.notified());
            relieved.as_mut().enable();
            if !self.is_congested.load(Ordering::Acquire) {
                return;
            }
            relieved.await;
        }
    }

    fn resume(&self) {
        self.relieved.notify_waiters();
        let paused = std::mem::take(&mut *self.paused.lock());
        paused.into_values().for_each(Waker::wake);
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
    /// Encodes it and hands it to the store.
    pub(crate) fn send(self) {
        let Self { committer, batch } = self;
        let Some(batch) = batch else { return };
        let writes = batch.encode(&committer.org, &committer.clock);
        *committer.kept.lock() = Some(Kept::new(writes));
        committer.commit();
    }
}

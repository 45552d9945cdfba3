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

use std::sync::Arc;

use bytes::Bytes;

use cloudsignal_broker::Ticket;
use cloudsignal_broker::change::{Change, Storage};

use super::backlog::Backlog;
use super::batch::Aside;
use super::committer::{Committer, Submission};
use super::known::Known;
use crate::store::Shelf;

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
    /// Nothing is to be written any more, as soon as nothing is needed of what is stored.
    leaves: bool,
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
            leaves: false,
            backlog: Backlog::new(known),
            newest: Ticket(0),
            under_way: None,
            lingers: false,
            hurries: false,
            is_failing: false,
        }
    }

    /// Everything is written from now on, over a store that holds nothing yet.
    pub(crate) fn begin(&mut self, committer: Arc<Committer>) {
        *self = Self {
            newest: self.newest,
            hurries: true,
            ..Self::over(Some(committer), Known::default())
        };
    }

    /// Something that was there before everything is written: of the turn in which that begins.
    pub(crate) fn found(&mut self, change: Change) {
        self.backlog.add(change);
    }

    /// Nothing is written any more. What is under way is, but nobody waits for it: everything up to the ticket that is
    /// answered counts as stored.
    pub(crate) fn stop(&mut self) -> Ticket {
        if let Some(committer) = self.committer.take() {
            committer.set_congested(false);
        }
        *self = Self {
            newest: self.newest,
            ..Self::memory()
        };
        self.newest
    }

    /// Whether changes are written.
    pub(crate) const fn is_storing(&self) -> bool {
        self.committer.is_some()
    }

    /// Whether it is to stop when it can.
    pub(crate) const fn set_leaving(&mut self, leaves: bool) {
        self.leaves = leaves;
    }

    /// What the organization is told of the store.
    pub(crate) const fn storage(&self) -> Storage {
        if self.is_failing {
            Storage::Failing
        } else if self.leaves || self.committer.is_none() {
            // Nothing more leaves the memory.
            Storage::Absent
        } else {
            Storage::Working
        }
    }

    /// Takes the changes of a turn in.
    pub(crate) fn take_in(&mut self, changes: &mut Vec<Change>, ticket: Ticket) -> TakenIn {
        self.newest = ticket;
        if self.committer.is_none() {
            changes.clear();
            return TakenIn::Stored;
        }
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
                committer.linger();
            }
            return None;
        }
        (self.lingers, self.hurries) = (false, false);
        let mut batch = self.backlog.take();
        let ended = std::mem::take(&mut batch.ended);
        self.under_way = Some(UnderWay {
            ticket: self.newest,
            bytes: batch.bytes,
            ended,
        });
        let submission = Submission::new(Arc::clone(committer), batch);
        self.look();
        Some(submission)
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
        // What was under way when it stopped is nobody's any more.
        self.committer.is_some() && !std::mem::replace(&mut self.is_failing, true)
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
        committer.is_some_and(|committer| committer.is_congested())
    }

    /// Whether connections have to wait.
    fn look(&self) {
        let Some(committer) = &self.committer else { return };
        let Unstored {
            bytes, is_failing, ..
        } = self.unstored();
        // While the store fails, the organization refuses what it would have to store, and goes on with the rest.
        if !is_failing && bytes > UNSTORED_BYTES_MAX {
            committer.set_congested(true);
        } else if is_failing || bytes <= UNSTORED_BYTES_LOW {
            committer.set_congested(false);
        }
    }
}

//! The one writer. It collects what waits, judges expectations in order, writes one batch, and only
//! then tells everybody.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{broadcast, watch};

use cloudsignal_broker::OrgId;

use super::super::commit::{Op, Trim, Write};
use super::super::format::{self, Stored};
use super::super::{Change, Commit, CommitError, Committed, Done, Event, Expect, Key, Meters, Seq, Table};
use super::mending::{Doubtful, Outage};
use super::{Batch, Engine, META_SEQ, QUEUE_BYTES_MAX, Space, Waiting, load};
use crate::clock::{Clock, WallTime};

/// A group closes after this long, even if more waits.
const GROUP_TIME_MAX: Duration = Duration::from_millis(1);
/// A group closes at this many single writes.
const GROUP_WRITES_MAX: usize = 1_000;
/// How often expired entries are looked for when nothing is written.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Expired entries removed in one turn.
const SWEEP_ENTRIES_MAX: usize = 1_000;
/// Records removed by trimming in one turn; what is left goes in the next ones.
const TRIM_RECORDS_MAX: usize = 10_000;

pub(super) struct CommitThread<E: Engine> {
    pub(super) engine: Arc<E>,
    pub(super) clock: Clock,
    waiting: Receiver<Waiting>,
    queued_bytes: Arc<AtomicUsize>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) committed: watch::Sender<Seq>,
    /// Trims that are not finished.
    pub(super) trims: Vec<Trim>,
    /// Nothing expires before this.
    pub(super) quiet_until: WallTime,
    /// Writes to a shelf that the last group writes to: it begins the next one.
    held_over: Option<Waiting>,
    /// The last group could not be written: the engine is reopened before the next one.
    pub(super) broken: Option<Doubtful>,
    /// Since a group could not be written, until one is.
    pub(super) outage: Option<Outage>,
    /// Commits that are still written one by one.
    pub(super) alone: usize,
    /// As the engine has counted them.
    pub(super) compactions: u64,
    pub(super) meters: Meters,
}

/// What one group will write and whom it will tell.
#[derive(Default)]
pub(super) struct Group {
    pub(super) last: Seq,
    batch: Batch,
    /// What this group has already made of a key.
    overlay: HashMap<(Table, Key), Option<Stored>>,
    pub(super) events: Vec<Event>,
    pub(super) told: Vec<(Done, Result<Committed, CommitError>)>,
    /// Trims that this group finishes.
    pub(super) trimmed: Vec<Trim>,
}

impl Group {
    fn put(&mut self, space: Space, key: Vec<u8>, value: Vec<u8>) {
        self.batch.pairs.insert((space, key), Some(value));
    }

    fn delete(&mut self, space: Space, key: Vec<u8>) {
        self.batch.pairs.insert((space, key), None);
    }
}

impl<E: Engine> CommitThread<E> {
    pub(super) fn new(
        engine: Arc<E>,
        clock: Clock,
        waiting: Receiver<Waiting>,
        queued_bytes: Arc<AtomicUsize>,
        events: broadcast::Sender<Event>,
        committed: watch::Sender<Seq>,
        meters: Meters,
    ) -> Self {
        Self {
            engine,
            clock,
            waiting,
            queued_bytes,
            events,
            committed,
            trims: Vec::new(),
            quiet_until: WallTime::ZERO,
            held_over: None,
            broken: None,
            outage: None,
            alone: 0,
            compactions: 0,
            meters,
        }
    }

    pub(super) fn run(mut self) {
        loop {
            let held_over = self.held_over.take().map(Ok);
            match held_over.unwrap_or_else(|| self.waiting.recv_timeout(SWEEP_EVERY)) {
                Ok(first) => {
                    let group = self.collect(first);
                    self.turn(group);
                }
                Err(RecvTimeoutError::Timeout) => self.turn(Vec::new()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// What waits now: until the queue is empty, the group is large, or its time is over.
    fn collect(&mut self, first: Waiting) -> Vec<Waiting> {
        if self.alone > 0 {
            self.alone -= 1;
            self.queued_bytes.fetch_sub(first.bytes, Ordering::Relaxed);
            return vec![first];
        }
        let close_at = self.clock.now().after(GROUP_TIME_MAX);
        let (mut writes, mut bytes) = (first.commit.records(), first.bytes);
        let mut orgs: HashSet<OrgId> = shelved_orgs(&first.commit).collect();
        let mut group = vec![first];
        while writes < GROUP_WRITES_MAX && bytes < QUEUE_BYTES_MAX && self.clock.now() < close_at {
            let Ok(next) = self.waiting.try_recv() else { break };
            if shelved_orgs(&next.commit).any(|org| !orgs.insert(org)) {
                self.held_over = Some(next);
                break;
            }
            writes += next.commit.records();
            bytes += next.bytes;
            group.push(next);
        }
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        group
    }

    fn turn(&mut self, waiting: Vec<Waiting>) {
        let is_reopened = self.broken.is_some() && !waiting.is_empty();
        if let Err(error) = self.mend(&waiting) {
            for Waiting { done, .. } in waiting {
                tell(done, Err(CommitError::Failed(error.clone())));
            }
            return;
        }
        let before = *self.committed.borrow();
        let mut group = Group {
            last: before,
            ..Group::default()
        };
        // A group survives what its most careful commit asks for.
        let survives = waiting.iter().map(|waiting| waiting.commit.survives).max();
        group.batch.survives = survives.unwrap_or_default();
        self.sweep(&mut group);
        for Waiting { commit, done, .. } in waiting {
            let outcome = self.stage(commit, &mut group);
            group.told.push((done, outcome));
        }
        self.trim(&mut group);
        if group.last != before {
            group.put(
                Space::Meta,
                META_SEQ.to_vec(),
                group.last.0.to_be_bytes().to_vec(),
            );
        }
        let applied = if group.batch.is_empty() {
            Ok(())
        } else {
            self.apply(&std::mem::take(&mut group.batch), group.told.len())
        };
        match applied {
            Ok(()) => self.publish(group),
            Err(unwritten) => self.give_back(group, unwritten, is_reopened),
        }
    }

    /// Everything of the group is on stable storage: say so.
    fn publish(&self, group: Group) {
        for event in group.events {
            // Nobody watches: nothing to do.
            let _ = self.events.send(event);
        }
        self.committed.send_if_modified(|last| {
            let moved = *last != group.last;
            *last = group.last;
            moved
        });
        for (done, outcome) in group.told {
            tell(done, outcome);
        }
    }

    /// Judges one commit against the store and the group so far; adds it to the group if it may happen.
    fn stage(&mut self, commit: Commit, group: &mut Group) -> Result<Committed, CommitError> {
        for op in &commit.ops {
            self.check(op, group)?;
        }
        let first = group.last.next();
        if !commit.appends.is_empty() || !commit.ops.is_empty() {
            group.last = Seq(group.last.0 + commit.appends.len().max(1) as u64);
        }
        let committed = Committed {
            first: first.min(group.last),
            last: group.last,
        };
        let mut seq = first;
        for append in commit.appends {
            let key = format::log_key(&append.org, seq);
            group.put(Space::Log, key, format::encode_record(&append.record));
            seq = seq.next();
        }
        for op in commit.ops {
            self.write(op, group);
        }
        let shelves = commit.shelves.into_iter().filter(|writes| !writes.is_empty());
        group.batch.shelves.extend(shelves);
        // Only what is there now: a trim that takes several turns must not reach what comes later.
        let last = group.last;
        let trims = commit.trims.into_iter();
        self.trims.extend(trims.map(|trim| Trim {
            up_to: trim.up_to.min(last),
            ..trim
        }));
        Ok(committed)
    }

    fn check(&self, op: &Op, group: &Group) -> Result<(), CommitError> {
        if op.expect == Expect::Any {
            return Ok(());
        }
        let current = match group.overlay.get(&(op.table, op.key.clone())) {
            Some(staged) => staged.clone(),
            None => load(&*self.engine, op.table, &op.key)
                .map_err(|error| CommitError::Failed(error.to_string()))?,
        };
        let current = current.filter(|stored| !stored.has_expired(self.clock.wall()));
        let holds = match op.expect {
            Expect::Any => true,
            Expect::Absent => current.is_none(),
            Expect::At(seq) => current.is_some_and(|stored| stored.seq == seq),
        };
        if holds {
            Ok(())
        } else {
            Err(CommitError::Conflict {
                table: op.table,
                key: op.key.clone(),
            })
        }
    }

    fn write(&mut self, op: Op, group: &mut Group) {
        let Op {
            table, key, write, ..
        } = op;
        let raw_key = key.as_bytes().to_vec();
        let change = match write {
            Write::Nothing => return,
            Write::Delete => {
                group.delete(Space::Table(table), raw_key);
                group.overlay.insert((table, key.clone()), None);
                Change::Deleted
            }
            Write::Put { value, ttl } => {
                let expires_at = ttl.map(|ttl| self.clock.wall().after(ttl));
                if let Some(at) = expires_at {
                    self.quiet_until = self.quiet_until.min(at);
                    group.put(Space::Expiry, format::expiry_key(at, table, &key), Vec::new());
                }
                let stored = Stored {
                    seq: group.last,
                    expires_at,
                    value: value.clone(),
                };
                group.put(Space::Table(table), raw_key, stored.encode());
                group.overlay.insert((table, key.clone()), Some(stored));
                Change::Put(value)
            }
        };
        group.events.push(Event {
            table,
            key,
            seq: group.last,
            change,
        });
    }

    /// Removes entries whose time is over. An entry that was written anew since has a later line in
    /// the index; this line then only goes.
    fn sweep(&mut self, group: &mut Group) {
        let now = self.clock.wall();
        if now < self.quiet_until || self.outage.is_some() || self.alone > 0 {
            return;
        }
        let (mut due, mut quiet_until) = (Vec::new(), WallTime::MAX);
        let visited = self.engine.scan(Space::Expiry, &[], None, &mut |line, _nothing| {
            let parsed = format::parse_expiry_key(line);
            let at = parsed.as_ref().map_or(WallTime::ZERO, |(at, ..)| *at);
            if at > now || due.len() == SWEEP_ENTRIES_MAX {
                quiet_until = at;
                return ControlFlow::Break(());
            }
            due.push((line.to_vec(), parsed));
            ControlFlow::Continue(())
        });
        if let Err(error) = visited {
            tracing::warn!(%error, "expired entries cannot be looked for");
            return;
        }
        self.quiet_until = quiet_until;
        for (line, parsed) in due {
            group.delete(Space::Expiry, line);
            let Some((at, table, key)) = parsed else { continue };
            let current = load(&*self.engine, table, &key);
            if current.is_ok_and(|stored| stored.is_some_and(|stored| stored.expires_at == Some(at))) {
                group.last = group.last.next();
                group.delete(Space::Table(table), key.as_bytes().to_vec());
                group.overlay.insert((table, key.clone()), None);
                group.events.push(Event {
                    table,
                    key,
                    seq: group.last,
                    change: Change::Expired,
                });
            }
        }
    }

    fn trim(&mut self, group: &mut Group) {
        if self.outage.is_some() || self.alone > 0 {
            return;
        }
        let mut budget = TRIM_RECORDS_MAX;
        let engine = &self.engine;
        self.trims.retain(|trim| {
            let mut finished = true;
            let end = format::log_key(&trim.org, trim.up_to);
            let prefix = format::log_prefix(&trim.org);
            let visited = engine.scan(Space::Log, &prefix, None, &mut |key, _record: &Bytes| {
                if key > end.as_slice() {
                    return ControlFlow::Break(());
                }
                if budget == 0 {
                    finished = false;
                    return ControlFlow::Break(());
                }
                budget -= 1;
                group.delete(Space::Log, key.to_vec());
                ControlFlow::Continue(())
            });
            let stays = visited.is_err() || !finished;
            if !stays {
                group.trimmed.push(trim.clone());
            }
            stays
        });
    }
}

fn shelved_orgs(commit: &Commit) -> impl Iterator<Item = OrgId> {
    commit.shelves.iter().map(|writes| writes.org().clone())
}

/// Calls back. A panic there is a mistake of whoever waits; all others must still be told.
pub(super) fn tell(done: Done, outcome: Result<Committed, CommitError>) {
    if catch_unwind(AssertUnwindSafe(|| done(outcome))).is_err() {
        tracing::error!("a callback of the store panicked");
    }
}

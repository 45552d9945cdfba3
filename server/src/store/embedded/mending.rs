//! When the engine does not write: nothing is acknowledged, it is reopened before the next group, and tried less and less
//! often while that does not help. An engine that panics is asked about the commits one by one, until the one is found
//! that it cannot take: that one is refused for good, and everybody else goes on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use cloudsignal_core::Instant;

use super::super::{CommitError, Event, Seq};
use super::commit_thread::{CommitThread, Group, tell};
use super::{Batch, Engine, Waiting, read_meta};
use crate::clock::WallTime;

/// After the engine gave up on a group, this many commits are written one by one, to find the one that it was.
const ALONE_COMMITS: usize = 64;
/// Pause before the engine is reopened once more, when the last time has not helped. It doubles each time.
const REOPEN_PAUSE_MIN: Duration = Duration::from_millis(50);
/// It grows no further.
const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(1);

/// The store fails.
pub(super) struct Outage {
    error: String,
    /// Until then nothing is tried.
    rests_until: Instant,
    pause: Duration,
}

/// Why the engine has not written a batch.
pub(super) enum Unwritten {
    Failed(String),
    /// It panicked.
    GaveUp(String),
}

/// A group that could not be written. It may be there all the same.
pub(super) struct Doubtful {
    last: Seq,
    events: Vec<Event>,
}

impl<E: Engine> CommitThread<E> {
    pub(super) fn apply(&mut self, batch: &Batch, commits: usize) -> Result<(), Unwritten> {
        let started = self.clock.now();
        // What the engine was about when it panicked is thrown away: it is reopened.
        let applied = catch_unwind(AssertUnwindSafe(|| self.engine.apply(batch)));
        let meters = &self.meters;
        match applied {
            Ok(Ok(())) => {
                meters.groups.inc();
                meters.commits.inc_by(commits as u64);
                meters.records.inc_by(batch.records() as u64);
                meters.bytes.inc_by(batch.bytes() as u64);
                let took = self.clock.now().since(started).as_secs_f64();
                meters.group_seconds.observe(took);
                meters
                    .group_seconds_max
                    .set(meters.group_seconds_max.get().max(took));
                let compactions = self.engine.compactions();
                // It begins anew when it is opened again.
                let new = compactions.checked_sub(self.compactions).unwrap_or(compactions);
                meters.compactions.inc_by(new);
                self.compactions = compactions;
                if self.outage.take().is_some() {
                    meters.failing.set(0);
                    tracing::info!("the store works again");
                }
                Ok(())
            }
            Ok(Err(error)) => Err(Unwritten::Failed(error)),
            Err(panic) => Err(Unwritten::GaveUp(said(&*panic))),
        }
    }

    /// Nothing of the group is acknowledged. The engine is reopened before the next one.
    pub(super) fn give_back(&mut self, group: Group, unwritten: Unwritten, is_reopened: bool) {
        let (error, error_told) = match unwritten {
            Unwritten::Failed(error) => (error.clone(), CommitError::Failed(error)),
            Unwritten::GaveUp(error) => {
                let is_alone = self.alone > 0 && group.told.len() == 1;
                self.alone = ALONE_COMMITS;
                // Alone, and on an engine that has done nothing else yet: it is the commit.
                let told = if is_alone && is_reopened {
                    CommitError::Refused(error.clone())
                } else {
                    CommitError::Failed(error.clone())
                };
                (error, told)
            }
        };
        self.note_failure(error);
        // What the group wanted to remove is still there.
        self.quiet_until = WallTime::ZERO;
        self.trims.extend(group.trimmed);
        let (last, events) = (group.last, group.events);
        self.broken = Some(Doubtful { last, events });
        for (done, outcome) in group.told {
            tell(done, outcome.and(Err(error_told.clone())));
        }
    }

    /// The store cannot write. The first time is news; from then on it is tried less and less often.
    fn note_failure(&mut self, error: String) {
        self.meters.failures.inc();
        self.meters.failing.set(1);
        let pause = match &self.outage {
            None => {
                tracing::error!(%error, "the store cannot write; nothing is acknowledged until it can");
                Duration::ZERO
            }
            Some(outage) => (outage.pause * 2).clamp(REOPEN_PAUSE_MIN, REOPEN_PAUSE_MAX),
        };
        self.outage = Some(Outage {
            error,
            rests_until: self.clock.now().after(pause),
            pause,
        });
    }

    /// After a failure: reopens the engine, as soon as there is something to write.
    pub(super) fn mend(&mut self, waiting: &[Waiting]) -> Result<(), String> {
        if waiting.is_empty() {
            return Ok(());
        }
        if let Some(outage) = &self.outage
            && self.clock.now() < outage.rests_until
        {
            return Err(outage.error.clone());
        }
        let Some(doubtful) = self.broken.take() else {
            return Ok(());
        };
        let reopen = || self.engine.reopen();
        let reopened = catch_unwind(AssertUnwindSafe(reopen)).unwrap_or_else(|panic| Err(said(&*panic)));
        let found = reopened.and_then(|()| read_meta(&*self.engine).map_err(|error| error.to_string()));
        match found {
            Ok(found) => {
                if found >= doubtful.last {
                    // What could not be acknowledged is there: whoever watches is told, late.
                    for event in doubtful.events {
                        // Nobody watches: nothing to do.
                        let _ = self.events.send(event);
                    }
                }
                // Positions are never used again.
                self.committed.send_if_modified(|last| {
                    let moved = found > *last;
                    *last = found.max(*last);
                    moved
                });
                Ok(())
            }
            Err(error) => {
                self.broken = Some(doubtful);
                self.note_failure(error.clone());
                Err(error)
            }
        }
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("the engine panicked").to_owned()
}

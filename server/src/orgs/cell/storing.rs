//! An organization and what stores its changes: what is stored is acknowledged, what is not is waited for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use cloudsignal_broker::{ConnId, Fetch, Fetched, Org, Ticket, Unreadable};
use cloudsignal_core::Instant;

use super::{Handover, OrgCell, release};
use crate::durable::committer::Committer;
use crate::durable::pipeline::{Finished, Swept, Unstored};
use crate::durable::{Aside, Level, Refused};
use crate::orgs::sink::Effects;

impl OrgCell {
    /// The commit under way is stored, except what was refused: who waits for it hears, and the next one begins.
    pub(crate) fn acknowledge(&self, refused: &Refused) -> Option<Finished> {
        let now = self.history.clock().now();
        let finished = self.hold(now, None, |org, effects| {
            let finished = effects.pipeline.finished();
            if let Some(finished) = &finished {
                if finished.has_recovered {
                    org.handle_storage(effects.pipeline.storage());
                }
                if !refused.is_empty() {
                    refuse(org, finished.stored, refused, now, effects);
                }
                release(org, finished.stored, now, effects);
            }
            (finished, Handover::Fair)
        });
        finished.flatten()
    }

    /// The commit under way failed and will be tried again. Answers whether that is news.
    pub(crate) fn note_failure(&self) -> bool {
        let now = self.history.clock().now();
        let is_news = self.hold(now, None, |org, effects| {
            let is_news = effects.pipeline.failed();
            org.handle_storage(effects.pipeline.storage());
            (is_news, Handover::Free)
        });
        is_news.unwrap_or(false)
    }

    /// Keys that an ended session has left in the store.
    pub(crate) fn sweep(&self, keys: impl Iterator<Item = Swept>) {
        let now = self.history.clock().now();
        self.hold(now, None, |_org, effects| {
            effects.pipeline.sweep(keys);
            ((), Handover::Free)
        });
    }

    /// What a session has next, as it was stored; `aside` cannot be used.
    pub(crate) fn fetched(&self, fetch: &Fetch, answer: Result<Fetched, Unreadable>, aside: Vec<Aside>) {
        let now = self.history.clock().now();
        self.hold(now, None, |org, effects| {
            effects.pipeline.set_aside(aside);
            org.handle_fetched(fetch, answer, now, effects);
            ((), Handover::Fair)
        });
    }

    /// Writes what nobody waits for. Answers whether everything is stored.
    pub(crate) fn write_out(&self) -> bool {
        let now = self.history.clock().now();
        let is_idle = self.hold(now, None, |_org, effects| {
            effects.pipeline.hurry();
            (effects.pipeline.is_idle(), Handover::Free)
        });
        is_idle.unwrap_or(true)
    }

    /// Whether a connection has to wait before it is read; then it is woken later.
    pub(crate) fn pauses(&self, conn: ConnId, waker: &Waker) -> bool {
        self.committer.pauses(conn, waker)
    }

    /// What an acknowledgement survives now.
    pub(crate) fn level(&self) -> Level {
        self.committer.level()
    }

    pub(crate) const fn committer(&self) -> &Arc<Committer> {
        &self.committer
    }

    /// Everything is stored from now on, beginning with what is there: acknowledgements wait for that too. The store
    /// must hold nothing of the organization. Answers how many entries it begins with.
    pub(crate) fn begin_storing(&self, level: Level) -> usize {
        let now = self.history.clock().now();
        let begun = self.hold(now, None, |org, effects| {
            self.committer.set_level(level);
            effects.pipeline.begin(Arc::clone(&self.committer));
            let mut entries = 0;
            org.begin_storing(&mut |change| {
                entries += 1;
                effects.pipeline.found(change);
            });
            (entries, Handover::Fair)
        });
        begun.unwrap_or(0)
    }

    /// Nothing is stored from now on, unless some of what waits for clients is only in the store: until that is gone
    /// everything stays as it is, and nothing more leaves the memory. Answers whether it stores nothing.
    pub(crate) fn stop_storing(&self) -> bool {
        let now = self.history.clock().now();
        let stopped = self.hold(now, None, |org, effects| {
            let stops = !org.needs_store();
            if stops {
                let ticket = effects.pipeline.stop();
                self.committer.set_level(Level::Memory);
                release(org, ticket, now, effects);
            } else {
                effects.pipeline.set_leaving(true);
            }
            org.handle_storage(effects.pipeline.storage());
            (stops, Handover::Fair)
        });
        stopped.unwrap_or(true)
    }

    /// It goes on storing, at this level. Answers whether it is storing.
    pub(crate) fn keep_storing(&self, level: Level) -> bool {
        let now = self.history.clock().now();
        let stores = self.hold(now, None, |org, effects| {
            let stores = effects.pipeline.is_storing();
            if stores {
                self.committer.set_level(level);
                effects.pipeline.set_leaving(false);
                org.handle_storage(effects.pipeline.storage());
            }
            (stores, Handover::Free)
        });
        stores.unwrap_or(true)
    }

    /// Whether the caller is the one who sees to the level.
    pub(crate) fn begins_switch(&self) -> bool {
        !self.is_switching.swap(true, Ordering::AcqRel)
    }

    /// It stores as the directory says, or is no more.
    pub(crate) fn ends_switch(&self) {
        self.is_switching.store(false, Ordering::Release);
    }

    /// What waits to be stored.
    pub(crate) fn unstored(&self) -> Unstored {
        self.held.lock().pipeline.unstored()
    }
}

/// Of what waits up to `ticket`, something can never be stored: whoever was promised it never hears that it is.
fn refuse(org: &mut Org, ticket: Ticket, refused: &Refused, now: Instant, effects: &mut Effects<'_>) {
    let is_meant = |serial| refused.everybody || refused.sessions.contains(&serial);
    org.handle_refused(ticket, is_meant, now, effects);
    // Submitters are told apart by no name: each of them may try again.
    let submitters = refused.everybody || refused.submitters;
    let fail = |(awaited, _): &mut (Ticket, _)| submitters && *awaited <= ticket;
    while effects.waiters.pop_front_if(fail).is_some() {}
}

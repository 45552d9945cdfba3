//! What is between the oldest and the newest messages of a queue: only the store has it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use cloudsignal_core::{Instant, Qos};

use super::{Queue, Resident, sooner, uncount};
use crate::fetch::Fetch;
use crate::session::Pending;
use crate::sink::{DropReason, Ticket};
use crate::turn::Desk;

/// Messages that only the store has, by their sum.
#[derive(Debug)]
pub(crate) struct Spilled {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    /// All of them have a higher order.
    pub(super) after: u64,
    /// And none a higher one than this.
    pub(super) last: u64,
    /// The oldest one has waited since then, or longer than that.
    oldest_at: Instant,
    /// None of them expires before this.
    ends_at: Option<Instant>,
    /// Those that came through a shared group.
    shared: usize,
    /// The question that is open.
    asked: Option<Asked>,
    /// The store could not be read: not before this.
    pub(crate) retry_at: Instant,
}

/// What the store was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    /// [`Fetch::after`]
    after: u64,
    /// What the store knew by then.
    unclean: Ticket,
    purpose: Purpose,
}

/// Why the store was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The client is there.
    Deliver,
    /// Some have expired or are too old. Up to this order everything is looked at.
    Sweep {
        /// The order.
        until: u64,
        /// Whether one was found that stays.
        has_found: bool,
    },
}

/// What is known of a delivery that only the store has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) order: u64,
    pub(crate) bytes: usize,
    pub(crate) expires_at: Option<Instant>,
    pub(crate) queued_at: Instant,
    pub(crate) is_shared: bool,
}

impl Spilled {
    fn before(first: &Facts) -> Self {
        Self {
            messages: 0,
            bytes: 0,
            after: first.order - 1,
            last: first.order,
            oldest_at: first.queued_at,
            ends_at: None,
            shared: 0,
            asked: None,
            retry_at: Instant::ZERO,
        }
    }

    /// Whether some have expired, or have waited since `since` or longer.
    pub(crate) fn is_stale(&self, since: Instant, now: Instant) -> bool {
        self.oldest_at <= since || self.ends_at.is_some_and(|at| at <= now)
    }

    /// Whether a question may be asked, as far as the last one goes.
    pub(crate) fn is_free(&self, now: Instant) -> bool {
        self.asked.is_none() && self.retry_at <= now
    }

    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// Everything is looked at: what stays says again when it ends.
    pub(crate) const fn begin_sweep(&mut self) {
        (self.oldest_at, self.ends_at) = (Instant::MAX, None);
    }

    /// One stays.
    pub(crate) fn keep(&mut self, facts: &Facts) {
        self.oldest_at = self.oldest_at.min(facts.queued_at);
        self.ends_at = sooner(self.ends_at, facts.expires_at);
    }

    /// Not everything was looked at: what was not may be stale.
    pub(crate) const fn end_sweep_early(&mut self, now: Instant) {
        self.ends_at = Some(now);
    }
}

impl Queue {
    pub(crate) const fn spilled(&mut self) -> Option<&mut Spilled> {
        match &mut self.spilled {
            Some(spilled) => Some(spilled),
            None => None,
        }
    }

    /// When the store may be asked again that could not be read.
    pub(crate) fn retry_at(&self) -> Instant {
        self.spilled.as_deref().map_or(Instant::ZERO, |it| it.retry_at)
    }

    pub(crate) const fn has_spilled(&self) -> bool {
        self.spilled.is_some()
    }

    /// Messages of shared groups that only the store has.
    pub(crate) fn spilled_shared(&self) -> usize {
        self.spilled.as_ref().map_or(0, |it| it.shared)
    }

    /// Whether there is more than stays in memory.
    pub(crate) fn exceeds(&self, resident: Resident) -> bool {
        self.spilled.is_some()
            || self.resident.len() > resident.messages_max
            || self.resident_bytes > resident.bytes_max
    }

    /// What is stored up to `desk.stored` and not needed soon leaves the memory. `begun` is the order of the last
    /// delivery that has begun: what is in front of it stays.
    ///
    /// Answers how many QoS 0 messages were dropped: they stood behind some that only the store has now.
    pub(crate) fn spill(&mut self, desk: &mut Desk, resident: Resident, begun: u64) -> u32 {
        if !desk.may_spill() || !self.exceeds(resident) {
            return 0;
        }
        let after = self.spilled.as_deref().map_or(u64::MAX, |spilled| spilled.after);
        // What was fetched for a client that is there stays.
        let keeps_head = self.spilled.is_some() && resident.messages_max > 0;
        let (mut messages, mut bytes, mut shared, mut gone) = (0, 0, 0, 0);
        let mut has_begun = false;
        for pending in core::mem::take(&mut self.resident) {
            let size = pending.message.size();
            let has_room = messages < resident.messages_max && bytes + size <= resident.bytes_max;
            let is_head = pending.order <= after && !has_begun && (keeps_head || has_room);
            (messages, bytes) = (messages + 1, bytes + size);
            let is_pinned = pending.group.is_some() && {
                shared += 1;
                shared <= desk.limits.queue_shared_messages_max
            };
            let may_go =
                pending.qos > Qos::AtMostOnce && pending.ticket <= desk.stored && pending.order > begun;
            if !is_head && may_go && !is_pinned {
                has_begun = true;
                self.forget(&pending);
                self.add_spilled(&pending.facts());
            } else if has_begun && pending.qos == Qos::AtMostOnce {
                self.forget(&pending);
                uncount(desk, 1, size);
                desk.counters.drop_one(DropReason::QueueFullQos0);
                gone += 1;
            } else {
                self.resident.push_back(pending);
            }
        }
        self.qos0_from = 0;
        gone
    }

    /// One more that only the store has.
    pub(crate) fn add_spilled(&mut self, facts: &Facts) {
        let spilled = self
            .spilled
            .get_or_insert_with(|| Box::new(Spilled::before(facts)));
        if facts.order <= spilled.after {
            spilled.after = facts.order - 1;
            // The answer to what was asked would leave it out.
            if let Some(Purpose::Sweep { .. }) = spilled.asked.take().map(|asked| asked.purpose) {
                spilled.end_sweep_early(Instant::ZERO);
            }
        }
        spilled.last = spilled.last.max(facts.order);
        spilled.oldest_at = spilled.oldest_at.min(facts.queued_at);
        spilled.ends_at = sooner(spilled.ends_at, facts.expires_at);
        spilled.messages += 1;
        spilled.bytes += facts.bytes;
        spilled.shared += usize::from(facts.is_shared);
    }

    /// Whether what can be sent runs low.
    pub(crate) fn runs_low(&self, resident: Resident) -> bool {
        let Some(spilled) = &self.spilled else {
            return false;
        };
        let ready = self
            .resident
            .partition_point(|pending| pending.order <= spilled.after);
        ready == 0 || (ready <= resident.messages_max / 2 && self.resident_bytes <= resident.bytes_max / 2)
    }

    /// The next question for `purpose`, which is open from now on.
    pub(crate) fn ask(&mut self, purpose: Purpose, after: Option<u64>) -> Option<(u64, u64)> {
        let spilled = self.spilled.as_deref_mut()?;
        let after = after.unwrap_or(spilled.after);
        spilled.asked = Some(Asked {
            after,
            unclean: self.unclean,
            purpose,
        });
        let through = match purpose {
            Purpose::Deliver => spilled.last,
            Purpose::Sweep { until, .. } => until,
        };
        Some((after, through))
    }

    /// About how many of those that only the store has make so many bytes.
    pub(crate) fn messages_in(&self, bytes: usize) -> usize {
        let about = |it: &Spilled| bytes / (it.bytes / it.messages.max(1)).max(1);
        self.spilled.as_deref().map_or(0, about).max(1)
    }

    /// The answer to `fetch` is here: why it was asked, if the question is still open. If not, it has to be asked
    /// again.
    pub(crate) fn answered(&mut self, fetch: &Fetch) -> Option<Purpose> {
        let unclean = self.unclean;
        let spilled = self.spilled.as_deref_mut()?;
        let asked = spilled.asked.take_if(|asked| asked.after == fetch.after)?;
        if asked.unclean == unclean {
            return Some(asked.purpose);
        }
        // Something left out of turn meanwhile, and may still be in the answer.
        if let Purpose::Sweep { .. } = asked.purpose {
            spilled.end_sweep_early(Instant::ZERO);
        }
        None
    }

    /// One is not only in the store any more.
    pub(crate) fn unspill(&mut self, desk: &mut Desk, facts: &Facts) {
        let Some(spilled) = self.spilled.as_deref_mut() else {
            return;
        };
        let (messages, bytes) = (spilled.messages.min(1), spilled.bytes.min(facts.bytes));
        spilled.messages -= messages;
        spilled.bytes -= bytes;
        spilled.shared -= usize::from(facts.is_shared).min(spilled.shared);
        uncount(desk, messages, bytes);
    }

    /// Takes in what came from the store, in rising order, all above [`Spilled::after`]. Up to `through` nothing
    /// else is there. Answers how many of those that were counted were not.
    pub(crate) fn take_in(&mut self, desk: &mut Desk, fetched: Vec<Pending>, through: u64) -> usize {
        let Some(spilled) = self.spilled.as_deref_mut() else {
            return 0;
        };
        let after = core::mem::replace(&mut spilled.after, through);
        let at = self.resident.partition_point(|pending| pending.order <= after);
        let mut behind = self.resident.split_off(at);
        for pending in fetched {
            while let Some(earlier) = behind.pop_front_if(|it| it.order < pending.order) {
                self.resident.push_back(earlier);
            }
            self.push(desk, pending);
        }
        self.resident.append(&mut behind);
        self.close_if_done(desk)
    }

    /// Nothing up to `through` is in the store any more.
    pub(crate) fn skip(&mut self, desk: &mut Desk, through: u64) -> usize {
        if let Some(spilled) = self.spilled.as_deref_mut() {
            spilled.after = spilled.after.max(through);
        }
        self.close_if_done(desk)
    }

    fn close_if_done(&mut self, desk: &mut Desk) -> usize {
        let Some(spilled) = self.spilled.take_if(|it| it.after >= it.last) else {
            return 0;
        };
        uncount(desk, spilled.messages, spilled.bytes);
        spilled.messages
    }
}

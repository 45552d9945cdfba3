//! Messages that wait for one client: the oldest and the newest in memory, what is between them in the store.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use cloudsignal_core::{Instant, Qos};

use super::{Left, Pending};
use crate::fetch::Fetch;
use crate::sink::{DropReason, Ticket};
use crate::turn::{Desk, Room};

/// A bounded queue.
#[derive(Debug)]
pub(crate) struct Queue {
    /// What is in memory: by rising order, QoS 0 where it came. In front of the first one that is behind
    /// [`Spilled::after`] everything can be sent.
    resident: VecDeque<Pending>,
    resident_bytes: usize,
    queued_qos0: usize,
    /// No QoS 0 message is in front of this place, so that the oldest one is found without a walk.
    qos0_from: usize,
    /// No message in memory expires before this; `None` when none expires at all.
    ends_at: Option<Instant>,
    /// What only the store has.
    spilled: Option<Box<Spilled>>,
    /// Some that left out of turn may still be found in the store until this is stored.
    unclean: Ticket,
}

/// Messages that only the store has, by their sum.
#[derive(Debug)]
pub(crate) struct Spilled {
    messages: usize,
    bytes: usize,
    /// All of them have a higher order.
    after: u64,
    /// And none a higher one than this.
    last: u64,
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

/// How much of a queue stays in memory although it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: usize,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self {
            resident: VecDeque::new(),
            resident_bytes: 0,
            queued_qos0: 0,
            qos0_from: 0,
            ends_at: None,
            spilled: None,
            unclean: Ticket(0),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.resident.is_empty() && self.spilled.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        self.resident.len() + self.spilled.as_ref().map_or(0, |it| it.messages)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.resident_bytes + self.spilled.as_ref().map_or(0, |it| it.bytes)
    }

    pub(crate) fn resident(&self) -> impl Iterator<Item = &Pending> {
        self.resident.iter()
    }

    pub(crate) fn resident_len(&self) -> usize {
        self.resident.len()
    }

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

    /// Whether a message of `size` bytes fits in as it is.
    pub(crate) fn fits(&self, room: Room, size: usize) -> bool {
        self.len() < room.queue_messages_max
            && self.bytes().saturating_add(size) <= room.queue_bytes_max
            && size as u64 <= room.all_bytes_left
    }

    /// Whether a message of `size` bytes would find room, or perhaps make it.
    pub(crate) fn may_take(&self, room: Room, size: usize) -> bool {
        self.fits(room, size) || (self.queued_qos0 > 0 && size <= room.queue_bytes_max)
    }

    /// Makes room for a message of `size` bytes by dropping QoS 0 messages, oldest first. Answers how many went.
    pub(crate) fn make_room(&mut self, desk: &mut Desk, size: usize) -> u32 {
        let mut gone = 0;
        while !self.fits(desk.room(), size) && self.queued_qos0 > 0 {
            let mut from_hint = self.resident.iter().skip(self.qos0_from);
            let Some(at) = from_hint.position(|pending| pending.qos == Qos::AtMostOnce) else {
                break;
            };
            self.qos0_from += at;
            self.remove(desk, self.qos0_from);
            desk.counters.drop_one(DropReason::QueueFullQos0);
            gone += 1;
        }
        gone
    }

    /// Takes messages that have expired out of memory.
    pub(crate) fn take_expired(&mut self, desk: &mut Desk, now: Instant) -> Vec<Left> {
        let mut expired = Vec::new();
        if self.ends_at.is_none_or(|at| at > now) {
            return expired;
        }
        let mut ends_at: Option<Instant> = None;
        self.retain(desk, |pending| {
            let is_expired = pending.message.is_expired(now);
            if is_expired {
                expired.push(pending.left());
            } else {
                ends_at = sooner(ends_at, pending.message.expires_at());
            }
            !is_expired
        });
        self.ends_at = ends_at;
        expired
    }

    /// Puts a message at the end.
    pub(crate) fn push(&mut self, desk: &mut Desk, pending: Pending) {
        let size = pending.message.size();
        desk.counters.queue_messages_now += 1;
        desk.counters.queue_bytes_now += size as u64;
        self.ends_at = sooner(self.ends_at, pending.message.expires_at());
        self.resident_bytes += size;
        self.queued_qos0 += usize::from(pending.qos == Qos::AtMostOnce);
        self.resident.push_back(pending);
    }

    /// The next message, if it is in memory.
    pub(crate) fn front(&self) -> Option<&Pending> {
        let front = self.resident.front()?;
        let is_behind = |spilled: &Spilled| front.order > spilled.after;
        (!self.spilled.as_deref().is_some_and(is_behind)).then_some(front)
    }

    /// Takes the message that [`Queue::front`] shows.
    pub(crate) fn pop(&mut self, desk: &mut Desk) -> Option<Pending> {
        self.front()?;
        self.qos0_from = self.qos0_from.saturating_sub(1);
        self.remove(desk, 0)
    }

    fn remove(&mut self, desk: &mut Desk, at: usize) -> Option<Pending> {
        let pending = self.resident.remove(at)?;
        self.forget(&pending);
        uncount(desk, 1, pending.message.size());
        Some(pending)
    }

    /// It is not in memory any more.
    fn forget(&mut self, pending: &Pending) {
        self.resident_bytes -= pending.message.size();
        self.queued_qos0 -= usize::from(pending.qos == Qos::AtMostOnce);
    }

    /// Keeps of the messages in memory those that `keep` wants.
    pub(crate) fn retain(&mut self, desk: &mut Desk, mut keep: impl FnMut(&Pending) -> bool) {
        self.qos0_from = 0;
        for pending in core::mem::take(&mut self.resident) {
            if keep(&pending) {
                self.resident.push_back(pending);
            } else {
                self.forget(&pending);
                uncount(desk, 1, pending.message.size());
                if pending.qos > Qos::AtMostOnce {
                    self.unclean = desk.ticket;
                }
            }
        }
    }

    /// Forgets everything, because the session ends.
    pub(crate) fn clear(&mut self, desk: &mut Desk) {
        self.retain(desk, |_| false);
        if let Some(spilled) = self.spilled.take() {
            uncount(desk, spilled.messages, spilled.bytes);
        }
    }

    /// Takes messages that have expired, or wait since `since` or longer, out of memory, and says why.
    pub(crate) fn take_stale(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        since: Instant,
    ) -> Vec<(Left, DropReason)> {
        let mut stale = Vec::new();
        let oldest = self.resident.front().map_or(Instant::MAX, |it| it.queued_at);
        if self.ends_at.is_none_or(|at| at > now) && oldest > since {
            return stale;
        }
        let mut ends_at: Option<Instant> = None;
        self.retain(desk, |pending| {
            let reason = if pending.message.is_expired(now) {
                DropReason::Expired
            } else if pending.queued_at <= since {
                DropReason::TooOld
            } else {
                ends_at = sooner(ends_at, pending.message.expires_at());
                return true;
            };
            stale.push((pending.left(), reason));
            false
        });
        self.ends_at = ends_at;
        stale
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

    /// The ticket after which everything that is in memory, or has left it out of turn, is stored.
    pub(crate) fn newest_ticket(&self) -> Option<Ticket> {
        let storable = self.resident.iter().map(|pending| pending.ticket);
        storable.filter(|ticket| *ticket != NEVER_STORED).max()
    }

    /// Nothing of it is stored before this.
    pub(crate) fn store_anew(&mut self, ticket: Ticket) {
        let storable = self.resident.iter_mut();
        let storable = storable.filter(|pending| pending.ticket != NEVER_STORED);
        storable.for_each(|pending| pending.ticket = ticket);
    }

    /// When the store tells the truth about what it was asked to keep.
    pub(crate) const fn unclean(&self) -> Ticket {
        self.unclean
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

    /// Whether the store was found to have what is in memory all the same.
    pub(crate) fn holds(&self, order: u64) -> bool {
        self.resident
            .iter()
            .any(|pending| pending.order == order && pending.qos > Qos::AtMostOnce)
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

    /// Those that were settled on the way may still be found until the change is stored.
    pub(crate) const fn note_unclean(&mut self, ticket: Ticket) {
        self.unclean = ticket;
    }

    /// Checks what must always hold.
    pub(crate) fn invariants(&self, desk: &Desk) {
        let bytes: usize = self.resident.iter().map(|pending| pending.message.size()).sum();
        assert_eq!(bytes, self.resident_bytes, "queue bytes are counted right");
        let is_qos0 = |pending: &&Pending| pending.qos == Qos::AtMostOnce;
        let qos0 = self.resident.iter().filter(is_qos0).count();
        assert_eq!(qos0, self.queued_qos0, "queued QoS 0 messages are counted right");
        let mut hidden = self.resident.iter().take(self.qos0_from);
        assert!(
            !hidden.any(|pending| is_qos0(&pending)),
            "no QoS 0 message is overlooked"
        );
        let orders = self.resident.iter().filter(|it| !is_qos0(it)).map(|it| it.order);
        assert!(orders.is_sorted(), "the queue is in order");
        if let Some(spilled) = &self.spilled {
            let mut behind = self
                .resident
                .iter()
                .skip_while(|pending| pending.order <= spilled.after);
            assert!(!behind.any(|it| is_qos0(&it)), "QoS 0 waits for no store");
            assert!(spilled.after < spilled.last, "what is spilled is somewhere");
        }
        let loosest = desk.loosest();
        assert!(
            self.len() <= loosest.queue_messages_max,
            "the queue is bounded in messages"
        );
        assert!(
            self.bytes() <= loosest.queue_bytes_max,
            "the queue is bounded in bytes"
        );
    }
}

/// The ticket of what is never stored.
pub(crate) const NEVER_STORED: Ticket = Ticket(u64::MAX);

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

const fn uncount(desk: &mut Desk, messages: usize, bytes: usize) {
    desk.counters.queue_messages_now -= messages as u64;
    desk.counters.queue_bytes_now -= bytes as u64;
}

/// The earlier of two moments, either of which may be never.
fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

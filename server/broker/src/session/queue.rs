//! Messages that wait for one client: the oldest and the newest in memory, what is between them in the store.

mod spilled;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use cloudsignal_core::{Instant, Qos};

use super::{Left, Pending};
use crate::sink::{DropReason, Ticket};
use crate::turn::{Desk, Room};

use spilled::Spilled;
pub(crate) use spilled::{Facts, Purpose};

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

    /// Whether the store was found to have what is in memory all the same.
    pub(crate) fn holds(&self, order: u64) -> bool {
        self.resident
            .iter()
            .any(|pending| pending.order == order && pending.qos > Qos::AtMostOnce)
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

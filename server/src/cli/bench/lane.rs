//! How far one publisher may be ahead of those who receive from it.

use core::cell::{Cell, RefCell};
use core::task::{Context, Waker};

use cloudsignal_core::codec::PacketId;

/// The most messages of one publisher on their way, as a packet identifier numbers them.
pub(super) const WINDOW_MESSAGES_MAX: u32 = 65_535;

/// Says in a slot that the message is not acknowledged; the rest counts deliveries to come.
const UNACKED: u32 = 1 << 31;

/// The window of a publisher: one slot per message on its way, which is taken again when the message was delivered to
/// everybody and, above QoS 0, acknowledged.
#[derive(Debug)]
pub(super) struct Lane {
    slots: Box<[Cell<u32>]>,
    free: Cell<usize>,
    /// Slots that must be free before the next batch leaves.
    batch: usize,
    /// What a slot waits for when its message leaves.
    awaited: u32,
    sent: Cell<u64>,
    /// Messages before this one are no longer waited for.
    given_up: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

impl Lane {
    /// For a window of this many messages, each of which is delivered so many times. Messages leave `batch` at a time.
    pub(super) fn new(window: u32, batch: u32, copies: u32, is_acked: bool) -> Self {
        let window = window.clamp(1, WINDOW_MESSAGES_MAX) as usize;
        Self {
            slots: vec![Cell::new(0); window].into_boxed_slice(),
            free: Cell::new(window),
            batch: (batch as usize).clamp(1, window),
            awaited: copies | if is_acked { UNACKED } else { 0 },
            sent: Cell::new(0),
            given_up: Cell::new(0),
            waker: RefCell::new(None),
        }
    }

    /// Whether it is time for another batch.
    pub(super) fn has_room(&self) -> bool {
        self.free.get() >= self.batch
    }

    /// Takes the next message's slot: its sequence, and its packet identifier. `None` while the slot is not free.
    pub(super) fn take(&self) -> Option<(u64, PacketId)> {
        let sequence = self.sent.get();
        let index = self.index(sequence);
        let slot = &self.slots[index];
        if slot.get() != 0 {
            return None;
        }
        if self.awaited != 0 {
            slot.set(self.awaited);
            self.free.set(self.free.get() - 1);
        }
        self.sent.set(sequence + 1);
        let packet_id = PacketId::new(index as u16 + 1);
        Some((sequence, packet_id.expect("invariant: a slot has an identifier")))
    }

    /// A message was delivered to one more subscriber. Answers whether that was the last one who waited for it.
    pub(super) fn on_delivery(&self, sequence: u64) -> bool {
        if sequence < self.given_up.get() || sequence >= self.sent.get() {
            return false;
        }
        let slot = &self.slots[self.index(sequence)];
        if slot.get() & !UNACKED == 0 {
            return false;
        }
        slot.set(slot.get() - 1);
        self.on_change(slot);
        slot.get() & !UNACKED == 0
    }

    /// A message was acknowledged for good.
    pub(super) fn on_ack(&self, packet_id: PacketId) {
        let slot = self.slots.get(usize::from(packet_id.get()) - 1);
        if let Some(slot) = slot.filter(|slot| slot.get() & UNACKED != 0) {
            slot.set(slot.get() & !UNACKED);
            self.on_change(slot);
        }
    }

    /// Waits no longer for deliveries of what was sent so far; acknowledgements must still come.
    pub(super) fn give_up(&self) {
        self.given_up.set(self.sent.get());
        for slot in self.slots.iter().filter(|slot| slot.get() & !UNACKED != 0) {
            slot.set(slot.get() & UNACKED);
            self.on_change(slot);
        }
    }

    /// Messages sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// Whether nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.free.get() == self.slots.len()
    }

    /// Wakes this task when there is room for a batch.
    pub(super) fn listen(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Wakes the task, if it waits.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn index(&self, sequence: u64) -> usize {
        (sequence % self.slots.len() as u64) as usize
    }

    fn on_change(&self, slot: &Cell<u32>) {
        if slot.get() != 0 {
            return;
        }
        self.free.set(self.free.get() + 1);
        if self.has_room() {
            self.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};
    use core::task::Waker;
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    fn id(number: u16) -> PacketId {
        PacketId::new(number).unwrap()
    }

    #[test]
    fn a_slot_is_free_again_when_everybody_has_the_message_and_it_is_acknowledged() {
        let lane = Lane::new(2, 1, 2, true);
        assert_eq!(lane.take(), Some((0, id(1))));
        assert_eq!(lane.take(), Some((1, id(2))));
        assert_eq!(lane.take(), None);
        assert!(!lane.on_delivery(0));
        lane.on_ack(id(1));
        assert!(!lane.has_room(), "one subscriber has not got it");
        lane.on_ack(id(1));
        assert!(!lane.on_delivery(7));
        assert!(!lane.has_room(), "what makes no sense changes nothing");
        assert!(lane.on_delivery(0), "nobody else waits for it");
        assert!(!lane.on_delivery(0), "it was the last one once");
        assert_eq!(lane.take(), Some((2, id(1))));
        lane.on_delivery(1);
        lane.on_delivery(1);
        lane.on_ack(id(2));
        lane.on_delivery(1);
        assert_eq!(lane.take(), Some((3, id(2))));
        assert_eq!((lane.sent(), lane.is_idle()), (4, false));
    }

    #[test]
    fn a_message_that_waits_for_nothing_takes_no_slot() {
        let lane = Lane::new(1, 1, 0, false);
        assert_eq!(lane.take(), Some((0, id(1))));
        assert_eq!(lane.take(), Some((1, id(1))));
        assert!(lane.is_idle() && lane.has_room());
    }

    #[test]
    fn deliveries_can_be_given_up_and_acknowledgements_cannot() {
        let lane = Lane::new(2, 2, 1, true);
        lane.take().unwrap();
        lane.take().unwrap();
        lane.on_ack(id(2));
        lane.give_up();
        assert!(!lane.is_idle());
        lane.on_ack(id(1));
        assert!(lane.is_idle() && lane.has_room());
        lane.take().unwrap();
        lane.on_delivery(0);
        lane.on_ack(id(1));
        assert!(!lane.is_idle(), "a late one must not count for its successor");
        lane.on_delivery(2);
        assert!(lane.is_idle());
    }

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_publisher_is_woken_once_and_only_for_a_whole_batch() {
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(Arc::clone(&counter));
        let lane = Lane::new(4, 2, 1, false);
        while lane.take().is_some() {}
        lane.listen(&Context::from_waker(&waker));
        lane.on_delivery(0);
        assert_eq!(counter.0.load(Ordering::Relaxed), 0);
        lane.on_delivery(1);
        lane.on_delivery(2);
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    }
}

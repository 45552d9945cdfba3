//! Packet identifiers in use, and for what.

use alloc::vec::Vec;

use super::subscriptions::SubscriptionId;
use crate::PacketId;

/// What a packet identifier stands for until the server has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// The message of this order.
    Publish(u64),
    Subscribe(SubscriptionId),
    Unsubscribe(SubscriptionId),
}

/// The table of identifiers. Low ones are used again first, so it is as long as the most that were ever in use.
#[derive(Debug, Default)]
pub(super) struct PacketIds {
    /// The use of identifier `index + 1`.
    uses: Vec<Option<Use>>,
    /// All below this index are in use.
    full_below: usize,
}

impl PacketIds {
    /// The lowest identifier that is not in use; `None` when all 65 535 are.
    pub(super) fn take(&mut self, purpose: Use) -> Option<PacketId> {
        self.take_up_to(u16::MAX, purpose)
    }

    /// The same, and none above `highest`.
    pub(super) fn take_up_to(&mut self, highest: u16, purpose: Use) -> Option<PacketId> {
        while self.uses.get(self.full_below).is_some_and(Option::is_some) {
            self.full_below += 1;
        }
        let number = u16::try_from(self.full_below + 1).ok()?;
        let id = PacketId::new(number).filter(|id| id.get() <= highest)?;
        self.set(id, purpose);
        Some(id)
    }

    /// One that an earlier process used; `false` when it is in use already.
    pub(super) fn reserve(&mut self, id: PacketId, purpose: Use) -> bool {
        let is_free = self.get(id).is_none();
        if is_free {
            self.set(id, purpose);
        }
        is_free
    }

    pub(super) fn get(&self, id: PacketId) -> Option<Use> {
        self.uses.get(usize::from(id.get()) - 1).copied().flatten()
    }

    pub(super) fn give_back(&mut self, id: PacketId) {
        let index = usize::from(id.get()) - 1;
        if let Some(slot) = self.uses.get_mut(index) {
            *slot = None;
            self.full_below = self.full_below.min(index);
        }
    }

    /// A connection has ended: its requests, unlike its messages, will never be answered.
    pub(super) fn end_requests(&mut self) {
        for slot in &mut self.uses {
            if let Some(Use::Subscribe(_) | Use::Unsubscribe(_)) = slot {
                *slot = None;
            }
        }
        self.full_below = 0;
    }

    fn set(&mut self, id: PacketId, purpose: Use) {
        let index = usize::from(id.get()) - 1;
        while self.uses.len() <= index {
            self.uses.push(None);
        }
        self.uses[index] = Some(purpose);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> PacketId {
        PacketId::new(number).expect("not zero")
    }

    #[test]
    fn an_identifier_is_used_once_at_a_time_and_low_ones_first() {
        let mut ids = PacketIds::default();
        assert_eq!(ids.take(Use::Publish(1)), Some(id(1)));
        assert_eq!(ids.take(Use::Publish(2)), Some(id(2)));
        ids.give_back(id(1));
        ids.give_back(id(1));
        assert_eq!(ids.get(id(1)), None);
        assert_eq!(ids.take(Use::Subscribe(SubscriptionId(9))), Some(id(1)));
        assert_eq!(ids.take(Use::Publish(3)), Some(id(3)));
    }

    #[test]
    fn low_ones_can_be_asked_for() {
        let mut ids = PacketIds::default();
        let low: Vec<_> = (1..=4)
            .map(|order| ids.take_up_to(3, Use::Publish(order)))
            .collect();
        assert_eq!(low, [Some(id(1)), Some(id(2)), Some(id(3)), None]);
        assert_eq!(ids.take(Use::Publish(4)), Some(id(4)));
        ids.give_back(id(1));
        ids.give_back(id(4));
        assert_eq!(ids.take_up_to(3, Use::Publish(5)), Some(id(1)));
        assert_eq!(ids.take_up_to(3, Use::Publish(6)), None);
        assert_eq!(ids.take(Use::Publish(6)), Some(id(4)));
    }

    #[test]
    fn what_an_earlier_process_used_is_left_out() {
        let mut ids = PacketIds::default();
        assert!(ids.reserve(id(3), Use::Publish(7)));
        assert!(!ids.reserve(id(3), Use::Publish(8)));
        let mut taken = [ids.take(Use::Publish(1)), ids.take(Use::Publish(2))];
        taken.sort();
        assert_eq!(taken, [Some(id(1)), Some(id(2))]);
        assert_eq!(ids.take(Use::Publish(4)), Some(id(4)));
    }

    #[test]
    fn all_of_them_can_be_in_use() {
        let mut ids = PacketIds::default();
        for order in 0..65_535 {
            assert!(ids.take(Use::Publish(order)).is_some());
        }
        assert_eq!(ids.take(Use::Publish(0)), None);
        ids.give_back(id(40_000));
        assert_eq!(ids.take(Use::Publish(0)), Some(id(40_000)));
    }
}

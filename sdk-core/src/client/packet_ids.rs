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
    free: Vec<PacketId>,
}

impl PacketIds {
    /// An identifier that is not in use; `None` when all 65 535 are.
    pub(super) fn take(&mut self, purpose: Use) -> Option<PacketId> {
        let id = match self.free.pop() {
            Some(id) => id,
            None => PacketId::new(u16::try_from(self.uses.len() + 1).ok()?)?,
        };
        self.set(id, purpose);
        Some(id)
    }

    /// One that an earlier process used; `false` when it is in use already.
    pub(super) fn reserve(&mut self, id: PacketId, purpose: Use) -> bool {
        if self.get(id).is_some() {
            return false;
        }
        self.free.retain(|free| *free != id);
        self.set(id, purpose);
        true
    }

    pub(super) fn get(&self, id: PacketId) -> Option<Use> {
        self.uses.get(usize::from(id.get()) - 1).copied().flatten()
    }

    pub(super) fn give_back(&mut self, id: PacketId) {
        if let Some(slot) = self.uses.get_mut(usize::from(id.get()) - 1) {
            if slot.take().is_some() {
                self.free.push(id);
            }
        }
    }

    /// A connection has ended: its requests, unlike its messages, will never be answered.
    pub(super) fn end_requests(&mut self) {
        for number in 1..=u16::try_from(self.uses.len()).unwrap_or(u16::MAX) {
            let Some(id) = PacketId::new(number) else { continue };
            match self.get(id) {
                Some(Use::Subscribe(_) | Use::Unsubscribe(_)) => self.give_back(id),
                Some(Use::Publish(_)) | None => {}
            }
        }
    }

    fn set(&mut self, id: PacketId, purpose: Use) {
        let index = usize::from(id.get()) - 1;
        while self.uses.len() <= index {
            self.uses.push(None);
            let added = u16::try_from(self.uses.len()).ok().and_then(PacketId::new);
            self.free.extend(added.filter(|added| *added != id));
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

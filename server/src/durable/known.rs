//! What of the store is remembered, because a change alone does not say it: how many deliveries share a message, so that
//! the message goes with the last of them. That is about twenty bytes for each message that is shared, and nothing for a
//! delivery.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;

/// A session and one of its deliveries.
pub(super) type DeliveryName = (u64, u64);

/// What the store will hold once everything that was taken is written.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Messages that are stored by themselves, and how many deliveries need each.
    pub(super) shared: HashMap<u64, u32>,
    /// Deliveries with a record of how far they are.
    pub(super) progressed: BTreeSet<DeliveryName>,
    /// QoS 2 publishes from clients.
    pub(super) received: BTreeSet<(u64, u16)>,
}

impl Known {
    /// A delivery is stored that has its message elsewhere.
    pub(super) fn refer(&mut self, number: u64) {
        *self.shared.entry(number).or_insert(0) += 1;
    }

    /// A delivery has a record of how far it is.
    pub(super) fn note_progress(&mut self, delivery: DeliveryName) {
        self.progressed.insert(delivery);
    }

    /// A QoS 2 publish from a client is stored.
    pub(super) fn note_received(&mut self, received: (u64, u16)) {
        self.received.insert(received);
    }

    /// A delivery goes, or needs its message no more. Answers the message that nobody needs any more.
    pub(super) fn release(&mut self, number: u64) -> Option<u64> {
        let left = self.shared.get_mut(&number)?;
        *left -= 1;
        let is_last = *left == 0;
        is_last.then(|| {
            self.shared.remove(&number);
            number
        })
    }

    /// Nothing is known any more about a session that has ended.
    pub(super) fn forget(&mut self, serial: u64) {
        let known = self;
        let progressed: Vec<_> = known.progressed.range(all_of(serial)).copied().collect();
        progressed
            .iter()
            .for_each(|name| _ = known.progressed.remove(name));
        let received = known.received.range((serial, 0)..=(serial, u16::MAX));
        let received: Vec<_> = received.copied().collect();
        received.iter().for_each(|name| _ = known.received.remove(name));
    }
}

/// Every delivery of a session.
pub(super) const fn all_of(serial: u64) -> RangeInclusive<DeliveryName> {
    (serial, 0)..=(serial, u64::MAX)
}

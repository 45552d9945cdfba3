//! What of the store is remembered, because a change alone does not say it: how many deliveries share a message, so that
//! the message goes with the last of them, and which deliveries of a block are left. That is about twenty bytes for each
//! message that is shared, about fifty for each block, and nothing for a delivery.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use super::block::{Block, Mark};

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
    /// Blocks, by their first deliveries.
    blocks: BTreeMap<DeliveryName, Block>,
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

    /// A block is stored.
    pub(super) fn note_block(&mut self, first: DeliveryName, block: Block) {
        self.blocks.insert(first, block);
    }

    /// What is left of a block. Answers whether anything is.
    pub(super) fn note_left(&mut self, first: DeliveryName, left: u64) -> bool {
        let block = self.blocks.get_mut(&first);
        block.is_some_and(|block| block.note_left(left))
    }

    /// A delivery leaves the block in which it is stored. Answers which; `None` if it has an entry of its own.
    pub(super) fn leave_block(&mut self, delivery: DeliveryName) -> Option<DeliveryName> {
        let (first, block) = self.blocks.range_mut(..=delivery).next_back()?;
        block.remove(*first, delivery).then_some(*first)
    }

    /// What is to be written of a block that something has left; `None` if the block went meanwhile.
    pub(super) fn mark_block(&mut self, first: DeliveryName) -> Option<Mark> {
        let mark = self.blocks.get_mut(&first)?.mark();
        if matches!(mark, Mark::Spent { .. }) {
            self.blocks.remove(&first);
        }
        Some(mark)
    }

    /// A block cannot be used and goes. Answers whether a mark of it has to go too.
    pub(super) fn forget_block(&mut self, first: DeliveryName) -> bool {
        let block = self.blocks.remove(&first);
        block.is_some_and(Block::is_marked)
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
        let blocks: Vec<_> = known
            .blocks
            .range(all_of(serial))
            .map(|(first, _)| *first)
            .collect();
        blocks.iter().for_each(|first| _ = known.blocks.remove(first));
    }
}

/// Every delivery of a session.
pub(super) const fn all_of(serial: u64) -> RangeInclusive<DeliveryName> {
    (serial, 0)..=(serial, u64::MAX)
}

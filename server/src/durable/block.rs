//! Blocks: deliveries of one session that are written by the same commit are one entry of the store, because an engine
//! asks nearly the same for an entry, however short. What is remembered of a block is which of its deliveries are left;
//! it goes with the last of them. When some are gone, what is left is an entry of its own.
//!
//! ```text
//! block   version u8 | u64: a bit for each order that it has | for each of them: length u32 | record of the delivery
//! left    version u8 | u64: a bit for each order that is left
//! ```
//!
//! The lowest bit is that of the first order, which is the block's name.

use std::ops::Range;

use bytes::{Buf as _, Bytes};

use super::keys::KeyBytes;
use super::known::DeliveryName;
use super::record::{Damage, DeliveryRecord, FORMAT_VERSION, MessagePlace, Writer};
use crate::clock::Clock;
use crate::store::{Shelf, ShelfWrites};

/// Orders that a block spans at most: as many as a mark has bits.
pub(super) const BLOCK_ORDERS_MAX: u64 = u64::BITS as u64;
/// Messages of a block, bytes, if it has more than [`BLOCK_DELIVERIES_MIN`]: to have one of them, all are read.
const BLOCK_BYTES_MAX: usize = 16 * 1024;
/// Fewer are not worth what is remembered of a block.
const BLOCK_DELIVERIES_MIN: usize = 4;

/// Of the length in front of a record.
const LENGTH_BYTES: usize = size_of::<u32>();

/// What is remembered of a block, about 50 bytes with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// A bit for each order that is there, the lowest for the first.
    left: u64,
    /// Whether the store has an entry that says so.
    is_marked: bool,
}

/// What a commit makes of a block that something leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// These are left.
    Left(u64),
    /// None is.
    Spent {
        /// Whether the store has an entry that says what was left.
        is_marked: bool,
    },
}

impl Block {
    const fn new(left: u64) -> Self {
        Self {
            left,
            is_marked: false,
        }
    }

    fn bit(first: DeliveryName, (serial, order): DeliveryName) -> Option<u64> {
        let offset = order.checked_sub(first.1).filter(|_| first.0 == serial)?;
        (offset < BLOCK_ORDERS_MAX).then(|| 1 << offset)
    }

    /// A delivery goes. Answers whether it was there.
    pub(super) fn remove(&mut self, first: DeliveryName, delivery: DeliveryName) -> bool {
        let bit = Self::bit(first, delivery).unwrap_or(0);
        let is_there = self.left & bit != 0;
        self.left &= !bit;
        is_there
    }

    /// The store has an entry that says what is left. Answers whether anything is.
    pub(super) const fn note_left(&mut self, left: u64) -> bool {
        self.left &= left;
        self.is_marked = true;
        self.left != 0
    }

    /// Whether the store has an entry that says what is left.
    pub(super) const fn is_marked(self) -> bool {
        self.is_marked
    }

    /// What is to be written.
    pub(super) const fn mark(&mut self) -> Mark {
        if self.left == 0 {
            let is_marked = self.is_marked;
            return Mark::Spent { is_marked };
        }
        self.is_marked = true;
        Mark::Left(self.left)
    }
}

impl Mark {
    /// Writes it.
    pub(super) fn write(self, writes: &mut ShelfWrites, first: DeliveryName, clock: &Clock) {
        let mut key = KeyBytes::default();
        match self {
            Self::Left(left) => {
                let key = key.left(first);
                writes.put(Shelf::Queue, key, |bytes| Writer { bytes, clock }.left(left));
            }
            Self::Spent { is_marked } => {
                writes.delete(Shelf::Queue, key.block(first));
                if is_marked {
                    writes.delete(Shelf::Queue, key.left(first));
                }
            }
        }
    }
}

/// Deliveries of one commit, in the order of their keys.
pub(super) type Deliveries = [(DeliveryName, Option<DeliveryRecord<MessagePlace>>)];

/// The first block that can be made of `deliveries` from `start` on.
pub(super) fn next_block(deliveries: &Deliveries, mut start: usize) -> Option<(Range<usize>, Block)> {
    while start < deliveries.len() {
        let end = start + run(&deliveries[start..]);
        if end - start >= BLOCK_DELIVERIES_MIN {
            return Some((start..end, of_run(&deliveries[start..end])));
        }
        start = end.max(start + 1);
    }
    None
}

/// How many of the first deliveries can be a block.
fn run(deliveries: &Deliveries) -> usize {
    let Some((first, _)) = deliveries.first() else {
        return 0;
    };
    let mut bytes = 0;
    let ends = deliveries.iter().position(|(name, record)| {
        let Some(DeliveryRecord::Queued {
            message: MessagePlace::Inline(message),
            ..
        }) = record
        else {
            return true;
        };
        let is_full = bytes >= BLOCK_BYTES_MAX;
        bytes += message.size();
        is_full || Block::bit(*first, *name).is_none()
    });
    ends.unwrap_or(deliveries.len())
}

fn of_run(deliveries: &Deliveries) -> Block {
    let first = deliveries.first().map_or((0, 0), |(first, _)| *first);
    let bits = deliveries.iter().filter_map(|(name, _)| Block::bit(first, *name));
    Block::new(bits.fold(0, |all, bit| all | bit))
}

/// Writes a block.
pub(super) fn write(deliveries: &Deliveries, bytes: &mut Vec<u8>, clock: &Clock) {
    bytes.push(FORMAT_VERSION);
    bytes.extend_from_slice(&of_run(deliveries).left.to_be_bytes());
    for record in deliveries.iter().filter_map(|(_, record)| record.as_ref()) {
        let length_at = bytes.len();
        bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        let record_at = bytes.len();
        let writer = Writer {
            bytes: &mut *bytes,
            clock,
        };
        writer.delivery(record);
        let length = u32::try_from(bytes.len() - record_at).expect("invariant: packets are far smaller");
        bytes[length_at..record_at].copy_from_slice(&length.to_be_bytes());
    }
}

/// A block that was read back, and the records of its deliveries.
pub(super) struct ReadBlock {
    pub(super) block: Block,
    /// By their orders.
    pub(super) records: Vec<(u64, Bytes)>,
}

/// Reads a block.
///
/// # Errors
/// [`Damage`]: no delivery of it can be told from another.
pub(super) fn read((_, first): DeliveryName, value: &Bytes) -> Result<ReadBlock, Damage> {
    let mut rest = value.clone();
    let version = rest.try_get_u8()?;
    if version != FORMAT_VERSION {
        return Err(Damage::UnknownVersion(version));
    }
    let left = rest.try_get_u64()?;
    let mut records = Vec::with_capacity(left.count_ones() as usize);
    for offset in (0..BLOCK_ORDERS_MAX).filter(|offset| left >> offset & 1 == 1) {
        let length = rest.try_get_u32()? as usize;
        if length > rest.len() {
            return Err(Damage::Short);
        }
        let order = first.checked_add(offset).ok_or(Damage::Bad("an order"))?;
        records.push((order, rest.split_to(length)));
    }
    if !rest.is_empty() {
        return Err(Damage::Long);
    }
    if left & 1 == 0 {
        return Err(Damage::Bad("the first order"));
    }
    let block = Block::new(left);
    Ok(ReadBlock { block, records })
}

/// How many deliveries an entry says are left of a block.
pub(super) fn count_left(value: &[u8]) -> Option<u64> {
    let left = value.strip_prefix(&[FORMAT_VERSION])?;
    Some(u64::from_be_bytes(left.try_into().ok()?).count_ones().into())
}

#[cfg(test)]
mod tests;

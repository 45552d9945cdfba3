//! Topics that JavaScript has seen: the same text is not decoded again.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::layout::TOPIC_SLOTS;

/// Longer topics are always sent as text, bytes.
const TOPIC_BYTES_MAX: usize = 256;
/// The slot of a topic that is not remembered.
pub(crate) const NO_SLOT: u16 = TOPIC_SLOTS;

/// A direct-mapped cache: a topic has one place, and the last one there stays.
#[derive(Debug)]
pub(crate) struct Topics {
    slots: Vec<Box<str>>,
}

impl Topics {
    pub(crate) fn new() -> Self {
        Self {
            slots: vec![Box::default(); usize::from(TOPIC_SLOTS)],
        }
    }

    /// The slot of a topic, and whether JavaScript knows the text that is there.
    pub(crate) fn place(&mut self, topic: &str) -> (u16, bool) {
        if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX {
            return (NO_SLOT, false);
        }
        let slot = hash(topic) % TOPIC_SLOTS;
        let held = &mut self.slots[usize::from(slot)];
        if **held == *topic {
            return (slot, true);
        }
        *held = topic.into();
        (slot, false)
    }
}

/// FNV-1a, folded. A server that sends colliding topics only makes itself slower.
fn hash(topic: &str) -> u16 {
    let whole = topic.bytes().fold(0x811C_9DC5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let [a, b, c, d] = whole.to_le_bytes();
    u16::from_le_bytes([a ^ c, b ^ d])
}

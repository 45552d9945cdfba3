//! Which packet ids are free.

use core::num::NonZeroU16;

use cloudsignal_core::codec::PacketId;

/// Packet ids in use.
pub(super) struct IdSet([u64; (u16::MAX as usize + 1) / 64]);

impl IdSet {
    pub(super) fn of<'a>(ids: impl Iterator<Item = &'a PacketId>) -> Self {
        let mut set = Self([0; (u16::MAX as usize + 1) / 64]);
        ids.for_each(|&id| set.insert(id));
        set
    }

    const fn insert(&mut self, id: PacketId) {
        let id = id.get() as usize;
        self.0[id / 64] |= 1 << (id % 64);
    }

    const fn contains(&self, id: PacketId) -> bool {
        let id = id.get() as usize;
        self.0[id / 64] >> (id % 64) & 1 == 1
    }

    /// Takes the first id behind `last` that is not in use, if there is one.
    pub(super) fn take_behind(&mut self, last: u16) -> Option<PacketId> {
        let behind = (last..=u16::MAX).skip(1);
        let mut ids = behind.chain(1..=u16::MAX).filter_map(NonZeroU16::new);
        let free = ids.find(|&id| !self.contains(id))?;
        self.insert(free);
        Some(free)
    }
}

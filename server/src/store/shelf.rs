//! Shelves: keyed bytes that are written much more often than they are read. Nobody watches them, expects anything
//! of them or lets them expire, so a write costs what the engine costs and nothing beside it.
//!
//! Values bear their own format version. Every key begins with its organization by construction.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use cloudsignal_broker::OrgId;

/// Most writes to shelves in one commit.
pub const SHELF_WRITES_MAX: usize = 4_000_000;

/// One kind of keyed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shelf {
    /// Sessions, and what is stored about each beside its deliveries.
    Session,
    /// Deliveries of sessions.
    Queue,
    /// Messages that several deliveries share.
    Message,
    /// The retained message of each topic.
    Retained,
    /// What could not be understood when it was read back.
    Quarantine,
}

impl Shelf {
    /// Every shelf.
    pub const ALL: [Self; 5] = [
        Self::Session,
        Self::Queue,
        Self::Message,
        Self::Retained,
        Self::Quarantine,
    ];

    /// The shelf's name in a data folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Queue => "queue",
            Self::Message => "message",
            Self::Retained => "retained",
            Self::Quarantine => "quarantine",
        }
    }
}

/// Writes to the shelves of one organization, in one buffer. A key may be written once.
#[derive(Clone, PartialEq, Eq)]
pub struct ShelfWrites {
    org: OrgId,
    prefix: Box<[u8]>,
    buffer: Vec<u8>,
    items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    shelf: Shelf,
    key: Range<usize>,
    /// `None`: the key is removed.
    value: Option<Range<usize>>,
}

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShelfWrite<'a> {
    pub(super) shelf: Shelf,
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
}

impl ShelfWrites {
    /// Nothing yet.
    #[must_use]
    pub fn new(org: &OrgId) -> Self {
        Self {
            org: org.clone(),
            prefix: prefix_of(org).into(),
            buffer: Vec::new(),
            items: Vec::new(),
        }
    }

    /// Sets a key, which is what follows the organization, to what `write` appends.
    pub fn put(&mut self, shelf: Shelf, key: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let key = self.push_key(key);
        let start = self.buffer.len();
        write(&mut self.buffer);
        let value = Some(start..self.buffer.len());
        self.items.push(Item { shelf, key, value });
    }

    /// Removes a key.
    pub fn delete(&mut self, shelf: Shelf, key: &[u8]) {
        let key = self.push_key(key);
        let value = None;
        self.items.push(Item { shelf, key, value });
    }

    fn push_key(&mut self, key: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&self.prefix);
        self.buffer.extend_from_slice(key);
        start..self.buffer.len()
    }

    /// How many writes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes of keys and values.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The first and the second half, both in their order. Whoever has one write has an empty first half.
    #[must_use]
    pub fn halves(&self) -> (Self, Self) {
        let (first, second) = self.items.split_at(self.items.len() / 2);
        (self.part(first), self.part(second))
    }

    fn part(&self, items: &[Item]) -> Self {
        let mut part = Self::new(&self.org);
        for item in items {
            let key = part.copy(&self.buffer[item.key.clone()]);
            let value = item.value.clone().map(|value| part.copy(&self.buffer[value]));
            let shelf = item.shelf;
            part.items.push(Item { shelf, key, value });
        }
        part
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len()
    }

    /// The writes: shelf, key without the organization, and the value unless the key is removed.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Shelf, &[u8], Option<&[u8]>)> {
        let org_bytes = self.prefix.len();
        self.iter().map(move |write| {
            let key = write.key.get(org_bytes..).unwrap_or_default();
            (write.shelf, key, write.value)
        })
    }

    /// Whose they are.
    #[must_use]
    pub const fn org(&self) -> &OrgId {
        &self.org
    }

    pub(super) fn key_bytes_max(&self) -> usize {
        self.items.iter().map(|item| item.key.len()).max().unwrap_or(0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ShelfWrite<'_>> {
        self.items.iter().map(|item| ShelfWrite {
            shelf: item.shelf,
            key: &self.buffer[item.key.clone()],
            value: item.value.clone().map(|value| &self.buffer[value]),
        })
    }
}

impl fmt::Debug for ShelfWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} writes of {}, {} bytes", self.len(), self.org, self.bytes())
    }
}

/// Part of a shelf, in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShelfPage {
    /// Keys, without the organization, and values.
    pub entries: Vec<(Bytes, Bytes)>,
    /// Where to go on: pass it as `after`. `None` when this was the last page.
    pub next: Option<Bytes>,
}

/// What every key of an organization begins with.
pub(super) fn prefix_of(org: &OrgId) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(org.as_str().len() + 1);
    prefix.extend_from_slice(org.as_str().as_bytes());
    prefix.push(b'/');
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_come_back_with_their_organization_in_front() {
        let mut writes = ShelfWrites::new(&OrgId::new("org_a"));
        writes.put(Shelf::Queue, b"k", |value| value.extend_from_slice(b"value"));
        writes.delete(Shelf::Session, b"gone");
        let all: Vec<_> = writes.iter().collect();
        let put = ShelfWrite {
            shelf: Shelf::Queue,
            key: b"org_a/k",
            value: Some(b"value"),
        };
        let delete = ShelfWrite {
            shelf: Shelf::Session,
            key: b"org_a/gone",
            value: None,
        };
        assert_eq!(all, [put, delete]);
        assert_eq!((writes.len(), writes.key_bytes_max()), (2, 10));
        assert_eq!(writes.bytes(), "org_a/kvalueorg_a/gone".len());
    }

    #[test]
    fn halves_are_the_whole_in_its_order() {
        let mut writes = ShelfWrites::new(&OrgId::new("org_a"));
        for key in [b"1", b"2", b"3"] {
            writes.put(Shelf::Queue, key, |value| value.extend_from_slice(key));
        }
        writes.delete(Shelf::Queue, b"4");
        writes.delete(Shelf::Queue, b"5");
        let (first, second) = writes.halves();
        assert_eq!((first.len(), second.len()), (2, 3));
        assert!(first.iter().chain(second.iter()).eq(writes.iter()));
        let (none, one) = first.halves().0.halves();
        assert_eq!((none.len(), one.len()), (0, 1));
    }
}

//! Keys of stored state, each behind its organization. Numbers are big-endian, so that keys sort as numbers do.
//!
//! ```text
//! shelf session    serial u64 | kind u8 | ...
//!                    0                              the session itself
//!                    1 | name of the filter         a subscription
//!                    2 | order u64                  how far a QoS 2 delivery is
//!                    3 | packet id u16              a QoS 2 publish from the client
//!                    4                              a will
//!                    5                              how far numbered publishes of the client have come
//! shelf queue      serial u64 | order u64            a delivery
//!                  serial u64 | order u64 | 1        a block: deliveries from that order on
//!                  serial u64 | order u64 | 2        which of its deliveries are left
//! shelf message    number u64                        a message that several deliveries share
//! shelf retained   name of the topic                 a retained message
//! shelf quarantine shelf name | '/' | key            what could not be understood
//! ```
//!
//! The name of a topic or filter is its text; if that is long, which engines do not take in a key, a NUL, which no text
//! of MQTT holds, and its SHA-256. The whole text stands in the record.

use sha2::{Digest as _, Sha256};

use super::known::DeliveryName;
use crate::store::Shelf;

/// Longest topic or filter that is its own name, bytes. Engines take keys of less than 64 KiB.
const NAME_BYTES_MAX: usize = 1_024;

/// Kinds of keys on the shelf of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Session,
    Subscription,
    Progress,
    Received,
    Will,
    Numbers,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Session,
        Self::Subscription,
        Self::Progress,
        Self::Received,
        Self::Will,
        Self::Numbers,
    ];

    /// Stored: never change a number. The session comes first.
    const fn byte(self) -> u8 {
        match self {
            Self::Session => 0,
            Self::Subscription => 1,
            Self::Progress => 2,
            Self::Received => 3,
            Self::Will => 4,
            Self::Numbers => 5,
        }
    }
}

/// Stored: never change a number. A block comes before what says which of its deliveries are left.
const BLOCK: u8 = 1;
const LEFT: u8 = 2;

/// What a key on the shelf of queues names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueKey {
    /// A delivery with an entry of its own.
    Delivery(DeliveryName),
    /// A block, by the first of its deliveries.
    Block(DeliveryName),
    /// Which deliveries of that block are left.
    Left(DeliveryName),
}

/// A key that is being put together.
#[derive(Debug, Default)]
pub(super) struct KeyBytes(Vec<u8>);

impl KeyBytes {
    fn begin(&mut self) -> &mut Vec<u8> {
        self.0.clear();
        &mut self.0
    }

    /// What every key of this kind of a session begins with; the whole key of a session, of a will and of
    /// numbers.
    pub(super) fn of(&mut self, kind: Kind, serial: u64) -> &[u8] {
        let key = self.begin();
        key.extend_from_slice(&serial.to_be_bytes());
        key.push(kind.byte());
        &self.0
    }

    pub(super) fn subscription(&mut self, serial: u64, filter: &str) -> &[u8] {
        self.of(Kind::Subscription, serial);
        self.name(filter)
    }

    pub(super) fn retained(&mut self, topic: &str) -> &[u8] {
        self.begin();
        self.name(topic)
    }

    fn name(&mut self, text: &str) -> &[u8] {
        if text.len() <= NAME_BYTES_MAX {
            self.0.extend_from_slice(text.as_bytes());
        } else {
            self.0.push(0);
            self.0.extend_from_slice(&Sha256::digest(text.as_bytes()));
        }
        &self.0
    }

    pub(super) fn progress(&mut self, (serial, order): (u64, u64)) -> &[u8] {
        self.of(Kind::Progress, serial);
        self.0.extend_from_slice(&order.to_be_bytes());
        &self.0
    }

    pub(super) fn received(&mut self, (serial, packet_id): (u64, u16)) -> &[u8] {
        self.of(Kind::Received, serial);
        self.0.extend_from_slice(&packet_id.to_be_bytes());
        &self.0
    }

    pub(super) fn delivery(&mut self, (serial, order): (u64, u64)) -> &[u8] {
        let key = self.begin();
        key.extend_from_slice(&serial.to_be_bytes());
        key.extend_from_slice(&order.to_be_bytes());
        &self.0
    }

    pub(super) fn block(&mut self, first: DeliveryName) -> &[u8] {
        self.delivery(first);
        self.0.push(BLOCK);
        &self.0
    }

    pub(super) fn left(&mut self, first: DeliveryName) -> &[u8] {
        self.delivery(first);
        self.0.push(LEFT);
        &self.0
    }

    pub(super) fn number(&mut self, number: u64) -> &[u8] {
        self.begin().extend_from_slice(&number.to_be_bytes());
        &self.0
    }

    pub(super) fn quarantine(&mut self, shelf: Shelf, key: &[u8]) -> &[u8] {
        let bytes = self.begin();
        bytes.extend_from_slice(shelf.name().as_bytes());
        bytes.push(b'/');
        bytes.extend_from_slice(key);
        &self.0
    }
}

/// The number that a key is.
pub(super) fn parse_number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.try_into().ok()?))
}

/// The two numbers that a key is.
pub(super) fn parse_pair(key: &[u8]) -> Option<(u64, u64)> {
    let (first, second) = key.split_first_chunk()?;
    Some((u64::from_be_bytes(*first), parse_number(second)?))
}

/// What a key on the shelf of queues names.
pub(super) fn parse_queue(key: &[u8]) -> Option<QueueKey> {
    let (name, kind) = key.split_at_checked(2 * size_of::<u64>())?;
    let name = parse_pair(name)?;
    match kind {
        [] => Some(QueueKey::Delivery(name)),
        [BLOCK] => Some(QueueKey::Block(name)),
        [LEFT] => Some(QueueKey::Left(name)),
        _ => None,
    }
}

/// What a key on the shelf of sessions names: whose it is, what it is, and which one.
pub(super) fn parse_session(key: &[u8]) -> Option<(u64, Kind, &[u8])> {
    let (serial, rest) = key.split_first_chunk()?;
    let (byte, rest) = rest.split_first()?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.byte() == *byte)?;
    Some((u64::from_be_bytes(*serial), kind, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written() {
        let mut key = KeyBytes::default();
        assert_eq!(
            parse_session(key.subscription(7, "a/+")),
            Some((7, Kind::Subscription, b"a/+".as_slice()))
        );
        assert_eq!(
            parse_session(key.received((7, 9))),
            Some((7, Kind::Received, 9_u16.to_be_bytes().as_slice()))
        );
        assert_eq!(parse_pair(key.delivery((1, 2))), Some((1, 2)));
        assert_eq!(parse_number(key.number(5)), Some(5));
        assert_eq!(parse_pair(&key.delivery((1, 2))[1..]), None);
        assert_eq!(parse_session(b"1234567"), None);
        assert_eq!(parse_session(b"12345678\x09"), None, "a kind that there is not");
        assert_eq!(key.quarantine(Shelf::Queue, b"x"), b"queue/x");
    }

    #[test]
    fn the_longest_topics_have_short_names_of_their_own() {
        let (mut a, mut b) = (KeyBytes::default(), KeyBytes::default());
        let text = |bytes| "x".repeat(bytes);
        let long = text(usize::from(u16::MAX));
        assert_ne!(a.retained(&long), b.retained(&text(long.len() - 1)));
        assert_eq!(a.retained(&long).len(), 33);
        assert_eq!(a.subscription(7, &long).len(), 9 + 33);
        let at_most = text(NAME_BYTES_MAX);
        assert_eq!(a.retained(&at_most), at_most.as_bytes());
    }

    #[test]
    fn a_block_sorts_behind_its_first_delivery_and_before_what_is_left_of_it() {
        let (mut a, mut b) = (KeyBytes::default(), KeyBytes::default());
        assert!(a.delivery((1, 2)) < b.block((1, 2)));
        assert!(a.block((1, 2)) < b.left((1, 2)));
        assert!(a.left((1, 2)) < b.delivery((1, 3)));
        assert_eq!(parse_queue(a.block((1, 2))), Some(QueueKey::Block((1, 2))));
        assert_eq!(parse_queue(a.left((1, 2))), Some(QueueKey::Left((1, 2))));
        assert_eq!(parse_queue(a.delivery((1, 2))), Some(QueueKey::Delivery((1, 2))));
        assert_eq!(
            parse_queue(&[a.delivery((1, 2)), b"\x09"].concat()),
            None,
            "no such kind"
        );
    }

    #[test]
    fn deliveries_sort_by_session_and_order() {
        let (mut a, mut b) = (KeyBytes::default(), KeyBytes::default());
        assert!(a.delivery((1, 256)) < b.delivery((2, 1)));
        assert!(a.delivery((1, 255)) < b.delivery((1, 256)));
    }
}

//! Where a client keeps what has to survive: who it is, what waits to be sent, what it has subscribed to.
//!
//! | file | holds |
//! |---|---|
//! | here | what a store has to do |
//! | `memory` | nothing survives the process |
//! | `file` | a file, which survives the end of the process and the loss of power |

mod file;
mod memory;

use std::fmt;
use std::io;

use cloudsignal_core::client::Key;

pub use file::FileStore;
pub use memory::MemoryStore;

/// The name of a record: nine bytes that mean something to the client only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey([u8; Self::BYTES]);

impl RecordKey {
    /// How long it is.
    pub const BYTES: usize = 9;

    pub(crate) fn new(key: Key) -> Self {
        let (kind, number) = match key {
            Key::Identity => (0, 0),
            Key::Mark => (1, 0),
            Key::Outgoing(order) => (2, order),
            Key::Received(id) => (3, u64::from(id)),
            Key::Subscription(id) => (4, u64::from(id)),
        };
        let mut bytes = [kind; Self::BYTES];
        bytes[1..].copy_from_slice(&number.to_be_bytes());
        Self(bytes)
    }

    /// What it names; `None` when no version of this library has made it.
    pub(crate) fn key(self) -> Option<Key> {
        let [kind, number @ ..] = self.0;
        let number = u64::from_be_bytes(number);
        match (kind, number) {
            (0, 0) => Some(Key::Identity),
            (1, 0) => Some(Key::Mark),
            (2, order) => Some(Key::Outgoing(order)),
            (3, id) => u16::try_from(id).ok().map(Key::Received),
            (4, id) => u32::try_from(id).ok().map(Key::Subscription),
            _ => None,
        }
    }

    /// The bytes to keep.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// From bytes that were kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.key())
    }
}

/// A change of one record.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// Which record.
    pub key: RecordKey,
    /// What it holds from now on; `None`: it is forgotten, whether it was there or not.
    pub record: Option<Box<[u8]>>,
}

impl fmt::Debug for Change {
    /// Not what is in it: that is the application's.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.record.as_ref().map(|record| record.len());
        write!(out, "{:?}: {bytes:?} bytes", self.key)
    }
}

/// Keeps records. One client at a time uses it; it is called where blocking is allowed, never twice at once.
///
/// A store that fails is not asked again: the client goes on without it and says so by
/// [`Warning::StoreFailed`](crate::Warning::StoreFailed).
pub trait Store: Send + fmt::Debug + 'static {
    /// Everything that is kept, in any order. Called once, before anything else.
    ///
    /// # Errors
    /// The client is then not made.
    fn load(&mut self) -> io::Result<Vec<(RecordKey, Vec<u8>)>>;

    /// Makes all of these changes or none, and comes back when they will survive.
    ///
    /// # Errors
    /// When they may not.
    fn apply(&mut self, changes: &[Change]) -> io::Result<()>;

    /// Whether anything survives the process. A client whose store keeps nothing does not give it anything.
    fn is_durable(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_records_can_be_read_back() {
        for key in [
            Key::Identity,
            Key::Mark,
            Key::Outgoing(u64::MAX),
            Key::Received(7),
            Key::Subscription(u32::MAX),
        ] {
            assert_eq!(RecordKey::new(key).key(), Some(key));
        }
        assert_eq!(RecordKey::from_bytes([9; 9]).key(), None);
        assert_eq!(RecordKey::from_bytes([3; 9]).key(), None);
    }
}

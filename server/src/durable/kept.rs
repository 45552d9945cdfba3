//! Writes on their way to the store, until they are stored. What the store will never take as it is goes in halves, and
//! those in halves, until the one write is found that cannot be stored; everything else is.
//!
//! Changes of one turn are then no longer stored together. Nobody hears of any of them before all are there.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::block;
use super::keys::{QueueKey, parse_queue, parse_session};
use super::record::{DeliveryRecord, MessagePlace, Reader};
use crate::clock::Clock;
use crate::store::{CommitError, Shelf, ShelfWrites};

/// One commit of an organization.
#[derive(Debug)]
pub(super) struct Kept {
    /// In the order in which they are written.
    parts: VecDeque<Arc<ShelfWrites>>,
    refused: Refused,
}

/// Who was promised what can never be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Sessions, by their serials.
    pub(crate) sessions: BTreeSet<u64>,
    /// Somebody without a connection.
    pub(crate) submitters: bool,
    /// That cannot be told: everybody who waits for the commit.
    pub(crate) everybody: bool,
}

/// What becomes of a part that was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Its halves are written instead.
    Halved,
    /// It was one write, which is given up.
    GivenUp,
}

impl Kept {
    pub(super) fn new(writes: ShelfWrites) -> Self {
        Self {
            parts: VecDeque::from([Arc::new(writes)]),
            refused: Refused::default(),
        }
    }

    /// What is written next; `None` when everything is stored that can be.
    pub(super) fn part(&self) -> Option<&Arc<ShelfWrites>> {
        self.parts.front()
    }

    /// The part is stored.
    pub(super) fn stored(&mut self) {
        self.parts.pop_front();
    }

    /// The part will never be stored as it is.
    pub(super) fn cut(&mut self, error: &CommitError, clock: &Clock) -> Cut {
        let Some(part) = self.parts.pop_front() else {
            return Cut::GivenUp;
        };
        if part.len() > 1 {
            let (first, second) = part.halves();
            self.parts.push_front(Arc::new(second));
            self.parts.push_front(Arc::new(first));
            return Cut::Halved;
        }
        for (shelf, key, value) in part.entries() {
            tracing::error!(
                org = %part.org(),
                shelf = shelf.name(),
                key = %key.escape_ascii(),
                bytes = value.map_or(0, <[u8]>::len),
                %error,
                "a change can never be stored and is given up; whoever waits for it is disconnected"
            );
            self.refused.claim(shelf, key, value, clock);
        }
        Cut::GivenUp
    }

    /// Who waits for what was given up.
    pub(super) fn into_refused(self) -> Refused {
        self.refused
    }
}

impl Refused {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Notes who was promised a write.
    fn claim(&mut self, shelf: Shelf, key: &[u8], value: Option<&[u8]>, clock: &Clock) {
        let known = match shelf {
            Shelf::Session => parse_session(key).map(|(serial, ..)| self.claim_session(serial)),
            Shelf::Queue => self.claim_queued(key, value, clock),
            Shelf::Message | Shelf::Retained => value.and_then(|value| {
                let message = Reader::new(value, clock).ok()?.message().ok()?;
                self.claim_session(message.publisher());
                Some(())
            }),
            Shelf::Quarantine => None,
        };
        self.everybody |= known.is_none();
    }

    /// Of its publisher, and of the session that was promised it with a subscription.
    fn claim_queued(&mut self, key: &[u8], value: Option<&[u8]>, clock: &Clock) -> Option<()> {
        let key = parse_queue(key)?;
        let (QueueKey::Delivery((serial, _)) | QueueKey::Block((serial, _)) | QueueKey::Left((serial, _))) =
            key;
        self.claim_session(serial);
        let Some(value) = value else { return Some(()) };
        match key {
            QueueKey::Left(_) => Some(()),
            QueueKey::Delivery(_) => self.claim_delivery(value, clock),
            QueueKey::Block(first) => {
                let block = block::read(first, &Bytes::copy_from_slice(value)).ok()?;
                let mut records = block.records.iter();
                records.try_for_each(|(_, record)| self.claim_delivery(record, clock))
            }
        }
    }

    fn claim_delivery(&mut self, record: &[u8], clock: &Clock) -> Option<()> {
        match Reader::new(record, clock).ok()?.delivery().ok()? {
            DeliveryRecord::Released { .. } => Some(()),
            DeliveryRecord::Queued { message, .. } => match message {
                MessagePlace::Inline(message) => {
                    self.claim_session(message.publisher());
                    Some(())
                }
                MessagePlace::Shared(_) => None,
            },
        }
    }

    fn claim_session(&mut self, serial: u64) {
        if serial == 0 {
            self.submitters = true;
        } else {
            self.sessions.insert(serial);
        }
    }
}

#[cfg(test)]
mod tests {
    use cloudsignal_broker::OrgId;

    use super::*;
    use crate::clock::WallTime;

    fn too_large() -> CommitError {
        CommitError::TooLarge {
            what: "bytes",
            max: 1,
        }
    }

    /// Writes of ten sessions, and the keys that reach the store when those of `refused` never do.
    fn stored_without(refused: &[u64]) -> (Vec<u64>, Refused) {
        let clock = Clock::manual(WallTime::ZERO);
        let serial_of = |key: &[u8]| parse_session(key).unwrap().0;
        let mut writes = ShelfWrites::new(&OrgId::new("org_a"));
        for serial in 1..=10_u64 {
            let key = [&serial.to_be_bytes()[..], &[0]].concat();
            writes.put(Shelf::Session, &key, |_| {});
        }
        let (mut kept, mut stored) = (Kept::new(writes), Vec::new());
        while let Some(part) = kept.part() {
            let serials: Vec<_> = part.entries().map(|(_, key, _)| serial_of(key)).collect();
            if serials.iter().any(|serial| refused.contains(serial)) {
                kept.cut(&too_large(), &clock);
            } else {
                stored.extend(serials);
                kept.stored();
            }
        }
        (stored, kept.into_refused())
    }

    #[test]
    fn everything_is_stored_in_order_except_the_one_write_that_cannot_be() {
        for bad in 1..=10 {
            let (stored, refused) = stored_without(&[bad]);
            let rest: Vec<_> = (1..=10).filter(|serial| *serial != bad).collect();
            assert_eq!(stored, rest);
            assert_eq!(refused.sessions, [bad].into());
            assert!(!refused.everybody && !refused.submitters);
        }
        let (stored, refused) = stored_without(&[1, 6, 10]);
        assert_eq!((stored.len(), refused.sessions.len()), (7, 3));
    }

    #[test]
    fn a_commit_that_is_only_too_large_is_stored_in_parts() {
        let clock = Clock::manual(WallTime::ZERO);
        let mut writes = ShelfWrites::new(&OrgId::new("org_a"));
        (0..100_u8).for_each(|key| writes.put(Shelf::Message, &[key], |_| {}));
        let (mut kept, mut stored) = (Kept::new(writes), 0);
        while let Some(part) = kept.part() {
            if part.len() > 7 {
                assert_eq!(kept.cut(&too_large(), &clock), Cut::Halved);
            } else {
                stored += part.len();
                kept.stored();
            }
        }
        assert_eq!(stored, 100);
        assert!(kept.into_refused().is_empty());
    }

    #[test]
    fn a_write_of_nobody_known_is_everybodys() {
        let mut refused = Refused::default();
        let clock = Clock::manual(WallTime::ZERO);
        refused.claim(Shelf::Retained, b"topic", None, &clock);
        assert!(refused.everybody);
    }
}

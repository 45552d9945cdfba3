//! Subscription identifiers: why a PUBLISH reaches this client.

use core::fmt;

use super::{Encoded, id};
use crate::codec::EncodeError;
use crate::codec::reader::Varint;
use crate::codec::writer::{Sink, VARINT_MAX};

/// The subscription identifiers of a PUBLISH, one for each matching subscription that has one. Cheap to copy.
#[derive(Clone, Copy, Default)]
pub struct SubscriptionIds<'a> {
    /// A run of valid encoded properties. Those that are not subscription identifiers are skipped.
    wire: &'a [u8],
    /// Used when `wire` is empty.
    list: &'a [u32],
}

impl<'a> SubscriptionIds<'a> {
    /// None at all.
    pub const EMPTY: Self = Self { wire: &[], list: &[] };

    /// These. Each must lie in 1..=268 435 455, which encoding checks.
    #[must_use]
    pub const fn from_slice(ids: &'a [u32]) -> Self {
        Self { wire: &[], list: ids }
    }

    /// The identifiers, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        let encoded = Encoded(self.wire).filter_map(|(id, value)| match Varint::read(value) {
            Varint::Value { value, .. } if id == id::SUBSCRIPTION_ID => Some(value),
            Varint::Value { .. } | Varint::Short | Varint::TooLong => None,
        });
        encoded.chain(self.list.iter().copied())
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        // A run begins with the first identifier, so it is empty exactly when there is none.
        self.wire.is_empty() && self.list.is_empty()
    }

    /// Over a part of a property block that was read without error.
    pub(super) const fn from_valid(wire: &'a [u8]) -> Self {
        Self { wire, list: &[] }
    }

    pub(in crate::codec) fn write<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        self.iter()
            .try_for_each(|subscription_id| write_one(sink, subscription_id))
    }
}

/// Writes one identifier as a property.
pub(in crate::codec) fn write_one<S: Sink>(sink: &mut S, subscription_id: u32) -> Result<(), EncodeError> {
    if !(1..=VARINT_MAX).contains(&subscription_id) {
        return Err(EncodeError::BreaksRule(
            "a subscription identifier lies in 1..=268435455",
        ));
    }
    sink.u8(id::SUBSCRIPTION_ID);
    sink.varint(subscription_id);
    Ok(())
}

impl PartialEq for SubscriptionIds<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SubscriptionIds<'_> {}

impl fmt::Debug for SubscriptionIds<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_and_its_encoding_are_equal() {
        let ids = [1, 128, VARINT_MAX];
        let mut wire = alloc::vec::Vec::new();
        SubscriptionIds::from_slice(&ids).write(&mut wire).unwrap();
        assert_eq!(wire, [0x0B, 1, 0x0B, 0x80, 1, 0x0B, 0xFF, 0xFF, 0xFF, 0x7F]);
        assert_eq!(
            SubscriptionIds::from_valid(&wire),
            SubscriptionIds::from_slice(&ids)
        );
        assert_ne!(
            SubscriptionIds::from_valid(&wire),
            SubscriptionIds::from_slice(&ids[..2])
        );
        assert!(!SubscriptionIds::from_valid(&wire).is_empty());
        assert!(!SubscriptionIds::from_slice(&ids).is_empty());
        assert!(SubscriptionIds::EMPTY.is_empty());
    }

    #[test]
    fn zero_and_too_large_cannot_be_written() {
        for id in [0, VARINT_MAX + 1] {
            let written = SubscriptionIds::from_slice(&[id]).write(&mut alloc::vec::Vec::new());
            assert!(matches!(written, Err(EncodeError::BreaksRule(_))), "{id}");
        }
    }
}

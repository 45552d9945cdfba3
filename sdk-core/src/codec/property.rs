//! MQTT 5 properties.

use alloc::vec::Vec;
use core::fmt;

use super::{EncodeError, Malformed};

pub(crate) const fn property_name(_id: u8) -> &'static str {
    ""
}

/// User properties in wire order. Cheap to copy; iterates over `(name, value)`.
#[derive(Clone, Copy, Default)]
pub struct UserProperties<'a> {
    /// A run of valid encoded properties. Those that are not user properties are skipped when reading.
    wire: &'a [u8],
}

impl<'a> UserProperties<'a> {
    /// None at all.
    pub const EMPTY: Self = Self { wire: &[] };

    /// Reads what [`push`](Self::push) or [`write_wire`](Self::write_wire) wrote.
    ///
    /// # Errors
    /// What is wrong when `wire` is not a run of encoded user properties.
    pub fn from_wire(_wire: &'a [u8]) -> Result<Self, Malformed> {
        todo!()
    }

    /// Appends one encoded user property to `out`.
    ///
    /// # Errors
    /// `StringTooLong` or `NulCharacter`; `out` is then as it was.
    pub fn push(_out: &mut Vec<u8>, _name: &str, _value: &str) -> Result<(), EncodeError> {
        todo!()
    }

    /// Appends all of them to `out`, encoded, and nothing else: what an owned message keeps.
    pub fn write_wire(&self, _out: &mut Vec<u8>) {
        todo!()
    }

    /// The properties as `(name, value)`, in wire order; names may repeat [MQTT-3.3.2-18].
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let _ = self.wire;
        core::iter::empty()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UserProperties<'_> {}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.iter()).finish()
    }
}

/// The subscription identifiers of a PUBLISH, one for each matching subscription that has one.
#[derive(Clone, Copy, Default)]
pub struct SubscriptionIds<'a>(Ids<'a>);

#[derive(Clone, Copy)]
enum Ids<'a> {
    /// A run of valid encoded properties; others than subscription identifiers are skipped.
    Wire(&'a [u8]),
    List(&'a [u32]),
}

impl Default for Ids<'_> {
    fn default() -> Self {
        Self::List(&[])
    }
}

impl<'a> SubscriptionIds<'a> {
    /// None at all.
    pub const EMPTY: Self = Self(Ids::List(&[]));

    /// These; each must lie in 1..=268 435 455, which encoding checks.
    #[must_use]
    pub const fn from_slice(ids: &'a [u32]) -> Self {
        Self(Ids::List(ids))
    }

    /// The identifiers, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        match self.0 {
            Ids::Wire(_) => core::iter::empty().collect::<Vec<u32>>().into_iter(),
            Ids::List(ids) => ids.to_vec().into_iter(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
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

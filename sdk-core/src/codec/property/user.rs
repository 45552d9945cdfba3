//! User properties: pairs of strings, any number, in order.

use alloc::vec::Vec;
use core::fmt;

use super::{Encoded, counted, id, property};
use crate::codec::writer::{Count, Sink};
use crate::codec::{EncodeError, Malformed};

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
    pub fn from_wire(wire: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = wire;
        while let Some((&id, after_id)) = rest.split_first() {
            if id != id::USER_PROPERTY {
                return Err(match property(id) {
                    Some(_) => Malformed::PropertyNotAllowed { id },
                    None => Malformed::UnknownProperty { id },
                });
            }
            rest = check_text(check_text(after_id)?)?;
        }
        Ok(Self { wire })
    }

    /// Appends one encoded user property to `out`.
    ///
    /// # Errors
    /// `StringTooLong` or `NulCharacter`; `out` is then as it was.
    pub fn push(out: &mut Vec<u8>, name: &str, value: &str) -> Result<(), EncodeError> {
        fn write<S: Sink>(sink: &mut S, name: &str, value: &str) -> Result<(), EncodeError> {
            sink.u8(id::USER_PROPERTY);
            sink.text("user property name", name)?;
            sink.text("user property value", value)
        }
        write(&mut Count::default(), name, value)?;
        write(out, name, value)
    }

    /// Appends all of them to `out`, encoded, and nothing else: what an owned message keeps.
    pub fn write_wire(&self, out: &mut Vec<u8>) {
        self.write(out);
    }

    /// The properties as `(name, value)`, in wire order; names may repeat [MQTT-3.3.2-18].
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.encoded().filter_map(|pair| {
            let (name, rest) = counted(pair)?;
            let (value, _) = counted(rest)?;
            Some((
                core::str::from_utf8(name).ok()?,
                core::str::from_utf8(value).ok()?,
            ))
        })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.encoded().next().is_none()
    }

    /// Over a part of a property block that was read without error.
    pub(super) const fn from_valid(wire: &'a [u8]) -> Self {
        Self { wire }
    }

    pub(in crate::codec) fn write<S: Sink>(&self, sink: &mut S) {
        for pair in self.encoded() {
            sink.u8(id::USER_PROPERTY);
            sink.put(pair);
        }
    }

    pub(super) fn encoded(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        Encoded(self.wire).filter_map(|(id, value)| (id == id::USER_PROPERTY).then_some(value))
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.encoded().eq(other.encoded())
    }
}

impl Eq for UserProperties<'_> {}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.iter()).finish()
    }
}

/// Checks the string at the front of `bytes` and returns what follows it.
fn check_text(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let (text, rest) = counted(bytes).ok_or(Malformed::Truncated)?;
    let text = core::str::from_utf8(text).map_err(|_| Malformed::Utf8)?;
    if text.contains('\0') {
        Err(Malformed::NulCharacter)
    } else {
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_read_back_in_order_with_repeats() {
        let mut wire = Vec::new();
        UserProperties::push(&mut wire, "a", "1").unwrap();
        UserProperties::push(&mut wire, "a", "").unwrap();
        UserProperties::push(&mut wire, "", "ü").unwrap();
        let properties = UserProperties::from_wire(&wire).unwrap();
        assert!(!properties.is_empty());
        assert!(properties.iter().eq([("a", "1"), ("a", ""), ("", "ü")]));
        let mut copy = Vec::new();
        properties.write_wire(&mut copy);
        assert_eq!(copy, wire);
        assert_eq!(
            std::format!("{properties:?}"),
            r#"[("a", "1"), ("a", ""), ("", "ü")]"#
        );
        assert!(UserProperties::EMPTY.is_empty());
        assert_ne!(properties, UserProperties::EMPTY);
    }

    #[test]
    fn a_refused_pair_leaves_the_buffer_alone() {
        let mut wire = std::vec![1, 2, 3];
        let long = "x".repeat(65_536);
        let too_long = Err(EncodeError::StringTooLong {
            field: "user property value",
            bytes: 65_536,
        });
        assert_eq!(UserProperties::push(&mut wire, "a", &long), too_long);
        let nul = Err(EncodeError::NulCharacter {
            field: "user property name",
        });
        assert_eq!(UserProperties::push(&mut wire, "a\0", "b"), nul);
        assert_eq!(wire, [1, 2, 3]);
    }

    #[test]
    fn from_wire_accepts_user_properties_and_nothing_else() {
        let refused = |wire: &[u8]| UserProperties::from_wire(wire).unwrap_err();
        assert!(UserProperties::from_wire(&[]).unwrap().is_empty());
        assert_eq!(refused(&[0x26, 0, 1, b'a', 0, 1]), Malformed::Truncated);
        assert_eq!(refused(&[0x26]), Malformed::Truncated);
        assert_eq!(refused(&[0x26, 0, 1, 0xFF, 0, 0]), Malformed::Utf8);
        assert_eq!(refused(&[0x26, 0, 0, 0, 1, 0]), Malformed::NulCharacter);
        assert_eq!(refused(&[0x01, 0]), Malformed::PropertyNotAllowed { id: 1 });
        assert_eq!(
            refused(&[0x26, 0, 0, 0, 0, 0x7F]),
            Malformed::UnknownProperty { id: 0x7F }
        );
    }
}

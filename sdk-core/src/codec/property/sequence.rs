//! The user property that numbers messages in a session, in both directions, where both ends know it.

use alloc::vec::Vec;

use super::{counted, id, user::UserProperties};

/// Its name.
pub const SEQUENCE_PROPERTY: &str = "cs-seq";

/// Digits of its value, which is hexadecimal.
pub const SEQUENCE_DIGITS: usize = 16;

/// The property is there and is not one number of [`SEQUENCE_DIGITS`] hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the user property cs-seq is not one number of 16 hexadecimal digits")]
pub struct BadSequence;

impl UserProperties<'_> {
    /// The number among them, if there is one.
    ///
    /// # Errors
    /// [`BadSequence`], also for more than one.
    pub fn sequence(&self) -> Result<Option<u64>, BadSequence> {
        let mut found = None;
        for (_, value) in self.iter().filter(|it| it.0 == SEQUENCE_PROPERTY) {
            let is_number = value.len() == SEQUENCE_DIGITS && value.bytes().all(|it| it.is_ascii_hexdigit());
            let number = u64::from_str_radix(value, 16).map_err(|_| BadSequence)?;
            if !is_number || found.replace(number).is_some() {
                return Err(BadSequence);
            }
        }
        Ok(found)
    }

    /// Appends all others to `out`, encoded.
    pub fn write_others_than_sequence(&self, out: &mut Vec<u8>) {
        for pair in self.encoded() {
            if counted(pair).is_none_or(|(name, _)| name != SEQUENCE_PROPERTY.as_bytes()) {
                out.push(id::USER_PROPERTY);
                out.extend_from_slice(pair);
            }
        }
    }

    /// Appends the number to `out`, encoded.
    pub fn push_sequence(out: &mut Vec<u8>, sequence: u64) {
        let mut digits = [0; SEQUENCE_DIGITS];
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            let nibble = sequence >> (4 * place) & 0xF;
            *digit = b"0123456789abcdef"[nibble as usize];
        }
        let text = core::str::from_utf8(&digits).unwrap_or_default();
        Self::push(out, SEQUENCE_PROPERTY, text).expect("invariant: it is short");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Option<u64>, BadSequence> {
        let mut wire = Vec::new();
        for (name, value) in pairs {
            UserProperties::push(&mut wire, name, value).expect("fits");
        }
        UserProperties::from_wire(&wire).expect("properties").sequence()
    }

    #[test]
    fn a_number_is_read_as_it_was_written_and_the_others_stay() {
        let mut wire = Vec::new();
        UserProperties::push(&mut wire, "a", "1").expect("fits");
        let others = wire.clone();
        UserProperties::push_sequence(&mut wire, 0x0123_4567_89AB_CDEF);
        let properties = UserProperties::from_wire(&wire).expect("properties");
        assert_eq!(properties.sequence(), Ok(Some(0x0123_4567_89AB_CDEF)));
        assert_eq!(
            properties.iter().last(),
            Some((SEQUENCE_PROPERTY, "0123456789abcdef"))
        );
        let mut rest = Vec::new();
        properties.write_others_than_sequence(&mut rest);
        assert_eq!(rest, others);
    }

    #[test]
    fn what_is_not_one_number_of_16_digits_is_none() {
        assert_eq!(of(&[("a", "0000000000000001")]), Ok(None));
        assert_eq!(of(&[("cs-seq", "00000000000000fF")]), Ok(Some(255)));
        for bad in [
            "",
            "1",
            "+000000000000001",
            "000000000000000g",
            "00000000000000001",
        ] {
            assert_eq!(of(&[("cs-seq", bad)]), Err(BadSequence), "{bad}");
        }
        let one = ("cs-seq", "0000000000000001");
        assert_eq!(of(&[one, one]), Err(BadSequence), "two of them");
    }
}

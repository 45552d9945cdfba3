//! What a message says: which stream it belongs to, its number, and a checksum over all of it.

use std::fmt::Write as _;

/// Stream and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) stream: usize,
    /// Counted from 0 in each stream.
    pub(crate) number: u64,
}

/// The payload of a message; `padding` characters make it longer.
pub(crate) fn payload(name: Name, padding: usize) -> Vec<u8> {
    let mut text = format!("{} {} {}", name.stream, name.number, "x".repeat(padding));
    let checksum = checksum(text.as_bytes());
    write!(text, " {checksum:016x}").expect("a String takes all");
    text.into_bytes()
}

/// Whose payload this is; `None` when it is not as it was sent.
pub(crate) fn read(payload: &[u8]) -> Option<Name> {
    let text = std::str::from_utf8(payload).ok()?;
    let (text, sum) = text.rsplit_once(' ')?;
    if u64::from_str_radix(sum, 16).ok()? != checksum(text.as_bytes()) {
        return None;
    }
    let mut words = text.splitn(3, ' ');
    Some(Name {
        stream: words.next()?.parse().ok()?,
        number: words.next()?.parse().ok()?,
    })
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_says_whose_it_is() {
        let name = Name {
            stream: 3,
            number: 70_000,
        };
        assert_eq!(read(&payload(name, 0)), Some(name));
        assert_eq!(read(&payload(name, 100)), Some(name));
    }

    #[test]
    fn a_changed_byte_shows() {
        let name = Name { stream: 1, number: 2 };
        let whole = payload(name, 8);
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            assert_eq!(read(&changed), None, "byte {place}");
        }
        assert_eq!(read(&whole[..whole.len() - 1]), None);
        assert_eq!(read(b""), None);
    }
}

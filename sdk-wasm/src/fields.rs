//! Reading a list of `u8 which, u32 bytes, value`.

use alloc::vec::Vec;

/// Walks over a list; ends early where it is not one.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&which, rest) = self.0.split_first()?;
        let (bytes, rest) = rest.split_first_chunk()?;
        let bytes = usize::try_from(u32::from_le_bytes(*bytes)).ok()?;
        let (value, rest) = rest.split_at_checked(bytes)?;
        self.0 = rest;
        Some((which, value))
    }
}

/// A number of up to four bytes; more are ignored.
pub(crate) fn number(value: &[u8]) -> u32 {
    let bytes = value.iter().take(4).rev();
    bytes.fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// A text, or nothing when it is not UTF-8.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    core::str::from_utf8(value).ok()
}

/// Adds one entry to a list. What does not fit a `u32` cannot be in linear memory.
pub(crate) fn push(out: &mut Vec<u8>, which: u8, parts: &[&[u8]]) {
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    out.push(which);
    out.extend_from_slice(&u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

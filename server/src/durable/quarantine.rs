//! What could not be understood is put aside, with the reason, and nothing else is lost for it.
//!
//! ```text
//! key     shelf name | '/' | key as it was
//! value   version u8 = 2 | when, unix microseconds, u64 | length u32 | reason | value as it was
//!         version u8 = 1 | length u32 | reason | value as it was
//! ```

use std::fmt::Display;

use bytes::{Buf as _, Bytes};

use super::keys::KeyBytes;
use crate::clock::{Clock, WallTime};
use crate::store::{Shelf, ShelfWrites};

/// The layout that this program writes.
const FORMAT_VERSION: u8 = 2;
/// The layout that did not say when.
const FORMAT_TIMELESS: u8 = 1;

/// Moves an entry of a shelf to the quarantine.
pub(super) fn set_aside(
    writes: &mut ShelfWrites,
    clock: &Clock,
    (shelf, key): (Shelf, &[u8]),
    value: &[u8],
    reason: &dyn Display,
) {
    let reason = reason.to_string();
    writes.delete(shelf, key);
    writes.put(
        Shelf::Quarantine,
        KeyBytes::default().quarantine(shelf, key),
        |bytes| {
            bytes.push(FORMAT_VERSION);
            bytes.extend_from_slice(&clock.wall().unix_micros().to_be_bytes());
            let length = u32::try_from(reason.len()).expect("invariant: reasons are short");
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(reason.as_bytes());
            bytes.extend_from_slice(value);
        },
    );
}

/// An entry that was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetAside<'a> {
    /// Where it was.
    pub(crate) shelf: &'a str,
    /// Its key there, behind the organization.
    pub(crate) key: &'a [u8],
    /// What was wrong with it.
    pub(crate) reason: String,
    /// When it was put aside, if that was written down.
    pub(crate) at: Option<WallTime>,
    /// What it was.
    pub(crate) value: Bytes,
}

/// Reads an entry of the quarantine. What cannot be read there either is shown as it is.
pub(crate) fn read<'a>(key: &'a [u8], value: &Bytes) -> SetAside<'a> {
    let slash = key.iter().position(|byte| *byte == b'/');
    let (shelf, key) = slash.map_or((&b"?"[..], key), |at| (&key[..at], &key[at + 1..]));
    let (at, reason, value) = parts(value).unwrap_or_else(|| (None, "?".into(), value.clone()));
    SetAside {
        shelf: std::str::from_utf8(shelf).unwrap_or("?"),
        key,
        reason,
        at,
        value,
    }
}

fn parts(value: &Bytes) -> Option<(Option<WallTime>, String, Bytes)> {
    let mut rest = value.clone();
    let at = match rest.try_get_u8().ok()? {
        FORMAT_VERSION => Some(WallTime::from_unix_micros(rest.try_get_u64().ok()?)),
        FORMAT_TIMELESS => None,
        _ => return None,
    };
    let length = rest.try_get_u32().ok()? as usize;
    let reason = (length <= rest.len()).then(|| rest.split_to(length))?;
    Some((at, String::from_utf8_lossy(&reason).into_owned(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_aside_can_be_looked_at() {
        let mut value = vec![FORMAT_VERSION];
        value.extend_from_slice(&7_u64.to_be_bytes());
        value.extend_from_slice(&3_u32.to_be_bytes());
        value.extend_from_slice(b"oddvalue");
        let read_back = read(b"queue/a/b", &Bytes::from(value.clone()));
        let expected = SetAside {
            shelf: "queue",
            key: b"a/b",
            reason: "odd".into(),
            at: Some(WallTime::from_unix_micros(7)),
            value: Bytes::from_static(b"value"),
        };
        assert_eq!(read_back, expected);
        let timeless = [&[FORMAT_TIMELESS], &value[9..]].concat();
        let timeless = read(b"queue/a/b", &timeless.into());
        assert_eq!(timeless, SetAside { at: None, ..expected });
    }

    #[test]
    fn what_is_damaged_there_too_is_shown_as_it_is() {
        let whole = [&[FORMAT_TIMELESS][..], &3_u32.to_be_bytes(), b"odd"].concat();
        for length in 0..whole.len() {
            let cut = Bytes::copy_from_slice(&whole[..length]);
            let read_back = read(b"none", &cut);
            assert_eq!((read_back.shelf, read_back.reason.as_str()), ("?", "?"));
            assert_eq!(read_back.value, cut);
        }
    }
}

//! What could not be understood is put aside, with the reason, and nothing else is lost for it.
//!
//! ```text
//! key     shelf name | '/' | key as it was
//! value   version u8 = 1 | length u32 | reason | value as it was
//! ```

use std::fmt::Display;

use super::keys::KeyBytes;
use super::record::FORMAT_VERSION;
use crate::store::{Shelf, ShelfWrites};

/// Moves an entry of a shelf to the quarantine.
pub(super) fn set_aside(
    writes: &mut ShelfWrites,
    shelf: Shelf,
    key: &[u8],
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
            let length = u32::try_from(reason.len()).expect("invariant: reasons are short");
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(reason.as_bytes());
            bytes.extend_from_slice(value);
        },
    );
}

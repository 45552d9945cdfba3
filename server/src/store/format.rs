//! Bytes of a stored record. The first byte is the version of the layout; an unknown one is refused.
//!
//! ```text
//! table entry   version u8 = 1 | position u64 | expires at, unix microseconds, u64 (0: never) | value
//! log record    version u8 = 1 | record
//! ```
//! Numbers are big-endian. Log keys are `{org}/` and the position; the expiry index maps
//! `expires at | table u8 | key` to nothing.

use bytes::Bytes;

use cloudsignal_broker::OrgId;

use super::{Key, LogRecord, Seq, Table};
use crate::clock::WallTime;

/// The layout of an entry that this program writes.
pub const FORMAT_VERSION: u8 = 1;
/// The layout of the whole that this program writes; it reads those before it, and what it has opened is of its own.
/// 1: each queued message is an entry. 2: those that were written together may be one.
pub const STORE_VERSION: u8 = 2;

const ENTRY_HEADER_BYTES: usize = 1 + 8 + 8;

/// Why stored bytes cannot be used. They are never guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A newer program wrote it.
    #[error(
        "stored in format {found}, and this program knows format {known}: use the newer program that wrote it"
    )]
    UnknownVersion {
        /// The newest that this program reads.
        known: u8,
        /// The version byte.
        found: u8,
    },
    /// Fewer bytes than the layout has.
    #[error("damaged: {bytes} bytes are too few")]
    Short {
        /// How many there are.
        bytes: usize,
    },
}

/// A table entry without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) seq: Seq,
    pub(super) expires_at: Option<WallTime>,
    pub(super) value: Bytes,
}

impl Stored {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ENTRY_HEADER_BYTES + self.value.len());
        bytes.push(FORMAT_VERSION);
        bytes.extend_from_slice(&self.seq.0.to_be_bytes());
        bytes.extend_from_slice(&self.expires_at.map_or(0, WallTime::unix_micros).to_be_bytes());
        bytes.extend_from_slice(&self.value);
        bytes
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Self, FormatError> {
        check_version(bytes)?;
        let short = FormatError::Short { bytes: bytes.len() };
        let (seq, rest) = bytes
            .get(1..)
            .and_then(<[u8]>::split_first_chunk::<8>)
            .ok_or(short)?;
        let (expires, _value) = rest.split_first_chunk::<8>().ok_or(short)?;
        let expires = u64::from_be_bytes(*expires);
        Ok(Self {
            seq: Seq(u64::from_be_bytes(*seq)),
            expires_at: (expires != 0).then(|| WallTime::from_unix_micros(expires)),
            value: bytes.slice(ENTRY_HEADER_BYTES..),
        })
    }

    pub(super) fn has_expired(&self, now: WallTime) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

fn check_version(bytes: &Bytes) -> Result<(), FormatError> {
    match bytes.first() {
        Some(&FORMAT_VERSION) => Ok(()),
        Some(&found) => Err(FormatError::UnknownVersion {
            known: FORMAT_VERSION,
            found,
        }),
        None => Err(FormatError::Short { bytes: 0 }),
    }
}

pub(super) fn encode_record(record: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + record.len());
    bytes.push(FORMAT_VERSION);
    bytes.extend_from_slice(record);
    bytes
}

pub(super) fn decode_record(key: &[u8], bytes: &Bytes) -> Result<LogRecord, FormatError> {
    check_version(bytes)?;
    let seq = key
        .last_chunk::<8>()
        .ok_or(FormatError::Short { bytes: key.len() })?;
    Ok(LogRecord {
        seq: Seq(u64::from_be_bytes(*seq)),
        record: bytes.slice(1..),
    })
}

/// Prefix of an organization's log.
pub(super) fn log_prefix(org: &OrgId) -> Vec<u8> {
    let mut key = org.as_str().as_bytes().to_vec();
    key.push(b'/');
    key
}

/// Key of a log record.
pub(super) fn log_key(org: &OrgId, seq: Seq) -> Vec<u8> {
    let mut key = log_prefix(org);
    key.extend_from_slice(&seq.0.to_be_bytes());
    key
}

/// Key of the expiry index.
pub(super) fn expiry_key(at: WallTime, table: Table, key: &Key) -> Vec<u8> {
    let mut bytes = at.unix_micros().to_be_bytes().to_vec();
    bytes.push(table_byte(table));
    bytes.extend_from_slice(key.as_bytes());
    bytes
}

/// What a key of the expiry index says; `None` if it is damaged.
pub(super) fn parse_expiry_key(bytes: &[u8]) -> Option<(WallTime, Table, Key)> {
    let (at, rest) = bytes.split_first_chunk::<8>()?;
    let (&table, key) = rest.split_first()?;
    let table = Table::ALL
        .into_iter()
        .find(|&candidate| table_byte(candidate) == table)?;
    let at = WallTime::from_unix_micros(u64::from_be_bytes(*at));
    Some((at, table, Key::from_stored(Bytes::copy_from_slice(key))))
}

/// Stored: never change a number. 2 and 3 were never used.
const fn table_byte(table: Table) -> u8 {
    match table {
        Table::Config => 1,
        Table::History => 4,
        Table::Audit => 5,
        Table::Usage => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        for expires_at in [None, Some(WallTime::from_unix_micros(77))] {
            let stored = Stored {
                seq: Seq(9),
                expires_at,
                value: Bytes::from_static(b"value"),
            };
            assert_eq!(Stored::decode(&Bytes::from(stored.encode())), Ok(stored));
        }
    }

    #[test]
    fn an_unknown_version_is_refused_and_says_what_to_do() {
        let error = Stored::decode(&Bytes::from_static(&[9, 0, 0])).unwrap_err();
        assert_eq!(error, FormatError::UnknownVersion { known: 1, found: 9 });
        assert_eq!(
            error.to_string(),
            "stored in format 9, and this program knows format 1: use the newer program that wrote it"
        );
        assert_eq!(
            decode_record(&[0; 8], &Bytes::from_static(&[2])),
            Err(FormatError::UnknownVersion { known: 1, found: 2 })
        );
    }

    #[test]
    fn damaged_entries_are_refused_at_every_length() {
        let whole = Stored {
            seq: Seq(1),
            expires_at: None,
            value: Bytes::new(),
        }
        .encode();
        for length in 0..whole.len() {
            let cut = Bytes::copy_from_slice(&whole[..length]);
            assert_eq!(Stored::decode(&cut), Err(FormatError::Short { bytes: length }));
        }
    }

    #[test]
    fn the_expiry_index_sorts_by_time_and_names_the_key() {
        let key = Key::of_system("a");
        let (early, late) = (WallTime::from_unix_micros(255), WallTime::from_unix_micros(256));
        assert!(expiry_key(early, Table::Usage, &key) < expiry_key(late, Table::Config, &key));
        let bytes = expiry_key(late, Table::History, &key);
        assert_eq!(parse_expiry_key(&bytes), Some((late, Table::History, key)));
        assert_eq!(parse_expiry_key(&bytes[..8]), None);
    }
}

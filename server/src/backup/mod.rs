//! Backups: everything that a store holds at one moment, or everything of one organization, in one file.
//!
//! | file | holds |
//! |---|---|
//! | `block` | the blocks of the file, each with its sum |
//! | `write` | from a store to the file |
//! | `read` | the file, checked from its first to its last byte |
//! | `restore` | from the file to a data folder |
//!
//! ```text
//! file      "CSBACKUP" | version u8 = 1 | blocks: one head, entries and files, one end
//! block     kind u8 | length u32 | stored length u32 | SHA-256 of the kind, the length and what is stored | what is stored
//! head      JSON: Head
//! entries   each: place u8, an index into Head.spaces | key length u32 | key | value length u32 | value
//! file      name length u32 | name | bytes; only in a backup of everything
//! end       JSON: End, with the SHA-256 of all sums before it
//! ```
//! Numbers are big-endian. What is stored is compressed (LZ4). A file that ends too soon has no end block, and is
//! refused. It holds everything that the data folder holds: also what is secret.

mod block;
pub(crate) mod read;
pub(crate) mod restore;
#[cfg(test)]
mod tests;
pub(crate) mod write;

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::store::StoreError;

/// Files of the data folder that are part of a backup of everything: clients trust the certificates.
pub(crate) const FILES: [&str; 5] = [
    "tls/ca.pem",
    "tls/ca-key.pem",
    "tls/server.pem",
    "tls/server-key.pem",
    "first-run.json",
];

/// What a backup says of itself, first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// When it was begun.
    pub(crate) created_at: WallTime,
    /// The program that wrote it.
    pub(crate) program: String,
    /// The layout of the entries.
    pub(crate) store_format: u8,
    /// The organization; everything, if there is none.
    pub(crate) organization: Option<String>,
    /// Where entries are, by number.
    pub(crate) spaces: Vec<String>,
}

/// What a backup says of itself, last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) entries: u64,
    /// Of keys and values.
    pub(crate) bytes: u64,
    /// Hexadecimal.
    pub(crate) sha256: String,
}

/// Why there is no backup, or why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    File(#[from] io::Error),
    #[error("this is no backup")]
    NoBackup,
    #[error("the backup is of version {0}, and this program knows version {VERSION}: use a newer program")]
    Version(u8),
    #[error(
        "the backup holds entries of format {found}, and this program knows format {known}: use a newer program"
    )]
    StoreFormat { found: u8, known: u8 },
    #[error("the backup ends too soon: it is not complete")]
    CutOff,
    #[error("the backup is damaged: {0}")]
    Damaged(&'static str),
    #[error("the backup holds nothing of {0}")]
    NoSuchOrg(String),
    #[error("there is no organization {0}")]
    UnknownOrg(String),
    #[error("{} holds a store already", .0.display())]
    NotEmpty(PathBuf),
    #[error("{0} is there already; with --replace, the backup takes its place")]
    OrgExists(String),
}

const MAGIC: [u8; 8] = *b"CSBACKUP";
const VERSION: u8 = 1;

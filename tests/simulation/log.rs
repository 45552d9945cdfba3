//! Everything that happened in a run, as lines: hashed always, kept only when somebody will read them.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};

/// Lines that are kept for whoever looks at a failure.
const KEPT_LINES_MAX: usize = 4_000;

/// The event log of one run.
#[derive(Debug)]
pub(crate) struct EventLog {
    hash: Hash,
    events: u64,
    kept: Option<VecDeque<String>>,
}

impl EventLog {
    /// `keeps` the last lines, for a replay.
    pub(crate) fn new(keeps: bool) -> Self {
        Self {
            hash: Hash::default(),
            events: 0,
            kept: keeps.then(VecDeque::new),
        }
    }

    /// One more event.
    pub(crate) fn note(&mut self, event: fmt::Arguments<'_>) {
        self.events += 1;
        self.hash
            .write_fmt(event)
            .expect("invariant: hashing never fails");
        self.hash.bytes(b"\n");
        if let Some(kept) = &mut self.kept {
            if kept.len() == KEPT_LINES_MAX {
                kept.pop_front();
            }
            kept.push_back(event.to_string());
        }
    }

    /// Bytes that travelled: part of the hash, not of the lines.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.hash.bytes(bytes);
    }

    /// One number for everything that happened, in its order.
    pub(crate) const fn digest(&self) -> u64 {
        self.hash.0
    }

    pub(crate) const fn events(&self) -> u64 {
        self.events
    }

    /// The last lines, oldest first.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().flatten().map(String::as_str)
    }
}

/// FNV-1a, 64 bits.
#[derive(Debug)]
struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Hash {
    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
}

impl fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

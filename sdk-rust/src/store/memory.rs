//! A store that keeps nothing.

use std::io;

use super::{Change, RecordKey, Store};

/// Everything ends with the process, and so does the session: the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryStore;

impl Store for MemoryStore {
    fn load(&mut self) -> io::Result<Vec<(RecordKey, Vec<u8>)>> {
        Ok(Vec::new())
    }

    fn apply(&mut self, _changes: &[Change]) -> io::Result<()> {
        Ok(())
    }

    fn is_durable(&self) -> bool {
        false
    }
}

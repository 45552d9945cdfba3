//! What the store is told, and how far it has got.

use alloc::vec::Vec;

use super::options::Storage;
use super::output::{Key, Output, Sink, Ticket};

/// Hands records to the store and counts the moments that it can be asked about.
#[derive(Debug)]
pub(super) struct Journal {
    storage: Storage,
    /// The last ticket that was handed out.
    asked: u64,
    /// The last one that is known to be stored.
    stored: u64,
    /// Something was written since.
    dirty: bool,
    scratch: Vec<u8>,
}

impl Journal {
    pub(super) const fn new(storage: Storage) -> Self {
        Self {
            storage,
            asked: 0,
            stored: 0,
            dirty: false,
            scratch: Vec::new(),
        }
    }

    pub(super) const fn is_durable(&self) -> bool {
        matches!(self.storage, Storage::Durable)
    }

    /// Keeps the record that `write` appends to the buffer it is given. Answers the ticket to wait for.
    pub(super) fn put(&mut self, key: Key, sink: &mut dyn Sink, write: impl FnOnce(&mut Vec<u8>)) -> Ticket {
        if !self.is_durable() {
            return Ticket(0);
        }
        self.scratch.clear();
        write(&mut self.scratch);
        let record = &self.scratch;
        sink.output(Output::Put { key, record });
        self.dirty = true;
        Ticket(self.asked + 1)
    }

    pub(super) fn delete(&mut self, key: Key, sink: &mut dyn Sink) -> Ticket {
        if !self.is_durable() {
            return Ticket(0);
        }
        sink.output(Output::Delete { key });
        self.dirty = true;
        Ticket(self.asked + 1)
    }

    /// At the end of a call: whatever was written gets its ticket.
    pub(super) fn seal(&mut self, sink: &mut dyn Sink) {
        if core::mem::take(&mut self.dirty) {
            self.asked += 1;
            sink.output(Output::Sync {
                ticket: Ticket(self.asked),
            });
        }
    }

    pub(super) fn handle_stored(&mut self, ticket: Ticket) {
        self.stored = self.stored.max(ticket.0).min(self.asked);
    }

    pub(super) const fn is_stored(&self, ticket: Ticket) -> bool {
        ticket.0 <= self.stored
    }

    /// The store has failed for good: nothing waits for it any more.
    pub(super) fn give_up(&mut self) {
        self.storage = Storage::Volatile;
        self.stored = u64::MAX;
        self.dirty = false;
    }
}

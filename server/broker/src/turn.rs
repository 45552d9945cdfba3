//! What every step of a turn has at hand: the time, the sink, and the organization's common things.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use cloudsignal_core::{Instant, Qos};

use crate::change::Change;
use crate::counters::Counters;
use crate::limits::Limits;
use crate::sink::{ConnId, Sink, Ticket};
use crate::timers::Timers;

/// What all sessions of an organization share.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) timers: Timers,
    /// Where packets are encoded; empty between turns.
    pub(crate) scratch: Vec<u8>,
    /// The ticket that changes belong to until the turn is sealed.
    pub(crate) ticket: Ticket,
    /// Whether anything changed under that ticket.
    pub(crate) unsealed: bool,
    /// Whether the packet being handled changed anything, so that its acknowledgement has to wait.
    pub(crate) changed: bool,
    /// Connections with acknowledgements that wait, by ticket.
    pub(crate) waiting: VecDeque<(Ticket, ConnId)>,
    message_number: u64,
}

impl Desk {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            counters: Counters::default(),
            timers: Timers::default(),
            scratch: Vec::new(),
            ticket: Ticket(1),
            unsealed: false,
            changed: false,
            waiting: VecDeque::new(),
            message_number: 0,
        }
    }

    /// Replies of a connection wait for what is being changed.
    pub(crate) fn wait(&mut self, conn: ConnId) {
        let entry = (self.ticket, conn);
        if self.waiting.back() != Some(&entry) {
            self.waiting.push_back(entry);
        }
    }

    /// The number of the next message that is kept.
    pub(crate) const fn next_message(&mut self) -> u64 {
        self.message_number += 1;
        self.message_number
    }
}

/// One step of the machine.
#[derive(Debug)]
pub(crate) struct Turn<'a, S> {
    pub(crate) desk: &'a mut Desk,
    pub(crate) now: Instant,
    pub(crate) sink: &'a mut S,
}

impl<S: Sink> Turn<'_, S> {
    /// A PUBLISH went out.
    pub(crate) const fn count_sent(&mut self, qos: Qos, payload_bytes: usize) {
        let counters = &mut self.desk.counters;
        counters.messages_sent[qos.bits() as usize] += 1;
        counters.bytes_sent += payload_bytes as u64;
    }

    /// A durable change: the acknowledgement of the packet being handled waits for it.
    pub(crate) fn store(&mut self, change: Change) {
        self.desk.unsealed = true;
        self.desk.changed = true;
        self.sink.store(change);
    }
}

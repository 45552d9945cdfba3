//! Messages on their way to the server: a queue whose front is in flight.
//!
//! | file | holds |
//! |---|---|
//! | here | the queue, and what becomes of it when a connection or a session ends |
//! | `sending` | what leaves next |
//! | `answers` | what the server says to it |
//! | `leftovers` | identifiers that an earlier process may have left with the server |
//! | `stuck` | a message that ends every connection |

mod answers;
mod leftovers;
mod sending;
mod stuck;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::frame::{Form, Frame};
use super::journal::Journal;
use super::message::{Outcome, PublishId};
use super::output::{Key, Output, Sink, Ticket};
use super::packet_ids::PacketIds;
use super::record;
use crate::time::Instant;
use crate::{PacketId, Qos, ReasonCode};

use leftovers::Leftovers;
use stuck::Stuck;

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Never sent.
    Waiting,
    /// QoS 2: has its identifier, and leaves when the store has both.
    Held(PacketId, Ticket),
    /// Sent on an earlier connection, without an answer.
    Unanswered(PacketId),
    /// Sent on this connection.
    Sent(PacketId),
    /// QoS 2: the server has the message; PUBREL leaves when the store knows that.
    Releasing(PacketId, Ticket),
    /// QoS 2: the server has the message; PUBREL went out on an earlier connection.
    Unreleased(PacketId),
    /// QoS 2: PUBREL went out on this connection.
    Released(PacketId),
    /// Over. It leaves the queue when it comes to the front.
    Done,
}

#[derive(Debug)]
struct Entry {
    order: u64,
    stage: Stage,
    frame: Frame,
    expires_at: Option<Instant>,
    /// When its record is stored.
    ticket: Ticket,
    /// Whether that has been said.
    is_told: bool,
}

/// What a connection offers to the queue.
#[derive(Debug)]
pub(super) struct Lane<'a> {
    pub(super) form: Form,
    /// How many may be unanswered at once.
    pub(super) window: usize,
    pub(super) packet_bytes_max: u32,
    pub(super) out: &'a mut Vec<u8>,
    pub(super) now: Instant,
}

#[derive(Debug)]
pub(super) struct Outbound {
    entries: VecDeque<Entry>,
    /// The first entry that may have something to send: all before it are answered or wait for an answer.
    cursor: usize,
    /// Entries that wait for an answer on this connection.
    in_flight: usize,
    /// Messages that ended, and not with the server's plain consent.
    failed: Vec<(PublishId, Outcome)>,
    /// Orders of what is being released on this connection.
    releasing: VecDeque<u64>,
    /// Entries that are not done.
    live: usize,
    bytes: usize,
    /// The order of the next message.
    next_order: u64,
    /// Orders from here on are not reserved in the store: an earlier process may not have used them.
    reserved: u64,
    reserved_at: Ticket,
    /// Orders below this one are reserved for certain.
    safe: u64,
    /// Entries from this order on have not been reported as stored.
    told: u64,
    leftovers: Leftovers,
    stuck: Stuck,
}

/// How many orders are reserved in the store at once.
const ORDERS_RESERVED: u64 = 4_096;

impl Outbound {
    pub(super) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            cursor: 0,
            in_flight: 0,
            failed: Vec::new(),
            releasing: VecDeque::new(),
            live: 0,
            bytes: 0,
            next_order: 1,
            reserved: 0,
            reserved_at: Ticket(0),
            safe: 0,
            told: 0,
            leftovers: Leftovers::NONE,
            stuck: Stuck::new(),
        }
    }

    /// Orders below this one may have been used by an earlier process.
    pub(super) fn skip_orders(&mut self, below: u64) {
        self.next_order = self.next_order.max(below);
        self.reserved = self.reserved.max(below);
    }

    /// How far orders are reserved; the identity record keeps it.
    pub(super) const fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Whether the identity record has to be written again, with more orders reserved.
    pub(super) fn reserve(&mut self, journal: &Journal) -> bool {
        if self.next_order + ORDERS_RESERVED / 2 < self.reserved {
            return false;
        }
        self.is_safe(u64::MAX, journal);
        self.reserved = self.next_order + ORDERS_RESERVED;
        true
    }

    pub(super) const fn reserved_by(&mut self, ticket: Ticket) {
        self.reserved_at = ticket;
    }

    pub(super) const fn len(&self) -> usize {
        self.live
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn next_order(&self) -> u64 {
        self.next_order
    }

    /// Puts a message behind the others.
    pub(super) fn push(
        &mut self,
        frame: Frame,
        now: Instant,
        journal: &mut Journal,
        unix_at_zero: u64,
        sink: &mut dyn Sink,
    ) -> PublishId {
        let bytes = frame.bytes.len();
        let order = self.next_order;
        self.next_order += 1;
        let expires_at = frame.message_expiry_secs().map(|secs| now.after_secs(secs));
        let mut entry = Entry {
            order,
            stage: Stage::Waiting,
            frame,
            expires_at,
            ticket: Ticket(0),
            is_told: true,
        };
        if entry.frame.qos() != Qos::AtMostOnce && journal.is_durable() {
            entry.is_told = false;
            entry.keep(journal, unix_at_zero, sink);
        }
        self.live += 1;
        self.bytes += bytes;
        self.entries.push_back(entry);
        PublishId(order)
    }

    /// Whether a message of this size may be added, where at most so many messages and bytes may wait.
    pub(super) const fn has_room(&self, bytes: usize, (messages_max, bytes_max): (usize, usize)) -> bool {
        self.live < messages_max && (self.bytes + bytes <= bytes_max || self.live == 0)
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_drained(&self) -> bool {
        self.cursor == self.entries.len()
    }

    /// Takes back one that an earlier process left; they come in rising order.
    pub(super) fn restore(&mut self, order: u64, stage: Stage, frame: Frame, expires_at: Option<Instant>) {
        self.live += 1;
        self.bytes += frame.bytes.len();
        let at = self.entries.partition_point(|entry| entry.order < order);
        self.entries.insert(
            at,
            Entry {
                order,
                stage,
                frame,
                expires_at,
                ticket: Ticket(0),
                is_told: true,
            },
        );
        self.skip_orders(order + 1);
    }

    /// A connection has ended: what was sent on it and not answered is sent again on the next, in order
    /// [MQTT-4.4.0-1, MQTT-4.6.0-1].
    pub(super) fn rewind(&mut self) {
        let is_sent = |it: &&Entry| matches!(it.stage, Stage::Sent(_));
        let oldest = self.entries.iter().find(is_sent).map(|it| it.order);
        self.stuck.ended(oldest);
        self.leftovers.rewind();
        self.cursor = 0;
        self.in_flight = 0;
        self.releasing.clear();
        for entry in &mut self.entries {
            entry.stage = match entry.stage {
                Stage::Sent(id) => Stage::Unanswered(id),
                Stage::Released(id) => Stage::Unreleased(id),
                stage @ (Stage::Waiting
                | Stage::Held(..)
                | Stage::Unanswered(_)
                | Stage::Releasing(..)
                | Stage::Unreleased(_)
                | Stage::Done) => stage,
            };
        }
    }

    /// The server has no session: nothing that was sent is known to it by identifier. QoS 1 begins anew. Of QoS 2,
    /// what the server had taken is done, and what it may have taken is given up.
    pub(super) fn forget_session(&mut self, ids: &mut PacketIds, journal: &mut Journal, sink: &mut dyn Sink) {
        self.rewind();
        self.leftovers = Leftovers::NONE;
        for index in 0..self.entries.len() {
            let entry = &mut self.entries[index];
            let outcome = match entry.stage {
                Stage::Waiting | Stage::Sent(_) | Stage::Released(_) | Stage::Done => continue,
                Stage::Held(id, _) => {
                    ids.give_back(id);
                    entry.stage = Stage::Waiting;
                    continue;
                }
                Stage::Unanswered(id) if entry.frame.qos() == Qos::AtLeastOnce => {
                    ids.give_back(id);
                    entry.stage = Stage::Waiting;
                    continue;
                }
                Stage::Unanswered(_) => Outcome::Indeterminate,
                Stage::Releasing(..) | Stage::Unreleased(_) => Outcome::Acknowledged(ReasonCode::Success),
            };
            self.finish(index, outcome, ids, journal, sink);
        }
        self.trim();
    }

    /// Says which messages are safe in the store by now.
    pub(super) fn tell_stored(&mut self, journal: &Journal, sink: &mut dyn Sink) {
        let from = self.entries.partition_point(|entry| entry.order < self.told);
        for entry in self.entries.range_mut(from..) {
            if !journal.is_stored(entry.ticket) {
                break;
            }
            self.told = entry.order + 1;
            if !core::mem::replace(&mut entry.is_told, true) && entry.stage != Stage::Done {
                sink.output(Output::Stored {
                    id: PublishId(entry.order),
                });
            }
        }
    }

    /// When the first message that was never sent loses its sense, for the queue of a client that is offline.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        ids: &mut PacketIds,
        journal: &mut Journal,
        sink: &mut dyn Sink,
    ) {
        for index in 0..self.entries.len() {
            let entry = &self.entries[index];
            if entry.stage == Stage::Waiting && entry.expires_at.is_some_and(|at| at <= now) {
                self.finish(index, Outcome::Expired, ids, journal, sink);
            }
        }
        self.trim();
    }

    fn finish(
        &mut self,
        index: usize,
        outcome: Outcome,
        ids: &mut PacketIds,
        journal: &mut Journal,
        sink: &mut dyn Sink,
    ) {
        let entry = &mut self.entries[index];
        match entry.stage {
            Stage::Held(id, _)
            | Stage::Unanswered(id)
            | Stage::Sent(id)
            | Stage::Releasing(id, _)
            | Stage::Unreleased(id)
            | Stage::Released(id) => ids.give_back(id),
            Stage::Waiting => {}
            Stage::Done => return,
        }
        entry.stage = Stage::Done;
        if entry.frame.qos() != Qos::AtMostOnce {
            journal.delete(Key::Outgoing(entry.order), sink);
        }
        self.live -= 1;
        self.bytes -= entry.frame.bytes.len();
        let id = PublishId(entry.order);
        if !matches!(
            outcome,
            Outcome::Sent | Outcome::Acknowledged(ReasonCode::Success)
        ) {
            self.failed.push((id, outcome));
        }
        sink.output(Output::Published { id, outcome });
    }

    /// Whoever waits for more than the server's consent has to hear of these.
    pub(super) fn take_failed(&mut self) -> Vec<(PublishId, Outcome)> {
        core::mem::take(&mut self.failed)
    }

    /// Lets go of what is over at the front.
    fn trim(&mut self) {
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.stage == Stage::Done)
        {
            self.entries.pop_front();
            self.cursor = self.cursor.saturating_sub(1);
        }
    }
}

impl Entry {
    fn keep(&mut self, journal: &mut Journal, unix_at_zero: u64, sink: &mut dyn Sink) -> Ticket {
        let packet_id = match self.stage {
            Stage::Held(id, _) => Some(id),
            Stage::Waiting
            | Stage::Unanswered(_)
            | Stage::Sent(_)
            | Stage::Releasing(..)
            | Stage::Unreleased(_)
            | Stage::Released(_)
            | Stage::Done => None,
        };
        let expires_unix = self
            .expires_at
            .map(|at| unix_at_zero.saturating_add(at.as_micros()) / 1_000_000);
        let ticket = journal.put(Key::Outgoing(self.order), sink, |out| {
            record::outgoing(packet_id, expires_unix, &self.frame, out);
        });
        self.ticket = ticket;
        ticket
    }
}

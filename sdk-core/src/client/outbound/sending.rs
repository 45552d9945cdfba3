//! What leaves next, as far as the connection, the server's window and the store allow.

use super::answers::release;
use super::{Entry, Lane, Outbound, Stage};
use crate::client::frame::Form;
use crate::client::journal::Journal;
use crate::client::message::Outcome;
use crate::client::output::{Sink, Ticket};
use crate::client::packet_ids::PacketIds;
use crate::{PacketId, Qos, ReasonCode};

impl Outbound {
    /// Sends what the connection takes, in order. Answers whether the store has to be asked.
    pub(in crate::client) fn pump(
        &mut self,
        lane: &mut Lane<'_>,
        ids: &mut PacketIds,
        journal: &mut Journal,
        unix_at_zero: u64,
        sink: &mut dyn Sink,
    ) {
        self.release(lane, journal);
        while self.cursor < self.entries.len() {
            if !self.send(self.cursor, lane, ids, journal, unix_at_zero, sink) {
                break;
            }
            self.cursor += 1;
        }
        self.trim();
    }

    /// Sends one entry. `false`: it has to wait, and so has all behind it.
    fn send(
        &mut self,
        index: usize,
        lane: &mut Lane<'_>,
        ids: &mut PacketIds,
        journal: &mut Journal,
        unix_at_zero: u64,
        sink: &mut dyn Sink,
    ) -> bool {
        let entry = &self.entries[index];
        let (order, qos, stage) = (entry.order, entry.frame.qos(), entry.stage);
        if matches!(stage, Stage::Done | Stage::Sent(_) | Stage::Released(_)) {
            return true;
        }
        let window = if self.stuck.is_alone() { 1 } else { lane.window };
        if qos != Qos::AtMostOnce && self.in_flight >= window {
            return false;
        }
        if stage == Stage::Waiting && entry.expires_at.is_some_and(|at| at <= lane.now) {
            self.finish(index, Outcome::Expired, ids, journal, sink);
            return true;
        }
        // Sent now and forgotten by a crash, its number would be given to another message.
        if qos != Qos::AtMostOnce && journal.is_durable() && !self.is_safe(order, journal) {
            return false;
        }
        let (packet_id, dup) = match stage {
            Stage::Waiting if qos == Qos::AtMostOnce => (None, false),
            Stage::Waiting => {
                let Some(id) = self.take_id(order, qos, lane, ids) else {
                    return false;
                };
                if qos == Qos::ExactlyOnce && journal.is_durable() {
                    return self.hold(index, id, journal, unix_at_zero, sink);
                }
                (Some(id), false)
            }
            Stage::Held(id, ticket) if journal.is_stored(ticket) => (Some(id), false),
            Stage::Held(..) => return false,
            Stage::Unanswered(id) => (Some(id), true),
            Stage::Releasing(_, ticket) if !journal.is_stored(ticket) => return false,
            Stage::Releasing(id, _) | Stage::Unreleased(id) => {
                release(id, ReasonCode::Success, lane.form.version, lane.out);
                self.entries[index].stage = Stage::Released(id);
                self.in_flight += 1;
                return true;
            }
            Stage::Sent(_) | Stage::Released(_) | Stage::Done => return true,
        };
        if !self.fit(index, lane) {
            self.finish(
                index,
                Outcome::Rejected(ReasonCode::PacketTooLarge),
                ids,
                journal,
                sink,
            );
            return true;
        }
        let entry = &mut self.entries[index];
        match entry.expires_at {
            None => entry.frame.write(packet_id, dup, lane.out),
            Some(at) => {
                let left = at.since(lane.now).as_secs();
                let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
                entry.frame.write_aged(packet_id, dup, left, lane.out);
            }
        }
        match packet_id {
            Some(id) => {
                entry.stage = Stage::Sent(id);
                self.in_flight += 1;
            }
            None => self.finish(index, Outcome::Sent, ids, journal, sink),
        }
        true
    }

    /// Gives a message the form that the connection needs. `false`: it is larger than the server takes.
    fn fit(&mut self, index: usize, lane: &Lane<'_>) -> bool {
        let bytes_max = lane.packet_bytes_max as usize;
        let Entry { frame, order, .. } = &mut self.entries[index];
        self.bytes -= frame.bytes.len();
        let mut fits = frame.reform(lane.form, *order).is_ok() && frame.bytes.len() <= bytes_max;
        if !fits && lane.form.is_sequenced {
            // Without its number it may be.
            let plain = Form {
                is_sequenced: false,
                ..lane.form
            };
            fits = frame.reform(plain, *order).is_ok() && frame.bytes.len() <= bytes_max;
        }
        self.bytes += frame.bytes.len();
        fits
    }

    pub(super) fn is_safe(&mut self, order: u64, journal: &Journal) -> bool {
        if order >= self.safe && journal.is_stored(self.reserved_at) {
            self.safe = self.reserved;
        }
        order < self.safe
    }

    /// Keeps the identifier of a QoS 2 message before the server hears of it: a later process that did not know it
    /// would give it to another message, and the server would take that for this one.
    fn hold(
        &mut self,
        index: usize,
        id: PacketId,
        journal: &mut Journal,
        unix_at_zero: u64,
        sink: &mut dyn Sink,
    ) -> bool {
        let entry = &mut self.entries[index];
        entry.stage = Stage::Held(id, Ticket(u64::MAX));
        let ticket = entry.keep(journal, unix_at_zero, sink);
        entry.stage = Stage::Held(id, ticket);
        false
    }
}

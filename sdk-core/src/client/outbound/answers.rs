//! What the server says to messages that were sent to it.

use alloc::vec::Vec;

use super::{Lane, Outbound, Stage};
use crate::client::frame::Frame;
use crate::client::journal::Journal;
use crate::client::message::Outcome;
use crate::client::output::{Key, Sink};
use crate::client::packet_ids::{PacketIds, Use};
use crate::client::record;
use crate::codec::{Ack, AckKind};
use crate::{PacketId, Qos, ReasonCode, Version};

impl Outbound {
    /// PUBACK, PUBREC or PUBCOMP. `Err`: nobody waits for it.
    pub(in crate::client) fn on_ack(
        &mut self,
        kind: AckKind,
        ack: &Ack<'_>,
        lane: &mut Lane<'_>,
        ids: &mut PacketIds,
        journal: &mut Journal,
        sink: &mut dyn Sink,
    ) -> Result<(), UnexpectedAck> {
        let id = ack.packet_id;
        let Some(Use::Publish(order)) = ids.get(id) else {
            return self.unknown_ack(kind, id, lane);
        };
        let Ok(index) = self.entries.binary_search_by_key(&order, |entry| entry.order) else {
            return self.unknown_ack(kind, id, lane);
        };
        self.stuck.answered();
        let entry = &mut self.entries[index];
        let qos = entry.frame.qos();
        match (kind, entry.stage, qos) {
            (AckKind::PubAck, Stage::Sent(_), Qos::AtLeastOnce) => {}
            (AckKind::PubComp, Stage::Released(_), Qos::ExactlyOnce) => {
                self.in_flight -= 1;
                let outcome = Outcome::Acknowledged(ReasonCode::Success);
                self.finish(index, outcome, ids, journal, sink);
                self.trim();
                return Ok(());
            }
            (AckKind::PubRec, Stage::Sent(_), Qos::ExactlyOnce) if !ack.reason.is_error() => {
                let frame = core::mem::replace(&mut entry.frame, Frame::released());
                self.bytes -= frame.bytes.len() - entry.frame.bytes.len();
                // A later process that did not know would send the message again, and the server, which forgets the
                // identifier at PUBREL, would take it for another one.
                let ticket = journal.put(Key::Outgoing(order), sink, |out| record::released(id, out));
                entry.stage = Stage::Releasing(id, ticket);
                self.releasing.push_back(order);
                self.release(lane, journal);
                return Ok(());
            }
            (AckKind::PubRec, Stage::Released(_), Qos::ExactlyOnce) => {
                release(id, ReasonCode::Success, lane.form.version, lane.out);
                return Ok(());
            }
            (AckKind::PubRec, Stage::Sent(_), Qos::ExactlyOnce) => {}
            (AckKind::PubRec, Stage::Releasing(..), Qos::ExactlyOnce) => return Ok(()),
            _ => return Err(UnexpectedAck),
        }
        self.in_flight -= 1;
        let outcome = if ack.reason.is_error() {
            Outcome::Rejected(ack.reason)
        } else {
            Outcome::Acknowledged(ack.reason)
        };
        self.finish(index, outcome, ids, journal, sink);
        self.trim();
        Ok(())
    }

    /// Sends PUBREL for what the store knows by now.
    pub(super) fn release(&mut self, lane: &mut Lane<'_>, journal: &Journal) {
        while let Some(order) = self.releasing.front() {
            let found = self.entries.binary_search_by_key(order, |entry| entry.order);
            if let Ok(index) = found {
                let entry = &mut self.entries[index];
                if let Stage::Releasing(id, ticket) = entry.stage {
                    if !journal.is_stored(ticket) {
                        return;
                    }
                    release(id, ReasonCode::Success, lane.form.version, lane.out);
                    entry.stage = Stage::Released(id);
                }
            }
            self.releasing.pop_front();
        }
    }

    /// A PUBREC for what is forgotten is answered, so that the server forgets it too (section 4.3.3).
    fn unknown_ack(&mut self, kind: AckKind, id: PacketId, lane: &mut Lane<'_>) -> Result<(), UnexpectedAck> {
        match kind {
            AckKind::PubRec => {
                release(
                    id,
                    ReasonCode::PacketIdentifierNotFound,
                    lane.form.version,
                    lane.out,
                );
                Ok(())
            }
            AckKind::PubComp => {
                self.leftovers.answered();
                Ok(())
            }
            AckKind::PubAck | AckKind::PubRel => Err(UnexpectedAck),
        }
    }
}

/// The server has answered what was not asked.
#[derive(Debug)]
pub(in crate::client) struct UnexpectedAck;

pub(super) fn release(id: PacketId, reason: ReasonCode, version: Version, out: &mut Vec<u8>) {
    // Before MQTT 5 the reason is left out; in it both of ours are allowed.
    let _ = Ack::new(id, reason).encode(AckKind::PubRel, version, out);
}

//! PUBACK, PUBREC, PUBREL and PUBCOMP from a client.

use cloudsignal_core::Instant;
use cloudsignal_core::codec::{Ack, AckKind, ReasonCode};

use super::Org;
use super::packet::Fault;
use crate::change::Change;
use crate::session::connection::Completes;
use crate::session::{Acknowledged, Left};
use crate::sink::Sink;
use crate::turn::Turn;

impl Org {
    pub(super) fn on_puback(
        &mut self,
        place: u32,
        ack: &Ack<'_>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        let session = &mut self.sessions[place as usize];
        let Some(conn) = session.conn.as_deref_mut() else {
            return Ok(());
        };
        let outcome = session.outbound.acknowledge(&mut self.desk, conn, ack.packet_id);
        self.settle(place, &outcome, "a PUBACK for a QoS 2 message", now, sink)
    }

    pub(super) fn on_pubrec(
        &mut self,
        place: u32,
        ack: &Ack<'_>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        let session = &mut self.sessions[place as usize];
        let Some(conn) = session.conn.as_deref_mut() else {
            return Ok(());
        };
        let outcome = session
            .outbound
            .release(&mut self.desk, conn, ack.packet_id, ack.reason.is_error());
        let told = match outcome {
            Acknowledged::Released(left) => {
                if session.is_persistent() {
                    let change = Change::Released {
                        session: session.name(),
                        order: left.order,
                        packet_id: ack.packet_id.get(),
                        shares: left.shares,
                    };
                    Turn {
                        desk: &mut self.desk,
                        now,
                        sink: &mut *sink,
                    }
                    .store(change);
                }
                Some(ReasonCode::Success)
            }
            Acknowledged::Unknown if !ack.reason.is_error() => Some(ReasonCode::PacketIdentifierNotFound),
            Acknowledged::Unknown | Acknowledged::Done(..) | Acknowledged::OutOfPlace => None,
        };
        if let Some(reason) = told {
            // [MQTT-4.3.3-4]
            self.reply_ack(
                place,
                AckKind::PubRel,
                &Ack::new(ack.packet_id, reason),
                now,
                sink,
            );
        }
        self.settle(place, &outcome, "a PUBREC for a QoS 1 message", now, sink)
    }

    pub(super) fn on_pubcomp(
        &mut self,
        place: u32,
        ack: &Ack<'_>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        let session = &mut self.sessions[place as usize];
        let Some(conn) = session.conn.as_deref_mut() else {
            return Ok(());
        };
        let outcome = session.outbound.complete(&mut self.desk, conn, ack.packet_id);
        self.settle(place, &outcome, "a PUBCOMP before PUBREC", now, sink)
    }

    /// The client will not send the message again: its packet id is free.
    pub(super) fn on_pubrel(
        &mut self,
        place: u32,
        ack: &Ack<'_>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        let session = &mut self.sessions[place as usize];
        let known = session.received.remove(&ack.packet_id.get());
        if known && session.is_persistent() {
            let change = Change::Completed {
                session: session.name(),
                packet_id: ack.packet_id.get(),
            };
            Turn {
                desk: &mut self.desk,
                now,
                sink: &mut *sink,
            }
            .store(change);
        }
        let reason = if known {
            ReasonCode::Success
        } else {
            ReasonCode::PacketIdentifierNotFound
        };
        self.reply_ack(
            place,
            AckKind::PubComp,
            &Ack::new(ack.packet_id, reason),
            now,
            sink,
        ); // [MQTT-4.3.3-11]
        Ok(())
    }

    fn settle(
        &mut self,
        place: u32,
        outcome: &Acknowledged,
        out_of_place: &'static str,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        match *outcome {
            Acknowledged::Done(left) => self.settled(place, left, now, sink),
            // A stray acknowledgement of something that was given up is harmless.
            Acknowledged::Released(_) | Acknowledged::Unknown => {}
            Acknowledged::OutOfPlace => return Err(Fault::protocol(out_of_place)),
        }
        self.pump(place, now, sink);
        Ok(())
    }

    fn settled(&mut self, place: u32, left: Left, now: Instant, sink: &mut impl Sink) {
        let mut turn = Turn {
            desk: &mut self.desk,
            now,
            sink,
        };
        self.sessions[place as usize].settle(&mut turn, left);
    }

    fn reply_ack(&mut self, place: u32, kind: AckKind, ack: &Ack<'_>, now: Instant, sink: &mut impl Sink) {
        let Some(conn) = self.sessions[place as usize].conn.as_deref_mut() else {
            return;
        };
        let version = conn.version;
        // PUBCOMP ends a publish of the client, if there was one.
        let completes = if kind == AckKind::PubComp && ack.reason == ReasonCode::Success {
            Completes::Publish
        } else {
            Completes::Nothing
        };
        let mut turn = Turn {
            desk: &mut self.desk,
            now,
            sink,
        };
        conn.reply(&mut turn, completes, |out| ack.encode(kind, version, out));
    }
}

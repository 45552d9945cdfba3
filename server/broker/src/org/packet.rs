//! A packet from a client: who deals with it, and what happens when it should not have come.

use cloudsignal_core::Instant;
use cloudsignal_core::codec::{DecodeError, Packet, ReasonCode};

use super::Org;
use crate::quota::Quota;
use crate::session::Connection;
use crate::sink::{ConnId, Report, Sink};
use crate::turn::Turn;

/// PINGRESP: type 13, no flags, nothing else.
const PINGRESP: [u8; 2] = [0xD0, 0x00];

/// A rule that the client broke, and what an operator reads about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) reason: ReasonCode,
    pub(super) what: &'static str,
}

impl Fault {
    pub(super) const fn protocol(what: &'static str) -> Self {
        Self {
            reason: ReasonCode::ProtocolError,
            what,
        }
    }
}

/// [MQTT-3.1.0-2]
const SECOND_CONNECT: Fault = Fault::protocol("a second CONNECT");

impl Org {
    /// One packet of an open connection, in the order received. Packets of a connection that the
    /// machine has closed are ignored.
    pub fn handle_packet(&mut self, conn: ConnId, packet: &Packet<'_>, now: Instant, sink: &mut impl Sink) {
        self.handle_framed(conn, packet, &[], now, sink);
    }

    /// As [`handle_packet`](Self::handle_packet), for a caller who has the bytes that the packet was decoded from: all
    /// of them, and no others. A PUBLISH that leaves as it came is then copied and not encoded.
    pub fn handle_framed(
        &mut self,
        conn: ConnId,
        packet: &Packet<'_>,
        frame: &[u8],
        now: Instant,
        sink: &mut impl Sink,
    ) {
        let Some(place) = self.place_of(conn) else { return };
        self.desk.changed = false;
        if let Some(conn) = self.sessions[place as usize].conn.as_deref_mut() {
            conn.heard_at = now;
        }
        let handled = match packet {
            Packet::Publish(publish) => self.on_publish(place, publish, frame, now, sink),
            Packet::PubAck(ack) => self.on_puback(place, ack, now, sink),
            Packet::PubRec(ack) => self.on_pubrec(place, ack, now, sink),
            Packet::PubRel(ack) => self.on_pubrel(place, ack, now, sink),
            Packet::PubComp(ack) => self.on_pubcomp(place, ack, now, sink),
            Packet::Subscribe(subscribe) => self.on_subscribe(place, subscribe, now, sink),
            Packet::Unsubscribe(unsubscribe) => self.on_unsubscribe(place, unsubscribe, now, sink),
            Packet::PingReq => {
                self.on_ping(place, now, sink);
                Ok(())
            }
            Packet::Disconnect(disconnect) => self.on_disconnect(place, disconnect, now, sink),
            Packet::Connect(_) => Err(SECOND_CONNECT),
            Packet::Auth(auth) => self.on_auth(place, auth, sink),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(Fault::protocol("a packet that only a broker sends"))
            }
        };
        if let Err(fault) = handled {
            self.on_fault(place, fault, now, sink);
        }
        self.close_outgrown(conn, now, sink);
    }

    /// Ends a connection that a reply was too large for: without the reply the client would wait for ever.
    pub(super) fn close_outgrown(&mut self, conn: ConnId, now: Instant, sink: &mut impl Sink) {
        let Some(place) = self.place_of(conn) else { return };
        let is_outgrown = |conn: &Connection| conn.outgrown;
        if self.sessions[place as usize]
            .conn
            .as_deref()
            .is_some_and(is_outgrown)
        {
            let why = "a reply is larger than the client's Maximum Packet Size";
            self.close_connection(place, ReasonCode::PacketTooLarge, why, now, sink);
        }
    }

    /// The client's bytes could not be decoded: it is told why, as far as its version allows, and closed.
    pub fn handle_decode_error(
        &mut self,
        conn: ConnId,
        error: &DecodeError,
        now: Instant,
        sink: &mut impl Sink,
    ) {
        let Some(place) = self.place_of(conn) else { return };
        self.desk.changed = false;
        if matches!(error, DecodeError::TooLarge { .. }) {
            let mut turn = Turn {
                desk: &mut self.desk,
                now,
                sink: &mut *sink,
            };
            turn.exceeded(
                Quota::PacketBytes,
                self.sessions[place as usize].subscriptions.client_id(),
            );
        }
        let fault = match error {
            DecodeError::UnsupportedVersion { .. } => SECOND_CONNECT,
            DecodeError::Malformed(_)
            | DecodeError::Protocol(_)
            | DecodeError::BadTopicName(_)
            | DecodeError::BadTopicAlias { .. }
            | DecodeError::UnknownPacketType { .. }
            | DecodeError::TooLarge { .. }
            | DecodeError::NotConnected => Fault {
                reason: error.reason(),
                what: "bytes that are not MQTT",
            },
        };
        self.on_fault(place, fault, now, sink);
    }

    pub(super) fn on_fault(&mut self, place: u32, fault: Fault, now: Instant, sink: &mut impl Sink) {
        self.desk.counters.faults += 1;
        let client_id = self.sessions[place as usize].subscriptions.client_id();
        sink.report(Report::Fault {
            client_id,
            what: fault.what,
        });
        self.close_connection(place, fault.reason, fault.what, now, sink);
    }

    fn on_ping(&mut self, place: u32, now: Instant, sink: &mut impl Sink) {
        let mut turn = Turn {
            desk: &mut self.desk,
            now,
            sink,
        };
        if let Some(conn) = self.sessions[place as usize].conn.as_deref_mut() {
            conn.answer_ping(&mut turn, &PINGRESP); // [MQTT-3.12.4-1]
        }
    }
}

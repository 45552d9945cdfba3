//! What arrives on a connection.

use alloc::vec::Vec;

use super::inbound::{Arrival, Header, Inbound};
use super::message::DeliveryId;
use super::wire::Wire;
use super::{Acknowledge, Client, Message, Output, Sink, Stage, Unanswered, Which, WireId, lane};
use crate::codec::{Ack, AckKind, Decoded, Packet, Publish, SubAck, UserProperties};
use crate::time::Instant;
use crate::{PacketId, Qos, ReasonCode};

/// The server has broken the rules; this is what it hears.
type Broken = ReasonCode;

impl Client {
    /// Bytes have arrived, as much as there is.
    pub fn handle_bytes(&mut self, wire: WireId, bytes: &[u8], now: Instant, sink: &mut dyn Sink) {
        if let Some(which) = self.which(wire) {
            if let Some(wire) = self.wire_mut(which) {
                wire.pulse.heard(now);
            }
            self.read(wire, bytes, now, sink);
            self.settle(sink);
            self.pump(now, sink);
        }
        self.flush(now, sink);
    }

    /// Takes whole packets off the front, and keeps the beginning of one that is not whole.
    fn read(&mut self, id: WireId, bytes: &[u8], now: Instant, sink: &mut dyn Sink) {
        let Some(wire) = self.which(id).and_then(|which| self.wire_mut(which)) else {
            return;
        };
        let mut kept = core::mem::take(&mut wire.inbox);
        if kept.is_empty() {
            let rest = self.read_packets(id, bytes, now, sink);
            kept.extend_from_slice(rest);
        } else {
            kept.extend_from_slice(bytes);
            let rest = self.read_packets(id, &kept, now, sink).len();
            kept.drain(..kept.len() - rest);
        }
        if let Some(wire) = self.which(id).and_then(|which| self.wire_mut(which)) {
            wire.inbox = kept;
        }
    }

    /// Answers what is left.
    fn read_packets<'a>(
        &mut self,
        id: WireId,
        mut bytes: &'a [u8],
        now: Instant,
        sink: &mut dyn Sink,
    ) -> &'a [u8] {
        // A connection may end, or take over from another one, in between.
        while let Some(which) = self.which(id) {
            let Some(wire) = self.wire_mut(which) else { break };
            match wire.decoder.decode_from_server(bytes) {
                Ok(Decoded::Incomplete { .. }) => break,
                Ok(Decoded::Packet { packet, bytes: taken }) => {
                    let (raw, rest) = bytes.split_at(taken);
                    bytes = rest;
                    if let Err(broken) = self.on_packet(which, &packet, raw, now, sink) {
                        self.on_nonsense(which, broken, now, sink);
                    }
                }
                Err(error) => {
                    let reason = error.reason();
                    self.on_nonsense(which, reason, now, sink);
                }
            }
        }
        bytes
    }

    fn on_packet(
        &mut self,
        which: Which,
        packet: &Packet<'_>,
        raw: &[u8],
        now: Instant,
        sink: &mut dyn Sink,
    ) -> Result<(), Broken> {
        let stage = self.wire_mut(which).map(|wire| wire.stage);
        match (stage, packet) {
            (Some(Stage::Greeting), Packet::ConnAck(connack)) => {
                self.on_connack(which, connack, now, sink);
                Ok(())
            }
            (Some(Stage::Live), packet) => self.on_live_packet(packet, raw, now, sink),
            _ => Err(ReasonCode::ProtocolError), // [MQTT-3.2.0-1]
        }
    }

    fn on_live_packet(
        &mut self,
        packet: &Packet<'_>,
        raw: &[u8],
        now: Instant,
        sink: &mut dyn Sink,
    ) -> Result<(), Broken> {
        match packet {
            Packet::Publish(publish) => self.on_publish(publish, raw, sink),
            Packet::PubAck(ack) => self.on_ack(AckKind::PubAck, ack, now, sink),
            Packet::PubRec(ack) => self.on_ack(AckKind::PubRec, ack, now, sink),
            Packet::PubComp(ack) => self.on_ack(AckKind::PubComp, ack, now, sink),
            Packet::PubRel(ack) => {
                if let Some(wire) = self.wire.as_mut() {
                    let (id, version) = (ack.packet_id, wire.version);
                    self.inbound
                        .on_release(id, version, &mut wire.out, &mut self.journal, sink);
                }
                Ok(())
            }
            Packet::SubAck(suback) => {
                let done = self
                    .subscriptions
                    .on_suback(suback, &mut self.ids, &mut self.journal, sink);
                self.check_replies(suback, sink);
                self.pump_subscriptions(sink);
                done.map_err(|_| ReasonCode::ProtocolError)
            }
            Packet::UnsubAck(unsuback) => {
                let done = self.subscriptions.on_unsuback(unsuback, &mut self.ids, sink);
                self.pump_subscriptions(sink);
                done.map_err(|_| ReasonCode::ProtocolError)
            }
            Packet::PingResp => Ok(()),
            Packet::Disconnect(goodbye) => {
                self.refused(goodbye.reason, goodbye.server_reference, now, sink);
                Ok(())
            }
            Packet::Auth(auth) => self.on_auth(auth),
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq => Err(ReasonCode::ProtocolError),
        }
    }

    /// Whether the server has just refused the place where answers come.
    fn check_replies(&mut self, suback: &SubAck<'_>, sink: &mut dyn Sink) {
        let is_gone = |replies| self.subscriptions.filter(replies).is_none();
        if self.requests.replies.is_some_and(is_gone) {
            let reason = suback.reasons.first().copied().unwrap_or_default();
            self.requests.replies = None;
            self.requests.end(Unanswered::Refused(reason), sink);
        }
    }

    fn on_ack(
        &mut self,
        kind: AckKind,
        ack: &Ack<'_>,
        now: Instant,
        sink: &mut dyn Sink,
    ) -> Result<(), Broken> {
        let Some(wire) = self.wire.as_mut() else {
            return Ok(());
        };
        let mut lane = lane(wire, &self.options, now);
        self.outbound
            .on_ack(kind, ack, &mut lane, &mut self.ids, &mut self.journal, sink)
            .map_err(|_| ReasonCode::ProtocolError)
    }

    fn on_publish(&mut self, publish: &Publish<'_>, raw: &[u8], sink: &mut dyn Sink) -> Result<(), Broken> {
        let again = self.again.next();
        let Self {
            wire: Some(wire),
            options,
            inbound,
            subscriptions,
            found,
            requests,
            unheard,
            unheard_packets,
            ..
        } = self
        else {
            return Ok(());
        };
        let topic = match &again {
            Some((_, topic)) => Some(topic.as_ref()),
            None => Wire::resolve(&mut wire.aliases_in, options.topic_alias_max, publish),
        };
        let topic = topic.ok_or(ReasonCode::TopicAliasInvalid)?;
        let mut delivery = again.as_ref().map(|(delivery, _)| *delivery);
        let mut is_numbered = false;
        if let Some(packet_id) = publish.packet_id {
            let header = header_of(publish, packet_id, wire.terms.session_at.is_some());
            is_numbered = header.sequence.is_some();
            match arrival(inbound, delivery, header, options.receive_max) {
                Arrival::New(id) => delivery = Some(id),
                Arrival::Again => return Ok(()),
                Arrival::TooMany => return Err(ReasonCode::ReceiveMaximumExceeded), // [MQTT-3.3.4-9]
            }
        }
        subscriptions.find(topic, &publish.properties.subscription_ids, found);
        if let Some(delivery) = delivery
            && found.is_empty()
            && self.unclaimed_at.is_some()
            && subscriptions.is_adopted()
        {
            unheard.push((delivery, topic.into()));
            unheard_packets.extend_from_slice(raw);
            return Ok(());
        }
        let mut others = Vec::new();
        let mut properties = publish.properties.clone();
        if is_numbered {
            // The number is between the client and the server.
            properties.user_properties.write_others_than_sequence(&mut others);
            properties.user_properties = UserProperties::from_wire(&others).unwrap_or_default();
        }
        let is_reply = requests.replies.is_some_and(|replies| found.contains(&replies));
        let acknowledges = options.acknowledge == Acknowledge::OnDelivery || is_reply;
        let message = Message {
            delivery: delivery.filter(|_| !acknowledges),
            topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup
                && (inbound.has_predecessor() || publish.qos == Qos::AtLeastOnce && !is_numbered),
            properties: &properties,
            subscriptions: found,
        };
        if is_reply {
            requests.on_reply(message, sink);
        } else {
            sink.output(Output::Message(message));
        }
        if acknowledges {
            delivery.map(|delivery| inbound.acknowledge(delivery));
        }
        Ok(())
    }

    /// Messages that nobody wanted so far arrive once more: a subscription has been made, or they have waited enough.
    pub(super) fn hear(&mut self, now: Instant, sink: &mut dyn Sink) {
        // One that is being made would take them for nonsense; they come when it is.
        let Some(id) = self
            .wire
            .as_ref()
            .filter(|wire| wire.is_live())
            .map(|wire| wire.id)
        else {
            return;
        };
        self.again = core::mem::take(&mut self.unheard).into_iter();
        let packets = core::mem::take(&mut self.unheard_packets);
        self.read_packets(id, &packets, now, sink);
        self.settle(sink);
    }
}

/// What to do with a message, which has a name if it arrives once more.
fn arrival(inbound: &mut Inbound, named: Option<DeliveryId>, header: Header, receive_max: u16) -> Arrival {
    match named {
        // The server may have sent it again since, as another one, or have lost the session.
        Some(delivery) if !inbound.is_awaited(delivery) => Arrival::Again,
        Some(delivery) => Arrival::New(delivery),
        None => inbound.on_publish(header, receive_max),
    }
}

/// What a PUBLISH with an identifier says of itself.
fn header_of(publish: &Publish<'_>, packet_id: PacketId, is_numbered: bool) -> Header {
    let users = &publish.properties.user_properties;
    let sequence = is_numbered.then(|| users.sequence().ok().flatten());
    Header {
        packet_id,
        qos: publish.qos,
        dup: publish.dup,
        sequence: sequence.flatten(),
    }
}

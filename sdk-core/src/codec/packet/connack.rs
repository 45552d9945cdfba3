//! CONNACK: the server's answer to CONNECT (section 3.2).

use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU16;

use super::PacketType;
use crate::codec::property::{PropertyReader, id, writer as property};
use crate::codec::reader::Reader;
use crate::codec::writer::{self, Fields, Properties, Sink};
use crate::codec::{DecodeError, EncodeError, Malformed, ProtocolFault, ReasonCode, UserProperties};
use crate::{Qos, Version};

/// CONNACK. Fields from `session_expiry_secs` on exist only in MQTT 5.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// The server goes on with an earlier session; never set on a refusal [MQTT-3.2.2-6]. MQTT 3.1 has no such
    /// flag: not sent, and false when received.
    pub session_present: bool,
    /// Success or why not. Before MQTT 5 it travels as a return code from 0 to 5.
    pub reason: ReasonCode,
    /// The session expiry that holds instead of the one asked for.
    pub session_expiry_secs: Option<u32>,
    /// How many QoS 1 and 2 messages the server takes at once; absent means 65 535.
    pub receive_max: Option<NonZeroU16>,
    /// Highest QoS the server supports; absent means 2, which is therefore never sent.
    pub qos_max: Option<Qos>,
    /// Whether retained messages are supported; absent means they are.
    pub retain_available: Option<bool>,
    /// Largest packet the server accepts, in bytes, not 0; absent means no limit.
    pub packet_bytes_max: Option<u32>,
    /// The client identifier that the server chose.
    pub assigned_client_id: Option<&'a str>,
    /// Highest topic alias the server accepts; absent means none.
    pub topic_alias_max: Option<u16>,
    /// For the reader of a log.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
    /// Whether wildcards in filters are supported; absent means they are.
    pub wildcard_available: Option<bool>,
    /// Whether subscription identifiers are supported; absent means they are.
    pub subscription_ids_available: Option<bool>,
    /// Whether shared subscriptions are supported; absent means they are.
    pub shared_available: Option<bool>,
    /// The keep alive that holds instead of the one asked for.
    pub server_keep_alive_secs: Option<u16>,
    /// A basis for response topics.
    pub response_information: Option<&'a str>,
    /// Another server to use.
    pub server_reference: Option<&'a str>,
    /// Name of the authentication method.
    pub auth_method: Option<&'a str>,
    /// Data of that method; only together with it.
    pub auth_data: Option<&'a [u8]>,
}

impl<'a> ConnAck<'a> {
    /// An answer with this reason and nothing else.
    #[must_use]
    pub fn new(reason: ReasonCode) -> Self {
        Self {
            reason,
            ..Self::default()
        }
    }

    /// Appends the packet to `out`. What `version` lacks is left out.
    ///
    /// # Errors
    /// Why it cannot be expressed; `out` is then as it was.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::packet(PacketType::ConnAck.first_byte(), self, version, out)
    }

    pub(in crate::codec) fn decode(version: Version, packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let offset = packet.offset();
        let flags = packet.u8()?;
        let mut connack = Self::default();
        match version {
            Version::V31 => {} // The byte is reserved there, and not said to be 0.
            Version::V311 | Version::V5 if flags > 1 => {
                return Err(packet.malformed_at(offset, Malformed::ConnAckFlags { flags })); // [MQTT-3.2.2-1]
            }
            Version::V311 | Version::V5 => connack.session_present = flags == 1,
        }
        connack.reason = if version.is_v5() {
            packet.reason()?
        } else {
            return_code(packet)?
        };
        if connack.session_present && connack.reason != ReasonCode::Success {
            return Err(packet.protocol_at(offset, ProtocolFault::SessionPresentOnRefusal)); // [MQTT-3.2.2-6]
        }
        if version.is_v5() {
            connack.decode_properties(packet)?;
        }
        Ok(connack)
    }

    fn decode_properties(&mut self, packet: &mut Reader<'a>) -> Result<(), DecodeError> {
        let mut properties = PropertyReader::open(packet)?;
        let p = &mut properties;
        while let Some(id) = p.next_id()? {
            match id {
                id::SESSION_EXPIRY => self.session_expiry_secs = Some(p.u32()?),
                id::RECEIVE_MAX => self.receive_max = Some(p.non_zero_u16()?),
                id::QOS_MAX => {
                    self.qos_max = Some(if p.flag()? {
                        Qos::AtLeastOnce
                    } else {
                        Qos::AtMostOnce
                    });
                }
                id::RETAIN_AVAILABLE => self.retain_available = Some(p.flag()?),
                id::PACKET_BYTES_MAX => self.packet_bytes_max = Some(p.non_zero_u32()?.get()),
                id::ASSIGNED_CLIENT_ID => self.assigned_client_id = Some(p.text()?),
                id::TOPIC_ALIAS_MAX => self.topic_alias_max = Some(p.u16()?),
                id::REASON_STRING => self.reason_string = Some(p.text()?),
                id::USER_PROPERTY => p.user_property()?,
                id::WILDCARD_AVAILABLE => self.wildcard_available = Some(p.flag()?),
                id::SUBSCRIPTION_IDS_AVAILABLE => self.subscription_ids_available = Some(p.flag()?),
                id::SHARED_AVAILABLE => self.shared_available = Some(p.flag()?),
                id::SERVER_KEEP_ALIVE => self.server_keep_alive_secs = Some(p.u16()?),
                id::RESPONSE_INFORMATION => self.response_information = Some(p.text()?),
                id::SERVER_REFERENCE => self.server_reference = Some(p.text()?),
                id::AUTH_METHOD => self.auth_method = Some(p.text()?),
                id::AUTH_DATA => self.auth_data = Some(p.binary()?),
                _ => return Err(p.refuse()),
            }
        }
        self.user_properties = properties.user_properties();
        if self.auth_data.is_some() && self.auth_method.is_none() {
            return Err(properties.protocol(ProtocolFault::AuthDataWithoutMethod));
        }
        Ok(())
    }
}

/// Return codes above 5 are reserved (3.1.1 table 3.1).
fn return_code(packet: &mut Reader<'_>) -> Result<ReasonCode, DecodeError> {
    let offset = packet.offset();
    let byte = packet.u8()?;
    ReasonCode::from_connack_v3(byte)
        .ok_or_else(|| packet.malformed_at(offset, Malformed::ReasonCode { byte }))
}

impl Fields for ConnAck<'_> {
    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        let (packet, reason) = (PacketType::ConnAck, self.reason);
        if !reason.allowed_in(packet) {
            return Err(EncodeError::ReasonNotAllowed { packet, reason });
        }
        if self.session_present && reason != ReasonCode::Success {
            return Err(EncodeError::BreaksRule("session present is not for refusals"));
        }
        let has_flags = version != Version::V31;
        sink.u8(u8::from(self.session_present && has_flags));
        if version.is_v5() {
            sink.u8(reason.byte());
            writer::property_block(sink, self)
        } else {
            sink.u8(reason.connack_v3());
            Ok(())
        }
    }
}

impl Properties for ConnAck<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        if self.auth_data.is_some() && self.auth_method.is_none() {
            return Err(EncodeError::BreaksRule(
                "authentication data needs an authentication method",
            ));
        }
        if self.packet_bytes_max == Some(0) {
            return Err(EncodeError::BreaksRule("maximum packet size is not 0"));
        }
        // 2 is said by leaving it out; the property itself may only be 0 or 1 (section 3.2.2.3.4).
        let qos_max = self.qos_max.filter(|&qos| qos < Qos::ExactlyOnce).map(Qos::bits);
        property::u32(sink, id::SESSION_EXPIRY, self.session_expiry_secs);
        property::text(sink, id::ASSIGNED_CLIENT_ID, self.assigned_client_id)?;
        property::u16(sink, id::SERVER_KEEP_ALIVE, self.server_keep_alive_secs);
        property::text(sink, id::AUTH_METHOD, self.auth_method)?;
        property::binary(sink, id::AUTH_DATA, self.auth_data)?;
        property::text(sink, id::RESPONSE_INFORMATION, self.response_information)?;
        property::text(sink, id::SERVER_REFERENCE, self.server_reference)?;
        property::text(sink, id::REASON_STRING, self.reason_string)?;
        property::u16(sink, id::RECEIVE_MAX, self.receive_max);
        property::u16(sink, id::TOPIC_ALIAS_MAX, self.topic_alias_max);
        property::byte(sink, id::QOS_MAX, qos_max);
        property::flag(sink, id::RETAIN_AVAILABLE, self.retain_available);
        self.user_properties.write(sink);
        property::u32(sink, id::PACKET_BYTES_MAX, self.packet_bytes_max);
        property::flag(sink, id::WILDCARD_AVAILABLE, self.wildcard_available);
        property::flag(
            sink,
            id::SUBSCRIPTION_IDS_AVAILABLE,
            self.subscription_ids_available,
        );
        property::flag(sink, id::SHARED_AVAILABLE, self.shared_available);
        Ok(())
    }
}

impl fmt::Debug for ConnAck<'_> {
    /// Says that authentication data is there, never what it is.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ConnAck")
            .field("session_present", &self.session_present)
            .field("reason", &self.reason)
            .field("session_expiry_secs", &self.session_expiry_secs)
            .field("receive_max", &self.receive_max)
            .field("qos_max", &self.qos_max)
            .field("retain_available", &self.retain_available)
            .field("packet_bytes_max", &self.packet_bytes_max)
            .field("assigned_client_id", &self.assigned_client_id)
            .field("topic_alias_max", &self.topic_alias_max)
            .field("reason_string", &self.reason_string)
            .field("user_properties", &self.user_properties)
            .field("wildcard_available", &self.wildcard_available)
            .field("subscription_ids_available", &self.subscription_ids_available)
            .field("shared_available", &self.shared_available)
            .field("server_keep_alive_secs", &self.server_keep_alive_secs)
            .field("response_information", &self.response_information)
            .field("server_reference", &self.server_reference)
            .field("auth_method", &self.auth_method)
            .field("auth_data", &self.auth_data.map(|_| format_args!("***")))
            .finish()
    }
}

#[cfg(test)]
mod tests;

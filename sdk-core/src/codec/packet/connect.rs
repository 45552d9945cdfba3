//! CONNECT: a client asks for a connection (section 3.1).

use alloc::vec::Vec;
use core::fmt;
use core::num::{NonZeroU16, NonZeroU32};

use super::{PacketType, PublishProperties};
use crate::codec::property::{PropertyReader, id, writer as property};
use crate::codec::reader::Reader;
use crate::codec::writer::{self, Fields, Properties, Sink};
use crate::codec::{DecodeError, EncodeError, Malformed, ProtocolFault, UserProperties};
use crate::topic::TopicName;
use crate::{Qos, Version};

/// CONNECT. Fields from `session_expiry_secs` on exist only in MQTT 5.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The protocol version asked for; decides the encoding of everything else.
    pub version: Version,
    /// Forget an earlier session ("clean session" before MQTT 5).
    pub clean_start: bool,
    /// The client sends something at least this often; 0 means no limit.
    pub keep_alive_secs: u16,
    /// Client identifier; empty asks the server to choose one.
    pub client_id: &'a str,
    /// User name.
    pub username: Option<&'a str>,
    /// Password: any bytes. Before MQTT 5 only together with a user name.
    pub password: Option<&'a [u8]>,
    /// What the server publishes when the client is gone without saying goodbye.
    pub will: Option<Will<'a>>,
    /// How long the session outlives the connection; absent means 0, `u32::MAX` for ever.
    pub session_expiry_secs: Option<u32>,
    /// How many QoS 1 and 2 messages the client takes at once; absent means 65 535.
    pub receive_max: Option<NonZeroU16>,
    /// Largest packet the client accepts, in bytes; absent means no limit.
    pub packet_bytes_max: Option<NonZeroU32>,
    /// Highest topic alias the client accepts; 0 (the default) means none.
    pub topic_alias_max: u16,
    /// The client asks for response information in CONNACK. Default: false.
    pub request_response_info: bool,
    /// Reason strings and user properties may come in any packet. Default: true.
    pub request_problem_info: bool,
    /// Name of the authentication method.
    pub auth_method: Option<&'a str>,
    /// Data of that method; only together with it.
    pub auth_data: Option<&'a [u8]>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

/// The will message of a [`Connect`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Where it is published.
    pub topic: TopicName<'a>,
    /// The message.
    pub payload: &'a [u8],
    /// Its QoS.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// How long the server waits before publishing it. MQTT 5 only; 0 is the default.
    pub delay_secs: u32,
    /// Properties of the message. MQTT 5 only; never a topic alias or subscription identifiers.
    pub properties: PublishProperties<'a>,
}

impl<'a> Connect<'a> {
    /// A CONNECT with defaults: clean start, no keep alive, no credentials, no will.
    #[must_use]
    pub const fn new(version: Version, client_id: &'a str) -> Self {
        Self {
            version,
            clean_start: true,
            keep_alive_secs: 0,
            client_id,
            username: None,
            password: None,
            will: None,
            session_expiry_secs: None,
            receive_max: None,
            packet_bytes_max: None,
            topic_alias_max: 0,
            request_response_info: false,
            request_problem_info: true,
            auth_method: None,
            auth_data: None,
            user_properties: UserProperties::EMPTY,
        }
    }

    /// Appends the packet to `out`, in the version it asks for.
    ///
    /// # Errors
    /// Why it cannot be expressed; `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::packet(PacketType::Connect.first_byte(), self, self.version, out)
    }

    /// Reads protocol name and level, which decide how the rest is read.
    pub(in crate::codec) fn decode_version(packet: &mut Reader<'a>) -> Result<Version, DecodeError> {
        let offset = packet.offset();
        let name = packet.binary()?;
        if name != b"MQTT" && name != b"MQIsdp" {
            return Err(packet.malformed_at(offset, Malformed::ProtocolName)); // [MQTT-3.1.2-1]
        }
        match (name, packet.u8()?) {
            (b"MQIsdp", 3) => Ok(Version::V31),
            (b"MQTT", 4) => Ok(Version::V311),
            (b"MQTT", 5) => Ok(Version::V5),
            (_, level) => Err(DecodeError::UnsupportedVersion { level }), // [MQTT-3.1.2-2]
        }
    }

    /// Reads what follows the protocol level.
    pub(in crate::codec) fn decode(version: Version, packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let flags = Flags::decode(version, packet)?;
        let mut connect = Self::new(version, "");
        connect.clean_start = flags.has(CLEAN_START);
        connect.keep_alive_secs = packet.u16()?;
        if version.is_v5() {
            connect.decode_properties(packet)?;
        }
        connect.client_id = packet.text()?; // The order of what follows: [MQTT-3.1.3-1].
        if let Some(qos) = flags.will_qos {
            connect.will = Some(Will::decode(version, qos, flags.has(WILL_RETAIN), packet)?);
        }
        // In 3.1 the remaining length wins over these two flags: what they announce may be missing.
        let may_end = version == Version::V31;
        if flags.has(USERNAME) && !(may_end && packet.is_empty()) {
            connect.username = Some(packet.text()?);
        }
        if flags.has(PASSWORD) && !(may_end && packet.is_empty()) {
            connect.password = Some(packet.binary()?);
        }
        Ok(connect)
    }

    fn decode_properties(&mut self, packet: &mut Reader<'a>) -> Result<(), DecodeError> {
        let mut properties = PropertyReader::open(packet)?;
        let p = &mut properties;
        while let Some(id) = p.next_id()? {
            match id {
                id::SESSION_EXPIRY => self.session_expiry_secs = Some(p.u32()?),
                id::RECEIVE_MAX => self.receive_max = Some(p.non_zero_u16()?),
                id::PACKET_BYTES_MAX => self.packet_bytes_max = Some(p.non_zero_u32()?),
                id::TOPIC_ALIAS_MAX => self.topic_alias_max = p.u16()?,
                id::REQUEST_RESPONSE_INFO => self.request_response_info = p.flag()?,
                id::REQUEST_PROBLEM_INFO => self.request_problem_info = p.flag()?,
                id::USER_PROPERTY => p.user_property()?,
                id::AUTH_METHOD => self.auth_method = Some(p.text()?),
                id::AUTH_DATA => self.auth_data = Some(p.binary()?),
                _ => return Err(p.refuse()),
            }
        }
        self.user_properties = properties.user_properties();
        if self.auth_data.is_some() && self.auth_method.is_none() {
            return Err(properties.protocol(ProtocolFault::AuthDataWithoutMethod)); // section 3.1.2.11.10
        }
        Ok(())
    }

    fn flags(&self) -> u8 {
        let mut flags = if self.clean_start { CLEAN_START } else { 0 };
        if let Some(will) = &self.will {
            flags |= WILL | will.qos.bits() << 3 | if will.retain { WILL_RETAIN } else { 0 };
        }
        flags |= if self.password.is_some() { PASSWORD } else { 0 };
        flags | if self.username.is_some() { USERNAME } else { 0 }
    }
}

/// The bits of the connect flags (section 3.1.2.3).
const RESERVED: u8 = 0b0000_0001;
const CLEAN_START: u8 = 0b0000_0010;
const WILL: u8 = 0b0000_0100;
const WILL_QOS: u8 = 0b0001_1000;
const WILL_RETAIN: u8 = 0b0010_0000;
const PASSWORD: u8 = 0b0100_0000;
const USERNAME: u8 = 0b1000_0000;

/// Connect flags that agree with each other.
struct Flags {
    bits: u8,
    /// Present when there is a will.
    will_qos: Option<Qos>,
}

impl Flags {
    fn decode(version: Version, packet: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = packet.offset();
        let mut flags = Self {
            bits: packet.u8()?,
            will_qos: None,
        };
        let malformed = |fault| Err(packet.malformed_at(offset, fault));
        if flags.has(RESERVED) {
            return malformed(Malformed::ConnectFlagReserved); // [MQTT-3.1.2-3]
        }
        if flags.has(WILL) {
            let Some(qos) = Qos::from_bits((flags.bits & WILL_QOS) >> 3) else {
                return malformed(Malformed::Qos3); // [MQTT-3.1.2-12]
            };
            flags.will_qos = Some(qos);
        } else if flags.has(WILL_QOS | WILL_RETAIN) {
            return malformed(Malformed::WillFlags); // [MQTT-3.1.2-11, MQTT-3.1.2-13]
        }
        if flags.has(PASSWORD) && !flags.has(USERNAME) && !version.is_v5() {
            return malformed(Malformed::PasswordWithoutUsername); // 3.1.1 section 3.1.2.9
        }
        Ok(flags)
    }

    /// Whether any of `bits` is set.
    const fn has(&self, bits: u8) -> bool {
        self.bits & bits != 0
    }
}

impl<'a> Will<'a> {
    /// A will without properties.
    #[must_use]
    pub fn new(topic: TopicName<'a>, payload: &'a [u8], qos: Qos, retain: bool) -> Self {
        Self {
            topic,
            payload,
            qos,
            retain,
            delay_secs: 0,
            properties: PublishProperties::default(),
        }
    }

    fn decode(
        version: Version,
        qos: Qos,
        retain: bool,
        packet: &mut Reader<'a>,
    ) -> Result<Self, DecodeError> {
        let mut delay_secs = 0;
        let mut message = PublishProperties::default();
        if version.is_v5() {
            let mut properties = PropertyReader::open(packet)?;
            while let Some(id) = properties.next_id()? {
                match id {
                    id::WILL_DELAY => delay_secs = properties.u32()?,
                    _ => message.read_one(id, &mut properties)?,
                }
            }
            message.user_properties = properties.user_properties();
        }
        let offset = packet.offset();
        let topic = packet
            .topic_name()?
            .map_err(|error| packet.bad_topic_at(offset, error))?;
        Ok(Self {
            topic,
            payload: packet.binary()?,
            qos,
            retain,
            delay_secs,
            properties: message,
        })
    }
}

impl Fields for Connect<'_> {
    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        if self.password.is_some() && self.username.is_none() && !version.is_v5() {
            return Err(EncodeError::NotInThisVersion("a password without a user name"));
        }
        let name = match version {
            Version::V31 => "MQIsdp",
            Version::V311 | Version::V5 => "MQTT",
        };
        sink.text("protocol name", name)?;
        sink.u8(version as u8);
        sink.u8(self.flags());
        sink.u16(self.keep_alive_secs);
        if version.is_v5() {
            writer::property_block(sink, self)?;
        }
        sink.text("client identifier", self.client_id)?;
        if let Some(will) = &self.will {
            if version.is_v5() {
                writer::property_block(sink, will)?;
            }
            sink.text("will topic", will.topic.as_str())?;
            sink.binary("will payload", will.payload)?;
        }
        if let Some(username) = self.username {
            sink.text("user name", username)?;
        }
        if let Some(password) = self.password {
            sink.binary("password", password)?;
        }
        Ok(())
    }
}

impl Properties for Connect<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        if self.auth_data.is_some() && self.auth_method.is_none() {
            return Err(EncodeError::BreaksRule(
                "authentication data needs an authentication method",
            ));
        }
        let topic_alias_max = (self.topic_alias_max > 0).then_some(self.topic_alias_max);
        property::u32(sink, id::SESSION_EXPIRY, self.session_expiry_secs);
        property::text(sink, id::AUTH_METHOD, self.auth_method)?;
        property::binary(sink, id::AUTH_DATA, self.auth_data)?;
        property::flag(
            sink,
            id::REQUEST_PROBLEM_INFO,
            (!self.request_problem_info).then_some(false),
        );
        property::flag(
            sink,
            id::REQUEST_RESPONSE_INFO,
            self.request_response_info.then_some(true),
        );
        property::u16(sink, id::RECEIVE_MAX, self.receive_max);
        property::u16(sink, id::TOPIC_ALIAS_MAX, topic_alias_max);
        self.user_properties.write(sink);
        property::u32(sink, id::PACKET_BYTES_MAX, self.packet_bytes_max);
        Ok(())
    }
}

impl Properties for Will<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        if self.properties.topic_alias.is_some() || !self.properties.subscription_ids.is_empty() {
            return Err(EncodeError::BreaksRule(
                "a will has no topic alias and no subscription identifiers",
            ));
        }
        property::u32(
            sink,
            id::WILL_DELAY,
            (self.delay_secs > 0).then_some(self.delay_secs),
        );
        self.properties.write_properties(sink)
    }
}

impl fmt::Debug for Connect<'_> {
    /// Says that a password or authentication data is there, never what it is.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |present: bool| present.then_some(format_args!("***"));
        out.debug_struct("Connect")
            .field("version", &self.version)
            .field("clean_start", &self.clean_start)
            .field("keep_alive_secs", &self.keep_alive_secs)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("password", &hidden(self.password.is_some()))
            .field("will", &self.will)
            .field("session_expiry_secs", &self.session_expiry_secs)
            .field("receive_max", &self.receive_max)
            .field("packet_bytes_max", &self.packet_bytes_max)
            .field("topic_alias_max", &self.topic_alias_max)
            .field("request_response_info", &self.request_response_info)
            .field("request_problem_info", &self.request_problem_info)
            .field("auth_method", &self.auth_method)
            .field("auth_data", &hidden(self.auth_data.is_some()))
            .field("user_properties", &self.user_properties)
            .finish()
    }
}

#[cfg(test)]
mod tests;

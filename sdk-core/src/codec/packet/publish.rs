//! PUBLISH: a message, in either direction (section 3.3).

use alloc::vec::Vec;
use core::num::NonZeroU16;

use super::{PacketId, PacketType};
use crate::codec::property::{PropertyReader, id, writer as property};
use crate::codec::reader::Reader;
use crate::codec::writer::{self, Count, Properties, Sink};
use crate::codec::{DecodeError, EncodeError, Malformed, ProtocolFault, SubscriptionIds, UserProperties};
use crate::topic::{TopicError, TopicName};
use crate::{Qos, Version};

/// PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Perhaps sent before; never at QoS 0 [MQTT-3.3.1-2].
    pub dup: bool,
    /// Quality of service.
    pub qos: Qos,
    /// To be retained, or came from the retained store.
    pub retain: bool,
    /// Where it is published. `None` is a zero-length name: the topic alias stands for it (MQTT 5).
    pub topic: Option<TopicName<'a>>,
    /// Present exactly when the QoS is 1 or 2 [MQTT-2.2.1-2].
    pub packet_id: Option<PacketId>,
    /// MQTT 5 only.
    pub properties: PublishProperties<'a>,
    /// The message: any bytes, also none.
    pub payload: &'a [u8],
}

/// The properties that belong to a message, also to a will. MQTT 5 only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishProperties<'a> {
    /// Payload format indicator: `true` says UTF-8 text. Forwarded as it came, so absent differs from `false`.
    pub payload_format: Option<bool>,
    /// Lifetime of the message.
    pub message_expiry_secs: Option<u32>,
    /// Stands for the topic on this connection; never in a will.
    pub topic_alias: Option<NonZeroU16>,
    /// Where an answer should be published.
    pub response_topic: Option<TopicName<'a>>,
    /// Tells the asker which request is answered.
    pub correlation_data: Option<&'a [u8]>,
    /// Identifiers of the subscriptions that matched; only from server to client, never in a will.
    pub subscription_ids: SubscriptionIds<'a>,
    /// What the payload is; not interpreted.
    pub content_type: Option<&'a str>,
    /// User properties; forwarded in order [MQTT-3.3.2-18].
    pub user_properties: UserProperties<'a>,
}

/// Where a just-encoded PUBLISH lies in its buffer, so that one encoding can serve many subscribers: copied,
/// given another packet identifier, or cut before its payload. All are indexes into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishLayout {
    /// Its first byte.
    pub start: usize,
    /// The two bytes of the packet identifier, most significant first; absent at QoS 0.
    pub packet_id_at: Option<usize>,
    /// The first byte of the payload, or `end` when there is none or it was left out.
    pub payload_at: usize,
    /// One past its last byte.
    pub end: usize,
}

impl<'a> Publish<'a> {
    /// A QoS 0 message without properties.
    #[must_use]
    pub fn new(topic: TopicName<'a>, payload: &'a [u8]) -> Self {
        Self {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic: Some(topic),
            packet_id: None,
            properties: PublishProperties::default(),
            payload,
        }
    }

    /// Appends the packet to `out`. What `version` lacks is left out.
    ///
    /// # Errors
    /// Why it cannot be expressed; `out` is then as it was.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<PublishLayout, EncodeError> {
        let lengths = self.lengths(version, self.payload.len())?;
        out.reserve(writer::whole_len(lengths.remaining));
        let head = self.write_head(&lengths, out)?;
        out.extend_from_slice(self.payload);
        Ok(PublishLayout {
            end: out.len(),
            ..head
        })
    }

    /// Appends everything but the payload, which will have `payload_len` bytes and which the caller sends from
    /// elsewhere. `self.payload` does not count.
    ///
    /// # Errors
    /// Why it cannot be expressed; `out` is then as it was.
    pub fn encode_head(
        &self,
        version: Version,
        payload_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<PublishLayout, EncodeError> {
        let lengths = self.lengths(version, payload_len)?;
        out.reserve(writer::whole_len(lengths.remaining) - payload_len);
        self.write_head(&lengths, out)
    }

    fn write_head(&self, lengths: &Lengths, out: &mut Vec<u8>) -> Result<PublishLayout, EncodeError> {
        let start = out.len();
        writer::header(self.first_byte(), lengths.remaining, out);
        // From here on nothing fails: `lengths` has written the same properties to a counter.
        let topic = self.topic.map_or("", TopicName::as_str);
        out.binary("topic name", topic.as_bytes())?;
        let packet_id_at = self.packet_id.map(|packet_id| {
            let at = out.len();
            out.u16(packet_id.get());
            at
        });
        if let Some(properties) = lengths.properties {
            out.varint(properties);
            if properties > 0 {
                self.properties.write_properties(out)?;
            }
        }
        Ok(PublishLayout {
            start,
            packet_id_at,
            payload_at: out.len(),
            end: out.len(),
        })
    }

    /// How many bytes [`encode`](Self::encode) would append, header included.
    ///
    /// # Errors
    /// As `encode`.
    pub fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        Ok(writer::whole_len(
            self.lengths(version, self.payload.len())?.remaining,
        ))
    }

    #[inline(always)] // Into the answer of `Decoder::decode`; see there.
    pub(in crate::codec) fn decode(
        version: Version,
        flags: u8,
        packet: &mut Reader<'a>,
    ) -> Result<Self, DecodeError> {
        let Flags { dup, qos, retain } =
            Flags::parse(flags).map_err(|fault| packet.malformed_at(0, fault))?;
        let topic_at = packet.offset();
        let topic = match packet.topic_name()? {
            Ok(name) => Some(name),
            Err(TopicError::Empty) if version.is_v5() => None,
            Err(error) => return Err(packet.bad_topic_at(topic_at, error)),
        };
        let packet_id = if qos == Qos::AtMostOnce {
            None
        } else {
            Some(packet.packet_id()?)
        };
        let properties = if version.is_v5() && !packet.skip_zero() {
            PublishProperties::decode(packet)?
        } else {
            PublishProperties::default()
        };
        if topic.is_none() && properties.topic_alias.is_none() {
            return Err(packet.protocol_at(topic_at, ProtocolFault::NoTopic));
        }
        Ok(Self {
            dup,
            qos,
            retain,
            topic,
            packet_id,
            properties,
            payload: packet.rest(),
        })
    }

    const fn first_byte(&self) -> u8 {
        PacketType::Publish.first_byte() | (self.dup as u8) << 3 | self.qos.bits() << 1 | self.retain as u8
    }

    /// The lengths that precede what they measure; also where a packet that breaks a rule is refused.
    fn lengths(&self, version: Version, payload_len: usize) -> Result<Lengths, EncodeError> {
        if self.dup && self.qos == Qos::AtMostOnce {
            return Err(EncodeError::BreaksRule("DUP is not for QoS 0")); // [MQTT-3.3.1-2]
        }
        if self.packet_id.is_some() != (self.qos != Qos::AtMostOnce) {
            return Err(EncodeError::BreaksRule(
                "PUBLISH has a packet identifier exactly when its QoS is 1 or 2",
            ));
        }
        if self.topic.is_none() && !version.is_v5() {
            return Err(EncodeError::NotInThisVersion(
                "a topic alias instead of a topic name",
            ));
        }
        if self.topic.is_none() && self.properties.topic_alias.is_none() {
            return Err(EncodeError::BreaksRule(
                "PUBLISH has a topic name or a topic alias",
            ));
        }
        let topic = self.topic.map_or(0, |name| name.as_str().len());
        let mut bytes = 2 + topic + if self.packet_id.is_some() { 2 } else { 0 };
        let mut properties = None;
        if version.is_v5() {
            let mut count = Count::default();
            self.properties.write_properties(&mut count)?;
            let length = writer::length(count.0)?;
            bytes += writer::varint_len(length) + count.0;
            properties = Some(length);
        }
        let remaining = writer::length(bytes.saturating_add(payload_len))?;
        Ok(Lengths {
            remaining,
            properties,
        })
    }
}

struct Lengths {
    remaining: u32,
    /// Absent before MQTT 5.
    properties: Option<u32>,
}

/// The low four bits of the first byte (section 3.3.1).
pub(super) struct Flags {
    dup: bool,
    qos: Qos,
    retain: bool,
}

impl Flags {
    pub(super) fn parse(flags: u8) -> Result<Self, Malformed> {
        let qos = Qos::from_bits(flags >> 1 & 0b11).ok_or(Malformed::Qos3)?; // [MQTT-3.3.1-4]
        let dup = flags & 0b1000 != 0;
        if dup && qos == Qos::AtMostOnce {
            return Err(Malformed::DupAtQos0); // [MQTT-3.3.1-2]
        }
        Ok(Self {
            dup,
            qos,
            retain: flags & 1 != 0,
        })
    }
}

impl<'a> PublishProperties<'a> {
    fn decode(packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut properties = PropertyReader::open(packet)?;
        let mut decoded = Self::default();
        while let Some(id) = properties.next_id()? {
            match id {
                id::TOPIC_ALIAS => {
                    let alias = NonZeroU16::new(properties.u16()?);
                    let offset = properties.offset();
                    decoded.topic_alias = Some(alias.ok_or(DecodeError::BadTopicAlias { offset })?);
                }
                id::SUBSCRIPTION_ID => {
                    properties.subscription_id()?;
                }
                _ => decoded.read_one(id, &mut properties)?,
            }
        }
        decoded.subscription_ids = properties.subscription_ids();
        decoded.user_properties = properties.user_properties();
        Ok(decoded)
    }

    /// Reads a property that a will may carry too, or refuses it.
    pub(super) fn read_one(
        &mut self,
        id: u8,
        properties: &mut PropertyReader<'a>,
    ) -> Result<(), DecodeError> {
        match id {
            id::PAYLOAD_FORMAT => self.payload_format = Some(properties.flag()?),
            id::MESSAGE_EXPIRY => self.message_expiry_secs = Some(properties.u32()?),
            id::CONTENT_TYPE => self.content_type = Some(properties.text()?),
            id::RESPONSE_TOPIC => self.response_topic = Some(properties.response_topic()?),
            id::CORRELATION_DATA => self.correlation_data = Some(properties.binary()?),
            id::USER_PROPERTY => properties.user_property()?,
            _ => return Err(properties.refuse()),
        }
        Ok(())
    }
}

impl Properties for PublishProperties<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        property::flag(sink, id::PAYLOAD_FORMAT, self.payload_format);
        property::u32(sink, id::MESSAGE_EXPIRY, self.message_expiry_secs);
        property::text(sink, id::CONTENT_TYPE, self.content_type)?;
        property::text(
            sink,
            id::RESPONSE_TOPIC,
            self.response_topic.map(TopicName::as_str),
        )?;
        property::binary(sink, id::CORRELATION_DATA, self.correlation_data)?;
        self.subscription_ids.write(sink)?;
        property::u16(sink, id::TOPIC_ALIAS, self.topic_alias);
        self.user_properties.write(sink);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! SUBSCRIBE (section 3.8).

use alloc::vec::Vec;

use super::{PacketId, PacketType};
use crate::codec::property::{self, PropertyReader, id};
use crate::codec::reader::Reader;
use crate::codec::writer::{self, Fields, Properties, Sink};
use crate::codec::{DecodeError, EncodeError, Malformed, ProtocolFault, UserProperties};
use crate::topic::{TopicError, TopicFilter};
use crate::{Qos, Version};

/// SUBSCRIBE: one or more filters [MQTT-3.8.3-2].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Repeated by the SUBACK.
    pub packet_id: PacketId,
    /// Given back in each PUBLISH that one of these subscriptions causes: 1..=268 435 455. MQTT 5 only.
    pub subscription_id: Option<u32>,
    /// User properties. MQTT 5 only.
    pub user_properties: UserProperties<'a>,
    /// What is subscribed to; answered one by one, in order.
    pub filters: Vec<SubscribeFilter<'a>>,
}

/// One filter of a [`Subscribe`], with its options. Options other than the QoS exist only in MQTT 5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeFilter<'a> {
    /// The filter, or why it is none: the SUBACK refuses that one, the others go on.
    pub filter: Result<TopicFilter<'a>, TopicError>,
    /// Highest QoS the client wants.
    pub qos: Qos,
    /// Not what this client published itself; never on a shared subscription [MQTT-3.8.3-4].
    pub no_local: bool,
    /// Keep the retain flag as it was published.
    pub retain_as_published: bool,
    /// Which retained messages to send at once.
    pub retain_handling: RetainHandling,
}

/// Whether a subscription starts with the retained messages that match it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// Always.
    #[default]
    SendAtSubscribe = 0,
    /// Only when the subscription did not exist before.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

impl<'a> Subscribe<'a> {
    /// A SUBSCRIBE without properties.
    #[must_use]
    pub const fn new(packet_id: PacketId, filters: Vec<SubscribeFilter<'a>>) -> Self {
        Self {
            packet_id,
            subscription_id: None,
            user_properties: UserProperties::EMPTY,
            filters,
        }
    }

    /// Appends the packet to `out`. What `version` lacks is left out.
    ///
    /// # Errors
    /// Why it cannot be expressed; `out` is then as it was.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::packet(PacketType::Subscribe.first_byte(), self, version, out)
    }

    pub(in crate::codec) fn decode(version: Version, packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut subscribe = Self::new(packet.packet_id()?, Vec::new());
        if version.is_v5() {
            let mut properties = PropertyReader::open(packet)?;
            while let Some(id) = properties.next_id()? {
                match id {
                    id::SUBSCRIPTION_ID => subscribe.subscription_id = Some(properties.subscription_id()?),
                    id::USER_PROPERTY => properties.user_property()?,
                    _ => return Err(properties.refuse()),
                }
            }
            subscribe.user_properties = properties.user_properties();
        }
        if packet.is_empty() {
            return Err(packet.protocol_at(packet.offset(), ProtocolFault::NoFilters)); // [MQTT-3.8.3-2]
        }
        subscribe.filters.reserve_exact(packet.count_list(1));
        while !packet.is_empty() {
            subscribe.filters.push(SubscribeFilter::decode(version, packet)?);
        }
        Ok(subscribe)
    }
}

impl Fields for Subscribe<'_> {
    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        sink.u16(self.packet_id.get());
        if version.is_v5() {
            writer::property_block(sink, self)?;
        }
        if self.filters.is_empty() {
            return Err(EncodeError::BreaksRule("SUBSCRIBE has at least one topic filter"));
        }
        self.filters
            .iter()
            .try_for_each(|filter| filter.write(version, sink))
    }
}

impl Properties for Subscribe<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        if let Some(subscription_id) = self.subscription_id {
            property::write_subscription_id(sink, subscription_id)?;
        }
        self.user_properties.write(sink);
        Ok(())
    }
}

impl<'a> SubscribeFilter<'a> {
    /// A filter with default options.
    #[must_use]
    pub const fn new(filter: TopicFilter<'a>, qos: Qos) -> Self {
        Self {
            filter: Ok(filter),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        }
    }

    fn decode(version: Version, packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let filter = TopicFilter::parse(packet.text()?);
        let offset = packet.offset();
        let options = packet.u8()?;
        let malformed = |fault| Err(packet.malformed_at(offset, fault));
        let protocol = |fault| Err(packet.protocol_at(offset, fault));
        let reserved = if version.is_v5() { RESERVED } else { !QOS };
        if options & reserved != 0 {
            return malformed(Malformed::SubscriptionOptions { options }); // [MQTT-3.8.3-5]
        }
        let Some(qos) = Qos::from_bits(options & QOS) else {
            return if version.is_v5() {
                protocol(ProtocolFault::SubscriptionQos3)
            } else {
                malformed(Malformed::Qos3)
            };
        };
        let retain_handling = match (options & RETAIN_HANDLING) >> 4 {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return protocol(ProtocolFault::RetainHandling3),
        };
        let no_local = options & NO_LOCAL != 0;
        if no_local && is_shared(&filter) {
            return protocol(ProtocolFault::NoLocalOnShared); // [MQTT-3.8.3-4]
        }
        let retain_as_published = options & RETAIN_AS_PUBLISHED != 0;
        Ok(Self {
            filter,
            qos,
            no_local,
            retain_as_published,
            retain_handling,
        })
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        let Ok(filter) = self.filter else {
            return Err(EncodeError::BreaksRule("SUBSCRIBE has valid topic filters"));
        };
        sink.binary("topic filter", filter.as_str().as_bytes())?;
        let mut options = self.qos.bits();
        if version.is_v5() {
            if self.no_local && is_shared(&self.filter) {
                return Err(EncodeError::BreaksRule(
                    "No Local is not for shared subscriptions",
                ));
            }
            options |= if self.no_local { NO_LOCAL } else { 0 };
            options |= if self.retain_as_published {
                RETAIN_AS_PUBLISHED
            } else {
                0
            };
            options |= (self.retain_handling as u8) << 4;
        }
        sink.u8(options);
        Ok(())
    }
}

/// The bits of the subscription options (section 3.8.3.1).
const QOS: u8 = 0b0000_0011;
const NO_LOCAL: u8 = 0b0000_0100;
const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;
const RETAIN_HANDLING: u8 = 0b0011_0000;
const RESERVED: u8 = 0b1100_0000;

fn is_shared(filter: &Result<TopicFilter<'_>, TopicError>) -> bool {
    filter.is_ok_and(|filter| filter.share().is_some())
}

#[cfg(test)]
mod tests;

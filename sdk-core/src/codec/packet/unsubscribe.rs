//! UNSUBSCRIBE (section 3.10).

use alloc::vec::Vec;

use super::{PacketId, PacketType};
use crate::Version;
use crate::codec::property::{PropertyReader, id};
use crate::codec::reader::Reader;
use crate::codec::writer::{self, Fields, Properties, Sink};
use crate::codec::{DecodeError, EncodeError, ProtocolFault, UserProperties};
use crate::topic::{TopicError, TopicFilter};

/// UNSUBSCRIBE: one or more filters [MQTT-3.10.3-2].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Repeated by the UNSUBACK.
    pub packet_id: PacketId,
    /// User properties. MQTT 5 only.
    pub user_properties: UserProperties<'a>,
    /// The filters, or why one is none; answered one by one, in order.
    pub filters: Vec<Result<TopicFilter<'a>, TopicError>>,
}

impl<'a> Unsubscribe<'a> {
    /// An UNSUBSCRIBE without properties.
    #[must_use]
    pub const fn new(packet_id: PacketId, filters: Vec<Result<TopicFilter<'a>, TopicError>>) -> Self {
        Self {
            packet_id,
            user_properties: UserProperties::EMPTY,
            filters,
        }
    }

    /// Appends the packet to `out`. What `version` lacks is left out.
    ///
    /// # Errors
    /// Why it cannot be expressed; `out` is then as it was.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::packet(PacketType::Unsubscribe.first_byte(), self, version, out)
    }

    pub(super) fn decode(version: Version, packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut unsubscribe = Self::new(packet.packet_id()?, Vec::new());
        if version.is_v5() {
            let mut properties = PropertyReader::open(packet)?;
            while let Some(id) = properties.next_id()? {
                match id {
                    id::USER_PROPERTY => properties.user_property()?,
                    _ => return Err(properties.refuse()),
                }
            }
            unsubscribe.user_properties = properties.user_properties();
        }
        if packet.is_empty() {
            return Err(packet.protocol_at(packet.offset(), ProtocolFault::NoFilters)); // [MQTT-3.10.3-2]
        }
        while !packet.is_empty() {
            unsubscribe.filters.push(TopicFilter::parse(packet.text()?));
        }
        Ok(unsubscribe)
    }
}

impl Fields for Unsubscribe<'_> {
    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        sink.u16(self.packet_id.get());
        if version.is_v5() {
            writer::property_block(sink, self)?;
        }
        if self.filters.is_empty() {
            return Err(EncodeError::BreaksRule(
                "UNSUBSCRIBE has at least one topic filter",
            ));
        }
        for filter in &self.filters {
            let Ok(filter) = filter else {
                return Err(EncodeError::BreaksRule("UNSUBSCRIBE has valid topic filters"));
            };
            sink.binary("topic filter", filter.as_str().as_bytes())?;
        }
        Ok(())
    }
}

impl Properties for Unsubscribe<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        self.user_properties.write(sink);
        Ok(())
    }
}

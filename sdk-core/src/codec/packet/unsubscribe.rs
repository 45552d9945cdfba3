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

    pub(in crate::codec) fn decode(version: Version, packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
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
        unsubscribe.filters.reserve_exact(packet.count_list(0));
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

#[cfg(test)]
mod tests {

    use super::*;
    use crate::codec::tests::{V3, VERSIONS, assert_wire, decode, frame, malformed, protocol};
    use crate::codec::{Malformed, Packet};

    fn unsubscribe<'a>(filters: &[&'a str]) -> Unsubscribe<'a> {
        let filters = filters.iter().map(|text| TopicFilter::parse(text));
        Unsubscribe::new(PacketId::new(1).unwrap(), filters.collect())
    }

    #[test]
    fn filters_come_in_order() {
        let packet = Packet::Unsubscribe(unsubscribe(&["a", "$share/g/+"]));
        let payload = [&[0, 1, b'a', 0, 10][..], b"$share/g/+"].concat();
        for version in V3 {
            assert_wire(version, &frame(0xA2, &[&[0, 1], &payload]), &packet);
        }
        assert_wire(Version::V5, &frame(0xA2, &[&[0, 1, 0], &payload]), &packet);
    }

    #[test]
    fn user_properties_travel() {
        let mut user = Vec::new();
        UserProperties::push(&mut user, "k", "v").unwrap();
        let user_properties = UserProperties::from_wire(&user).unwrap();
        let packet = Packet::Unsubscribe(Unsubscribe {
            user_properties,
            ..unsubscribe(&["a"])
        });
        let bytes = [0xA2, 13, 0, 1, 7, 0x26, 0, 1, b'k', 0, 1, b'v', 0, 1, b'a'];
        assert_wire(Version::V5, &bytes, &packet);
        let foreign = [0xA2, 8, 0, 1, 2, 0x0B, 1, 0, 1, b'a'];
        assert_eq!(
            malformed(Version::V5, &foreign),
            (5, Malformed::PropertyNotAllowed { id: 0x0B })
        );
    }

    #[test]
    fn a_bad_filter_is_told_and_the_others_go_on() {
        for version in V3 {
            let bytes = [0xA2, 8, 0, 1, 0, 1, b'a', 0, 1, b'#'];
            assert_eq!(
                decode(version, &bytes),
                Ok(Packet::Unsubscribe(unsubscribe(&["a", "#"])))
            );
            let bytes = [0xA2, 9, 0, 1, 0, 2, b'#', b'a', 0, 1, b'a'];
            let packet = unsubscribe(&["#a", "a"]);
            assert_eq!(packet.filters[0], Err(TopicError::MisplacedWildcard));
            let refused = packet.encode(version, &mut Vec::new());
            assert!(matches!(refused, Err(EncodeError::BreaksRule(_))));
            assert_eq!(decode(version, &bytes), Ok(Packet::Unsubscribe(packet)));
        }
    }

    #[test]
    fn there_is_at_least_one_filter() {
        for version in VERSIONS {
            let head: &[u8] = if version.is_v5() { &[0, 1, 0] } else { &[0, 1] };
            let offset = 2 + u32::try_from(head.len()).unwrap();
            // [MQTT-3.10.3-2]
            assert_eq!(
                protocol(version, &frame(0xA2, &[head])),
                (offset, ProtocolFault::NoFilters)
            );
            let refused = unsubscribe(&[]).encode(version, &mut Vec::new());
            assert!(matches!(refused, Err(EncodeError::BreaksRule(_))));
        }
    }
}

//! PUBACK, PUBREC, PUBREL, PUBCOMP: one shape, four names (sections 3.4 to 3.7).

use alloc::vec::Vec;

use super::{PacketId, PacketType};
use crate::Version;
use crate::codec::property::Explanation;
use crate::codec::reader::Reader;
use crate::codec::writer::{self, Fields, Sink};
use crate::codec::{DecodeError, EncodeError, ReasonCode, UserProperties};

/// An acknowledgement of one message. Before MQTT 5 it is the packet identifier alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Which message.
    pub packet_id: PacketId,
    /// Success or why not.
    pub reason: ReasonCode,
    /// For the reader of a log.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

/// Which of the four an [`Ack`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AckKind {
    /// QoS 1: received.
    PubAck,
    /// QoS 2, part 1: received.
    PubRec,
    /// QoS 2, part 2: release.
    PubRel,
    /// QoS 2, part 3: complete.
    PubComp,
}

impl AckKind {
    /// The packet type.
    #[must_use]
    pub const fn packet_type(self) -> PacketType {
        match self {
            Self::PubAck => PacketType::PubAck,
            Self::PubRec => PacketType::PubRec,
            Self::PubRel => PacketType::PubRel,
            Self::PubComp => PacketType::PubComp,
        }
    }

    const fn first_byte(self) -> u8 {
        self.packet_type().first_byte()
    }
}

impl<'a> Ack<'a> {
    /// An acknowledgement without properties.
    #[must_use]
    pub const fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self {
            packet_id,
            reason,
            reason_string: None,
            user_properties: UserProperties::EMPTY,
        }
    }

    /// Appends the packet to `out`. What `version` lacks is left out.
    ///
    /// # Errors
    /// Why it cannot be expressed; `out` is then as it was.
    pub fn encode(&self, kind: AckKind, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::packet(kind.first_byte(), &AckFields { kind, ack: self }, version, out)
    }

    pub(super) fn encoded_len(&self, kind: AckKind, version: Version) -> Result<usize, EncodeError> {
        writer::packet_len(&AckFields { kind, ack: self }, version)
    }

    #[inline(always)] // Into the answer of `Decoder::decode`; see there.
    pub(in crate::codec) fn decode(version: Version, packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut ack = Self::new(packet.packet_id()?, ReasonCode::Success);
        // Both the reason and, after it, the properties may be left out (section 3.4.2.1).
        if version.is_v5() && !packet.is_empty() {
            ack.reason = packet.reason()?;
            if !packet.is_empty() {
                let explanation = Explanation::read(packet)?;
                ack.reason_string = explanation.reason_string;
                ack.user_properties = explanation.user_properties;
            }
        }
        Ok(ack)
    }
}

/// An acknowledgement together with its name, which decides the reasons it may carry.
struct AckFields<'p, 'a> {
    kind: AckKind,
    ack: &'p Ack<'a>,
}

impl Fields for AckFields<'_, '_> {
    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        let (ack, packet) = (self.ack, self.kind.packet_type());
        sink.u16(ack.packet_id.get());
        if !version.is_v5() {
            return Ok(());
        }
        if !ack.reason.allowed_in(packet) {
            return Err(EncodeError::ReasonNotAllowed {
                packet,
                reason: ack.reason,
            });
        }
        let explanation = Explanation {
            reason_string: ack.reason_string,
            user_properties: ack.user_properties,
        };
        if !explanation.is_empty() {
            sink.u8(ack.reason.byte());
            writer::property_block(sink, &explanation)?;
        } else if ack.reason != ReasonCode::Success {
            sink.u8(ack.reason.byte());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::codec::tests::{V3, VERSIONS, assert_wire, decode, encode, malformed, protocol};
    use crate::codec::{Malformed, Packet, ProtocolFault};

    type Named = fn(Ack<'static>) -> Packet<'static>;

    fn kinds() -> [(u8, Named); 4] {
        [
            (0x40, Packet::PubAck),
            (0x50, Packet::PubRec),
            (0x62, Packet::PubRel),
            (0x70, Packet::PubComp),
        ]
    }

    fn ack(reason: ReasonCode) -> Ack<'static> {
        Ack::new(PacketId::new(0x1234).unwrap(), reason)
    }

    #[test]
    fn success_is_the_packet_id_alone() {
        for (first, packet) in kinds() {
            for version in VERSIONS {
                assert_wire(
                    version,
                    &[first, 2, 0x12, 0x34],
                    &packet(ack(ReasonCode::Success)),
                );
            }
        }
    }

    #[test]
    fn a_reason_stands_alone_or_before_properties() {
        let not_found = ack(ReasonCode::PacketIdentifierNotFound);
        assert_wire(
            Version::V5,
            &[0x62, 3, 0x12, 0x34, 0x92],
            &Packet::PubRel(not_found.clone()),
        );
        assert_wire(
            Version::V5,
            &[0x70, 3, 0x12, 0x34, 0x92],
            &Packet::PubComp(not_found),
        );
        let nobody = ack(ReasonCode::NoMatchingSubscribers);
        assert_wire(
            Version::V5,
            &[0x40, 3, 0x12, 0x34, 0x10],
            &Packet::PubAck(nobody.clone()),
        );
        let explained = Ack {
            reason_string: Some("no"),
            ..nobody
        };
        let bytes = [0x50, 9, 0x12, 0x34, 0x10, 5, 0x1F, 0, 2, b'n', b'o'];
        assert_wire(Version::V5, &bytes, &Packet::PubRec(explained));
        let mut user = Vec::new();
        UserProperties::push(&mut user, "k", "v").unwrap();
        let user_properties = UserProperties::from_wire(&user).unwrap();
        let bytes = [0x40, 11, 0x12, 0x34, 0, 7, 0x26, 0, 1, b'k', 0, 1, b'v'];
        assert_wire(
            Version::V5,
            &bytes,
            &Packet::PubAck(Ack {
                user_properties,
                ..ack(ReasonCode::Success)
            }),
        );
    }

    #[test]
    fn longer_forms_of_success_are_understood() {
        let expected = Ok(Packet::PubAck(ack(ReasonCode::Success)));
        assert_eq!(decode(Version::V5, &[0x40, 3, 0x12, 0x34, 0]), expected);
        assert_eq!(decode(Version::V5, &[0x40, 4, 0x12, 0x34, 0, 0]), expected);
    }

    #[test]
    fn before_mqtt_5_there_is_no_reason() {
        for version in V3 {
            let bytes = encode(version, &Packet::PubAck(ack(ReasonCode::NotAuthorized)));
            assert_eq!(bytes, [0x40, 2, 0x12, 0x34]);
            let refused = malformed(version, &[0x40, 3, 0x12, 0x34, 0]);
            assert_eq!(refused, (4, Malformed::TrailingBytes { bytes: 1 }));
        }
    }

    #[test]
    fn each_name_has_its_own_reasons() {
        // [MQTT-3.4.2-1, MQTT-3.5.2-1, MQTT-3.6.2-1, MQTT-3.7.2-1]
        for (first, byte) in [
            (0x40, 0x92),
            (0x50, 0x92),
            (0x62, 0x10),
            (0x70, 0x87),
            (0x40, 0x7F),
        ] {
            let refused = malformed(Version::V5, &[first, 3, 0x12, 0x34, byte]);
            assert_eq!(refused, (4, Malformed::ReasonCode { byte }));
        }
        let mut out = std::vec![1];
        let reason = ReasonCode::NotAuthorized;
        let refused = ack(reason).encode(AckKind::PubRel, Version::V5, &mut out);
        assert_eq!(
            refused,
            Err(EncodeError::ReasonNotAllowed {
                packet: PacketType::PubRel,
                reason
            })
        );
        assert_eq!(out, [1]);
    }

    #[test]
    fn every_field_is_checked() {
        for (first, _) in kinds() {
            for version in VERSIONS {
                assert_eq!(
                    malformed(version, &[first, 2, 0, 0]),
                    (2, Malformed::PacketIdZero)
                ); // [MQTT-2.2.1-3]
                assert_eq!(malformed(version, &[first, 1, 0]), (2, Malformed::Truncated));
            }
            let foreign = [first, 7, 0, 1, 0, 3, 0x13, 0, 0];
            let fault = Malformed::PropertyNotAllowed { id: 0x13 };
            assert_eq!(malformed(Version::V5, &foreign), (6, fault));
            let twice = [first, 10, 0, 1, 0, 6, 0x1F, 0, 0, 0x1F, 0, 0];
            assert_eq!(
                protocol(Version::V5, &twice),
                (9, ProtocolFault::DuplicateProperty { id: 0x1F })
            );
            let trailing = [first, 5, 0, 1, 0, 0, 9];
            assert_eq!(
                malformed(Version::V5, &trailing),
                (6, Malformed::TrailingBytes { bytes: 1 })
            );
        }
    }
}

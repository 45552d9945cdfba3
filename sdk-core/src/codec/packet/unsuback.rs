//! UNSUBACK: the server's answer to UNSUBSCRIBE (section 3.11).

use alloc::vec::Vec;

use super::{PacketId, PacketType};
use crate::Version;
use crate::codec::property::Explanation;
use crate::codec::reader::Reader;
use crate::codec::writer::{self, Fields, Sink};
use crate::codec::{DecodeError, EncodeError, ProtocolFault, ReasonCode, UserProperties};

/// UNSUBACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// Of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// For the reader of a log. MQTT 5 only.
    pub reason_string: Option<&'a str>,
    /// User properties. MQTT 5 only.
    pub user_properties: UserProperties<'a>,
    /// One for each filter, in order. Before MQTT 5 none travel, and none are read back.
    pub reasons: Vec<ReasonCode>,
}

impl<'a> UnsubAck<'a> {
    /// An UNSUBACK without properties.
    #[must_use]
    pub const fn new(packet_id: PacketId, reasons: Vec<ReasonCode>) -> Self {
        Self {
            packet_id,
            reason_string: None,
            user_properties: UserProperties::EMPTY,
            reasons,
        }
    }

    /// Appends the packet to `out`. What `version` lacks is left out.
    ///
    /// # Errors
    /// Why it cannot be expressed; `out` is then as it was.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::packet(PacketType::UnsubAck.first_byte(), self, version, out)
    }

    pub(in crate::codec) fn decode(version: Version, packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut unsuback = Self::new(packet.packet_id()?, Vec::new());
        if !version.is_v5() {
            return Ok(unsuback);
        }
        let explanation = Explanation::read(packet)?;
        unsuback.reason_string = explanation.reason_string;
        unsuback.user_properties = explanation.user_properties;
        if packet.is_empty() {
            return Err(packet.protocol_at(packet.offset(), ProtocolFault::NoReasonCodes));
        }
        unsuback.reasons.reserve_exact(packet.remaining());
        while !packet.is_empty() {
            unsuback.reasons.push(packet.reason()?);
        }
        Ok(unsuback)
    }
}

impl Fields for UnsubAck<'_> {
    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        sink.u16(self.packet_id.get());
        if !version.is_v5() {
            return Ok(());
        }
        let explanation = Explanation {
            reason_string: self.reason_string,
            user_properties: self.user_properties,
        };
        writer::property_block(sink, &explanation)?;
        if self.reasons.is_empty() {
            return Err(EncodeError::BreaksRule("UNSUBACK has at least one reason code"));
        }
        for &reason in &self.reasons {
            if !reason.allowed_in(PacketType::UnsubAck) {
                return Err(EncodeError::ReasonNotAllowed {
                    packet: PacketType::UnsubAck,
                    reason,
                });
            }
            sink.u8(reason.byte());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::codec::tests::{V3, assert_wire, encode, malformed, protocol};
    use crate::codec::{Malformed, Packet};

    fn unsuback(reasons: &[ReasonCode]) -> UnsubAck<'static> {
        UnsubAck::new(PacketId::new(1).unwrap(), reasons.to_vec())
    }

    #[test]
    fn reasons_exist_in_mqtt_5_only() {
        let reasons = [ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
        let packet = Packet::UnsubAck(unsuback(&reasons));
        assert_wire(Version::V5, &[0xB0, 5, 0, 1, 0, 0, 0x11], &packet);
        for version in V3 {
            assert_eq!(encode(version, &packet), [0xB0, 2, 0, 1]);
            assert_wire(version, &[0xB0, 2, 0, 1], &Packet::UnsubAck(unsuback(&[])));
            let refused = malformed(version, &[0xB0, 3, 0, 1, 0]);
            assert_eq!(refused, (4, Malformed::TrailingBytes { bytes: 1 }));
        }
    }

    #[test]
    fn properties_travel() {
        let explained = UnsubAck {
            reason_string: Some("s"),
            ..unsuback(&[ReasonCode::Success])
        };
        let bytes = [0xB0, 8, 0, 1, 4, 0x1F, 0, 1, b's', 0];
        assert_wire(Version::V5, &bytes, &Packet::UnsubAck(explained));
    }

    #[test]
    fn reasons_are_checked() {
        // [MQTT-3.11.3-2]
        assert_eq!(
            malformed(Version::V5, &[0xB0, 4, 0, 1, 0, 1]),
            (5, Malformed::ReasonCode { byte: 1 })
        );
        assert_eq!(
            protocol(Version::V5, &[0xB0, 3, 0, 1, 0]),
            (5, ProtocolFault::NoReasonCodes)
        );
        let nothing = unsuback(&[]).encode(Version::V5, &mut Vec::new());
        assert!(matches!(nothing, Err(EncodeError::BreaksRule(_))));
        let reason = ReasonCode::QuotaExceeded;
        let foreign = unsuback(&[reason]).encode(Version::V5, &mut Vec::new());
        assert_eq!(
            foreign,
            Err(EncodeError::ReasonNotAllowed {
                packet: PacketType::UnsubAck,
                reason
            })
        );
    }
}

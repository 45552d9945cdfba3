//! SUBACK: the server's answer to SUBSCRIBE (section 3.9).

use alloc::vec::Vec;

use super::{PacketId, PacketType};
use crate::Version;
use crate::codec::property::Explanation;
use crate::codec::reader::Reader;
use crate::codec::writer::{self, Fields, Sink};
use crate::codec::{DecodeError, EncodeError, Malformed, ProtocolFault, ReasonCode, UserProperties};

/// SUBACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// Of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// For the reader of a log. MQTT 5 only.
    pub reason_string: Option<&'a str>,
    /// User properties. MQTT 5 only.
    pub user_properties: UserProperties<'a>,
    /// One for each filter, in order. Before MQTT 5 every failure travels as 0x80, which reads
    /// back as `UnspecifiedError`.
    pub reasons: Vec<ReasonCode>,
}

impl<'a> SubAck<'a> {
    /// A SUBACK without properties.
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
        writer::packet(PacketType::SubAck.first_byte(), self, version, out)
    }

    pub(in crate::codec) fn decode(version: Version, packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut suback = Self::new(packet.packet_id()?, Vec::new());
        if version.is_v5() {
            let explanation = Explanation::read(packet)?;
            suback.reason_string = explanation.reason_string;
            suback.user_properties = explanation.user_properties;
        }
        if packet.is_empty() {
            return Err(packet.protocol_at(packet.offset(), ProtocolFault::NoReasonCodes));
        }
        suback.reasons.reserve_exact(packet.remaining());
        while !packet.is_empty() {
            suback.reasons.push(if version.is_v5() {
                packet.reason()?
            } else {
                return_code(packet)?
            });
        }
        Ok(suback)
    }
}

impl Fields for SubAck<'_> {
    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        sink.u16(self.packet_id.get());
        if version.is_v5() {
            let explanation = Explanation {
                reason_string: self.reason_string,
                user_properties: self.user_properties,
            };
            writer::property_block(sink, &explanation)?;
        }
        if self.reasons.is_empty() {
            return Err(EncodeError::BreaksRule("SUBACK has at least one reason code"));
        }
        for &reason in &self.reasons {
            if !reason.allowed_in(PacketType::SubAck) {
                return Err(EncodeError::ReasonNotAllowed {
                    packet: PacketType::SubAck,
                    reason,
                });
            }
            let failed_v3 = reason.is_error() && !version.is_v5();
            sink.u8(if failed_v3 { FAILURE } else { reason.byte() });
        }
        Ok(())
    }
}

/// The only return code of 3.1.1 that is not a granted QoS.
const FAILURE: u8 = 0x80;

/// Return codes other than 0, 1, 2 and 0x80 are reserved (3.1.1 section 3.9.3).
fn return_code(packet: &mut Reader<'_>) -> Result<ReasonCode, DecodeError> {
    let offset = packet.offset();
    match packet.u8()? {
        0 => Ok(ReasonCode::Success),
        1 => Ok(ReasonCode::GrantedQos1),
        2 => Ok(ReasonCode::GrantedQos2),
        FAILURE => Ok(ReasonCode::UnspecifiedError),
        byte => Err(packet.malformed_at(offset, Malformed::ReasonCode { byte })),
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::codec::Packet;
    use crate::codec::tests::{V3, VERSIONS, assert_wire, encode, malformed, protocol};

    fn suback(reasons: &[ReasonCode]) -> SubAck<'static> {
        SubAck::new(PacketId::new(1).unwrap(), reasons.to_vec())
    }

    #[test]
    fn granted_qos_is_the_same_in_all_versions() {
        let granted = [
            ReasonCode::Success,
            ReasonCode::GrantedQos1,
            ReasonCode::GrantedQos2,
        ];
        let suback = Packet::SubAck(suback(&granted));
        for version in V3 {
            assert_wire(version, &[0x90, 5, 0, 1, 0, 1, 2], &suback);
        }
        assert_wire(Version::V5, &[0x90, 6, 0, 1, 0, 0, 1, 2], &suback);
    }

    #[test]
    fn failures_have_a_reason_in_mqtt_5_only() {
        let refused = Packet::SubAck(suback(&[ReasonCode::NotAuthorized]));
        assert_wire(Version::V5, &[0x90, 4, 0, 1, 0, 0x87], &refused);
        for version in V3 {
            assert_eq!(encode(version, &refused), [0x90, 3, 0, 1, 0x80]);
            let unspecified = Packet::SubAck(suback(&[ReasonCode::UnspecifiedError]));
            assert_wire(version, &[0x90, 3, 0, 1, 0x80], &unspecified);
        }
    }

    #[test]
    fn properties_travel() {
        let explained = SubAck {
            reason_string: Some("s"),
            ..suback(&[ReasonCode::Success])
        };
        let bytes = [0x90, 8, 0, 1, 4, 0x1F, 0, 1, b's', 0];
        assert_wire(Version::V5, &bytes, &Packet::SubAck(explained));
        let foreign = [0x90, 6, 0, 1, 2, 0x0B, 1, 0];
        assert_eq!(
            malformed(Version::V5, &foreign),
            (5, Malformed::PropertyNotAllowed { id: 0x0B })
        );
    }

    #[test]
    fn reasons_are_checked() {
        // [MQTT-3.9.3-2]
        assert_eq!(
            malformed(Version::V5, &[0x90, 4, 0, 1, 0, 3]),
            (5, Malformed::ReasonCode { byte: 3 })
        );
        assert_eq!(
            malformed(Version::V5, &[0x90, 4, 0, 1, 0, 0x92]),
            (5, Malformed::ReasonCode { byte: 0x92 })
        );
        assert_eq!(
            protocol(Version::V5, &[0x90, 3, 0, 1, 0]),
            (5, ProtocolFault::NoReasonCodes)
        );
        for version in V3 {
            assert_eq!(
                malformed(version, &[0x90, 3, 0, 1, 0x87]),
                (4, Malformed::ReasonCode { byte: 0x87 })
            );
            assert_eq!(
                protocol(version, &[0x90, 2, 0, 1]),
                (4, ProtocolFault::NoReasonCodes)
            );
        }
        for version in VERSIONS {
            let nothing = suback(&[]).encode(version, &mut Vec::new());
            assert!(matches!(nothing, Err(EncodeError::BreaksRule(_))));
            let reason = ReasonCode::ServerBusy;
            let foreign = suback(&[reason]).encode(version, &mut Vec::new());
            assert_eq!(
                foreign,
                Err(EncodeError::ReasonNotAllowed {
                    packet: PacketType::SubAck,
                    reason
                })
            );
        }
    }
}

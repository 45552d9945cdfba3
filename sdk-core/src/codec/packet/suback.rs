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
    /// One for each filter, in order [MQTT-3.8.4-6]. Before MQTT 5 every failure travels as 0x80, which reads
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

    pub(super) fn decode(version: Version, packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
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

/// Return codes other than 0, 1, 2 and 0x80 are reserved (3.1.1 [MQTT-3.9.3-2]).
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

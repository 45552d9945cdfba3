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

    pub(super) fn decode(version: Version, packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
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

//! PUBACK, PUBREC, PUBREL, PUBCOMP: one shape, four names (sections 3.4 to 3.7).

use alloc::vec::Vec;

use super::{PacketId, PacketType};
use crate::Version;
use crate::codec::{EncodeError, ReasonCode, UserProperties};

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
}

impl Ack<'_> {
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
    pub fn encode(&self, _kind: AckKind, _version: Version, _out: &mut Vec<u8>) -> Result<(), EncodeError> {
        todo!()
    }
}

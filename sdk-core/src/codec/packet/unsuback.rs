//! UNSUBACK: the server's answer to UNSUBSCRIBE (section 3.11).

use alloc::vec::Vec;

use super::PacketId;
use crate::Version;
use crate::codec::{EncodeError, ReasonCode, UserProperties};

/// UNSUBACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// Of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// For the reader of a log. MQTT 5 only.
    pub reason_string: Option<&'a str>,
    /// User properties. MQTT 5 only.
    pub user_properties: UserProperties<'a>,
    /// One for each filter, in order [MQTT-3.11.3-1]. Before MQTT 5 none travel, and none are read back.
    pub reasons: Vec<ReasonCode>,
}

impl UnsubAck<'_> {
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
    pub fn encode(&self, _version: Version, _out: &mut Vec<u8>) -> Result<(), EncodeError> {
        todo!()
    }
}

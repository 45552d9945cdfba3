//! SUBACK: the server's answer to SUBSCRIBE (section 3.9).

use alloc::vec::Vec;

use super::PacketId;
use crate::Version;
use crate::codec::{EncodeError, ReasonCode, UserProperties};

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

impl SubAck<'_> {
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
    pub fn encode(&self, _version: Version, _out: &mut Vec<u8>) -> Result<(), EncodeError> {
        todo!()
    }
}

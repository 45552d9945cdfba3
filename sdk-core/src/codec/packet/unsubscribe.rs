//! UNSUBSCRIBE (section 3.10).

use alloc::vec::Vec;

use super::PacketId;
use crate::Version;
use crate::codec::{EncodeError, UserProperties};
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
    pub fn encode(&self, _version: Version, _out: &mut Vec<u8>) -> Result<(), EncodeError> {
        todo!()
    }
}

//! SUBSCRIBE (section 3.8).

use alloc::vec::Vec;

use super::PacketId;
use crate::codec::{EncodeError, UserProperties};
use crate::topic::{TopicError, TopicFilter};
use crate::{Qos, Version};

/// SUBSCRIBE: one or more filters [MQTT-3.8.3-2].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Repeated by the SUBACK.
    pub packet_id: PacketId,
    /// Given back in each PUBLISH that one of these subscriptions causes: 1..=268 435 455. MQTT 5 only.
    pub subscription_id: Option<u32>,
    /// User properties. MQTT 5 only.
    pub user_properties: UserProperties<'a>,
    /// What is subscribed to; answered one by one, in order.
    pub filters: Vec<SubscribeFilter<'a>>,
}

/// One filter of a [`Subscribe`], with its options. Options other than the QoS exist only in MQTT 5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeFilter<'a> {
    /// The filter, or why it is none: the SUBACK refuses that one, the others go on.
    pub filter: Result<TopicFilter<'a>, TopicError>,
    /// Highest QoS the client wants.
    pub qos: Qos,
    /// Not what this client published itself; never on a shared subscription [MQTT-3.8.3-4].
    pub no_local: bool,
    /// Keep the retain flag as it was published.
    pub retain_as_published: bool,
    /// Which retained messages to send at once.
    pub retain_handling: RetainHandling,
}

/// Whether a subscription starts with the retained messages that match it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// Always.
    #[default]
    SendAtSubscribe = 0,
    /// Only when the subscription did not exist before.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

impl<'a> Subscribe<'a> {
    /// A SUBSCRIBE without properties.
    #[must_use]
    pub const fn new(packet_id: PacketId, filters: Vec<SubscribeFilter<'a>>) -> Self {
        Self {
            packet_id,
            subscription_id: None,
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

impl<'a> SubscribeFilter<'a> {
    /// A filter with default options.
    #[must_use]
    pub const fn new(filter: TopicFilter<'a>, qos: Qos) -> Self {
        Self {
            filter: Ok(filter),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        }
    }
}

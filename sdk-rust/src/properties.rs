//! The properties of a message, owned.

use bytes::Bytes;

use cloudsignal_core::codec::{PublishProperties, SubscriptionIds, UserProperties};
use cloudsignal_core::{EncodeError, TopicNameBuf};

/// The MQTT 5 properties of a message that are the application's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Properties {
    pub(crate) is_text: Option<bool>,
    pub(crate) expiry_secs: Option<u32>,
    pub(crate) response_topic: Option<TopicNameBuf>,
    pub(crate) correlation_data: Option<Bytes>,
    pub(crate) content_type: Option<Box<str>>,
    /// Encoded: one piece of memory for all of them.
    user: Vec<u8>,
}

impl Properties {
    /// `None` when there are none.
    pub(crate) fn of_packet(packet: &PublishProperties<'_>) -> Option<Box<Self>> {
        let has_none = packet.payload_format.is_none()
            && packet.message_expiry_secs.is_none()
            && packet.response_topic.is_none()
            && packet.correlation_data.is_none()
            && packet.content_type.is_none()
            && packet.user_properties.is_empty();
        if has_none {
            return None;
        }
        let mut user = Vec::new();
        packet.user_properties.write_wire(&mut user);
        Some(Box::new(Self {
            is_text: packet.payload_format,
            expiry_secs: packet.message_expiry_secs,
            response_topic: packet.response_topic.map(|topic| topic.to_owned()),
            correlation_data: packet.correlation_data.map(Bytes::copy_from_slice),
            content_type: packet.content_type.map(Into::into),
            user,
        }))
    }

    pub(crate) fn as_packet(&self) -> PublishProperties<'_> {
        PublishProperties {
            payload_format: self.is_text,
            message_expiry_secs: self.expiry_secs,
            topic_alias: None,
            response_topic: self.response_topic.as_ref().map(TopicNameBuf::as_ref),
            correlation_data: self.correlation_data.as_deref(),
            subscription_ids: SubscriptionIds::EMPTY,
            content_type: self.content_type.as_deref(),
            user_properties: self.user_properties(),
        }
    }

    pub(crate) fn add_user(&mut self, name: &str, value: &str) -> Result<(), EncodeError> {
        UserProperties::push(&mut self.user, name, value)
    }

    pub(crate) fn user_properties(&self) -> UserProperties<'_> {
        UserProperties::from_wire(&self.user).expect("invariant: written by `push` or `write_wire`")
    }
}

//! PUBLISH: a message, in either direction (section 3.3).

use alloc::vec::Vec;
use core::num::NonZeroU16;

use super::PacketId;
use crate::codec::{EncodeError, SubscriptionIds, UserProperties};
use crate::topic::TopicName;
use crate::{Qos, Version};

/// PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Perhaps sent before; never at QoS 0 [MQTT-3.3.1-2].
    pub dup: bool,
    /// Quality of service.
    pub qos: Qos,
    /// To be retained, or came from the retained store.
    pub retain: bool,
    /// Where it is published. `None` is a zero-length name: the topic alias stands for it (MQTT 5).
    pub topic: Option<TopicName<'a>>,
    /// Present exactly when the QoS is 1 or 2 [MQTT-2.2.1-2].
    pub packet_id: Option<PacketId>,
    /// MQTT 5 only.
    pub properties: PublishProperties<'a>,
    /// The message: any bytes, also none.
    pub payload: &'a [u8],
}

/// The properties that belong to a message, also to a will. MQTT 5 only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishProperties<'a> {
    /// Payload format indicator: `true` says UTF-8 text. Forwarded as it came, so absent differs from `false`.
    pub payload_format: Option<bool>,
    /// Lifetime of the message.
    pub message_expiry_secs: Option<u32>,
    /// Stands for the topic on this connection; never in a will.
    pub topic_alias: Option<NonZeroU16>,
    /// Where an answer should be published.
    pub response_topic: Option<TopicName<'a>>,
    /// Tells the asker which request is answered.
    pub correlation_data: Option<&'a [u8]>,
    /// Identifiers of the subscriptions that matched; only from server to client [MQTT-3.3.4-6], never in a will.
    pub subscription_ids: SubscriptionIds<'a>,
    /// What the payload is; not interpreted.
    pub content_type: Option<&'a str>,
    /// User properties; forwarded in order [MQTT-3.3.2-18].
    pub user_properties: UserProperties<'a>,
}

/// Where a just-encoded PUBLISH lies in its buffer, so that one encoding can serve many subscribers: copied,
/// given another packet identifier, or cut before its payload. All are indexes into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishLayout {
    /// Its first byte.
    pub start: usize,
    /// The two bytes of the packet identifier, most significant first; absent at QoS 0.
    pub packet_id_at: Option<usize>,
    /// The first byte of the payload, or `end` when there is none or it was left out.
    pub payload_at: usize,
    /// One past its last byte.
    pub end: usize,
}

impl<'a> Publish<'a> {
    /// A QoS 0 message without properties.
    #[must_use]
    pub fn new(topic: TopicName<'a>, payload: &'a [u8]) -> Self {
        Self {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic: Some(topic),
            packet_id: None,
            properties: PublishProperties::default(),
            payload,
        }
    }

    /// Appends the packet to `out`. What `version` lacks is left out.
    ///
    /// # Errors
    /// Why it cannot be expressed; `out` is then as it was.
    pub fn encode(&self, _version: Version, _out: &mut Vec<u8>) -> Result<PublishLayout, EncodeError> {
        todo!()
    }

    /// Appends everything but the payload, which will have `payload_len` bytes and which the caller sends from
    /// elsewhere. `self.payload` does not count.
    ///
    /// # Errors
    /// Why it cannot be expressed; `out` is then as it was.
    pub fn encode_head(
        &self,
        _version: Version,
        _payload_len: usize,
        _out: &mut Vec<u8>,
    ) -> Result<PublishLayout, EncodeError> {
        todo!()
    }

    /// How many bytes [`encode`](Self::encode) would append, header included.
    ///
    /// # Errors
    /// As `encode`.
    pub fn encoded_len(&self, _version: Version) -> Result<usize, EncodeError> {
        todo!()
    }
}

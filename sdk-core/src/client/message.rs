//! Messages as a caller sees them: what is published, what arrives, and what became of it.

use super::subscriptions::SubscriptionId;
use crate::codec::{EncodeError, PublishProperties};
use crate::topic::TopicName;
use crate::{Qos, ReasonCode};

/// A message to publish.
#[derive(Clone, Debug)]
pub struct Publication<'a> {
    /// Where.
    pub topic: TopicName<'a>,
    /// What.
    pub payload: &'a [u8],
    /// How hard to try.
    pub qos: Qos,
    /// Whether the server keeps it for later subscribers.
    pub retain: bool,
    /// MQTT 5 only. Topic alias and subscription identifiers are not the caller's: they are ignored.
    pub properties: PublishProperties<'a>,
}

impl<'a> Publication<'a> {
    /// A message without properties.
    #[must_use]
    pub fn new(topic: TopicName<'a>, payload: &'a [u8], qos: Qos) -> Self {
        Self {
            topic,
            payload,
            qos,
            retain: false,
            properties: PublishProperties::default(),
        }
    }
}

/// The name of a published message; rises with each, never reused by a client with the same store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishId(pub u64);

/// What a call to publish has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It was given to the connection, and that is all that QoS 0 promises. Nothing more is said about it.
    Sent,
    /// It waits for the connection, or for the server's word: [`Output::Published`](super::Output::Published)
    /// comes with this name.
    Queued(PublishId),
}

/// Why a message was not even accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// [`Options::queue_messages_max`](super::Options::queue_messages_max) or
    /// [`Options::queue_bytes_max`](super::Options::queue_bytes_max) is reached. Try again when one of the waiting messages is out.
    #[error("the queue of messages to the server is full")]
    QueueFull,
    /// It is larger than the server takes, bytes.
    #[error("a message of {bytes} bytes is larger than the {max} bytes that the server accepts")]
    TooLarge {
        /// With everything that MQTT adds.
        bytes: usize,
        /// What the server said in CONNACK.
        max: u32,
    },
    /// The server does not do this.
    #[error("the server does not offer {0}")]
    NotOffered(&'static str),
    /// It cannot be said in MQTT.
    #[error(transparent)]
    Inexpressible(#[from] EncodeError),
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

/// The end of a published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server has it: [`ReasonCode::Success`] or [`ReasonCode::NoMatchingSubscribers`].
    Acknowledged(ReasonCode),
    /// The server has refused it.
    Rejected(ReasonCode),
    /// Its lifetime was over before it could be sent.
    Expired,
    /// A QoS 0 message that had waited was given to the connection.
    Sent,
    /// A QoS 2 message was on its way when the server lost the session. It may have arrived; to send it again might
    /// make two of it. Or a message was given up that may have arrived.
    Indeterminate,
}

/// A message that has arrived.
#[derive(Debug)]
pub struct Message<'a> {
    /// Say [`Client::acknowledge`](super::Client::acknowledge) with this when it is dealt with. `None`: there is nothing to
    /// acknowledge, or it is done.
    pub delivery: Option<DeliveryId>,
    /// Where it was published.
    pub topic: TopicName<'a>,
    /// What.
    pub payload: &'a [u8],
    /// How hard the server tried.
    pub qos: Qos,
    /// It comes from the retained store, or was published to it.
    pub retain: bool,
    /// It may have been handed out before. Never set for a message that certainly was not.
    pub dup: bool,
    /// MQTT 5 only.
    pub properties: &'a PublishProperties<'a>,
    /// Which subscriptions wanted it. None: it belongs to one that has ended.
    pub subscriptions: &'a [SubscriptionId],
}

/// The name of a received message that is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub u64);

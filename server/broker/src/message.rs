//! The thing that is routed: borrowed while it passes through, shared once somebody must keep it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use cloudsignal_core::codec::{PublishProperties, UserProperties};
use cloudsignal_core::topic::{TopicName, TopicNameBuf};
use cloudsignal_core::{Instant, Qos};

/// Bytes that every kept message is charged beside its topic, properties and payload.
const OVERHEAD_BYTES: usize = 128;

/// An immutable message, shared by everybody who keeps it: queues, windows, the retained store.
#[derive(Debug)]
pub struct Message {
    number: u64,
    publisher: u64,
    topic: TopicNameBuf,
    payload: Box<[u8]>,
    properties: Option<Box<KeptProperties>>,
    qos: Qos,
    retain: bool,
    expires_at: Option<Instant>,
}

/// The properties that travel unaltered to every subscriber.
#[derive(Debug)]
struct KeptProperties {
    payload_format: Option<bool>,
    content_type: Option<Box<str>>,
    response_topic: Option<TopicNameBuf>,
    correlation_data: Option<Box<[u8]>>,
    user: Box<[u8]>,
}

impl Message {
    /// Counts the organization's messages; a store names a message by it.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The topic it was published under.
    #[must_use]
    pub fn topic(&self) -> TopicName<'_> {
        self.topic.as_ref()
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The QoS it was published at.
    #[must_use]
    pub const fn qos(&self) -> Qos {
        self.qos
    }

    /// When it must no longer be delivered.
    #[must_use]
    pub const fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    /// Whether its expiry interval has passed.
    #[must_use]
    pub fn is_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// What keeping it costs, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let properties = self.properties.as_ref().map_or(0, |kept| kept.size());
        OVERHEAD_BYTES + self.topic.as_str().len() + self.payload.len() + properties
    }

    /// The message as it passes through the router.
    pub(crate) fn publication(&self) -> Publication<'_> {
        Publication {
            topic: self.topic.as_ref(),
            payload: &self.payload,
            properties: self
                .properties
                .as_ref()
                .map_or_else(PublishProperties::default, |kept| kept.borrow()),
            qos: self.qos,
            retain: self.retain,
            expires_at: self.expires_at,
            publisher: self.publisher,
        }
    }
}

impl KeptProperties {
    fn of(properties: &PublishProperties<'_>) -> Option<Box<Self>> {
        let mut user = Vec::new();
        for (name, value) in properties.user_properties.iter() {
            UserProperties::push(&mut user, name, value).expect("invariant: decoded strings fit the wire");
        }
        let kept = Self {
            payload_format: properties.payload_format,
            content_type: properties.content_type.map(Box::from),
            response_topic: properties.response_topic.map(TopicName::to_owned),
            correlation_data: properties.correlation_data.map(Box::from),
            user: user.into_boxed_slice(),
        };
        (!kept.is_empty()).then(|| Box::new(kept))
    }

    const fn is_empty(&self) -> bool {
        self.payload_format.is_none()
            && self.content_type.is_none()
            && self.response_topic.is_none()
            && self.correlation_data.is_none()
            && self.user.is_empty()
    }

    fn borrow(&self) -> PublishProperties<'_> {
        PublishProperties {
            payload_format: self.payload_format,
            content_type: self.content_type.as_deref(),
            response_topic: self.response_topic.as_ref().map(TopicNameBuf::as_ref),
            correlation_data: self.correlation_data.as_deref(),
            user_properties: UserProperties::from_wire(&self.user)
                .expect("invariant: written by UserProperties::push"),
            ..PublishProperties::default()
        }
    }

    fn size(&self) -> usize {
        self.user.len()
            + self.content_type.as_ref().map_or(0, |text| text.len())
            + self
                .response_topic
                .as_ref()
                .map_or(0, |topic| topic.as_str().len())
            + self.correlation_data.as_ref().map_or(0, |data| data.len())
    }
}

/// A message on its way through the router: nothing is copied yet.
#[derive(Clone, Debug)]
pub(crate) struct Publication<'a> {
    pub(crate) topic: TopicName<'a>,
    pub(crate) payload: &'a [u8],
    /// Without topic alias, expiry and subscription identifiers, which are not the publisher's to pass on.
    pub(crate) properties: PublishProperties<'a>,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) expires_at: Option<Instant>,
    /// The serial of the publishing session, for No Local; 0 when there is none.
    pub(crate) publisher: u64,
}

impl Publication<'_> {
    /// About what keeping it would cost, in bytes: its properties are not looked at.
    pub(crate) const fn size_about(&self) -> usize {
        OVERHEAD_BYTES + self.topic.as_str().len() + self.payload.len()
    }

    /// Copies the message, so that it can be kept.
    pub(crate) fn keep(&self, number: u64) -> Arc<Message> {
        Arc::new(Message {
            number,
            publisher: self.publisher,
            topic: self.topic.to_owned(),
            payload: self.payload.into(),
            properties: KeptProperties::of(&self.properties),
            qos: self.qos,
            retain: self.retain,
            expires_at: self.expires_at,
        })
    }
}

//! The thing that is routed: borrowed while it passes through, shared once somebody must keep it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use cloudsignal_core::codec::{Malformed, PublishProperties, UserProperties};
use cloudsignal_core::topic::{TopicName, TopicNameBuf};
use cloudsignal_core::{Instant, Qos};

use crate::wire::Wire;

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

/// A message as a store hands it back: what [`Message`]'s accessors said of it.
#[derive(Clone, Copy, Debug)]
pub struct StoredMessage<'a> {
    /// [`Message::number`].
    pub number: u64,
    /// [`Message::publisher`].
    pub publisher: u64,
    /// [`Message::topic`].
    pub topic: TopicName<'a>,
    /// [`Message::payload`].
    pub payload: &'a [u8],
    /// [`Message::payload_format`].
    pub payload_format: Option<bool>,
    /// [`Message::content_type`].
    pub content_type: Option<&'a str>,
    /// [`Message::response_topic`].
    pub response_topic: Option<TopicName<'a>>,
    /// [`Message::correlation_data`].
    pub correlation_data: Option<&'a [u8]>,
    /// [`Message::user_properties`].
    pub user_properties: &'a [u8],
    /// [`Message::qos`].
    pub qos: Qos,
    /// [`Message::retain`].
    pub retain: bool,
    /// [`Message::expires_at`], on the clock of the organization that it comes back to.
    pub expires_at: Option<Instant>,
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

    /// A message that was stored.
    ///
    /// # Errors
    /// What is wrong when the user properties are not a run of encoded ones.
    pub fn restored(stored: &StoredMessage<'_>) -> Result<Arc<Self>, Malformed> {
        UserProperties::from_wire(stored.user_properties)?;
        let properties = KeptProperties {
            payload_format: stored.payload_format,
            content_type: stored.content_type.map(Box::from),
            response_topic: stored.response_topic.map(TopicName::to_owned),
            correlation_data: stored.correlation_data.map(Box::from),
            user: stored.user_properties.into(),
        };
        Ok(Arc::new(Self {
            number: stored.number,
            publisher: stored.publisher,
            topic: stored.topic.to_owned(),
            payload: stored.payload.into(),
            properties: (!properties.is_empty()).then(|| Box::new(properties)),
            qos: stored.qos,
            retain: stored.retain,
            expires_at: stored.expires_at,
        }))
    }

    /// The serial of the session that published it, for No Local; 0 when there was none.
    #[must_use]
    pub const fn publisher(&self) -> u64 {
        self.publisher
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

    /// Whether it was published to be retained.
    #[must_use]
    pub const fn retain(&self) -> bool {
        self.retain
    }

    /// Whether the payload is said to be UTF-8 text, if anything is said.
    #[must_use]
    pub fn payload_format(&self) -> Option<bool> {
        self.properties.as_ref()?.payload_format
    }

    /// Its content type.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.properties.as_ref()?.content_type.as_deref()
    }

    /// Where answers go.
    #[must_use]
    pub fn response_topic(&self) -> Option<TopicName<'_>> {
        Some(self.properties.as_ref()?.response_topic.as_ref()?.as_ref())
    }

    /// What an answer carries to be told from others.
    #[must_use]
    pub fn correlation_data(&self) -> Option<&[u8]> {
        self.properties.as_ref()?.correlation_data.as_deref()
    }

    /// Its user properties as they are on the wire, one after the other.
    #[must_use]
    pub fn user_properties(&self) -> &[u8] {
        self.properties.as_ref().map_or(&[], |kept| &kept.user)
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
            is_numbered: false,
            wire: None,
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
    /// Whether its publisher will not publish it again once it is stored.
    pub(crate) is_numbered: bool,
    /// The bytes it came as, if they may leave again.
    pub(crate) wire: Option<Wire<'a>>,
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

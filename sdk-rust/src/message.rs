//! A message that has arrived.

use std::fmt;
use std::str::Utf8Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use cloudsignal_core::Qos;
use cloudsignal_core::client::DeliveryId;

use crate::mail::Mail;
use crate::properties::Properties;

/// When a received message counts as dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// When it is dropped, or [`Message::ack`] is called. The default.
    #[default]
    OnDrop,
    /// Only when [`Message::ack`] is called. One that is dropped without it comes again to the next process with this
    /// session; until then it keeps its place among those that may be unacknowledged
    /// ([`Builder::receive_max`](crate::Builder::receive_max)).
    Explicitly,
}

/// A message that has arrived.
///
/// The server hears that it was received when the last clone of it is dropped, and, where several subscriptions wanted it,
/// when all of them are done with it. So an application that is slow slows the server, and loses nothing.
#[derive(Clone)]
pub struct Message {
    content: Arc<Content>,
    acknowledge: Acknowledge,
}

pub(crate) struct Content {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) qos: Qos,
    pub(crate) is_retained: bool,
    pub(crate) is_duplicate: bool,
    pub(crate) properties: Option<Box<Properties>>,
    pub(crate) receipt: Option<Receipt>,
}

/// Tells the driver when it is dropped: the application is done with a message.
pub(crate) struct Receipt {
    delivery: DeliveryId,
    /// Somebody has left it without a word.
    is_left: AtomicBool,
    mail: Arc<Mail>,
}

impl Receipt {
    pub(crate) const fn new(delivery: DeliveryId, mail: Arc<Mail>) -> Self {
        Self {
            delivery,
            is_left: AtomicBool::new(false),
            mail,
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !*self.is_left.get_mut() {
            self.mail.done(self.delivery);
        }
    }
}

impl Message {
    pub(crate) const fn new(content: Arc<Content>) -> Self {
        Self {
            content,
            acknowledge: Acknowledge::OnDrop,
        }
    }

    pub(crate) const fn with(mut self, acknowledge: Acknowledge) -> Self {
        self.acknowledge = acknowledge;
        self
    }

    /// Whether the server waits to hear that it was received.
    pub(crate) fn is_awaited(&self) -> bool {
        self.content.receipt.is_some()
    }

    /// Where it was published.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.content.topic
    }

    /// What was published.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.content.payload
    }

    /// The payload as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.content.payload)
    }

    /// The payload, which is JSON.
    ///
    /// # Errors
    /// When it is not, or not of that shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.content.payload)
    }

    /// How hard the server tried.
    #[must_use]
    pub fn qos(&self) -> Qos {
        self.content.qos
    }

    /// Whether it was published before the subscription, and kept by the server.
    #[must_use]
    pub fn is_retained(&self) -> bool {
        self.content.is_retained
    }

    /// Whether it may have been handed out before. Never so for a message that certainly was not.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.content.is_duplicate
    }

    /// What the payload is, in the publisher's words.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.properties()?.content_type.as_deref()
    }

    /// Where an answer should be published.
    #[must_use]
    pub fn response_topic(&self) -> Option<&str> {
        Some(self.properties()?.response_topic.as_ref()?.as_str())
    }

    /// What an answer has to carry, so that the asker knows it.
    #[must_use]
    pub fn correlation_data(&self) -> Option<&Bytes> {
        self.properties()?.correlation_data.as_ref()
    }

    /// How much longer it makes sense.
    #[must_use]
    pub fn expiry(&self) -> Option<Duration> {
        let secs = self.properties()?.expiry_secs?;
        Some(Duration::from_secs(u64::from(secs)))
    }

    /// User properties as `(name, value)`, in the publisher's order; names may repeat.
    pub fn user_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        let properties = self.properties();
        properties
            .into_iter()
            .flat_map(|properties| properties.user_properties().iter())
    }

    fn properties(&self) -> Option<&Properties> {
        self.content.properties.as_deref()
    }

    /// Says that it is dealt with. What [`Acknowledge::OnDrop`] does by dropping.
    pub fn ack(mut self) {
        self.acknowledge = Acknowledge::OnDrop;
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if let (Acknowledge::Explicitly, Some(receipt)) = (self.acknowledge, &self.content.receipt) {
            receipt.is_left.store(true, Ordering::Release);
        }
    }
}

impl fmt::Debug for Message {
    /// Neither topic nor payload: both may be nobody's business.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Message")
            .field("payload_bytes", &self.content.payload.len())
            .field("qos", &self.content.qos)
            .finish_non_exhaustive()
    }
}

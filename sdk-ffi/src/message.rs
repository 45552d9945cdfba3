//! Messages that go out and come in.

use std::time::Duration;

use cloudsignal::{Client, Publish, Subscribe};

/// How hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum QosLevel {
    /// QoS 0: sent once, never acknowledged.
    AtMostOnce,
    /// QoS 1: acknowledged; may arrive more than once.
    AtLeastOnce,
    /// QoS 2: acknowledged in two steps; arrives exactly once.
    ExactlyOnce,
}

impl From<QosLevel> for cloudsignal::Qos {
    fn from(qos: QosLevel) -> Self {
        match qos {
            QosLevel::AtMostOnce => Self::AtMostOnce,
            QosLevel::AtLeastOnce => Self::AtLeastOnce,
            QosLevel::ExactlyOnce => Self::ExactlyOnce,
        }
    }
}

impl From<cloudsignal::Qos> for QosLevel {
    fn from(qos: cloudsignal::Qos) -> Self {
        match qos {
            cloudsignal::Qos::AtMostOnce => Self::AtMostOnce,
            cloudsignal::Qos::AtLeastOnce => Self::AtLeastOnce,
            cloudsignal::Qos::ExactlyOnce => Self::ExactlyOnce,
        }
    }
}

/// A name and a value that the publisher has chosen. MQTT 5 only.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct UserProperty {
    /// Names may repeat.
    pub name: String,
    /// At most 65 535 bytes, as the name.
    pub value: String,
}

/// A message to publish. What is `None` is not said to the broker; all but the first four needs MQTT 5.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Publication {
    /// Where: a topic without wildcards.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// How hard to try.
    pub qos: QosLevel,
    /// Whether the broker keeps it for later subscribers; with an empty payload it forgets.
    #[uniffi(default = false)]
    pub retain: bool,
    /// How long it makes sense, seconds. It is given up when it could not be sent until then. Default: for ever.
    #[uniffi(default = None)]
    pub expiry_secs: Option<u32>,
    /// What the payload is, as `application/json`.
    #[uniffi(default = None)]
    pub content_type: Option<String>,
    /// Where an answer should be published.
    #[uniffi(default = None)]
    pub response_topic: Option<String>,
    /// What an answer has to carry.
    #[uniffi(default = None)]
    pub correlation_data: Option<Vec<u8>>,
    /// In this order.
    #[uniffi(default = [])]
    pub user_properties: Vec<UserProperty>,
}

impl Publication {
    /// The same for the client. What is wrong with it is said when it is sent.
    pub(crate) fn prepare(self, client: &Client) -> Publish<'_> {
        let mut publish = client.publish(self.topic, self.payload).qos(self.qos.into());
        if self.retain {
            publish = publish.retain();
        }
        if let Some(secs) = self.expiry_secs {
            publish = publish.expiry(Duration::from_secs(secs.into()));
        }
        if let Some(content_type) = self.content_type {
            publish = publish.content_type(content_type);
        }
        if let Some(topic) = self.response_topic {
            publish = publish.response_topic(topic);
        }
        if let Some(data) = self.correlation_data {
            publish = publish.correlation_data(data);
        }
        for property in self.user_properties {
            publish = publish.user_property(&property.name, &property.value);
        }
        publish
    }
}

/// Which retained messages come when a subscription is made. MQTT 5 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum RetainHandling {
    /// All that match.
    SendAtSubscribe,
    /// The same, unless the subscription was there already.
    SendIfNew,
    /// None.
    DoNotSend,
}

/// What to subscribe to. What is `None` has the default that is named.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct SubscribeOptions {
    /// A topic, in which `+` stands for one level and `#` for all that follow.
    pub filter: String,
    /// The highest QoS of its messages.
    pub qos: QosLevel,
    /// Not what this client publishes itself. MQTT 5 only.
    #[uniffi(default = false)]
    pub no_local: bool,
    /// Keeps the retain flag as it was published. MQTT 5 only.
    #[uniffi(default = false)]
    pub retain_as_published: bool,
    /// Which retained messages come first. Default: all. MQTT 5 only.
    #[uniffi(default = None)]
    pub retain_handling: Option<RetainHandling>,
    /// How many QoS 0 messages may wait in the library until they are handed over; then the oldest is dropped, and the
    /// loss is told. What the broker wants to be acknowledged is never dropped. Default: 4 096, and 16 MiB.
    #[uniffi(default = None)]
    pub buffer_messages_max: Option<u32>,
    /// How many messages are handed over before the first of them is done with, at least 1. Default: 256.
    #[uniffi(default = None)]
    pub ahead_messages_max: Option<u32>,
}

/// How many messages are handed over before the first of them is done with, unless a subscription says otherwise.
const AHEAD_MESSAGES_DEFAULT: usize = 256;

impl SubscribeOptions {
    pub(crate) fn ahead_messages(&self) -> usize {
        self.ahead_messages_max
            .map_or(AHEAD_MESSAGES_DEFAULT, |messages| messages.max(1) as usize)
    }

    pub(crate) fn prepare(self, client: &Client) -> Subscribe<'_> {
        let mut subscribe = client.subscribe(self.filter).qos(self.qos.into());
        if self.no_local {
            subscribe = subscribe.no_local();
        }
        if self.retain_as_published {
            subscribe = subscribe.retain_as_published();
        }
        if let Some(handling) = self.retain_handling {
            subscribe = subscribe.retain_handling(match handling {
                RetainHandling::SendAtSubscribe => cloudsignal::RetainHandling::SendAtSubscribe,
                RetainHandling::SendIfNew => cloudsignal::RetainHandling::SendIfNew,
                RetainHandling::DoNotSend => cloudsignal::RetainHandling::DoNotSend,
            });
        }
        if let Some(messages) = self.buffer_messages_max {
            subscribe = subscribe.buffer(messages as usize);
        }
        subscribe
    }
}

/// A message that has arrived.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Message {
    /// Which one: to be named to `done` when it is dealt with. 0 for answers, with which nothing has to be done.
    pub id: u64,
    /// Which subscription has brought it. 0 for answers.
    pub subscription: u64,
    /// Where it was published.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// How hard the broker tried.
    pub qos: QosLevel,
    /// Whether it was published before the subscription, and kept by the broker.
    pub is_retained: bool,
    /// Whether it may have been handed out before. Never so for a message that certainly was not.
    pub is_duplicate: bool,
    /// How much longer it makes sense, seconds, if it ends.
    pub expiry_secs: Option<u32>,
    /// What the payload is, in the publisher's words.
    pub content_type: Option<String>,
    /// Where an answer should be published.
    pub response_topic: Option<String>,
    /// What an answer has to carry, so that the asker knows it.
    pub correlation_data: Option<Vec<u8>>,
    /// In the publisher's order.
    pub user_properties: Vec<UserProperty>,
}

impl Message {
    pub(crate) fn new(id: u64, subscription: u64, message: &cloudsignal::Message) -> Self {
        let expiry = message.expiry().map(|expiry| expiry.as_secs());
        Self {
            id,
            subscription,
            topic: message.topic().to_owned(),
            payload: message.payload().to_vec(),
            qos: message.qos().into(),
            is_retained: message.is_retained(),
            is_duplicate: message.is_duplicate(),
            expiry_secs: expiry.map(|secs| u32::try_from(secs).unwrap_or(u32::MAX)),
            content_type: message.content_type().map(Into::into),
            response_topic: message.response_topic().map(Into::into),
            correlation_data: message.correlation_data().map(|data| data.to_vec()),
            user_properties: message
                .user_properties()
                .map(|(name, value)| UserProperty {
                    name: name.to_owned(),
                    value: value.to_owned(),
                })
                .collect(),
        }
    }
}

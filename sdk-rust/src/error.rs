//! What can go wrong, sorted by the call that says so.

use std::io;
use std::path::PathBuf;

use cloudsignal_core::client::{Closed, SUBSCRIPTIONS_MAX};
use cloudsignal_core::{EncodeError, ReasonCode, TopicError};

use crate::endpoint::UrlError;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A certificate or key cannot be used.
    #[error("{what}{file}: {problem}", file = file.as_ref().map(|it| format!(" {}", it.display())).unwrap_or_default())]
    Certificate {
        /// What it should be.
        what: &'static str,
        /// Where it came from.
        file: Option<PathBuf>,
        /// What is wrong with it.
        problem: String,
    },
    /// The topic of the will is none.
    #[error("the topic of the will {0}")]
    WillTopic(TopicError),
    /// The store cannot be opened or read.
    #[error("the store: {0}")]
    Store(#[source] io::Error),
    /// The server, or whoever issues tokens, will not have this client.
    #[error("{}", closed(*.0))]
    Closed(Closed),
}

/// Why a message is not accepted. Nothing of it is kept then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The topic is none.
    #[error("the topic {0}")]
    Topic(TopicError),
    /// The payload cannot be written down.
    #[error("the payload: {0}")]
    Payload(String),
    /// A property is longer than MQTT can say, or holds U+0000.
    #[error(transparent)]
    Inexpressible(#[from] EncodeError),
    /// The queue is full, and the call was not to wait.
    #[error("the queue of messages to the server is full")]
    QueueFull,
    /// It is larger than the server takes, bytes.
    #[error("a message of {bytes} bytes is larger than the {max} bytes that the server accepts")]
    TooLarge {
        /// With everything that MQTT adds.
        bytes: usize,
        /// What the server takes.
        max: u32,
    },
    /// The server does not do this.
    #[error("the server does not offer {0}")]
    NotOffered(&'static str),
    /// The message that it should answer asks for no answer.
    #[error("the message asks for no answer")]
    NotAsked,
    /// The client is closed. A message that was accepted before is with the store, if there is one.
    #[error("{}", closed(*.0))]
    Closed(Closed),
}

impl From<cloudsignal_core::client::PublishError> for PublishError {
    fn from(error: cloudsignal_core::client::PublishError) -> Self {
        use cloudsignal_core::client::PublishError as Refused;
        match error {
            Refused::QueueFull => Self::QueueFull,
            Refused::TooLarge { bytes, max } => Self::TooLarge { bytes, max },
            Refused::NotOffered(what) => Self::NotOffered(what),
            Refused::Inexpressible(error) => Self::Inexpressible(error),
            Refused::Closed => Self::Closed(Closed::ByCaller),
        }
    }
}

/// Why there is no subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The filter is none.
    #[error("the topic filter {0}")]
    Filter(TopicError),
    /// This many exist already.
    #[error("{SUBSCRIPTIONS_MAX} subscriptions exist already")]
    TooMany,
    /// The server has refused it.
    #[error("the server has refused the subscription: {0}")]
    Refused(ReasonCode),
    /// The client is closed.
    #[error("{}", closed(*.0))]
    Closed(Closed),
}

fn closed(why: Closed) -> String {
    match why {
        Closed::ByCaller => "the client is closed".to_owned(),
        Closed::Refused(reason) => format!("the server has refused the client: {reason}"),
        Closed::TakenOver => "another client has come with the same identifier".to_owned(),
        Closed::TokenRefused => "the token provider has refused a token".to_owned(),
    }
}

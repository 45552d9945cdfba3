//! What handles ask of the driver.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use cloudsignal_core::client::{End, PublishId, SubscriptionId};
use cloudsignal_core::codec::RetainHandling;
use cloudsignal_core::{Qos, TopicFilterBuf, TopicNameBuf};

use super::questions::Reply;
use crate::buffer::Buffer;
use crate::error::SubscribeError;
use crate::promise::Promise;
use crate::properties::Properties;
use crate::subscription::Attached;

/// How many commands wait for the driver, which takes them without waiting for anybody.
pub(crate) const COMMANDS_MAX: usize = 64;
/// How many messages wait on their way to the queue.
pub(crate) const PUBLISHES_MAX: usize = 1_024;

#[derive(Debug)]
pub(crate) enum Command {
    Subscribe {
        wanted: Wanted,
        reply: oneshot::Sender<Result<Attached, SubscribeError>>,
    },
    Unsubscribe {
        id: SubscriptionId,
        buffer: Arc<Buffer>,
        /// When the server has heard.
        reply: oneshot::Sender<()>,
    },
    GiveUp {
        id: PublishId,
        /// Whether there was one.
        reply: oneshot::Sender<bool>,
    },
    Suspend,
    Resume,
    Wake,
    Close {
        end: End,
        /// When the goodbye is out and the store has everything.
        reply: oneshot::Sender<()>,
    },
}

/// What to subscribe to.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) filter: TopicFilterBuf,
    pub(crate) qos: Qos,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) retain_handling: RetainHandling,
    pub(crate) buffer_messages_max: usize,
}

/// What goes to the server in the order of the callers.
#[derive(Debug)]
pub(crate) enum Publishing {
    Message(Outgoing),
    /// A message that wants an answer. Nobody awaits its outcome.
    Question {
        outgoing: Outgoing,
        patience: Duration,
        reply: Reply,
    },
    /// Tell when everything before it is over.
    Flush(oneshot::Sender<()>),
}

/// A message.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) topic: TopicNameBuf,
    pub(crate) payload: Bytes,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) properties: Option<Box<Properties>>,
    pub(crate) promise: Promise,
    pub(crate) patience: Patience,
}

/// What a caller does while the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Waits,
    Refuses,
}

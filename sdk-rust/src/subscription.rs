//! What an application hears.

use std::collections::VecDeque;
use std::future::{IntoFuture, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::{mpsc, oneshot, watch};

use cloudsignal_core::client::{Closed, SubscriptionId};
use cloudsignal_core::codec::RetainHandling;
use cloudsignal_core::{Qos, ReasonCode, TopicFilterBuf};

use crate::buffer::{BUFFER_MESSAGES_DEFAULT, Buffer};
use crate::client::Client;
use crate::driver::{Command, Wanted};
use crate::error::SubscribeError;
use crate::mail::Mail;
use crate::message::{Acknowledge, Message};

/// A subscription that is about to be asked for: see [`Client::subscribe`].
#[derive(Debug)]
#[must_use = "nothing is subscribed to until it is awaited, or begun"]
pub struct Subscribe<'a> {
    client: &'a Client,
    wanted: Result<Wanted, SubscribeError>,
    acknowledge: Acknowledge,
}

impl<'a> Subscribe<'a> {
    pub(crate) fn new(client: &'a Client, filter: impl Into<Box<str>>) -> Self {
        let wanted = TopicFilterBuf::parse(filter).map(|filter| Wanted {
            filter,
            qos: Qos::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
            buffer_messages_max: BUFFER_MESSAGES_DEFAULT,
        });
        Self {
            client,
            wanted: wanted.map_err(SubscribeError::Filter),
            acknowledge: Acknowledge::OnDrop,
        }
    }

    fn wanted(mut self, change: impl FnOnce(&mut Wanted)) -> Self {
        if let Ok(wanted) = &mut self.wanted {
            change(wanted);
        }
        self
    }

    /// The highest QoS of its messages. Default: [`Qos::AtLeastOnce`].
    pub fn qos(self, qos: Qos) -> Self {
        self.wanted(|wanted| wanted.qos = qos)
    }

    /// Not what this client publishes itself. MQTT 5 only.
    pub fn no_local(self) -> Self {
        self.wanted(|wanted| wanted.no_local = true)
    }

    /// Keeps the retain flag as it was published. MQTT 5 only.
    pub fn retain_as_published(self) -> Self {
        self.wanted(|wanted| wanted.retain_as_published = true)
    }

    /// Which retained messages come first. MQTT 5 only.
    pub fn retain_handling(self, handling: RetainHandling) -> Self {
        self.wanted(|wanted| wanted.retain_handling = handling)
    }

    /// How many QoS 0 messages may wait until they are taken, at least 1; then the oldest is dropped. Default: 4 096, and
    /// 16 MiB. What the server wants to be acknowledged is never dropped.
    pub fn buffer(self, messages_max: usize) -> Self {
        self.wanted(|wanted| wanted.buffer_messages_max = messages_max.max(1))
    }

    /// When its messages are acknowledged.
    pub const fn acknowledge(mut self, acknowledge: Acknowledge) -> Self {
        self.acknowledge = acknowledge;
        self
    }

    /// Begins it, and does not wait for the server: what matches comes as soon as there is a connection, and
    /// [`Subscription::granted`] tells what the server says.
    ///
    /// # Errors
    /// Why it is not asked for.
    pub async fn begin(self) -> Result<Subscription, SubscribeError> {
        let (reply, answer) = oneshot::channel();
        let client = self.client;
        let command = Command::Subscribe {
            wanted: self.wanted?,
            reply,
        };
        let closed = || SubscribeError::Closed(client.closed());
        client.commands().send(command).await.map_err(|_| closed())?;
        let attached = answer.await.map_err(|_| closed())??;
        Ok(Subscription {
            near: VecDeque::new(),
            attached,
            acknowledge: self.acknowledge,
            commands: client.commands().clone(),
        })
    }
}

impl<'a> IntoFuture for Subscribe<'a> {
    type Output = Result<Subscription, SubscribeError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut subscription = self.begin().await?;
            subscription.granted().await?;
            Ok(subscription)
        })
    }
}

/// What the server has said to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    Awaited,
    Granted(Qos),
    Refused(ReasonCode),
}

/// Why no message will follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The application has ended it.
    Unsubscribed,
    /// The server has refused it: at once, or when it had lost the session and was asked again.
    Refused(ReasonCode),
    /// The client is closed.
    Closed(Closed),
}

/// The driver's answer to [`Command::Subscribe`]. Dropping it ends the subscription.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) id: SubscriptionId,
    pub(crate) filter: TopicFilterBuf,
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) grant: watch::Receiver<Grant>,
    pub(crate) mail: Arc<Mail>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.mail.left(self.id, Arc::clone(&self.buffer));
    }
}

/// A stream of messages. Dropping it unsubscribes.
///
/// Each message is acknowledged when it is dropped, unless [`Subscribe::acknowledge`] says otherwise. It can be read in
/// the same task that publishes, subscribes and closes: nothing of that waits for it.
#[derive(Debug)]
pub struct Subscription {
    /// Taken from the buffer, and not read.
    near: VecDeque<Message>,
    attached: Attached,
    acknowledge: Acknowledge,
    /// Holds the client while there is somebody to hear it.
    commands: mpsc::Sender<Command>,
}

impl Subscription {
    /// The next message; `None` when there will be none any more, for the reason that [`ended`](Self::ended) tells.
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Option<Message>> {
        let acknowledge = self.acknowledge;
        self.attached
            .buffer
            .poll_next(&mut self.near, cx)
            .map(|message| message.map(|message| message.with(acknowledge)))
    }

    /// Its filter.
    #[must_use]
    pub fn filter(&self) -> &str {
        self.attached.filter.as_str()
    }

    /// Waits for the server's word: the highest QoS of its messages.
    ///
    /// # Errors
    /// When the server refuses it, or the client is closed before.
    pub async fn granted(&mut self) -> Result<Qos, SubscribeError> {
        self.grant().await
    }

    /// The same beside the messages: it can be awaited while they are read.
    pub fn grant(&self) -> impl Future<Output = Result<Qos, SubscribeError>> + Send + use<> {
        let mut grant = self.attached.grant.clone();
        let buffer = Arc::clone(&self.attached.buffer);
        async move {
            let answer = grant.wait_for(|grant| *grant != Grant::Awaited).await;
            match answer.map(|grant| *grant) {
                Ok(Grant::Granted(qos)) => Ok(qos),
                Ok(Grant::Refused(reason)) => Err(SubscribeError::Refused(reason)),
                Ok(Grant::Awaited) | Err(_) => Err(match buffer.ended() {
                    Some(Ended::Closed(why)) => SubscribeError::Closed(why),
                    Some(Ended::Refused(reason)) => SubscribeError::Refused(reason),
                    Some(Ended::Unsubscribed) | None => SubscribeError::Closed(Closed::ByCaller),
                }),
            }
        }
    }

    /// Why no message will follow, once that is so.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.attached.buffer.ended()
    }

    /// How many QoS 0 messages were dropped because they were not taken in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.attached.buffer.dropped()
    }

    /// Ends it, and waits until the server has heard of that. Messages that have arrived can still be taken before.
    pub async fn unsubscribe(self) {
        let (reply, done) = oneshot::channel();
        let command = Command::Unsubscribe {
            id: self.attached.id,
            buffer: Arc::clone(&self.attached.buffer),
            reply,
        };
        if self.commands.send(command).await.is_ok() {
            let _closed_instead = done.await;
        }
    }
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll_recv(cx)
    }
}

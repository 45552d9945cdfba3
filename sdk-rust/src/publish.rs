//! A message from the application, and what becomes of it.

use std::future::{IntoFuture, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use cloudsignal_core::client::Outcome;
use cloudsignal_core::{Qos, TopicNameBuf};

use crate::client::Client;
use crate::driver::{Outgoing, Patience, Publishing};
use crate::error::PublishError;
use crate::payload::Payload;
use crate::promise::{Awaited, OutcomeListener, Progress, Promise, promise};
use crate::properties::Properties;

/// A message that is about to be published: see [`Client::publish`].
#[derive(Debug)]
#[must_use = "nothing is published until it is awaited, or sent"]
pub struct Publish<'a> {
    client: &'a Client,
    draft: Result<Draft, PublishError>,
}

#[derive(Debug)]
struct Draft {
    topic: TopicNameBuf,
    payload: Bytes,
    qos: Qos,
    retain: bool,
    properties: Option<Box<Properties>>,
}

impl<'a> Publish<'a> {
    pub(crate) fn new(client: &'a Client, topic: impl Into<Box<str>>, payload: impl Payload) -> Self {
        let content_type = payload.content_type();
        let draft = TopicNameBuf::parse(topic)
            .map_err(PublishError::Topic)
            .and_then(|topic| {
                Ok(Draft {
                    topic,
                    payload: payload.into_bytes()?,
                    qos: Qos::AtLeastOnce,
                    retain: false,
                    properties: None,
                })
            });
        let this = Self { client, draft };
        match content_type {
            Some(content_type) => this.content_type(content_type),
            None => this,
        }
    }

    /// Where it goes, and what is sent: for questions.
    pub(crate) fn into_parts(self) -> (&'a Client, Result<(Outgoing, Ticket), PublishError>) {
        (
            self.client,
            self.draft.map(|draft| draft.prepare(Patience::Refuses)),
        )
    }

    /// It will not be accepted, for this reason.
    pub(crate) fn refuse(mut self, error: PublishError) -> Self {
        self.draft = Err(error);
        self
    }

    fn draft(mut self, change: impl FnOnce(&mut Draft)) -> Self {
        if let Ok(draft) = &mut self.draft {
            change(draft);
        }
        self
    }

    fn properties(self, change: impl FnOnce(&mut Properties)) -> Self {
        self.draft(|draft| change(draft.properties.get_or_insert_default()))
    }

    /// How hard to try. Default: [`Qos::AtLeastOnce`].
    pub fn qos(self, qos: Qos) -> Self {
        self.draft(|draft| draft.qos = qos)
    }

    /// The server keeps it for later subscribers; an empty payload makes it forget.
    pub fn retain(self) -> Self {
        self.draft(|draft| draft.retain = true)
    }

    /// How long it makes sense, to the second. It is given up when it could not be sent until then.
    pub fn expiry(self, expiry: Duration) -> Self {
        let secs = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
        self.properties(|properties| properties.expiry_secs = Some(secs))
    }

    /// What the payload is.
    pub fn content_type(self, content_type: impl Into<Box<str>>) -> Self {
        self.properties(|properties| properties.content_type = Some(content_type.into()))
    }

    /// Where an answer should be published.
    pub fn response_topic(mut self, topic: impl Into<Box<str>>) -> Self {
        match TopicNameBuf::parse(topic) {
            Ok(topic) => self.properties(|properties| properties.response_topic = Some(topic)),
            Err(error) => {
                self.draft = self.draft.and(Err(PublishError::Topic(error)));
                self
            }
        }
    }

    /// What an answer has to carry.
    pub fn correlation_data(self, data: impl Into<Bytes>) -> Self {
        self.properties(|properties| properties.correlation_data = Some(data.into()))
    }

    /// Adds a user property; names may repeat.
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        if let Ok(draft) = &mut self.draft {
            let properties = draft.properties.get_or_insert_default();
            if let Err(error) = properties.add_user(name, value) {
                self.draft = Err(error.into());
            }
        }
        self
    }

    /// Puts it on its way to the queue, and waits only while there is no room. What becomes of it says the [`Ticket`], also
    /// when the server would not take it: too large, or not offered.
    ///
    /// Dropping the future before it is done publishes nothing.
    ///
    /// # Errors
    /// What is wrong with the message itself, or that the client is closed.
    pub async fn send(self) -> Result<Ticket, PublishError> {
        let (outgoing, ticket) = self.draft?.prepare(Patience::Waits);
        let publishing = Publishing::Message(outgoing);
        let is_taken = self.client.publishes().send(publishing).await;
        is_taken.map_err(|_| PublishError::Closed(self.client.closed()))?;
        Ok(ticket)
    }

    /// The same without waiting at all, here or in the queue: the ticket says so when the queue is full.
    ///
    /// # Errors
    /// The same, and [`PublishError::QueueFull`] when even the way there is.
    pub fn try_send(self) -> Result<Ticket, PublishError> {
        let (outgoing, ticket) = self.draft?.prepare(Patience::Refuses);
        let place = place(self.client)?;
        place.send(Publishing::Message(outgoing));
        Ok(ticket)
    }

    /// Puts it on its way to the queue without waiting, and has its end told to a listener of many messages; while the
    /// queue is full it waits on that way, behind those that were sent before. For whoever cannot await, as another language.
    ///
    /// # Errors
    /// What is wrong with the message itself, that the client is closed, and [`PublishError::QueueFull`] when 1 024 messages
    /// wait on the way already: try again when one of them has ended. Then the listener hears nothing of it.
    pub fn try_send_numbered(
        self,
        number: u64,
        listener: Arc<dyn OutcomeListener>,
    ) -> Result<(), PublishError> {
        let draft = self.draft?;
        // The place comes first: a promise that is dropped is heard.
        let place = place(self.client)?;
        let promise = Promise::numbered(number, listener);
        place.send(Publishing::Message(draft.promised(promise, Patience::Waits)));
        Ok(())
    }
}

/// A place on the way to the queue.
fn place(client: &Client) -> Result<mpsc::Permit<'_, Publishing>, PublishError> {
    client.publishes().try_reserve().map_err(|error| match error {
        mpsc::error::TrySendError::Full(()) => PublishError::QueueFull,
        mpsc::error::TrySendError::Closed(()) => PublishError::Closed(client.closed()),
    })
}

impl Draft {
    fn prepare(self, patience: Patience) -> (Outgoing, Ticket) {
        let (promise, awaited) = promise();
        (self.promised(promise, patience), Ticket { awaited })
    }

    fn promised(self, promise: Promise, patience: Patience) -> Outgoing {
        Outgoing {
            topic: self.topic,
            payload: self.payload,
            qos: self.qos,
            retain: self.retain,
            properties: self.properties,
            promise,
            patience,
        }
    }
}

impl<'a> IntoFuture for Publish<'a> {
    type Output = Result<Outcome, PublishError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let client = self.client;
        Box::pin(async move { self.send().await?.await.map_err(|error| client.why(error)) })
    }
}

/// A message that was published, and whose outcome can be awaited. Dropping it takes nothing back.
#[derive(Debug)]
pub struct Ticket {
    awaited: Awaited,
}

impl Ticket {
    /// Waits until the message survives the end of the process: it is in a store that does, or with the server. With
    /// [`MemoryStore`](crate::MemoryStore) that is what the outcome says.
    ///
    /// # Errors
    /// Why it was given up.
    pub async fn stored(&mut self) -> Result<(), PublishError> {
        let is_stored = |progress: &Progress| *progress == Progress::Stored;
        match poll_fn(|cx| self.awaited.poll(cx, is_stored)).await {
            Progress::Ended(Err(error)) => Err(error),
            Progress::Sent | Progress::Stored | Progress::Ended(Ok(_)) => Ok(()),
        }
    }
}

impl Future for Ticket {
    type Output = Result<Outcome, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.awaited.poll(cx, |_| false) {
            Poll::Ready(Progress::Ended(end)) => Poll::Ready(end),
            Poll::Ready(Progress::Sent | Progress::Stored) | Poll::Pending => Poll::Pending,
        }
    }
}

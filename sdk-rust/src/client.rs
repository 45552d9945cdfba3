//! A handle to a client.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use cloudsignal_core::client::{Closed, End, PublishId};

use crate::builder::Builder;
use crate::driver::{Command, Publishing};
use crate::error::{ConnectError, PublishError};
use crate::payload::Payload;
use crate::publish::Publish;
use crate::state::{Event, Events, State};
use crate::subscription::Subscribe;

/// A client of an MQTT server. Clones are handles to the same client.
///
/// It runs in a task of its own and lasts until [`close`](Self::close), or until the last handle and the last
/// [`Subscription`](crate::Subscription) are dropped; then it says goodbye, and what still waits to be sent stays with the
/// store. Lost connections are made again by themselves.
///
/// Every call can be made from anywhere, also where messages are handled: none waits for somebody who reads messages.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) client_id: Box<str>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) publishes: mpsc::Sender<Publishing>,
    pub(crate) states: watch::Receiver<State>,
    /// Weak, so that listeners hear of the end.
    pub(crate) events: broadcast::WeakSender<Event>,
}

impl Client {
    /// A client of the server at a URL: `mqtts://host:8883`, `wss://host/mqtt`, `mqtt://host`, or `ws://host`.
    /// Where nothing else is said the ports are 8883, 443, 1883 and 80, and the path is `/mqtt`.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(url.into())
    }

    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle: Arc::new(handle),
        }
    }

    pub(crate) fn commands(&self) -> &mpsc::Sender<Command> {
        &self.handle.commands
    }

    pub(crate) fn publishes(&self) -> &mpsc::Sender<Publishing> {
        &self.handle.publishes
    }

    /// Why it is closed, if it is.
    pub(crate) fn closed(&self) -> Closed {
        match self.state() {
            State::Closed { why } => why,
            State::Connecting | State::Connected | State::Waiting { .. } | State::Suspended => {
                Closed::ByCaller
            }
        }
    }

    /// The same error with the reason that is known by now.
    pub(crate) fn why(&self, error: PublishError) -> PublishError {
        if let PublishError::Closed(Closed::ByCaller) = error {
            PublishError::Closed(self.closed())
        } else {
            error
        }
    }

    /// Its client identifier.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.handle.client_id
    }

    /// A message to publish, by default at QoS 1.
    ///
    /// Await it for the [`Outcome`](crate::Outcome), which comes when the server has answered; or
    /// [`send`](Publish::send) it and await the ticket later, or never. Messages of one caller leave in their order,
    /// now or as soon as there is a connection.
    pub fn publish(&self, topic: impl Into<Box<str>>, payload: impl Payload) -> Publish<'_> {
        Publish::new(self, topic, payload)
    }

    /// A subscription to ask for, by default at QoS 1. Await it for a stream of messages.
    ///
    /// With a store, a filter that an earlier process has subscribed to goes on with the messages that have come since.
    pub fn subscribe(&self, filter: impl Into<Box<str>>) -> Subscribe<'_> {
        Subscribe::new(self, filter)
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> State {
        *self.handle.states.borrow()
    }

    /// What it is doing, and every change of it; changes that come faster than they are looked at are passed over.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<State> {
        self.handle.states.clone()
    }

    /// Connections with their continuity, and warnings, from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events(match self.handle.events.upgrade() {
            Some(events) => events.subscribe(),
            None => broadcast::channel(1).1,
        })
    }

    /// Waits until the server has accepted it.
    ///
    /// # Errors
    /// When it is closed before.
    pub async fn connected(&self) -> Result<(), ConnectError> {
        let mut states = self.states();
        let is_decided = |state: &State| matches!(state, State::Connected | State::Closed { .. });
        match states.wait_for(is_decided).await.map(|state| *state) {
            Ok(State::Connected) => Ok(()),
            Ok(State::Closed { why }) => Err(ConnectError::Closed(why)),
            Ok(State::Connecting | State::Waiting { .. } | State::Suspended) | Err(_) => {
                Err(ConnectError::Closed(self.closed()))
            }
        }
    }

    /// Waits until everything that was accepted before is answered, and what was published at QoS 0 is written.
    ///
    /// # Errors
    /// When the client is closed before.
    pub async fn flush(&self) -> Result<(), PublishError> {
        let (reply, done) = oneshot::channel();
        let closed = |_| PublishError::Closed(self.closed());
        let is_taken = self.publishes().send(Publishing::Flush(reply)).await;
        is_taken.map_err(|_| PublishError::Closed(self.closed()))?;
        done.await.map_err(closed)
    }

    /// Gives up a message that a [`Warning::Stuck`](crate::Warning::Stuck) has named: its publisher hears
    /// [`Outcome::Indeterminate`](crate::Outcome::Indeterminate), and what waits behind it goes on. Answers whether it was
    /// there, and not on its way just now. One of QoS 2 is not given up: the server may know it.
    pub async fn give_up_message(&self, id: PublishId) -> bool {
        let (reply, answer) = oneshot::channel();
        self.command(Command::GiveUp { id, reply }).await;
        answer.await.unwrap_or(false)
    }

    /// Disconnects; session, subscriptions and queue stay.
    pub async fn suspend(&self) {
        self.command(Command::Suspend).await;
    }

    /// Connects again after [`suspend`](Self::suspend), or at once while it waits for the next attempt.
    pub async fn resume(&self) {
        self.command(Command::Resume).await;
    }

    /// The device has noticed something, as after sleep: what looked like a connection may be dead.
    pub async fn wake(&self) {
        self.command(Command::Wake).await;
    }

    /// Says goodbye, and waits until that is out and the store has everything. The server keeps the session; what still
    /// waits to be sent stays in the store, or is lost if there is none: [`flush`](Self::flush) before.
    pub async fn close(&self) {
        self.end(End::KeepSession).await;
    }

    /// The same, and server and store forget everything.
    pub async fn close_and_forget(&self) {
        self.end(End::ForgetSession).await;
    }

    async fn end(&self, end: End) {
        let (reply, done) = oneshot::channel();
        self.command(Command::Close { end, reply }).await;
        // Somebody else may have closed it, which is as good.
        let _closed_already = done.await;
    }

    async fn command(&self, command: Command) {
        // A client that is closed does nothing.
        let _closed = self.commands().send(command).await;
    }
}

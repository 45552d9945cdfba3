//! What a client is doing, and what an application should know.

use tokio::sync::broadcast;
use tokio::time::Instant;

use cloudsignal_core::client::{Closed, Continuity, Lost, Warning};

/// What a client is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Opening a connection, waiting for a token, or waiting for the server's word.
    Connecting,
    /// The server has accepted the client.
    Connected,
    /// The last attempt failed, or the connection was lost; another attempt follows.
    Waiting {
        /// When.
        until: Instant,
        /// Why.
        why: Lost,
    },
    /// Disconnected by [`Client::suspend`](crate::Client::suspend), until [`Client::resume`](crate::Client::resume).
    Suspended,
    /// Disconnected for good: this client does nothing any more.
    Closed {
        /// Why.
        why: Closed,
    },
}

/// Something that an application should know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The server has accepted the client.
    Connected {
        /// Whether anything may have been missed.
        continuity: Continuity,
    },
    /// The server could not be reached; another attempt follows.
    Unreachable {
        /// What the system says.
        problem: String,
    },
    /// Something to write into a log.
    Warning(Warning),
}

/// How many events wait for somebody who does not listen; then the oldest is forgotten.
pub(crate) const EVENTS_MAX: usize = 64;

/// Events, from the moment on when it was made.
#[derive(Debug)]
pub struct Events(pub(crate) broadcast::Receiver<Event>);

impl Events {
    /// The next one; `None` when the client is closed. Of those that nobody takes, the newest 64 are kept.
    pub async fn recv(&mut self) -> Option<Event> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

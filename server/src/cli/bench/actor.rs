//! A client of a run as a task: it never ends by itself, except by a failure.

use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::link::Link;
use super::publisher::Publisher;
use super::subscriber::Subscriber;
use crate::cli::exit::Failure;

/// A publisher or a subscriber.
pub(super) enum Actor<'a> {
    Publisher(Publisher<'a>),
    Subscriber(Subscriber<'a>),
}

impl Future for Actor<'_> {
    type Output = Result<Infallible, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Publisher(publisher) => publisher.poll_turn(cx),
            Self::Subscriber(subscriber) => subscriber.poll_turn(cx),
        }
    }
}

impl Actor<'_> {
    /// Its connection, to say goodbye on.
    pub(super) fn into_link(self) -> Link {
        match self {
            Self::Publisher(publisher) => publisher.link,
            Self::Subscriber(subscriber) => subscriber.link,
        }
    }
}

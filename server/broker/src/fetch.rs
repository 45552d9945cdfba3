//! Queues that the store keeps: what a session needs soon is in memory, and what comes after it is asked for.
//!
//! ```text
//!   resident, oldest  │  spilled: counted, on disk  │  resident, newest: not stored yet
//!   sent next         │  fetched when its turn comes │  spills when the ticket of its turn is stored
//! ```
//!
//! The machine asks by [`Sink::fetch`](crate::Sink::fetch), at most once at a time for each session; the shell reads
//! what is stored and answers by [`Org::handle_fetched`](crate::Org::handle_fetched), whenever it can. Nothing spills
//! before somebody has said that there is a store: [`Org::handle_storage`](crate::Org::handle_storage).

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::change::{SessionName, Terms};
use crate::message::Message;

/// A question to the store: which deliveries of a session come next?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The session.
    pub session: SessionName,
    /// Those with an order above this one.
    pub after: u64,
    /// Up to this one.
    pub through: u64,
    /// At most so many.
    pub messages_max: usize,
    /// No more of them once they have so many bytes, as [`Message::size`] counts them.
    pub bytes_max: usize,
}

/// Deliveries as they are stored.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// In rising order. One that could not be used is left out.
    pub deliveries: Vec<StoredDelivery>,
    /// Nothing else is stored up to this order: that of the last one that was looked at, or [`Fetch::through`].
    pub through: u64,
}

/// A delivery as it is stored.
#[derive(Clone, Debug)]
pub struct StoredDelivery {
    /// Which of the session's deliveries.
    pub order: u64,
    /// The message.
    pub message: Arc<Message>,
    /// How it is delivered.
    pub terms: Terms,
}

/// The store could not be read. It is asked again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

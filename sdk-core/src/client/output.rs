//! Everything that a client may ask of whoever runs it: a closed list.

use super::message::{Message, Outcome, PublishId};
use super::requests::{RequestId, Unanswered};
use super::state::{Continuity, State, Warning};
use super::subscriptions::SubscriptionId;
use super::token::{AskId, TokenReason};
use crate::{Qos, ReasonCode};

/// One of the connections that a client has opened; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireId(pub u32);

/// Names a moment of the store: everything put and deleted before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Which server a connection goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server<'a> {
    /// The one that the caller knows.
    Configured,
    /// Another one: the configured one has sent the client there, in its own words [MQTT 5, section 4.11].
    Referred(&'a str),
}

/// The name of a record in the store of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Who the client is.
    Identity,
    /// How far the deliveries of the session were acknowledged.
    Mark,
    /// A message on its way to the server.
    Outgoing(u64),
    /// The identifier of a received QoS 2 message that is not released.
    Received(u16),
    /// A subscription.
    Subscription(u32),
}

/// A request to the caller, in the order in which they must be carried out.
#[derive(Debug)]
pub enum Output<'a> {
    /// Open a connection, then say [`Client::handle_opened`](super::Client::handle_opened), or
    /// [`Client::handle_closed`](super::Client::handle_closed) if that fails.
    Dial {
        /// Its name.
        wire: WireId,
        /// Where to.
        to: Server<'a>,
    },
    /// Send these bytes. They are whole packets: on a WebSocket they fit one frame.
    Send {
        /// On this connection.
        wire: WireId,
        /// In this order.
        bytes: &'a [u8],
    },
    /// Close this connection once what it was given is sent. Nothing more is said about it.
    Hangup {
        /// Which.
        wire: WireId,
    },
    /// Ask for a token, then say [`Client::handle_token`](super::Client::handle_token).
    AskToken {
        /// The name of the question.
        ask: AskId,
        /// Why.
        reason: TokenReason,
    },
    /// Keep a record, in place of an earlier one of that key. Only with [`Storage::Durable`](super::Storage).
    Put {
        /// Its name.
        key: Key,
        /// The record.
        record: &'a [u8],
    },
    /// Forget a record. Only with [`Storage::Durable`](super::Storage).
    Delete {
        /// Its name.
        key: Key,
    },
    /// Say [`Client::handle_stored`](super::Client::handle_stored) with this once everything put and deleted so far will
    /// survive. Only with [`Storage::Durable`](super::Storage).
    Sync {
        /// What to say then.
        ticket: Ticket,
    },
    /// The state has changed.
    State(State),
    /// The server has accepted the client. Comes before anything that arrives on the connection.
    Connected {
        /// Whether anything may have been missed.
        continuity: Continuity,
    },
    /// A message.
    Message(Message<'a>),
    /// A published message is safe in the store; [`Output::Published`] comes later. Only with
    /// [`Storage::Durable`](super::Storage).
    Stored {
        /// Which.
        id: PublishId,
    },
    /// What became of a published message.
    Published {
        /// Which.
        id: PublishId,
        /// The end of it.
        outcome: Outcome,
    },
    /// The answer to a question. It is acknowledged.
    Replied {
        /// To which.
        request: RequestId,
        /// What.
        message: Message<'a>,
    },
    /// A question that has no answer, and will have none.
    RequestFailed {
        /// Which.
        request: RequestId,
        /// Why.
        why: Unanswered,
    },
    /// The server has accepted a subscription.
    Subscribed {
        /// Which.
        id: SubscriptionId,
        /// The highest QoS of its messages.
        granted: Qos,
    },
    /// The server has refused a subscription; it is forgotten.
    SubscribeRefused {
        /// Which.
        id: SubscriptionId,
        /// Why.
        reason: ReasonCode,
    },
    /// A subscription has ended.
    Unsubscribed {
        /// Which.
        id: SubscriptionId,
    },
    /// Something to write into a log.
    Warning(Warning),
}

/// Whoever carries the requests out.
///
/// It is called while the client is borrowed: it must not call back, and what may (the application's handlers)
/// has to wait until the call that caused it has returned.
pub trait Sink {
    /// Carries one out, or keeps it for later.
    fn output(&mut self, output: Output<'_>);
}

impl<F: FnMut(Output<'_>)> Sink for F {
    fn output(&mut self, output: Output<'_>) {
        self(output);
    }
}

//! The client for Kotlin, Swift and Python, and for whatever else uniffi speaks.
//!
//! No protocol decision is made here: calls go to `cloudsignal`, and what comes of them goes to one [`Listener`]. No call
//! waits for the network, and nothing asynchronous crosses the border: a call that takes time answers with a number, and
//! an [`Event`] with that number follows. What an application uses is written by hand above this, in each language.
//!
//! | file | holds |
//! |---|---|
//! | `client` | [`NativeClient`]: every call |
//! | `options` | [`ClientOptions`]: how a client is made |
//! | `secret` | [`Secret`]: what no log shows |
//! | `message` | messages that go out and come in |
//! | `event` | [`Event`]: everything that a listener hears, and in which words |
//! | `error` | what can go wrong, sorted by who is to blame |
//! | `listener` | who hears, and how events wait for it |
//! | `receiving` | subscriptions, and how many messages are handed over ahead |
//! | `asking` | questions to other clients, and questions for tokens |
//! | `store` | a store that is written in another language |
//! | `worker` | the thread of a client |
//!
//! # The thread
//! Every client has one thread of its own, `cloudsignal`, with a runtime that needs no other, except for the moments in
//! which a store writes or a name is looked up. One thread per client and not one for all: it ends with its client, so
//! that nothing is left of a client that was closed, which a process that is about to end can rely on. It is also the
//! smaller library: the scheduler for many threads is not in it.
//!
//! # The end
//! [`NativeClient::finish`] says goodbye; [`Listener::on_closed`] is the very last call that the library makes, of
//! its own accord as well when a server has refused the client for good. Then [`NativeClient::join`] waits for the thread,
//! which has nothing left to do. After it nothing of the client runs, and nothing of the other language is called or held,
//! except by the [`NativeClient`] itself until it is let go.
#![deny(missing_docs)]

mod asking;
mod client;
mod error;
mod event;
mod listener;
mod message;
mod options;
mod receiving;
mod secret;
mod store;
#[cfg(test)]
mod tests;
mod worker;

pub use client::NativeClient;
pub use error::{Blame, ClientError, Problem};
pub use event::{
    CloseReason, ConnectionState, Continuity, Ending, Event, LossReason, PublishOutcome, TokenReason, Warning,
};
pub use listener::Listener;
pub use message::{Message, Publication, QosLevel, RetainHandling, SubscribeOptions, UserProperty};
pub use options::{ClientCertificate, ClientOptions, Login, ProtocolVersion, Token, TokenFailure, Will};
pub use secret::Secret;
pub use store::{RecordStore, StoreError, StoredRecord};

uniffi::setup_scaffolding!("cloudsignal");

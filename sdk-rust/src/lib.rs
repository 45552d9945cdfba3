//! An MQTT client for tokio that loses nothing.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use cloudsignal::Client;
//!
//! let client = Client::builder("mqtts://broker.example").password("me@org_example", "secret").connect().await?;
//! let mut orders = client.subscribe("orders/+").await?;
//! client.publish("orders/17", "two of them").await?;
//! while let Some(order) = orders.recv().await {
//!     println!("{}: {}", order.topic(), order.text()?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] keeps its connection: it comes back after every loss, with its session and its subscriptions, and what is
//! published meanwhile waits. Every published message has an [`Outcome`]. A received message is acknowledged when it is
//! dropped, so nothing is lost between the socket and the handler, and a slow handler slows the server.
//!
//! | room | holds |
//! |---|---|
//! | [`Builder`], [`Client`] | how a client is made, and what it can do |
//! | [`Publish`], [`Ticket`], [`OutcomeListener`], [`Payload`], [`Json`] | messages that go out |
//! | [`Subscribe`], [`Subscription`], [`Message`] | messages that come in |
//! | [`Publish::ask`], [`Client::answer`] | questions and answers |
//! | [`State`], [`Event`] | how it is going |
//! | [`TokenProvider`], [`TokenIssuer`] | where logins come from; how a server makes them for its users |
//! | [`Store`], [`FileStore`], [`MemoryStore`] | what survives the process |
//!
//! What the client decides is decided in `cloudsignal-core`, without a socket or a clock; here bytes, time and values are moved.
#![deny(missing_docs)]

/// The examples of the README are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod buffer;
mod builder;
mod client;
mod clock;
mod driver;
mod endpoint;
mod error;
mod issuer;
mod mail;
mod message;
mod payload;
mod promise;
mod properties;
mod publish;
mod request;
mod state;
mod store;
mod subscription;
mod token;
mod transport;

pub use builder::Builder;
pub use client::Client;
pub use endpoint::UrlError;
pub use error::{ConnectError, PublishError, SubscribeError};
pub use issuer::{Grant, IssuedToken, IssuerError, MqttCredentials, Revoke, TokenIssuer, TokenOrder};
pub use message::{Acknowledge, Message};
pub use payload::{Json, Payload};
pub use promise::OutcomeListener;
pub use publish::{Publish, Ticket};
pub use request::RequestError;
pub use state::{Event, Events, State};
pub use store::{Change, FileStore, MemoryStore, RecordKey, Store};
pub use subscription::{Ended, Subscribe, Subscription};
pub use token::{AskToken, Token, TokenProvider};

pub use cloudsignal_core::client::{
    Closed, Continuity, Lost, Outcome, Patience, PublishId, Reconnect, SUBSCRIPTIONS_MAX, SubscriptionId,
    TokenError, TokenReason, Unanswered, Warning,
};
pub use cloudsignal_core::codec::RetainHandling;
pub use cloudsignal_core::{EncodeError, Qos, ReasonCode, TopicError, Version};

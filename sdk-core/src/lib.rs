//! How an MQTT client thinks, and the words that client and broker share.
//!
//! Everything here is pure: bytes, commands and the time come in as arguments,
//! and nothing goes out except return values. There is no socket, clock, file,
//! lock or thread to reach for, because the crate is built without `std`.
//!
//! | room | holds |
//! |---|---|
//! | [`client`] | the client machine: connections, sessions, queues, tokens |
//! | [`codec`] | bytes ⇄ packets of MQTT 3.1, 3.1.1 and 5.0 |
//! | [`topic`] | topic names and filters, and the one definition of "matches" |
//! | [`qos`] | quality of service and protocol version |
//! | [`time`] | the only notion of time the pure crates have |
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod client;
pub mod codec;
pub mod qos;
pub mod time;
pub mod topic;

pub use codec::{DecodeError, Decoded, Decoder, EncodeError, Packet, PacketId, ReasonCode};
pub use qos::{Qos, Version};
pub use time::{Duration, Instant};
pub use topic::{TopicError, TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf};

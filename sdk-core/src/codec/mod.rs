//! Bytes ⇄ packets of MQTT 3.1, 3.1.1 and 5.0, for both roles.
//!
//! One packet type serves all versions. What a version lacks is left out when encoding (properties, most reason
//! codes) and has its default after decoding, so the machines above ask for the version only where behaviour
//! differs. Packets borrow from the bytes they were read from: nothing is copied, and only CONNECT, CONNACK and
//! lists of filters or reason codes allocate (a list at most eight times the bytes of its packet).
//!
//! | file | holds |
//! |---|---|
//! | `frame` | [`Decoder`]: bytes → packets, and the size limit |
//! | `packet` | [`Packet`] and one file for each packet; `encode` on every one |
//! | `property` | MQTT 5 properties: identifiers, duplicates, [`UserProperties`], [`SubscriptionIds`] |
//! | `reason` | [`ReasonCode`]: number ⇄ name |
//! | `error` | [`DecodeError`] and [`EncodeError`], sorted by whose fault it is |
//! | `reader`, `writer` | bounds-checked cursor and its mirror |

mod error;
mod frame;
mod packet;
mod property;
mod reader;
mod reason;
#[cfg(test)]
mod tests;
mod writer;

pub use error::{At, DecodeError, EncodeError, Malformed, ProtocolFault};
pub use frame::{Decoded, Decoder, PACKET_BYTES_MAX};
pub use packet::{
    Ack, AckKind, Auth, ConnAck, Connect, Disconnect, Packet, PacketId, PacketType, Publish, PublishLayout,
    PublishProperties, RetainHandling, SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe, Will,
};
pub use property::{BadSequence, SEQUENCE_DIGITS, SEQUENCE_PROPERTY, SubscriptionIds, UserProperties};
pub use reason::ReasonCode;

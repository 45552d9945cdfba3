//! One packet type for all versions.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod suback;
mod subscribe;
mod unsuback;
mod unsubscribe;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU16;

pub use ack::{Ack, AckKind};
pub use auth::Auth;
pub use connack::ConnAck;
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use publish::{Publish, PublishLayout, PublishProperties};
pub use suback::SubAck;
pub use subscribe::{RetainHandling, Subscribe, SubscribeFilter};
pub use unsuback::UnsubAck;
pub use unsubscribe::Unsubscribe;

use super::{EncodeError, Malformed, writer};
use crate::Version;

/// Packet identifier: never 0 [MQTT-2.2.1-3].
pub type PacketId = NonZeroU16;

/// Control packet type: the upper four bits of the first byte (section 2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// A client asks for a connection.
    Connect = 1,
    /// The server's answer to it.
    ConnAck = 2,
    /// A message.
    Publish = 3,
    /// QoS 1: received.
    PubAck = 4,
    /// QoS 2, part 1: received.
    PubRec = 5,
    /// QoS 2, part 2: release.
    PubRel = 6,
    /// QoS 2, part 3: complete.
    PubComp = 7,
    /// A client subscribes.
    Subscribe = 8,
    /// The server's answer to it.
    SubAck = 9,
    /// A client unsubscribes.
    Unsubscribe = 10,
    /// The server's answer to it.
    UnsubAck = 11,
    /// Are you there?
    PingReq = 12,
    /// I am here.
    PingResp = 13,
    /// The last packet of a connection.
    Disconnect = 14,
    /// A step of an authentication exchange; MQTT 5 only.
    Auth = 15,
}

impl PacketType {
    /// Its name in the specification: `"PUBLISH"`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
    }

    /// The type with this number, or `None` for 0 and above 15.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The first byte of a packet: type and required flags. PUBLISH adds its own.
    pub(super) const fn first_byte(self) -> u8 {
        (self as u8) << 4 | self.required_flags()
    }

    /// Checks the low four bits of the first byte (section 2.1.3).
    pub(super) fn check_flags(self, version: Option<Version>, flags: u8) -> Result<(), Malformed> {
        if self == Self::Publish {
            return publish::Flags::parse(flags).map(|_| ());
        }
        let required = self.required_flags();
        // In 3.1 the packets that have QoS 1 in their flags have DUP too.
        let dup_allowed = version == Some(Version::V31) && required == QOS_1;
        if flags == required || (dup_allowed && flags == required | DUP) {
            Ok(())
        } else {
            Err(Malformed::FixedHeaderFlags { flags }) // [MQTT-2.1.3-1]
        }
    }

    const fn required_flags(self) -> u8 {
        if matches!(self, Self::PubRel | Self::Subscribe | Self::Unsubscribe) {
            QOS_1
        } else {
            0
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Flags of the first byte.
const DUP: u8 = 0b1000;
const QOS_1: u8 = 0b0010;

/// A control packet of any version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// CONNECT.
    Connect(Box<Connect<'a>>),
    /// CONNACK.
    ConnAck(Box<ConnAck<'a>>),
    /// PUBLISH.
    Publish(Publish<'a>),
    /// PUBACK.
    PubAck(Ack<'a>),
    /// PUBREC.
    PubRec(Ack<'a>),
    /// PUBREL.
    PubRel(Ack<'a>),
    /// PUBCOMP.
    PubComp(Ack<'a>),
    /// SUBSCRIBE.
    Subscribe(Subscribe<'a>),
    /// SUBACK.
    SubAck(SubAck<'a>),
    /// UNSUBSCRIBE.
    Unsubscribe(Unsubscribe<'a>),
    /// UNSUBACK.
    UnsubAck(UnsubAck<'a>),
    /// PINGREQ.
    PingReq,
    /// PINGRESP.
    PingResp,
    /// DISCONNECT.
    Disconnect(Disconnect<'a>),
    /// AUTH.
    Auth(Auth<'a>),
}

impl Packet<'_> {
    /// Appends the packet to `out`. What `version` lacks is left out.
    ///
    /// # Errors
    /// Why the packet cannot be expressed; `out` is then as it was.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Connect(connect) => connect.encode(out),
            Self::ConnAck(connack) => connack.encode(version, out),
            Self::Publish(publish) => publish.encode(version, out).map(|_layout| ()),
            Self::PubAck(ack) => ack.encode(AckKind::PubAck, version, out),
            Self::PubRec(ack) => ack.encode(AckKind::PubRec, version, out),
            Self::PubRel(ack) => ack.encode(AckKind::PubRel, version, out),
            Self::PubComp(ack) => ack.encode(AckKind::PubComp, version, out),
            Self::Subscribe(subscribe) => subscribe.encode(version, out),
            Self::SubAck(suback) => suback.encode(version, out),
            Self::Unsubscribe(unsubscribe) => unsubscribe.encode(version, out),
            Self::UnsubAck(unsuback) => unsuback.encode(version, out),
            Self::PingReq | Self::PingResp => {
                writer::header(self.packet_type().first_byte(), 0, out);
                Ok(())
            }
            Self::Disconnect(disconnect) => disconnect.encode(version, out),
            Self::Auth(auth) => auth.encode(version, out),
        }
    }

    /// How many bytes [`encode`](Self::encode) would append, header included.
    ///
    /// # Errors
    /// As `encode`.
    pub fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        match self {
            Self::Connect(connect) => writer::packet_len(&**connect, connect.version),
            Self::ConnAck(connack) => writer::packet_len(&**connack, version),
            Self::Publish(publish) => publish.encoded_len(version),
            Self::PubAck(ack) => ack.encoded_len(AckKind::PubAck, version),
            Self::PubRec(ack) => ack.encoded_len(AckKind::PubRec, version),
            Self::PubRel(ack) => ack.encoded_len(AckKind::PubRel, version),
            Self::PubComp(ack) => ack.encoded_len(AckKind::PubComp, version),
            Self::Subscribe(subscribe) => writer::packet_len(subscribe, version),
            Self::SubAck(suback) => writer::packet_len(suback, version),
            Self::Unsubscribe(unsubscribe) => writer::packet_len(unsubscribe, version),
            Self::UnsubAck(unsuback) => writer::packet_len(unsuback, version),
            Self::PingReq | Self::PingResp => Ok(2),
            Self::Disconnect(disconnect) => writer::packet_len(disconnect, version),
            Self::Auth(auth) => writer::packet_len(auth, version),
        }
    }

    /// Its type.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// Its name in the specification: `"PUBLISH"`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.packet_type().name()
    }
}

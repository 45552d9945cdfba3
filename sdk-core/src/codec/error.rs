//! What went wrong with bytes or packets, sorted by whose fault it is.

use core::fmt;

use super::property::property_name;
use super::{PacketType, ReasonCode};
use crate::topic::TopicError;

/// Why bytes from the peer are not an acceptable packet. The connection cannot go on after any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The peer broke the encoding.
    #[error("{0}")]
    Malformed(At<Malformed>),
    /// The peer encoded well, but said something that the protocol forbids.
    #[error("{0}")]
    Protocol(At<ProtocolFault>),
    /// The topic of a PUBLISH or a will is not a topic name.
    #[error("{packet} at offset {offset}: topic name {fault}", packet = .0.packet, offset = .0.offset, fault = .0.fault)]
    BadTopicName(At<TopicError>),
    /// The topic alias of a PUBLISH is 0 [MQTT-3.3.2-8].
    #[error("PUBLISH at offset {offset}: topic alias is 0")]
    BadTopicAlias {
        /// Where the property begins, in bytes from the start of the packet.
        offset: u32,
    },
    /// The packet type is 0, or is AUTH before MQTT 5.
    #[error("packet type {bits} does not exist in this protocol version")]
    UnknownPacketType {
        /// The upper four bits of the first byte.
        bits: u8,
    },
    /// The packet is larger than we accept; known from its header alone.
    #[error("packet of {bytes} bytes is larger than the limit of {max} bytes")]
    TooLarge {
        /// Size of the whole packet.
        bytes: u32,
        /// What [`Decoder`](super::Decoder) was told to accept.
        max: u32,
    },
    /// A CONNECT asks for a protocol level that we do not speak.
    #[error("protocol level {level} is not supported")]
    UnsupportedVersion {
        /// The level as sent; bridges of other brokers set its highest bit.
        level: u8,
    },
    /// The first packet of a connection is not CONNECT [MQTT-3.1.0-1].
    #[error("the first packet is not CONNECT")]
    NotConnected,
}

impl DecodeError {
    /// The reason code that the answer should carry: a CONNACK when the connection is new, else a DISCONNECT.
    /// Either may carry it.
    #[must_use]
    pub const fn reason(&self) -> ReasonCode {
        match self {
            Self::Malformed(_) | Self::UnknownPacketType { .. } => ReasonCode::MalformedPacket,
            Self::Protocol(_) | Self::NotConnected => ReasonCode::ProtocolError,
            Self::BadTopicName(_) => ReasonCode::TopicNameInvalid,
            Self::BadTopicAlias { .. } => ReasonCode::TopicAliasInvalid,
            Self::TooLarge { .. } => ReasonCode::PacketTooLarge,
            Self::UnsupportedVersion { .. } => ReasonCode::UnsupportedProtocolVersion,
        }
    }
}

/// A fault and where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<F> {
    /// Type of the packet.
    pub packet: PacketType,
    /// Where the faulty field begins, in bytes from the start of the packet.
    pub offset: u32,
    /// What is wrong with it.
    pub fault: F,
}

impl<F: fmt::Display> fmt::Display for At<F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at offset {}: {}", self.packet, self.offset, self.fault)
    }
}

/// How a packet breaks the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A field is longer than what is left of its packet or property block.
    #[error("a field runs past the end")]
    Truncated,
    /// The packet goes on after its last field.
    #[error("{bytes} bytes follow the last field")]
    TrailingBytes {
        /// How many.
        bytes: u32,
    },
    /// The low four bits of the first byte are not what this type requires [MQTT-2.1.3-1].
    #[error("fixed header flags are {flags:#06b}")]
    FixedHeaderFlags {
        /// As sent.
        flags: u8,
    },
    /// PUBLISH, a will or a 3.1.1 SUBSCRIBE asks for QoS 3 [MQTT-3.3.1-4].
    #[error("QoS is 3")]
    Qos3,
    /// A QoS 0 PUBLISH is marked as repeated [MQTT-3.3.1-2].
    #[error("DUP is set at QoS 0")]
    DupAtQos0,
    /// A variable byte integer goes on after its fourth byte (section 1.5.5).
    #[error("a variable byte integer has more than four bytes")]
    VarintTooLong,
    /// A variable byte integer has more bytes than its value needs [MQTT-1.5.5-1].
    #[error("a variable byte integer is longer than its value needs")]
    VarintNotMinimal,
    /// A string is not UTF-8 [MQTT-1.5.4-1].
    #[error("a string is not UTF-8")]
    Utf8,
    /// A string contains U+0000 [MQTT-1.5.4-2].
    #[error("a string contains the character U+0000")]
    NulCharacter,
    /// The packet identifier is 0 [MQTT-2.2.1-3].
    #[error("packet identifier is 0")]
    PacketIdZero,
    /// CONNECT names a protocol other than `MQTT` or `MQIsdp` [MQTT-3.1.2-1].
    #[error("protocol name is neither \"MQTT\" nor \"MQIsdp\"")]
    ProtocolName,
    /// The reserved bit of the connect flags is set [MQTT-3.1.2-3].
    #[error("reserved bit of the connect flags is set")]
    ConnectFlagReserved,
    /// Will QoS or will retain is set without a will [MQTT-3.1.2-11, MQTT-3.1.2-13].
    #[error("will QoS or will retain is set, but there is no will")]
    WillFlags,
    /// Before MQTT 5: a password without a user name (3.1.1 section 3.1.2.9).
    #[error("password without user name")]
    PasswordWithoutUsername,
    /// A reserved bit of the connect acknowledge flags is set [MQTT-3.2.2-1].
    #[error("connect acknowledge flags are {flags:#04x}")]
    ConnAckFlags {
        /// As sent.
        flags: u8,
    },
    /// A reserved bit of the subscription options is set [MQTT-3.8.3-5].
    #[error("subscription options are {options:#04x}")]
    SubscriptionOptions {
        /// As sent.
        options: u8,
    },
    /// The reason or return code does not exist in this packet.
    #[error("reason code {byte:#04x} does not exist in this packet")]
    ReasonCode {
        /// As sent.
        byte: u8,
    },
    /// No property has this identifier (section 2.2.2.2).
    #[error("property {id:#04X} does not exist")]
    UnknownProperty {
        /// As sent.
        id: u8,
    },
    /// The property exists, but not in this packet (section 2.2.2.2).
    #[error("property {id:#04X} ({name}) is not allowed in this packet", name = property_name(*.id))]
    PropertyNotAllowed {
        /// As sent.
        id: u8,
    },
}

/// How a well-encoded packet breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolFault {
    /// A packet that only a client sends, from a server.
    #[error("only a client sends this")]
    OfClient,
    /// A CONNECT that is not the first packet, in a version that we do not speak either (section 3.1).
    #[error("a second CONNECT")]
    SecondConnect,
    /// A property that may be given once is given again.
    #[error("property {id:#04X} ({name}) is given twice", name = property_name(*.id))]
    DuplicateProperty {
        /// Which.
        id: u8,
    },
    /// A property has a value that the specification excludes.
    #[error("property {id:#04X} ({name}) must not be {value}", name = property_name(*.id))]
    PropertyValue {
        /// Which.
        id: u8,
        /// As sent.
        value: u32,
    },
    /// Authentication data without an authentication method.
    #[error("authentication data without an authentication method")]
    AuthDataWithoutMethod,
    /// AUTH without an authentication method.
    #[error("no authentication method")]
    NoAuthMethod,
    /// The response topic is not a topic name [MQTT-3.3.2-14].
    #[error("response topic {0}")]
    ResponseTopic(TopicError),
    /// PUBLISH has neither topic name nor topic alias.
    #[error("neither topic name nor topic alias")]
    NoTopic,
    /// SUBSCRIBE or UNSUBSCRIBE without a filter [MQTT-3.8.3-2, MQTT-3.10.3-2].
    #[error("no topic filter")]
    NoFilters,
    /// SUBACK or UNSUBACK that answers nothing.
    #[error("no reason code")]
    NoReasonCodes,
    /// SUBSCRIBE asks for QoS 3 (section 3.8.3.1).
    #[error("subscription asks for QoS 3")]
    SubscriptionQos3,
    /// SUBSCRIBE with retain handling 3 (section 3.8.3.1).
    #[error("retain handling is 3")]
    RetainHandling3,
    /// No Local on a shared subscription [MQTT-3.8.3-4].
    #[error("No Local is set on a shared subscription")]
    NoLocalOnShared,
    /// CONNACK refuses and says that a session is present [MQTT-3.2.2-6].
    #[error("session present is set on a refusal")]
    SessionPresentOnRefusal,
}

/// Why a packet value cannot be put on the wire. Always our own doing or our caller's, never the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A string or binary field is longer than its two-byte length can say.
    #[error("{field} has {bytes} bytes; the limit is 65535")]
    StringTooLong {
        /// Which field.
        field: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// A string contains U+0000 [MQTT-1.5.4-2].
    #[error("{field} contains the character U+0000")]
    NulCharacter {
        /// Which field.
        field: &'static str,
    },
    /// The packet is larger than [`PACKET_BYTES_MAX`](super::PACKET_BYTES_MAX).
    #[error("packet of {bytes} bytes is larger than MQTT can express")]
    PacketTooLarge {
        /// Size of what follows the fixed header.
        bytes: usize,
    },
    /// The peer's protocol version cannot express it.
    #[error("{0} does not exist in this protocol version")]
    NotInThisVersion(&'static str),
    /// The packet type may not carry this reason code.
    #[error("{packet} may not carry reason code {reason:?}")]
    ReasonNotAllowed {
        /// Type of the packet.
        packet: PacketType,
        /// The reason.
        reason: ReasonCode,
    },
    /// The value breaks a rule of the protocol, so a peer would refuse it.
    #[error("{0}")]
    BreaksRule(&'static str),
}

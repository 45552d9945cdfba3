//! From a byte stream to whole packets: the fixed header, and whether the packet is here and small enough.

use super::{DecodeError, Packet};
use crate::Version;

/// Largest packet that MQTT can express, in bytes: a five-byte header and a remaining length of 268 435 455.
pub const PACKET_BYTES_MAX: u32 = 268_435_460;

/// Takes packets off the front of a byte stream.
///
/// Holds no bytes: the caller keeps what has arrived and offers all of it each time, so a stream may be split
/// anywhere. The state is the protocol version, which the first CONNECT sets, and the size limit.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    version: Option<Version>,
    packet_bytes_max: u32,
}

/// What the front of the stream holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A whole packet.
    Packet {
        /// The packet; it borrows from the offered bytes.
        packet: Packet<'a>,
        /// How many bytes it took. The next packet begins after them.
        bytes: usize,
    },
    /// The beginning of a packet.
    Incomplete {
        /// How many bytes must be there, counted from its first, before asking again can help.
        bytes: usize,
    },
}

impl Decoder {
    /// For a server: the version is unknown until CONNECT, and no other packet may come before it.
    #[must_use]
    pub const fn new(packet_bytes_max: u32) -> Self {
        Self {
            version: None,
            packet_bytes_max,
        }
    }

    /// For a client, which knows the version that it asked for.
    #[must_use]
    pub const fn with_version(version: Version, packet_bytes_max: u32) -> Self {
        Self {
            version: Some(version),
            packet_bytes_max,
        }
    }

    /// The version in use. Known as soon as a CONNECT's protocol level was read, even when the rest of that
    /// packet is refused, so that the refusal can be answered in the peer's own language.
    #[must_use]
    pub const fn version(&self) -> Option<Version> {
        self.version
    }

    /// Changes the largest packet that is accepted, in bytes with its header.
    pub fn set_packet_bytes_max(&mut self, packet_bytes_max: u32) {
        self.packet_bytes_max = packet_bytes_max;
    }

    /// Reads the first packet in `buf`.
    ///
    /// A bad or too large packet is refused as soon as its header shows it, before the caller buffers the rest.
    /// A second CONNECT is handed out like any packet, in its own version, and changes nothing here: refusing it
    /// [MQTT-3.1.0-2] is for whoever knows the connection. Likewise packets that only the other role may send.
    ///
    /// # Errors
    /// What is wrong with the bytes. There is no way to find the next packet after that.
    pub fn decode<'a>(&mut self, _buf: &'a [u8]) -> Result<Decoded<'a>, DecodeError> {
        todo!()
    }
}

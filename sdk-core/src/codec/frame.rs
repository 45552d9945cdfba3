//! From a byte stream to whole packets: the fixed header, and whether the packet is here and small enough.

use super::reader::{Reader, Varint};
use super::{At, Connect, DecodeError, Malformed, Packet, PacketType};
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
    pub fn decode<'a>(&mut self, buf: &'a [u8]) -> Result<Decoded<'a>, DecodeError> {
        let header = match Header::read(buf, self.version)? {
            Ok(header) => header,
            Err(Missing { bytes }) => return Ok(Decoded::Incomplete { bytes }),
        };
        if header.packet_bytes > self.packet_bytes_max {
            return Err(DecodeError::TooLarge {
                bytes: header.packet_bytes,
                max: self.packet_bytes_max,
            });
        }
        let bytes = header.packet_bytes as usize;
        let Some(body) = buf.get(header.bytes..bytes) else {
            return Ok(Decoded::Incomplete { bytes });
        };
        let mut reader = Reader::new(header.packet, body, header.packet_bytes);
        let version = if header.packet == PacketType::Connect {
            let version = Connect::decode_version(&mut reader)?;
            self.version.get_or_insert(version);
            header.check_minimal(version)?;
            version
        } else {
            self.version.ok_or(DecodeError::NotConnected)?
        };
        let packet = Packet::decode(version, header.flags, &mut reader)?;
        reader.finish()?;
        Ok(Decoded::Packet { packet, bytes })
    }
}

/// A fixed header (section 2.1).
struct Header {
    packet: PacketType,
    flags: u8,
    /// Size of the header.
    bytes: usize,
    /// Size of header and body.
    packet_bytes: u32,
    /// Whether the remaining length has its shortest form.
    minimal: bool,
}

/// The header is not there yet; it has at least this many bytes.
struct Missing {
    bytes: usize,
}

impl Header {
    /// Reads and checks as much as there is, so that garbage is refused at its first byte.
    fn read(buf: &[u8], version: Option<Version>) -> Result<Result<Self, Missing>, DecodeError> {
        let Some((&first, rest)) = buf.split_first() else {
            return Ok(Err(Missing { bytes: 2 }));
        };
        let packet = packet_type(first >> 4, version)?;
        let flags = first & 0x0F;
        let malformed = |offset, fault| {
            Err(DecodeError::Malformed(At {
                packet,
                offset,
                fault,
            }))
        };
        if let Err(fault) = packet.check_flags(version, flags) {
            return malformed(0, fault);
        }
        let (remaining, length_bytes, minimal) = match Varint::read(rest) {
            Varint::Value {
                value,
                bytes,
                minimal,
            } => (value, bytes, minimal),
            Varint::Short => return Ok(Err(Missing { bytes: buf.len() + 1 })),
            Varint::TooLong => return malformed(1, Malformed::VarintTooLong),
        };
        let bytes = 1 + length_bytes;
        let header = Self {
            packet,
            flags,
            bytes,
            packet_bytes: remaining + bytes as u32,
            minimal,
        };
        version.map_or(Ok(()), |version| header.check_minimal(version))?;
        Ok(Ok(header))
    }

    /// MQTT 5 wants the shortest form of a length [MQTT-1.5.5-1]; before it, any will do.
    fn check_minimal(&self, version: Version) -> Result<(), DecodeError> {
        if self.minimal || !version.is_v5() {
            return Ok(());
        }
        Err(DecodeError::Malformed(At {
            packet: self.packet,
            offset: 1,
            fault: Malformed::VarintNotMinimal,
        }))
    }
}

fn packet_type(bits: u8, version: Option<Version>) -> Result<PacketType, DecodeError> {
    match (PacketType::from_bits(bits), version) {
        (None, _) | (Some(PacketType::Auth), Some(Version::V31 | Version::V311)) => {
            Err(DecodeError::UnknownPacketType { bits })
        }
        (Some(PacketType::Connect), None) => Ok(PacketType::Connect),
        (Some(_), None) => Err(DecodeError::NotConnected), // [MQTT-3.1.0-1]
        (Some(packet), Some(_)) => Ok(packet),
    }
}

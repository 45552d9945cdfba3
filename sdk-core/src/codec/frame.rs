//! From a byte stream to whole packets: the fixed header, and whether the packet is here and small enough.

use alloc::boxed::Box;

use super::reader::{Reader, Varint};
use super::{
    Ack, At, Auth, ConnAck, Connect, DecodeError, Disconnect, Malformed, Packet, PacketType, ProtocolFault,
    Publish, SubAck, Subscribe, UnsubAck, Unsubscribe,
};
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
    /// (section 3.1) is for whoever knows the connection. Likewise packets that only the other role may send.
    ///
    /// # Errors
    /// What is wrong with the bytes. There is no way to find the next packet after that.
    pub fn decode<'a>(&mut self, buf: &'a [u8]) -> Result<Decoded<'a>, DecodeError> {
        self.decode_as::<false>(buf)
    }

    /// The same for a client: packets that only a client sends are refused. What would read them is then not even built,
    /// which a page that downloads a client is glad of.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_from_server<'a>(&mut self, buf: &'a [u8]) -> Result<Decoded<'a>, DecodeError> {
        self.decode_as::<true>(buf)
    }

    #[inline(always)]
    fn decode_as<'a, const FROM_SERVER: bool>(&mut self, buf: &'a [u8]) -> Result<Decoded<'a>, DecodeError> {
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
        let version = if !FROM_SERVER && header.packet == PacketType::Connect {
            let version = self.connect_version(&mut reader)?;
            header.check_minimal(version)?;
            version
        } else {
            self.version.ok_or(DecodeError::NotConnected)?
        };
        read_fields::<FROM_SERVER>(version, &header, &mut reader)
    }

    /// The version that a CONNECT asks for; the first one on a connection decides how everything else is read.
    fn connect_version(&mut self, packet: &mut Reader<'_>) -> Result<Version, DecodeError> {
        let offset = packet.offset();
        match (Connect::decode_version(packet), self.version) {
            // "Unsupported version" answers the first CONNECT only.
            (Err(DecodeError::UnsupportedVersion { .. }), Some(_)) => {
                Err(packet.protocol_at(offset, ProtocolFault::SecondConnect))
            }
            (version, _) => version.inspect(|version| {
                self.version.get_or_insert(*version);
            }),
        }
    }
}

/// Reads what follows the fixed header; for CONNECT, what follows the protocol level.
///
/// Every arm builds the answer where it ends up: moving a packet from result to result costs more than reading it.
#[inline(always)]
fn read_fields<'a, const FROM_SERVER: bool>(
    version: Version,
    header: &Header,
    r: &mut Reader<'a>,
) -> Result<Decoded<'a>, DecodeError> {
    let bytes = header.packet_bytes as usize;
    match header.packet {
        PacketType::Connect | PacketType::Subscribe | PacketType::Unsubscribe | PacketType::PingReq
            if FROM_SERVER =>
        {
            Err(r.protocol_at(0, ProtocolFault::OfClient))
        }
        PacketType::Connect => whole(Packet::Connect(Box::new(Connect::decode(version, r)?)), r, bytes),
        PacketType::ConnAck => whole(Packet::ConnAck(Box::new(ConnAck::decode(version, r)?)), r, bytes),
        PacketType::Publish => whole(
            Packet::Publish(Publish::decode(version, header.flags, r)?),
            r,
            bytes,
        ),
        PacketType::PubAck => whole(Packet::PubAck(Ack::decode(version, r)?), r, bytes),
        PacketType::PubRec => whole(Packet::PubRec(Ack::decode(version, r)?), r, bytes),
        PacketType::PubRel => whole(Packet::PubRel(Ack::decode(version, r)?), r, bytes),
        PacketType::PubComp => whole(Packet::PubComp(Ack::decode(version, r)?), r, bytes),
        PacketType::Subscribe => whole(Packet::Subscribe(Subscribe::decode(version, r)?), r, bytes),
        PacketType::SubAck => whole(Packet::SubAck(SubAck::decode(version, r)?), r, bytes),
        PacketType::Unsubscribe => whole(Packet::Unsubscribe(Unsubscribe::decode(version, r)?), r, bytes),
        PacketType::UnsubAck => whole(Packet::UnsubAck(UnsubAck::decode(version, r)?), r, bytes),
        PacketType::PingReq => whole(Packet::PingReq, r, bytes),
        PacketType::PingResp => whole(Packet::PingResp, r, bytes),
        PacketType::Disconnect => whole(Packet::Disconnect(Disconnect::decode(version, r)?), r, bytes),
        PacketType::Auth => whole(Packet::Auth(Auth::decode(r)?), r, bytes),
    }
}

/// The packet, if it ends where its last field does.
#[inline(always)]
fn whole<'a>(packet: Packet<'a>, reader: &Reader<'a>, bytes: usize) -> Result<Decoded<'a>, DecodeError> {
    reader.finish()?;
    Ok(Decoded::Packet { packet, bytes })
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

#[cfg(test)]
mod tests {

    use alloc::vec::Vec;

    use super::*;
    use crate::codec::ReasonCode;
    use crate::codec::tests::{V3, VERSIONS, decode, malformed};

    fn incomplete<'a>(bytes: usize) -> Result<Decoded<'a>, DecodeError> {
        Ok(Decoded::Incomplete { bytes })
    }

    #[test]
    fn pings_are_two_bytes() {
        for version in VERSIONS {
            assert_eq!(decode(version, &[0xC0, 0]), Ok(Packet::PingReq));
            assert_eq!(decode(version, &[0xD0, 0]), Ok(Packet::PingResp));
            let refused = malformed(version, &[0xC0, 1, 0]);
            assert_eq!(refused, (2, Malformed::TrailingBytes { bytes: 1 }));
            for (packet, bytes) in [(Packet::PingReq, [0xC0, 0]), (Packet::PingResp, [0xD0, 0])] {
                let mut out = Vec::new();
                packet.encode(version, &mut out).unwrap();
                assert_eq!(out, bytes);
            }
        }
    }

    #[test]
    fn it_says_how_many_bytes_are_needed() {
        let mut decoder = Decoder::with_version(Version::V311, PACKET_BYTES_MAX);
        assert_eq!(decoder.decode(&[]), incomplete(2));
        assert_eq!(decoder.decode(&[0x30]), incomplete(2));
        assert_eq!(decoder.decode(&[0x30, 0x80]), incomplete(3));
        assert_eq!(decoder.decode(&[0x30, 0xFF, 0xFF, 0xFF]), incomplete(5));
        assert_eq!(decoder.decode(&[0x30, 0x80, 0x01]), incomplete(3 + 128));
        assert_eq!(
            decoder.decode(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]),
            incomplete(PACKET_BYTES_MAX as usize)
        );
    }

    #[test]
    fn the_limit_counts_the_whole_packet_and_needs_only_its_header() {
        let mut decoder = Decoder::with_version(Version::V5, 131);
        assert_eq!(decoder.decode(&[0x30, 0x80, 0x01]), incomplete(131));
        let error = decoder.decode(&[0x30, 0x81, 0x01]).unwrap_err();
        assert_eq!(error, DecodeError::TooLarge { bytes: 132, max: 131 });
        assert_eq!(error.reason(), ReasonCode::PacketTooLarge);
        decoder.set_packet_bytes_max(132);
        assert_eq!(decoder.decode(&[0x30, 0x81, 0x01]), incomplete(132));
        let mut decoder = Decoder::new(1000);
        let huge = decoder.decode(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F]);
        assert_eq!(
            huge,
            Err(DecodeError::TooLarge {
                bytes: PACKET_BYTES_MAX,
                max: 1000
            })
        );
    }

    #[test]
    fn what_only_clients_send_is_refused_from_a_server() {
        for packet in [
            &b"\x10\x0D\0\x04MQTT\x05\x02\0\0\0\0\0"[..],
            b"\x82\x07\0\x01\0\0\x01a\0",
            b"\xA2\x06\0\x01\0\0\x01a",
            b"\xC0\0",
        ] {
            let mut decoder = Decoder::with_version(Version::V5, PACKET_BYTES_MAX);
            assert!(decoder.decode(packet).is_ok(), "{packet:02X?}");
            let error = decoder.decode_from_server(packet).unwrap_err();
            assert_eq!(error.reason(), ReasonCode::ProtocolError);
        }
        let pong = Decoder::with_version(Version::V5, PACKET_BYTES_MAX).decode_from_server(&[0xD0, 0]);
        assert!(matches!(pong, Ok(Decoded::Packet { bytes: 2, .. })));
    }

    #[test]
    fn nothing_comes_before_connect() {
        for first in (0x20..=0xF0).step_by(0x10) {
            let error = Decoder::new(PACKET_BYTES_MAX).decode(&[first]).unwrap_err();
            assert_eq!(error, DecodeError::NotConnected); // [MQTT-3.1.0-1]
            assert_eq!(error.reason(), ReasonCode::ProtocolError);
        }
    }

    #[test]
    fn connect_sets_the_version_for_what_follows() {
        let connect = b"\x10\x0D\0\x04MQTT\x05\x02\0\0\0\0\0";
        let bytes = [&connect[..], &[0xE0, 1, 0x8E]].concat();
        let mut decoder = Decoder::new(PACKET_BYTES_MAX);
        assert_eq!(decoder.version(), None);
        let Ok(Decoded::Packet {
            packet: Packet::Connect(_),
            bytes: taken,
        }) = decoder.decode(&bytes)
        else {
            panic!("{bytes:?}")
        };
        assert_eq!(decoder.version(), Some(Version::V5));
        let taken_over = Packet::Disconnect(Disconnect::new(ReasonCode::SessionTakenOver));
        let expected = Decoded::Packet {
            packet: taken_over,
            bytes: 3,
        };
        assert_eq!(decoder.decode(&bytes[taken..]), Ok(expected));
        // A second CONNECT is for the connection's owner to refuse; it must not change how we read.
        let second = b"\x10\x0C\0\x04MQTT\x04\x02\0\0\0\0";
        assert!(matches!(
            decoder.decode(second),
            Ok(Decoded::Packet {
                packet: Packet::Connect(_),
                ..
            })
        ));
        assert_eq!(decoder.version(), Some(Version::V5));
        // One that nobody could read is refused here, for being the second.
        let unreadable = b"\x10\x0C\0\x04MQTT\x06\x02\0\0\0\0";
        let at = At {
            packet: PacketType::Connect,
            offset: 2,
            fault: ProtocolFault::SecondConnect,
        };
        assert_eq!(decoder.decode(unreadable), Err(DecodeError::Protocol(at)));
    }

    #[test]
    fn numbers_and_names_of_packets() {
        let names = [
            "CONNECT",
            "CONNACK",
            "PUBLISH",
            "PUBACK",
            "PUBREC",
            "PUBREL",
            "PUBCOMP",
            "SUBSCRIBE",
            "SUBACK",
            "UNSUBSCRIBE",
            "UNSUBACK",
            "PINGREQ",
            "PINGRESP",
            "DISCONNECT",
            "AUTH",
        ];
        for (bits, name) in (1..).zip(names) {
            let packet = PacketType::from_bits(bits).unwrap();
            assert_eq!((packet as u8, packet.name()), (bits, name));
        }
        assert_eq!(
            (PacketType::from_bits(0), PacketType::from_bits(16)),
            (None, None)
        );
        assert_eq!(Packet::PingReq.name(), "PINGREQ");
    }

    #[test]
    fn type_0_does_not_exist() {
        for version in VERSIONS {
            let error = decode(version, &[0x00, 0]).unwrap_err();
            assert_eq!(error, DecodeError::UnknownPacketType { bits: 0 });
            assert_eq!(error.reason(), ReasonCode::MalformedPacket);
        }
    }

    #[test]
    fn flags_are_fixed_and_checked_at_the_first_byte() {
        // [MQTT-2.1.3-1]
        for version in VERSIONS {
            for bits in (1_u8..15).filter(|bits| *bits != 3) {
                let required = if matches!(bits, 6 | 8 | 10) { 0b0010 } else { 0 };
                for flags in (0..16).filter(|flags| *flags != required) {
                    let dup_of_3_1 = version == Version::V31 && required != 0 && flags == 0b1010;
                    let fault = Malformed::FixedHeaderFlags { flags };
                    let packet = PacketType::from_bits(bits).unwrap();
                    let refused = Err(DecodeError::Malformed(At {
                        packet,
                        offset: 0,
                        fault,
                    }));
                    let expected = if dup_of_3_1 { incomplete(2) } else { refused };
                    let mut decoder = Decoder::with_version(version, PACKET_BYTES_MAX);
                    assert_eq!(
                        decoder.decode(&[bits << 4 | flags]),
                        expected,
                        "{version:?} {packet}"
                    );
                }
            }
        }
        assert!(decode(Version::V31, &[0x6A, 2, 0, 1]).is_ok());
    }

    #[test]
    fn a_length_has_four_bytes_at_most() {
        for version in VERSIONS {
            let refused = malformed(version, &[0xC0, 0x80, 0x80, 0x80, 0x80]);
            assert_eq!(refused, (1, Malformed::VarintTooLong));
        }
    }

    #[test]
    fn a_length_is_as_short_as_can_be_in_mqtt_5() {
        for long in [
            &[0xC0, 0x80, 0x00][..],
            &[0xC0, 0x80, 0x80, 0x00],
            &[0xC0, 0x80, 0x80, 0x80, 0x00],
        ] {
            let refused = malformed(Version::V5, long);
            assert_eq!(refused, (1, Malformed::VarintNotMinimal)); // [MQTT-1.5.5-1]
            for version in V3 {
                assert_eq!(decode(version, long), Ok(Packet::PingReq));
            }
        }
        // The first CONNECT brings its version with it.
        let connect = |level| [&[0x10, 0x8D, 0x00][..], b"\0\x04MQTT", &[level, 2, 0, 0, 0, 0, 0]].concat();
        assert_eq!(
            malformed(Version::V5, &connect(5)),
            (1, Malformed::VarintNotMinimal)
        );
        let mut shorter = connect(4);
        shorter.pop();
        shorter[1] = 0x8C;
        assert!(matches!(decode(Version::V311, &shorter), Ok(Packet::Connect(_))));
    }
}

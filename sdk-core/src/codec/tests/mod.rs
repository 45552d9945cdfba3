//! What the codec's tests share, and the properties that hold for every packet.

mod arbitrary;
mod corpus;
mod properties;

use alloc::vec::Vec;

use super::{At, DecodeError, Decoded, Decoder, Malformed, PACKET_BYTES_MAX, Packet, ProtocolFault};
use crate::Version;

pub(super) const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
pub(super) const V3: [Version; 2] = [Version::V31, Version::V311];

/// Decodes exactly one packet. CONNECT comes first on its connection, anything else later.
pub(super) fn decode(version: Version, bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
    let mut decoder = if bytes.first().is_some_and(|first| first >> 4 == 1) {
        Decoder::new(PACKET_BYTES_MAX)
    } else {
        Decoder::with_version(version, PACKET_BYTES_MAX)
    };
    match decoder.decode(bytes)? {
        Decoded::Packet { packet, bytes: taken } => {
            assert_eq!(taken, bytes.len(), "the packet ends where the bytes end");
            Ok(packet)
        }
        Decoded::Incomplete { bytes: wanted } => panic!("{wanted} bytes wanted, {} given", bytes.len()),
    }
}

pub(super) fn encode(version: Version, packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    packet
        .encode(version, &mut out)
        .expect("the packet can be expressed");
    assert_eq!(packet.encoded_len(version), Ok(out.len()));
    out
}

/// These bytes are this packet, in both directions.
#[track_caller]
pub(super) fn assert_wire(version: Version, bytes: &[u8], packet: &Packet<'_>) {
    assert_eq!(decode(version, bytes).as_ref(), Ok(packet));
    assert_eq!(encode(version, packet), bytes);
}

/// The bytes are refused as malformed: for what, and where.
#[track_caller]
pub(super) fn malformed(version: Version, bytes: &[u8]) -> (u32, Malformed) {
    match decode(version, bytes) {
        Err(DecodeError::Malformed(At { offset, fault, .. })) => (offset, fault),
        other => panic!("malformed expected, not {other:?}"),
    }
}

/// The bytes are refused as a protocol error: for what, and where.
#[track_caller]
pub(super) fn protocol(version: Version, bytes: &[u8]) -> (u32, ProtocolFault) {
    match decode(version, bytes) {
        Err(DecodeError::Protocol(At { offset, fault, .. })) => (offset, fault),
        other => panic!("protocol error expected, not {other:?}"),
    }
}

/// A packet from its first byte and what follows the remaining length.
pub(super) fn frame(first_byte: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = Vec::new();
    super::writer::header(first_byte, u32::try_from(body.len()).unwrap(), &mut out);
    out.extend(body);
    out
}

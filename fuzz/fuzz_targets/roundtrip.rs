//! What was understood can be said again, and is then understood the same; what cannot be said leaves no trace.
//!
//! Input: one byte for the version (3, 4 or 5; anything else waits for CONNECT), then one packet.
#![no_main]

use cloudsignal_core::codec::{PACKET_BYTES_MAX, Publish};
use cloudsignal_core::{Decoded, Decoder, EncodeError, Packet, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [version, bytes @ ..] = input else { return };
    let mut decoder = match version {
        3 => decoder_of(Version::V31),
        4 => decoder_of(Version::V311),
        5 => decoder_of(Version::V5),
        _ => Decoder::new(PACKET_BYTES_MAX),
    };
    let Ok(Decoded::Packet { packet, .. }) = decoder.decode(bytes) else {
        return;
    };
    let version = match &packet {
        Packet::Connect(connect) => connect.version,
        _ => decoder
            .version()
            .expect("only CONNECT comes before the version is known"),
    };
    let mut encoded = vec![0x55; 3];
    match packet.encode(version, &mut encoded) {
        Ok(()) => assert_eq!(decode(version, &encoded[3..]), packet),
        // A filter that is none can be received and refused, but not sent.
        Err(error) => assert_eq!((has_bad_filter(&packet), encoded.len()), (true, 3), "{error}"),
    }
    for other in [Version::V31, Version::V311, Version::V5] {
        translate(&packet, other);
    }
    if let Packet::Publish(publish) = &packet {
        cut(publish, version);
    }
});

fn decoder_of(version: Version) -> Decoder {
    Decoder::with_version(version, PACKET_BYTES_MAX)
}

fn decode(version: Version, bytes: &[u8]) -> Packet<'_> {
    match decoder_of(version).decode(bytes) {
        Ok(Decoded::Packet { packet, bytes: taken }) if taken == bytes.len() => packet,
        other => panic!("{other:?} of our own encoding {bytes:x?}"),
    }
}

/// A peer of another version reads what we send it.
fn translate(packet: &Packet<'_>, version: Version) {
    let mut out = vec![0x55; 3];
    let encoded = packet.encode(version, &mut out);
    assert_eq!(packet.encoded_len(version), encoded.map(|()| out.len() - 3));
    if encoded.is_err() {
        assert_eq!(out, [0x55; 3]);
        assert!(!matches!(encoded, Err(EncodeError::StringTooLong { .. })));
    } else {
        decode(version, &out[3..]);
    }
}

/// Head and payload apart are the same bytes as together.
fn cut(publish: &Publish<'_>, version: Version) {
    let (mut whole, mut parts) = (Vec::new(), Vec::new());
    let layout = publish.encode(version, &mut whole).expect("it was received");
    let head = publish
        .encode_head(version, publish.payload.len(), &mut parts)
        .expect("it was received");
    assert_eq!(
        (head.end, head.payload_at, head.packet_id_at),
        (layout.payload_at, layout.payload_at, layout.packet_id_at)
    );
    parts.extend_from_slice(publish.payload);
    assert_eq!(parts, whole);
    let sent_id = layout
        .packet_id_at
        .map(|at| u16::from_be_bytes([whole[at], whole[at + 1]]));
    assert_eq!(sent_id, publish.packet_id.map(|id| id.get()));
}

fn has_bad_filter(packet: &Packet<'_>) -> bool {
    match packet {
        Packet::Subscribe(subscribe) => subscribe.filters.iter().any(|entry| entry.filter.is_err()),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.filters.iter().any(Result::is_err),
        _ => false,
    }
}

//! Any bytes, split anywhere: decoding answers, asks for no byte too many, and never depends on the split.
//!
//! Input: one byte for the version (3, 4 or 5; anything else waits for CONNECT), one byte that says where the
//! stream is cut, then the stream.
#![no_main]

use cloudsignal_core::codec::PacketType;
use cloudsignal_core::{DecodeError, Decoded, Decoder, Version};
use libfuzzer_sys::fuzz_target;

/// Large enough for any input, small enough that headers run into it.
const PACKET_BYTES_MAX: u32 = 100_000;

fuzz_target!(|input: &[u8]| {
    let [version, cut, stream @ ..] = input else {
        return;
    };
    let mut decoder = match version {
        3 => Decoder::with_version(Version::V31, PACKET_BYTES_MAX),
        4 => Decoder::with_version(Version::V311, PACKET_BYTES_MAX),
        5 => Decoder::with_version(Version::V5, PACKET_BYTES_MAX),
        _ => Decoder::new(PACKET_BYTES_MAX),
    };
    let mut rest = stream;
    loop {
        let early = &rest[..rest.len().min(usize::from(*cut))];
        check_split(decoder, early, rest);
        let answer = if decoder.version().is_some() {
            PacketType::Disconnect
        } else {
            PacketType::ConnAck
        };
        match decoder.decode(rest) {
            Ok(Decoded::Packet { bytes, .. }) => rest = &rest[bytes..],
            Ok(Decoded::Incomplete { bytes }) => {
                assert!(bytes > rest.len() && bytes <= PACKET_BYTES_MAX as usize);
                return;
            }
            Err(error) => return check_error(&error, answer),
        }
    }
});

/// What is decided from the first bytes is not decided otherwise when more arrive.
fn check_split(decoder: Decoder, early: &[u8], whole: &[u8]) {
    let (mut first, mut second) = (decoder, decoder);
    let later = second.decode(whole);
    match first.decode(early) {
        Ok(Decoded::Incomplete { bytes: wanted }) => {
            assert!(wanted > early.len());
            if let Ok(Decoded::Packet { bytes, .. }) = later {
                assert!(wanted <= bytes, "{wanted} bytes wanted for a packet of {bytes}");
            }
        }
        decided => assert_eq!(decided, later),
    }
}

/// The answer can be sent, and an operator can read why.
fn check_error(error: &DecodeError, answer: PacketType) {
    assert!(
        error.reason().is_error() && error.reason().allowed_in(answer),
        "{error}"
    );
    assert!(!error.to_string().is_empty());
}

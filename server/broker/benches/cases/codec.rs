//! Packets read and written.

use std::hint::black_box;

use cloudsignal_core::codec::{Connect, Decoded, Decoder, PACKET_BYTES_MAX, Packet, Publish};
use cloudsignal_core::{TopicName, Version};

use super::{Case, Work};

/// Packets of one call.
const PACKETS: u64 = 64;
const PAYLOAD: [u8; 256] = [b'.'; 256];

pub(super) const CASES: &[Case] = &[
    Case::new("codec/decode-publish", PACKETS, || decoding(&written(&publish()))),
    Case::new("codec/encode-publish", PACKETS, || encoding(publish())),
    Case::new("codec/decode-connect", PACKETS, || decoding(&written(&connect()))),
    Case::new("codec/encode-connect", PACKETS, || encoding(connect())),
];

fn publish() -> Packet<'static> {
    let topic = TopicName::parse("data/sensor-7/temperature").expect("a topic");
    Packet::Publish(Publish::new(topic, &PAYLOAD))
}

fn connect() -> Packet<'static> {
    let mut connect = Connect::new(Version::V5, "sensor-7");
    connect.username = Some("sensor-7@org_k7xm4pqr2n5t");
    connect.password = Some(b"a password of the usual length");
    Packet::Connect(Box::new(connect))
}

fn written(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..PACKETS {
        packet.encode(Version::V5, &mut bytes).expect("a packet");
    }
    bytes
}

fn decoding(bytes: &[u8]) -> Work {
    let bytes = bytes.to_vec();
    Box::new(move || {
        let mut decoder = Decoder::with_version(Version::V5, PACKET_BYTES_MAX);
        let mut at = 0;
        while let Decoded::Packet { packet, bytes: taken } = decoder.decode(&bytes[at..]).expect("a packet") {
            black_box(packet);
            at += taken;
        }
    })
}

fn encoding(packet: Packet<'static>) -> Work {
    let mut bytes = Vec::new();
    Box::new(move || {
        bytes.clear();
        for _ in 0..PACKETS {
            black_box(&packet)
                .encode(Version::V5, &mut bytes)
                .expect("a packet");
        }
    })
}

//! Packets that are none. MQTT 5 is told why; MQTT 3.1.1 has no words for it.

use cloudsignal_tests::packets::publish_v5;
use cloudsignal_tests::wire::hex;

use crate::{broker, client_v5, client_v311};

const MALFORMED: u8 = 0x81;
const PROTOCOL_ERROR: u8 = 0x82;
const TOPIC_FILTER_INVALID: u8 = 0x8F;
const TOPIC_NAME_INVALID: u8 = 0x90;
const TOPIC_ALIAS_INVALID: u8 = 0x94;

/// What is wrong, the bytes, and the reason of the broker's DISCONNECT.
const CASES_V5: [(&str, &[u8], u8); 13] = [
    (
        "PUBLISH with QoS 3",
        &[0x36, 0x06, 0x00, 0x01, b'a', 0x00, 0x01, 0x00],
        MALFORMED,
    ),
    (
        "PUBLISH with QoS 0 and dup",
        &[0x38, 0x04, 0x00, 0x01, b'a', 0x00],
        MALFORMED,
    ),
    (
        "PUBLISH with packet id 0",
        &[0x32, 0x06, 0x00, 0x01, b'a', 0x00, 0x00, 0x00],
        MALFORMED,
    ),
    (
        "PUBLISH to a wildcard",
        &[0x30, 0x04, 0x00, 0x01, b'#', 0x00],
        TOPIC_NAME_INVALID,
    ),
    (
        "PUBLISH without topic and alias",
        &[0x30, 0x03, 0x00, 0x00, 0x00],
        PROTOCOL_ERROR,
    ),
    (
        "topic alias 0",
        &[0x30, 0x07, 0x00, 0x01, b'a', 0x03, 0x23, 0x00, 0x00],
        TOPIC_ALIAS_INVALID,
    ),
    (
        "topic alias 33",
        &[0x30, 0x07, 0x00, 0x01, b'a', 0x03, 0x23, 0x00, 0x21],
        TOPIC_ALIAS_INVALID,
    ),
    (
        "topic with U+0000",
        &[0x30, 0x04, 0x00, 0x01, 0x00, 0x00],
        MALFORMED,
    ),
    (
        "topic that is not UTF-8",
        &[0x30, 0x05, 0x00, 0x02, 0xC3, 0x28, 0x00],
        MALFORMED,
    ),
    (
        "a property twice",
        &[0x30, 0x08, 0x00, 0x01, b'a', 0x04, 0x01, 0x00, 0x01, 0x00],
        PROTOCOL_ERROR,
    ),
    (
        "SUBSCRIBE with wrong flags",
        &[0x80, 0x07, 0x00, 0x01, 0x00, 0x00, 0x01, b'a', 0x00],
        MALFORMED,
    ),
    (
        "SUBSCRIBE without a filter",
        &[0x82, 0x03, 0x00, 0x01, 0x00],
        PROTOCOL_ERROR,
    ),
    ("PUBREL with wrong flags", &[0x60, 0x02, 0x00, 0x01], MALFORMED),
];

#[test]
fn broken_packets_of_mqtt_5_end_the_connection_with_their_reason() {
    let broker = broker();
    for (what, bytes, reason) in CASES_V5 {
        let mut wire = client_v5(&broker, "broken");
        wire.send(bytes);
        let disconnect = wire.packet();
        let got = (disconnect[0], disconnect[2]);
        assert_eq!(got, (0xE0, reason), "{what}: {}", hex(&disconnect));
        wire.expect_end();
    }
}

#[test]
fn wrong_filter_is_refused_alone() {
    let broker = broker();
    let mut wire = client_v5(&broker, "filters");
    // SUBSCRIBE to `a#`, `a/+b` and `ok`.
    wire.send(&[
        0x82, 0x14, 0x00, 0x01, 0x00, // SUBSCRIBE, 20 bytes, packet id 1, no properties
        0x00, 0x02, b'a', b'#', 0x00, //
        0x00, 0x04, b'a', b'/', b'+', b'b', 0x00, //
        0x00, 0x02, b'o', b'k', 0x00,
    ]);
    let suback = wire.packet();
    assert!(
        suback.ends_with(&[TOPIC_FILTER_INVALID, TOPIC_FILTER_INVALID, 0x00]),
        "{}",
        hex(&suback)
    );
    wire.send(&publish_v5(None, b"ok", b"x"));
    wire.expect(&publish_v5(None, b"ok", b"x"));
}

#[test]
fn broken_packets_of_mqtt_311_end_the_connection_in_silence() {
    let broker = broker();
    let cases: [&[u8]; 6] = [
        &[0x36, 0x05, 0x00, 0x01, b'a', 0x00, 0x01], // PUBLISH with QoS 3 [MQTT-3.3.1-4]
        &[0x30, 0x03, 0x00, 0x01, b'+'],             // PUBLISH to a wildcard [MQTT-3.3.2-2]
        &[0x80, 0x06, 0x00, 0x01, 0x00, 0x01, b'a', 0x00], // SUBSCRIBE with wrong flags [MQTT-3.8.1-1]
        &[0x82, 0x06, 0x00, 0x01, 0x00, 0x01, b'a', 0x03], // SUBSCRIBE at QoS 3 [MQTT-3-8.3-4]
        &[0xF0, 0x00],                               // AUTH, which MQTT 3.1.1 does not have
        &[0xC0, 0x01, 0x00],                         // PINGREQ with a body
    ];
    for bytes in cases {
        let mut wire = client_v311(&broker, b"broken");
        wire.send(bytes);
        wire.expect_end();
    }
}

//! CONNECT and its answers.

use cloudsignal_tests::broker::Listener;
use cloudsignal_tests::packets::{
    CONNACK_V3, CONNECT_V5, CONNECT_V31, CONNECT_V311, PINGREQ, PINGRESP, connect_v5, packet,
};
use cloudsignal_tests::wire::{Wire, hex};

use crate::{broker, client_v5};

#[test]
fn every_version_is_answered_in_its_own_words() {
    let broker = broker();
    let addr = broker.addr(Listener::Mqtt);
    for connect in [CONNECT_V31, CONNECT_V311] {
        let mut wire = Wire::connect(addr);
        wire.send(connect);
        wire.expect(CONNACK_V3);
        wire.send(PINGREQ);
        wire.expect(PINGRESP);
    }
    let mut wire = Wire::connect(addr);
    wire.send(CONNECT_V5);
    let connack = wire.packet();
    // CONNACK: no session present, success, and then properties.
    assert!(
        connack[0] == 0x20 && connack[2..4] == [0x00, 0x00],
        "{}",
        hex(&connack)
    );
    let announced: [(&str, &[u8]); 3] = [
        ("receive maximum 256", &[0x21, 0x01, 0x00]),
        ("topic alias maximum 32", &[0x22, 0x00, 0x20]),
        ("maximum packet size 1 MiB", &[0x27, 0x00, 0x10, 0x00, 0x00]),
    ];
    for (what, bytes) in announced {
        assert!(
            connack.windows(bytes.len()).any(|part| part == bytes),
            "{what} is not in {}",
            hex(&connack)
        );
    }
}

#[test]
fn connect_may_come_in_single_bytes_and_more_may_follow_at_once() {
    let broker = broker();
    let addr = broker.addr(Listener::Mqtt);
    let mut wire = Wire::connect(addr);
    for byte in CONNECT_V311 {
        wire.send(&[*byte]);
    }
    wire.expect(CONNACK_V3);
    // Nothing has to wait for CONNACK [MQTT-3.1.4-5].
    let mut wire = Wire::connect(addr);
    wire.send(&[CONNECT_V311, PINGREQ, PINGREQ].concat());
    wire.expect(CONNACK_V3);
    wire.expect(&[PINGRESP, PINGRESP].concat());
}

#[test]
fn unknown_versions_and_names_are_turned_away() {
    let broker = broker();
    let addr = broker.addr(Listener::Mqtt);
    // Version 6: in the words of 3.1.1, which every later client knows, "unacceptable protocol version".
    let mut wire = Wire::connect(addr);
    wire.send(&[
        0x10, 0x0C, 0x00, 0x04, b'M', b'Q', b'T', b'T', 0x06, 0x02, 0x00, 0x00, 0x00, 0x00,
    ]);
    wire.expect(&[0x20, 0x02, 0x00, 0x01]);
    wire.expect_end();
    // Another protocol gets no answer [MQTT-3.1.2-1].
    let mut wire = Wire::connect(addr);
    wire.send(&[
        0x10, 0x0C, 0x00, 0x04, b'M', b'Q', b'X', b'X', 0x04, 0x02, 0x00, 0x00, 0x00, 0x00,
    ]);
    wire.expect_end();
}

#[test]
fn client_without_an_id_is_given_one_where_that_is_possible() {
    let broker = broker();
    let addr = broker.addr(Listener::Mqtt);
    let mut wire = Wire::connect(addr);
    wire.send(&connect_v5("", None));
    let connack = wire.packet();
    // Assigned client identifier is property 0x12.
    assert!(
        connack[3] == 0x00 && connack[5..].contains(&0x12),
        "{}",
        hex(&connack)
    );
    // MQTT 3.1.1 without clean session: identifier rejected [MQTT-3.1.3-8].
    let mut wire = Wire::connect(addr);
    wire.send(&crate::connect_v311(b"", 0x00));
    wire.expect(&[0x20, 0x02, 0x00, 0x02]);
    wire.expect_end();
}

#[test]
fn only_connect_comes_first_and_only_once() {
    let broker = broker();
    for first in [
        PINGREQ,
        &[0xE0, 0x00],
        &[0x30, 0x03, 0x00, 0x01, b'a'],
        CONNACK_V3,
    ] {
        let mut wire = Wire::connect(broker.addr(Listener::Mqtt));
        wire.send(first);
        wire.expect_end();
    }
    let mut wire = client_v5(&broker, "twice");
    wire.send(&connect_v5("twice", None));
    // DISCONNECT: protocol error.
    let disconnect = wire.packet();
    assert_eq!(
        (disconnect[0], disconnect[2]),
        (0xE0, 0x82),
        "{}",
        hex(&disconnect)
    );
    wire.expect_end();
}

#[test]
fn login_is_needed_on_every_listener_but_the_plain_one_and_wrong_ones_are_refused_there_too() {
    let broker = broker();
    let mut wire = Wire::connect(broker.addr(Listener::Mqtt));
    wire.send(&connect_v5("guess", Some(("nobody@org_aaaaaaaaaaaa", "wrong"))));
    let connack = wire.packet();
    assert_eq!((connack[0], connack[3]), (0x20, 0x86), "{}", hex(&connack));
    wire.expect_end();
    // MQTT 3.1.1: flags 0xC2 with user name and password; return code 4.
    let mut wire = Wire::connect(broker.addr(Listener::Mqtt));
    let body = [
        0x00, 0x04, b'M', b'Q', b'T', b'T', 0x04, 0xC2, 0x00, 0x00, // header
        0x00, 0x01, b'g', // client id
        0x00, 0x01, b'u', // user name
        0x00, 0x01, b'p', // password
    ];
    wire.send(&packet(0x10, &body));
    wire.expect(&[0x20, 0x02, 0x00, 0x04]);
    wire.expect_end();
}

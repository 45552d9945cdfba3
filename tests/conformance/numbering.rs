//! Numbered messages (`docs/numbering.md`), over a kill of the broker.

use cloudsignal_tests::broker::{Broker, Listener};
use cloudsignal_tests::packets::{PINGREQ, PINGRESP, field, packet, subscribe_v5};
use cloudsignal_tests::wire::{Wire, hex};

use crate::broker;

/// How the property begins: it is a user property, and its name.
const NAME: &[u8] = b"\x26\x00\x06cs-seq\x00\x10";

fn property(digits: &str) -> Vec<u8> {
    assert_eq!(digits.len(), 16);
    [NAME, digits.as_bytes()].concat()
}

/// The digits in a packet that has the property once.
fn digits(packet: &[u8]) -> String {
    let found = packet
        .windows(NAME.len())
        .enumerate()
        .filter(|(_, it)| *it == NAME);
    let places: Vec<usize> = found.map(|(at, _)| at + NAME.len()).collect();
    assert_eq!(places.len(), 1, "{}", hex(packet));
    let digits = &packet[places[0]..places[0] + 16];
    String::from_utf8(digits.to_vec()).expect("digits are text")
}

/// A client that counts, and whose session lasts. Answers its CONNACK too.
fn counting(broker: &Broker, client_id: &str) -> (Wire, Vec<u8>) {
    let mut properties = vec![0x11, 0xFF, 0xFF, 0xFF, 0xFF]; // session expiry: never
    properties.extend(property("00000000000000e9"));
    let mut body = field(b"MQTT");
    body.extend([0x05, 0x00, 0x00, 0x00]); // version 5, no clean start, no keep alive
    body.push(u8::try_from(properties.len()).expect("short"));
    body.extend(properties);
    body.extend(field(client_id.as_bytes()));
    let mut wire = Wire::connect(broker.addr(Listener::Mqtt));
    wire.send(&packet(0x10, &body));
    let connack = wire.packet();
    assert_eq!((connack[0], connack[3]), (0x20, 0x00), "{}", hex(&connack));
    (wire, connack)
}

/// PUBLISH at QoS 1 with these digits.
fn publish(packet_id: u8, payload: &[u8], digits: &str) -> Vec<u8> {
    let mut body = field(b"x");
    body.extend([0x00, packet_id]);
    let property = property(digits);
    body.push(u8::try_from(property.len()).expect("short"));
    body.extend(property);
    body.extend_from_slice(payload);
    packet(0x32, &body)
}

#[test]
fn qos_1_arrives_once_although_both_connections_and_the_broker_break() {
    let broker = broker();
    let (mut subscriber, connack) = counting(&broker, "subscriber");
    assert_eq!(digits(&connack), "0000000000000000");
    subscriber.send(&subscribe_v5(1, b"x", 0x01));
    assert_eq!(subscriber.packet()[0], 0x90);
    let (mut publisher, _) = counting(&broker, "publisher");
    publisher.send(&publish(1, b"a", "0000000000000001"));
    publisher.expect(&[0x40, 0x02, 0x00, 0x01]);
    let first = subscriber.packet();
    assert!(first[0] == 0x32 && first.ends_with(b"a"), "{}", hex(&first));
    let mut broker = broker;
    broker.kill();
    let broker = broker.start_again();

    // The publisher has not seen its answer, and the subscriber has not sent his.
    let (mut publisher, connack) = counting(&broker, "publisher");
    assert_eq!(connack[2], 0x01, "session present");
    publisher.send(&publish(1, b"a", "0000000000000001"));
    publisher.expect(&[0x40, 0x02, 0x00, 0x01]);
    publisher.send(&publish(2, b"b", "0000000000000002"));
    publisher.expect(&[0x40, 0x02, 0x00, 0x02]);
    let (mut subscriber, connack) = counting(&broker, "subscriber");
    assert!(digits(&connack) > digits(&first), "it is not another session");
    let again = subscriber.packet();
    assert!(again[0] == 0x3A && again.ends_with(b"a"), "{}", hex(&again));
    assert_eq!(digits(&again), digits(&first));
    let second = subscriber.packet();
    assert!(second[0] == 0x32 && second.ends_with(b"b"), "{}", hex(&second));
    assert!(digits(&second) > digits(&first));
    subscriber.send(PINGREQ);
    subscriber.expect(PINGRESP);
}

#[test]
fn a_number_that_is_none_is_a_protocol_error_and_is_named() {
    let broker = broker();
    let (mut publisher, _) = counting(&broker, "publisher");
    publisher.send(&publish(1, b"a", "000000000000000g"));
    let disconnect = publisher.packet();
    assert_eq!(
        (disconnect[0], disconnect[2]),
        (0xE0, 0x82),
        "{}",
        hex(&disconnect)
    );
    assert!(
        disconnect.windows(6).any(|it| it == b"cs-seq"),
        "the reason string names it"
    );
    publisher.expect_end();
}

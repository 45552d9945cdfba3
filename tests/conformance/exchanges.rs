//! One example of each exchange, byte for byte. Packet ids that the broker assigns start at 1 and rise.

use cloudsignal_tests::broker::Listener;
use cloudsignal_tests::packets::{CONNACK_V3, packet};
use cloudsignal_tests::wire::Wire;

use crate::{broker, client_v5, client_v311, connect_v311};

/// SUBSCRIBE to `a` at QoS 2 with packet id 9, in MQTT 3.1.1, and its SUBACK.
const SUBSCRIBE_V311: &[u8] = &[0x82, 0x06, 0x00, 0x09, 0x00, 0x01, b'a', 0x02];
const SUBACK_V311: &[u8] = &[0x90, 0x03, 0x00, 0x09, 0x02];

#[test]
fn qos_0_1_and_2_of_mqtt_311() {
    let broker = broker();
    let mut subscriber = client_v311(&broker, b"sub");
    subscriber.send(SUBSCRIBE_V311);
    subscriber.expect(SUBACK_V311);
    let mut publisher = client_v311(&broker, b"pub");

    // QoS 0
    publisher.send(&[0x30, 0x04, 0x00, 0x01, b'a', b'0']);
    subscriber.expect(&[0x30, 0x04, 0x00, 0x01, b'a', b'0']);

    // QoS 1: PUBLISH and PUBACK on both sides.
    publisher.send(&[0x32, 0x06, 0x00, 0x01, b'a', 0x12, 0x34, b'1']);
    publisher.expect(&[0x40, 0x02, 0x12, 0x34]);
    subscriber.expect(&[0x32, 0x06, 0x00, 0x01, b'a', 0x00, 0x01, b'1']);
    subscriber.send(&[0x40, 0x02, 0x00, 0x01]);

    // QoS 2: PUBLISH, PUBREC, PUBREL, PUBCOMP on both sides.
    publisher.send(&[0x34, 0x06, 0x00, 0x01, b'a', 0x12, 0x34, b'2']);
    publisher.expect(&[0x50, 0x02, 0x12, 0x34]);
    // Sent again before PUBREL, it is acknowledged again and delivered once [MQTT-4.3.3-2].
    publisher.send(&[0x3C, 0x06, 0x00, 0x01, b'a', 0x12, 0x34, b'2']);
    publisher.expect(&[0x50, 0x02, 0x12, 0x34]);
    publisher.send(&[0x62, 0x02, 0x12, 0x34]);
    publisher.expect(&[0x70, 0x02, 0x12, 0x34]);
    subscriber.expect(&[0x34, 0x06, 0x00, 0x01, b'a', 0x00, 0x02, b'2']);
    subscriber.send(&[0x50, 0x02, 0x00, 0x02]);
    subscriber.expect(&[0x62, 0x02, 0x00, 0x02]);
    subscriber.send(&[0x70, 0x02, 0x00, 0x02]);

    // Nothing else has come.
    publisher.send(&[0x30, 0x04, 0x00, 0x01, b'a', b'.']);
    subscriber.expect(&[0x30, 0x04, 0x00, 0x01, b'a', b'.']);
}

#[test]
fn unsubscribe_and_filters_with_wildcards() {
    let broker = broker();
    let mut wire = client_v311(&broker, b"wild");
    // SUBSCRIBE to `+/b` at QoS 0 and `#` at QoS 1; SUBACK grants both.
    wire.send(&[
        0x82, 0x0C, 0x00, 0x01, 0x00, 0x03, b'+', b'/', b'b', 0x00, 0x00, 0x01, b'#', 0x01,
    ]);
    wire.expect(&[0x90, 0x04, 0x00, 0x01, 0x00, 0x01]);
    // One copy, at the higher QoS of the two.
    let mut publisher = client_v311(&broker, b"pub");
    publisher.send(&[0x32, 0x07, 0x00, 0x03, b'a', b'/', b'b', 0x00, 0x05]);
    publisher.expect(&[0x40, 0x02, 0x00, 0x05]);
    wire.expect(&[0x32, 0x07, 0x00, 0x03, b'a', b'/', b'b', 0x00, 0x01]);
    wire.send(&[0x40, 0x02, 0x00, 0x01]);
    // UNSUBSCRIBE from `#`; UNSUBACK.
    wire.send(&[0xA2, 0x05, 0x00, 0x02, 0x00, 0x01, b'#']);
    wire.expect(&[0xB0, 0x02, 0x00, 0x02]);
    wire.send(&[0x30, 0x03, 0x00, 0x01, b'a']);
    wire.send(&[0x30, 0x05, 0x00, 0x03, b'a', b'/', b'b']);
    wire.expect(&[0x30, 0x05, 0x00, 0x03, b'a', b'/', b'b']);
}

#[test]
fn retained_message_of_mqtt_5_comes_as_it_was_left() {
    let broker = broker();
    let mut publisher = client_v5(&broker, "publisher");
    // PUBLISH, retained, QoS 1: topic `a`, packet id 3, content type `t`, user property `k`: `v`, payload `r`.
    let properties = [0x03, 0x00, 0x01, b't', 0x26, 0x00, 0x01, b'k', 0x00, 0x01, b'v'];
    let message = [&[0x00, 0x01, b'a', 0x00, 0x03, 0x0B][..], &properties, b"r"].concat();
    publisher.send(&packet(0x33, &message));
    // PUBACK: no matching subscribers.
    publisher.expect(&[0x40, 0x03, 0x00, 0x03, 0x10]);
    let mut subscriber = client_v5(&broker, "subscriber");
    // SUBSCRIBE to `a` with QoS 1.
    subscriber.send(&[0x82, 0x07, 0x00, 0x01, 0x00, 0x00, 0x01, b'a', 0x01]);
    subscriber.expect(&[0x90, 0x04, 0x00, 0x01, 0x00, 0x01]);
    // The same packet with our first packet id: nothing added, no expiry either.
    let delivered = [&[0x00, 0x01, b'a', 0x00, 0x01, 0x0B][..], &properties, b"r"].concat();
    subscriber.expect(&packet(0x33, &delivered));
}

#[test]
fn will_is_published_when_the_connection_is_lost() {
    let broker = broker();
    let mut witness = client_v311(&broker, b"wit");
    witness.send(SUBSCRIBE_V311);
    witness.expect(SUBACK_V311);
    let connect_with_will = [
        0x10, 0x15, 0x00, 0x04, b'M', b'Q', b'T', b'T', 0x04, // CONNECT, version 4
        0x0E, 0x00, 0x00, // will at QoS 1, clean session; no keep alive
        0x00, 0x01, b'w', // client id
        0x00, 0x01, b'a', // will topic
        0x00, 0x03, b'b', b'y', b'e', // will payload
    ];
    let lost = Wire::open(broker.addr(Listener::Mqtt), &connect_with_will, CONNACK_V3);
    drop(lost);
    witness.expect(&[0x32, 0x08, 0x00, 0x01, b'a', 0x00, 0x01, b'b', b'y', b'e']);
    // With DISCONNECT there is none.
    let mut polite = Wire::open(broker.addr(Listener::Mqtt), &connect_with_will, CONNACK_V3);
    polite.send(&[0xE0, 0x00]);
    polite.expect_end();
    witness.send(&[0x30, 0x04, 0x00, 0x01, b'a', b'.']);
    witness.expect(&[0x30, 0x04, 0x00, 0x01, b'a', b'.']);
}

#[test]
fn session_is_resumed_with_what_was_not_acknowledged_and_what_came_meanwhile() {
    let broker = broker();
    let addr = broker.addr(Listener::Mqtt);
    let stay = connect_v311(b"stay", 0x00);
    let mut wire = Wire::open(addr, &stay, CONNACK_V3);
    wire.send(SUBSCRIBE_V311);
    wire.expect(SUBACK_V311);
    let mut publisher = client_v311(&broker, b"pub");
    publisher.send(&[0x32, 0x06, 0x00, 0x01, b'a', 0x00, 0x01, b'1']);
    publisher.expect(&[0x40, 0x02, 0x00, 0x01]);
    wire.expect(&[0x32, 0x06, 0x00, 0x01, b'a', 0x00, 0x01, b'1']);
    wire.close();
    publisher.send(&[0x32, 0x06, 0x00, 0x01, b'a', 0x00, 0x02, b'2']);
    publisher.expect(&[0x40, 0x02, 0x00, 0x02]);
    // Session present; the first again, as a duplicate with its old id, then the second.
    let mut wire = Wire::open(addr, &stay, &[0x20, 0x02, 0x01, 0x00]);
    wire.expect(&[0x3A, 0x06, 0x00, 0x01, b'a', 0x00, 0x01, b'1']);
    wire.expect(&[0x32, 0x06, 0x00, 0x01, b'a', 0x00, 0x02, b'2']);
}

#[test]
fn second_connection_with_the_same_id_takes_over() {
    let broker = broker();
    let mut first = client_v5(&broker, "same");
    let mut second = client_v5(&broker, "same");
    // DISCONNECT: session taken over [MQTT-3.1.4-3].
    let disconnect = first.packet();
    assert_eq!((disconnect[0], disconnect[2]), (0xE0, 0x8E), "{disconnect:02X?}");
    first.expect_end();
    second.send(&[0xC0, 0x00]);
    second.expect(&[0xD0, 0x00]);
}

//! Bytes and packets that should not have come: told why as far as the version allows, then closed.

use cloudsignal_core::codec::ReasonCode;

use crate::client::{MessageExt, QOS0, QOS1, message};
use crate::world::World;

#[test]
fn bytes_that_are_not_mqtt_end_the_connection() {
    // [MQTT-4.13.1-1] [MQTT-4.13.2-1] [MQTT-3.14.1-1] [MQTT-2.1.3-1]; 3.1.1 [MQTT-4.8.0-1] [MQTT-2.2.2-2]
    let cases: [(&str, &[u8], ReasonCode); 12] = [
        ("packet type 0", &[0x00, 0], ReasonCode::MalformedPacket),
        ("reserved flags", &[0xC1, 0], ReasonCode::MalformedPacket),
        ("DISCONNECT with flags", &[0xE1, 0], ReasonCode::MalformedPacket),
        (
            "PUBREL without its flag",
            &[0x60, 2, 0, 1],
            ReasonCode::MalformedPacket,
        ),
        (
            "SUBSCRIBE without its flag",
            &[0x80, 6, 0, 1, 0, 0, 0, 0],
            ReasonCode::MalformedPacket,
        ),
        (
            "packet id 0",
            &[0x32, 6, 0, 1, b'x', 0, 0, 0],
            ReasonCode::MalformedPacket,
        ),
        (
            "QoS 3",
            &[0x36, 6, 0, 1, b'x', 0, 1, 0],
            ReasonCode::MalformedPacket,
        ),
        (
            "not UTF-8",
            &[0x30, 4, 0, 1, 0xFF, 0],
            ReasonCode::MalformedPacket,
        ),
        (
            "a wildcard in a topic",
            &[0x30, 4, 0, 1, b'+', 0],
            ReasonCode::TopicNameInvalid,
        ),
        (
            "no topic and no alias",
            &[0x30, 3, 0, 0, 0],
            ReasonCode::ProtocolError,
        ),
        (
            "SUBSCRIBE without a filter",
            &[0x82, 3, 0, 1, 0],
            ReasonCode::ProtocolError,
        ),
        (
            "UNSUBSCRIBE without a filter",
            &[0xA2, 3, 0, 1, 0],
            ReasonCode::ProtocolError,
        ),
    ];
    let world = World::new();
    for (name, bytes, reason) in cases {
        let client = world.connect("a").expiry(10).go();
        client.send_bytes(bytes);
        println!("{name}");
        client.expect_disconnect(reason);
        let old = world.connect("old").v311().go();
        old.send_bytes(&[0x36, 5, 0, 1, b'x', 0, 1]);
        old.expect_closed(ReasonCode::MalformedPacket);
    }
    assert_eq!(world.counters().faults, 24);
    assert!(world.take_reports().join("\n").contains("Fault"));
}

#[test]
fn packets_that_only_a_broker_sends_end_the_connection() {
    // [MQTT-4.13.1-1]
    let world = World::new();
    let packets: [&[u8]; 4] = [
        &[0x20, 3, 0, 0, 0],
        &[0x90, 4, 0, 1, 0, 0],
        &[0xB0, 4, 0, 1, 0, 0],
        &[0xD0, 0],
    ];
    for bytes in packets {
        let client = world.client("a");
        client.send_bytes(bytes);
        client.expect_disconnect(ReasonCode::ProtocolError);
    }
}

#[test]
fn nothing_behind_a_fault_is_processed() {
    let world = World::new();
    let watcher = world.client("watcher");
    watcher.subscribe("x", QOS0);
    let client = world.client("a");
    let mut bytes = vec![0xC1, 0];
    message("x", "too late")
        .encode(cloudsignal_core::Version::V5, &mut bytes)
        .expect("a PUBLISH");
    client.send_bytes(&bytes);
    watcher.expect_nothing();
}

#[test]
fn nothing_behind_a_goodbye_is_processed() {
    // [MQTT-3.14.4-1]
    let world = World::new();
    let watcher = world.client("watcher");
    watcher.subscribe("x", QOS0);
    let client = world.client("a");
    client.send_bytes(&[0xE0, 0, 0x30, 5, 0, 1, b'x', 0, b'!']);
    watcher.expect_nothing();
}

#[test]
fn a_fault_of_one_client_does_not_touch_another() {
    let world = World::new();
    let (a, b) = (world.client("a"), world.client("b"));
    a.subscribe("x", QOS1);
    b.send_bytes(&[0xFF, 0xFF]);
    world.client("c").publish_it(message("x", "hello").at(QOS1, 1));
    a.expect_publish("x", "hello");
}

#[test]
fn calls_for_connections_that_never_were_do_nothing() {
    let world = World::new();
    world.step(|org, now, tape| {
        let conn = cloudsignal_broker::ConnId(77);
        org.handle_packet(conn, &cloudsignal_core::Packet::PingReq, now, tape);
        org.handle_writable(conn, now, tape);
        org.handle_closed(conn, now, tape);
        org.handle_decode_error(conn, &cloudsignal_core::DecodeError::NotConnected, now, tape);
        org.handle_stored(cloudsignal_broker::Ticket(99), now, tape);
        org.handle_timeout(now, tape);
    });
    assert_eq!(
        world.counters(),
        cloudsignal_broker::counters::Counters::default()
    );
}

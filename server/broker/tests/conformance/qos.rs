//! QoS 1 and 2 in both directions: acknowledgements, packet identifiers, redelivery.

use cloudsignal_core::codec::{Ack, ReasonCode};
use cloudsignal_core::{Packet, Version};

use crate::client::{Client, MessageExt, QOS0, QOS1, QOS2, id, message};
use crate::world::World;

/// A client that keeps its session, subscribed to everything at QoS 2.
fn reader(world: &World) -> Client {
    let client = world.connect("reader").resume().expiry(1_000).go();
    client.subscribe("#", QOS2);
    client
}

fn back(world: &World) -> Client {
    let (client, connack) = world.connect("reader").resume().expiry(1_000).go_and_see();
    assert!(connack.session_present);
    client
}

#[test]
fn qos_0_is_sent_once_and_never_acknowledged() {
    // [MQTT-4.3.1-1] [MQTT-3.3.1-2] [MQTT-2.2.1-2]
    let world = World::new();
    let (a, b) = (reader(&world), world.client("b"));
    b.publish("x", "hello");
    b.expect_nothing();
    let publish = a.expect_publish("x", "hello");
    assert_eq!((publish.qos, publish.dup, publish.packet_id), (QOS0, false, None));
    a.cut();
    back(&world).expect_nothing();
}

#[test]
fn qos_1_is_acknowledged_with_its_own_identifier() {
    // [MQTT-3.3.4-1] [MQTT-4.3.2-4] [MQTT-2.2.1-5] [MQTT-3.4.2-1]; 3.1.1 [MQTT-4.3.2-2]
    let world = World::new();
    let client = world.client("a");
    assert_eq!(
        client.publish_qos1("x", "hello", 7),
        ReasonCode::NoMatchingSubscribers
    );
    reader(&world);
    assert_eq!(client.publish_qos1("x", "hello", 0xFFFF), ReasonCode::Success);
}

#[test]
fn an_identifier_is_free_again_after_puback() {
    // [MQTT-4.3.2-5]
    let world = World::new();
    let (a, b) = (reader(&world), world.client("b"));
    b.publish_qos1("x", "one", 7);
    let mut again = message("x", "two").at(QOS1, 7);
    again.dup = true;
    b.publish_it(again);
    b.expect_puback();
    assert_eq!(a.payloads(), ["one", "two"], "DUP or not, it is a new message");
}

#[test]
fn qos_2_goes_in_four_steps() {
    // [MQTT-4.3.3-8] [MQTT-4.3.3-11] [MQTT-3.5.2-1] [MQTT-3.7.2-1] towards the broker,
    // [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.3.3-4] [MQTT-3.6.2-1] from it
    let world = World::new();
    let (a, b) = (reader(&world), world.client("b"));
    b.publish_it(message("x", "hello").at(QOS2, 9));
    let pubrec = b.expect_pubrec();
    assert_eq!((pubrec.packet_id, pubrec.reason), (id(9), ReasonCode::Success));
    b.pubrel(id(9));
    let pubcomp = b.expect_pubcomp();
    assert_eq!((pubcomp.packet_id, pubcomp.reason), (id(9), ReasonCode::Success));

    let publish = a.expect_publish("x", "hello");
    assert_eq!((publish.qos, publish.dup), (QOS2, false));
    let packet_id = publish.packet_id.expect("QoS 2 has one");
    a.pubrec(packet_id);
    let pubrel = a.expect_pubrel();
    assert_eq!(
        (pubrel.packet_id, pubrel.reason),
        (packet_id, ReasonCode::Success)
    );
    a.pubcomp(packet_id);
    a.expect_nothing();
    assert_eq!(world.session("reader").map(|session| session.4), Some(0));
}

#[test]
fn qos_2_arrives_once_however_often_it_is_sent() {
    // [MQTT-4.3.3-10] [MQTT-4.3.3-12]; 3.1.1 [MQTT-4.3.3-2]
    let world = World::new();
    let a = reader(&world);
    for version in [Version::V311, Version::V5] {
        let b = world.connect("b").version(version).go();
        for dup in [false, true, true] {
            let mut publish = message("x", "once").at(QOS2, 9);
            publish.dup = dup;
            b.publish_it(publish);
            assert_eq!(b.expect_pubrec().reason, ReasonCode::Success);
        }
        b.pubrel(id(9));
        b.expect_pubcomp();
        assert_eq!(a.payloads(), ["once"]);
        b.publish_qos2("x", "a new one", 9);
        assert_eq!(a.payloads(), ["a new one"]);
    }
}

#[test]
fn qos_2_arrives_once_across_connections() {
    // [MQTT-4.3.3-10] [MQTT-4.1.0-1]
    let world = World::new();
    let a = reader(&world);
    let connect = || world.connect("b").resume().expiry(100);
    let b = connect().go();
    b.publish_it(message("x", "once").at(QOS2, 9));
    b.expect_pubrec();
    b.cut();
    let b = connect().go();
    let mut again = message("x", "once").at(QOS2, 9);
    again.dup = true;
    b.publish_it(again);
    b.expect_pubrec();
    b.pubrel(id(9));
    b.expect_pubcomp();
    // PUBCOMP was lost as well.
    b.cut();
    let b = connect().go();
    b.pubrel(id(9));
    assert_eq!(b.expect_pubcomp().reason, ReasonCode::PacketIdentifierNotFound);
    assert_eq!(a.payloads(), ["once"]);
}

#[test]
fn a_session_that_ends_forgets_what_it_received() {
    let world = World::new();
    let a = reader(&world);
    let b = world.client("b");
    b.publish_it(message("x", "one").at(QOS2, 9));
    b.cut();
    let b = world.client("b");
    b.publish_it(message("x", "two").at(QOS2, 9));
    assert_eq!(a.payloads(), ["one", "two"]);
}

#[test]
fn identifiers_begin_at_1_and_rise() {
    // [MQTT-2.2.1-4] [MQTT-4.3.2-1] [MQTT-4.3.2-2]
    let world = World::new();
    let (a, b) = (reader(&world), world.client("b"));
    for expected in 1..=5 {
        b.publish_qos1("x", "hello", 1);
        let publish = a.expect_publish("x", "hello");
        assert_eq!((publish.packet_id, publish.dup), (Some(id(expected)), false));
        a.acknowledge(&publish);
    }
}

#[test]
fn identifiers_in_use_are_stepped_over_when_they_wrap() {
    // [MQTT-2.2.1-4] [MQTT-4.3.3-1]
    let world = World::with_limits(|limits| {
        limits.inflight_max = u16::MAX;
        limits.queue_messages_max = 10;
    });
    let a = world.client("reader");
    a.subscribe("#", QOS1);
    let b = world.client("b");
    b.send_many((0..u16::MAX).map(|_| Packet::Publish(message("x", "").at(QOS1, 1))));
    b.read_all();
    let ids: Vec<u16> = a.read_all().iter().map(packet_id_of).collect();
    assert_eq!(ids, (1..=u16::MAX).collect::<Vec<_>>(), "every one is in use");

    b.publish_it(message("x", "waits").at(QOS1, 1));
    a.expect_nothing();
    a.puback(id(40_000));
    let publish = a.expect_publish("x", "waits");
    assert_eq!(publish.packet_id, Some(id(40_000)), "the only free one");
    for freed in [2, 7, 1] {
        a.puback(id(freed));
    }
    for expected in [1, 2, 7] {
        b.publish_it(message("x", "next").at(QOS1, 1));
        let publish = a.expect_publish("x", "next");
        assert_eq!(publish.packet_id, Some(id(expected)), "upwards, then from 1");
    }
}

fn packet_id_of(packet: &Packet<'_>) -> u16 {
    let Packet::Publish(publish) = packet else {
        panic!("PUBLISH expected, not {packet:?}");
    };
    publish.packet_id.expect("QoS 1 has one").get()
}

#[test]
fn what_was_not_acknowledged_is_sent_again_on_the_next_connection_and_only_then() {
    // [MQTT-4.4.0-1] [MQTT-4.3.2-3] [MQTT-4.3.3-3] [MQTT-3.3.1-1] [MQTT-4.6.0-1]; 3.1.1 [MQTT-3.3.1-1] [MQTT-4.4.0-1]
    let world = World::new();
    let (a, b) = (reader(&world), world.client("b"));
    b.publish_qos1("x", "1", 1);
    b.publish_qos2("x", "2", 2);
    b.publish_qos1("y", "3", 3);
    let sent: Vec<_> = a.read_all().iter().map(packet_id_of).collect();
    world.advance_secs(500);
    a.send(&Packet::PingReq);
    a.expect_pingresp();
    a.expect_nothing();
    a.cut();
    b.publish_qos1("x", "4", 4);

    let a = back(&world);
    for (at, (topic, payload)) in [("x", "1"), ("x", "2"), ("y", "3")].into_iter().enumerate() {
        let publish = a.expect_publish(topic, payload);
        assert!(publish.dup);
        assert_eq!(publish.packet_id, Some(id(sent[at])), "under the same identifier");
    }
    let fourth = a.expect_publish("x", "4");
    assert!(!fourth.dup, "it was never sent before");
    assert_eq!(fourth.packet_id, Some(id(4)));
}

#[test]
fn what_was_acknowledged_before_the_resend_is_not_sent() {
    let world = World::new();
    let (a, b) = (world.connect("reader").resume().expiry(9).go(), world.client("b"));
    a.subscribe("#", QOS1);
    for payload in ["1", "2", "3"] {
        b.publish_qos1("x", payload, 1);
    }
    let ids: Vec<_> = a.read_all().iter().map(packet_id_of).collect();
    a.cut();
    // With a quota of one, the client answers before it is asked again.
    let a = world.connect("reader").resume().receive_max(1).go();
    a.expect_publish("x", "1");
    a.expect_nothing();
    a.puback(id(ids[1]));
    a.expect_nothing();
    a.puback(id(ids[0]));
    assert_eq!(a.payloads(), ["3"]);
}

#[test]
fn after_pubrec_only_pubrel_is_repeated() {
    // [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-4.4.0-1]
    let world = World::new();
    let (a, b) = (reader(&world), world.client("b"));
    b.publish_qos2("x", "hello", 1);
    let packet_id = a.expect_publish("x", "hello").packet_id.expect("QoS 2 has one");
    a.pubrec(packet_id);
    a.expect_pubrel();
    a.cut();
    let a = back(&world);
    assert_eq!(a.expect_pubrel().packet_id, packet_id);
    a.expect_nothing();
    a.cut();
    let a = back(&world);
    assert_eq!(a.expect_pubrel().packet_id, packet_id);
    a.pubcomp(packet_id);
    a.cut();
    back(&world).expect_nothing();
}

#[test]
fn pubrel_does_not_wait_for_the_quota() {
    // [MQTT-3.3.4-10] [MQTT-4.9.0-3] [MQTT-4.6.0-4]
    let world = World::new();
    let (a, b) = (reader(&world), world.client("b"));
    for payload in ["1", "2", "3", "4"] {
        b.publish_qos2("x", payload, 1);
    }
    assert_eq!(a.payloads().len(), 4);
    for packet_id in [3, 4] {
        a.pubrec(id(packet_id));
        a.expect_pubrel();
    }
    a.cut();
    let a = world.connect("reader").resume().receive_max(1).go();
    let first = a.expect_publish("x", "1");
    assert_eq!(a.expect_pubrel().packet_id, id(3));
    assert_eq!(a.expect_pubrel().packet_id, id(4));
    a.expect_nothing();
    a.acknowledge(&first);
    a.expect_publish("x", "2");
    a.expect_nothing();
}

#[test]
fn an_acknowledgement_with_an_error_ends_the_exchange() {
    // [MQTT-4.4.0-2] [MQTT-4.3.3-4]
    let world = World::new();
    let (a, b) = (reader(&world), world.client("b"));
    b.publish_qos1("x", "1", 1);
    b.publish_qos2("x", "2", 2);
    let ids: Vec<_> = a.read_all().iter().map(packet_id_of).collect();
    let refusing = |packet_id| Ack::new(id(packet_id), ReasonCode::ImplementationSpecific);
    a.send(&Packet::PubAck(refusing(ids[0])));
    a.send(&Packet::PubRec(refusing(ids[1])));
    a.expect_nothing();
    a.cut();
    back(&world).expect_nothing();
}

#[test]
fn a_publish_refused_by_pubrec_leaves_its_identifier_free() {
    // [MQTT-4.3.3-9]
    let world = World::new();
    let (a, b) = (reader(&world), world.client("b"));
    b.publish_it(message("$SYS/x", "refused").at(QOS2, 9));
    assert_eq!(b.expect_pubrec().reason, ReasonCode::NotAuthorized);
    b.publish_it(message("x", "new").at(QOS2, 9));
    assert_eq!(b.expect_pubrec().reason, ReasonCode::Success);
    assert_eq!(a.payloads(), ["new"]);
}

#[test]
fn expiry_does_not_touch_what_was_sent() {
    // [MQTT-4.3.3-7] [MQTT-4.3.3-13]
    let world = World::new();
    let (a, b) = (reader(&world), world.client("b"));
    b.publish_it(message("x", "hello").at(QOS2, 9).expiring(5));
    assert_eq!(b.expect_pubrec().reason, ReasonCode::Success);
    world.advance_secs(10);
    b.pubrel(id(9));
    assert_eq!(b.expect_pubcomp().reason, ReasonCode::Success);
    a.expect_publish("x", "hello");
    a.cut();
    let a = back(&world);
    let publish = a.expect_publish("x", "hello");
    assert!(publish.dup);
    assert_eq!(publish.properties.message_expiry_secs, Some(0), "none is left");
    a.acknowledge(&publish);
}

#[test]
fn stray_acknowledgements_are_answered_or_ignored() {
    let world = World::new();
    let client = world.client("a");
    client.puback(id(5));
    client.pubcomp(id(5));
    client.expect_nothing();
    client.pubrec(id(5));
    let pubrel = client.expect_pubrel();
    assert_eq!(pubrel.reason, ReasonCode::PacketIdentifierNotFound);
    client.pubrel(id(5));
    let pubcomp = client.expect_pubcomp();
    assert_eq!(pubcomp.reason, ReasonCode::PacketIdentifierNotFound);
    client.send(&Packet::PubRec(Ack::new(id(5), ReasonCode::UnspecifiedError)));
    client.expect_nothing();
    assert_eq!(client.closed(), None);
}

#[test]
fn an_acknowledgement_of_the_wrong_kind_is_a_protocol_error() {
    // [MQTT-4.13.1-1]
    let world = World::new();
    let b = world.client("b");
    type Step = fn(&Client);
    let ways: [(&str, Step); 3] = [
        ("PUBACK for QoS 2", |a| a.puback(id(1))),
        ("PUBREC for QoS 1", |a| a.pubrec(id(2))),
        ("PUBCOMP before PUBREC", |a| a.pubcomp(id(1))),
    ];
    for (name, wrong) in ways {
        let a = world.client("a");
        a.subscribe("#", QOS2);
        b.publish_qos2("x", "1", 1);
        b.publish_qos1("x", "2", 1);
        assert_eq!(a.payloads(), ["1", "2"], "{name}");
        wrong(&a);
        a.expect_disconnect(ReasonCode::ProtocolError);
    }
}

#[test]
fn a_repeated_pubrec_is_answered_again() {
    // [MQTT-4.3.3-4]
    let world = World::new();
    let (a, b) = (reader(&world), world.client("b"));
    b.publish_qos2("x", "hello", 1);
    let packet_id = a.expect_publish("x", "hello").packet_id.expect("QoS 2 has one");
    for _ in 0..2 {
        a.pubrec(packet_id);
        assert_eq!(a.expect_pubrel().packet_id, packet_id);
    }
    a.pubcomp(packet_id);
    a.expect_nothing();
}

#[test]
fn acknowledgements_come_in_the_order_of_the_messages() {
    // [MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT-4.6.0-4]
    let world = World::new();
    reader(&world);
    let b = world.client("b");
    for (packet_id, qos) in [(5, QOS1), (3, QOS2), (4, QOS1), (1, QOS2)] {
        b.publish_it(message("x", "hello").at(qos, packet_id));
    }
    assert_eq!(b.expect_puback().packet_id, id(5));
    assert_eq!(b.expect_pubrec().packet_id, id(3));
    assert_eq!(b.expect_puback().packet_id, id(4));
    assert_eq!(b.expect_pubrec().packet_id, id(1));
}

#[test]
fn messages_of_one_publisher_keep_their_order() {
    // [MQTT-4.6.0-5] [MQTT-4.6.0-6]
    let world = World::new();
    let a = world.connect("reader").resume().expiry(100).receive_max(2).go();
    a.subscribe("#", QOS1);
    let b = world.client("b");
    let send = |number: u16| {
        if number.is_multiple_of(3) {
            b.publish("x", number.to_string());
        } else {
            b.publish_qos1("x", number.to_string(), 1);
        }
    };
    (1..10).for_each(send);
    let mut got = Vec::new();
    while let Some(Packet::Publish(publish)) = a.read() {
        got.push(String::from_utf8_lossy(publish.payload).into_owned());
        a.acknowledge(&publish);
    }
    let expected: Vec<_> = (1..10).map(|number: u16| number.to_string()).collect();
    assert_eq!(got, expected);
}

#[test]
fn the_dup_flag_of_a_publisher_is_not_passed_on() {
    // [MQTT-3.3.1-3]
    let world = World::new();
    let (a, b) = (reader(&world), world.client("b"));
    let mut publish = message("x", "hello").at(QOS1, 1);
    publish.dup = true;
    b.publish_it(publish);
    assert!(!a.expect_publish("x", "hello").dup);
}

#[test]
fn a_message_goes_out_at_the_lower_of_two_qualities() {
    // [MQTT-3.8.4-8]; 3.1.1 [MQTT-3.8.4-6]
    let world = World::new();
    let b = world.client("b");
    for granted in [QOS0, QOS1, QOS2] {
        let a = world.client("a");
        a.subscribe("x", granted);
        b.publish("x", "0");
        b.publish_qos1("x", "1", 1);
        b.publish_qos2("x", "2", 1);
        for (published, payload) in [(QOS0, "0"), (QOS1, "1"), (QOS2, "2")] {
            assert_eq!(a.expect_publish("x", payload).qos, granted.min(published));
        }
    }
}

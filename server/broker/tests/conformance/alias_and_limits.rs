//! Topic aliases, Receive Maximum and Maximum Packet Size, each in both directions.

use core::num::NonZeroU16;

use cloudsignal_broker::sink::DropReason;
use cloudsignal_core::Packet;
use cloudsignal_core::codec::{PACKET_BYTES_MAX, Publish, ReasonCode, UserProperties};

use crate::client::{Client, MessageExt, QOS0, QOS1, QOS2, id, message};
use crate::world::World;

fn alias(publish: Publish<'static>, alias: u16) -> Publish<'static> {
    publish.with(|properties| properties.topic_alias = NonZeroU16::new(alias))
}

/// A message without a topic: the alias stands for it.
fn by_alias(payload: &str, number: u16) -> Publish<'static> {
    let mut publish = alias(message("x", payload), number);
    publish.topic = None;
    publish
}

fn reader(world: &World) -> Client {
    let client = world.client("reader");
    client.subscribe("#", QOS0);
    client
}

// Aliases from the client.

#[test]
fn an_alias_stands_for_its_topic() {
    // [MQTT-3.3.2-12]
    let world = World::new();
    let (a, b) = (reader(&world), world.client("b"));
    b.publish_it(alias(message("one", "1"), 1));
    b.publish_it(alias(message("two", "2"), 32));
    b.publish_it(by_alias("3", 1));
    b.publish_it(by_alias("4", 32));
    b.publish_it(alias(message("three", "5"), 1));
    b.publish_it(by_alias("6", 1));
    b.publish_it(by_alias("7", 1).at(QOS1, 9));
    b.expect_puback();
    for (topic, payload) in [
        ("one", "1"),
        ("two", "2"),
        ("one", "3"),
        ("two", "4"),
        ("three", "5"),
        ("three", "6"),
        ("three", "7"),
    ] {
        let publish = a.expect_publish(topic, payload);
        assert_eq!(publish.properties.topic_alias, None, "[MQTT-3.1.2-27]");
    }
}

#[test]
fn an_alias_out_of_bounds_ends_the_connection() {
    // [MQTT-3.2.2-17] [MQTT-3.2.2-18] [MQTT-3.3.2-9]
    let world = World::new();
    let client = world.client("a");
    client.publish_it(alias(message("x", ""), 33));
    client.expect_disconnect(ReasonCode::TopicAliasInvalid);
    let world = World::with_limits(|limits| limits.topic_alias_max = 0);
    let client = world.client("a");
    client.publish_it(alias(message("x", ""), 1));
    client.expect_disconnect(ReasonCode::TopicAliasInvalid);
}

#[test]
fn an_alias_of_0_ends_the_connection() {
    // [MQTT-3.3.2-8]
    let world = World::new();
    let client = world.client("a");
    client.send_bytes(&[0x30, 7, 0, 1, b'x', 3, 0x23, 0, 0]);
    client.expect_disconnect(ReasonCode::TopicAliasInvalid);
}

#[test]
fn an_alias_that_was_never_set_ends_the_connection() {
    let world = World::new();
    let client = world.client("a");
    client.publish_it(by_alias("", 1));
    client.expect_disconnect(ReasonCode::ProtocolError);
}

#[test]
fn aliases_end_with_the_connection() {
    // [MQTT-3.3.2-7]
    let world = World::new();
    let connect = || world.connect("a").resume().expiry(100);
    let client = connect().go();
    client.publish_it(alias(message("x", ""), 1));
    client.cut();
    let client = connect().go();
    client.publish_it(by_alias("", 1));
    client.expect_disconnect(ReasonCode::ProtocolError);
}

#[test]
fn a_repeated_publish_sets_its_alias_too() {
    // [MQTT-3.3.2-12] [MQTT-4.3.3-10]
    let world = World::new();
    let a = reader(&world);
    let connect = || world.connect("b").resume().expiry(100);
    let b = connect().go();
    b.publish_it(message("x", "once").at(QOS2, 1));
    b.cut();
    let b = connect().go();
    let mut again = alias(message("x", "once").at(QOS2, 1), 5);
    again.dup = true;
    b.publish_it(again);
    b.expect_pubrec();
    b.publish_it(by_alias("by alias", 5));
    assert_eq!(a.payloads(), ["once", "by alias"]);
    let mut again = alias(message("x", "once").at(QOS2, 1), 33);
    again.dup = true;
    b.publish_it(again);
    b.expect_disconnect(ReasonCode::TopicAliasInvalid);
}

#[test]
fn a_refused_publish_sets_its_alias_too() {
    // [MQTT-3.3.2-12]
    let world = World::with_limits(|limits| limits.topic_levels_max = 2);
    let client = world.client("a");
    client.publish_it(alias(message("too/deep/by/far", "").at(QOS1, 1), 1));
    assert_eq!(client.expect_puback().reason, ReasonCode::TopicNameInvalid);
    client.publish_it(by_alias("", 1).at(QOS1, 1));
    assert_eq!(client.expect_puback().reason, ReasonCode::TopicNameInvalid);
}

// Aliases to the client.

#[test]
fn the_broker_uses_aliases_when_the_client_takes_them() {
    // [MQTT-3.1.2-26] [MQTT-3.3.2-11] [MQTT-3.3.2-10]
    let world = World::new();
    let a = world.connect("a").resume().expiry(100).alias_max(2).go();
    a.subscribe("#", QOS1);
    let b = world.client("b");
    let long = ["a/long/topic", "another/long/topic", "one/topic/too/many"];
    let seen = |a: &Client| {
        for topic in long {
            b.publish_qos1(topic, "hello", 1);
        }
        core::iter::from_fn(|| a.read())
            .map(|packet| {
                let Packet::Publish(publish) = packet else {
                    panic!("PUBLISH expected, not {packet:?}");
                };
                a.acknowledge(&publish);
                let alias = publish.properties.topic_alias.map(NonZeroU16::get);
                (publish.topic.map(|topic| topic.as_str()), alias)
            })
            .collect::<Vec<_>>()
    };
    let first = [
        (Some(long[0]), Some(1)),
        (Some(long[1]), Some(2)),
        (Some(long[2]), None),
    ];
    assert_eq!(seen(&a), first);
    let then = [(None, Some(1)), (None, Some(2)), (Some(long[2]), None)];
    assert_eq!(seen(&a), then);
    a.cut();
    let a = world.connect("a").resume().expiry(100).alias_max(2).go();
    assert_eq!(seen(&a), first, "[MQTT-3.3.2-7]");
    a.cut();
    let a = world.connect("a").resume().expiry(100).go();
    let none = long.map(|topic| (Some(topic), None));
    assert_eq!(seen(&a), none, "[MQTT-3.1.2-27]");
}

#[test]
fn aliases_hold_for_messages_that_are_sent_again() {
    // [MQTT-3.3.2-7]
    let world = World::new();
    let connect = || world.connect("a").resume().expiry(100).alias_max(10);
    let a = connect().go();
    a.subscribe("#", QOS1);
    let b = world.client("b");
    b.publish_qos1("a/long/topic", "1", 1);
    b.publish_qos1("a/long/topic", "2", 1);
    assert_eq!(a.payloads(), ["1", "2"]);
    a.cut();
    let a = connect().go();
    a.expect_publish("a/long/topic", "1");
    let Some(Packet::Publish(second)) = a.read() else {
        panic!("PUBLISH expected");
    };
    assert_eq!((second.topic, second.dup), (None, true));
}

// Receive Maximum.

#[test]
fn more_publishes_than_the_broker_receives_end_the_connection() {
    // [MQTT-3.3.4-7] [MQTT-3.3.4-8]
    let world = World::with_limits(|limits| limits.receive_max = 2);
    let (client, connack) = world.connect("a").go_and_see();
    assert_eq!(connack.receive_max, NonZeroU16::new(2));
    client.publish_it(message("x", "1").at(QOS2, 1));
    client.publish_it(message("x", "2").at(QOS2, 2));
    client.expect_pubrec();
    client.expect_pubrec();
    client.publish("x", "QoS 0 does not count");
    client.subscribe("y", QOS0);
    client.pubrel(id(1));
    client.expect_pubcomp();
    client.publish_qos1("x", "3", 3);
    client.publish_it(message("x", "4").at(QOS2, 4));
    client.expect_pubrec();
    client.publish_it(message("x", "one too many").at(QOS1, 5));
    client.expect_disconnect(ReasonCode::ReceiveMaximumExceeded);
}

#[test]
fn what_is_refused_does_not_count_as_received() {
    // [MQTT-3.3.4-7]
    let world = World::with_limits(|limits| limits.receive_max = 1);
    let client = world.client("a");
    for packet_id in 1..5 {
        client.publish_it(message("$SYS/x", "").at(QOS2, packet_id));
        assert!(client.expect_pubrec().reason.is_error());
        client.publish_it(message("$SYS/x", "").at(QOS1, packet_id));
        assert!(client.expect_puback().reason.is_error());
    }
    assert_eq!(client.closed(), None);
}

#[test]
fn what_comes_again_counts_once() {
    // [MQTT-4.3.3-10] [MQTT-3.3.4-7]
    let world = World::with_limits(|limits| limits.receive_max = 2);
    let client = world.client("a");
    for _ in 0..5 {
        client.publish_it(message("x", "").at(QOS2, 1));
        client.expect_pubrec();
    }
    client.publish_it(message("x", "").at(QOS2, 2));
    client.expect_pubrec();
    for packet_id in [7, 8, 9] {
        client.pubrel(id(packet_id));
        assert_eq!(
            client.expect_pubcomp().reason,
            ReasonCode::PacketIdentifierNotFound
        );
    }
    client.publish_it(message("x", "").at(QOS2, 3));
    client.expect_disconnect(ReasonCode::ReceiveMaximumExceeded);
}

#[test]
fn clients_before_mqtt_5_know_no_receive_maximum() {
    let world = World::with_limits(|limits| limits.receive_max = 2);
    let client = world.connect("a").v311().go();
    for packet_id in 1..10 {
        client.publish_it(message("x", "").at(QOS2, packet_id));
        client.expect_pubrec();
    }
}

#[test]
fn a_client_is_judged_by_what_it_was_told() {
    // [MQTT-3.3.4-7] [MQTT-3.3.2-12]
    let world = World::new();
    let client = world.client("a");
    world.step(|org, _, _| {
        let mut limits = org.limits().clone();
        (limits.receive_max, limits.topic_alias_max) = (1, 1);
        org.handle_limits(limits);
    });
    for number in 1..=32 {
        client.publish_it(alias(message("x", "").at(QOS2, number), number));
        client.expect_pubrec();
    }
    let newcomer = world.client("b");
    newcomer.publish_it(alias(message("x", ""), 2));
    newcomer.expect_disconnect(ReasonCode::TopicAliasInvalid);
}

#[test]
fn the_broker_sends_no_more_than_the_client_receives() {
    // [MQTT-3.3.4-9] [MQTT-3.3.4-10] [MQTT-4.9.0-1] [MQTT-4.9.0-2] [MQTT-4.9.0-3]
    let world = World::new();
    let client = world.connect("a").receive_max(2).go();
    client.subscribe("x", QOS2);
    let b = world.client("b");
    for payload in ["1", "2", "3", "4", "5"] {
        b.publish_qos2("x", payload, 1);
    }
    let first = client.expect_publish("x", "1");
    let second = client.expect_publish("x", "2");
    client.expect_nothing();
    client.send(&Packet::PingReq);
    client.expect_pingresp();
    client.subscribe("y", QOS0);
    let packet_id = first.packet_id.expect("QoS 2 has one");
    client.pubrec(packet_id);
    client.expect_pubrel();
    client.expect_nothing();
    client.pubcomp(packet_id);
    client.expect_publish("x", "3");
    client.expect_nothing();
    let mut refusal = cloudsignal_core::codec::Ack::new(id(2), ReasonCode::UnspecifiedError);
    refusal.packet_id = second.packet_id.expect("QoS 2 has one");
    client.send(&Packet::PubRec(refusal));
    client.expect_publish("x", "4");
    client.expect_nothing();
}

#[test]
fn the_quota_is_fresh_on_every_connection() {
    // [MQTT-4.9.0-1]
    let world = World::new();
    let connect = |messages| world.connect("a").resume().expiry(100).receive_max(messages);
    let client = connect(4).go();
    client.subscribe("x", QOS1);
    let b = world.client("b");
    for payload in ["1", "2", "3", "4"] {
        b.publish_qos1("x", payload, 1);
    }
    assert_eq!(client.payloads().len(), 4);
    client.cut();
    let client = connect(1).go();
    for payload in ["1", "2", "3", "4"] {
        let publish = client.expect_publish("x", payload);
        assert!(publish.dup);
        client.expect_nothing();
        client.acknowledge(&publish);
    }
}

#[test]
fn the_broker_keeps_its_own_bound_on_what_is_unacknowledged() {
    // [MQTT-4.9.0-1]
    let world = World::with_limits(|limits| limits.inflight_max = 3);
    let client = world.client("a");
    client.subscribe("x", QOS1);
    let b = world.client("b");
    for _ in 0..5 {
        b.publish_qos1("x", "hello", 1);
    }
    assert_eq!(client.payloads().len(), 3);
}

// Maximum Packet Size.

#[test]
fn a_packet_larger_than_the_broker_takes_ends_the_connection() {
    // [MQTT-3.2.2-15]
    let world = World::with_limits(|limits| limits.packet_bytes_max = 100);
    let (client, connack) = world.connect("a").go_and_see();
    assert_eq!(connack.packet_bytes_max, Some(100));
    client.publish("x", "y".repeat(94));
    assert_eq!(client.closed(), None, "just 100 bytes");
    client.publish("x", "y".repeat(95));
    client.expect_disconnect(ReasonCode::PacketTooLarge);
}

#[test]
fn a_message_larger_than_the_client_takes_is_not_sent() {
    // [MQTT-3.1.2-24] [MQTT-3.1.2-25]
    let world = World::new();
    let client = world.connect("a").resume().expiry(100).packet_bytes_max(100).go();
    client.subscribe("x", QOS1);
    let b = world.client("b");
    b.publish_qos1("x", "y".repeat(92), 1);
    client.expect_publish("x", "y".repeat(92));
    b.publish_qos1("x", "y".repeat(93), 1);
    b.publish("x", "y".repeat(95));
    b.publish("x", "y".repeat(20_000));
    b.publish_qos1("x", "next", 1);
    let next = client.expect_publish("x", "next");
    let told: Vec<_> = next.properties.user_properties.iter().collect();
    assert_eq!(told, [("cs-dropped", "3")]);
    assert_eq!(world.dropped(DropReason::PacketTooLarge), 3);
    assert_eq!(
        world.session("a").map(|session| session.4),
        Some(2),
        "as if it had been delivered"
    );
}

#[test]
fn a_queued_message_larger_than_the_client_takes_is_passed_over() {
    // [MQTT-3.1.2-25]
    let world = World::new();
    let client = world.connect("a").expiry(100).go();
    client.subscribe("x", QOS1);
    client.cut();
    let b = world.client("b");
    b.publish_qos1("x", "y".repeat(200), 1);
    b.publish_qos1("x", "small", 1);
    let client = world.connect("a").resume().expiry(100).packet_bytes_max(100).go();
    client.expect_publish("x", "small");
    assert_eq!(
        world.session("a").map(|session| (session.3, session.4)),
        Some((0, 1))
    );
}

#[test]
fn an_unacknowledged_message_larger_than_the_client_now_takes_counts_as_delivered() {
    // [MQTT-3.1.2-25]
    let world = World::new();
    let client = world.connect("a").expiry(100).go();
    client.subscribe("x", QOS2);
    let b = world.client("b");
    b.publish_qos1("x", "y".repeat(200), 1);
    b.publish_qos2("x", "y".repeat(200), 1);
    b.publish_qos1("x", "small", 1);
    client.cut();
    let client = world.connect("a").resume().expiry(100).packet_bytes_max(100).go();
    assert!(client.expect_publish("x", "small").dup);
    client.expect_nothing();
    assert_eq!(world.session("a").map(|session| session.4), Some(1));
    assert_eq!(world.dropped(DropReason::PacketTooLarge), 2);
}

#[test]
fn what_the_broker_adds_never_makes_a_message_too_large() {
    // [MQTT-3.1.2-24]
    let world = World::new();
    let client = world.connect("a").packet_bytes_max(100).alias_max(10).go();
    client.subscribe("topic/of/20/bytes/xx", QOS0);
    let b = world.client("b");
    let topic = "topic/of/20/bytes/xx";
    b.publish(topic, "y".repeat(200));
    // 2 + 22 + 1 + 75 = 100 bytes: no room for an alias or for the count of what was dropped.
    b.publish(topic, "y".repeat(75));
    let publish = client.expect_publish(topic, "y".repeat(75));
    assert_eq!(publish.properties, message("x", "").properties);
    b.publish(topic, "small");
    let publish = client.expect_publish(topic, "small");
    assert_eq!(publish.properties.topic_alias, NonZeroU16::new(1));
    let told: Vec<_> = publish.properties.user_properties.iter().collect();
    assert_eq!(told, [("cs-dropped", "1")], "told when there is room");
}

#[test]
fn a_disconnect_without_room_for_words_is_short() {
    // [MQTT-3.14.2-3] [MQTT-3.14.2-4]
    let world = World::new();
    let close = |bytes| {
        let client = world.connect("a").packet_bytes_max(bytes).send();
        client.read();
        client.send(&Packet::PingResp);
        client
    };
    let words = close(1_000)
        .expect_disconnect(ReasonCode::ProtocolError)
        .reason_string;
    assert_eq!(words, Some("a packet that only a broker sends"));
    let words = close(30)
        .expect_disconnect(ReasonCode::ProtocolError)
        .reason_string;
    assert_eq!(words, None);
}

#[test]
fn a_message_that_no_packet_can_hold_any_more_is_dropped() {
    // The largest packet there is, without properties. For MQTT 5 it needs one byte more.
    let world = World::with_limits(|limits| limits.packet_bytes_max = PACKET_BYTES_MAX);
    let (old, new) = (world.connect("old").v311().go(), world.client("new"));
    let told = world.connect("told").alias_max(3).go();
    for client in [&old, &new, &told] {
        client.subscribe("a/topic/that/is/long", QOS0);
    }
    let p = world.connect("p").v311().go();
    let payload = vec![0; PACKET_BYTES_MAX as usize - 5 - 22];
    p.publish("a/topic/that/is/long", payload);
    new.expect_nothing();
    told.expect_nothing();
    let Some(Packet::Publish(publish)) = old.read() else {
        panic!("PUBLISH expected");
    };
    assert_eq!(publish.payload.len(), PACKET_BYTES_MAX as usize - 27);
    assert_eq!(world.dropped(DropReason::PacketTooLarge), 2);
    p.publish("a/topic/that/is/long", "next");
    let next = new.expect_publish("a/topic/that/is/long", "next");
    let words: Vec<_> = next.properties.user_properties.iter().collect();
    assert_eq!(words, [("cs-dropped", "1")]);
}

#[test]
fn a_message_with_the_longest_user_properties_passes() {
    // [MQTT-3.3.2-17]
    let world = World::new();
    let a = reader(&world);
    let long = "v".repeat(65_535);
    let mut wire = Vec::new();
    UserProperties::push(&mut wire, &long, &long).expect("just short enough");
    let wire: &'static [u8] = wire.leak();
    world
        .client("b")
        .publish_it(message("x", "hello").with(|properties| {
            properties.user_properties = UserProperties::from_wire(wire).expect("just written");
        }));
    let publish = a.expect_publish("x", "hello");
    assert!(publish.properties.user_properties.iter().eq([(&*long, &*long)]));
}

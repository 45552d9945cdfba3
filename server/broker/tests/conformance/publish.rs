//! What a message carries from publisher to subscriber, and how long it lives.

use cloudsignal_broker::sink::DropReason;
use cloudsignal_core::codec::{ReasonCode, UserProperties};

use crate::client::{MessageExt, QOS0, QOS1, QOS2, message, topic};
use crate::world::World;

#[test]
fn everything_a_message_carries_arrives_unaltered() {
    // [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
    let world = World::new();
    let at_once = world.client("at once");
    at_once.subscribe("x", QOS0);
    let away = world.connect("away").expiry(100).go();
    away.subscribe("x", QOS1);
    away.cut();
    let mut wire = Vec::new();
    for (name, value) in [("b", "1"), ("a", "2"), ("b", "3"), ("", "")] {
        UserProperties::push(&mut wire, name, value).expect("short");
    }
    let wire: &'static [u8] = wire.leak();
    let sent = message("x", "hello").at(QOS1, 1).with(|properties| {
        properties.payload_format = Some(false);
        properties.content_type = Some("text/plain");
        properties.response_topic = Some(topic("answers/here"));
        properties.correlation_data = Some(&[0, 255, 7]);
        properties.user_properties = UserProperties::from_wire(wire).expect("just written");
    });
    world.client("b").publish_it(sent.clone());

    let later = world.connect("away").resume().expiry(100).go();
    for client in [at_once, later] {
        assert_eq!(client.expect_publish("x", "hello").properties, sent.properties);
    }
}

#[test]
fn what_a_message_does_not_carry_is_not_invented() {
    let world = World::new();
    let a = world.client("a");
    a.subscribe("x", QOS2);
    let b = world.client("b");
    b.publish_it(message("x", "").at(QOS1, 1));
    assert_eq!(a.expect_publish("x", "").properties, message("x", "").properties);
}

#[test]
fn mqtt_3_1_1_clients_get_the_message_without_its_properties() {
    let world = World::new();
    let a = world.connect("a").v311().go();
    a.subscribe("x", QOS1);
    let b = world.client("b");
    b.publish_it(
        message("x", "hello")
            .at(QOS1, 1)
            .with(|properties| properties.content_type = Some("text/plain")),
    );
    let publish = a.expect_publish("x", "hello");
    assert_eq!(publish.properties, message("x", "").properties);
}

#[test]
fn an_identifier_of_subscriptions_is_not_for_publishers() {
    // [MQTT-3.3.4-6]
    let world = World::new();
    let client = world.client("a");
    let ids: &'static [u32] = &[7];
    client.publish_it(message("x", "hello").with(|properties| {
        properties.subscription_ids = cloudsignal_core::codec::SubscriptionIds::from_slice(ids);
    }));
    client.expect_disconnect(ReasonCode::ProtocolError);
}

#[test]
fn a_message_ages_while_it_waits() {
    // [MQTT-3.3.2-5] [MQTT-3.3.2-6]
    let world = World::new();
    let a = world.connect("a").expiry(1_000).go();
    a.subscribe("#", QOS1);
    let b = world.client("b");
    b.publish_it(message("x", "at once").at(QOS1, 1).expiring(60));
    let publish = a.expect_publish("x", "at once");
    assert_eq!(publish.properties.message_expiry_secs, Some(60));
    a.acknowledge(&publish);
    a.cut();
    b.publish_it(message("x", "short").at(QOS1, 1).expiring(10));
    b.publish_it(message("x", "long").at(QOS1, 1).expiring(60));
    b.publish_it(message("x", "for ever").at(QOS1, 1));
    world.advance_secs(10);
    let a = world.connect("a").resume().expiry(1_000).go();
    let publish = a.expect_publish("x", "long");
    assert_eq!(publish.properties.message_expiry_secs, Some(50));
    let publish = a.expect_publish("x", "for ever");
    assert_eq!(publish.properties.message_expiry_secs, None);
    a.expect_nothing();
    assert_eq!(world.dropped(DropReason::Expired), 1);
}

#[test]
fn a_message_behind_a_slow_reader_ages_too() {
    // [MQTT-3.3.2-5] [MQTT-3.3.2-6]
    let world = World::with_limits(|limits| limits.output_bytes_max = 1);
    let a = world.client("a");
    a.subscribe("#", QOS0);
    a.stall();
    let b = world.client("b");
    b.publish("x", "fills the output");
    b.publish_it(message("x", "short").expiring(10));
    b.publish_it(message("x", "long").expiring(60));
    world.advance_secs(20);
    a.wake_up();
    a.expect_publish("x", "fills the output");
    let publish = a.expect_publish("x", "long");
    assert_eq!(publish.properties.message_expiry_secs, Some(40));
    a.expect_nothing();
}

#[test]
fn a_message_with_no_time_at_all_reaches_who_is_there() {
    let world = World::new();
    let a = world.client("a");
    a.subscribe("x", QOS0);
    world.client("b").publish_it(message("x", "now").expiring(0));
    let publish = a.expect_publish("x", "now");
    assert_eq!(publish.properties.message_expiry_secs, Some(0));
}

#[test]
fn a_message_reaches_everybody_who_subscribed() {
    // [MQTT-4.5.0-1] [MQTT-3.3.2-3]
    let world = World::new();
    let away = world.connect("away").expiry(100).go();
    away.subscribe("a/+", QOS1);
    away.cut();
    let readers: Vec<_> = ["a/b", "a/#", "#", "+/b"]
        .into_iter()
        .map(|filter| {
            let client = world.client(filter);
            client.subscribe(filter, QOS1);
            client
        })
        .collect();
    let b = world.client("b");
    assert_eq!(b.publish_qos1("a/b", "hello", 1), ReasonCode::Success);
    for reader in readers {
        reader.expect_publish("a/b", "hello");
    }
    let away = world.connect("away").resume().expiry(100).go();
    away.expect_publish("a/b", "hello");
}

#[test]
fn a_message_for_nobody_is_acknowledged_as_such() {
    let world = World::new();
    let b = world.client("b");
    assert_eq!(b.publish_qos1("x", "hello", 1), ReasonCode::NoMatchingSubscribers);
    b.publish_it(message("x", "hello").at(QOS2, 2));
    assert_eq!(b.expect_pubrec().reason, ReasonCode::NoMatchingSubscribers);
    b.pubrel(crate::client::id(2));
    assert_eq!(b.expect_pubcomp().reason, ReasonCode::Success);
}

#[test]
fn a_topic_that_is_too_deep_is_refused() {
    let world = World::with_limits(|limits| limits.topic_levels_max = 4);
    let a = world.client("a");
    a.subscribe("#", QOS0);
    let b = world.client("b");
    assert_eq!(b.publish_qos1("1/2/3/4", "fine", 1), ReasonCode::Success);
    assert_eq!(
        b.publish_qos1("1/2/3/4/", "too deep", 1),
        ReasonCode::TopicNameInvalid
    );
    assert_eq!(a.payloads(), ["fine"]);
    let old = world.connect("old").v311().go();
    old.publish_qos1("1/2/3/4/5", "acknowledged and dropped", 1);
    assert_eq!(a.payloads(), [""; 0]);
}

#[test]
fn publishes_are_bounded_per_second() {
    let world = World::with_limits(|limits| {
        limits.publish_messages_per_sec = 2;
        limits.publish_bytes_per_sec = 10;
    });
    let a = world.client("a");
    a.subscribe("x", QOS0);
    let b = world.client("b");
    assert_eq!(b.publish_qos1("x", "1", 1), ReasonCode::Success);
    assert_eq!(b.publish_qos1("x", "2", 1), ReasonCode::Success);
    assert_eq!(b.publish_qos1("x", "3", 1), ReasonCode::QuotaExceeded);
    b.publish("x", "3 again, for nobody");
    let old = world.connect("old").v311().go();
    old.publish_qos1("x", "3 in an older tongue", 1);
    assert_eq!(a.payloads(), ["1", "2"]);
    world.advance_secs(1);
    assert_eq!(b.publish_qos1("x", "01234567890", 1), ReasonCode::QuotaExceeded);
    assert_eq!(b.publish_qos1("x", "0123456789", 1), ReasonCode::Success);
    assert_eq!(a.payloads(), ["0123456789"]);
    assert_eq!(world.dropped(DropReason::PublishQuota), 4);
}

#[test]
fn a_payload_may_be_anything() {
    let world = World::new();
    let a = world.client("a");
    a.subscribe("x", QOS1);
    let b = world.client("b");
    let large = vec![0xAB; 500_000];
    for payload in [Vec::new(), vec![0, 0xFF], vec![7; 8 * 1_024], large] {
        b.publish_qos1("x", payload.clone(), 1);
        let publish = a.expect_publish("x", &payload);
        a.acknowledge(&publish);
    }
    let counters = world.counters();
    assert_eq!(counters.messages_received, [0, 4, 0]);
    assert_eq!(counters.messages_sent, [0, 4, 0]);
    assert_eq!(counters.bytes_sent, 500_000 + 8 * 1_024 + 2);
}

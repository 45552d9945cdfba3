//! Topics that begin with `$`.

use cloudsignal_core::codec::ReasonCode;

use crate::client::{MessageExt, QOS0, message};
use crate::world::World;

#[test]
fn a_leading_wildcard_does_not_match_dollar_topics() {
    // [MQTT-4.7.2-1]; 3.1.1 [MQTT-4.7.2-1]
    let world = World::new();
    let client = world.client("a");
    for text in ["#", "+/x", "+/#", "$share/g/#", "$share/g/+/x"] {
        client.subscribe(text, QOS0);
    }
    let b = world.client("b");
    b.publish("$spaces/x", "hidden");
    b.publish_it(message("$spaces/x", "hidden").retained());
    client.expect_nothing();
    let late = world.client("late");
    late.subscribe("#", QOS0);
    late.expect_nothing();
    late.subscribe("$spaces/+", QOS0);
    late.expect_publish("$spaces/x", "hidden");
}

#[test]
fn other_dollar_topics_are_ordinary() {
    let world = World::new();
    let client = world.client("a");
    for name in ["$spaces/x", "$notifications/ann", "response/a", "$other"] {
        client.subscribe(name, QOS0);
        assert_eq!(client.publish_qos1_to_itself(name, "hello"), ReasonCode::Success);
    }
}

#[test]
fn nobody_but_the_broker_publishes_under_sys() {
    let world = World::new();
    let b = world.client("b");
    for name in ["$SYS", "$SYS/broker/x", "$SYS/"] {
        assert_eq!(b.publish_qos1(name, "no", 1), ReasonCode::NotAuthorized);
    }
    assert_eq!(
        b.publish_qos1("$SYSTEM/x", "fine", 1),
        ReasonCode::NoMatchingSubscribers
    );
}

#[test]
fn the_broker_tells_about_itself_to_who_asks() {
    let world = World::with_limits(|limits| limits.sys_interval_secs = 10);
    world.advance_secs(100);
    assert_eq!(world.inner().org.poll_timeout(), None, "nobody asked");
    let client = world.client("a");
    client.subscribe("$SYS/broker/clients/+", QOS0);
    client.expect_publish("$SYS/broker/clients/connected", "1");
    client.expect_publish("$SYS/broker/clients/total", "1");
    client.expect_nothing();
    world.connect("b").expiry(100).go().cut();
    world.advance_secs(10);
    client.expect_publish("$SYS/broker/clients/connected", "1");
    client.expect_publish("$SYS/broker/clients/total", "2");
    client.expect_nothing();
    world.advance_secs(9);
    client.expect_nothing();
}

#[test]
fn sys_tells_of_subscriptions_retained_messages_and_traffic() {
    let world = World::new();
    world.client("b").publish_it(message("x", "12345").retained());
    let client = world.client("a");
    client.subscribe("$SYS/#", QOS0);
    let told: Vec<_> = client
        .read_all()
        .into_iter()
        .map(|packet| {
            let cloudsignal_core::Packet::Publish(publish) = packet else {
                panic!("PUBLISH expected, not {packet:?}");
            };
            let topic = publish.topic.expect("no alias").as_str();
            format!("{topic} {}", String::from_utf8_lossy(publish.payload))
        })
        .collect();
    for expected in [
        "$SYS/broker/subscriptions/count 1",
        "$SYS/broker/retained messages/count 1",
        "$SYS/broker/messages/received 1",
        "$SYS/broker/bytes/received 5",
    ] {
        assert!(told.iter().any(|line| line == expected), "{expected} in {told:?}");
    }
}

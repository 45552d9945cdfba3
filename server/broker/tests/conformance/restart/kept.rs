//! Messages, subscriptions and retained messages that were acknowledged are there, and no others.

use cloudsignal_broker::Policy;
use cloudsignal_core::Packet;
use cloudsignal_core::codec::{ReasonCode, Subscribe};

use super::back;
use crate::client::{MessageExt, QOS1, filter, id, message};
use crate::world::World;

#[test]
fn acknowledged_messages_are_there_in_order_with_everything_they_carried() {
    let world = World::new();
    let a = world.lasting("a");
    let reasons = a.subscribe_all(
        vec![filter("x/#", QOS1)],
        core::num::NonZeroU32::new(9).map(Into::into),
    );
    assert_eq!(reasons.reasons, [ReasonCode::GrantedQos1]);
    let b = world.client("b");
    b.publish_qos1("x/sent", "sent", 1);
    let sent = a.expect_publish("x/sent", "sent");
    a.cut();
    world.advance_secs(2);
    for number in 0..5 {
        b.publish_it(
            message("x/y", format!("{number}"))
                .at(QOS1, 2)
                .expiring(500)
                .with(|it| {
                    it.content_type = Some("text/plain");
                    it.payload_format = Some(true);
                    it.correlation_data = Some(b"c");
                }),
        );
    }
    world.advance_secs(100);
    world.crash();
    let a = back(&world, "a");
    let again = a.expect_publish("x/sent", "sent");
    assert_eq!((again.dup, again.packet_id), (true, sent.packet_id)); // [MQTT-3.3.1-1] [MQTT-4.4.0-1]
    for number in 0..5 {
        let publish = a.expect_publish("x/y", format!("{number}"));
        assert!(!publish.dup);
        assert_eq!(publish.properties.message_expiry_secs, Some(400));
        assert_eq!(publish.properties.content_type, Some("text/plain"));
        assert_eq!(publish.properties.payload_format, Some(true));
        assert_eq!(publish.properties.correlation_data, Some(&b"c"[..]));
        assert_eq!(
            publish.properties.subscription_ids.iter().collect::<Vec<_>>(),
            [9]
        );
    }
    a.expect_nothing();
}

#[test]
fn what_may_have_left_before_a_crash_says_so_and_nothing_else_does() {
    // [MQTT-3.3.1-1]: at QoS 1 a message of the queue leaves before its packet id is stored.
    let world = World::new();
    let a = world.lasting("a");
    a.subscribe("x", QOS1);
    a.cut();
    world.advance_secs(5);
    let b = world.client("b");
    b.publish_qos1("x", "sent", 1);
    b.publish_qos1("x", "behind it", 1);
    let a = world.connect("a").resume().expiry(1_000).receive_max(1).go();
    assert!(!a.expect_publish("x", "sent").dup);
    a.expect_nothing();
    world.crash();
    let a = back(&world, "a");
    for payload in ["sent", "behind it"] {
        let publish = a.expect_publish("x", payload);
        assert!(
            publish.dup,
            "the store does not know how far the client got: {payload}"
        );
    }
    a.cut();
    world.advance_secs(5);
    world.client("b").publish_qos1("x", "new", 1);
    world.crash();
    let a = back(&world, "a");
    for payload in ["sent", "behind it"] {
        assert!(a.expect_publish("x", payload).dup, "{payload}");
    }
    assert!(
        !a.expect_publish("x", "new").dup,
        "it came while the client was away"
    );
    world.client("b").publish_qos1("x", "newest", 1);
    assert!(!a.expect_publish("x", "newest").dup);
}

#[test]
fn what_the_store_keeps_of_a_queue_says_that_it_may_have_left_too() {
    // [MQTT-3.3.1-1]
    let world = World::new();
    world.begin_spilling();
    let a = world.connect("a").resume().expiry(u32::MAX).go();
    a.subscribe("x", QOS1);
    a.cut();
    let b = world.client("b");
    for number in 0..20 {
        b.publish_qos1("x", format!("{number}"), 1);
    }
    world.crash();
    world.begin_spilling();
    let a = back(&world, "a");
    for number in 0..20 {
        let publish = a.expect_publish("x", format!("{number}"));
        assert!(
            publish.dup,
            "its session never ends: when the client was there is not known"
        );
        a.acknowledge(&publish);
    }
}

#[test]
fn retained_messages_and_subscriptions_are_there() {
    let world = World::new();
    let a = world.lasting("a");
    a.subscribe("x", QOS1);
    a.subscribe("gone", QOS1);
    a.unsubscribe(&["gone"]);
    let b = world.client("b");
    b.publish_it(message("kept", "1").at(QOS1, 1).retained());
    b.publish_it(message("kept", "2").at(QOS1, 1).retained());
    b.publish_it(message("cleared", "1").at(QOS1, 1).retained());
    b.publish_it(message("cleared", "").at(QOS1, 1).retained());
    world.crash();
    assert_eq!(world.retained("kept"), Some(b"2".to_vec()));
    assert_eq!(world.retained("cleared"), None);
    let a = back(&world, "a");
    let b = world.client("b");
    b.publish_qos1("x", "still", 1);
    b.publish_qos1("gone", "no", 1);
    assert_eq!(a.payloads(), ["still"]);
    assert_eq!(world.session("a").map(|it| it.2), Some(1));
}

#[test]
fn a_hand_out_of_retained_messages_begins_again() {
    let world = World::new();
    let b = world.client("b");
    for n in 0..4 {
        b.publish_it(message(&format!("x/{n}"), format!("{n}")).at(QOS1, 1).retained());
    }
    let a = world.connect("a").resume().expiry(1_000).receive_max(2).go();
    let subscribe = Subscribe::new(id(1), vec![filter("x/#", QOS1)]);
    a.send(&Packet::Subscribe(subscribe));
    let publishes = a.read_all().into_iter().filter_map(|packet| match packet {
        Packet::Publish(publish) => Some(publish.payload),
        _ => None,
    });
    assert_eq!(publishes.collect::<Vec<_>>(), [b"0", b"1"]);
    world.crash();
    let a = back(&world, "a");
    assert_eq!(a.take_all(), ["0", "1", "0", "1", "2", "3"]);
    world.crash();
    back(&world, "a").expect_nothing();
}

#[test]
fn a_member_of_a_group_that_is_gone_leaves_its_messages_to_the_others_after_a_restart_too() {
    // [MQTT-4.8.2-5]
    let world = World::new();
    let a = world.lasting("a");
    a.subscribe("$share/g/x", QOS1);
    a.cut();
    world.client("p").publish_qos1("x", "hello", 1);
    world.crash();
    let b = world.lasting("b");
    b.subscribe("$share/g/x", QOS1);
    world.advance_secs(1_000);
    assert_eq!(b.payloads(), ["hello"]);
}

#[test]
fn no_local_holds_for_what_comes_back() {
    let world = World::new();
    let a = world.lasting("a");
    a.publish_it(message("x", "own").at(QOS1, 1).retained());
    a.expect_puback();
    a.disconnect();
    // The serial of a session that is gone is nobody's, as long as a message names it.
    world.advance_secs(1_000);
    world.crash();
    let b = world.client("b");
    let mut own = filter("x", QOS1);
    own.no_local = true;
    b.subscribe_it(own);
    b.expect_publish("x", "own");
}

#[test]
fn bounds_that_were_lowered_take_nothing_away() {
    let world = World::new();
    let a = world.lasting("a");
    a.subscribe("x", QOS1);
    let b = world.client("b");
    for packet_id in 1..=3 {
        b.publish_qos1("x", "sent", packet_id);
    }
    a.cut();
    for packet_id in 1..=3 {
        b.publish_qos1("x", "queued", packet_id);
    }
    b.publish_it(message("kept", "kept").at(QOS1, 4).retained());
    world.step(|org, _, _| {
        let mut limits = org.limits().clone();
        limits.inflight_max = 1;
        (limits.queue_messages_max, limits.queue_bytes_max) = (1, 10);
        (limits.retained_messages_max, limits.retained_bytes_max) = (0, 0);
        (limits.sessions_max, limits.subscriptions_max) = (1, 0);
        org.handle_limits(limits);
    });
    world.crash();
    assert!(world.retained("kept").is_some());
    let a = back(&world, "a");
    assert_eq!(
        a.take_all(),
        ["sent", "sent", "sent", "queued", "queued", "queued"]
    );
}

#[test]
fn what_may_no_longer_be_delivered_after_a_restart_is_not() {
    let world = World::new();
    for name in ["waits", "returns"] {
        let client = world.lasting(name);
        client.subscribe("x", QOS1);
        client.cut();
    }
    world.client("b").publish_qos1("x", "secret", 1);
    world.crash_under(Policy::deny_all());
    for name in ["waits", "returns"] {
        back(&world, name).expect_nothing();
        assert_eq!(world.session(name).map(|it| it.3), Some(0), "it is not kept");
    }
    let stored = world.inner().disk.lines(true).join(" ");
    assert!(!stored.contains("TopicNameBuf"), "{stored}");
}

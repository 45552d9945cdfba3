//! Slow subscribers: what waits, how much of it, what is dropped, and how the client learns of it.

use cloudsignal_broker::sink::DropReason;
use cloudsignal_core::codec::Publish;

use crate::client::{Client, MessageExt, QOS0, QOS1, QOS2, message};
use crate::world::World;

/// Outputs that are full after the first message, and queues of `messages`.
fn narrow(messages: usize) -> World {
    World::with_limits(|limits| {
        limits.output_bytes_max = 1;
        limits.queue_messages_max = messages;
    })
}

/// A client that reads only when it is woken, with one message in its output.
fn slow(world: &World) -> Client {
    let client = world.connect("slow").go();
    client.subscribe("#", QOS2);
    client.stall();
    world.client("first").publish("x", "0");
    client
}

fn told(publish: &Publish<'_>) -> Option<String> {
    let found = publish
        .properties
        .user_properties
        .iter()
        .find(|(name, _)| *name == "cs-dropped");
    found.map(|(_, value)| value.to_owned())
}

#[test]
fn messages_wait_while_the_output_is_full() {
    let world = narrow(100);
    let (a, b) = (slow(&world), world.client("b"));
    for payload in ["1", "2", "3"] {
        b.publish("x", payload);
    }
    assert_eq!(a.payloads(), ["0"]);
    assert_eq!(world.session("slow").map(|session| session.3), Some(3));
    // Every time it catches up, it gets what fits: here one message.
    for payload in ["1", "2", "3"] {
        a.catch_up();
        assert_eq!(a.payloads(), [payload]);
    }
    a.wake_up();
    b.publish("x", "4");
    assert_eq!(a.payloads(), ["4"]);
    assert_eq!(world.counters().queue_bytes_now, 0);
}

#[test]
fn the_oldest_qos_0_message_makes_room() {
    let world = narrow(2);
    let (a, b) = (slow(&world), world.client("b"));
    for payload in ["1", "2", "3", "4"] {
        b.publish("x", payload);
    }
    a.wake_up();
    assert_eq!(a.payloads(), ["0", "3", "4"]);
    assert_eq!(world.dropped(DropReason::QueueFullQos0), 2);
}

#[test]
fn qos_0_makes_room_for_qos_1_and_2_and_not_the_other_way_round() {
    let world = narrow(2);
    let (a, b) = (slow(&world), world.client("b"));
    b.publish("x", "1 at QoS 0");
    b.publish_qos1("x", "2 at QoS 1", 1);
    b.publish_qos2("x", "3 at QoS 2", 1);
    b.publish("x", "4 at QoS 0");
    b.publish_qos1("x", "5 at QoS 1", 1);
    a.wake_up();
    assert_eq!(a.payloads(), ["0", "2 at QoS 1", "3 at QoS 2"]);
    assert_eq!(world.dropped(DropReason::QueueFullQos0), 1);
    assert_eq!(world.dropped(DropReason::QueueFull), 2);
}

#[test]
fn the_oldest_qos_0_message_is_found_among_others() {
    let world = narrow(6);
    let (a, b) = (slow(&world), world.client("b"));
    let reliable = |payload: &str| {
        b.publish_qos1("x", payload, 1);
    };
    reliable("r1");
    b.publish("x", "1");
    reliable("r2");
    b.publish("x", "2");
    b.publish("x", "3");
    reliable("r3");
    b.publish("x", "4");
    a.catch_up();
    reliable("r4");
    b.publish("x", "5");
    b.publish("x", "6");
    reliable("r5");
    a.wake_up();
    assert_eq!(a.payloads(), ["0", "r1", "r2", "r3", "r4", "5", "6", "r5"]);
}

#[test]
fn the_next_message_says_how_many_were_dropped() {
    let world = narrow(1);
    let (a, b) = (slow(&world), world.client("b"));
    for payload in ["1", "2", "3"] {
        b.publish("x", payload);
    }
    a.wake_up();
    assert_eq!(told(&a.expect_publish("x", "0")), None);
    assert_eq!(told(&a.expect_publish("x", "3")), Some("2".into()));
    b.publish("x", "4");
    assert_eq!(told(&a.expect_publish("x", "4")), None, "said once");
}

#[test]
fn what_was_dropped_is_said_after_the_properties_of_the_publisher() {
    // [MQTT-3.3.2-17] [MQTT-3.3.2-18]
    let world = World::new();
    let a = world.connect("a").packet_bytes_max(100).go();
    a.subscribe("x", QOS0);
    let b = world.client("b");
    b.publish("x", "y".repeat(200));
    let mut wire = Vec::new();
    cloudsignal_core::codec::UserProperties::push(&mut wire, "z", "1").expect("short");
    let wire: &'static [u8] = wire.leak();
    b.publish_it(message("x", "next").with(|properties| {
        properties.user_properties =
            cloudsignal_core::codec::UserProperties::from_wire(wire).expect("just written");
    }));
    let publish = a.expect_publish("x", "next");
    let all: Vec<_> = publish.properties.user_properties.iter().collect();
    assert_eq!(all, [("z", "1"), ("cs-dropped", "1")]);
}

#[test]
fn clients_before_mqtt_5_are_not_told_but_a_later_connection_is() {
    let world = World::with_limits(|limits| limits.queue_messages_max = 1);
    let a = world.connect("a").v311().resume().go();
    a.subscribe("x", QOS1);
    a.cut();
    let b = world.client("b");
    for payload in ["1", "2", "3"] {
        b.publish_qos1("x", payload, 1);
    }
    let a = world.connect("a").v311().resume().go();
    let publish = a.expect_publish("x", "1");
    a.acknowledge(&publish);
    a.disconnect();
    let a = world.connect("a").resume().expiry(100).go();
    b.publish_qos1("x", "4", 1);
    assert_eq!(told(&a.expect_publish("x", "4")), Some("2".into()));
}

#[test]
fn the_queue_is_bounded_in_bytes_too() {
    let world = World::with_limits(|limits| {
        limits.output_bytes_max = 1;
        limits.queue_bytes_max = 1_000;
    });
    let (a, b) = (slow(&world), world.client("b"));
    for _ in 0..10 {
        b.publish("x", "y".repeat(300));
    }
    assert!(world.counters().queue_bytes_now <= 1_000);
    b.publish("x", "y".repeat(2_000));
    assert_eq!(
        world.dropped(DropReason::QueueFull),
        1,
        "what cannot fit does not drive others out"
    );
    assert_eq!(world.session("slow").map(|session| session.3), Some(2));
    a.wake_up();
    assert_eq!(a.payloads().len(), 3);
}

#[test]
fn what_has_expired_makes_room_first() {
    // [MQTT-3.3.2-5]
    let world = World::with_limits(|limits| limits.queue_messages_max = 3);
    let a = world.connect("a").expiry(1_000).go();
    a.subscribe("x", QOS1);
    a.cut();
    let b = world.client("b");
    b.publish_qos1("x", "stays", 1);
    for secs in [10, 20] {
        b.publish_it(message("x", "goes").at(QOS1, 1).expiring(secs));
    }
    world.advance_secs(10);
    b.publish_qos1("x", "new", 1);
    b.publish_qos1("x", "one too many", 1);
    assert_eq!(world.dropped(DropReason::Expired), 1);
    assert_eq!(world.dropped(DropReason::QueueFull), 1);
    world.advance_secs(10);
    b.publish_qos1("x", "newer", 1);
    let a = world.connect("a").resume().expiry(1_000).go();
    assert_eq!(a.payloads(), ["stays", "new", "newer"]);
}

#[test]
fn a_lost_connection_leaves_its_qos_0_messages_behind() {
    // [MQTT-4.1.0-1] does not ask for more
    let world = narrow(100);
    let a = world.connect("a").expiry(100).go();
    a.subscribe("#", QOS1);
    a.stall();
    let b = world.client("b");
    b.publish("x", "fills the output");
    b.publish("x", "at QoS 0");
    b.publish_qos1("x", "at QoS 1", 1);
    a.cut();
    let a = world.connect("a").resume().expiry(100).go();
    assert_eq!(a.payloads(), ["at QoS 1"]);
    assert_eq!(world.counters().queue_messages_now, 0);
}

#[test]
fn a_large_payload_passes_a_narrow_output() {
    let world = narrow(100);
    let (a, b) = (slow(&world), world.client("b"));
    let large = "z".repeat(100_000);
    b.publish_qos1("x", large.clone(), 1);
    b.publish_qos1("x", "next", 1);
    a.catch_up();
    assert_eq!(a.payloads(), ["0", &large]);
    a.catch_up();
    assert_eq!(a.payloads(), ["next"]);
}

#[test]
fn a_slow_reader_holds_up_nobody_else() {
    let world = narrow(10);
    let _slow = slow(&world);
    let fast = world.client("fast");
    fast.subscribe("#", QOS1);
    let b = world.client("b");
    for n in 0..100 {
        b.publish("x", n.to_string());
        assert_eq!(fast.payloads(), [n.to_string()]);
    }
}

#[test]
fn a_session_that_ends_gives_its_queue_back() {
    let world = World::new();
    let a = world.connect("a").expiry(10).go();
    a.subscribe("x", QOS1);
    a.cut();
    let b = world.client("b");
    for _ in 0..5 {
        b.publish_qos1("x", "hello", 1);
    }
    assert_eq!(world.counters().queue_messages_now, 5);
    world.advance_secs(10);
    let counters = world.counters();
    assert_eq!((counters.queue_messages_now, counters.queue_bytes_now), (0, 0));
    assert_eq!((counters.subscriptions_now, counters.sessions_now), (0, 1));
}

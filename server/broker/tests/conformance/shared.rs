//! Shared subscriptions: members of a group take turns, and nothing is lost when one goes.

use cloudsignal_broker::sink::DropReason;
use cloudsignal_core::Packet;
use cloudsignal_core::codec::{Ack, ReasonCode, RetainHandling, SubscribeFilter};

use crate::client::{Client, MessageExt, QOS0, QOS1, QOS2, filter, message};
use crate::world::World;

/// A member of the group `g` on `x`, at QoS 2, whose session outlives its connection.
fn member(world: &World, name: &str) -> Client {
    let client = world.connect(name).resume().expiry(100).go();
    client.subscribe("$share/g/x", QOS2);
    client
}

fn counts(clients: &[&Client]) -> Vec<usize> {
    clients.iter().map(|client| client.payloads().len()).collect()
}

#[test]
fn members_take_turns() {
    // [MQTT-4.8.2-1]
    let world = World::new();
    let (a, b, c) = (member(&world, "a"), member(&world, "b"), member(&world, "c"));
    let p = world.client("p");
    for _ in 0..6 {
        p.publish("x", "hello");
    }
    assert_eq!(counts(&[&a, &b, &c]), [2, 2, 2]);
}

#[test]
fn groups_and_plain_subscriptions_do_not_disturb_each_other() {
    let world = World::new();
    let (a, b) = (member(&world, "a"), world.client("b"));
    b.subscribe("$share/h/x", QOS0);
    b.subscribe("$share/h/+", QOS0);
    b.subscribe("x", QOS0);
    world.client("p").publish("x", "hello");
    assert_eq!(
        counts(&[&a, &b]),
        [1, 3],
        "one for each group, and one for the subscription of its own"
    );
}

#[test]
fn a_member_gets_its_own_qos_flag_and_identifier() {
    // [MQTT-4.8.2-3] [MQTT-3.3.4-3]
    let world = World::new();
    let a = world.client("a");
    a.subscribe_all(
        vec![SubscribeFilter {
            retain_as_published: true,
            ..filter("$share/g/x", QOS1)
        }],
        Some(4),
    );
    let b = world.client("b");
    b.subscribe("$share/g/x", QOS0);
    let p = world.client("p");
    for _ in 0..2 {
        p.publish_it(message("x", "hello").at(QOS2, 1).retained());
        p.expect_pubrec();
        p.pubrel(crate::client::id(1));
        p.expect_pubcomp();
    }
    let publish = a.expect_publish("x", "hello");
    assert_eq!((publish.qos, publish.retain), (QOS1, true));
    assert_eq!(
        publish.properties.subscription_ids.iter().collect::<Vec<_>>(),
        [4]
    );
    let publish = b.expect_publish("x", "hello");
    assert_eq!((publish.qos, publish.retain), (QOS0, false));
    assert!(publish.properties.subscription_ids.is_empty());
}

#[test]
fn a_group_gets_no_retained_messages() {
    // section 4.8.2; [MQTT-3.3.1-9] is about subscriptions that are not shared
    let world = World::new();
    world.client("p").publish_it(message("x", "kept").retained());
    let a = world.client("a");
    a.subscribe_it(SubscribeFilter {
        retain_handling: RetainHandling::SendAtSubscribe,
        ..filter("$share/g/x", QOS1)
    });
    a.expect_nothing();
}

#[test]
fn no_local_is_not_for_groups() {
    // [MQTT-3.8.3-4]
    let world = World::new();
    let client = world.client("a");
    let mut bytes = vec![0x82, 16, 0, 9, 0, 0, 10];
    bytes.extend_from_slice(b"$share/g/x");
    bytes.push(0b0000_0101);
    client.send_bytes(&bytes);
    client.expect_disconnect(ReasonCode::ProtocolError);
}

#[test]
fn wrong_share_names_are_refused() {
    // [MQTT-4.8.2-1] [MQTT-4.8.2-2]: see subscribe::a_bad_filter_is_refused_and_the_others_are_granted
    let world = World::new();
    let client = world.client("a");
    client.subscribe("$share", QOS0);
    client.subscribe("$sharex/g/x", QOS0);
    world.client("p").publish("$sharex/g/x", "an ordinary topic");
    client.expect_publish("$sharex/g/x", "an ordinary topic");
}

#[test]
fn a_member_that_leaves_gets_no_more() {
    // [MQTT-3.10.4-2]
    let world = World::new();
    let (a, b) = (member(&world, "a"), member(&world, "b"));
    assert_eq!(a.unsubscribe(&["$share/g/x"]), [ReasonCode::Success]);
    let p = world.client("p");
    for _ in 0..3 {
        p.publish("x", "hello");
    }
    assert_eq!(counts(&[&a, &b]), [0, 3]);
    b.unsubscribe(&["$share/g/x"]);
    assert_eq!(p.publish_qos1("x", "hello", 1), ReasonCode::NoMatchingSubscribers);
}

#[test]
fn who_can_take_it_at_once_is_preferred() {
    let world = World::new();
    let slow = world.connect("slow").receive_max(1).go();
    slow.subscribe("$share/g/x", QOS1);
    let fast = member(&world, "fast");
    let p = world.client("p");
    for _ in 0..5 {
        p.publish_qos1("x", "hello", 1);
    }
    assert_eq!(counts(&[&slow, &fast]), [1, 4]);
    fast.cut();
    slow.expect_nothing();
    assert_eq!(
        world.session("slow").map(|session| session.3),
        Some(4),
        "what the fast one had not acknowledged waits for the slow one"
    );
}

#[test]
fn who_is_away_gets_a_message_only_when_nobody_is_there() {
    // [MQTT-4.5.0-1]
    let world = World::new();
    let (a, b) = (member(&world, "a"), member(&world, "b"));
    a.cut();
    let p = world.client("p");
    p.publish_qos1("x", "1", 1);
    p.publish_qos1("x", "2", 1);
    assert_eq!(b.payloads(), ["1", "2"]);
    b.disconnect();
    p.publish_qos1("x", "3", 1);
    p.publish("x", "at QoS 0 it waits for nobody");
    let stored: Vec<_> = ["a", "b"]
        .map(|name| world.session(name).expect("it is there").3)
        .into();
    assert_eq!(stored.iter().sum::<usize>(), 1);
}

#[test]
fn what_a_lost_member_did_not_acknowledge_goes_to_another() {
    // [MQTT-4.8.2-4] does not hold for QoS 1: section 4.8.2 allows to give it to another at once
    let world = World::new();
    let (a, b) = (member(&world, "a"), member(&world, "b"));
    a.unsubscribe(&["$share/g/x"]);
    b.unsubscribe(&["$share/g/x"]);
    b.subscribe("$share/g/x", QOS2);
    let p = world.client("p");
    for payload in ["1", "2", "3"] {
        p.publish_qos1("x", payload, 1);
    }
    let first = b.expect_publish("x", "1");
    b.acknowledge(&first);
    a.subscribe("$share/g/x", QOS2);
    b.cut();
    for payload in ["2", "3"] {
        let publish = a.expect_publish("x", payload);
        assert!(!publish.dup, "for this client it is new");
        a.acknowledge(&publish);
    }
    let b = member(&world, "b");
    b.expect_nothing();
}

#[test]
fn qos_2_stays_with_the_member_it_was_sent_to() {
    // [MQTT-4.8.2-4] [MQTT-4.8.2-5]
    let world = World::new();
    let (a, b) = (member(&world, "a"), member(&world, "b"));
    let p = world.client("p");
    p.publish_qos2("x", "for one of them", 1);
    a.expect_publish("x", "for one of them");
    a.cut();
    b.expect_nothing();
    let a = world.connect("a").resume().expiry(100).go();
    assert!(a.expect_publish("x", "for one of them").dup);
    a.cut();
    world.advance_secs(100);
    assert_eq!(world.session("a"), None);
    b.expect_nothing();
}

#[test]
fn what_waits_for_a_session_that_ends_goes_to_another() {
    let world = World::new();
    let a = member(&world, "a");
    a.cut();
    let p = world.client("p");
    p.publish_qos1("x", "1", 1);
    p.publish_qos2("x", "2", 1);
    let b = member(&world, "b");
    b.expect_nothing();
    world.advance_secs(100);
    assert_eq!(b.payloads(), ["1", "2"]);
}

#[test]
fn a_refused_message_goes_to_nobody_else() {
    // [MQTT-4.8.2-6]
    let world = World::new();
    let (a, b) = (member(&world, "a"), member(&world, "b"));
    let p = world.client("p");
    p.publish_qos1("x", "1", 1);
    let publish = a.expect_publish("x", "1");
    let packet_id = publish.packet_id.expect("QoS 1 has one");
    a.send(&Packet::PubAck(Ack::new(packet_id, ReasonCode::UnspecifiedError)));
    p.publish_qos2("x", "2", 1);
    let publish = b.expect_publish("x", "2");
    let packet_id = publish.packet_id.expect("QoS 2 has one");
    b.send(&Packet::PubRec(Ack::new(packet_id, ReasonCode::UnspecifiedError)));
    a.cut();
    b.expect_nothing();
    b.cut();
    let a = world.connect("a").resume().expiry(100).go();
    a.expect_nothing();
}

#[test]
fn a_message_too_large_for_one_member_goes_to_another() {
    // [MQTT-3.1.2-24] [MQTT-3.1.2-25]
    let world = World::new();
    let small = world.connect("small").packet_bytes_max(100).go();
    small.subscribe("$share/g/x", QOS1);
    let large = world.client("large");
    large.subscribe("$share/g/x", QOS1);
    let p = world.client("p");
    for _ in 0..4 {
        p.publish_qos1("x", "y".repeat(200), 1);
    }
    assert_eq!(counts(&[&small, &large]), [0, 4]);
    assert_eq!(world.dropped(DropReason::PacketTooLarge), 0);
    // A packet of exactly 100 bytes: header 2, topic 3, identifier 2, property length 1.
    p.publish_qos1("x", "y".repeat(92), 1);
    p.publish_qos1("x", "y".repeat(92), 1);
    assert_eq!(counts(&[&small, &large]), [1, 1]);
    large.cut();
    assert_eq!(
        p.publish_qos1("x", "y".repeat(200), 1),
        ReasonCode::NoMatchingSubscribers,
        "only when nobody can take it"
    );
    assert_eq!(world.dropped(DropReason::PacketTooLarge), 1);
}

#[test]
fn a_full_member_is_passed_over() {
    let world = World::with_limits(|limits| limits.queue_messages_max = 2);
    let full = world.connect("full").receive_max(1).go();
    full.subscribe("$share/g/x", QOS1);
    let p = world.client("p");
    for _ in 0..3 {
        p.publish_qos1("x", "for the first", 1);
    }
    let away = member(&world, "away");
    away.cut();
    for _ in 0..2 {
        p.publish_qos1("x", "for the other", 1);
    }
    assert_eq!(world.dropped(DropReason::QueueFull), 0);
    assert_eq!(world.session("away").map(|session| session.3), Some(2));
    p.publish_qos1("x", "for nobody", 1);
    assert_eq!(world.dropped(DropReason::QueueFull), 1);
}

#[test]
fn a_member_is_not_served_twice_after_subscribing_again() {
    // [MQTT-3.8.4-3]
    let world = World::new();
    let a = member(&world, "a");
    a.subscribe("$share/g/x", QOS0);
    let p = world.client("p");
    p.publish_qos1("x", "hello", 1);
    assert_eq!(a.expect_publish("x", "hello").qos, QOS0);
    a.expect_nothing();
}

#[test]
fn what_is_handed_over_at_qos_2_leaves_when_its_old_owner_cannot_get_it_back() {
    // [MQTT-4.3.3-7]
    let world = World::new();
    let a = member(&world, "a");
    a.cut();
    world.client("p").publish_qos2("x", "for one of them", 1);
    let passing = world.client("passing");
    passing.subscribe("$share/g/x", QOS2);
    world.withhold_store();
    world.advance_secs(100);
    passing.expect_nothing();
    world.settle();
    assert_eq!(passing.payloads(), ["for one of them"]);
    assert_eq!(world.session("a"), None);
}

#[test]
fn what_is_handed_over_in_vain_is_where_it_was() {
    // [MQTT-4.3.3-7]: the store knows nothing of the hand-over when the broker dies.
    for passes_on in [false, true] {
        let world = World::new();
        let a = world.connect("a").resume().expiry(100).receive_max(1).go();
        a.subscribe("$share/g/x", QOS2);
        for payload in ["fills the window", "for one of them"] {
            world.client("p").publish_qos2("x", payload, 1);
        }
        let (b, c) = (world.client("b"), world.client("c"));
        b.subscribe("$share/g/x", QOS2);
        world.withhold_store();
        a.cut();
        b.expect_nothing();
        c.subscribe("$share/g/x", QOS2);
        if passes_on {
            b.cut();
            c.expect_nothing();
        }
        world.crash();
        let a = world.connect("a").resume().expiry(100).send();
        world.settle();
        a.expect_connack();
        assert_eq!(a.payloads(), ["fills the window", "for one of them"]);
    }
}

//! Retained messages: kept, replaced, forgotten, and given to new subscriptions.

use cloudsignal_broker::sink::DropReason;
use cloudsignal_core::Version;
use cloudsignal_core::codec::{Publish, ReasonCode, RetainHandling, SubscribeFilter};

use crate::client::{Client, MessageExt, QOS0, QOS1, QOS2, filter, message};
use crate::world::World;

fn retained(name: &str, payload: &str) -> Publish<'static> {
    message(name, payload).at(QOS1, 1).retained()
}

fn keep(client: &Client, name: &str, payload: &str) {
    client.publish_it(retained(name, payload));
    assert!(!client.expect_puback().reason.is_error());
}

fn handling(retain_handling: RetainHandling) -> SubscribeFilter<'static> {
    SubscribeFilter {
        retain_handling,
        ..filter("x/#", QOS1)
    }
}

#[test]
fn the_last_retained_message_is_given_to_new_subscriptions() {
    // [MQTT-3.3.1-5] [MQTT-3.3.1-9]; 3.1.1 [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-8]
    let world = World::new();
    let b = world.client("b");
    keep(&b, "x/1", "old");
    keep(&b, "x/1", "new");
    b.publish_it(message("x/2", "at QoS 0").retained());
    b.publish("x/1", "not retained");
    for version in [Version::V31, Version::V311, Version::V5] {
        let a = world.connect("a").version(version).go();
        a.subscribe("x/+", QOS2);
        let first = a.expect_publish("x/1", "new");
        assert_eq!((first.retain, first.qos, first.dup), (true, QOS1, false));
        let second = a.expect_publish("x/2", "at QoS 0");
        assert_eq!((second.retain, second.qos), (true, QOS0));
        a.expect_nothing();
    }
}

#[test]
fn a_retained_message_at_qos_0_replaces_too() {
    // 3.1.1 [MQTT-3.3.1-7]
    let world = World::new();
    let b = world.client("b");
    keep(&b, "x", "old");
    b.publish_it(message("x", "new").retained());
    assert_eq!(world.retained("x"), Some(b"new".to_vec()));
}

#[test]
fn an_empty_retained_message_clears_and_is_passed_on() {
    // [MQTT-3.3.1-6] [MQTT-3.3.1-7]; 3.1.1 [MQTT-3.3.1-10] [MQTT-3.3.1-11]
    let world = World::new();
    let a = world.client("a");
    a.subscribe("x", QOS1);
    let b = world.client("b");
    keep(&b, "x", "kept");
    keep(&b, "x", "");
    assert_eq!(a.payloads(), ["kept", ""]);
    assert_eq!(world.retained("x"), None);
    a.subscribe("x", QOS1);
    a.expect_nothing();
    keep(&b, "x", "");
    assert_eq!(world.counters().retained_messages_now, 0);
    assert_eq!(world.counters().retained_bytes_now, 0);
}

#[test]
fn a_message_that_is_not_retained_leaves_the_retained_one_alone() {
    // [MQTT-3.3.1-8]; 3.1.1 [MQTT-3.3.1-12]
    let world = World::new();
    let b = world.client("b");
    keep(&b, "x", "kept");
    b.publish("x", "passes");
    b.publish("x", "");
    assert_eq!(world.retained("x"), Some(b"kept".to_vec()));
}

#[test]
fn retained_messages_outlive_the_session_of_their_publisher() {
    // 3.1.1 [MQTT-3.1.2-7]
    let world = World::new();
    let b = world.client("b");
    keep(&b, "x", "kept");
    b.disconnect();
    assert_eq!(world.session("b"), None);
    assert_eq!(world.retained("x"), Some(b"kept".to_vec()));
}

#[test]
fn retain_handling_says_when_retained_messages_are_given() {
    // [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] [MQTT-3.8.4-4]
    let world = World::new();
    keep(&world.client("b"), "x/1", "kept");
    let cases = [
        (RetainHandling::SendAtSubscribe, ["kept", "kept"].as_slice()),
        (RetainHandling::SendIfNew, &["kept"]),
        (RetainHandling::DoNotSend, &[]),
    ];
    for (how, expected) in cases {
        let a = world.client("a");
        let mut got = Vec::new();
        for _ in 0..2 {
            a.subscribe_it(handling(how));
            got.append(&mut a.payloads());
        }
        assert_eq!(got, expected, "{how:?}");
    }
    let a = world.client("a");
    a.subscribe_it(handling(RetainHandling::DoNotSend));
    a.unsubscribe(&["x/#"]);
    a.subscribe_it(handling(RetainHandling::SendIfNew));
    assert_eq!(a.payloads(), ["kept"], "it is new again");
}

#[test]
fn a_subscription_kept_by_the_session_is_not_new() {
    // [MQTT-3.3.1-10]
    let world = World::new();
    keep(&world.client("b"), "x/1", "kept");
    let a = world.connect("a").expiry(100).go();
    a.subscribe_it(handling(RetainHandling::DoNotSend));
    a.cut();
    let a = world.connect("a").resume().expiry(100).go();
    a.expect_nothing();
    a.subscribe_it(handling(RetainHandling::SendIfNew));
    a.expect_nothing();
}

#[test]
fn retain_as_published_keeps_the_flag() {
    // [MQTT-3.3.1-12] [MQTT-3.3.1-13]; 3.1.1 [MQTT-3.3.1-9]
    let world = World::new();
    let plain = world.client("plain");
    plain.subscribe("x", QOS1);
    let old = world.connect("old").v311().go();
    old.subscribe("x", QOS1);
    let faithful = world.client("faithful");
    faithful.subscribe_it(SubscribeFilter {
        retain_as_published: true,
        ..filter("x", QOS1)
    });
    let b = world.client("b");
    keep(&b, "x", "retained");
    b.publish("x", "not");
    for (client, expected) in [(plain, false), (old, false), (faithful, true)] {
        assert_eq!(client.expect_publish("x", "retained").retain, expected);
        assert!(!client.expect_publish("x", "not").retain);
    }
}

#[test]
fn a_retained_message_for_a_new_subscription_is_marked_whatever_the_options() {
    // section 3.3.1.3 of MQTT 5.0; 3.1.1 [MQTT-3.3.1-8]
    let world = World::new();
    keep(&world.client("b"), "x", "kept");
    for retain_as_published in [false, true] {
        let a = world.client("a");
        a.subscribe_all(
            vec![SubscribeFilter {
                retain_as_published,
                ..filter("x", QOS0)
            }],
            Some(3),
        );
        let publish = a.expect_publish("x", "kept");
        assert!(publish.retain);
        assert_eq!(publish.qos, QOS0, "[MQTT-3.8.4-8]");
        let ids: Vec<_> = publish.properties.subscription_ids.iter().collect();
        assert_eq!(ids, [3]);
    }
}

#[test]
fn a_retained_message_ages_and_dies() {
    // [MQTT-3.3.2-5] [MQTT-3.3.2-6]
    let world = World::new();
    world.client("b").publish_it(retained("x", "kept").expiring(60));
    world.advance_secs(59);
    let a = world.client("a");
    a.subscribe("x", QOS0);
    let publish = a.expect_publish("x", "kept");
    assert_eq!(publish.properties.message_expiry_secs, Some(1));
    world.advance_unnoticed(1);
    a.subscribe("x", QOS0);
    a.expect_nothing();
    world.advance_secs(0);
    assert_eq!(world.retained("x"), None);
    assert_eq!(world.counters().retained_messages_now, 0);
    assert_eq!(world.dropped(DropReason::Expired), 1);
}

#[test]
fn replacing_a_retained_message_replaces_its_end() {
    let world = World::new();
    let b = world.client("b");
    b.publish_it(retained("x", "short").expiring(10));
    keep(&b, "x", "for ever");
    world.advance_secs(20);
    assert_eq!(world.retained("x"), Some(b"for ever".to_vec()));
}

#[test]
fn retained_messages_are_bounded() {
    let world = World::with_limits(|limits| limits.retained_messages_max = 2);
    let a = world.client("a");
    a.subscribe("#", QOS0);
    let b = world.client("b");
    keep(&b, "1", "first");
    keep(&b, "2", "second");
    b.publish_it(retained("3", "third"));
    assert_eq!(b.expect_puback().reason, ReasonCode::QuotaExceeded);
    keep(&b, "1", "replaced");
    assert_eq!(
        a.payloads(),
        ["first", "second", "replaced"],
        "what is refused is not passed on"
    );
    keep(&b, "2", "");
    keep(&b, "3", "third");
    assert_eq!(world.dropped(DropReason::RetainedFull), 1);

    let world = World::with_limits(|limits| limits.retained_bytes_max = 1_000);
    let b = world.client("b");
    b.publish_it(retained("x", &"x".repeat(1_000)));
    assert_eq!(b.expect_puback().reason, ReasonCode::QuotaExceeded);
}

#[test]
fn many_retained_messages_are_given_as_fast_as_the_client_reads() {
    let world = World::with_limits(|limits| limits.output_bytes_max = 1_000);
    let b = world.client("b");
    let count = 2_500;
    b.send_many(
        (0..count)
            .map(|n| cloudsignal_core::Packet::Publish(message(&format!("x/{n:05}"), "kept").retained())),
    );
    let a = world.client("a");
    a.stall();
    a.subscribe("x/#", QOS0);
    let mut got = Vec::new();
    loop {
        let some = a.payloads().len();
        if some == 0 {
            break;
        }
        assert!(some < 100, "no more than the output takes");
        got.push(some);
        a.catch_up();
    }
    assert_eq!(got.iter().sum::<usize>(), count);
    assert!(got.len() > 20);
    a.catch_up();
    a.expect_nothing();
}

#[test]
fn many_retained_messages_do_not_hold_up_a_turn() {
    let world = World::new();
    let b = world.client("b");
    b.send_many(
        (0..3_500)
            .map(|n| cloudsignal_core::Packet::Publish(message(&format!("x/{n:05}"), "kept").retained())),
    );
    // A thousand topics are looked at in one turn; the rest is due at once.
    let a = world.client("a");
    let subscribe = cloudsignal_core::codec::Subscribe::new(crate::client::id(1), vec![filter("x/#", QOS0)]);
    {
        let inner = &mut *world.inner();
        inner.org.handle_packet(
            a.conn,
            &cloudsignal_core::Packet::Subscribe(subscribe),
            inner.now,
            &mut inner.tape,
        );
        assert_eq!(inner.org.poll_timeout(), Some(inner.now));
    }
    a.expect_suback();
    assert_eq!(a.payloads().len(), 1_000);
    world.advance_secs(0);
    assert_eq!(a.payloads().len(), 2_500);
}

#[test]
fn retained_messages_at_qos_1_wait_for_acknowledgements() {
    // [MQTT-3.3.4-9]
    let world = World::new();
    let b = world.client("b");
    for n in 0..5 {
        keep(&b, &format!("x/{n}"), "kept");
    }
    let a = world.connect("a").receive_max(2).go();
    a.subscribe("x/#", QOS1);
    let first = a.expect_publish("x/0", "kept");
    let second = a.expect_publish("x/1", "kept");
    a.expect_nothing();
    a.acknowledge(&second);
    a.expect_publish("x/2", "kept");
    a.expect_nothing();
    a.acknowledge(&first);
    a.expect_publish("x/3", "kept");
    a.expect_nothing();
}

#[test]
fn the_rest_of_the_retained_messages_comes_after_a_reconnect() {
    let world = World::new();
    let b = world.client("b");
    for n in 0..4 {
        keep(&b, &format!("x/{n}"), "kept");
    }
    let connect = || world.connect("a").resume().expiry(100).receive_max(1);
    let a = connect().go();
    a.send(&cloudsignal_core::Packet::Subscribe(
        cloudsignal_core::codec::Subscribe::new(crate::client::id(1), vec![filter("x/#", QOS1)]),
    ));
    a.read_all();
    a.cut();
    let a = connect().go();
    for n in 0..4 {
        let publish = a.expect_publish(&format!("x/{n}"), "kept");
        a.acknowledge(&publish);
    }
    a.expect_nothing();
}

#[test]
fn unsubscribing_ends_the_handing_out() {
    let world = World::new();
    let b = world.client("b");
    for n in 0..4 {
        keep(&b, &format!("x/{n}"), "kept");
    }
    let a = world.connect("a").receive_max(1).go();
    a.subscribe("x/#", QOS1);
    let publish = a.expect_publish("x/0", "kept");
    a.unsubscribe(&["x/#"]);
    a.acknowledge(&publish);
    a.expect_nothing();
}

#[test]
fn a_message_retained_meanwhile_is_not_given_twice_in_the_wrong_order() {
    let world = World::new();
    let b = world.client("b");
    keep(&b, "x/1", "old 1");
    keep(&b, "x/2", "old 2");
    let a = world.connect("a").receive_max(1).go();
    a.subscribe("x/#", QOS1);
    let first = a.expect_publish("x/1", "old 1");
    keep(&b, "x/2", "new 2");
    a.acknowledge(&first);
    let mut got = Vec::new();
    while let Some(cloudsignal_core::Packet::Publish(publish)) = a.read() {
        got.push(String::from_utf8_lossy(publish.payload).into_owned());
        a.acknowledge(&publish);
    }
    assert_eq!(got.last().map(String::as_str), Some("new 2"));
    assert!(!got.contains(&"old 2".into()), "{got:?}");
}

//! SUBSCRIBE and UNSUBSCRIBE: what is granted, and who gets what because of it.

use cloudsignal_core::Packet;
use cloudsignal_core::codec::{ReasonCode, Subscribe, SubscribeFilter};

use crate::client::{Client, MessageExt, QOS0, QOS1, QOS2, filter, id, message};
use crate::world::World;

fn ids(client: &Client, payload: &str) -> Vec<u32> {
    let publish = client.expect_publish("a/b", payload);
    publish.properties.subscription_ids.iter().collect()
}

#[test]
fn every_filter_of_a_subscribe_is_answered_in_order() {
    // [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] [MQTT-3.9.3-2]
    // 3.1.1 [MQTT-3.8.4-4] [MQTT-3.8.4-5] [MQTT-3.9.3-1]
    let world = World::new();
    let client = world.client("a");
    let suback = client.subscribe_all(
        vec![
            filter("a", QOS2),
            filter("b", QOS0),
            filter("a", QOS1),
            filter("$share/g/c", QOS1),
        ],
        None,
    );
    assert_eq!(
        suback.reasons,
        [
            ReasonCode::GrantedQos2,
            ReasonCode::Success,
            ReasonCode::GrantedQos1,
            ReasonCode::GrantedQos1
        ]
    );
    let b = world.client("b");
    b.publish_qos2("a", "hello", 1);
    assert_eq!(
        client.expect_publish("a", "hello").qos,
        QOS1,
        "the last one of two that are alike holds"
    );
}

#[test]
fn a_bad_filter_is_refused_and_the_others_are_granted() {
    // [MQTT-3.8.4-5] [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.8.2-1] [MQTT-4.8.2-2] [MQTT-4.7.3-1]
    let world = World::new();
    let bad = [
        "a#",
        "#/a",
        "a+/b",
        "$share//a",
        "$share/+/a",
        "$share/g",
        "$share/g/",
        "",
    ];
    for text in bad {
        let mut bytes = vec![0x82, 0, 0, 9, 0];
        for (name, qos) in [("fine", 1), (text, 1), ("fine too", 2)] {
            bytes.extend_from_slice(&u16::try_from(name.len()).expect("short").to_be_bytes());
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(qos);
        }
        bytes[1] = u8::try_from(bytes.len() - 2).expect("short");
        let client = world.client("a");
        client.send_bytes(&bytes);
        assert_eq!(
            client.expect_suback().reasons,
            [
                ReasonCode::GrantedQos1,
                ReasonCode::TopicFilterInvalid,
                ReasonCode::GrantedQos2
            ],
            "{text}"
        );
        bytes.remove(4);
        bytes[1] -= 1;
        let old = world.connect("old").v311().go();
        old.send_bytes(&bytes);
        let reasons = old.expect_suback().reasons;
        assert_eq!(reasons[1], ReasonCode::UnspecifiedError, "0x80 is all 3.1.1 has");
        assert_eq!(world.counters().subscriptions_now, 4, "{text}");
    }
}

#[test]
fn subscribing_again_replaces() {
    // [MQTT-3.8.4-3]; 3.1.1 [MQTT-3.8.4-3]
    let world = World::new();
    let client = world.client("a");
    client.subscribe("a/+", QOS0);
    client.subscribe_all(vec![filter("a/+", QOS1)], Some(5));
    let b = world.client("b");
    b.publish_qos1("a/b", "once", 1);
    assert_eq!(ids(&client, "once"), [5]);
    client.expect_nothing();
    assert_eq!(world.counters().subscriptions_now, 1);
}

#[test]
fn replacing_a_subscription_loses_nothing() {
    // [MQTT-3.8.4-4]
    let world = World::new();
    let client = world.connect("a").receive_max(1).go();
    client.subscribe("a/b", QOS1);
    let b = world.client("b");
    b.publish_qos1("a/b", "1", 1);
    b.publish_qos1("a/b", "2", 1);
    let first = client.expect_publish("a/b", "1");
    client.subscribe("a/b", QOS1);
    b.publish_qos1("a/b", "3", 1);
    client.acknowledge(&first);
    let second = client.expect_publish("a/b", "2");
    client.acknowledge(&second);
    client.expect_publish("a/b", "3");
}

#[test]
fn overlapping_subscriptions_bring_one_message_at_the_highest_qos_with_every_identifier() {
    // [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4]; 3.1.1 [MQTT-3.3.5-1]
    let world = World::new();
    let client = world.client("a");
    client.subscribe_all(vec![filter("a/#", QOS0)], Some(1));
    client.subscribe_all(vec![filter("a/+", QOS2)], Some(2));
    client.subscribe_all(vec![filter("+/b", QOS1), filter("#", QOS0)], Some(2));
    client.subscribe("a/b", QOS0);
    let b = world.client("b");
    b.publish_qos2("a/b", "hello", 1);
    let publish = client.expect_publish("a/b", "hello");
    assert_eq!(publish.qos, QOS2);
    let mut ids: Vec<_> = publish.properties.subscription_ids.iter().collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 2, 2], "as often as it was used");
    client.expect_nothing();
}

#[test]
fn all_identifiers_of_very_many_overlapping_subscriptions_are_sent() {
    // [MQTT-3.3.4-4]
    let world = World::new();
    let client = world.client("a");
    // Each of eight levels is named or `+`: 256 filters that all match.
    for bits in 0..256_u32 {
        let levels: Vec<_> = (0..8)
            .map(|at| if bits >> at & 1 == 1 { "+" } else { "x" })
            .collect();
        client.subscribe_all(vec![filter(&levels.join("/"), QOS0)], Some(bits + 1));
    }
    world.client("b").publish("x/x/x/x/x/x/x/x", "hello");
    let publish = client.expect_publish("x/x/x/x/x/x/x/x", "hello");
    let mut ids: Vec<_> = publish.properties.subscription_ids.iter().collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=256).collect::<Vec<_>>());
}

#[test]
fn an_identifier_goes_with_its_subscription() {
    // [MQTT-3.3.4-5]
    let world = World::new();
    let client = world.connect("a").expiry(100).go();
    client.subscribe_all(vec![filter("a/b", QOS1)], Some(268_435_455));
    let b = world.client("b");
    b.publish_qos1("a/b", "now", 1);
    assert_eq!(ids(&client, "now"), [268_435_455]);
    client.cut();
    b.publish_qos1("a/b", "later", 1);
    let client = world.connect("a").resume().expiry(100).go();
    assert_eq!(ids(&client, "now"), [268_435_455], "also when it is sent again");
    assert_eq!(ids(&client, "later"), [268_435_455]);
    assert_eq!(client.unsubscribe(&["a/b"]), [ReasonCode::Success]);
    client.subscribe("a/b", QOS1);
    b.publish_qos1("a/b", "last", 1);
    assert!(ids(&client, "last").is_empty());
}

#[test]
fn no_local_keeps_a_clients_own_messages_from_it() {
    // [MQTT-3.8.3-3]
    let world = World::new();
    let (a, b) = (world.client("a"), world.client("b"));
    let no_local = SubscribeFilter {
        no_local: true,
        ..filter("a/b", QOS1)
    };
    a.subscribe_it(no_local.clone());
    b.subscribe_it(no_local);
    a.publish("a/b", "from a");
    a.expect_nothing();
    b.expect_publish("a/b", "from a");
}

#[test]
fn no_local_holds_for_one_subscription_and_not_for_the_one_beside_it() {
    // [MQTT-3.8.3-3] [MQTT-3.3.4-2]
    let world = World::new();
    let (a, b) = (world.client("a"), world.client("b"));
    let no_local = SubscribeFilter {
        no_local: true,
        retain_as_published: true,
        ..filter("a/#", QOS2)
    };
    a.subscribe_all(vec![no_local], Some(1));
    a.subscribe_all(vec![filter("a/b", QOS1)], Some(2));
    a.publish_it(message("a/b", "mine").at(QOS2, 1).retained());
    let publish = a.expect_publish("a/b", "mine");
    a.expect_pubrec();
    assert_eq!((publish.qos, publish.retain), (QOS1, false));
    assert_eq!(
        publish.properties.subscription_ids.iter().collect::<Vec<_>>(),
        [2]
    );
    b.publish_it(message("a/b", "theirs").at(QOS2, 1).retained());
    let publish = a.expect_publish("a/b", "theirs");
    assert_eq!((publish.qos, publish.retain), (QOS2, true));
    assert_eq!(
        publish.properties.subscription_ids.iter().collect::<Vec<_>>(),
        [2, 1],
        "in no particular order"
    );
    a.expect_nothing();
}

#[test]
fn no_local_is_about_the_client_and_not_its_connection() {
    // [MQTT-3.8.3-3]
    let world = World::new();
    let a = world.connect("a").expiry(100).go();
    a.subscribe_it(SubscribeFilter {
        no_local: true,
        ..filter("a/b", QOS1)
    });
    a.cut();
    let a = world.connect("a").resume().expiry(100).go();
    a.publish("a/b", "from a");
    a.expect_nothing();
}

#[test]
fn subscriptions_are_bounded() {
    let world = World::with_limits(|limits| limits.subscriptions_max = 2);
    let client = world.client("a");
    client.subscribe("a", QOS1);
    client.subscribe("b", QOS1);
    assert_eq!(client.subscribe_it(filter("c", QOS1)), ReasonCode::QuotaExceeded);
    client.subscribe("a", QOS0);
    client.unsubscribe(&["b"]);
    client.subscribe("c", QOS1);
    let old = world.connect("old").v311().go();
    let reasons = old
        .subscribe_all(["a", "b", "c"].map(|text| filter(text, QOS0)).to_vec(), None)
        .reasons;
    assert_eq!(reasons[2], ReasonCode::UnspecifiedError);
}

#[test]
fn a_subscribe_with_more_filters_than_a_session_may_have_is_cut_short() {
    let world = World::with_limits(|limits| limits.subscriptions_max = 2);
    let client = world.client("a");
    let filters = ["a", "a", "a", "b"].map(|text| filter(text, QOS0));
    let reasons = client.subscribe_all(filters.to_vec(), None).reasons;
    assert_eq!(
        reasons,
        [
            ReasonCode::Success,
            ReasonCode::Success,
            ReasonCode::QuotaExceeded,
            ReasonCode::QuotaExceeded
        ]
    );
}

#[test]
fn filters_are_bounded_in_bytes() {
    let world = World::with_limits(|limits| limits.filter_bytes_max = 10);
    let client = world.client("a");
    client.subscribe("12345", QOS0);
    assert_eq!(
        client.subscribe_it(filter("123456", QOS0)),
        ReasonCode::QuotaExceeded
    );
    client.subscribe("1234", QOS0);
    client.subscribe("12345", QOS1);
    assert_eq!(client.subscribe_it(filter("xx", QOS0)), ReasonCode::QuotaExceeded);
    client.unsubscribe(&["12345"]);
    client.subscribe("123456", QOS0);
}

#[test]
fn a_filter_that_is_too_deep_is_refused() {
    let world = World::with_limits(|limits| limits.topic_levels_max = 3);
    let client = world.client("a");
    client.subscribe("a/b/#", QOS0);
    client.subscribe("$share/g/a/b/c", QOS0);
    assert_eq!(
        client.subscribe_it(filter("a/b/c/#", QOS0)),
        ReasonCode::TopicFilterInvalid
    );
}

#[test]
fn unsubscribing_stops_new_messages() {
    // [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.11.3-2]; 3.1.1 [MQTT-3.10.4-1] [MQTT-3.10.4-4]
    let world = World::new();
    let client = world.client("a");
    for text in ["a/+", "a/#", "a/b"] {
        client.subscribe(text, QOS1);
    }
    assert_eq!(
        client.unsubscribe(&["a/b/", "+/b", "A/b"]),
        [ReasonCode::NoSubscriptionExisted; 3],
        "matching is not enough: it must be the same filter"
    );
    assert_eq!(client.unsubscribe(&["a/+"]), [ReasonCode::Success]);
    let b = world.client("b");
    b.publish("a/b", "two are left");
    client.expect_publish("a/b", "two are left");
    assert_eq!(client.unsubscribe(&["a/#", "a/b"]), [ReasonCode::Success; 2]);
    b.publish("a/b", "none is left");
    client.expect_nothing();
}

#[test]
fn unsubscribe_is_answered_in_order_also_when_nothing_was_there() {
    // [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-3.11.3-1]; 3.1.1 [MQTT-3.10.4-5] [MQTT-3.10.4-6]
    let world = World::new();
    let client = world.client("a");
    client.subscribe("a", QOS1);
    assert_eq!(
        client.unsubscribe(&["none", "a", "a"]),
        [
            ReasonCode::NoSubscriptionExisted,
            ReasonCode::Success,
            ReasonCode::NoSubscriptionExisted
        ]
    );
    let mut bytes = vec![0xA2, 8, 0, 9, 0, 0, 3];
    bytes.extend_from_slice(b"a+b");
    client.send_bytes(&bytes);
    assert_eq!(client.expect_unsuback().reasons, [ReasonCode::TopicFilterInvalid]);
    let old = world.connect("old").v311().go();
    assert!(
        old.unsubscribe(&["none"]).is_empty(),
        "3.1.1 says no more than UNSUBACK"
    );
}

#[test]
fn what_was_begun_is_delivered_after_unsubscribe() {
    // [MQTT-3.10.4-3]; 3.1.1 [MQTT-3.10.4-3]
    let world = World::new();
    let client = world.connect("a").expiry(100).go();
    client.subscribe("a/b", QOS2);
    let b = world.client("b");
    b.publish_qos1("a/b", "1", 1);
    b.publish_qos2("a/b", "2", 1);
    assert_eq!(client.payloads(), ["1", "2"]);
    client.unsubscribe(&["a/b"]);
    client.cut();
    let client = world.connect("a").resume().expiry(100).go();
    let first = client.expect_publish("a/b", "1");
    let second = client.expect_publish("a/b", "2");
    client.acknowledge(&first);
    client.acknowledge(&second);
    client.expect_nothing();
}

#[test]
fn a_suback_that_the_client_would_not_take_ends_the_connection() {
    // [MQTT-3.1.2-24]
    let world = World::new();
    let client = world.connect("a").packet_bytes_max(100).go();
    let filters = (0..100).map(|n| filter(&format!("t/{n}"), QOS0)).collect();
    client.send(&Packet::Subscribe(Subscribe::new(id(1), filters)));
    client.expect_disconnect(ReasonCode::PacketTooLarge);
}

#[test]
fn problem_information_is_only_for_packets_that_may_carry_it() {
    // [MQTT-3.1.2-29] [MQTT-3.9.2-1] [MQTT-3.11.2-1] [MQTT-3.4.2-2] [MQTT-3.5.2-2]
    let world = World::with_limits(|limits| limits.subscriptions_max = 0);
    let client = world
        .connect("a")
        .with(|connect| connect.request_problem_info = false)
        .go();
    let suback = client.subscribe_all(vec![filter("a", QOS0)], None);
    assert_eq!(suback.reasons, [ReasonCode::QuotaExceeded]);
    assert!(suback.reason_string.is_none() && suback.user_properties.is_empty());
    client.publish_it(message("$SYS/x", "").at(QOS1, 1));
    let puback = client.expect_puback();
    assert_eq!(puback.reason, ReasonCode::NotAuthorized);
    assert!(puback.reason_string.is_none() && puback.user_properties.is_empty());
    client.publish_it(message("$SYS/x", "").at(QOS2, 1));
    let pubrec = client.expect_pubrec();
    assert!(pubrec.reason_string.is_none() && pubrec.user_properties.is_empty());
    client.puback(id(1));
    client.pubcomp(id(1));
    client.send(&Packet::PingResp);
    assert_eq!(
        client.expect_disconnect(ReasonCode::ProtocolError).reason_string,
        None
    );
}

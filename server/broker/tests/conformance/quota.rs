//! The quotas of an organization: what a client beyond each is told, what is counted and what is not lost.

use cloudsignal_broker::sink::DropReason;
use cloudsignal_broker::{Limits, Quota};
use cloudsignal_core::codec::{ReasonCode, SubscribeFilter};

use crate::client::{MessageExt, QOS0, QOS1, filter, message, will};
use crate::world::World;

impl World {
    fn exceeded(&self, quota: Quota) -> u64 {
        self.counters().exceeded[quota.index()]
    }

    fn set_limits(&self, change: impl FnOnce(&mut Limits)) {
        self.step(|org, _, _| {
            let mut limits = org.limits().clone();
            change(&mut limits);
            org.handle_limits(limits);
            org.invariants();
        });
    }
}

// Coming in.

#[test]
fn connects_are_bounded_per_second() {
    let world = World::with_limits(|limits| limits.connects_per_sec = 2);
    world.client("a").disconnect();
    world.client("b").disconnect();
    for _ in 0..3 {
        let refused = world.connect("c").refused();
        assert_eq!(refused.reason, ReasonCode::ConnectionRateExceeded);
    }
    let refused = world.connect("c").v311().refused();
    assert_eq!(
        refused.reason,
        ReasonCode::ServerUnavailable,
        "3: try again later"
    );
    world.advance_micros(500_000);
    world.client("c");
    assert_eq!(
        world.connect("d").refused().reason,
        ReasonCode::ConnectionRateExceeded
    );
    assert_eq!(world.exceeded(Quota::Connects), 5);
    assert_eq!(world.counters().connects, 3);
}

#[test]
fn who_is_refused_for_another_reason_takes_nothing_of_the_connect_rate() {
    let world = World::with_limits(|limits| {
        limits.connects_per_sec = 2;
        limits.connections_max = 1;
    });
    let client = world.client("a");
    for _ in 0..5 {
        assert_eq!(world.connect("b").refused().reason, ReasonCode::QuotaExceeded);
    }
    client.disconnect();
    world.client("b");
    assert_eq!(world.exceeded(Quota::Connections), 5);
    assert_eq!(world.exceeded(Quota::Connects), 0);
}

#[test]
fn a_will_is_bounded_like_a_publish() {
    let world = World::with_limits(|limits| limits.payload_bytes_max = 3);
    world.connect("a").will(will("x", "123")).go();
    let refused = world.connect("b").will(will("x", "1234")).refused();
    assert_eq!(refused.reason, ReasonCode::QuotaExceeded);
    assert_eq!(world.exceeded(Quota::PayloadBytes), 1);
}

#[test]
fn a_will_is_counted_and_never_refused_by_a_rate() {
    let world = World::with_limits(|limits| {
        limits.publish_messages_per_sec = 1;
        limits.publish_messages_per_month = 1;
    });
    let a = world.client("a");
    a.subscribe("#", QOS0);
    let doomed = ["b", "c", "d"].map(|id| world.connect(id).will(will("x", id_text(id))).go());
    assert_eq!(a.publish_qos1_to_itself("x", "1"), ReasonCode::Success);
    for client in &doomed {
        client.cut();
    }
    assert_eq!(a.payloads(), ["b", "c", "d"]);
    assert_eq!(world.counters().messages_published, 4);
    world.set_limits(|limits| limits.publish_messages_per_month = 5);
    world.advance_secs(1);
    assert_eq!(
        a.publish_qos1_to_itself("x", "2"),
        ReasonCode::Success,
        "wills leave no debt"
    );
}

fn id_text(id: &str) -> &'static str {
    crate::client::leak(id)
}

// Subscribing.

#[test]
fn subscriptions_are_bounded_over_all_sessions() {
    let world = World::with_limits(|limits| limits.all_subscriptions_max = 3);
    let (a, b) = (world.client("a"), world.client("b"));
    let granted = ReasonCode::Success;
    assert_eq!(a.subscribe_it(filter("1", QOS0)), granted);
    assert_eq!(a.subscribe_it(filter("2", QOS0)), granted);
    assert_eq!(b.subscribe_it(filter("$share/g/1", QOS0)), granted);
    assert_eq!(b.subscribe_it(filter("2", QOS0)), ReasonCode::QuotaExceeded);
    assert_eq!(
        b.subscribe_it(filter("$share/g/1", QOS0)),
        granted,
        "it replaces one"
    );
    a.unsubscribe(&["1"]);
    assert_eq!(b.subscribe_it(filter("2", QOS0)), granted);
    a.disconnect();
    assert_eq!(b.subscribe_it(filter("3", QOS0)), granted);
    assert_eq!(world.exceeded(Quota::AllSubscriptions), 1);
}

#[test]
fn subscriptions_with_wildcards_are_bounded() {
    let world = World::with_limits(|limits| limits.wildcard_subscriptions_max = 2);
    let (a, b) = (world.client("a"), world.connect("b").v311().go());
    assert_eq!(a.subscribe_it(filter("a/#", QOS0)), ReasonCode::Success);
    assert_eq!(a.subscribe_it(filter("$share/g/+/a", QOS0)), ReasonCode::Success);
    assert_eq!(a.subscribe_it(filter("b/#", QOS0)), ReasonCode::QuotaExceeded);
    assert_eq!(
        b.subscribe_it(filter("+", QOS0)),
        ReasonCode::UnspecifiedError,
        "0x80"
    );
    assert_eq!(a.subscribe_it(filter("plain", QOS0)), ReasonCode::Success);
    assert_eq!(world.counters().wildcard_subscriptions_now, 2);
    a.unsubscribe(&["a/#"]);
    assert_eq!(b.subscribe_it(filter("+", QOS0)), ReasonCode::Success);
    assert_eq!(world.exceeded(Quota::WildcardSubscriptions), 2);
    a.disconnect();
    b.cut();
    assert_eq!(world.counters().wildcard_subscriptions_now, 0);
}

// Publishing.

#[test]
fn a_month_is_bounded_and_survives_a_restart() {
    let world = World::with_limits(|limits| limits.publish_messages_per_month = 10);
    world.step(|org, _, _| org.handle_month(8));
    let a = world.client("a");
    assert_eq!(a.publish_qos1("x", "9", 1), ReasonCode::NoMatchingSubscribers);
    a.publish("x", "10");
    assert_eq!(a.publish_qos1("x", "11", 1), ReasonCode::QuotaExceeded);
    a.publish("x", "11 again");
    assert_eq!(world.dropped(DropReason::PublishQuota), 2);
    assert_eq!(world.exceeded(Quota::MonthMessages), 2);
    assert_eq!(world.step(|org, _, _| org.month_messages()), 10);
    world.step(|org, _, _| org.handle_month(0));
    assert_eq!(a.publish_qos1("x", "1", 1), ReasonCode::NoMatchingSubscribers);
}

#[test]
fn a_qos_2_publish_beyond_a_quota_is_refused_with_pubrec() {
    let world = World::with_limits(|limits| limits.publish_messages_per_month = 1);
    let a = world.client("a");
    a.publish("x", "1");
    a.publish_it(message("x", "2").at(crate::client::QOS2, 7));
    assert_eq!(a.expect_pubrec().reason, ReasonCode::QuotaExceeded);
}

#[test]
fn payloads_are_bounded() {
    let world = World::with_limits(|limits| limits.payload_bytes_max = 4);
    let a = world.client("a");
    a.subscribe("#", QOS0);
    assert_eq!(a.publish_qos1_to_itself("x", "1234"), ReasonCode::Success);
    assert_eq!(a.publish_qos1("x", "12345", 2), ReasonCode::QuotaExceeded);
    a.publish("x", "12345");
    a.expect_nothing();
    assert_eq!(world.dropped(DropReason::PayloadTooLarge), 2);
    assert_eq!(world.exceeded(Quota::PayloadBytes), 2);
    assert_eq!(world.counters().messages_published, 1);
}

#[test]
fn a_packet_beyond_the_maximum_ends_the_connection() {
    // [MQTT-3.2.2-15]
    let world = World::with_limits(|limits| limits.packet_bytes_max = 1_024);
    let a = world.client("a");
    a.publish("x", vec![0; 2_000]);
    a.expect_disconnect(ReasonCode::PacketTooLarge);
    assert_eq!(world.exceeded(Quota::PacketBytes), 1);
}

#[test]
fn a_payload_is_the_text_that_it_is_said_to_be() {
    let world = World::new();
    let a = world.client("a");
    a.subscribe("#", QOS0);
    let text = |payload: &[u8]| message("x", payload).with(|it| it.payload_format = Some(true));
    a.publish_it(text("größer".as_bytes()).at(QOS1, 1));
    assert_eq!(
        a.expect_publish("x", "größer").properties.payload_format,
        Some(true)
    );
    assert_eq!(a.expect_puback().reason, ReasonCode::Success);
    a.publish_it(text(b"\xFF").at(QOS1, 2));
    assert_eq!(a.expect_puback().reason, ReasonCode::PayloadFormatInvalid);
    a.publish_it(text(b"\xFF"));
    a.expect_nothing();
    assert_eq!(world.dropped(DropReason::PayloadFormat), 2);
    let with_will = world
        .connect("b")
        .with(|connect| connect.will = Some(bad_will()))
        .refused();
    assert_eq!(with_will.reason, ReasonCode::PayloadFormatInvalid);
}

fn bad_will() -> cloudsignal_core::codec::Will<'static> {
    let mut will = will("x", "");
    will.payload = b"\xC0";
    will.properties.payload_format = Some(true);
    will
}

#[test]
fn a_publish_that_would_reach_too_many_reaches_nobody() {
    let world = World::with_limits(|limits| limits.fan_out_max = 2);
    let clients = ["a", "b", "c"].map(|id| world.client(id));
    let [a, b, c] = &clients;
    a.subscribe("x", QOS0);
    b.subscribe("+", QOS0);
    c.subscribe("y", QOS0);
    assert_eq!(c.publish_qos1("x", "1", 1), ReasonCode::Success);
    c.subscribe("$share/g/x", QOS0);
    let mut retained = message("x", "2").at(QOS1, 1);
    retained.retain = true;
    c.publish_it(retained);
    assert_eq!(c.expect_puback().reason, ReasonCode::QuotaExceeded);
    assert_eq!(world.retained("x"), None, "nor is it retained");
    assert_eq!(a.payloads(), ["1"]);
    assert_eq!(world.dropped(DropReason::FanOut), 1);
    assert_eq!(world.exceeded(Quota::FanOut), 1);
    b.disconnect();
    assert_eq!(world.client("d").publish_qos1("x", "3", 1), ReasonCode::Success);
}

#[test]
fn a_session_counts_once_however_it_subscribes_and_not_for_what_it_never_gets() {
    let world = World::with_limits(|limits| limits.fan_out_max = 1);
    let [a, b] = ["a", "b"].map(|id| world.client(id));
    let no_local = SubscribeFilter {
        no_local: true,
        ..filter("x", QOS0)
    };
    a.subscribe("#", QOS0);
    a.subscribe_it(no_local);
    assert_eq!(
        b.publish_qos1("x", "1", 1),
        ReasonCode::Success,
        "both ways lead to one"
    );
    b.subscribe_it(SubscribeFilter {
        no_local: true,
        ..filter("+", QOS0)
    });
    assert_eq!(
        b.publish_qos1("x", "2", 2),
        ReasonCode::Success,
        "its own it never gets"
    );
    assert_eq!(a.payloads(), ["1", "2"]);
    assert_eq!(
        a.publish_qos1("x", "3", 1),
        ReasonCode::QuotaExceeded,
        "two get it"
    );
    assert_eq!(world.exceeded(Quota::FanOut), 1);
}

#[test]
fn retained_messages_tell_which_bound_is_full() {
    let world = World::with_limits(|limits| limits.retained_messages_max = 1);
    let a = world.client("a");
    let retain = |topic, packet_id| {
        let mut publish = message(topic, "1").at(QOS1, packet_id);
        publish.retain = true;
        a.publish_it(publish);
        a.expect_puback().reason
    };
    assert_eq!(retain("x", 1), ReasonCode::NoMatchingSubscribers);
    assert_eq!(retain("y", 2), ReasonCode::QuotaExceeded);
    world.set_limits(|limits| {
        limits.retained_messages_max = 10;
        limits.retained_bytes_max = 10;
    });
    assert_eq!(retain("y", 3), ReasonCode::QuotaExceeded);
    assert_eq!(
        retain("x", 4),
        ReasonCode::NoMatchingSubscribers,
        "it takes no more than before"
    );
    assert_eq!(world.exceeded(Quota::RetainedMessages), 1);
    assert_eq!(world.exceeded(Quota::RetainedBytes), 1);
}

#[test]
fn a_client_that_does_not_slow_down_is_sent_away() {
    let world = World::with_limits(|limits| {
        limits.publish_messages_per_sec = 1;
        limits.refused_publishes_per_sec = 3;
    });
    let (a, b) = (world.client("a"), world.connect("b").v311().go());
    a.publish("x", "fine");
    for id in 1..=3 {
        assert_eq!(a.publish_qos1("x", "refused", id), ReasonCode::QuotaExceeded);
    }
    world.advance_secs(1);
    a.publish("x", "fine");
    for _ in 0..3 {
        a.publish("x", "refused");
        b.publish("x", "refused");
    }
    a.publish("x", "too much");
    a.expect_disconnect(ReasonCode::MessageRateTooHigh);
    b.publish("x", "too much");
    b.expect_closed(ReasonCode::MessageRateTooHigh);
    assert_eq!(world.exceeded(Quota::RefusedPublishes), 2);
}

#[test]
fn a_flood_is_read_slowly_and_is_not_taken_for_silence() {
    // A client that is not read cannot show that it lives. [MQTT-3.1.2-22]
    let world = World::with_limits(|limits| {
        limits.publish_messages_per_sec = 100;
        limits.refused_publishes_per_sec = 0;
    });
    let flooder = world.connect("flooder").keep_alive(1).go();
    let (begin, mut reads) = (world.inner().now, 0);
    while world.inner().now < begin.after_secs(10) {
        for _ in 0..512 {
            flooder.publish("x", "!");
        }
        reads += 1;
        let now = world.inner().now;
        let (_, until) = world.inner().tape.rests.pop_first().expect("most were refused");
        let rest_micros = until.as_micros() - now.as_micros();
        assert!((10_000..=500_000).contains(&rest_micros), "{rest_micros}");
        world.advance_micros(rest_micros);
    }
    assert_eq!(flooder.closed(), None);
    assert!(reads <= 26, "{reads}");
    let published = world.counters().messages_published;
    assert!(
        (1_050..=1_100).contains(&published),
        "{published}: the whole quota, and no more"
    );
}

#[test]
fn whoever_is_refused_now_and_then_is_read_all_the_time() {
    let world = World::with_limits(|limits| limits.publish_messages_per_sec = 1);
    let client = world.client("a");
    for _ in 0..100 {
        for _ in 0..10 {
            client.publish("x", "!");
        }
        world.advance_micros(100_000);
    }
    assert!(world.inner().tape.rests.is_empty());
    assert_eq!(client.closed(), None);
}

// Delivering.

#[test]
fn deliveries_are_bounded_per_second_and_only_qos_0_is_dropped() {
    let world = World::with_limits(|limits| limits.deliver_messages_per_sec = 2);
    let (a, b) = (world.client("a"), world.client("b"));
    a.subscribe("0", QOS0);
    a.subscribe("1", QOS1);
    for payload in ["1", "2", "3"] {
        b.publish("0", payload);
    }
    assert_eq!(a.payloads(), ["1", "2"]);
    assert_eq!(world.dropped(DropReason::DeliveryQuota), 1);
    for (id, payload) in [(1, "4"), (2, "5"), (3, "6")] {
        assert_eq!(b.publish_qos1("1", payload, id), ReasonCode::Success);
    }
    b.publish("0", "7, which may not overtake and does not wait");
    assert_eq!(a.payloads(), [""; 0]);
    world.advance_micros(500_000);
    assert_eq!(a.payloads(), ["4"]);
    world.advance_secs(1);
    assert_eq!(a.payloads(), ["5", "6"]);
    assert_eq!(world.dropped(DropReason::DeliveryQuota), 2);
    assert_eq!(world.counters().queue_messages_now, 0);
    assert!(world.exceeded(Quota::DeliverMessages) >= 4);
}

#[test]
fn who_waits_for_the_delivery_quota_gets_turns() {
    let world = World::with_limits(|limits| limits.deliver_messages_per_sec = 4);
    let (a, b, c) = (world.client("a"), world.client("b"), world.client("c"));
    a.subscribe("a", QOS1);
    b.subscribe("b", QOS1);
    for number in 0..20_u16 {
        c.publish_qos1(if number < 10 { "a" } else { "b" }, "x", number + 1);
    }
    world.advance_secs(4);
    let (to_a, to_b) = (a.payloads().len(), b.payloads().len());
    assert!((19..=20).contains(&(to_a + to_b)), "{to_a} and {to_b}");
    assert!(
        to_b >= 6,
        "{to_b}: b began to wait later and does not wait for all of a"
    );
}

#[test]
fn delivered_bytes_are_bounded_and_a_large_message_gets_through() {
    let world = World::with_limits(|limits| limits.deliver_bytes_per_sec = 10);
    let (a, b) = (world.client("a"), world.client("b"));
    a.subscribe("x", QOS1);
    b.publish_qos1("x", "12345", 1);
    b.publish_qos1("x", "fifteen bytes..", 2);
    b.publish_qos1("x", "last", 3);
    assert_eq!(a.payloads(), ["12345"]);
    world.advance_micros(600_000);
    assert_eq!(a.payloads(), ["fifteen bytes.."]);
    world.advance_micros(600_000);
    assert_eq!(a.payloads(), [""; 0], "the debt of the large one");
    world.advance_micros(400_000);
    assert_eq!(a.payloads(), ["last"]);
    assert!(world.exceeded(Quota::DeliverBytes) > 0);
}

#[test]
fn retained_messages_wait_for_the_delivery_quota() {
    let world = World::with_limits(|limits| limits.deliver_messages_per_sec = 2);
    let a = world.client("a");
    for topic in ["1", "2", "3"] {
        let mut publish = message(topic, topic);
        publish.retain = true;
        a.publish_it(publish);
    }
    a.subscribe("+", QOS0);
    assert_eq!(a.payloads(), ["1", "2"]);
    world.advance_secs(1);
    assert_eq!(a.payloads(), ["3"]);
}

// Keeping.

#[test]
fn queues_are_bounded_over_all_sessions() {
    let world = World::with_limits(|limits| limits.all_queue_bytes_max = 400);
    for id in ["a", "b"] {
        let client = world.connect(id).resume().expiry(100).go();
        client.subscribe("x", QOS1);
        client.disconnect();
    }
    let c = world.client("c");
    for id in 1..=3 {
        c.publish_qos1("x", "1", id);
    }
    assert_eq!(world.counters().queue_messages_now, 3, "130 bytes each");
    assert_eq!(world.dropped(DropReason::QueueFull), 3);
    assert_eq!(world.exceeded(Quota::AllQueueBytes), 3);
}

#[test]
fn what_is_sent_and_not_acknowledged_counts_and_is_bounded() {
    let world = World::with_limits(|limits| {
        limits.inflight_bytes_max = 200;
        limits.all_queue_bytes_max = 300;
    });
    let (a, b) = (world.client("a"), world.client("b"));
    a.subscribe("x", QOS1);
    for id in 1..=3 {
        b.publish_qos1("x", "1", id);
    }
    let counters = world.counters();
    assert_eq!((counters.inflight_bytes_now, counters.queue_bytes_now), (260, 0));
    assert_eq!(
        world.dropped(DropReason::QueueFull),
        1,
        "no bytes are left to wait in"
    );
    let publish = a.expect_publish("x", "1");
    a.acknowledge(&publish);
    assert_eq!(world.counters().inflight_bytes_now, 130);
    b.publish_qos1("x", "2", 4);
    assert_eq!(
        world.counters().inflight_bytes_now,
        260,
        "there is room to send again"
    );
    a.cut();
    assert_eq!(world.counters().inflight_bytes_now, 0);
}

// Bounds that change.

#[test]
fn lowering_a_bound_takes_nothing_away_and_lets_nothing_more_in() {
    let world = World::new();
    let a = world.connect("a").resume().expiry(100).go();
    a.subscribe("x", QOS1);
    a.subscribe("y", QOS1);
    a.stall();
    let b = world.client("b");
    for id in 1..=20 {
        b.publish_qos1("x", vec![b'1'; 50_000], id);
    }
    a.cut();
    for id in 1..=20 {
        b.publish_qos1("x", "2", id);
    }
    let before = world.counters();
    world.set_limits(|limits| {
        limits.connections_max = 0;
        limits.sessions_max = 1;
        limits.subscriptions_max = 1;
        limits.all_subscriptions_max = 1;
        limits.inflight_max = 1;
        limits.queue_messages_max = 1;
        limits.queue_bytes_max = 1;
        limits.all_queue_bytes_max = 1;
        limits.retained_messages_max = 0;
        limits.topic_levels_max = 1;
    });
    let after = world.counters();
    assert_eq!(after.queue_messages_now, before.queue_messages_now);
    assert_eq!(b.publish_qos1("x", "3", 1), ReasonCode::NoMatchingSubscribers);
    assert_eq!(world.dropped(DropReason::QueueFull), 1);
    assert_eq!(world.connect("a").refused().reason, ReasonCode::QuotaExceeded);
    assert_eq!(b.subscribe_it(filter("z", QOS0)), ReasonCode::QuotaExceeded);
    world.set_limits(|limits| limits.connections_max = 10);
    let a = world.connect("a").resume().expiry(100).go();
    world.step(|org, _, _| org.invariants());
    assert_eq!(a.closed(), None);
}

#[test]
fn a_quota_that_is_changed_again_and_again_is_no_way_around_it() {
    let world = World::with_limits(|limits| limits.publish_messages_per_sec = 2);
    let a = world.client("a");
    assert_eq!(a.publish_qos1("x", "", 1), ReasonCode::NoMatchingSubscribers);
    let passed = (2..=20_u16).filter(|&id| {
        world.set_limits(|limits| limits.publish_messages_per_sec = 2 + u32::from(id % 2));
        a.publish_qos1("x", "", id) != ReasonCode::QuotaExceeded
    });
    assert_eq!(passed.count(), 1);
}

// Being told.

#[test]
fn an_operator_is_told_of_each_quota_once_in_ten_seconds() {
    let world = World::with_limits(|limits| {
        limits.publish_messages_per_sec = 1;
        limits.payload_bytes_max = 5;
    });
    let a = world.client("a");
    world.take_reports();
    let told = || {
        let reports = world.take_reports();
        reports
            .into_iter()
            .filter(|report| report.contains("QuotaExceeded"))
            .collect::<Vec<_>>()
    };
    for _ in 0..6 {
        a.publish("x", "");
        a.publish("x", "too large");
    }
    let reports = told();
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(reports[0].contains("PayloadBytes"), "{reports:?}");
    world.advance_secs(10);
    for _ in 0..3 {
        a.publish("x", "");
    }
    let reports = told();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(
        reports[0].contains("PublishMessages") && reports[0].contains("times: 5"),
        "{reports:?}"
    );
}

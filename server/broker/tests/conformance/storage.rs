//! While the store fails: what would have to be stored is refused, and everything else goes on.

use cloudsignal_broker::change::Change;
use cloudsignal_broker::org::Submission;
use cloudsignal_broker::sink::DropReason;
use cloudsignal_broker::{CloseCause, Storage, Ticket};
use cloudsignal_core::codec::{PublishProperties, ReasonCode, Unsubscribe};
use cloudsignal_core::{Packet, TopicFilter};

use crate::client::{MessageExt, QOS0, QOS1, QOS2, filter, id, message, topic, will};
use crate::world::{World, identity};

/// The store fails: it refuses, and it answers nothing.
fn fail(world: &World) {
    world.withhold_store();
    world.step(|org, _, _| org.handle_storage(Storage::Failing));
}

fn recover(world: &World) {
    world.step(|org, _, _| org.handle_storage(Storage::Working));
    world.settle();
}

#[test]
fn a_publish_that_has_to_be_stored_is_refused_and_goes_nowhere() {
    let world = World::new();
    let (a, b) = (world.lasting("a"), world.client("b"));
    a.subscribe("lasting/#", QOS1);
    let c = world.client("c");
    c.subscribe("#", QOS2);
    b.publish_it(message("kept", "before").at(QOS1, 1).retained());
    assert_eq!(c.payloads(), ["before"]);
    b.expect_puback();
    fail(&world);
    b.publish_it(message("lasting/x", "no").at(QOS1, 1));
    assert_eq!(b.expect_puback().reason, ReasonCode::QuotaExceeded);
    b.publish_it(message("lasting/x", "no").at(QOS2, 1));
    assert_eq!(b.expect_pubrec().reason, ReasonCode::QuotaExceeded);
    for payload in ["set", ""] {
        b.publish_it(message("kept", payload).at(QOS1, 1).retained());
        assert_eq!(b.expect_puback().reason, ReasonCode::QuotaExceeded);
    }
    c.expect_nothing();
    a.expect_nothing();
    assert_eq!(world.dropped(DropReason::StoreFailing), 4);
    assert_eq!(world.retained("kept"), Some(b"before".to_vec()));

    // What need not be stored goes on.
    b.publish("lasting/x", "qos 0");
    b.publish_it(message("other", "qos 2").at(QOS2, 1));
    assert_eq!(b.expect_pubrec().reason, ReasonCode::Success);
    assert_eq!(c.payloads(), ["qos 0", "qos 2"]);
    assert_eq!(a.payloads(), ["qos 0"]);
    b.publish_it(message("nothing kept", "").at(QOS1, 2).retained());
    assert!(!b.expect_puback().reason.is_error());

    recover(&world);
    b.publish_it(message("lasting/x", "yes").at(QOS1, 3));
    assert_eq!(a.payloads(), ["yes"]);
    b.expect_nothing();
    assert!(world.store_one());
    assert_eq!(b.expect_puback().reason, ReasonCode::Success);
}

#[test]
fn before_mqtt_5_it_is_not_acknowledged_so_that_it_comes_again() {
    let world = World::new();
    let a = world.lasting("a");
    a.subscribe("x", QOS1);
    fail(&world);
    let b = world.connect("b").v311().go();
    b.publish_it(message("x", "hello").at(QOS1, 1));
    b.publish_it(message("x", "hello").at(QOS2, 2));
    b.expect_nothing();
    a.expect_nothing();
    assert_eq!(b.closed(), None);
    b.cut();
    recover(&world);
    let b = world.connect("b").v311().go();
    let mut again = message("x", "hello").at(QOS1, 1);
    again.dup = true;
    b.publish_it(again);
    assert_eq!(a.payloads(), ["hello"]);
    world.settle();
    b.expect_puback();
}

#[test]
fn a_group_with_a_lasting_member_counts_as_one() {
    let world = World::new();
    let (a, b) = (world.lasting("a"), world.client("b"));
    a.subscribe("$share/g/x", QOS1);
    fail(&world);
    b.publish_it(message("x", "no").at(QOS1, 1));
    assert_eq!(b.expect_puback().reason, ReasonCode::QuotaExceeded);
}

#[test]
fn a_lasting_session_begins_no_exchange_of_qos_2() {
    let world = World::new();
    let (a, b) = (world.client("a"), world.lasting("b"));
    a.subscribe("x", QOS2);
    fail(&world);
    b.publish_it(message("x", "no").at(QOS2, 1));
    assert_eq!(b.expect_pubrec().reason, ReasonCode::QuotaExceeded);
    b.publish_it(message("x", "yes").at(QOS1, 1));
    b.expect_puback();
    assert_eq!(a.payloads(), ["yes"]);
}

#[test]
fn sessions_and_subscriptions_that_are_to_last_are_refused() {
    let world = World::new();
    let old = world.lasting("old");
    fail(&world);
    let refused = world.connect("new").expiry(100).refused();
    assert_eq!(refused.reason, ReasonCode::ServerUnavailable);
    let refused = world.connect("new").v311().resume().refused();
    assert_eq!(refused.reason, ReasonCode::ServerUnavailable);
    assert_eq!(
        old.subscribe_it(filter("x", QOS0)),
        ReasonCode::QuotaExceeded,
        "also at QoS 0: it would be missing after a restart"
    );
    let passing = world.client("passing");
    passing.subscribe("x", QOS2);
    // Who takes away a session that lasts gets in; the store hears of it later.
    let clean = world.client("old");
    assert!(matches!(old.closed(), Some(CloseCause::Server(_))));
    clean.subscribe("x", QOS1);
    recover(&world);
    assert!(
        world.connect("new").expiry(100).send().read().is_none(),
        "it waits for the store"
    );
    world.settle();
}

#[test]
fn the_end_of_a_subscription_that_lasts_is_refused_to_who_can_be_told() {
    let world = World::new();
    let (a, old) = (world.lasting("a"), world.connect("old").v311().resume().go());
    let (passing, p) = (world.client("passing"), world.client("p"));
    for client in [&a, &old, &passing] {
        client.subscribe("x", QOS0);
    }
    fail(&world);
    assert_eq!(
        a.unsubscribe(&["x", "y"]),
        [
            ReasonCode::ImplementationSpecific,
            ReasonCode::NoSubscriptionExisted
        ]
    );
    assert_eq!(passing.unsubscribe(&["x"]), [ReasonCode::Success]);
    // Its UNSUBACK is always a yes, so it waits for the store.
    let filters = vec![TopicFilter::parse("x")];
    old.send(&Packet::Unsubscribe(Unsubscribe::new(id(7), filters)));
    old.expect_nothing();
    p.publish("x", "to whom it stays");
    assert_eq!(a.payloads(), ["to whom it stays"]);
    passing.expect_nothing();
    recover(&world);
    assert_eq!(old.expect_unsuback().packet_id, id(7));
    a.send(&Packet::Unsubscribe(Unsubscribe::new(
        id(8),
        vec![TopicFilter::parse("x")],
    )));
    world.settle();
    assert_eq!(a.expect_unsuback().reasons, [ReasonCode::Success]);
}

#[test]
fn who_finds_nothing_that_lasts_would_need_a_new_session() {
    let world = World::new();
    let passing = world.client("passing");
    world.lasting("due").cut();
    fail(&world);
    let refused = world.connect("passing").resume().expiry(100).refused();
    assert_eq!(refused.reason, ReasonCode::ServerUnavailable);
    assert_eq!(passing.closed(), None, "who is refused takes nothing over");
    world.advance_unnoticed(1_000);
    let refused = world.connect("due").resume().expiry(100).refused();
    assert_eq!(refused.reason, ReasonCode::ServerUnavailable);

    let bounded = World::with_limits(|limits| limits.session_expiry_secs_max = 0);
    fail(&bounded);
    bounded.connect("a").expiry(100).go();
}

#[test]
fn who_comes_back_gets_its_messages_and_what_it_acknowledges_is_settled_later() {
    let world = World::new();
    let a = world.lasting("a");
    a.subscribe("x", QOS2);
    a.cut();
    let b = world.client("b");
    b.publish_qos1("x", "1", 1);
    b.publish_qos2("x", "2", 2);
    fail(&world);
    let a = world.lasting("a");
    let first = a.expect_publish("x", "1");
    a.acknowledge(&first);
    a.expect_nothing();
    recover(&world);
    let second = a.expect_publish("x", "2");
    a.pubrec(second.packet_id.expect("QoS 2 has one"));
    world.settle();
    a.expect_pubrel();
}

#[test]
fn pubrel_waits_for_the_store_over_a_reconnect_too() {
    let world = World::new();
    let a = world.lasting("a");
    a.subscribe("x", QOS2);
    world.client("b").publish_qos2("x", "hello", 2);
    let publish = a.expect_publish("x", "hello");
    fail(&world);
    a.pubrec(publish.packet_id.expect("QoS 2 has one"));
    a.expect_nothing();
    a.cut();
    let a = world.lasting("a");
    a.expect_nothing();
    recover(&world);
    a.expect_pubrel();
}

#[test]
fn wills_are_published_all_the_same() {
    let world = World::new();
    let a = world.lasting("a");
    a.subscribe("wills", QOS1);
    let mut last = will("wills", "gone");
    last.qos = QOS1;
    let b = world.connect("b").will(last).go();
    fail(&world);
    b.cut();
    assert_eq!(a.payloads(), ["gone"]);
    assert!(world.is_unstored());
}

#[test]
fn a_submission_that_has_to_be_stored_is_refused_so_that_it_is_tried_again() {
    let world = World::new();
    let a = world.lasting("a");
    a.subscribe("x", QOS1);
    fail(&world);
    let submit = |name: &str| {
        let submission = Submission {
            topic: topic(name),
            payload: b"hello",
            properties: PublishProperties::default(),
            qos: QOS1,
            retain: false,
        };
        world.step(|org, now, tape| org.handle_submission(&identity("http"), &submission, now, tape))
    };
    assert_eq!(submit("x").reason, ReasonCode::ServerUnavailable);
    assert_eq!(submit("y").reason, ReasonCode::NoMatchingSubscribers);
    recover(&world);
    assert_eq!(submit("x").reason, ReasonCode::Success);
    assert!(world.step(|org, _, _| org.is_awaited()));
    world.settle();
    assert!(!world.step(|org, _, _| org.is_awaited()));
}

#[test]
fn only_what_somebody_waits_for_is_urgent() {
    let world = World::new();
    let (a, b) = (world.lasting("a"), world.client("b"));
    a.subscribe("x", QOS2);
    world.withhold_store();
    let is_awaited = || world.step(|org, _, _| org.is_awaited());
    assert!(!is_awaited());
    b.publish_it(message("x", "1").at(QOS1, 1));
    assert!(is_awaited(), "a publisher waits");
    world.settle();
    let publish = a.expect_publish("x", "1");
    a.acknowledge(&publish);
    assert!(world.is_unstored());
    assert!(!is_awaited(), "nobody waits for what is settled");
    world.settle();
    b.publish_it(message("x", "2").at(QOS2, 2));
    b.pubrel(cloudsignal_core::PacketId::new(2).expect("not 0"));
    world.settle();
    let Some(Packet::Publish(publish)) = a.read() else {
        panic!("it is stored")
    };
    a.pubrec(publish.packet_id.expect("QoS 2 has one"));
    assert!(is_awaited(), "PUBREL waits");
    a.cut();
    world.settle();
    assert!(!is_awaited());
}

#[test]
fn whoever_was_promised_what_can_never_be_stored_is_disconnected_and_everybody_else_goes_on() {
    for is_v5 in [true, false] {
        let world = World::new();
        world.lasting("a").subscribe("x", QOS1);
        let b = world.connect("b");
        let b = if is_v5 { b.go() } else { b.v311().go() };
        let (c, d) = (world.client("c"), world.client("d"));
        world.withhold_store();
        world.take_changes();
        b.publish_it(message("x", "never").at(QOS1, 1));
        let changes = world.take_changes();
        let Some(Change::Queued { message: never, .. }) = changes.first() else {
            panic!("it is queued for the session that is away")
        };
        let publisher = never.publisher();
        c.publish_it(message("x", "later").at(QOS1, 1));
        world.step(|org, now, tape| {
            org.handle_refused(Ticket(u64::MAX), |serial| serial == publisher, now, tape);
        });
        if is_v5 {
            b.expect_disconnect(ReasonCode::QuotaExceeded);
        } else {
            b.expect_closed(ReasonCode::QuotaExceeded);
        }
        while world.store_one() {}
        assert_eq!(c.expect_puback().reason, ReasonCode::Success);
        assert_eq!((c.closed(), d.closed()), (None, None));
    }
}

#[test]
fn a_ping_is_answered_while_acknowledgements_wait_for_the_store() {
    let world = World::new();
    world.lasting("a").subscribe("x", QOS1);
    let b = world.client("b");
    world.withhold_store();
    b.publish_it(message("x", "kept").at(QOS1, 1));
    b.send(&Packet::PingReq);
    b.expect_pingresp();
    b.expect_nothing();
    while world.store_one() {}
    assert_eq!(b.expect_puback().reason, ReasonCode::Success);
    // Nothing overtakes CONNACK.
    let c = world.connect("c").resume().expiry(1_000).send();
    c.send(&Packet::PingReq);
    c.expect_nothing();
    while world.store_one() {}
    assert_eq!(c.expect_connack().reason, ReasonCode::Success);
    c.expect_pingresp();
}

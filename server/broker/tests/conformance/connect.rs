//! CONNECT and CONNACK: who comes in, under which name, and what is agreed.

use cloudsignal_broker::CloseCause;
use cloudsignal_core::codec::{ReasonCode, Subscribe};
use cloudsignal_core::{Packet, Version};

use crate::client::{QOS0, QOS1, filter, id};
use crate::world::{World, identity};

#[test]
fn a_client_is_let_in_with_one_connack_before_anything_else() {
    // [MQTT-3.1.4-5] [MQTT-3.2.0-1] [MQTT-3.2.0-2] [MQTT-3.2.2-8]; 3.1.1 [MQTT-3.1.4-4] [MQTT-3.2.0-1]
    let world = World::new();
    for version in [Version::V31, Version::V311, Version::V5] {
        let client = world.connect("a").version(version).send();
        assert_eq!(client.expect_connack().reason, ReasonCode::Success);
        client.send(&Packet::PingReq);
        client.expect_pingresp();
        client.expect_nothing();
    }
}

#[test]
fn connack_says_what_the_broker_takes() {
    let world = World::new();
    let (_, connack) = world.connect("a").go_and_see();
    assert_eq!(connack.receive_max.map(|max| max.get()), Some(256));
    assert_eq!(connack.topic_alias_max, Some(32));
    assert_eq!(connack.packet_bytes_max, Some(1_048_576));
    // [MQTT-3.2.2-9] [MQTT-3.2.2-10]: QoS 2, retained messages, wildcards, identifiers and shares are there, so
    // nothing says otherwise.
    assert_eq!((connack.qos_max, connack.retain_available), (None, None));
    assert_eq!(
        (connack.wildcard_available, connack.subscription_ids_available),
        (None, None)
    );
    assert_eq!(connack.shared_available, None);
    assert_eq!(connack.auth_method, None, "[MQTT-4.12.0-6]");
    assert_eq!(connack.assigned_client_id, None, "the client brought its own");
}

#[test]
fn a_clean_start_begins_anew() {
    // [MQTT-3.1.2-4] [MQTT-3.2.2-2] [MQTT-3.1.4-4]; 3.1.1 [MQTT-3.1.2-6] [MQTT-3.2.2-1] [MQTT-3.1.4-3]
    let world = World::new();
    for version in [Version::V311, Version::V5] {
        let before = world.connect("a").version(version).resume().expiry(100).go();
        before.subscribe("x", QOS1);
        before.cut();
        let (client, connack) = world.connect("a").version(version).go_and_see();
        assert!(!connack.session_present);
        world.client("b").publish_qos1("x", "lost", 1);
        client.expect_nothing();
        client.cut();
    }
}

#[test]
fn without_clean_start_a_client_finds_its_session_or_gets_a_new_one() {
    // [MQTT-3.1.2-5] [MQTT-3.1.2-6] [MQTT-3.2.2-3] [MQTT-3.1.3-2]
    // 3.1.1 [MQTT-3.1.2-4] [MQTT-3.2.2-2] [MQTT-3.2.2-3] [MQTT-3.1.3-2]
    let world = World::new();
    for (version, name) in [(Version::V311, "a"), (Version::V5, "b")] {
        let connect = || world.connect(name).version(version).resume().expiry(100);
        let (client, connack) = connect().go_and_see();
        assert!(!connack.session_present, "there was none");
        client.subscribe("x", QOS1);
        client.cut();
        let (client, connack) = connect().go_and_see();
        assert!(connack.session_present);
        world.client("c").publish("x", "still subscribed");
        client.expect_publish("x", "still subscribed");
        client.cut();
    }
}

#[test]
fn mqtt_3_1_clients_are_not_told_of_sessions_but_have_them() {
    let world = World::new();
    let connect = || world.connect("a").version(Version::V31).resume();
    connect().go().subscribe("x", QOS1);
    let (client, connack) = connect().go_and_see();
    assert!(!connack.session_present, "the byte is reserved in 3.1");
    world.client("b").publish("x", "hello");
    client.expect_publish("x", "hello");
}

#[test]
fn who_brings_no_client_id_is_given_one() {
    // [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]; 3.1.1 [MQTT-3.1.3-6]
    let world = World::new();
    let (_first, one) = world.connect("").go_and_see();
    let (second, two) = world.connect("").expiry(100).go_and_see();
    let (one, two) = (
        one.assigned_client_id.expect("told"),
        two.assigned_client_id.expect("told"),
    );
    assert_ne!(one, two);
    second.cut();
    let (_, connack) = world.connect(two).resume().go_and_see();
    assert!(connack.session_present, "the name is as good as any");

    let (_, connack) = world.connect("").v311().go_and_see();
    assert_eq!(connack.assigned_client_id, None, "3.1.1 has no words for it");
    assert_eq!(world.counters().connections_now, 3);
}

#[test]
fn only_a_clean_session_may_leave_the_client_id_to_the_broker_before_mqtt_5() {
    // 3.1.1 [MQTT-3.1.3-7] [MQTT-3.1.3-8] [MQTT-3.2.2-4] [MQTT-3.2.2-5]
    let world = World::new();
    let connack = world.connect("").v311().resume().refused();
    assert_eq!(connack.reason, ReasonCode::ClientIdentifierNotValid);
    assert!(!connack.session_present);
    let connack = world.connect("").version(Version::V31).refused();
    assert_eq!(
        connack.reason,
        ReasonCode::ClientIdentifierNotValid,
        "MQTT 3.1 wants 1 to 23 characters"
    );
    let (_, connack) = world.connect("").resume().go_and_see();
    assert!(connack.assigned_client_id.is_some(), "MQTT 5 may");
}

#[test]
fn every_ordinary_client_id_is_accepted() {
    // [MQTT-3.1.3-5]
    let world = World::new();
    for name in ["0", "azAZ09", "ABCDEFGHIJKLMNOPQRSTUVW", "with/slash and ü"] {
        world.client(name);
    }
}

#[test]
fn a_client_id_that_is_too_long_is_refused() {
    // [MQTT-3.1.3-8] [MQTT-3.2.2-6] [MQTT-3.2.2-7]; 3.1.1 [MQTT-3.1.3-9]
    let world = World::with_limits(|limits| limits.client_id_bytes_max = 30);
    let long = "x".repeat(31);
    let connack = world.connect(&long).refused();
    assert_eq!(connack.reason, ReasonCode::ClientIdentifierNotValid);
    assert!(!connack.session_present);
    assert_eq!(connack.reason_string, Some("the client id is too long"));
    world.connect(&long).v311().refused();
    world.client(&"x".repeat(30));
}

#[test]
fn an_explanation_is_left_out_when_it_would_not_fit_or_is_not_wanted() {
    // [MQTT-3.2.2-19] [MQTT-3.1.2-24]
    let world = World::with_limits(|limits| limits.client_id_bytes_max = 1);
    let connack = world.connect("long").packet_bytes_max(10).refused();
    assert_eq!(connack.reason_string, None);
    let connack = world
        .connect("long")
        .with(|connect| connect.request_problem_info = false)
        .refused();
    assert_eq!(connack.reason_string, None);
}

#[test]
fn a_connack_that_the_client_would_not_take_is_not_sent() {
    // [MQTT-3.1.2-24]
    let world = World::new();
    let client = world.connect("a").packet_bytes_max(5).send();
    client.expect_nothing();
    assert_eq!(
        client.closed(),
        Some(CloseCause::Server(ReasonCode::PacketTooLarge))
    );
    assert_eq!(world.counters().connections_now, 0);
}

#[test]
fn a_refused_client_leaves_nothing_behind_and_is_not_heard() {
    // [MQTT-3.1.4-2] [MQTT-3.1.4-6]; 3.1.1 [MQTT-3.1.4-5]
    let world = World::new();
    let client = world
        .connect("a")
        .with(|connect| connect.auth_method = Some("unheard-of"))
        .send();
    assert_eq!(
        client.expect_connack().reason,
        ReasonCode::BadAuthenticationMethod,
        "[MQTT-4.12.0-1]"
    );
    let subscribe = Subscribe::new(id(1), vec![filter("x", QOS0)]);
    world.step(|org, now, tape| {
        org.handle_packet(client.conn, &Packet::Subscribe(subscribe), now, tape);
    });
    client.expect_nothing();
    assert_eq!(world.session("a"), None);
    assert_eq!(world.counters().subscriptions_now, 0);
}

#[test]
fn a_second_client_with_the_same_id_takes_over() {
    // [MQTT-3.1.4-3]; 3.1.1 [MQTT-3.1.4-2]
    let world = World::new();
    let first = world.connect("a").expiry(100).go();
    first.subscribe("x", QOS1);
    let (second, connack) = world.connect("a").resume().expiry(100).go_and_see();
    first.expect_disconnect(ReasonCode::SessionTakenOver);
    assert!(connack.session_present);
    let third = world.connect("a").v311().resume().go();
    second.expect_disconnect(ReasonCode::SessionTakenOver);
    let fourth = world.connect("a").resume().expiry(100).go();
    third.expect_closed(ReasonCode::SessionTakenOver);
    world.client("b").publish("x", "to the last one");
    fourth.expect_publish("x", "to the last one");
    assert_eq!(world.counters().takeovers, 3);
}

#[test]
fn a_taken_over_session_without_expiry_is_gone() {
    // [MQTT-4.1.0-2]
    let world = World::new();
    let first = world.client("a");
    first.subscribe("x", QOS0);
    let (second, connack) = world.connect("a").resume().go_and_see();
    first.expect_disconnect(ReasonCode::SessionTakenOver);
    assert!(!connack.session_present);
    world.client("b").publish("x", "unheard");
    second.expect_nothing();
}

#[test]
fn nobody_takes_the_client_id_of_another_user() {
    let world = World::new();
    let ann = world.connect("a").expiry(100).user("ann").go();
    let connack = world.connect("a").user("bob").refused();
    assert_eq!(connack.reason, ReasonCode::ClientIdentifierNotValid);
    assert_eq!(ann.closed(), None, "the owner is not disturbed");
    ann.cut();
    world.connect("a").user("bob").v311().refused();
    assert!(world.connect("a").resume().go_and_see().1.session_present);
}

#[test]
fn a_second_connect_ends_the_connection() {
    // [MQTT-3.1.0-2]; 3.1.1 [MQTT-3.1.0-2]
    let world = World::new();
    let mut connect = Vec::new();
    let packet = cloudsignal_core::codec::Connect::new(Version::V5, "a");
    packet.encode(&mut connect).expect("a CONNECT");
    let client = world.client("a");
    client.send_bytes(&connect);
    client.expect_disconnect(ReasonCode::ProtocolError);

    // One in another version, or in one that nobody knows, is no better.
    let old = world.connect("a").v311().go();
    old.send_bytes(&connect);
    old.expect_closed(ReasonCode::ProtocolError);
    let client = world.client("a");
    connect[8] = 9;
    client.send_bytes(&connect);
    client.expect_disconnect(ReasonCode::ProtocolError);
}

#[test]
fn a_full_organization_refuses_newcomers() {
    let world = World::with_limits(|limits| {
        limits.connections_max = 2;
        limits.sessions_max = 3;
    });
    let a = world.connect("a").expiry(100).go();
    let _b = world.client("b");
    assert_eq!(world.connect("c").refused().reason, ReasonCode::QuotaExceeded);
    assert_eq!(
        world.connect("c").v311().refused().reason,
        ReasonCode::ServerUnavailable,
        "a code that lets clients try again"
    );
    let again = world.connect("a").resume().expiry(100).go();
    a.expect_disconnect(ReasonCode::SessionTakenOver);
    again.cut();
    world.connect("c").expiry(100).go();
    let connack = world.connect("a").resume().refused();
    assert_eq!(
        connack.reason,
        ReasonCode::QuotaExceeded,
        "coming back needs a connection too"
    );
    assert_eq!(world.counters().connections_now, 2);

    world.connect("c").expiry(100).go().cut();
    assert_eq!(world.counters().sessions_now, 3);
    assert_eq!(
        world.connect("d").refused().reason,
        ReasonCode::QuotaExceeded,
        "no session is left"
    );
    assert!(world.connect("a").resume().go_and_see().1.session_present);
}

#[test]
fn response_information_is_given_to_who_asks() {
    // [MQTT-3.1.2-28]
    let world = World::new();
    let (_, connack) = world.connect("a").go_and_see();
    assert_eq!(connack.response_information, None);
    let asking = |name| {
        world
            .connect(name)
            .with(|connect| connect.request_response_info = true)
    };
    let (_, connack) = asking("a").go_and_see();
    assert_eq!(connack.response_information, Some("response/a"));
}

#[test]
fn a_client_id_too_long_for_response_information_does_without() {
    let world = World::with_limits(|limits| limits.client_id_bytes_max = 65_535);
    let (_, connack) = world
        .connect(&"x".repeat(65_530))
        .with(|connect| connect.request_response_info = true)
        .go_and_see();
    assert_eq!(connack.response_information, None);
}

#[test]
fn connect_reports_who_came() {
    let world = World::new();
    let mut ann = identity("ann");
    ann.claims.push(("email".into(), "ann@example.com".into()));
    world.connect("a").identity(ann).go();
    let reports = world.take_reports().join("\n");
    assert!(reports.contains("Connected"), "{reports}");
    assert!(reports.contains("username: \"ann\""), "{reports}");
}

//! What outlives a connection, for how long, and how a client comes back to it.

use cloudsignal_broker::CloseCause;
use cloudsignal_core::codec::{Disconnect, ReasonCode};

use crate::client::{MessageExt, QOS0, QOS1, QOS2, message, will};
use crate::world::World;

fn leaving_for(secs: u32) -> Disconnect<'static> {
    Disconnect {
        session_expiry_secs: Some(secs),
        ..Disconnect::default()
    }
}

#[test]
fn a_session_lasts_as_long_as_was_agreed() {
    // [MQTT-3.1.2-23] [MQTT-4.1.0-1] [MQTT-4.1.0-2]
    let world = World::new();
    let connect = || world.connect("a").resume().expiry(100);
    let client = connect().go();
    world.advance_secs(1_000);
    assert_eq!(client.closed(), None, "it does not count while connected");
    client.cut();
    world.advance_secs(99);
    let (client, connack) = connect().go_and_see();
    assert!(connack.session_present);
    assert_eq!(connack.session_expiry_secs, None, "as asked");
    client.cut();
    world.advance_secs(100);
    assert_eq!(world.session("a"), None);
    assert!(!connect().go_and_see().1.session_present);
    assert!(world.take_reports().join("\n").contains("SessionEnded"));
}

#[test]
fn an_overdue_session_is_over_even_when_the_timers_are_late() {
    // [MQTT-4.1.0-2]
    let world = World::new();
    let connect = || world.connect("a").resume().expiry(100);
    let client = connect().go();
    client.subscribe("x", QOS1);
    client.cut();
    world.advance_unnoticed(100);
    let (client, connack) = connect().go_and_see();
    assert!(!connack.session_present);
    world.client("b").publish("x", "unheard");
    client.expect_nothing();
}

#[test]
fn without_an_expiry_a_session_ends_with_its_connection() {
    // [MQTT-4.1.0-2]; 3.1.1 [MQTT-3.1.2-6]
    let world = World::new();
    world.connect("a").resume().go().cut();
    world.connect("b").v311().go().cut();
    world.connect("c").expiry(0).go().disconnect();
    assert_eq!(world.counters().sessions_now, 0);
}

#[test]
fn a_session_without_end_stays() {
    let world = World::new();
    world.connect("a").expiry(u32::MAX).go().cut();
    world.connect("b").v311().resume().go().disconnect();
    world.advance_secs(u32::MAX);
    assert!(world.connect("a").resume().go_and_see().1.session_present);
    assert!(world.connect("b").v311().resume().go_and_see().1.session_present);
}

#[test]
fn the_broker_may_grant_less_and_says_so() {
    // [MQTT-3.2.2-8], section 3.2.2.3.2
    let world = World::with_limits(|limits| {
        limits.session_expiry_secs_max = 60;
        limits.session_expiry_secs_default = 30;
    });
    let (client, connack) = world.connect("a").expiry(u32::MAX).go_and_see();
    assert_eq!(connack.session_expiry_secs, Some(60));
    client.disconnect_it(leaving_for(1_000));
    assert_eq!(world.session("a").map(|session| session.1), Some(60));
    world.advance_secs(60);
    assert_eq!(world.session("a"), None);

    let (_, connack) = world.connect("a").resume().go_and_see();
    assert_eq!(
        connack.session_expiry_secs,
        Some(30),
        "who resumes wants a session"
    );
    let (_, connack) = world.connect("b").go_and_see();
    assert_eq!(connack.session_expiry_secs, None, "who starts clean does not");
    let (_, connack) = world.connect("c").resume().expiry(0).go_and_see();
    assert_eq!(connack.session_expiry_secs, None, "nor who says so");

    let old = world.connect("old").v311().resume().go();
    old.cut();
    assert_eq!(world.session("old").map(|session| session.1), Some(60));
}

#[test]
fn the_expiry_may_change_on_leaving() {
    let world = World::new();
    let leave = |secs| {
        let client = world.connect("a").expiry(100).go();
        client.disconnect_it(leaving_for(secs));
        assert_eq!(client.closed(), Some(CloseCause::Client));
        world.session("a").map(|session| session.1)
    };
    assert_eq!(leave(10), Some(10));
    world.advance_secs(10);
    assert_eq!(world.session("a"), None);
    assert_eq!(leave(0), None, "gone at once");
    assert_eq!(leave(u32::MAX), Some(u32::MAX));
    world.advance_secs(u32::MAX);
    assert_eq!(world.session("a").map(|session| session.1), Some(u32::MAX));
}

#[test]
fn who_had_no_expiry_cannot_get_one_on_leaving() {
    // section 3.14.2.2.2
    let world = World::new();
    let watcher = world.client("watcher");
    watcher.subscribe("wills/m", QOS0);
    let client = world.connect("a").will(will("wills/m", "gone")).go();
    client.disconnect_it(leaving_for(10));
    client.expect_disconnect(ReasonCode::ProtocolError);
    watcher.expect_publish("wills/m", "gone");
    assert_eq!(world.session("a"), None);

    let client = world.connect("a").go();
    client.disconnect_it(leaving_for(0));
    assert_eq!(client.closed(), Some(CloseCause::Client), "none is as before");
}

#[test]
fn the_latest_connect_decides_the_expiry() {
    let world = World::new();
    world.connect("a").expiry(100).go().cut();
    world.connect("a").resume().expiry(10).go().cut();
    world.advance_secs(10);
    assert_eq!(world.session("a"), None);
    world.connect("a").expiry(100).go().cut();
    world.connect("a").resume().go().cut();
    assert_eq!(world.session("a"), None, "absent means 0");
}

#[test]
fn messages_wait_for_who_is_away() {
    // [MQTT-4.5.0-1]; 3.1.1 [MQTT-3.1.2-5]
    let world = World::new();
    for v311 in [true, false] {
        let connect = || {
            let connect = world.connect("a").resume();
            if v311 { connect.v311() } else { connect.expiry(100) }
        };
        let client = connect().go();
        client.subscribe("x", QOS2);
        client.disconnect();
        let b = world.client("b");
        b.publish("x", "0");
        b.publish_qos1("x", "1", 1);
        b.publish_qos2("x", "2", 1);
        let client = connect().go();
        for (payload, qos) in [("1", QOS1), ("2", QOS2)] {
            let publish = client.expect_publish("x", payload);
            assert_eq!((publish.qos, publish.dup), (qos, false));
            client.acknowledge(&publish);
        }
        client.expect_nothing();
        assert_eq!(
            world.session("a").map(|session| (session.3, session.4)),
            Some((0, 0))
        );
        client.cut();
    }
}

#[test]
fn a_session_moves_between_versions() {
    let world = World::new();
    let client = world.connect("a").expiry(100).go();
    client.subscribe_all(vec![crate::client::filter("x", QOS1)], Some(9));
    client.cut();
    let b = world.client("b");
    b.publish_it(
        message("x", "1")
            .at(QOS1, 1)
            .with(|it| it.content_type = Some("t")),
    );
    let old = world.connect("a").v311().resume().go();
    let publish = old.expect_publish("x", "1");
    assert_eq!(publish.properties, message("x", "").properties);
    old.cut();
    let client = world.connect("a").resume().expiry(100).go();
    let publish = client.expect_publish("x", "1");
    assert!(publish.dup);
    assert_eq!(publish.properties.content_type, Some("t"));
    assert_eq!(
        publish.properties.subscription_ids.iter().collect::<Vec<_>>(),
        [9]
    );
}

#[test]
fn goodbye_is_the_last_word() {
    // [MQTT-3.14.4-1] [MQTT-3.14.4-2]; 3.1.1 [MQTT-3.14.4-1] [MQTT-3.14.4-2]
    let world = World::new();
    let client = world.client("a");
    let number = client.conn;
    client.disconnect();
    world.step(|org, now, tape| {
        org.handle_packet(number, &cloudsignal_core::Packet::PingReq, now, tape);
        org.handle_writable(number, now, tape);
        org.handle_closed(number, now, tape);
    });
    client.expect_nothing();
    assert_eq!(world.counters().connections_now, 0);
}

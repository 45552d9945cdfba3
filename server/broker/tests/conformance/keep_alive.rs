//! Keep alive: silence for one and a half intervals ends a connection.

use cloudsignal_broker::CloseCause;
use cloudsignal_core::codec::ReasonCode;
use cloudsignal_core::{Packet, Version};

use crate::client::QOS0;
use crate::world::World;

#[test]
fn silence_for_one_and_a_half_intervals_ends_the_connection() {
    // [MQTT-3.1.2-22]; 3.1.1 [MQTT-3.1.2-24]
    let world = World::new();
    let client = world.connect("a").keep_alive(10).go();
    let old = world.connect("b").v311().keep_alive(10).go();
    world.advance_micros(14_999_999);
    assert_eq!((client.closed(), old.closed()), (None, None));
    world.advance_micros(1);
    client.expect_disconnect(ReasonCode::KeepAliveTimeout);
    old.expect_closed(ReasonCode::KeepAliveTimeout);
}

#[test]
fn every_packet_is_a_sign_of_life() {
    // [MQTT-3.12.4-1] [MQTT-3.1.2-22]
    let world = World::new();
    for version in [Version::V31, Version::V311, Version::V5] {
        let client = world.connect("a").version(version).keep_alive(10).go();
        for _ in 0..10 {
            world.advance_secs(14);
            client.send(&Packet::PingReq);
            client.expect_pingresp();
            world.advance_secs(14);
            client.publish("x", "hello");
        }
        client.expect_nothing();
        assert_eq!(client.closed(), None);
    }
}

#[test]
fn what_is_sent_to_a_client_is_no_sign_of_its_life() {
    let world = World::new();
    let client = world.connect("a").keep_alive(10).go();
    client.subscribe("x", QOS0);
    let b = world.client("b");
    for _ in 0..15 {
        world.advance_secs(1);
        b.publish("x", "hello");
    }
    assert_eq!(
        client.closed(),
        Some(CloseCause::Server(ReasonCode::KeepAliveTimeout))
    );
}

#[test]
fn nobody_is_silent_while_nobody_listens() {
    // [MQTT-3.1.2-22]
    let world = World::new();
    let client = world.connect("a").keep_alive(10).go();
    world.inner().tape.is_deaf = true;
    world.advance_secs(100);
    assert_eq!(client.closed(), None);
    world.inner().tape.is_deaf = false;
    world.advance_secs(4);
    assert_eq!(
        client.closed(),
        None,
        "its time begins when somebody listens again"
    );
    world.advance_secs(11);
    client.expect_disconnect(ReasonCode::KeepAliveTimeout);
}

#[test]
fn no_keep_alive_no_end() {
    let world = World::new();
    let client = world.client("a");
    world.advance_secs(100_000_000);
    assert_eq!(client.closed(), None);
}

#[test]
fn the_broker_may_want_a_shorter_one_and_says_so() {
    // [MQTT-3.2.2-21] [MQTT-3.2.2-22] [MQTT-3.1.2-21]
    let world = World::with_limits(|limits| limits.keep_alive_secs_max = 60);
    for (asked, told) in [(10, None), (60, None), (61, Some(60)), (0, Some(60))] {
        let (client, connack) = world.connect("a").keep_alive(asked).go_and_see();
        assert_eq!(connack.server_keep_alive_secs, told, "{asked}");
        let secs = u32::from(told.unwrap_or(asked));
        world.advance_micros(u64::from(secs) * 1_500_000 - 1);
        assert_eq!(client.closed(), None, "{asked}");
        world.advance_micros(1);
        client.expect_disconnect(ReasonCode::KeepAliveTimeout);
    }
}

#[test]
fn a_client_that_cannot_be_told_keeps_its_own() {
    // [MQTT-3.2.2-22]
    let world = World::with_limits(|limits| limits.keep_alive_secs_max = 60);
    let patient = world.connect("a").v311().keep_alive(600).go();
    let endless = world.connect("b").v311().go();
    world.advance_secs(899);
    assert_eq!((patient.closed(), endless.closed()), (None, None));
    world.advance_secs(1);
    patient.expect_closed(ReasonCode::KeepAliveTimeout);
    assert_eq!(endless.closed(), None);
}

#[test]
fn a_dead_connection_leaves_its_session() {
    // [MQTT-3.1.2-22]: as if the network had failed
    let world = World::new();
    let client = world.connect("a").expiry(100).keep_alive(10).go();
    world.advance_secs(15);
    client.expect_disconnect(ReasonCode::KeepAliveTimeout);
    world.advance_secs(99);
    assert!(world.connect("a").resume().go_and_see().1.session_present);
}

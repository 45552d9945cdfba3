//! The will: published when a client is gone without a goodbye, perhaps a while later, perhaps not at all.

use cloudsignal_broker::CloseCause;
use cloudsignal_core::Packet;
use cloudsignal_core::codec::{Disconnect, ReasonCode, UserProperties, Will};

use crate::client::{Client, Connecting, QOS0, QOS1, QOS2, topic, will};
use crate::world::World;

fn watcher(world: &World) -> Client {
    let client = world.connect("watcher").expiry(10_000).go();
    client.subscribe("wills/#", QOS2);
    client
}

fn mortal(world: &World) -> Connecting {
    world.connect("mortal").will(will("wills/m", "gone"))
}

fn delayed(secs: u32) -> Will<'static> {
    Will {
        delay_secs: secs,
        ..will("wills/m", "gone")
    }
}

#[test]
fn a_will_is_published_when_the_connection_is_lost() {
    // [MQTT-3.1.2-7] [MQTT-3.1.2-8] [MQTT-3.1.2-9] [MQTT-3.1.2-10] [MQTT-3.1.2-14]
    // 3.1.1 [MQTT-3.1.2-8] [MQTT-3.1.2-10] [MQTT-3.1.2-16]
    let world = World::new();
    let watcher = watcher(&world);
    for connect in [mortal(&world), mortal(&world).v311()] {
        let client = connect.go();
        watcher.expect_nothing();
        client.cut();
        let publish = watcher.expect_publish("wills/m", "gone");
        assert_eq!((publish.qos, publish.retain), (QOS0, false));
        world.advance_secs(100_000);
        watcher.expect_nothing();
    }
    assert_eq!(world.retained("wills/m"), None);
    assert_eq!(world.counters().wills, 2);
}

#[test]
fn a_goodbye_discards_the_will() {
    // [MQTT-3.1.2-8] [MQTT-3.1.2-10] [MQTT-3.14.4-3]; 3.1.1 [MQTT-3.14.4-3] [MQTT-3.1.2-12]
    let world = World::new();
    let watcher = watcher(&world);
    for connect in [mortal(&world), mortal(&world).v311(), mortal(&world).expiry(5)] {
        let client = connect.go();
        client.disconnect();
        assert_eq!(client.closed(), Some(CloseCause::Client));
        world.advance_secs(10);
        watcher.expect_nothing();
    }
    world.connect("without").go().cut();
    watcher.expect_nothing();
}

#[test]
fn a_goodbye_with_will_publishes_it() {
    // [MQTT-3.1.2-8]
    let world = World::new();
    let watcher = watcher(&world);
    for reason in [ReasonCode::DisconnectWithWill, ReasonCode::UnspecifiedError] {
        let client = mortal(&world).go();
        client.disconnect_it(Disconnect::new(reason));
        watcher.expect_publish("wills/m", "gone");
        assert_eq!(client.closed(), Some(CloseCause::ClientWithWill));
    }
}

#[test]
fn a_client_that_the_broker_closes_leaves_its_will() {
    // [MQTT-3.1.2-8]
    let world = World::new();
    let watcher = watcher(&world);
    let client = mortal(&world).go();
    client.send(&Packet::PingResp);
    client.expect_disconnect(ReasonCode::ProtocolError);
    watcher.expect_publish("wills/m", "gone");
    let client = mortal(&world).keep_alive(10).go();
    world.advance_secs(15);
    client.expect_disconnect(ReasonCode::KeepAliveTimeout);
    watcher.expect_publish("wills/m", "gone");
    let client = mortal(&world).go();
    client.send_bytes(&[0xFF, 0]);
    watcher.expect_publish("wills/m", "gone");
}

#[test]
fn a_will_is_an_ordinary_message() {
    // [MQTT-3.1.2-9] [MQTT-3.1.2-15] [MQTT-3.1.3-10]; 3.1.1 [MQTT-3.1.2-17]
    let world = World::new();
    let watcher = watcher(&world);
    let mut wire = Vec::new();
    for (name, value) in [("z", "1"), ("a", "2"), ("z", "3")] {
        UserProperties::push(&mut wire, name, value).expect("short");
    }
    let wire: &'static [u8] = wire.leak();
    let mut rich = Will::new(topic("wills/rich"), b"kept", QOS2, true);
    rich.properties.payload_format = Some(true);
    rich.properties.content_type = Some("text/plain");
    rich.properties.response_topic = Some(topic("answer"));
    rich.properties.correlation_data = Some(b"7");
    rich.properties.user_properties = UserProperties::from_wire(wire).expect("just written");
    rich.properties.message_expiry_secs = Some(50);
    let client = world.connect("mortal").will(rich.clone()).go();
    world.advance_secs(1_000);
    client.cut();
    let publish = watcher.expect_publish("wills/rich", "kept");
    assert_eq!((publish.qos, publish.retain), (QOS2, false));
    assert_eq!(
        publish.properties, rich.properties,
        "its life begins when it is published"
    );
    assert_eq!(world.retained("wills/rich"), Some(b"kept".to_vec()));
    world.advance_secs(50);
    assert_eq!(world.retained("wills/rich"), None);
}

#[test]
fn a_delayed_will_waits() {
    // [MQTT-3.1.2-8]
    let world = World::new();
    let watcher = watcher(&world);
    let connect = || world.connect("mortal").resume().expiry(100).will(delayed(30));
    connect().go().cut();
    world.advance_secs(29);
    watcher.expect_nothing();
    world.advance_secs(1);
    watcher.expect_publish("wills/m", "gone");
    world.advance_secs(1_000);
    watcher.expect_nothing();
}

#[test]
fn a_client_that_comes_back_in_time_cancels_its_will() {
    // [MQTT-3.1.3-9]
    let world = World::new();
    let watcher = watcher(&world);
    let connect = || world.connect("mortal").resume().expiry(100).will(delayed(30));
    let first = connect().go();
    first.cut();
    world.advance_secs(29);
    let second = connect().go();
    world.advance_secs(1_000);
    watcher.expect_nothing();
    second.cut();
    world.advance_secs(30);
    watcher.expect_publish("wills/m", "gone");
}

#[test]
fn a_client_that_comes_back_too_late_cancels_nothing_even_when_the_timers_are_late() {
    // [MQTT-3.1.2-8]
    let world = World::new();
    let watcher = watcher(&world);
    let connect = || world.connect("mortal").resume().expiry(100).will(delayed(30));
    connect().go().cut();
    world.advance_unnoticed(30);
    let (_back, connack) = connect().go_and_see();
    assert!(connack.session_present);
    watcher.expect_publish("wills/m", "gone");
    watcher.expect_nothing();
}

#[test]
fn the_end_of_the_session_does_not_wait_for_the_will() {
    // [MQTT-3.1.2-8], section 3.1.3.2.2
    let world = World::new();
    let watcher = watcher(&world);
    let connect = || world.connect("mortal").will(delayed(30));
    connect().expiry(10).go().cut();
    world.advance_secs(9);
    watcher.expect_nothing();
    world.advance_secs(1);
    watcher.expect_publish("wills/m", "gone");

    connect().go().cut();
    watcher.expect_publish("wills/m", "gone");

    connect().expiry(100).go().cut();
    world.advance_secs(5);
    watcher.expect_nothing();
    let clean = world.connect("mortal").go();
    watcher.expect_publish("wills/m", "gone");
    clean.cut();
    watcher.expect_nothing();
}

#[test]
fn a_takeover_publishes_the_will_unless_it_is_delayed_and_the_session_goes_on() {
    // [MQTT-3.1.2-8] [MQTT-3.1.3-9] [MQTT-3.1.4-3]
    let world = World::new();
    let watcher = watcher(&world);
    let at_once = mortal(&world).expiry(100).go();
    let next = world
        .connect("mortal")
        .resume()
        .expiry(100)
        .will(delayed(10))
        .go();
    at_once.expect_disconnect(ReasonCode::SessionTakenOver);
    watcher.expect_publish("wills/m", "gone");
    let last = world.connect("mortal").resume().expiry(100).go();
    next.expect_disconnect(ReasonCode::SessionTakenOver);
    world.advance_secs(1_000);
    watcher.expect_nothing();
    last.disconnect();

    let delayed = world.connect("mortal").expiry(100).will(delayed(10)).go();
    let clean = world.connect("mortal").go();
    delayed.expect_disconnect(ReasonCode::SessionTakenOver);
    watcher.expect_publish("wills/m", "gone");
    clean.disconnect();
}

#[test]
fn a_new_connection_brings_a_new_will() {
    let world = World::new();
    let watcher = watcher(&world);
    let connect = || world.connect("mortal").resume().expiry(100);
    connect().will(will("wills/m", "old")).go().disconnect();
    connect().will(will("wills/m", "new")).go().cut();
    watcher.expect_publish("wills/m", "new");
    connect().go().cut();
    watcher.expect_nothing();
}

#[test]
fn a_will_reaches_the_session_that_left_it() {
    let world = World::new();
    let will = Will {
        qos: QOS1,
        ..will("wills/m", "mine")
    };
    let connect = || world.connect("mortal").resume().expiry(100);
    let client = connect().will(will).go();
    client.subscribe("wills/m", QOS1);
    client.cut();
    connect().go().expect_publish("wills/m", "mine");
}

#[test]
fn a_will_that_is_not_allowed_is_not_published() {
    let world = World::new();
    let watcher = world.client("watcher");
    watcher.subscribe("$SYS/x", QOS0);
    watcher.read_all();
    world.connect("mortal").will(will("$SYS/x", "gone")).go().cut();
    watcher.expect_nothing();
    assert_eq!(world.counters().denied, 1);
}

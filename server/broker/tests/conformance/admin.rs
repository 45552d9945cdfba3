//! What operators do while clients are connected, and what they see.

use cloudsignal_broker::CloseCause;
use cloudsignal_core::codec::ReasonCode;

use crate::client::{MessageExt, QOS0, QOS1, filter, message, will};
use crate::world::World;

#[test]
fn a_shutdown_says_so_to_everybody() {
    // [MQTT-3.14.4-2]
    let world = World::new();
    let a = world.connect("a").expiry(100).go();
    let old = world.connect("b").v311().go();
    let away = world.connect("c").expiry(100).go();
    away.cut();
    let closed = world.step(|org, now, tape| org.handle_shutdown(ReasonCode::ServerShuttingDown, now, tape));
    assert_eq!(closed, 2);
    let disconnect = a.expect_disconnect(ReasonCode::ServerShuttingDown);
    assert_eq!(disconnect.reason_string, None);
    old.expect_closed(ReasonCode::ServerShuttingDown);
    assert!(world.connect("a").resume().go_and_see().1.session_present);
}

#[test]
fn a_shutdown_publishes_wills_to_whoever_keeps_a_session() {
    // [MQTT-3.1.2-8]
    let world = World::new();
    let watcher = world.connect("watcher").expiry(100).go();
    watcher.subscribe("wills/m", QOS1);
    world
        .connect("mortal")
        .will(cloudsignal_core::codec::Will {
            qos: QOS1,
            ..will("wills/m", "gone")
        })
        .go();
    world.step(|org, now, tape| org.handle_shutdown(ReasonCode::ServerShuttingDown, now, tape));
    watcher.read_all();
    let watcher = world.connect("watcher").resume().expiry(100).go();
    watcher.expect_publish("wills/m", "gone");
}

#[test]
fn an_operator_can_close_one_client() {
    let world = World::new();
    let (a, b) = (world.client("a"), world.client("b"));
    let kick = |name: &str| {
        world.step(|org, now, tape| org.handle_kick(name, ReasonCode::AdministrativeAction, now, tape))
    };
    assert!(kick("a"));
    let disconnect = a.expect_disconnect(ReasonCode::AdministrativeAction);
    assert_eq!(disconnect.reason_string, Some("closed by an operator"));
    assert_eq!(b.closed(), None);
    assert!(!kick("a"));
    assert!(!kick("nobody"));
}

#[test]
fn operators_see_sessions() {
    let world = World::new();
    let a = world.connect("a").expiry(100).go();
    a.subscribe("x", QOS1);
    a.subscribe("y", QOS0);
    let b = world.client("b");
    b.publish_qos1("x", "1", 1);
    assert_eq!(world.session("a"), Some((true, 100, 2, 0, 1)));
    a.cut();
    b.publish_qos1("x", "2", 1);
    assert_eq!(world.session("a"), Some((false, 100, 2, 1, 1)));
    let inner = world.inner();
    let bytes: usize = inner.org.sessions().map(|view| view.queue_bytes).sum();
    assert_eq!(bytes as u64, inner.org.counters().queue_bytes_now);
    assert!(inner.org.sessions().all(|view| &*view.identity.username == "ann"));
}

#[test]
fn smaller_limits_let_nothing_more_in_and_throw_nothing_out() {
    let world = World::new();
    let a = world.client("a");
    for text in ["a", "b", "c"] {
        a.subscribe(text, QOS1);
    }
    let b = world.client("b");
    for name in ["a", "b"] {
        b.publish_it(message(name, "kept").retained());
    }
    a.read_all();
    world.step(|org, _, _| {
        let mut limits = org.limits().clone();
        limits.subscriptions_max = 1;
        limits.retained_messages_max = 1;
        limits.connections_max = 1;
        org.handle_limits(limits);
    });
    assert_eq!(a.subscribe_it(filter("d", QOS0)), ReasonCode::QuotaExceeded);
    b.publish("c", "hello");
    a.expect_publish("c", "hello");
    assert_eq!(world.retained("b"), Some(b"kept".to_vec()));
    assert_eq!(world.connect("c").refused().reason, ReasonCode::QuotaExceeded);
    assert_eq!((a.closed(), b.closed()), (None, None));
}

#[test]
fn counters_follow_what_happens() {
    let world = World::new();
    let a = world.connect("a").expiry(10).go();
    a.subscribe("x", QOS1);
    let b = world.connect("b").v311().go();
    b.publish_qos1("x", "12345", 1);
    b.publish_qos2("x", "12", 1);
    b.publish("nowhere", "");
    a.cut();
    world
        .connect("")
        .with(|connect| connect.auth_method = Some("x"))
        .refused();
    let counters = world.counters();
    assert_eq!(counters.connects, 2);
    assert_eq!(counters.connects_refused, 1);
    assert_eq!((counters.connections_now, counters.sessions_now), (1, 2));
    assert_eq!(counters.messages_received, [1, 1, 1]);
    assert_eq!(counters.messages_sent, [0, 2, 0]);
    assert_eq!((counters.bytes_received, counters.bytes_sent), (7, 7));
    assert_eq!(counters.subscriptions_now, 1);
    world.advance_secs(10);
    assert_eq!(
        (world.counters().sessions_now, world.counters().subscriptions_now),
        (1, 0)
    );
}

#[test]
fn every_connection_is_reported_when_it_comes_and_when_it_goes() {
    let world = World::new();
    let client = world.client("a");
    client.disconnect();
    assert_eq!(client.closed(), Some(CloseCause::Client));
    let reports = world.take_reports();
    assert_eq!(reports.len(), 3, "{reports:?}");
    assert!(reports[0].starts_with("Connected"));
    assert!(reports[1].starts_with("Disconnected"));
    assert!(reports[2].starts_with("SessionEnded"));
}

#[test]
fn the_same_calls_have_the_same_effects() {
    let story = || {
        let world = World::new();
        let readers: Vec<_> = (0..20)
            .map(|n| {
                let client = world.connect("").go();
                client.subscribe(&format!("$share/g{}/x/#", n % 3), QOS1);
                client.subscribe(&format!("x/{}", n % 5), QOS0);
                client
            })
            .collect();
        let p = world.client("p");
        for n in 0..40_u16 {
            p.publish_it(message(&format!("x/{}", n % 7), n.to_string()).at(QOS1, 1));
        }
        let seen: Vec<_> = readers.iter().map(crate::client::Client::read_all).collect();
        (seen, world.take_reports())
    };
    assert_eq!(story(), story());
}

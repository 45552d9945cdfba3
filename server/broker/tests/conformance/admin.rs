//! What operators do while clients are connected, and what they see.

use std::ops::ControlFlow;

use cloudsignal_broker::{CloseCause, Traffic};
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

#[test]
fn an_operator_sees_everything_of_one_session() {
    let world = World::new();
    world.advance_secs(5);
    let now = world.inner().now;
    let a = world.connect("a").expiry(100).keep_alive(30).go();
    a.subscribe("$share/g/x", QOS0);
    a.subscribe("b", QOS1);
    a.publish("b", "12345");
    a.expect_publish("b", "12345");
    a.publish_qos1("nobody", "123", 1);
    {
        let inner = world.inner();
        let view = inner.org.session("a").expect("is there");
        let conn = view.connection.expect("is connected");
        assert_eq!((conn.keep_alive_secs, conn.clean_start), (30, true));
        assert_eq!((conn.connected_at, conn.ends_at), (now, None));
        let traffic = Traffic {
            messages_in: 2,
            bytes_in: 8,
            messages_out: 1,
            bytes_out: 5,
        };
        assert_eq!(conn.traffic, traffic);
        let filters: Vec<_> = inner
            .org
            .subscriptions("a")
            .map(|it| (it.filter, it.qos))
            .collect();
        assert_eq!(filters, [("$share/g/x", QOS0), ("b", QOS1)]);
        assert!(inner.org.session("nobody").is_none());
        assert_eq!(inner.org.subscriptions("nobody").count(), 0);
    }
    world.take_reports();
    a.cut();
    let reports = world.take_reports();
    assert!(
        reports[0].contains("messages_in: 2, bytes_in: 8, messages_out: 1, bytes_out: 5"),
        "{reports:?}"
    );
    let inner = world.inner();
    let view = inner.org.session("a").expect("is kept");
    assert!(view.connection.is_none());
    assert_eq!(view.expires_at, Some(inner.now.after_secs(100)));
}

#[test]
fn sessions_can_be_looked_at_in_small_steps() {
    let world = World::new();
    let clients: Vec<_> = (0..50)
        .map(|number| world.client(&format!("c{number}")))
        .collect();
    let mut seen = Vec::new();
    let mut from = Some(0);
    let mut steps = 0;
    while let Some(at) = from {
        // Clients come and go between two looks: here one that was not looked at yet.
        if steps == 2 {
            clients[49].disconnect();
            world.client("late");
        }
        let inner = world.inner();
        let mut room = 3;
        from = inner.org.visit_sessions(at, 10, |view| {
            seen.push(view.client_id.to_owned());
            room -= 1;
            if room == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        steps += 1;
    }
    assert!(steps > 16, "three at most in each step");
    let stayed = (0..49).map(|number| format!("c{number}"));
    for name in stayed {
        assert_eq!(seen.iter().filter(|seen| **seen == name).count(), 1, "{name}");
    }
    assert_eq!(
        world
            .inner()
            .org
            .visit_sessions(usize::MAX, 10, |_| unreachable!()),
        None
    );
}

#[test]
fn a_session_can_be_forgotten() {
    let world = World::new();
    let a = world.connect("a").expiry(100).go();
    a.subscribe("x", QOS1);
    let forget = |name: &str| {
        world.step(|org, now, tape| org.handle_forget(name, ReasonCode::AdministrativeAction, now, tape))
    };
    assert!(forget("a"));
    a.expect_disconnect(ReasonCode::AdministrativeAction);
    assert_eq!(world.session("a"), None);
    assert_eq!(world.counters().subscriptions_now, 0);
    let b = world.client("b");
    assert!(forget("b"), "it ends with its connection");
    b.expect_disconnect(ReasonCode::AdministrativeAction);
    let c = world.connect("c").expiry(100).go();
    c.cut();
    assert!(forget("c"), "also when its client is away");
    assert_eq!(world.counters().sessions_now, 0);
    assert!(!forget("c"));
}

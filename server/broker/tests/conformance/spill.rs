//! Queues that the store keeps: what is stored leaves the memory, and comes back when its time comes.

use cloudsignal_broker::sink::DropReason;

use crate::client::{Client, MessageExt, QOS1, QOS2, message};
use crate::world::World;

/// A world whose queues leave the memory, with at most two messages of each in it while its client is there.
fn world() -> World {
    let world = World::with_limits(|limits| {
        limits.queue_resident_messages_max = 2;
        limits.inflight_max = 3;
    });
    world.begin_spilling();
    world
}

/// A session of `filter` whose client has gone.
fn away(world: &World, name: &str, filter: &str) {
    let client = world.lasting(name);
    client.subscribe(filter, QOS2);
    client.cut();
}

/// `count` messages, numbered from `first` on.
fn publish(publisher: &Client, first: usize, count: usize) {
    for number in first..first + count {
        publisher.publish_qos1("x", number.to_string(), 1);
    }
}

fn numbers(of: std::ops::Range<usize>) -> Vec<String> {
    of.map(|number| number.to_string()).collect()
}

/// Messages in the queue, those of them that only the store has, and bytes.
fn queue(world: &World, name: &str) -> (usize, usize, usize) {
    let inner = world.inner();
    let view = inner.org.session(name).expect("a session");
    (view.queue_messages, view.queue_spilled, view.queue_bytes)
}

#[test]
fn a_queue_of_a_client_that_is_away_is_in_the_store_alone() {
    let world = world();
    away(&world, "a", "x");
    let b = world.client("b");
    publish(&b, 0, 100);
    let (messages, spilled, bytes) = queue(&world, "a");
    assert_eq!((messages, spilled), (100, 100));
    assert_eq!(world.counters().queue_bytes_now, bytes as u64);
    assert!(bytes > 100 * 128, "{bytes} bytes are counted");
    let a = world.lasting("a");
    assert_eq!(a.take_all(), numbers(0..100));
    assert_eq!(queue(&world, "a"), (0, 0, 0));
    assert_eq!(world.counters().queue_messages_now, 0);
    publish(&b, 100, 1);
    a.expect_publish("x", "100");
}

#[test]
fn what_is_not_stored_stays_in_memory() {
    let world = world();
    away(&world, "a", "x");
    let b = world.client("b");
    world.withhold_store();
    b.send(&cloudsignal_core::Packet::Publish(message("x", "1").at(QOS1, 1)));
    assert_eq!(queue(&world, "a").1, 0);
    world.store_one();
    assert_eq!(queue(&world, "a").1, 1);
}

#[test]
fn a_client_that_is_slow_has_what_it_needs_soon_in_memory() {
    let world = world();
    let a = world.lasting("a");
    a.subscribe("x", QOS1);
    let b = world.client("b");
    // Three are on their way, and two are at hand.
    publish(&b, 0, 50);
    assert_eq!(queue(&world, "a").1, 45);
    // QoS 0 has no place in the store.
    b.publish_it(message("x", "lost"));
    assert_eq!(world.dropped(DropReason::QueueFullQos0), 1);
    publish(&b, 50, 1);
    let taken = a.take_all();
    assert_eq!(taken, numbers(0..51));
    assert_eq!(queue(&world, "a"), (0, 0, 0));
}

#[test]
fn what_expires_or_waits_too_long_is_dropped_while_its_client_is_away() {
    let world = World::with_limits(|limits| limits.queue_age_secs_max = 600);
    world.begin_spilling();
    away(&world, "a", "x");
    let b = world.client("b");
    publish(&b, 0, 300);
    world.advance_secs(60);
    let mut short = message("x", "short").at(QOS1, 1);
    short.properties.message_expiry_secs = Some(30);
    b.publish_it(short);
    publish(&b, 300, 10);
    world.advance_secs(60);
    assert_eq!(world.dropped(DropReason::Expired), 1);
    assert_eq!(queue(&world, "a").0, 310);
    world.advance_secs(500);
    assert_eq!(world.dropped(DropReason::TooOld), 300);
    assert_eq!(queue(&world, "a").0, 10);
    assert_eq!(
        world.inner().disk.lines(true).join(" ").matches("Terms").count(),
        10
    );
    world.advance_secs(100);
    assert_eq!(world.dropped(DropReason::TooOld), 310);
    assert_eq!(queue(&world, "a"), (0, 0, 0));
    world.lasting("a").expect_nothing();
}

#[test]
fn a_delivery_that_is_damaged_is_counted_and_the_rest_arrives() {
    let world = world();
    away(&world, "a", "x");
    publish(&world.client("b"), 0, 9);
    let damaged = |deliveries: &mut std::collections::BTreeMap<u64, _>| {
        assert!(deliveries.remove(&3).is_some() && deliveries.remove(&9).is_some());
    };
    for session in world.inner().disk.sessions.values_mut() {
        damaged(&mut session.deliveries);
    }
    let a = world.lasting("a");
    assert_eq!(a.take_all(), ["0", "1", "3", "4", "5", "6", "7"]);
    assert_eq!(world.dropped(DropReason::Damaged), 2);
    assert_eq!(queue(&world, "a"), (0, 0, 0));
}

#[test]
fn a_store_that_cannot_be_read_is_asked_again() {
    let world = world();
    away(&world, "a", "x");
    publish(&world.client("b"), 0, 9);
    world.break_reading();
    let a = world.lasting("a");
    a.expect_nothing();
    world.advance_secs(5);
    a.expect_nothing();
    world.mend_reading();
    world.advance_secs(1);
    assert_eq!(a.take_all(), numbers(0..9));
}

/// The store is not told what left the queue of a session that ends with its connection, so nothing is waited for.
#[test]
fn what_has_expired_does_not_stop_the_queue_of_a_session_that_is_not_to_last() {
    let world = world();
    away(&world, "a", "x");
    let b = world.client("b");
    let mut short = message("x", "short").at(QOS1, 1);
    short.properties.message_expiry_secs = Some(30);
    b.publish_it(short);
    publish(&b, 0, 9);
    world.advance_unnoticed(60);
    let a = world.connect("a").resume().expiry(0).go();
    assert_eq!(a.take_all(), numbers(0..9));
    assert_eq!(world.dropped(DropReason::Expired), 1);
    assert_eq!(queue(&world, "a"), (0, 0, 0));
}

#[test]
fn what_came_through_a_shared_group_stays_at_hand_for_other_members() {
    let world = World::with_limits(|limits| limits.queue_shared_messages_max = 3);
    world.begin_spilling();
    away(&world, "a", "$share/g/x");
    publish(&world.client("b"), 0, 5);
    assert_eq!(
        queue(&world, "a").1,
        2,
        "what exceeds the bound is this session's alone"
    );
    let c = world.lasting("c");
    c.subscribe("$share/g/x", QOS1);
    // The session ends: another member gets what is at hand, and what is not is counted.
    world.step(|org, now, tape| {
        org.handle_forget(
            "a",
            cloudsignal_core::codec::ReasonCode::AdministrativeAction,
            now,
            tape,
        )
    });
    assert_eq!(c.take_all(), numbers(0..3));
    assert_eq!(world.dropped(DropReason::QueueFull), 2);
}

#[test]
fn clean_sessions_never_use_the_store() {
    let world = World::with_limits(|limits| {
        limits.queue_resident_messages_max = 1;
        limits.inflight_max = 1;
    });
    world.begin_spilling();
    let a = world.client("a");
    a.subscribe("x", QOS1);
    publish(&world.client("b"), 0, 20);
    assert_eq!(queue(&world, "a").1, 0);
    assert_eq!(a.take_all(), numbers(0..20));
}

//! Acknowledged means stored: what promises something waits until the promise is on stable storage.

use cloudsignal_broker::change::Change;
use cloudsignal_core::Packet;
use cloudsignal_core::TopicFilter;
use cloudsignal_core::codec::{Ack, ReasonCode, Subscribe, Unsubscribe};

use crate::client::{MessageExt, QOS1, QOS2, filter, id, message};
use crate::world::World;

/// One word for each change.
fn words(world: &World) -> Vec<String> {
    let word = |change: Change| match change {
        Change::Session {
            session,
            expiry_secs,
            ends_at: None,
            ..
        } => format!("session {} {expiry_secs}", session.client_id),
        Change::Session {
            session,
            expiry_secs,
            ends_at: Some(at),
            ..
        } => format!(
            "away {} {expiry_secs} until {}",
            session.client_id,
            at.as_micros() / 1_000_000
        ),
        Change::SessionEnded { session } => format!("ended {}", session.client_id),
        Change::Will { due_at, .. } => {
            format!("will {:?}", due_at.map(|at| at.as_micros() / 1_000_000))
        }
        Change::WillGone { .. } => "will gone".into(),
        Change::Subscribed {
            filter,
            options,
            owes_retained,
            ..
        } => format!(
            "subscribed {filter} {options:#04x}{}",
            if owes_retained { " owed" } else { "" }
        ),
        Change::Unsubscribed { filter, .. } => format!("unsubscribed {filter}"),
        Change::Queued {
            order,
            message,
            terms,
            packet_id,
            ..
        } => format!(
            "queued {order}: message {} at QoS {}, id {}",
            message.number(),
            terms.qos.bits(),
            packet_id.unwrap_or(0)
        ),
        Change::Sent { order, packet_id, .. } => format!("sent {order} as {packet_id}"),
        Change::Settled { order, .. } => format!("settled {order}"),
        Change::Released { order, packet_id, .. } => format!("released {order} {packet_id}"),
        Change::Received { packet_id, .. } => format!("received {packet_id}"),
        Change::Completed { packet_id, .. } => format!("completed {packet_id}"),
        Change::Numbered { numbers, .. } => format!("numbered {}", numbers.through),
        Change::Retained { message } => format!("retained {}", message.topic()),
        Change::RetainedCleared { topic } => format!("cleared {topic}"),
    };
    world.take_changes().into_iter().map(word).collect()
}

#[test]
fn connack_waits_for_a_session_that_is_to_last() {
    let world = World::new();
    world.withhold_store();
    let client = world.connect("a").expiry(100).send();
    client.expect_nothing();
    client.send(&Packet::PingReq);
    client.expect_nothing();
    assert!(world.store_one());
    assert_eq!(client.expect_connack().reason, ReasonCode::Success);
    client.expect_pingresp();
    world.client("without").expect_nothing();
    assert!(
        !world.store_one(),
        "nothing to store for a session that ends with its connection"
    );
}

#[test]
fn nothing_overtakes_connack() {
    // [MQTT-3.2.0-1] [MQTT-3.14.0-1]
    let world = World::new();
    let client = world.lasting("a");
    client.subscribe("x", QOS1);
    client.cut();
    let b = world.client("b");
    b.publish_qos1("x", "waits", 1);
    world.withhold_store();
    let client = world.connect("a").resume().expiry(100).send();
    b.publish("x", "comes meanwhile");
    client.expect_nothing();
    world.settle();
    client.expect_connack();
    assert_eq!(client.payloads(), ["waits", "comes meanwhile"]);

    // A connection that ends before its CONNACK has left gets no DISCONNECT either.
    let client = world.connect("a").resume().expiry(100).send();
    let next = world.connect("a").resume().expiry(100).send();
    assert_eq!(client.read_all(), []);
    assert!(client.closed().is_some());
    world.settle();
    client.expect_nothing();
    next.expect_connack();
}

#[test]
fn suback_and_unsuback_wait_for_a_lasting_session_and_for_no_other() {
    let world = World::new();
    let (a, b) = (world.lasting("a"), world.client("b"));
    world.withhold_store();
    let subscribe = || Packet::Subscribe(Subscribe::new(id(1), vec![filter("x", QOS1)]));
    let unsubscribe = || Packet::Unsubscribe(Unsubscribe::new(id(2), vec![TopicFilter::parse("x")]));
    for packet in [subscribe(), unsubscribe()] {
        a.send(&packet);
        a.expect_nothing();
        b.send(&packet);
        assert_eq!(b.read_all().len(), 1);
        assert!(world.store_one());
        assert_eq!(a.read_all().len(), 1);
        assert!(!world.store_one());
    }
    a.send(&unsubscribe());
    a.expect_unsuback();
}

#[test]
fn puback_waits_when_a_lasting_session_is_to_get_the_message() {
    // [MQTT-4.3.2-4] [MQTT-4.5.0-1]
    let world = World::new();
    let (a, b) = (world.lasting("a"), world.client("b"));
    a.subscribe("lasting", QOS1);
    world.client("c").subscribe("passing", QOS1);
    world.withhold_store();
    assert_eq!(b.publish_qos1("passing", "hello", 1), ReasonCode::Success);
    b.publish_it(message("lasting", "hello").at(QOS1, 2));
    b.expect_nothing();
    a.expect_publish("lasting", "hello");
    assert!(world.store_one());
    assert_eq!(b.expect_puback().packet_id, id(2));

    a.cut();
    assert!(
        world.store_one(),
        "when the session ends, unless its client comes back"
    );
    b.publish_it(message("lasting", "to who is away").at(QOS1, 3));
    b.expect_nothing();
    assert!(world.store_one());
    assert_eq!(b.expect_puback().reason, ReasonCode::Success);
}

#[test]
fn replies_keep_their_order_when_some_of_them_wait() {
    // [MQTT-4.6.0-2] [MQTT-4.6.0-3]
    let world = World::new();
    let (a, b) = (world.lasting("a"), world.client("b"));
    a.subscribe("lasting", QOS2);
    world.withhold_store();
    b.publish_it(message("lasting", "1").at(QOS1, 1));
    b.publish_it(message("passing", "2").at(QOS1, 2));
    b.publish_it(message("lasting", "3").at(QOS2, 3));
    b.send(&Packet::PingReq);
    // It is no acknowledgement, and overtakes them.
    b.expect_pingresp();
    b.expect_nothing();
    assert!(world.store_one());
    assert_eq!(b.expect_puback().packet_id, id(1));
    assert_eq!(b.expect_puback().packet_id, id(2));
    b.expect_nothing();
    assert!(world.store_one());
    assert_eq!(b.expect_pubrec().packet_id, id(3));
}

#[test]
fn acknowledgements_that_wait_count_against_receive_maximum() {
    // [MQTT-3.3.4-7]
    let world = World::with_limits(|limits| limits.receive_max = 2);
    let (a, b) = (world.lasting("a"), world.client("b"));
    a.subscribe("x", QOS1);
    world.withhold_store();
    b.publish_it(message("x", "1").at(QOS1, 1));
    b.publish_it(message("x", "2").at(QOS1, 2));
    world.settle();
    assert_eq!(b.read_all().len(), 2);
    for packet_id in [3, 4] {
        b.publish_it(message("x", "more").at(QOS1, packet_id));
    }
    assert_eq!(b.closed(), None);
    b.publish_it(message("x", "too many").at(QOS1, 5));
    b.expect_disconnect(ReasonCode::ReceiveMaximumExceeded);
}

#[test]
fn retained_changes_are_stored_before_they_are_acknowledged() {
    // [MQTT-3.3.1-5] [MQTT-3.3.1-6]
    let world = World::new();
    let b = world.client("b");
    world.withhold_store();
    for payload in ["kept", ""] {
        b.publish_it(message("x", payload).at(QOS1, 1).retained());
        b.expect_nothing();
        assert!(world.store_one());
        b.expect_puback();
    }
    b.publish_it(message("x", "").at(QOS1, 1).retained());
    b.expect_puback();
    assert_eq!(words(&world), ["retained x", "cleared x"]);
}

#[test]
fn a_retained_message_that_expires_is_cleared_in_the_store() {
    let world = World::new();
    let b = world.client("b");
    b.publish_it(message("x", "kept").retained().expiring(10));
    world.advance_secs(10);
    assert_eq!(words(&world), ["retained x", "cleared x"]);
}

#[test]
fn the_steps_of_qos_2_are_stored() {
    // [MQTT-4.3.3-8] [MQTT-4.3.3-10]
    let world = World::new();
    let (a, b) = (world.lasting("a"), world.lasting("b"));
    a.subscribe("x", QOS2);
    assert_eq!(
        words(&world),
        [
            "session a 1000",
            "session b 1000",
            "subscribed x 0x02 owed",
            "subscribed x 0x02"
        ]
    );
    world.withhold_store();
    b.publish_it(message("x", "hello").at(QOS2, 9));
    b.expect_nothing();
    assert_eq!(
        words(&world),
        ["queued 1: message 1 at QoS 2, id 1", "received 9"]
    );
    world.store_one();
    b.expect_pubrec();
    b.pubrel(id(9));
    b.expect_nothing();
    assert_eq!(words(&world), ["completed 9"]);
    world.store_one();
    b.expect_pubcomp();

    let packet_id = a.expect_publish("x", "hello").packet_id.expect("QoS 2 has one");
    a.pubrec(packet_id);
    a.expect_nothing();
    assert_eq!(words(&world), ["released 1 1"]);
    world.store_one();
    a.expect_pubrel();
    a.pubcomp(packet_id);
    assert_eq!(words(&world), ["settled 1"]);
}

#[test]
fn a_message_is_stored_once_however_many_sessions_wait_for_it() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        let client = world.lasting(name);
        client.subscribe("x", QOS1);
        client.cut();
    }
    words(&world);
    world.client("p").publish_qos1("x", "hello", 1);
    assert_eq!(words(&world), ["queued 1: message 1 at QoS 1, id 0"; 3]);
}

#[test]
fn nothing_is_stored_for_sessions_that_end_with_their_connection() {
    let world = World::new();
    let (a, b) = (world.client("a"), world.client("b"));
    a.subscribe("x", QOS2);
    b.publish_qos2("x", "hello", 1);
    let publish = a.expect_publish("x", "hello");
    a.acknowledge(&publish);
    a.unsubscribe(&["x"]);
    a.cut();
    assert_eq!(words(&world), [""; 0]);
}

#[test]
fn what_leaves_a_session_is_settled() {
    let world = World::new();
    let a = world.lasting("a");
    a.subscribe("x", QOS1);
    a.cut();
    let b = world.client("b");
    words(&world);
    b.publish_it(message("x", "expires").at(QOS1, 1).expiring(1));
    b.publish_it(
        message("x", "too large")
            .at(QOS1, 1)
            .with(|it| it.content_type = Some("0123456789")),
    );
    b.publish_qos1("x", "refused", 1);
    b.publish_qos1("x", "ok", 1);
    assert_eq!(words(&world).len(), 4);
    world.advance_secs(1);
    let a = world
        .connect("a")
        .resume()
        .expiry(1_000)
        .packet_bytes_max(20)
        .go();
    assert_eq!(words(&world), ["session a 1000", "settled 1", "settled 2"]);
    let refused = a.expect_publish("x", "refused").packet_id.expect("QoS 1 has one");
    a.send(&Packet::PubAck(Ack::new(refused, ReasonCode::UnspecifiedError)));
    assert_eq!(words(&world), ["settled 3"]);
    let publish = a.expect_publish("x", "ok");
    a.acknowledge(&publish);
    assert_eq!(words(&world), ["settled 4"]);
}

#[test]
fn a_session_that_ends_is_forgotten_by_the_store() {
    let world = World::new();
    world.lasting("a").cut();
    words(&world);
    world.advance_secs(1_000);
    assert_eq!(words(&world), ["ended a"]);

    world.lasting("a").cut();
    words(&world);
    world.withhold_store();
    let clean = world.connect("a").send();
    assert_eq!(words(&world), ["ended a"]);
    clean.expect_nothing();
    world.store_one();
    clean.expect_connack();
}

#[test]
fn a_session_that_will_no_longer_last_is_told_to_the_store() {
    let world = World::new();
    world.lasting("a").cut();
    words(&world);
    let client = world.connect("a").resume().go();
    assert_eq!(
        words(&world),
        ["session a 0"],
        "so that it does not come back after a crash"
    );
    client.cut();
    assert_eq!(words(&world), ["ended a"]);
}

#[test]
fn a_changed_expiry_is_stored() {
    let world = World::new();
    let client = world.lasting("a");
    words(&world);
    client.disconnect_it(cloudsignal_core::codec::Disconnect {
        session_expiry_secs: Some(5),
        ..Default::default()
    });
    assert_eq!(words(&world), ["away a 5 until 6"]);
}

#[test]
fn a_message_that_changes_hands_in_a_group_does_so_in_the_store() {
    let world = World::new();
    let (a, b) = (world.lasting("a"), world.lasting("b"));
    a.subscribe("$share/g/x", QOS1);
    let p = world.client("p");
    p.publish_qos1("x", "hello", 1);
    a.expect_publish("x", "hello");
    b.subscribe("$share/g/x", QOS1);
    words(&world);
    a.cut();
    assert_eq!(
        words(&world),
        [
            "settled 1",
            "queued 1: message 1 at QoS 1, id 1",
            "away a 1000 until 1001"
        ]
    );
    b.expect_publish("x", "hello");
}

#[test]
fn a_late_answer_of_the_store_does_not_reach_the_next_user_of_the_connection() {
    let world = World::new();
    world.withhold_store();
    let first = world.connect("a").expiry(100).send();
    first.cut();
    let second = world.connect("b").expiry(100).send();
    assert_eq!(first.conn, second.conn, "the number is used again");
    assert!(world.store_one());
    second.expect_nothing();
    world.settle();
    second.expect_connack();
    second.expect_nothing();
}

#[test]
fn one_answer_of_the_store_releases_everything_before_it() {
    let world = World::new();
    let (a, b) = (world.lasting("a"), world.client("b"));
    a.subscribe("x", QOS1);
    world.withhold_store();
    let mut last = None;
    for packet_id in 1..=3 {
        let inner = &mut *world.inner();
        let publish = message("x", "hello").at(QOS1, packet_id);
        inner
            .org
            .handle_packet(b.conn, &Packet::Publish(publish), inner.now, &mut inner.tape);
        last = inner.org.seal();
        inner.tape.unsealed.clear();
    }
    b.expect_nothing();
    world.step(|org, now, tape| org.handle_stored(last.expect("something changed"), now, tape));
    assert_eq!(b.read_all().len(), 3);
}

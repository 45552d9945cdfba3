//! What is there again after a crash: what was acknowledged, once, in order.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a client looks for one packet among many"
)]

use std::sync::Arc;

use cloudsignal_broker::change::Terms;
use cloudsignal_broker::{
    Limits, Message, Org, OrgId, Policy, RETURN_GRACE_SECS, Restoring, StoredMessage, Unfit,
};
use cloudsignal_core::Instant;
use cloudsignal_core::Packet;
use cloudsignal_core::codec::{Ack, ReasonCode, Subscribe};

use crate::client::{Client, MessageExt, QOS1, QOS2, filter, id, message, will};
use crate::world::{World, identity};

fn lasting(world: &World, name: &str) -> Client {
    world.connect(name).resume().expiry(1_000).go()
}

fn back(world: &World, name: &str) -> Client {
    let client = world.connect(name).resume().expiry(1_000).send();
    settle(world);
    let connack = client.expect_connack();
    assert!(connack.session_present, "the session of {name} is there again");
    client
}

/// Everything that can be stored is.
fn settle(world: &World) {
    while world.store_one() {}
}

/// A correct client of QoS 2: it takes a packet id once, until PUBREL frees it.
#[derive(Default)]
struct Receiver {
    /// Packet ids that were received and not released.
    open: Vec<u16>,
    taken: Vec<String>,
    /// Answers that it sends before it dies; then nothing leaves it any more.
    answers_left: usize,
}

impl Receiver {
    fn read(&mut self, client: &Client) {
        while let Some(packet) = client.read() {
            let answer = match packet {
                Packet::Publish(publish) => {
                    let packet_id = publish.packet_id.expect("QoS 2 has one");
                    if !self.open.contains(&packet_id.get()) {
                        self.open.push(packet_id.get());
                        self.taken
                            .push(String::from_utf8_lossy(publish.payload).into_owned());
                    }
                    Packet::PubRec(Ack::new(packet_id, ReasonCode::Success))
                }
                Packet::PubRel(ack) => {
                    self.open.retain(|known| *known != ack.packet_id.get());
                    Packet::PubComp(Ack::new(ack.packet_id, ReasonCode::Success))
                }
                other => {
                    assert!(matches!(other, Packet::ConnAck(_)), "{other:?} is no part of it");
                    continue;
                }
            };
            if self.answers_left == 0 {
                return;
            }
            self.answers_left -= 1;
            client.send(&answer);
        }
    }
}

#[test]
fn qos_2_reaches_the_client_exactly_once_wherever_the_broker_crashes() {
    // [MQTT-4.3.3-7] [MQTT-4.4.0-1]: after so many stored groups and so many answers of the client.
    let mut runs = 0;
    for queued in [false, true] {
        for groups in 0..8 {
            for answers_left in 0..6 {
                let world = World::new();
                let a = lasting(&world, "a");
                a.subscribe("x", QOS2);
                if queued {
                    a.cut();
                }
                let b = lasting(&world, "b");
                world.withhold_store();
                let mut receiver = Receiver {
                    answers_left,
                    ..Receiver::default()
                };
                for (packet_id, payload) in [(1, "one"), (2, "two")] {
                    b.publish_it(message("x", payload).at(QOS2, packet_id));
                }
                let mut a = if queued {
                    world.connect("a").resume().expiry(1_000).send()
                } else {
                    a
                };
                let mut accepted = 0;
                for step in 0..=groups {
                    accepted += b.read_all().len();
                    receiver.read(&a);
                    if step < groups && !world.store_one() {
                        break;
                    }
                }
                world.crash();
                settle(&world);
                a = back(&world, "a");
                let b = back(&world, "b");
                receiver.answers_left = usize::MAX;
                // The publisher goes on with what was not acknowledged, as a client does.
                for (packet_id, payload) in [(1, "one"), (2, "two")].into_iter().skip(accepted) {
                    let mut again = message("x", payload).at(QOS2, packet_id);
                    again.dup = true;
                    b.publish_it(again);
                }
                for packet_id in 1..=2 {
                    b.pubrel(id(packet_id));
                }
                for _ in 0..8 {
                    settle(&world);
                    receiver.read(&a);
                }
                assert_eq!(
                    receiver.taken,
                    ["one", "two"],
                    "queued {queued}, {groups} groups, {answers_left} answers"
                );
                assert_eq!(receiver.open, [0; 0]);
                assert_eq!(world.session("a").expect("it lasts").4, 0, "nothing is left");
                runs += 1;
            }
        }
    }
    assert_eq!(runs, 96);
}

#[test]
fn a_qos_2_message_leaves_when_its_packet_id_is_stored_and_many_leave_together() {
    let world = World::new();
    let (a, b) = (lasting(&world, "a"), world.client("b"));
    a.subscribe("x", QOS2);
    world.withhold_store();
    for (packet_id, payload) in ["1", "2", "3"].into_iter().enumerate() {
        let packet_id = u16::try_from(packet_id).expect("few") + 1;
        b.publish_it(message("x", payload).at(QOS2, packet_id));
    }
    b.publish_it(message("x", "4").at(QOS1, 9));
    a.expect_nothing();
    assert!(world.store_one());
    assert_eq!(a.payloads(), ["1"]);
    settle(&world);
    assert_eq!(a.payloads(), ["2", "3", "4"], "and nothing overtakes it");

    // A session that ends with its connection has nothing to wait for.
    let c = world.client("c");
    c.subscribe("y", QOS2);
    b.publish_it(message("y", "at once").at(QOS2, 4));
    assert_eq!(c.payloads(), ["at once"]);
}

#[test]
fn what_waited_gets_its_packet_ids_in_one_group() {
    let world = World::new();
    let a = lasting(&world, "a");
    a.subscribe("x", QOS2);
    a.cut();
    let b = world.client("b");
    for packet_id in 1..=20 {
        b.publish_qos2("x", format!("{packet_id}"), packet_id);
    }
    world.withhold_store();
    let a = world.connect("a").resume().expiry(1_000).send();
    assert!(world.store_one());
    a.expect_connack();
    a.expect_nothing();
    assert!(world.store_one());
    assert_eq!(a.payloads().len(), 20);
    assert!(!world.is_unstored());
}

#[test]
fn a_qos_2_publish_is_routed_once_wherever_the_broker_crashes() {
    // [MQTT-4.3.3-10] [MQTT-4.3.3-12]
    for groups in 0..4 {
        let world = World::new();
        let a = lasting(&world, "a");
        a.subscribe("x", QOS1);
        a.cut();
        let b = lasting(&world, "b");
        world.withhold_store();
        let publish = || message("x", "once").at(QOS2, 7);
        b.publish_it(publish());
        let mut has_rec = false;
        for _ in 0..groups {
            if let Some(Packet::PubRec(_)) = b.read() {
                has_rec = true;
                b.pubrel(id(7));
            }
            world.store_one();
        }
        has_rec |= b
            .read_all()
            .iter()
            .any(|packet| matches!(packet, Packet::PubRec(_)));
        world.crash();
        settle(&world);
        let b = world.connect("b").resume().expiry(1_000).send();
        settle(&world);
        b.expect_connack();
        if !has_rec {
            let mut again = publish();
            again.dup = true;
            b.publish_it(again);
            settle(&world);
            b.expect_pubrec();
        }
        b.pubrel(id(7));
        settle(&world);
        b.expect_pubcomp();
        // The id is free: what comes under it is another message.
        b.publish_it(message("x", "another").at(QOS2, 7));
        settle(&world);
        b.expect_pubrec();
        let a = world.connect("a").resume().expiry(1_000).send();
        settle(&world);
        a.expect_connack();
        assert_eq!(a.payloads(), ["once", "another"], "after {groups} groups");
    }
}

#[test]
fn acknowledged_messages_are_there_in_order_with_everything_they_carried() {
    let world = World::new();
    let a = lasting(&world, "a");
    let reasons = a.subscribe_all(
        vec![filter("x/#", QOS1)],
        core::num::NonZeroU32::new(9).map(Into::into),
    );
    assert_eq!(reasons.reasons, [ReasonCode::GrantedQos1]);
    let b = world.client("b");
    b.publish_qos1("x/sent", "sent", 1);
    let sent = a.expect_publish("x/sent", "sent");
    a.cut();
    for number in 0..5 {
        b.publish_it(
            message("x/y", format!("{number}"))
                .at(QOS1, 2)
                .expiring(500)
                .with(|it| {
                    it.content_type = Some("text/plain");
                    it.payload_format = Some(true);
                    it.correlation_data = Some(b"c");
                }),
        );
    }
    world.advance_secs(100);
    world.crash();
    let a = back(&world, "a");
    let again = a.expect_publish("x/sent", "sent");
    assert_eq!((again.dup, again.packet_id), (true, sent.packet_id)); // [MQTT-3.3.1-1] [MQTT-4.4.0-1]
    for number in 0..5 {
        let publish = a.expect_publish("x/y", format!("{number}"));
        assert!(!publish.dup);
        assert_eq!(publish.properties.message_expiry_secs, Some(400));
        assert_eq!(publish.properties.content_type, Some("text/plain"));
        assert_eq!(publish.properties.payload_format, Some(true));
        assert_eq!(publish.properties.correlation_data, Some(&b"c"[..]));
        assert_eq!(
            publish.properties.subscription_ids.iter().collect::<Vec<_>>(),
            [9]
        );
    }
    a.expect_nothing();
}

#[test]
fn retained_messages_and_subscriptions_are_there() {
    let world = World::new();
    let a = lasting(&world, "a");
    a.subscribe("x", QOS1);
    a.subscribe("gone", QOS1);
    a.unsubscribe(&["gone"]);
    let b = world.client("b");
    b.publish_it(message("kept", "1").at(QOS1, 1).retained());
    b.publish_it(message("kept", "2").at(QOS1, 1).retained());
    b.publish_it(message("cleared", "1").at(QOS1, 1).retained());
    b.publish_it(message("cleared", "").at(QOS1, 1).retained());
    world.crash();
    assert_eq!(world.retained("kept"), Some(b"2".to_vec()));
    assert_eq!(world.retained("cleared"), None);
    let a = back(&world, "a");
    let b = world.client("b");
    b.publish_qos1("x", "still", 1);
    b.publish_qos1("gone", "no", 1);
    assert_eq!(a.payloads(), ["still"]);
    assert_eq!(world.session("a").map(|it| it.2), Some(1));
}

#[test]
fn a_hand_out_of_retained_messages_begins_again() {
    let world = World::new();
    let b = world.client("b");
    for n in 0..4 {
        b.publish_it(message(&format!("x/{n}"), format!("{n}")).at(QOS1, 1).retained());
    }
    let a = world.connect("a").resume().expiry(1_000).receive_max(2).go();
    let subscribe = Subscribe::new(id(1), vec![filter("x/#", QOS1)]);
    a.send(&Packet::Subscribe(subscribe));
    let publishes = a.read_all().into_iter().filter_map(|packet| match packet {
        Packet::Publish(publish) => Some(publish.payload),
        _ => None,
    });
    assert_eq!(publishes.collect::<Vec<_>>(), [b"0", b"1"]);
    world.crash();
    let a = back(&world, "a");
    let mut seen = Vec::new();
    while let Some(packet) = a.read() {
        let Packet::Publish(publish) = packet else {
            continue;
        };
        seen.push(String::from_utf8_lossy(publish.payload).into_owned());
        a.acknowledge(&publish);
    }
    assert_eq!(seen, ["0", "1", "0", "1", "2", "3"]);
    world.crash();
    back(&world, "a").expect_nothing();
}

#[test]
fn a_member_of_a_group_that_is_gone_leaves_its_messages_to_the_others_after_a_restart_too() {
    // [MQTT-4.8.2-5]
    let world = World::new();
    let a = lasting(&world, "a");
    a.subscribe("$share/g/x", QOS1);
    a.cut();
    world.client("p").publish_qos1("x", "hello", 1);
    world.crash();
    let b = lasting(&world, "b");
    b.subscribe("$share/g/x", QOS1);
    world.advance_secs(1_000);
    assert_eq!(b.payloads(), ["hello"]);
}

#[test]
fn no_local_holds_for_what_comes_back() {
    let world = World::new();
    let a = lasting(&world, "a");
    a.publish_it(message("x", "own").at(QOS1, 1).retained());
    a.expect_puback();
    a.disconnect();
    // The serial of a session that is gone is nobody's, as long as a message names it.
    world.advance_secs(1_000);
    world.crash();
    let b = world.client("b");
    let mut own = filter("x", QOS1);
    own.no_local = true;
    b.subscribe_it(own);
    b.expect_publish("x", "own");
}

#[test]
fn a_session_ends_when_it_was_to_end() {
    let world = World::new();
    lasting(&world, "away").cut();
    let _connected = lasting(&world, "connected");
    let _for_ever = world.connect("for ever").v311().resume().go();
    world.advance_secs(600);
    world.crash();
    world.advance_secs(399);
    assert!(world.session("away").is_some());
    world.advance_secs(1);
    assert!(
        world.session("away").is_none(),
        "1000 seconds after its connection"
    );
    world.advance_secs(599);
    assert!(world.session("connected").is_some());
    world.crash();
    world.advance_secs(1);
    assert!(
        world.session("connected").is_none(),
        "1000 seconds after the first restart"
    );
    assert!(world.session("for ever").is_some());

    lasting(&world, "due").cut();
    world.advance_unnoticed(1_000);
    world.crash();
    assert!(world.session("due").is_none(), "what was due while nobody looked");
    assert!(!world.snapshot().lines(true).join(" ").contains("due"));
}

#[test]
fn a_session_that_was_not_to_last_longer_ends_at_the_restart() {
    let world = World::new();
    lasting(&world, "a").cut();
    let _a = world.connect("a").resume().go();
    world.crash();
    assert!(world.session("a").is_none());
    assert!(world.inner().disk.sessions.is_empty(), "and the store forgets it");
}

#[test]
fn the_will_of_a_client_that_does_not_come_back_is_published_and_no_other() {
    // [MQTT-3.1.2-8]
    let world = World::new();
    let leave = |name: &str, delay_secs: u32| {
        let mut will = will("wills", name.to_owned().leak());
        will.delay_secs = delay_secs;
        will.qos = QOS1;
        world.connect(name).resume().expiry(1_000).will(will).go()
    };
    let watcher = lasting(&world, "watcher");
    watcher.subscribe("wills", QOS1);
    let _lost = leave("lost", 0);
    let _returns = leave("returns", 0);
    let _delayed = leave("delayed", 60);
    leave("waits", 60).cut();
    leave("polite", 60).disconnect();
    world.advance_secs(50);
    world.crash();
    let watcher = back(&world, "watcher");
    world.advance_secs(RETURN_GRACE_SECS - 1);
    watcher.expect_nothing();
    let _returns = back(&world, "returns");
    world.advance_secs(1);
    assert_eq!(watcher.payloads(), ["lost"]);
    world.advance_secs(5);
    assert_eq!(
        watcher.payloads(),
        ["waits"],
        "60 seconds after its connection ended"
    );
    world.advance_secs(49);
    watcher.expect_nothing();
    world.advance_secs(1);
    assert_eq!(watcher.payloads(), ["delayed"], "60 seconds after the restart");
    world.crash();
    let watcher = back(&world, "watcher");
    while let Some(packet) = watcher.read() {
        let Packet::Publish(publish) = packet else {
            continue;
        };
        assert!(publish.dup, "nothing is published again: {publish:?}");
    }
}

#[test]
fn bounds_that_were_lowered_take_nothing_away() {
    let world = World::new();
    let a = lasting(&world, "a");
    a.subscribe("x", QOS1);
    let b = world.client("b");
    for packet_id in 1..=3 {
        b.publish_qos1("x", "sent", packet_id);
    }
    a.cut();
    for packet_id in 1..=3 {
        b.publish_qos1("x", "queued", packet_id);
    }
    b.publish_it(message("kept", "kept").at(QOS1, 4).retained());
    world.step(|org, _, _| {
        let mut limits = org.limits().clone();
        limits.inflight_max = 1;
        (limits.queue_messages_max, limits.queue_bytes_max) = (1, 10);
        (limits.retained_messages_max, limits.retained_bytes_max) = (0, 0);
        (limits.sessions_max, limits.subscriptions_max) = (1, 0);
        org.handle_limits(limits);
    });
    world.crash();
    assert!(world.retained("kept").is_some());
    let a = back(&world, "a");
    let mut seen = Vec::new();
    while let Some(packet) = a.read() {
        let Packet::Publish(publish) = packet else {
            continue;
        };
        seen.push(String::from_utf8_lossy(publish.payload).into_owned());
        a.acknowledge(&publish);
    }
    assert_eq!(seen, ["sent", "sent", "sent", "queued", "queued", "queued"]);
}

#[test]
fn what_may_no_longer_be_delivered_after_a_restart_is_not() {
    let world = World::new();
    for name in ["waits", "returns"] {
        let client = lasting(&world, name);
        client.subscribe("x", QOS1);
        client.cut();
    }
    world.client("b").publish_qos1("x", "secret", 1);
    world.crash_under(Policy::deny_all());
    assert_eq!(
        world.session("waits").map(|it| it.3),
        Some(0),
        "it is not kept for it"
    );
    back(&world, "returns").expect_nothing();
    let stored = world.inner().disk.lines(true).join(" ");
    assert!(!stored.contains("payload"), "{stored}");
}

#[test]
fn what_does_not_fit_is_refused_alone() {
    let delivered = |qos| Terms {
        qos,
        retain: false,
        subscription_ids: Box::default(),
        group: None,
    };
    let kept = |payload: &'static [u8]| {
        Message::restored(&StoredMessage {
            number: 9,
            publisher: 40,
            topic: crate::client::topic("x"),
            payload,
            payload_format: None,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: &[],
            qos: QOS1,
            retain: true,
            expires_at: None,
        })
        .expect("a message")
    };
    let who = || Arc::new(identity("ann"));
    let mut stranger = identity("ann");
    stranger.org = OrgId::new("org_other");
    let org = Org::new(OrgId::new("org_test"), Limits::default(), Policy::permit_all(), 1);
    let mut restoring = Restoring::new(org);
    assert_eq!(restoring.session(7, "a", who(), 100, None), Ok(()));
    assert_eq!(restoring.session(7, "b", who(), 100, None), Err(Unfit::Twice));
    assert_eq!(restoring.session(8, "a", who(), 100, None), Err(Unfit::Twice));
    assert_eq!(restoring.session(0, "c", who(), 100, None), Err(Unfit::NoSession));
    let other = restoring.session(9, "c", Arc::new(stranger), 100, None);
    assert_eq!(other, Err(Unfit::OtherOrganization));

    let mut subscribe =
        |serial, filter, options, id| restoring.subscription(serial, filter, options, id, false);
    assert_eq!(subscribe(7, "x/#", 2, Some(1)), Ok(()));
    assert_eq!(subscribe(7, "x/#", 2, Some(1)), Err(Unfit::Twice));
    assert_eq!(subscribe(9, "x", 2, None), Err(Unfit::NoSession));
    assert_eq!(subscribe(7, "x#", 2, None), Err(Unfit::BadFilter));
    assert_eq!(subscribe(7, "y", 3, None), Err(Unfit::BadOptions));
    assert_eq!(subscribe(7, "y", 0x30, None), Err(Unfit::BadOptions));
    assert_eq!(subscribe(7, "y", 0, Some(0)), Err(Unfit::BadOptions));

    let mut deliver =
        |serial, order, qos, id| restoring.delivery(serial, order, kept(b"1"), delivered(qos), id);
    assert_eq!(deliver(7, 5, QOS2, Some(3)), Ok(()));
    assert_eq!(deliver(7, 5, QOS2, Some(4)), Err(Unfit::OutOfOrder));
    assert_eq!(deliver(7, 6, QOS2, Some(3)), Err(Unfit::Twice));
    assert_eq!(deliver(7, 6, QOS2, Some(0)), Err(Unfit::BadPacketId));
    assert_eq!(deliver(7, 6, crate::client::QOS0, None), Err(Unfit::BadQos));
    assert_eq!(deliver(9, 6, QOS1, None), Err(Unfit::NoSession));

    assert_eq!(restoring.released(7, 4, 3), Err(Unfit::Twice));
    assert_eq!(restoring.released(9, 4, 1), Err(Unfit::NoSession));
    assert_eq!(restoring.received(7, 1), Ok(()));
    assert_eq!(restoring.received(7, 1), Err(Unfit::Twice));
    assert_eq!(restoring.received(7, 0), Err(Unfit::BadPacketId));
    assert_eq!(restoring.will(7, kept(b"1"), None, 0, None), Ok(()));
    assert_eq!(restoring.will(7, kept(b"1"), None, 0, None), Err(Unfit::Twice));
    assert_eq!(restoring.retained(kept(b"1")), Ok(()));
    assert_eq!(restoring.retained(kept(b"1")), Err(Unfit::Twice));
    assert_eq!(restoring.retained(kept(b"")), Err(Unfit::Empty));

    let org = restoring.finish(Instant::ZERO);
    org.invariants();
    let view = org.session("a").expect("what fits is there");
    assert_eq!(
        (view.subscriptions, view.unacknowledged, view.queue_messages),
        (1, 1, 0)
    );
}

#[test]
fn a_shared_qos_2_message_that_has_not_left_goes_to_another_member() {
    // [MQTT-4.8.2-4]: only what is being sent stays with its member.
    let world = World::new();
    let a = lasting(&world, "a");
    a.subscribe("$share/g/x", QOS2);
    world.withhold_store();
    world.client("p").publish_it(message("x", "hello").at(QOS2, 1));
    a.expect_nothing();
    let b = lasting_later(&world, "b");
    b.send(&Packet::Subscribe(Subscribe::new(
        id(1),
        vec![filter("$share/g/x", QOS2)],
    )));
    a.cut();
    settle(&world);
    let publishes = b.read_all();
    let is_it =
        |packet: &Packet<'_>| matches!(packet, Packet::Publish(publish) if publish.payload == b"hello");
    assert_eq!(publishes.iter().filter(|packet| is_it(packet)).count(), 1);
    let a = lasting_later(&world, "a");
    settle(&world);
    assert!(!a.read_all().iter().any(is_it), "it has gone");
}

/// A client whose CONNACK waits for the store.
fn lasting_later(world: &World, name: &str) -> Client {
    world.connect(name).resume().expiry(1_000).send()
}

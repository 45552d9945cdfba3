//! QoS 2 over a crash: each message once, wherever it happens.

use cloudsignal_core::Packet;
use cloudsignal_core::codec::{Ack, ReasonCode, Subscribe};

use super::back;
use crate::client::{Client, MessageExt, QOS1, QOS2, filter, id, message};
use crate::world::World;

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
                let a = world.lasting("a");
                a.subscribe("x", QOS2);
                if queued {
                    a.cut();
                }
                let b = world.lasting("b");
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
                world.settle();
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
                    world.settle();
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
    let (a, b) = (world.lasting("a"), world.client("b"));
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
    world.settle();
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
    let a = world.lasting("a");
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
        let a = world.lasting("a");
        a.subscribe("x", QOS1);
        a.cut();
        let b = world.lasting("b");
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
        world.settle();
        let b = world.connect("b").resume().expiry(1_000).send();
        world.settle();
        b.expect_connack();
        if !has_rec {
            let mut again = publish();
            again.dup = true;
            b.publish_it(again);
            world.settle();
            b.expect_pubrec();
        }
        b.pubrel(id(7));
        world.settle();
        b.expect_pubcomp();
        // The id is free: what comes under it is another message.
        b.publish_it(message("x", "another").at(QOS2, 7));
        world.settle();
        b.expect_pubrec();
        let a = world.connect("a").resume().expiry(1_000).send();
        world.settle();
        a.expect_connack();
        assert_eq!(a.payloads(), ["once", "another"], "after {groups} groups");
    }
}

#[test]
fn a_shared_qos_2_message_that_has_not_left_goes_to_another_member() {
    // [MQTT-4.8.2-4]: only what is being sent stays with its member.
    let world = World::new();
    let a = world.lasting("a");
    a.subscribe("$share/g/x", QOS2);
    world.withhold_store();
    world.client("p").publish_it(message("x", "hello").at(QOS2, 1));
    a.expect_nothing();
    let b = world.connect("b").resume().expiry(1_000).send();
    b.send(&Packet::Subscribe(Subscribe::new(
        id(1),
        vec![filter("$share/g/x", QOS2)],
    )));
    a.cut();
    world.settle();
    let publishes = b.read_all();
    let is_it =
        |packet: &Packet<'_>| matches!(packet, Packet::Publish(publish) if publish.payload == b"hello");
    assert_eq!(publishes.iter().filter(|packet| is_it(packet)).count(), 1);
    let a = world.connect("a").resume().expiry(1_000).send();
    world.settle();
    assert!(!a.read_all().iter().any(is_it), "it has gone");
}

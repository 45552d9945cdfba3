use super::*;

const QOS_0: Qos = Qos::AtMostOnce;
const QOS_1: Qos = Qos::AtLeastOnce;
const QOS_2: Qos = Qos::ExactlyOnce;
const OK: ReasonCode = ReasonCode::Success;

fn acknowledged(id: PublishId) -> Seen {
    Seen::Published(id, Outcome::Acknowledged(OK))
}

#[test]
fn qos_0_leaves_at_once_and_abbreviates_its_topic() {
    let mut rig = Rig::new(Options::default());
    rig.connect();
    let mut connack = ConnAck::new(OK);
    connack.topic_alias_max = Some(1);
    rig.serve(&Packet::ConnAck(connack.into()));
    rig.sent();
    assert_eq!(rig.publish("a", QOS_0), Accepted::Sent);
    assert_eq!(rig.publish("b", QOS_0), Accepted::Sent);
    assert_eq!(rig.sent(), ["PUBLISH t=a ~1", "PUBLISH =b ~1"]);
}

#[test]
fn qos_1_and_2_end_with_the_word_of_the_server() {
    let mut rig = Rig::connected(Options::default());
    let (one, two) = (rig.queue("one", QOS_1), rig.queue("two", QOS_2));
    assert_eq!(rig.sent(), ["PUBLISH 1 t=one", "PUBLISH 2 t=two"]);
    rig.ack(AckKind::PubAck, 1, OK);
    rig.ack(AckKind::PubRec, 2, OK);
    assert_eq!(rig.sent(), ["PUBREL 2 0x00"]);
    rig.ack(AckKind::PubComp, 2, OK);
    assert_eq!(rig.take(), [acknowledged(one), acknowledged(two)]);
    assert_eq!((rig.client.queued_messages(), rig.client.queued_bytes()), (0, 0));
    let refused = rig.queue("three", QOS_1);
    rig.ack(AckKind::PubAck, 1, ReasonCode::QuotaExceeded);
    assert_eq!(
        rig.take(),
        [Seen::Published(
            refused,
            Outcome::Rejected(ReasonCode::QuotaExceeded)
        )]
    );
}

#[test]
fn the_window_of_the_server_is_kept_and_order_with_it() {
    let mut rig = Rig::new(Options::default());
    rig.connect();
    let mut connack = ConnAck::new(OK);
    connack.receive_max = core::num::NonZeroU16::new(2);
    rig.serve(&Packet::ConnAck(connack.into()));
    rig.sent();
    for payload in ["a", "b", "c", "d"] {
        rig.queue(payload, QOS_1);
    }
    // Behind messages that wait, QoS 0 waits too: it would overtake them.
    rig.queue("e", QOS_0);
    assert_eq!(rig.sent(), ["PUBLISH 1 t=a", "PUBLISH 2 t=b"]);
    rig.ack(AckKind::PubAck, 2, OK);
    assert_eq!(rig.sent(), ["PUBLISH 2 t=c"]);
    rig.ack(AckKind::PubAck, 1, OK);
    assert_eq!(rig.sent(), ["PUBLISH 1 t=d", "PUBLISH t=e"]);
}

#[test]
fn what_was_not_answered_is_sent_again_in_order() {
    let mut rig = Rig::connected(Options::default());
    for (payload, qos) in [("a", QOS_1), ("b", QOS_2), ("c", QOS_2), ("d", QOS_1)] {
        rig.queue(payload, qos);
    }
    rig.ack(AckKind::PubRec, 2, OK);
    rig.take();
    rig.cut();
    rig.queue("e", QOS_1);
    rig.reconnect(true);
    let again = [
        "PUBLISH 1 dup t=a",
        "PUBREL 2 0x00",
        "PUBLISH 3 dup t=c",
        "PUBLISH 4 dup t=d",
        "PUBLISH 5 t=e",
    ];
    assert_eq!(rig.sent()[1..], again);
    assert!(rig.take().contains(&Seen::Connected(Continuity::Resumed)));
}

#[test]
fn without_its_session_the_server_gets_qos_1_anew_and_qos_2_is_not_made_two() {
    let mut rig = Rig::connected(Options::default());
    let [one, two, three] =
        [("a", QOS_1), ("b", QOS_2), ("c", QOS_2)].map(|(payload, qos)| rig.queue(payload, qos));
    rig.ack(AckKind::PubRec, 2, OK);
    rig.take();
    rig.cut();
    let four = rig.queue("d", QOS_2);
    rig.reconnect(false);
    let sent = rig.sent();
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert!(sent[1].ends_with("t=a") && !sent[1].contains("dup"), "{sent:?}");
    assert!(sent[2].ends_with("t=d"), "{sent:?}");
    let seen = rig.take();
    assert!(seen.contains(&acknowledged(two)));
    assert!(seen.contains(&Seen::Published(three, Outcome::Indeterminate)));
    assert!(seen.contains(&Seen::Connected(Continuity::Lost)));
    let about = |id| {
        seen.iter()
            .any(|it| matches!(it, Seen::Published(of, _) if *of == id))
    };
    assert!(!about(one) && !about(four));
}

/// A session of an earlier process, with one message of each QoS in the queue.
fn adopted() -> Rig {
    let mut rig = Rig::new(Options::default());
    rig.connect();
    rig.accept(true);
    rig.take();
    rig.queue("a", QOS_1);
    rig.queue("b", QOS_2);
    rig
}

#[test]
fn in_an_adopted_session_qos_2_begins_when_the_server_has_let_go_of_what_it_may_have() {
    let mut rig = adopted();
    assert_eq!(rig.sent(), ["PUBLISH 1 t=a"]);
    rig.ack(AckKind::PubAck, 1, OK);
    let asked: Vec<_> = (1..=256).map(|id| std::format!("PUBREL {id} 0x00")).collect();
    assert_eq!(rig.sent(), asked);
    rig.ack(AckKind::PubComp, 1, OK);
    rig.cut();
    rig.reconnect(true);
    assert_eq!(rig.sent()[1..], asked, "all of them, as none was used");
    for id in 1..=256 {
        assert!(rig.sent().is_empty());
        rig.ack(AckKind::PubComp, id, ReasonCode::PacketIdentifierNotFound);
    }
    rig.queue("c", QOS_2);
    assert_eq!(rig.sent(), ["PUBLISH 1 t=b", "PUBLISH 2 t=c"]);
    rig.cut();
    rig.reconnect(true);
    assert_eq!(rig.sent()[1..], ["PUBLISH 1 dup t=b", "PUBLISH 2 dup t=c"]);
}

#[test]
fn a_session_that_is_lost_leaves_nothing_to_let_go_of() {
    let mut rig = adopted();
    rig.cut();
    rig.reconnect(false);
    assert_eq!(rig.sent()[1..], ["PUBLISH 1 t=a", "PUBLISH 2 t=b"]);
}

#[test]
fn the_queue_is_bounded_by_number_and_bytes_and_offline_messages_grow_old() {
    let mut rig = Rig::new(Options {
        queue_messages_max: 2,
        queue_bytes_max: 100,
        ..Options::default()
    });
    let topic = TopicName::parse("t").expect("a topic");
    let mut mortal = Publication::new(topic, b"x", QOS_1);
    mortal.properties.message_expiry_secs = Some(10);
    let publish = |rig: &mut Rig, publication: &Publication<'_>| {
        let now = rig.now;
        rig.client.publish(publication, now, &mut rig.log)
    };
    assert!(publish(&mut rig, &mortal).is_ok());
    assert!(rig.try_publish("y", QOS_1).is_ok());
    assert_eq!(rig.try_publish("z", QOS_1), Err(PublishError::QueueFull));
    rig.wait(Duration::from_secs(10));
    assert_eq!(
        rig.try_publish(&"z".repeat(200), QOS_1),
        Err(PublishError::QueueFull)
    );
    assert_eq!(rig.take(), [Seen::Published(PublishId(1), Outcome::Expired)]);
    assert!(rig.try_publish("z", QOS_1).is_ok());
}

#[test]
fn what_the_server_does_not_take_is_refused_before_it_is_sent() {
    // [MQTT-3.2.2-11] [MQTT-3.2.2-14] [MQTT-3.2.2-15]
    let mut rig = Rig::new(Options::default());
    let huge = "x".repeat(100);
    let early = rig.queue(&huge, QOS_1);
    rig.connect();
    let mut connack = ConnAck::new(OK);
    connack.packet_bytes_max = Some(50);
    connack.qos_max = Some(QOS_1);
    connack.retain_available = Some(false);
    rig.serve(&Packet::ConnAck(connack.into()));
    let too_large = Outcome::Rejected(ReasonCode::PacketTooLarge);
    assert!(rig.take().contains(&Seen::Published(early, too_large)));
    for qos in [QOS_0, QOS_1] {
        let refused = rig.try_publish(&huge, qos);
        assert!(
            matches!(refused, Err(PublishError::TooLarge { max: 50, .. })),
            "{refused:?}"
        );
    }
    let mut kept = Publication::new(TopicName::parse("t").expect("a topic"), b"x", QOS_1);
    kept.retain = true;
    assert_eq!(
        rig.client.publish(&kept, rig.now, &mut rig.log),
        Err(PublishError::NotOffered("retained messages"))
    );
    assert_eq!(
        rig.try_publish("x", QOS_2),
        Err(PublishError::NotOffered("this QoS"))
    );
    assert!(rig.sent().is_empty());
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_connection() {
    let mut rig = Rig::connected(Options::default());
    rig.ack(AckKind::PubAck, 9, OK);
    let seen = rig.take();
    assert!(
        matches!(
            seen[..],
            [
                Seen::Hangup(_),
                Seen::State(State::Waiting {
                    why: Lost::Nonsense,
                    ..
                })
            ]
        ),
        "{seen:?}"
    );
}

/// A server that ends the connection when it reads "poison", and answers nothing before.
#[test]
fn a_message_that_ends_every_connection_is_found_and_named_and_may_be_given_up() {
    let mut rig = Rig::connected(Options::default());
    let poison = rig.queue("poison", QOS_1);
    rig.queue("other", QOS_1);
    rig.sent();
    rig.cut();
    for _ in 0..2 {
        rig.reconnect(true);
        assert_eq!(rig.sent().len(), 3, "CONNECT and both of them");
        rig.cut();
    }
    for losses in 1..=3 {
        rig.reconnect(true);
        assert_eq!(rig.sent()[1..], ["PUBLISH 1 dup t=poison"], "alone");
        rig.take();
        rig.cut();
        let bytes = 2 + 3 + 2 + 1 + 6;
        let named = Seen::Warning(Warning::Stuck { id: poison, bytes });
        assert_eq!(rig.take().contains(&named), losses == 3);
    }
    assert!(rig.client.give_up_message(poison, rig.now, &mut rig.log));
    assert!(!rig.client.give_up_message(poison, rig.now, &mut rig.log));
    assert_eq!(rig.take(), [Seen::Published(poison, Outcome::Indeterminate)]);
    rig.reconnect(true);
    assert_eq!(rig.sent()[1..], ["PUBLISH 2 dup t=other"]);
}

#[test]
fn any_answer_shows_that_a_message_is_not_stuck() {
    let mut rig = Rig::connected(Options::default());
    rig.queue("a", QOS_1);
    rig.queue("b", QOS_1);
    rig.sent();
    rig.cut();
    for _ in 0..3 {
        rig.reconnect(true);
        rig.sent();
        rig.cut();
    }
    rig.reconnect(true);
    assert_eq!(rig.sent()[1..], ["PUBLISH 1 dup t=a"]);
    rig.ack(AckKind::PubAck, 1, ReasonCode::Success);
    assert_eq!(rig.sent(), ["PUBLISH 2 dup t=b"], "the window is open again");
}

use super::*;

const QOS_1: Qos = Qos::AtLeastOnce;
const QOS_2: Qos = Qos::ExactlyOnce;
const OK: ReasonCode = ReasonCode::Success;

fn by_caller() -> Options {
    Options {
        acknowledge: Acknowledge::ByCaller,
        receive_max: 3,
        ..Options::default()
    }
}

impl Rig {
    fn done(&mut self, delivery: u64) -> bool {
        self.client
            .acknowledge(DeliveryId(delivery), self.now, &mut self.log)
    }
}

#[test]
fn messages_are_handed_out_with_their_subscriptions_and_acknowledged() {
    let mut rig = Rig::connected(Options::default());
    let all = rig.subscribe("#");
    let one = rig.subscribe("in");
    assert_eq!(rig.sent(), ["SUBSCRIBE 1 #", "SUBSCRIBE 2 in"]);
    rig.grant(1);
    rig.grant(2);
    assert_eq!(
        rig.take(),
        [Seen::Subscribed(all, QOS_1), Seen::Subscribed(one, QOS_1)]
    );
    rig.deliver("a", QOS_1, 5, false, None);
    assert_eq!(rig.sent(), ["PUBACK 5 0x00"]);
    assert_eq!(
        rig.take(),
        [Seen::Message("in".into(), b"a".into(), None, [all, one].into())]
    );
    rig.deliver("b", QOS_2, 6, false, None);
    rig.deliver("b", QOS_2, 6, true, None);
    rig.ack(AckKind::PubRel, 6, OK);
    assert_eq!(rig.sent(), ["PUBREC 6 0x00", "PUBREC 6 0x00", "PUBCOMP 6 0x00"]);
    assert_eq!(rig.messages(), ["b"]);
}

#[test]
fn the_receivers_of_a_topic_are_those_of_the_moment() {
    let mut rig = Rig::connected(Options::default());
    let receivers = |rig: &mut Rig| {
        rig.take();
        rig.deliver("a", Qos::AtMostOnce, 0, false, None);
        match rig.take().as_slice() {
            [Seen::Message(_, _, _, receivers)] => receivers.clone(),
            other => panic!("{other:?}"),
        }
    };
    let all = rig.subscribe("#");
    assert_eq!(receivers(&mut rig), [all]);
    let one = rig.subscribe("in");
    assert_eq!(receivers(&mut rig), [all, one]);
    rig.client.unsubscribe(all, rig.now, &mut rig.log);
    assert_eq!(receivers(&mut rig), [one]);
    assert_eq!(rig.subscribe("#"), all);
    assert_eq!(receivers(&mut rig), [all, one]);
}

#[test]
fn acknowledgements_go_out_in_the_order_of_arrival() {
    let mut rig = Rig::connected(by_caller());
    for (payload, id) in [("a", 1), ("b", 2), ("c", 3)] {
        rig.deliver(payload, QOS_1, id, false, None);
    }
    assert!(rig.done(2));
    assert!(!rig.done(2));
    assert!(rig.sent().is_empty());
    assert!(rig.done(1));
    assert_eq!(rig.sent(), ["PUBACK 1 0x00", "PUBACK 2 0x00"]);
    assert!(!rig.done(99));
}

#[test]
fn a_server_that_sends_more_than_it_may_is_left() {
    let mut rig = Rig::connected(by_caller());
    for id in 1..=4 {
        rig.deliver("x", QOS_1, id, false, None);
    }
    let seen = rig.take();
    assert!(seen.contains(&Seen::State(rig.client.state())));
    assert!(matches!(
        rig.client.state(),
        State::Waiting {
            why: Lost::Nonsense,
            ..
        }
    ));
}

#[test]
fn a_message_that_the_application_still_has_is_not_handed_out_again() {
    let mut rig = Rig::new(by_caller());
    rig.connect();
    rig.accept_numbered(false);
    rig.deliver("a", QOS_1, 1, false, Some(5));
    rig.deliver("b", QOS_2, 2, false, None);
    rig.cut();
    assert!(rig.done(1)); // While there is no connection.
    rig.wait(Duration::from_secs(60));
    rig.open();
    rig.accept_numbered(true);
    rig.take();
    rig.deliver("a", QOS_1, 1, true, Some(5));
    rig.deliver("b", QOS_2, 2, true, None);
    assert_eq!(rig.sent(), ["PUBACK 1 0x00"]);
    assert!(rig.done(2));
    assert_eq!(rig.sent(), ["PUBREC 2 0x00"]);
    assert_eq!(rig.messages(), [""; 0]);
}

#[test]
fn a_server_that_has_numbered_less_than_it_sent_means_another_session() {
    let mut rig = Rig::new(Options::default());
    rig.connect();
    rig.accept_numbered_to(false, 0);
    rig.deliver("a", QOS_1, 1, false, Some(5));
    rig.cut();
    rig.wait(Duration::from_secs(60));
    rig.open();
    rig.accept_numbered_to(true, 5);
    assert!(rig.take().contains(&Seen::Connected(Continuity::Resumed)));
    rig.deliver("a", QOS_1, 1, true, Some(5));
    assert_eq!(rig.messages(), [""; 0]);
    rig.deliver("the first time here", QOS_1, 2, true, Some(6));
    assert_eq!((rig.messages().len(), rig.log.was_dup), (1, false));
    assert_eq!(rig.log.users, 0, "the number is nothing to the application");
    rig.cut();
    // The session ended, and the CONNACK that said so never arrived.
    rig.wait(Duration::from_secs(60));
    rig.open();
    rig.accept_numbered_to(true, 0);
    assert!(rig.take().contains(&Seen::Connected(Continuity::Lost)));
    rig.deliver("b", QOS_1, 1, false, Some(5));
    assert_eq!(rig.messages(), ["b"]);
}

#[test]
fn what_comes_again_first_is_answered_although_the_server_still_owes_others() {
    let mut rig = Rig::new(by_caller());
    rig.connect();
    rig.accept_numbered(false);
    for (payload, number) in [("a", 1), ("b", 2), ("c", 3)] {
        rig.deliver(payload, QOS_1, number, false, Some(number.into()));
        assert!(rig.done(number.into()));
    }
    rig.deliver("d", QOS_1, 4, false, Some(4));
    rig.deliver("e", QOS_1, 5, false, Some(5));
    assert!(rig.done(5));
    rig.cut();
    rig.wait(Duration::from_secs(60));
    rig.open();
    rig.accept_numbered(true);
    rig.take();
    // None of the acknowledgements arrived, and the server sends no more than three at once.
    for number in 1..=3 {
        rig.deliver("?", QOS_1, number, true, Some(number.into()));
    }
    assert_eq!(rig.sent(), ["PUBACK 1 0x00", "PUBACK 2 0x00", "PUBACK 3 0x00"]);
    rig.deliver("d", QOS_1, 4, true, Some(4));
    rig.deliver("e", QOS_1, 5, true, Some(5));
    assert!(
        rig.sent().is_empty(),
        "the application still has the first of them"
    );
    assert!(rig.done(4));
    assert_eq!(rig.sent(), ["PUBACK 4 0x00", "PUBACK 5 0x00"]);
    rig.deliver("f", QOS_1, 6, false, Some(6));
    assert!(rig.done(6), "names go on where they were");
    assert_eq!(rig.sent(), ["PUBACK 6 0x00"]);
    assert_eq!(rig.messages(), ["f"]);
}

#[test]
fn an_identifier_of_qos_1_proves_nothing_after_a_crash_of_the_server() {
    let mut rig = Rig::connected(by_caller());
    rig.deliver("a", QOS_1, 1, false, None);
    rig.cut();
    rig.reconnect(true);
    assert_eq!(rig.messages(), ["a"]);
    // It has lost "a" and was cut off when it sent "b" for the first time.
    rig.deliver("b", QOS_1, 1, true, None);
    assert_eq!(rig.messages(), ["b"]);
}

#[test]
fn what_the_server_has_forgotten_holds_nothing_up() {
    let mut rig = Rig::connected(by_caller());
    rig.deliver("a", QOS_1, 1, false, None);
    rig.cut();
    rig.reconnect(true);
    rig.take();
    // "a" does not come again: it has expired there.
    rig.deliver("b", QOS_1, 1, false, None);
    assert!(rig.done(2));
    assert_eq!(rig.sent(), ["PUBACK 1 0x00"]);
    assert!(!rig.done(1));
}

#[test]
fn numbered_messages_come_once_whatever_their_identifiers() {
    let mut rig = Rig::new(Options::default());
    rig.connect();
    rig.accept_numbered(false);
    rig.take();
    rig.deliver("a", QOS_1, 1, false, Some(10));
    rig.deliver("b", QOS_1, 2, false, Some(12));
    rig.cut();
    rig.wait(Duration::from_secs(60));
    rig.open();
    rig.accept_numbered(true);
    assert_eq!(rig.messages(), ["a", "b"]);
    // Both acknowledgements were lost, and a restarted server has given out other identifiers.
    rig.deliver("a", QOS_1, 2, true, Some(10));
    rig.deliver("b", QOS_1, 1, true, Some(12));
    rig.deliver("c", QOS_1, 3, false, Some(13));
    assert_eq!(rig.sent(), ["PUBACK 2 0x00", "PUBACK 1 0x00", "PUBACK 3 0x00"]);
    assert_eq!(rig.messages(), ["c"]);
}

#[test]
fn subscriptions_are_asked_for_again_only_when_the_session_is_lost() {
    let mut rig = Rig::connected(Options::default());
    let first = rig.subscribe("a");
    rig.grant(1);
    let second = rig.subscribe("b");
    rig.cut();
    rig.reconnect(true);
    assert_eq!(rig.sent()[1..], ["SUBSCRIBE 1 b"]);
    rig.grant(1);
    rig.cut();
    rig.take();
    rig.reconnect(false);
    assert_eq!(rig.sent()[1..], ["SUBSCRIBE 1 a", "SUBSCRIBE 2 b"]);
    assert!(rig.client.unsubscribe(first, rig.now, &mut rig.log));
    assert!(!rig.client.unsubscribe(first, rig.now, &mut rig.log));
    assert_eq!(rig.sent(), ["UNSUBSCRIBE 3 a"]);
    rig.serve(&Packet::SubAck(SubAck::new(
        PacketId::new(2).expect("not zero"),
        [ReasonCode::NotAuthorized].into(),
    )));
    assert!(
        rig.take()
            .contains(&Seen::Refused(second, ReasonCode::NotAuthorized))
    );
}

/// A session of an earlier process, and no store.
fn adopted(options: Options) -> Rig {
    let mut rig = Rig::new(options);
    rig.connect();
    rig.accept(true);
    rig.take();
    rig
}

#[test]
fn what_comes_in_an_adopted_session_before_anybody_has_subscribed_waits() {
    for options in [Options::default(), by_caller()] {
        let mut rig = adopted(options);
        rig.deliver("a", QOS_1, 5, false, None);
        rig.deliver("b", QOS_2, 6, false, None);
        assert!(rig.sent().is_empty() && rig.take().is_empty());
        let other = rig.subscribe("other");
        assert!(rig.take().is_empty(), "it is not for {other:?}");
        let id = rig.subscribe("in");
        let mut sent = rig.sent();
        let seen = rig.take();
        let heard = seen.iter().map(|it| {
            let Seen::Message(_, payload, _, receivers) = it else {
                panic!("{it:?}");
            };
            (&payload[..], &receivers[..])
        });
        assert!(heard.eq([(&b"a"[..], &[id][..]), (b"b", &[id])]));
        rig.done(1);
        rig.done(2);
        sent.append(&mut rig.sent());
        sent.retain(|it| it.starts_with("PUB"));
        assert_eq!(sent, ["PUBACK 5 0x00", "PUBREC 6 0x00"]);
        rig.subscribe("in");
        assert!(rig.take().is_empty(), "it was heard");
    }
}

#[test]
fn what_nobody_wants_of_an_adopted_session_is_let_go_in_the_end() {
    let mut options = by_caller();
    options.patience.unclaimed = Duration::from_secs(5);
    let mut rig = adopted(options);
    for id in 1..=3 {
        rig.deliver("a", QOS_1, id, false, None);
    }
    rig.wait(Duration::from_secs(6));
    assert_eq!(rig.messages(), ["a", "a", "a"], "with nobody who wants them");
    (1..=3).for_each(|delivery| _ = rig.done(delivery));
    let sent = rig.sent();
    assert_eq!(sent.iter().filter(|it| it.starts_with("PUBACK")).count(), 3);
    rig.subscribe("in");
    assert!(rig.messages().is_empty());
    rig.deliver("b", QOS_1, 4, false, None);
    assert_eq!(rig.messages(), ["b"], "there is room again");
}

#[test]
fn in_an_adopted_session_the_name_of_a_subscription_is_not_relied_upon() {
    let mut rig = adopted(Options::default());
    let id = rig.subscribe("other");
    rig.take();
    let ids = [id.0];
    let mut publish = Publish::new(TopicName::parse("in").expect("a topic"), b"a");
    (publish.qos, publish.packet_id) = (QOS_1, PacketId::new(5));
    publish.properties.subscription_ids = crate::codec::SubscriptionIds::from_slice(&ids);
    rig.serve(&Packet::Publish(publish));
    assert!(
        rig.messages().is_empty(),
        "an earlier process has named another one so"
    );
    rig.subscribe("in");
    assert_eq!(rig.messages(), ["a"]);
}

#[test]
fn who_subscribes_while_the_connection_is_made_again_hears_when_it_is() {
    let mut rig = adopted(by_caller());
    rig.deliver("a", QOS_2, 5, false, None);
    rig.cut();
    rig.wait(Duration::from_secs(60));
    rig.open();
    rig.subscribe("in");
    rig.accept(true);
    assert!(
        matches!(rig.client.state(), State::Connected),
        "{:?}",
        rig.client.state()
    );
    assert_eq!(rig.messages(), ["a"]);
}

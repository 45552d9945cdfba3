use super::*;

const QOS_1: Qos = Qos::AtLeastOnce;
const QOS_2: Qos = Qos::ExactlyOnce;
const OK: ReasonCode = ReasonCode::Success;

fn options() -> Options {
    Options {
        storage: Storage::Durable,
        ..Options::default()
    }
}

fn connected() -> Rig {
    let mut rig = Rig::connected(options());
    rig.stored();
    rig.take();
    rig
}

#[test]
fn a_message_is_reported_when_it_is_safe() {
    let mut rig = connected();
    let id = rig.queue("x", QOS_1);
    assert_eq!(rig.take(), []);
    rig.stored();
    assert_eq!(rig.take(), [Seen::Stored(id)]);
}

#[test]
fn a_later_process_goes_on_with_name_queue_and_handshakes() {
    let mut rig = connected();
    rig.queue("a", QOS_1);
    let two = rig.queue("b", QOS_2);
    rig.stored();
    rig.stored();
    assert_eq!(rig.sent(), ["PUBLISH 1 t=a", "PUBLISH 2 t=b"]);
    rig.ack(AckKind::PubRec, 2, OK);
    let last = rig.queue("c", QOS_1);
    rig.deliver("in", QOS_2, 9, false, None);
    rig.stored();
    let mut later = Rig::after(&rig, options());
    assert_eq!(later.client.client_id(), rig.client.client_id());
    assert_eq!(later.client.queued_messages(), 3);
    later.connect();
    later.accept(true);
    later.stored();
    let sent = later.sent();
    // Of QoS 1 the store does not know whether it was sent; another identifier does no harm.
    assert_eq!(sent.len(), 4, "{sent:?}");
    assert!(
        sent[1].ends_with("t=a") && sent[2] == "PUBREL 2 0x00" && sent[3].ends_with("t=c"),
        "{sent:?}"
    );
    later.ack(AckKind::PubComp, 2, OK);
    assert!(
        later
            .take()
            .contains(&Seen::Published(two, Outcome::Acknowledged(OK)))
    );
    later.deliver("in", QOS_2, 9, true, None);
    later.stored();
    assert_eq!(later.sent(), ["PUBREC 9 0x00"]);
    assert_eq!(later.messages(), [""; 0]);
    assert!(later.queue("d", QOS_1) > last);
}

#[test]
fn what_an_earlier_process_was_given_and_did_not_acknowledge_may_have_been_handed_out() {
    let by_caller = Options {
        acknowledge: Acknowledge::ByCaller,
        ..options()
    };
    let mut rig = Rig::connected(by_caller.clone());
    rig.deliver("lost once", QOS_2, 9, true, None);
    assert_eq!(
        (rig.messages(), rig.log.was_dup),
        (["lost once".into()].into(), false)
    );
    rig.stored();
    let mut later = Rig::after(&rig, by_caller);
    later.connect();
    later.accept(true);
    later.deliver("lost once", QOS_2, 9, true, None);
    assert_eq!(
        (later.messages(), later.log.was_dup),
        (["lost once".into()].into(), true)
    );
    later.deliver("new", QOS_2, 10, false, None);
    assert_eq!(
        (later.messages(), later.log.was_dup),
        (["new".into()].into(), false)
    );
}

#[test]
fn qos_2_leaves_only_when_its_identifier_is_stored() {
    let mut rig = connected();
    rig.queue("a", QOS_2);
    rig.queue("b", QOS_1);
    assert!(rig.sent().is_empty());
    rig.stored();
    assert_eq!(rig.sent(), ["PUBLISH 1 t=a", "PUBLISH 2 t=b"]);
}

#[test]
fn a_received_qos_2_message_is_answered_when_that_is_stored() {
    let mut rig = connected();
    rig.deliver("a", QOS_2, 3, false, None);
    assert!(rig.sent().is_empty());
    rig.stored();
    assert_eq!(rig.sent(), ["PUBREC 3 0x00"]);
    rig.ack(AckKind::PubRel, 3, OK);
    rig.stored();
    assert!(!rig.log.store.contains_key(&Key::Received(3)));
}

#[test]
fn numbers_are_never_used_twice_even_when_the_store_lost_the_last_of_them() {
    let mut rig = connected();
    let before = rig.log.store.clone();
    let mut last = PublishId(0);
    for _ in 0..10_000 {
        last = rig.queue("x", QOS_1);
        rig.ack(AckKind::PubAck, 1, OK);
        rig.stored();
    }
    let kept = rig.log.store.get(&Key::Identity).expect("kept").clone();
    assert_ne!(Some(&kept), before.get(&Key::Identity));
    let mut later = Rig::after(&rig, options());
    assert!(later.queue("y", QOS_1) > last);
}

#[test]
fn subscriptions_that_nobody_asks_for_again_end() {
    let mut rig = connected();
    let (kept, gone) = (rig.subscribe("kept"), rig.subscribe("gone"));
    let mut later = Rig::after(&rig, options());
    assert_eq!(later.subscribe("kept"), kept);
    later.connect();
    later.accept(true);
    assert_eq!(later.sent(), ["CONNECT V5", "SUBSCRIBE 1 kept"]);
    assert_eq!(later.client.filter(gone), Some("gone"));
    later.grant(1);
    later.take();
    later.now = later.now.after_secs(60);
    later.client.handle_timeout(later.now, &mut later.log);
    assert!(later.sent().contains(&"UNSUBSCRIBE 1 gone".into()));
    assert!(later.take().contains(&Seen::Warning(Warning::Unclaimed(gone))));
    assert!(!later.log.store.contains_key(&Key::Subscription(gone.0)));
}

#[test]
fn a_damaged_record_is_refused_and_the_rest_is_used() {
    let mut rig = connected();
    rig.queue("a", QOS_1);
    rig.queue("b", QOS_1);
    let mut later = Rig::new(options());
    for (key, record) in &rig.log.store {
        if let Key::Outgoing(_) = key {
            assert_eq!(
                later.client.restore(*key, &record[..record.len() / 2]),
                Err(BadRecord::Damaged)
            );
            assert_eq!(later.client.restore(*key, &[9]), Err(BadRecord::Newer(9)));
            assert_eq!(later.client.restore(*key, &[]), Err(BadRecord::Damaged));
        }
        later.client.restore(*key, record).expect("whole");
    }
    assert_eq!(later.client.queued_messages(), 2);
}

#[test]
fn a_store_that_fails_holds_nothing_up() {
    let mut rig = connected();
    rig.queue("a", QOS_2);
    rig.client.handle_store_failed(rig.now, &mut rig.log);
    assert_eq!(rig.sent(), ["PUBLISH 1 t=a"]);
    rig.queue("b", QOS_1);
    assert_eq!(rig.sent(), ["PUBLISH 2 t=b"]);
}

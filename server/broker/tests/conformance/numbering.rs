//! Numbered messages: none is handed out twice, whatever breaks, and none is taken for another one.

use cloudsignal_broker::policy::{Actions, Effect, Rule, UserPattern};
use cloudsignal_broker::{Limits, Policy};
use cloudsignal_core::codec::{ConnAck, Publish, ReasonCode, UserProperties};

use crate::client::{Client, Connecting, MessageExt, QOS0, QOS1, QOS2, leak, message};
use crate::world::World;

const EPOCH: u64 = 0xA0B1_C2D3_E4F5_0617;
/// Numbers of the first run are above this.
const FIRST_RUN: u64 = 1 << 42;

fn numbered(number: u64, others: &[(&str, &str)]) -> UserProperties<'static> {
    let mut wire = Vec::new();
    for (name, value) in others {
        UserProperties::push(&mut wire, name, value).expect("short");
    }
    UserProperties::push_sequence(&mut wire, number);
    UserProperties::from_wire(wire.leak()).expect("just written")
}

fn asking(connecting: Connecting, epoch: u64) -> Connecting {
    connecting.with(|connect| connect.user_properties = numbered(epoch, &[]))
}

/// A client that counts, with a session that outlives its connection.
fn counting(world: &World, client_id: &str) -> (Client, ConnAck<'static>) {
    asking(world.connect(client_id).resume().expiry(1_000), EPOCH).go_and_see()
}

fn offered(connack: &ConnAck<'_>) -> Option<u64> {
    connack.user_properties.sequence().expect("one number, or none")
}

fn number(publish: &Publish<'_>) -> Option<u64> {
    publish
        .properties
        .user_properties
        .sequence()
        .expect("one number, or none")
}

/// A QoS 1 publish with this number.
fn publish(payload: &str, packet_id: u16, sequence: u64) -> Publish<'static> {
    let numbered = numbered(sequence, &[]);
    message("x", payload)
        .at(QOS1, packet_id)
        .with(|properties| properties.user_properties = numbered)
}

/// Publishes and is told so.
fn send(client: &Client, payload: &str, packet_id: u16, sequence: u64) -> ReasonCode {
    client.publish_it(publish(payload, packet_id, sequence));
    let ack = client.expect_puback();
    assert_eq!(ack.packet_id.get(), packet_id);
    ack.reason
}

#[test]
fn whoever_asks_as_described_is_offered_numbers() {
    let world = World::numbering();
    let (_, connack) = asking(world.connect("a"), EPOCH).go_and_see();
    assert_eq!(offered(&connack), Some(0), "nothing has been sent yet");
    let (_, connack) = world.connect("b").go_and_see();
    assert!(connack.user_properties.is_empty());
    for bad in ["", "12", "g000000000000000", "+000000000000001"] {
        let mut wire = Vec::new();
        UserProperties::push(&mut wire, "cs-seq", bad).expect("short");
        let bad = UserProperties::from_wire(wire.leak()).expect("just written");
        let connecting = world.connect("c").with(|connect| connect.user_properties = bad);
        assert!(connecting.go_and_see().1.user_properties.is_empty());
    }
    let (_, connack) = asking(world.connect("d").packet_bytes_max(30), EPOCH).go_and_see();
    assert!(
        connack.user_properties.is_empty(),
        "it would be too large [MQTT-3.2.2-20]"
    );
    let (_, connack) = asking(World::new().connect("e"), EPOCH).go_and_see();
    assert!(connack.user_properties.is_empty(), "this run was not counted");
}

#[test]
fn what_is_sent_carries_its_number_and_carries_it_again() {
    let world = World::numbering();
    let (a, _) = counting(&world, "a");
    a.subscribe("x", QOS2);
    let b = world.client("b");
    b.publish_qos1("x", "1", 1);
    b.publish("x", "at QoS 0");
    b.publish_it(
        message("x", "2")
            .at(QOS1, 2)
            .with(|it| it.user_properties = numbered(7, &[("k", "v")])),
    );
    b.expect_puback();
    assert_eq!(number(&a.expect_publish("x", "1")), Some(FIRST_RUN + 1));
    assert_eq!(number(&a.expect_publish("x", "at QoS 0")), None);
    let second = a.expect_publish("x", "2");
    assert_eq!(
        number(&second),
        Some(FIRST_RUN + 2),
        "the publisher's own is not passed on"
    );
    assert_eq!(second.properties.user_properties.iter().next(), Some(("k", "v")));
    a.cut();
    let (a, connack) = counting(&world, "a");
    assert_eq!(
        (connack.session_present, offered(&connack)),
        (true, Some(FIRST_RUN + 2))
    );
    let again = a.expect_publish("x", "1");
    assert_eq!((again.dup, number(&again)), (true, Some(FIRST_RUN + 1)));
    assert_eq!(number(&a.expect_publish("x", "2")), Some(FIRST_RUN + 2));

    // Without the word nothing changes.
    a.cut();
    let a = world.lasting("a");
    assert!(a.expect_publish("x", "1").properties.user_properties.is_empty());
}

#[test]
fn no_number_comes_twice_although_a_crash_forgets_the_last_ones() {
    let world = World::numbering();
    let (a, _) = counting(&world, "a");
    a.subscribe("x", QOS1);
    world.withhold_store();
    let b = world.client("b");
    // Not numbered, so it leaves at once.
    b.publish_it(message("x", "forgotten").at(QOS1, 1));
    let forgotten = number(&a.expect_publish("x", "forgotten")).expect("a number");
    world.crash();
    let (a, connack) = counting_settled(&world, "a");
    assert!(
        offered(&connack).expect("offered") > forgotten,
        "or the client took it for another session"
    );
    world.client("b").publish_it(message("x", "new").at(QOS1, 1));
    world.settle();
    assert!(number(&a.expect_publish("x", "new")).expect("a number") > forgotten);
}

/// The same, where the store answers only when it is asked to.
fn counting_settled(world: &World, client_id: &str) -> (Client, ConnAck<'static>) {
    let client = asking(world.connect(client_id).resume().expiry(1_000), EPOCH).send();
    world.settle();
    let connack = client.expect_connack();
    (client, connack)
}

#[test]
fn a_session_that_follows_another_one_goes_on_above_it_and_says_that_it_is_new() {
    let world = World::numbering();
    let (a, _) = counting(&world, "a");
    a.subscribe("x", QOS1);
    world.client("b").publish_qos1("x", "1", 1);
    let first = number(&a.expect_publish("x", "1")).expect("a number");
    a.cut();
    // Its answer never arrives: the client does not know that its session has ended.
    asking(world.connect("a").expiry(1_000), EPOCH).go().cut();
    let (a, connack) = counting(&world, "a");
    assert!(connack.session_present);
    assert_eq!(offered(&connack), Some(0), "below what the client has got");
    a.subscribe("x", QOS1);
    world.client("b").publish_qos1("x", "2", 1);
    assert!(number(&a.expect_publish("x", "2")).expect("a number") > first);
}

#[test]
fn what_would_be_too_large_with_its_number_goes_without() {
    let world = World::numbering();
    let a = asking(world.connect("a").packet_bytes_max(100), EPOCH).go();
    a.subscribe("x", QOS1);
    let b = world.client("b");
    b.publish_qos1("x", "1", 1);
    b.publish_qos1("x", "2".repeat(80), 2);
    assert!(number(&a.expect_publish("x", "1")).is_some());
    assert_eq!(number(&a.expect_publish("x", "2".repeat(80))), None);
}

#[test]
fn a_publish_that_comes_again_is_answered_and_not_routed() {
    let world = World::numbering();
    let (a, _) = counting(&world, "a");
    let b = world.lasting("b");
    b.subscribe("x", QOS1);
    assert_eq!(send(&a, "1", 1, 1), ReasonCode::Success);
    assert_eq!(send(&a, "1", 1, 1), ReasonCode::Success);
    assert_eq!(send(&a, "5", 2, 5), ReasonCode::Success);
    a.cut();
    let (a, _) = counting(&world, "a");
    assert_eq!(send(&a, "5", 9, 5), ReasonCode::Success);
    assert_eq!(send(&a, "6", 1, 6), ReasonCode::Success);
    let got = b.expect_publish("x", "1");
    assert!(
        got.properties.user_properties.is_empty(),
        "receivers see nothing of it"
    );
    assert_eq!(b.payloads(), ["5", "6"]);

    // Whoever counts under another number begins anew.
    a.cut();
    let a = asking(world.connect("a").resume().expiry(1_000), EPOCH + 1).go();
    assert_eq!(send(&a, "again 1", 1, 1), ReasonCode::Success);
    assert_eq!(b.payloads(), ["again 1"]);
}

#[test]
fn at_qos_2_a_number_is_worth_as_much_as_a_packet_id() {
    let world = World::numbering();
    let (a, _) = counting(&world, "a");
    let b = world.client("b");
    b.subscribe("x", QOS0);
    for packet_id in [1, 2] {
        let mut publish = publish("once", packet_id, 1);
        publish.qos = QOS2;
        a.publish_it(publish);
        let ack = a.expect_pubrec();
        assert_eq!(
            (ack.packet_id.get(), ack.reason),
            (packet_id, ReasonCode::Success)
        );
        a.pubrel(ack.packet_id);
        assert_eq!(a.expect_pubcomp().reason, ReasonCode::Success);
    }
    assert_eq!(b.payloads(), ["once"]);
}

#[test]
fn the_answer_to_a_repetition_waits_for_the_store_as_the_first_one_does() {
    let world = World::numbering();
    let (a, _) = counting(&world, "a");
    let b = world.lasting("b");
    b.subscribe("x", QOS1);
    world.withhold_store();
    a.publish_it(publish("1", 1, 1));
    a.publish_it(publish("1", 2, 1));
    a.expect_nothing();
    world.settle();
    assert_eq!(a.expect_puback().packet_id.get(), 1);
    assert_eq!(a.expect_puback().packet_id.get(), 2);
    assert_eq!(b.payloads(), ["1"]);
}

#[test]
fn a_crash_forgets_a_publish_and_its_number_together_or_neither() {
    let world = World::numbering();
    let (a, _) = counting(&world, "a");
    let (b, _) = counting(&world, "b");
    b.subscribe("x", QOS1);
    send(&a, "stored", 1, 1);
    b.expect_publish("x", "stored");
    world.withhold_store();
    a.publish_it(publish("lost", 2, 2));
    b.expect_nothing();
    world.crash();
    let (a, _) = counting_settled(&world, "a");
    let (b, _) = counting_settled(&world, "b");
    for (payload, sequence) in [("stored", 1), ("lost", 2)] {
        a.publish_it(publish(payload, 1, sequence));
        world.settle();
        assert_eq!(a.expect_puback().reason, ReasonCode::Success);
    }
    assert_eq!(
        b.payloads(),
        ["stored", "lost"],
        "the first one again, with its number"
    );
}

#[test]
fn between_two_who_count_a_message_leaves_when_it_is_stored() {
    let world = World::numbering();
    let (a, _) = counting(&world, "a");
    let (b, _) = counting(&world, "b");
    let (late, others) = (world.lasting("late"), world.client("others"));
    let ends = asking(world.connect("ends"), EPOCH).go();
    for client in [&b, &late, &others, &ends] {
        client.subscribe("x", QOS1);
    }
    world.withhold_store();
    a.publish_it(publish("1", 1, 1));
    others.publish_it(message("x", "2").at(QOS1, 1));
    for client in [&late, &others, &ends] {
        assert_eq!(
            client.payloads(),
            ["1", "2"],
            "it would get a repetition anyway, or nothing at all"
        );
    }
    b.expect_nothing();
    world.settle();
    assert_eq!(b.payloads(), ["1", "2"], "and nothing overtakes it");

    // What waits in a queue waits for the same.
    b.cut();
    a.publish_it(publish("3", 2, 2));
    let b = asking(world.connect("b").resume().expiry(1_000), EPOCH).send();
    b.expect_nothing();
    world.settle();
    b.expect_connack();
    assert_eq!(b.payloads(), ["1", "2", "3"]);
}

#[test]
fn what_was_refused_may_come_again() {
    let deny = Rule {
        name: "x".into(),
        user: UserPattern::Any,
        pattern: "x".into(),
        binding: None,
        actions: Actions::PUBLISH,
        effect: Effect::Deny,
        qos_max: None,
        retain: true,
    };
    let denied = Policy {
        rules: vec![deny],
        ..Policy::permit_all()
    };
    let world = World::numbering_with(Limits::default(), denied);
    let (a, _) = counting(&world, "a");
    let b = world.lasting("b");
    b.subscribe("#", QOS1);
    assert_eq!(send(&a, "refused", 1, 1), ReasonCode::NotAuthorized);
    let mut other = publish("taken", 2, 2);
    other.topic = message("y", "").topic;
    a.publish_it(other);
    assert_eq!(a.expect_puback().reason, ReasonCode::Success);
    b.expect_publish("y", "taken");
    world.crash_under(Policy::permit_all());
    let (a, _) = counting(&world, "a");
    let b = world.lasting("b");
    b.read_all();
    assert_eq!(
        send(&a, "refused", 1, 1),
        ReasonCode::Success,
        "it is not refused any more"
    );
    assert_eq!(send(&a, "refused", 1, 1), ReasonCode::Success);
    assert_eq!(send(&a, "taken", 2, 2), ReasonCode::Success);
    assert_eq!(b.payloads(), ["refused"]);
}

#[test]
fn a_number_that_is_none_ends_the_connection_and_no_number_does_not() {
    let world = World::numbering();
    for bad in ["0000000000000000", "1", "", "000000000000000x"] {
        let (a, _) = counting(&world, "a");
        let mut wire = Vec::new();
        UserProperties::push(&mut wire, "cs-seq", leak(bad)).expect("short");
        let bad = UserProperties::from_wire(wire.leak()).expect("just written");
        let publish = message("x", "1").with(|it| it.user_properties = bad);
        a.publish_it(publish.clone());
        a.publish_qos1("x", "without", 1);
        a.publish_it(publish.at(QOS1, 2));
        let goodbye = a.expect_disconnect(ReasonCode::ProtocolError);
        assert!(goodbye.reason_string.expect("it says why").contains("cs-seq"));
    }
}

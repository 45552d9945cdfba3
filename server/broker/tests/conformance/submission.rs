//! Messages that no connection brought, such as HTTP publishes: like a PUBLISH in everything but the packet.

use cloudsignal_broker::org::{Submission, Submitted};
use cloudsignal_broker::policy::{Actions, Effect, Precedence, Rule, UserPattern};
use cloudsignal_broker::sink::DropReason;
use cloudsignal_broker::{Access, Credential, Identity, Policy};
use cloudsignal_core::Qos;
use cloudsignal_core::codec::{PublishProperties, ReasonCode, SubscribeFilter, UserProperties};

use crate::client::{QOS1, QOS2, filter, leak, topic};
use crate::world::{World, identity};

/// A key that may do everything.
fn key() -> Identity {
    Identity {
        credential: Credential::Key { id: "k1".into() },
        access: Access::Full,
        ..identity("server")
    }
}

fn submission(name: &str, payload: &str) -> Submission<'static> {
    Submission {
        topic: topic(name),
        payload: leak(payload).as_bytes(),
        properties: PublishProperties::default(),
        qos: QOS1,
        retain: false,
    }
}

fn submit(world: &World, identity: &Identity, submission: &Submission<'_>) -> Submitted {
    world.step(|org, now, tape| org.handle_submission(identity, submission, now, tape))
}

fn allow(name: &str, pattern: &str, effect: Effect) -> Rule {
    Rule {
        name: name.into(),
        user: UserPattern::Any,
        pattern: pattern.into(),
        binding: None,
        actions: Actions::BOTH,
        effect,
        qos_max: Some(QOS1),
        retain: false,
    }
}

#[test]
fn it_reaches_subscribers_with_everything_it_carries() {
    let world = World::new();
    let a = world.client("a");
    a.subscribe("x", QOS2);
    let mut wire = Vec::new();
    for (name, value) in [("b", "1"), ("a", "2"), ("b", "3")] {
        UserProperties::push(&mut wire, name, value).expect("short");
    }
    let properties = PublishProperties {
        payload_format: Some(true),
        content_type: Some("application/json"),
        response_topic: Some(topic("answers/here")),
        correlation_data: Some(&[0, 255, 7]),
        user_properties: UserProperties::from_wire(&wire).expect("just written"),
        ..PublishProperties::default()
    };
    let sent = Submission {
        properties: properties.clone(),
        ..submission("x", "hello")
    };
    let answer = submit(&world, &key(), &sent);
    assert_eq!((answer.reason, answer.reached), (ReasonCode::Success, 1));
    assert_eq!(answer.ticket, None, "nobody keeps it");
    let publish = a.expect_publish("x", "hello");
    assert_eq!(publish.qos, Qos::AtLeastOnce);
    assert_eq!(publish.properties, properties);
}

#[test]
fn its_submitter_hears_that_nobody_listens() {
    let world = World::new();
    let answer = submit(&world, &key(), &submission("x", "hello"));
    assert_eq!(
        (answer.reason, answer.reached),
        (ReasonCode::NoMatchingSubscribers, 0)
    );
}

#[test]
fn its_answer_waits_for_the_store_when_a_session_keeps_it() {
    let world = World::new();
    let away = world.connect("away").expiry(100).go();
    away.subscribe("x", QOS1);
    away.cut();
    world.withhold_store();
    let first = submit(&world, &key(), &submission("x", "1"))
        .ticket
        .expect("kept");
    let second = submit(&world, &key(), &submission("x", "2"))
        .ticket
        .expect("kept");
    assert!(first < second);
    assert!(world.store_one() && world.store_one());
    let away = world.connect("away").resume().expiry(100).send();
    assert!(world.store_one());
    away.expect_connack();
    let publish = away.expect_publish("x", "1");
    away.acknowledge(&publish);
    away.expect_publish("x", "2");
}

#[test]
fn it_can_be_retained_and_cleared() {
    let world = World::new();
    let retained = |payload| Submission {
        retain: true,
        ..submission("x", payload)
    };
    let answer = submit(&world, &key(), &retained("kept"));
    assert!(answer.ticket.is_some(), "retained messages are stored");
    assert_eq!(world.retained("x"), Some(b"kept".to_vec()));
    assert!(submit(&world, &key(), &retained("")).ticket.is_some());
    assert_eq!(world.retained("x"), None);
    assert_eq!(submit(&world, &key(), &retained("")).ticket, None);
}

#[test]
fn it_expires() {
    let world = World::new();
    let away = world.connect("away").expiry(100).go();
    away.subscribe("x", QOS1);
    away.cut();
    let mut short = submission("x", "short");
    short.properties.message_expiry_secs = Some(10);
    let mut long = submission("x", "long");
    long.properties.message_expiry_secs = Some(60);
    submit(&world, &key(), &short);
    submit(&world, &key(), &long);
    world.advance_secs(20);
    let away = world.connect("away").resume().expiry(100).go();
    let publish = away.expect_publish("x", "long");
    assert_eq!(publish.properties.message_expiry_secs, Some(40));
    assert_eq!(world.dropped(DropReason::Expired), 1);
}

#[test]
fn the_policy_decides_for_whoever_has_no_key() {
    let world = World::with_policy(Policy {
        precedence: Precedence::DenyWins,
        default: Effect::Deny,
        rules: vec![
            allow("mine", "{username}/#", Effect::Allow),
            allow("kept out", "+/secret", Effect::Deny),
        ],
    });
    let ann = identity("ann");
    let told = |name, change: &dyn Fn(&mut Submission<'static>)| {
        let mut sent = submission(name, "x");
        change(&mut sent);
        submit(&world, &ann, &sent).reason
    };
    let plain = |_: &mut Submission<'static>| {};
    assert_eq!(told("ann/x", &plain), ReasonCode::NoMatchingSubscribers);
    let denied_by = |name| submit(&world, &ann, &submission(name, "x")).denied_by;
    assert_eq!(denied_by("ann/x"), None);
    assert_eq!(denied_by("bob/x").as_deref(), Some("default"));
    assert_eq!(denied_by("ann/secret").as_deref(), Some("kept out"));
    assert_eq!(denied_by("$SYS/x").as_deref(), Some("$SYS"));
    assert_eq!(told("bob/x", &plain), ReasonCode::NotAuthorized);
    assert_eq!(told("$SYS/x", &plain), ReasonCode::NotAuthorized);
    assert_eq!(told("ann/x", &|it| it.qos = QOS2), ReasonCode::NotAuthorized);
    assert_eq!(told("ann/x", &|it| it.retain = true), ReasonCode::NotAuthorized);
    assert_eq!(world.counters().denied, 7);
    assert_eq!(world.dropped(DropReason::PublishDenied), 7);
    assert!(
        world
            .take_reports()
            .iter()
            .all(|report| report.contains("Denied"))
    );
    assert_eq!(
        submit(&world, &key(), &submission("bob/x", "x")).reason,
        ReasonCode::NoMatchingSubscribers,
        "a key may"
    );
}

#[test]
fn a_rule_about_client_ids_says_nothing_where_there_is_no_client() {
    let world = World::with_policy(Policy {
        precedence: Precedence::DenyWins,
        default: Effect::Deny,
        rules: vec![allow("own", "{client_id}/#", Effect::Allow)],
    });
    for name in ["/x", "x", "ann/x"] {
        assert_eq!(
            submit(&world, &identity("ann"), &submission(name, "x")).reason,
            ReasonCode::NotAuthorized
        );
    }
}

#[test]
fn a_new_policy_holds_for_the_next_submission() {
    let world = World::new();
    let ann = identity("ann");
    let told = || submit(&world, &ann, &submission("x", "x")).reason;
    assert_eq!(told(), ReasonCode::NoMatchingSubscribers);
    world.step(|org, now, tape| org.handle_policy(Policy::deny_all(), now, tape));
    assert_eq!(told(), ReasonCode::NotAuthorized);
    world.step(|org, now, tape| org.handle_policy(Policy::permit_all(), now, tape));
    assert_eq!(told(), ReasonCode::NoMatchingSubscribers);
}

#[test]
fn permissions_of_many_submitters_are_told_apart() {
    let world = World::with_policy(Policy {
        precedence: Precedence::DenyWins,
        default: Effect::Deny,
        rules: vec![allow("mine", "{username}", Effect::Allow)],
    });
    let names: Vec<_> = (0..40).map(|number| format!("user{number}")).collect();
    for _ in 0..2 {
        for (own, other) in names.iter().zip(names.iter().rev()) {
            let told = |name: &String| {
                let sent = submission(name, "x");
                submit(&world, &identity(own), &sent).reason
            };
            assert_eq!(told(own), ReasonCode::NoMatchingSubscribers);
            assert_eq!(told(other), ReasonCode::NotAuthorized);
        }
    }
}

#[test]
fn quotas_hold_for_it_too() {
    let world = World::with_limits(|limits| limits.publish_messages_per_sec = 2);
    let told = || submit(&world, &key(), &submission("x", "x")).reason;
    assert_eq!(
        [told(), told(), told()],
        [
            ReasonCode::NoMatchingSubscribers,
            ReasonCode::NoMatchingSubscribers,
            ReasonCode::QuotaExceeded
        ]
    );
    let world = World::with_limits(|limits| limits.retained_messages_max = 1);
    for (name, told) in [
        ("a", ReasonCode::NoMatchingSubscribers),
        ("b", ReasonCode::QuotaExceeded),
    ] {
        let sent = Submission {
            retain: true,
            ..submission(name, "x")
        };
        assert_eq!(submit(&world, &key(), &sent).reason, told);
    }
    assert_eq!(world.dropped(DropReason::RetainedFull), 1);
}

#[test]
fn nothing_larger_or_deeper_than_a_client_could_send() {
    let world = World::with_limits(|limits| {
        limits.packet_bytes_max = 20;
        limits.topic_levels_max = 3;
    });
    // Header 2, topic 2 + 1, packet id 2, property length 1: 12 are left.
    let told = |name, payload| submit(&world, &key(), &submission(name, payload)).reason;
    assert_eq!(told("x", "123456789012"), ReasonCode::NoMatchingSubscribers);
    assert_eq!(told("x", "1234567890123"), ReasonCode::PacketTooLarge);
    assert_eq!(told("a/b/c", ""), ReasonCode::NoMatchingSubscribers);
    assert_eq!(told("a/b/c/d", ""), ReasonCode::TopicNameInvalid);
}

#[test]
fn it_is_counted_as_a_message_received() {
    let world = World::new();
    submit(&world, &key(), &submission("x", "12345"));
    let counters = world.counters();
    assert_eq!(counters.messages_received, [0, 1, 0]);
    assert_eq!(counters.bytes_received, 5);
}

#[test]
fn no_local_says_nothing_about_it() {
    let world = World::new();
    let a = world.client("a");
    a.subscribe_it(SubscribeFilter {
        no_local: true,
        ..filter("x", QOS1)
    });
    submit(&world, &key(), &submission("x", "from elsewhere"));
    a.expect_publish("x", "from elsewhere");
}

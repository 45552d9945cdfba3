//! Permissions: asked at publish and at delivery, and changed while clients are connected.

use cloudsignal_broker::policy::{Actions, Effect, Precedence, Rule, UserPattern};
use cloudsignal_broker::sink::DropReason;
use cloudsignal_broker::{Access, Identity, Policy};
use cloudsignal_core::Qos;
use cloudsignal_core::codec::{ReasonCode, Will};

use crate::client::{MessageExt, QOS0, QOS1, QOS2, filter, id, message, will};
use crate::world::{World, identity};

fn rule(pattern: &str, actions: Actions, effect: Effect) -> Rule {
    Rule {
        name: pattern.into(),
        user: UserPattern::Any,
        pattern: pattern.into(),
        binding: None,
        actions,
        effect,
        qos_max: None,
        retain: true,
    }
}

fn allow(pattern: &str, actions: Actions) -> Rule {
    rule(pattern, actions, Effect::Allow)
}

fn deny(pattern: &str, actions: Actions) -> Rule {
    rule(pattern, actions, Effect::Deny)
}

fn only(rules: Vec<Rule>) -> Policy {
    Policy {
        rules,
        ..Policy::deny_all()
    }
}

fn all_but(rules: Vec<Rule>) -> Policy {
    Policy {
        rules,
        ..Policy::permit_all()
    }
}

fn change(world: &World, policy: Policy) {
    world.step(|org, now, tape| org.handle_policy(policy, now, tape));
}

#[test]
fn a_denied_publish_is_refused_and_the_connection_lives() {
    // [MQTT-3.4.2-1] [MQTT-3.5.2-1]; 3.1.1 [MQTT-3.3.5-2]
    let world = World::with_policy(all_but(vec![deny("secret/#", Actions::PUBLISH)]));
    let a = world.client("a");
    a.subscribe("secret/#", QOS2);
    let b = world.client("b");
    assert_eq!(b.publish_qos1("secret/x", "no", 1), ReasonCode::NotAuthorized);
    b.publish_it(message("secret/x", "no").at(QOS2, 2));
    assert_eq!(b.expect_pubrec().reason, ReasonCode::NotAuthorized);
    b.publish("secret/x", "no");
    b.publish_it(message("secret/x", "no").at(QOS1, 1).retained());
    assert_eq!(b.expect_puback().reason, ReasonCode::NotAuthorized);

    let old = world.connect("old").v311().go();
    old.publish_qos1("secret/x", "no", 1);
    old.publish_qos2("secret/x", "no", 2);
    a.expect_nothing();
    assert_eq!(world.retained("secret/x"), None);
    assert_eq!((b.closed(), old.closed()), (None, None));
    assert_eq!(world.counters().denied, 6);
    assert_eq!(world.dropped(DropReason::PublishDenied), 6);
    assert!(
        world
            .take_reports()
            .join("\n")
            .contains("action: \"publish\", topic: \"secret/x\"")
    );
}

#[test]
fn a_rule_may_limit_quality_and_retention() {
    let mut limited = allow("x", Actions::PUBLISH);
    limited.qos_max = Some(Qos::AtLeastOnce);
    limited.retain = false;
    let world = World::with_policy(only(vec![limited]));
    let b = world.client("b");
    assert_eq!(b.publish_qos1("x", "", 1), ReasonCode::NoMatchingSubscribers);
    b.publish_it(message("x", "").at(QOS2, 1));
    assert_eq!(b.expect_pubrec().reason, ReasonCode::NotAuthorized);
    b.publish_it(message("x", "").at(QOS1, 1).retained());
    assert_eq!(b.expect_puback().reason, ReasonCode::NotAuthorized);
}

#[test]
fn a_denied_subscribe_is_refused_and_the_others_are_granted() {
    // [MQTT-3.8.4-7] [MQTT-3.9.3-2]
    let mut limited = allow("low/#", Actions::SUBSCRIBE);
    limited.qos_max = Some(Qos::AtMostOnce);
    let world = World::with_policy(only(vec![allow("open/#", Actions::SUBSCRIBE), limited]));
    let filters = || {
        ["open/+", "#", "low/x", "$share/g/closed"]
            .map(|text| filter(text, QOS2))
            .to_vec()
    };
    let client = world.client("a");
    assert_eq!(
        client.subscribe_all(filters(), None).reasons,
        [
            ReasonCode::GrantedQos2,
            ReasonCode::NotAuthorized,
            ReasonCode::Success,
            ReasonCode::NotAuthorized
        ]
    );
    let old = world.connect("old").v311().go();
    let reasons = old.subscribe_all(filters(), None).reasons;
    assert_eq!(reasons[1], ReasonCode::UnspecifiedError);
    assert_eq!(world.counters().subscriptions_now, 4);
}

#[test]
fn what_a_deny_rule_takes_out_of_a_filter_is_not_delivered() {
    let world = World::with_policy(all_but(vec![deny("a/secret/#", Actions::SUBSCRIBE)]));
    let a = world.client("a");
    a.subscribe("a/#", QOS1);
    a.subscribe("$share/g/+/#", QOS1);
    let b = world.client("b");
    b.publish("a/secret/x", "no");
    b.publish("a/open", "yes");
    assert_eq!(a.payloads(), ["yes", "yes"]);
}

#[test]
fn retained_messages_are_asked_about_too() {
    let world = World::with_policy(all_but(vec![deny("a/2", Actions::SUBSCRIBE)]));
    let b = world.client("b");
    for name in ["a/1", "a/2", "a/3"] {
        b.publish_it(message(name, name).retained());
    }
    let a = world.client("a");
    a.subscribe("a/#", QOS0);
    assert_eq!(a.payloads(), ["a/1", "a/3"]);
}

#[test]
fn a_message_goes_to_a_member_who_may_have_it() {
    let mut secret = deny("x", Actions::SUBSCRIBE);
    secret.user = UserPattern::Exact("ann".into());
    let world = World::with_policy(all_but(vec![secret]));
    let ann = world.connect("a").user("ann").go();
    ann.subscribe("$share/g/#", QOS1);
    let bob = world.connect("b").user("bob").go();
    bob.subscribe("$share/g/#", QOS1);
    let p = world.client("p");
    for _ in 0..3 {
        p.publish("x", "secret");
    }
    assert_eq!((ann.payloads().len(), bob.payloads().len()), (0, 3));
}

#[test]
fn a_changed_policy_holds_at_once_for_publishers_and_subscribers() {
    let world = World::new();
    let (a, b) = (world.client("a"), world.client("b"));
    a.subscribe("x", QOS1);
    b.publish_qos1("x", "1", 1);
    assert_eq!(a.payloads(), ["1"]);
    change(&world, all_but(vec![deny("x", Actions::SUBSCRIBE)]));
    assert_eq!(b.publish_qos1("x", "2", 1), ReasonCode::NoMatchingSubscribers);
    a.expect_nothing();
    change(&world, all_but(vec![deny("x", Actions::PUBLISH)]));
    assert_eq!(b.publish_qos1("x", "3", 1), ReasonCode::NotAuthorized);
    change(&world, Policy::permit_all());
    assert_eq!(b.publish_qos1("x", "4", 1), ReasonCode::Success);
    assert_eq!(a.payloads(), ["4"], "the subscription was never lost");
}

#[test]
fn a_policy_whose_order_counts_holds_at_once_too() {
    let world = World::new();
    let a = world.connect("a").identity(identity("a")).go();
    let b = world.client("b");
    a.subscribe("#", QOS0);
    let ordered = |rules| Policy {
        precedence: Precedence::FirstMatch,
        ..only(rules)
    };
    let mine = || UserPattern::Exact("a".into());
    let rules = |first: Rule| vec![first, deny("x/#", Actions::SUBSCRIBE), allow("#", Actions::BOTH)];
    change(
        &world,
        ordered(rules(Rule {
            user: mine(),
            ..allow("x/mine", Actions::SUBSCRIBE)
        })),
    );
    for name in ["x/mine", "x/other", "y", "$odd/1"] {
        b.publish(name, name);
    }
    assert_eq!(a.payloads(), ["x/mine", "y"]);
    change(&world, ordered(rules(deny("y", Actions::PUBLISH))));
    for name in ["x/mine", "y", "z"] {
        b.publish(name, name);
    }
    assert_eq!(a.payloads(), ["z"]);
}

#[test]
fn what_waits_and_is_no_longer_allowed_is_dropped() {
    let world = World::new();
    let a = world.connect("a").expiry(100).go();
    a.subscribe("#", QOS1);
    a.cut();
    let b = world.client("b");
    b.publish_qos1("x", "no longer", 1);
    b.publish_qos1("y", "still", 1);
    change(&world, all_but(vec![deny("x", Actions::SUBSCRIBE)]));
    assert_eq!(world.dropped(DropReason::DeliveryDenied), 1);
    let a = world.connect("a").resume().expiry(100).go();
    assert_eq!(a.payloads(), ["still"]);
}

#[test]
fn retained_messages_that_are_still_to_come_are_asked_about_again() {
    let world = World::new();
    let b = world.client("b");
    for name in ["x/1", "x/2", "x/3"] {
        b.publish_it(message(name, name).at(QOS1, 1).retained());
    }
    let a = world.connect("a").receive_max(1).go();
    a.subscribe("x/#", QOS1);
    assert_eq!(a.payloads(), ["x/1"]);
    change(&world, all_but(vec![deny("x/2", Actions::SUBSCRIBE)]));
    a.puback(id(1));
    assert_eq!(a.payloads(), ["x/3"]);
}

#[test]
fn who_comes_back_with_fewer_rights_gets_less() {
    let mut staff = allow("staff/#", Actions::BOTH);
    staff.pattern = "{role}/#".into();
    let world = World::with_policy(only(vec![staff, allow("open/#", Actions::BOTH)]));
    let with_role = |role: &str| Identity {
        claims: vec![("role".into(), role.into())],
        ..identity("ann")
    };
    let a = world.connect("a").expiry(100).identity(with_role("staff")).go();
    a.subscribe("staff/#", QOS1);
    a.subscribe("open/#", QOS1);
    a.cut();
    let b = world.connect("b").identity(with_role("staff")).go();
    b.publish_qos1("staff/x", "for staff", 1);
    b.publish_qos1("open/x", "for everybody", 1);
    let a = world
        .connect("a")
        .resume()
        .expiry(100)
        .identity(with_role("guest"))
        .go();
    assert_eq!(a.payloads(), ["for everybody"]);
    b.publish_qos1("staff/x", "for staff", 1);
    a.expect_nothing();
    a.cut();
    let a = world
        .connect("a")
        .resume()
        .expiry(100)
        .identity(with_role("staff"))
        .go();
    b.publish_qos1("staff/x", "for staff again", 1);
    a.payloads();
    assert_eq!(world.dropped(DropReason::DeliveryDenied), 1);
}

#[test]
fn patterns_bind_to_who_the_client_is() {
    let world = World::with_policy(only(vec![
        allow("users/{username}/#", Actions::BOTH),
        allow("devices/{client_id}/+", Actions::BOTH),
    ]));
    let ann = world.connect("a1").user("ann").go();
    ann.subscribe("users/ann/#", QOS0);
    assert_eq!(
        ann.subscribe_it(filter("users/+/x", QOS0)),
        ReasonCode::NotAuthorized
    );
    assert_eq!(
        ann.subscribe_it(filter("users/bob/x", QOS0)),
        ReasonCode::NotAuthorized
    );
    ann.subscribe("devices/a1/x", QOS0);
    let sly = world.connect("+").user("sly/../ann").go();
    assert_eq!(
        sly.subscribe_it(filter("devices/+/x", QOS0)),
        ReasonCode::NotAuthorized
    );
}

#[test]
fn full_access_needs_no_rule() {
    let world = World::with_policy(Policy::deny_all());
    let full = Identity {
        access: Access::Full,
        ..identity("dev")
    };
    let client = world.connect("a").identity(full).go();
    client.subscribe("#", QOS0);
    assert_eq!(client.publish_qos1_to_itself("x", "hello"), ReasonCode::Success);
}

#[test]
fn a_will_is_asked_about_when_it_is_published() {
    let world = World::new();
    let watcher = world.client("watcher");
    watcher.subscribe("wills/#", QOS0);
    let with_will = |name: &'static str| {
        let will = Will {
            qos: QOS1,
            ..will("wills/m", "gone")
        };
        world.connect(name).will(will).go()
    };
    let (early, late) = (with_will("early"), with_will("late"));
    early.cut();
    watcher.expect_publish("wills/m", "gone");
    change(&world, all_but(vec![deny("wills/#", Actions::PUBLISH)]));
    late.cut();
    watcher.expect_nothing();
}

#[test]
fn what_waits_for_its_packet_id_to_be_stored_is_no_longer_sent_when_it_is_no_longer_allowed() {
    let world = World::new();
    let a = world.connect("a").resume().expiry(1_000).go();
    let b = world.client("b");
    for name in ["secret/x", "open/x"] {
        a.subscribe(name, QOS2);
    }
    world.withhold_store();
    b.publish_it(message("secret/x", "no").at(QOS2, 1));
    b.publish_it(message("open/x", "yes").at(QOS2, 2));
    b.publish_it(message("secret/x", "neither").at(QOS1, 3));
    change(&world, all_but(vec![deny("secret/#", Actions::BOTH)]));
    change(&world, Policy::permit_all());
    while world.store_one() {}
    assert_eq!(a.payloads(), ["yes"], "it does not come back either");
    assert_eq!(world.dropped(DropReason::DeliveryDenied), 2);
}

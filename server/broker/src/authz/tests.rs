use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::identity::{Credential, OrgId};
use crate::policy::{Actions, Policy, Precedence, Rule, UserPattern};
use crate::scope::{Scope, ScopePart};

fn identity(username: &str) -> Identity {
    Identity {
        org: OrgId::new("org_test"),
        username: username.into(),
        principal: username.into(),
        credential: Credential::Password {
            user: username.into(),
        },
        claims: vec![
            ("email".into(), "ada@example.com".into()),
            ("team".into(), "a/b".into()),
        ],
        expires_at: None,
        access: Access::Policy,
        scope: None,
    }
}

fn rule(pattern: &str, publish: bool, subscribe: bool, effect: Effect) -> Rule {
    Rule {
        name: "rules[0]".into(),
        user: UserPattern::Any,
        pattern: pattern.into(),
        binding: None,
        actions: Actions { publish, subscribe },
        effect,
        qos_max: None,
        retain: true,
    }
}

/// A test ends soon: nobody has to hold it.
fn compiled(policy: Policy) -> &'static CompiledPolicy {
    Box::leak(Box::new(CompiledPolicy::new(policy)))
}

fn grants_for(
    policy: &'static CompiledPolicy,
    identity: &Identity,
    client_id: &'static str,
) -> Grants<'static> {
    Grants::new(policy, Box::leak(Box::new(identity.clone())), client_id)
}

fn grants(rules: Vec<Rule>) -> Grants<'static> {
    grants_for(
        compiled(Policy {
            rules,
            ..Policy::deny_all()
        }),
        &identity("ada"),
        "client-1",
    )
}

fn topic(name: &str) -> TopicName<'_> {
    TopicName::parse(name).expect("a topic")
}

fn filter(name: &str) -> TopicFilter<'_> {
    TopicFilter::parse(name).expect("a filter")
}

fn may_publish(grants: &Grants<'_>, name: &str) -> bool {
    grants.permit_publish(topic(name), Qos::AtMostOnce, false).is_ok()
}

#[test]
fn nothing_is_allowed_without_a_rule() {
    let grants = grants(vec![]);
    assert!(!may_publish(&grants, "a"));
    assert_eq!(
        grants.permit_subscribe(filter("a"), Qos::AtMostOnce),
        Err(Denied::Policy)
    );
    assert!(!grants.allows_delivery(topic("a")));
}

#[test]
fn bindings_stand_for_one_level_of_this_session() {
    let own = grants(vec![rule(
        "users/{username}/{client_id}/{email}",
        true,
        false,
        Effect::Allow,
    )]);
    assert!(may_publish(&own, "users/ada/client-1/ada@example.com"));
    assert!(!may_publish(&own, "users/bob/client-1/ada@example.com"));
}

#[test]
fn a_value_with_a_separator_or_wildcard_never_expands() {
    assert!(!may_publish(
        &grants(vec![rule("t/{team}/x", true, false, Effect::Allow)]),
        "t/a/b/x"
    ));
    let policy = compiled(Policy {
        rules: vec![rule("users/{username}", true, true, Effect::Allow)],
        ..Policy::deny_all()
    });
    for name in ["+", "#", "a/b", ""] {
        let grants = grants_for(policy, &identity(name), "c");
        assert!(!may_publish(&grants, "users/x"), "{name}");
        assert!(
            grants
                .permit_subscribe(filter("users/#"), Qos::AtMostOnce)
                .is_err(),
            "{name}"
        );
    }
}

#[test]
fn a_deny_rule_whose_value_cannot_be_used_denies_the_whole_level() {
    for client_id in ["+", "a/b", "", "#"] {
        let policy = compiled(Policy {
            rules: vec![rule("in/x-{client_id}/{team}", true, true, Effect::Deny)],
            ..Policy::permit_all()
        });
        let grants = grants_for(policy, &identity("ada"), client_id);
        assert!(!may_publish(&grants, "in/anything/else"), "{client_id}");
        assert!(!grants.allows_delivery(topic("in/anything/else")), "{client_id}");
        assert!(may_publish(&grants, "in/anything"));
    }
}

#[test]
fn a_value_does_not_lead_to_topics_that_begin_with_a_dollar() {
    let policy = compiled(Policy {
        rules: vec![rule("{client_id}/x/#", true, true, Effect::Allow)],
        ..Policy::deny_all()
    });
    for client_id in ["$share", "$SYS", "$spaces"] {
        let grants = grants_for(policy, &identity("ada"), client_id);
        for wanted in ["#", "$SYS/x/#", "$spaces/x/1", "$share/g/secret"] {
            let refused = grants.permit_subscribe(filter(wanted), Qos::AtMostOnce);
            assert_eq!(refused, Err(Denied::Policy), "{client_id}: {wanted}");
        }
    }
}

#[test]
fn the_first_match_wins_where_order_counts() {
    let policy = Policy {
        precedence: Precedence::FirstMatch,
        rules: vec![
            rule("a/open", true, true, Effect::Allow),
            rule("a/+", true, true, Effect::Deny),
            rule("#", true, true, Effect::Allow),
        ],
        default: Effect::Deny,
    };
    let grants = grants_for(compiled(policy), &identity("ada"), "c");
    let asked = [
        ("a/open", true),
        ("a/b", false),
        ("a/b/c", true),
        ("$spaces/1", true),
    ];
    for (name, expected) in asked {
        assert_eq!(may_publish(&grants, name), expected, "{name}");
    }
    let decided = |name| grants.decide_subscribe(filter(name), Qos::AtMostOnce);
    let (decision, permit) = decided("a/#");
    assert_eq!(decision.by, Decider::Rule(2));
    assert!(!permit.covered(), "rule 1 takes something out");
    assert_eq!(decided("a/b").0.by, Decider::Rule(1));
    assert_eq!(decided("a/open").0.by, Decider::Rule(0));
    assert!(decided("b/#").1.covered(), "rule 1 is about other topics");
    assert_eq!(grants.decide_delivery(topic("a/b")).by, Decider::Rule(1));
}

#[test]
fn self_is_the_bound_claim() {
    let mut bound = rule("/{$self}/inbox", false, true, Effect::Allow);
    bound.binding = Some("email".into());
    let grants = grants(vec![bound]);
    assert!(
        grants
            .permit_subscribe(filter("/ada@example.com/inbox"), Qos::AtLeastOnce)
            .is_ok()
    );
    assert!(
        grants
            .permit_subscribe(filter("/bob@example.com/inbox"), Qos::AtLeastOnce)
            .is_err()
    );
}

#[test]
fn a_filter_must_be_covered_whole() {
    let grants = grants(vec![rule("data/+/out", false, true, Effect::Allow)]);
    assert!(
        grants
            .permit_subscribe(filter("data/7/out"), Qos::AtMostOnce)
            .is_ok()
    );
    assert!(
        grants
            .permit_subscribe(filter("data/+/out"), Qos::AtMostOnce)
            .is_ok()
    );
    assert!(
        grants
            .permit_subscribe(filter("data/#"), Qos::AtMostOnce)
            .is_err()
    );
    assert!(
        grants
            .permit_subscribe(filter("$share/g/data/+/out"), Qos::AtMostOnce)
            .is_ok()
    );
    assert!(
        grants
            .permit_subscribe(filter("$share/g/#"), Qos::AtMostOnce)
            .is_err()
    );
}

#[test]
fn deny_wins_whatever_the_order() {
    for flip in [false, true] {
        let mut rules = vec![
            rule("a/#", true, true, Effect::Allow),
            rule("a/secret/#", true, true, Effect::Deny),
        ];
        if flip {
            rules.reverse();
        }
        let grants = grants(rules);
        assert!(may_publish(&grants, "a/open"));
        assert!(!may_publish(&grants, "a/secret"));
        let permit = grants
            .permit_subscribe(filter("a/#"), Qos::AtMostOnce)
            .expect("covered by the allow rule");
        assert!(!permit.covered(), "deliveries have to be asked about");
        assert!(grants.allows_delivery(topic("a/open")));
        assert!(!grants.allows_delivery(topic("a/secret/1")));
        assert!(
            grants
                .permit_subscribe(filter("a/secret/+"), Qos::AtMostOnce)
                .is_err()
        );
    }
}

#[test]
fn what_was_allowed_last_allows_nothing_else() {
    let mut limited = rule("a", true, true, Effect::Allow);
    limited.qos_max = Some(Qos::AtMostOnce);
    limited.retain = false;
    let grants = grants(vec![limited]);
    let long = "x".repeat(2 * REMEMBERED_TOPIC_BYTES_MAX);
    for _ in 0..2 {
        assert!(grants.permit_publish(topic("a"), Qos::AtMostOnce, false).is_ok());
        assert!(
            grants
                .permit_publish(topic("a"), Qos::AtLeastOnce, false)
                .is_err()
        );
        assert!(grants.permit_publish(topic("a"), Qos::AtMostOnce, true).is_err());
        assert!(grants.permit_publish(topic("b"), Qos::AtMostOnce, false).is_err());
        assert!(
            grants
                .permit_publish(topic(&long), Qos::AtMostOnce, false)
                .is_err()
        );
    }
}

#[test]
fn qos_and_retain_can_be_limited() {
    let mut limited = rule("a", true, true, Effect::Allow);
    limited.qos_max = Some(Qos::AtLeastOnce);
    limited.retain = false;
    let grants = grants(vec![limited]);
    assert!(grants.permit_publish(topic("a"), Qos::AtLeastOnce, false).is_ok());
    assert!(
        grants
            .permit_publish(topic("a"), Qos::ExactlyOnce, false)
            .is_err()
    );
    assert!(grants.permit_publish(topic("a"), Qos::AtMostOnce, true).is_err());
    let permit = grants
        .permit_subscribe(filter("a"), Qos::ExactlyOnce)
        .expect("allowed");
    assert_eq!(permit.qos(), Qos::AtLeastOnce);
}

#[test]
fn a_scope_narrows_and_never_widens() {
    let part = |pattern: &str, publish, subscribe| ScopePart {
        filter: filter(pattern).to_owned(),
        actions: Actions { publish, subscribe },
    };
    let scope = Scope {
        parts: [part("in/+", true, false), part("out/#", false, true)].into(),
    };
    let scoped = |policy: &Policy, access| {
        let mut identity = identity("ada");
        (identity.access, identity.scope) = (access, Some(Arc::new(scope.clone())));
        grants_for(compiled(policy.clone()), &identity, "c")
    };
    for access in [Access::Policy, Access::Full] {
        let grants = scoped(&Policy::permit_all(), access);
        assert!(may_publish(&grants, "in/a"));
        let refused = grants.permit_publish(topic("out/a"), Qos::AtMostOnce, false);
        assert_eq!(refused.unwrap_err(), Denied::Scope);
        let permit = grants
            .permit_subscribe(filter("out/+/x"), Qos::ExactlyOnce)
            .unwrap();
        assert!(permit.covered(), "no delivery under it can leave the scope");
        for outside in ["in/a", "#", "+/a", "$share/g/in/a"] {
            let refused = grants.permit_subscribe(filter(outside), Qos::AtMostOnce);
            assert_eq!(refused, Err(Denied::Scope), "{outside}");
        }
        assert!(grants.allows_delivery(topic("out/a")));
        assert!(!grants.allows_delivery(topic("in/a")));
    }
    let grants = scoped(&Policy::deny_all(), Access::Policy);
    assert!(!may_publish(&grants, "in/a") && !grants.allows_delivery(topic("out/a")));
}

#[test]
fn sys_is_ours_even_under_full_access() {
    let mut full = identity("ada");
    full.access = Access::Full;
    let grants = grants_for(compiled(Policy::deny_all()), &full, "c");
    assert!(may_publish(&grants, "anything"));
    assert_eq!(
        grants
            .permit_publish(topic("$SYS/x"), Qos::AtMostOnce, false)
            .unwrap_err(),
        Denied::Sys
    );
    assert!(PublishPermit::of_broker(topic("$SYS/x")).is_some());
    assert!(PublishPermit::of_broker(topic("x")).is_none());
}

#[test]
fn bindings_are_listed_for_the_validator() {
    assert_eq!(bindings("/{email}/{$self}/x"), ["email", "$self"]);
}

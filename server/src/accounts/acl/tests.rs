//! Documents, good and faulty.

use serde_json::{Value, json};

use cloudsignal_broker::Policy;
use cloudsignal_broker::policy::{Actions, Effect, UserPattern};
use cloudsignal_core::Qos;

use super::parse::compile;
use super::{DOCUMENT_BYTES_MAX, FAULTS_MAX, PATTERN_BYTES_MAX, RULES_MAX};

fn faults(source: &Value) -> Vec<String> {
    compile(source)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn with_rule(rule: &Value) -> Value {
    json!({ "version": "2.1", "rules": [rule] })
}

#[test]
fn a_whole_document_compiles_in_order() {
    let (policy, warnings) = compile(&json!({
        "version": "2.1",
        "default": "allow",
        "publishers": [{ "user": "reporter", "topic": "reports/#" }],
        "rules": [
            { "user": "sensor-*", "topic": "data/{username}/#", "action": "pub", "qos_max": 1, "retain": false },
            { "topic": "inbox/{$self}", "action": "sub", "binding": "email" },
            { "user": "*", "topic": "secret/#", "action": "pub+sub", "effect": "deny" },
        ],
        "global": [{ "topic": "public/#", "action": "sub" }],
    }))
    .unwrap();
    assert_eq!(policy.default, Effect::Allow);
    let names: Vec<_> = policy.rules.iter().map(|rule| &*rule.name).collect();
    assert_eq!(
        names,
        ["global[0]", "rules[0]", "rules[1]", "rules[2]", "publishers[0]"]
    );
    let sensor = &policy.rules[1];
    assert_eq!(sensor.user, UserPattern::Prefix("sensor-".into()));
    assert_eq!(
        sensor.actions,
        Actions {
            publish: true,
            subscribe: false
        }
    );
    assert_eq!((sensor.qos_max, sensor.retain), (Some(Qos::AtLeastOnce), false));
    assert_eq!(policy.rules[2].binding.as_deref(), Some("email"));
    assert_eq!(
        (policy.rules[3].effect, &policy.rules[3].user),
        (Effect::Deny, &UserPattern::Any)
    );
    assert_eq!(policy.rules[4].user, UserPattern::Exact("reporter".into()));
    assert!(policy.rules[4].actions.publish && !policy.rules[4].actions.subscribe);
    assert!(warnings.is_empty());
}

#[test]
fn a_policy_denies_by_default() {
    let (policy, _) = compile(&json!({ "version": "2" })).unwrap();
    assert_eq!(policy, Policy::deny_all());
}

#[test]
fn what_is_not_a_policy_is_refused() {
    assert_eq!(
        faults(&json!([])),
        ["$: the policy is not an object; write {\"version\": \"2.1\", …}"]
    );
    assert_eq!(
        faults(&json!({})),
        ["version: missing; write \"version\": \"2.1\""]
    );
    assert_eq!(
        faults(&json!({ "version": 3 })),
        ["version: 3 is not a version we know; write \"2.1\""]
    );
    assert_eq!(
        faults(&json!({ "version": "2.1", "rule": [] })),
        ["$: \"rule\" has no meaning here; use one of: version, default, global, rules, publishers"]
    );
    assert_eq!(
        faults(&json!({ "version": "2.1", "rules": {} })),
        ["rules: {} is not a list; write [ … ]"]
    );
    assert_eq!(
        faults(&json!({ "version": "2.1", "default": "maybe" })),
        ["default: \"maybe\" is not an effect; write \"allow\" or \"deny\""]
    );
}

/// Rules, and how their first fault begins.
const FAULTY_RULES: &[(&str, &str)] = &[
    (r#"7"#, "rules[0]: 7 is not a rule"),
    (r#"{"action": "pub"}"#, "rules[0].topic: missing"),
    (
        r#"{"topic": 1, "action": "pub"}"#,
        "rules[0].topic: 1 is not text",
    ),
    (r#"{"topic": "a"}"#, "rules[0].action: missing"),
    (
        r#"{"topic": "a", "action": "publish"}"#,
        "rules[0].action: \"publish\" is not an action",
    ),
    (
        r#"{"topic": "a", "action": "pub", "user": "a*b"}"#,
        "rules[0].user: * stands in the middle",
    ),
    (
        r#"{"topic": "a", "action": "pub", "user": ""}"#,
        "rules[0].user: empty or too long",
    ),
    (
        r#"{"topic": "a", "action": "pub", "qos_max": 3}"#,
        "rules[0].qos_max: 3 is not a QoS",
    ),
    (
        r#"{"topic": "a", "action": "pub", "retain": 1}"#,
        "rules[0].retain: 1 is not a yes or no",
    ),
    (
        r#"{"topic": "a", "action": "pub", "permission": 1}"#,
        "rules[0]: \"permission\" has no meaning here",
    ),
    (r#"{"topic": "a/#/b", "action": "pub"}"#, "rules[0].topic: "),
    (r#"{"topic": "", "action": "pub"}"#, "rules[0].topic: "),
    (
        r#"{"topic": "$share/g/a", "action": "sub"}"#,
        "rules[0].topic: a shared subscription is not a topic",
    ),
    (
        r#"{"topic": "a/{username", "action": "pub"}"#,
        "rules[0].topic: a { without its }",
    ),
    (
        r#"{"topic": "a/username}", "action": "pub"}"#,
        "rules[0].topic: a } without its {",
    ),
    (
        r#"{"topic": "a}/{username}", "action": "pub"}"#,
        "rules[0].topic: a { without its }",
    ),
    (
        r#"{"topic": "a/{}", "action": "pub"}"#,
        "rules[0].topic: not a name of a value in { }",
    ),
    (
        r#"{"topic": "a/{a b}", "action": "pub"}"#,
        "rules[0].topic: not a name of a value in { }",
    ),
    (
        r#"{"topic": "a/{$self}", "action": "pub"}"#,
        "rules[0].topic: {$self} without a binding",
    ),
    (
        r#"{"topic": "a", "action": "pub", "binding": 1}"#,
        "rules[0].binding: 1 is not the name of a claim",
    ),
    (
        r#"{"topic": "a/{client_id}", "action": "pub", "effect": "deny"}"#,
        "rules[0].topic: a deny rule would say nothing",
    ),
    (
        r#"{"topic": "a", "action": "pub", "effect": "deny", "qos_max": 1}"#,
        "rules[0]: a deny rule has qos_max or retain",
    ),
];

#[test]
fn every_fault_of_a_rule_is_named_with_its_place() {
    for (rule, expected) in FAULTY_RULES {
        let faults = faults(&with_rule(&serde_json::from_str(rule).unwrap()));
        assert!(faults[0].starts_with(expected), "{rule}: {faults:?}");
    }
    let publisher = json!({ "version": "2.1", "publishers": [{ "topic": "a" }] });
    assert!(faults(&publisher)[0].starts_with("publishers[0].user: missing"));
}

#[test]
fn all_faults_are_told_together_but_boundedly() {
    let rules: Vec<_> = (0..100).map(|_| json!({})).collect();
    assert_eq!(
        faults(&json!({ "version": "2.1", "rules": rules })).len(),
        FAULTS_MAX
    );
    let two = json!({ "version": "2.1", "rules": [{ "topic": "a" }, { "action": "pub" }] });
    assert_eq!(faults(&two).len(), 2);
}

#[test]
fn too_much_is_refused() {
    let many: Vec<_> = (0..=RULES_MAX)
        .map(|_| json!({ "topic": "a", "action": "pub" }))
        .collect();
    assert!(faults(&json!({ "version": "2.1", "rules": many }))[0].contains("more than 1000 rules"));
    let long = "x".repeat(DOCUMENT_BYTES_MAX);
    assert!(faults(&json!({ "version": long }))[0].contains("larger than"));
    let pattern = json!({ "topic": "x".repeat(PATTERN_BYTES_MAX + 1), "action": "pub" });
    assert!(faults(&with_rule(&pattern))[0].contains("longer than"));
}

#[test]
fn a_claim_that_nobody_may_have_is_only_a_warning() {
    let (_, warnings) = compile(&with_rule(&json!({ "topic": "a/{usrname}", "action": "pub" }))).unwrap();
    assert!(
        warnings[0].to_string().contains("check its spelling"),
        "{warnings:?}"
    );
    let (_, warnings) = compile(&with_rule(&json!({ "topic": "a/{email}", "action": "pub" }))).unwrap();
    assert!(warnings.is_empty());
}

//! Documents, good and faulty.

mod documentation;

use serde_json::{Value, json};

use cloudsignal_broker::policy::{Actions, Effect, UserPattern};
use cloudsignal_broker::{OrgId, Policy};
use cloudsignal_core::Qos;

use super::parse::compile;
use super::{
    DOCUMENT_BYTES_MAX, FAULTS_MAX, Format, PATTERN_BYTES_MAX, PolicyDocument, PolicyFault, Preset,
    RULES_MAX, read_document, simulate,
};

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
    let shadowed = warnings
        .iter()
        .filter(|warning| warning.problem.contains("the default allows"));
    assert_eq!(shadowed.count(), 4, "{warnings:?}");
}

#[test]
fn a_policy_denies_by_default() {
    let (policy, _) = compile(&json!({ "version": "2" })).unwrap();
    assert_eq!(policy, Policy::deny_all());
}

#[test]
fn what_is_not_a_policy_is_refused() {
    assert_eq!(
        faults(&json!(7)),
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
        r#"{"topic": "a", "action": "pub", "qos": [0, 2]}"#,
        "rules[0].qos: [0,2] is not a list of QoS that begins at 0",
    ),
    (
        r#"{"topic": "a/x-{channel}", "action": "pub"}"#,
        "rules[0].topic: a channel that nobody is granted is a part of a level",
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

#[test]
fn faults_of_the_other_formats_have_their_place_too() {
    for (source, expected) in [
        (
            json!([{ "topic": "a", "permission": "publish" }]),
            "[0].user: missing",
        ),
        (
            json!([{ "user": "%", "topic": "a", "permission": "read" }]),
            "[0].permission: \"read\" is not a permission; write \"publish\", \"subscribe\", \"pubsub\" or \"deny\"",
        ),
        (
            json!([{ "name": "x", "rules": [7] }]),
            "[0].rules[0]: 7 is not a rule",
        ),
        (
            json!([{ "priority": "1", "permission": "allow", "action": "both", "topic": "a" }]),
            "[0].priority: missing",
        ),
        (
            json!([{ "priority": 1, "action": "both", "topic": "a" }]),
            "[0].permission: missing",
        ),
        (
            json!({ "rules": [{ "topic": "a", "permission": "pub" }] }),
            "rules[0].permission: \"pub\" is not a permission",
        ),
        (json!("topic read a\nuser\n"), "line 2: empty or too long"),
        (
            json!("allow all"),
            "line 1: does not begin with user, topic, pattern or #",
        ),
        (json!("topic read"), "line 1: names no topic"),
        (json!("pattern read a/{x"), "line 1: a { without its }"),
        (
            json!({ "version": "2", "rules": [{ "topic": "{$self}", "action": "pub", "binding": "email" }] }),
            "rules[0].topic: {$self} is not known in version 2",
        ),
    ] {
        let faults = faults(&source);
        assert!(faults[0].starts_with(expected), "{source}: {faults:?}");
    }
    let exclusive =
        json!({ "rules": [{ "topic": "a", "permission": "both" }], "exclusive_subscriptions": true });
    assert!(faults(&exclusive)[0].starts_with("exclusive_subscriptions: "));
}

#[test]
fn the_formats_are_told_apart() {
    let rule = json!({ "user": "%", "topic": "a", "permission": "publish" });
    for (source, format) in [
        (json!({ "version": "2" }), Format::Policy),
        (json!({}), Format::Policy),
        (json!({ "rules": [] }), Format::Dashboard),
        (json!({ "rules": [rule] }), Format::Dashboard),
        (json!({ "rules": [{ "action": "pub" }] }), Format::Policy),
        (json!([]), Format::RuleSets),
        (json!([rule]), Format::RuleSets),
        (json!({ "rule_sets": [rule] }), Format::RuleSets),
        (json!([{ "priority": 1 }]), Format::PriorityList),
        (json!({ "rules": [{ "priority": 1 }] }), Format::PriorityList),
        (json!("topic a"), Format::Text),
    ] {
        assert_eq!(Format::of(&source), format, "{source}");
    }
}

#[test]
fn a_document_is_kept_as_it_was_given_and_its_etag_follows_it() {
    let written = r#"{"version":"2.1","rules":[{"topic":"b","action":"sub"},{"action":"pub","topic":"a"}],"default":"deny"}"#;
    let document = PolicyDocument::parse(read_document(written.as_bytes()).unwrap()).unwrap();
    assert_eq!(document.source().to_string(), written);
    let other = PolicyDocument::of_preset(Preset::Blank);
    assert_ne!(document.etag(), other.etag());
    assert_eq!(
        document.etag(),
        PolicyDocument::parse(document.source().clone()).unwrap().etag()
    );
    let lines = "# ours\npattern read  x/%u\n";
    let text = PolicyDocument::parse(read_document(lines.as_bytes()).unwrap()).unwrap();
    assert_eq!(text.source(), lines);
    assert_eq!(&*text.policy().rules[0].pattern, "x/{username}");
    assert!(read_document(b"{").unwrap_err().problem.contains("not JSON"));
}

#[test]
fn a_channel_is_any_channel_unless_a_grant_is_required() {
    let rule = |grant: bool| json!({ "rules": [{ "topic": "chat/{channel}/#", "permission": "both", "require_grant": grant }] });
    let (policy, warnings) = compile(&rule(false)).unwrap();
    assert_eq!(&*policy.rules[0].pattern, "chat/+/#");
    assert_eq!(warnings[0].problem, "channel binding without require_grant");
    assert_eq!(warnings[0].path, "rules[0]");
    let (policy, warnings) = compile(&rule(true)).unwrap();
    assert_eq!(&*policy.rules[0].pattern, "chat/{channel}/#");
    assert!(warnings.is_empty(), "{warnings:?}");
    let bound = json!({ "version": "2.1", "rules": [{ "topic": "c/{$self}", "action": "sub", "binding": "channel" }] });
    assert_eq!(&*compile(&bound).unwrap().0.rules[0].pattern, "c/+");
}

/// Under a preset: may this user do this to this topic?
const PRESET_ANSWERS: &[(Preset, &str, &str, &str, bool)] = &[
    (Preset::PermitAll, "ada", "publish", "$spaces/1/cursors", true),
    (Preset::Blank, "ada", "publish", "a", false),
    (Preset::OwnTopics, "ada", "subscribe", "users/ada/#", true),
    (Preset::OwnTopics, "ada", "subscribe", "users/bob/#", false),
    (
        Preset::Notifications,
        "backend-1",
        "publish",
        "notifications/ada",
        true,
    ),
    (
        Preset::Notifications,
        "ada",
        "subscribe",
        "notifications/ada",
        true,
    ),
    (
        Preset::Notifications,
        "ada",
        "subscribe",
        "notifications/bob",
        false,
    ),
    (
        Preset::AgentPipelines,
        "agent-1",
        "publish",
        "pipeline/input/x",
        true,
    ),
    (
        Preset::AgentPipelines,
        "agent-1",
        "subscribe",
        "pipeline/output/agent-2",
        false,
    ),
    (
        Preset::AgentPipelines,
        "orchestrator",
        "subscribe",
        "pipeline/#",
        true,
    ),
    (
        Preset::ChatChannels,
        "ada@org_k7xm4pqr2n5t",
        "publish",
        "chat/lobby/1",
        true,
    ),
    (Preset::ChatChannels, "ada", "subscribe", "dm/bob/#", false),
];

#[test]
fn every_preset_is_valid_and_keeps_its_word() {
    for preset in Preset::ALL {
        let document = PolicyDocument::of_preset(preset);
        let open = if preset == Preset::ChatChannels { 2 } else { 0 };
        assert_eq!(
            document.warnings().len(),
            open,
            "{preset:?}: {:?}",
            document.warnings()
        );
        assert_eq!(serde_json::to_value(preset).unwrap(), preset.name());
    }
    let ask = |preset, user: &str, action, topic: &str| {
        let question = json!({ "username": user, "action": action, "topic": topic });
        let question = serde_json::from_value(question).unwrap();
        let document = PolicyDocument::of_preset(preset);
        simulate(&document, &OrgId::new("org_x"), &question)
            .unwrap()
            .allowed
    };
    for &(preset, user, action, topic, allowed) in PRESET_ANSWERS {
        assert_eq!(
            ask(preset, user, action, topic),
            allowed,
            "{preset:?}: {user} {action} {topic}"
        );
    }
}

#[test]
fn rules_that_change_nothing_are_named() {
    let warned = |source: Value| -> Vec<String> {
        let (_, warnings) = compile(&source).unwrap();
        let short =
            |fault: &PolicyFault| format!("{} {}", fault.path, fault.problem.split(':').next().unwrap());
        warnings.iter().map(short).collect()
    };
    let ordered = json!([
        { "user": "agent-%", "topic": "a/+", "permission": "publish" },
        { "user": "agent-1", "topic": "a/b", "permission": "publish" },
        { "user": "agent-1", "topic": "a/b", "permission": "subscribe" },
        { "user": "agent-%", "topic": "a/b", "permission": "deny" },
        { "user": "%", "topic": "#", "permission": "deny" },
        { "user": "%", "topic": "$x/y", "permission": "pubsub" },
    ]);
    assert_eq!(warned(ordered), ["[1] shadowed", "[5] unreachable"]);
    let twice = json!({ "version": "2.1", "rules": [
        { "topic": "a", "action": "pub" },
        { "topic": "a", "action": "pub" },
        { "topic": "b", "action": "pub", "qos_max": 0 },
        { "topic": "b", "action": "pub" },
        { "topic": "c/{email}", "action": "sub" },
        { "topic": "c/{$self}", "action": "sub", "binding": "email" },
        { "topic": "c/{user_id}", "action": "sub" },
        { "topic": "d", "action": "pub+sub" },
        { "topic": "d", "action": "pub", "effect": "deny" },
    ] });
    assert_eq!(
        warned(twice),
        ["rules[1] shadowed", "rules[2] shadowed", "rules[5] shadowed"]
    );
}

#[test]
fn a_simulation_says_what_is_wrong_with_the_question() {
    let document = PolicyDocument::of_preset(Preset::OwnTopics);
    let ask = |question: Value| {
        let question = serde_json::from_value(question).unwrap();
        simulate(&document, &OrgId::new("org_x"), &question)
    };
    for (question, field) in [
        (
            json!({ "username": "", "action": "publish", "topic": "a" }),
            "username",
        ),
        (
            json!({ "username": "a", "action": "publish", "topic": "a/#" }),
            "topic",
        ),
        (
            json!({ "username": "a", "action": "subscribe", "topic": "a#" }),
            "topic",
        ),
        (
            json!({ "username": "a", "action": "publish", "topic": "a", "qos": 3 }),
            "qos",
        ),
        (
            json!({ "username": "a", "action": "publish", "topic": "a", "claims": { "x": "y".repeat(2_000) } }),
            "claims",
        ),
    ] {
        assert_eq!(ask(question.clone()).unwrap_err().0, field, "{question}");
    }
    let silent = ask(json!({ "username": "a+b", "action": "publish", "topic": "users/a+b/x" }));
    assert!(silent.is_err(), "no topic name has a +");
    let silent = ask(json!({ "username": "a+b", "action": "publish", "topic": "users/x/y" })).unwrap();
    assert_eq!(
        (silent.allowed, silent.silent_rules),
        (false, vec!["rules[0]".to_owned()])
    );
}

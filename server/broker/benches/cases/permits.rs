//! One question to an organization's rules.

use std::hint::black_box;

use cloudsignal_broker::authz::{CompiledPolicy, Grants};
use cloudsignal_broker::policy::{Actions, Effect, Rule, UserPattern};
use cloudsignal_broker::{Access, Credential, Identity, OrgId, Policy};
use cloudsignal_core::{Qos, TopicName};

use super::{Case, Work};

pub(super) const CASES: &[Case] = &[
    Case::new("permit/allowed", 1, || asking("bench/ada/temperature")),
    Case::new("permit/denied", 1, || asking("bench/ada/secret/temperature")),
];

/// Who everybody is.
pub(super) fn identity() -> Identity {
    Identity {
        org: OrgId::new("org_bench"),
        username: "ada".into(),
        principal: "user/ada".into(),
        credential: Credential::Password { user: "ada".into() },
        claims: Vec::new(),
        expires_at: None,
        access: Access::Policy,
        scope: None,
    }
}

/// Twelve rules: ten about something else, one that allows, one that takes a part of it back.
pub(super) fn policy() -> Policy {
    let mut rules: Vec<Rule> = (0..10)
        .map(|n| rule(&format!("other/{n}/#"), Effect::Allow))
        .collect();
    rules.push(rule("bench/#", Effect::Allow));
    rules.push(rule("bench/{username}/secret/#", Effect::Deny));
    Policy {
        rules,
        ..Policy::deny_all()
    }
}

fn rule(pattern: &str, effect: Effect) -> Rule {
    Rule {
        name: "rules[]".into(),
        user: UserPattern::Any,
        pattern: pattern.into(),
        binding: None,
        actions: Actions::BOTH,
        effect,
        qos_max: None,
        retain: true,
    }
}

fn asking(topic: &'static str) -> Work {
    let (policy, identity) = (CompiledPolicy::new(policy()), identity());
    let topic = TopicName::parse(topic).expect("a topic");
    Box::new(move || {
        let grants = Grants::new(&policy, &identity, "client-1");
        black_box(
            grants
                .permit_publish(black_box(topic), Qos::AtMostOnce, false)
                .is_ok(),
        );
    })
}

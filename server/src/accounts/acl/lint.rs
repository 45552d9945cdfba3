//! Rules that change nothing: found by comparing each rule with those that are asked before it.
//!
//! What is said here is true of every identity; rules that are useless only together with several others
//! are not found.

use cloudsignal_broker::Policy;
use cloudsignal_broker::policy::{Actions, Effect, Precedence, Rule, UserPattern};
use cloudsignal_core::{Qos, TopicFilter};

use super::PolicyFault;

/// One warning for each rule that changes nothing, in the order of the rules.
pub(super) fn look_at(policy: &Policy) -> impl Iterator<Item = PolicyFault> {
    policy
        .rules
        .iter()
        .enumerate()
        .filter_map(|(index, rule)| useless(policy, index, rule))
}

fn useless(policy: &Policy, index: usize, rule: &Rule) -> Option<PolicyFault> {
    let fault = |problem: String, advice: &str| {
        Some(PolicyFault {
            path: rule.name.to_string(),
            problem,
            advice: advice.into(),
        })
    };
    let is_default = policy.precedence == Precedence::DenyWins && rule.effect == policy.default;
    if is_default && rule.effect == Effect::Allow {
        let advice = "leave it out, or make the default \"deny\"";
        return fault("shadowed: the default allows everything it allows".into(), advice);
    }
    let deciders = [Actions::PUBLISH, Actions::SUBSCRIBE]
        .into_iter()
        .filter(|action| shares(*action, rule.actions));
    let deciders: Option<Vec<&Rule>> = deciders
        .map(|action| decider(policy, index, rule, action))
        .collect();
    let deciders = deciders?;
    let contrary = deciders.iter().find(|other| other.effect != rule.effect);
    if let Some(other) = contrary {
        let advice = match policy.precedence {
            Precedence::DenyWins => "remove it, or narrow the deny rule",
            Precedence::FirstMatch => "move it up, or narrow the rule before it",
        };
        return fault(
            format!("unreachable: {} always decides instead", other.name),
            advice,
        );
    }
    let other = deciders.first()?;
    fault(
        format!("shadowed: {} says all that it says", other.name),
        "remove it, or narrow the other rule",
    )
}

const fn shares(one: Actions, other: Actions) -> bool {
    (one.publish && other.publish) || (one.subscribe && other.subscribe)
}

/// The rule that decides whenever `rule` would, as far as one action goes.
fn decider<'p>(policy: &'p Policy, index: usize, rule: &Rule, action: Actions) -> Option<&'p Rule> {
    let comes_first = |at: usize, other: &Rule| match policy.precedence {
        Precedence::FirstMatch => at < index,
        Precedence::DenyWins => match (other.effect, rule.effect) {
            (Effect::Deny, Effect::Allow) => true,
            (Effect::Allow, Effect::Deny) => false,
            // Which of two that say the same is asked first does not matter; of two equal ones keep the first.
            (Effect::Allow, Effect::Allow) | (Effect::Deny, Effect::Deny) => {
                at != index && (at < index || !holds(rule, other, action))
            }
        },
    };
    let mut others = policy.rules.iter().enumerate();
    others
        .find(|(at, other)| *at != index && comes_first(*at, other) && holds(other, rule, action))
        .map(|(_, other)| other)
}

/// Whether `wide` speaks about every request that `narrow` speaks about.
fn holds(wide: &Rule, narrow: &Rule, action: Actions) -> bool {
    let most = |rule: &Rule| rule.qos_max.unwrap_or(Qos::ExactlyOnce);
    let is_limited =
        wide.effect == Effect::Allow && (most(wide) < most(narrow) || (narrow.retain && !wide.retain));
    // Where a value cannot be used, an allow rule is silent and a deny rule speaks of the whole level.
    let is_steady = narrow.effect == Effect::Allow || !narrow.pattern.contains('{');
    shares(action, wide.actions)
        && !is_limited
        && is_steady
        && users_hold(&wide.user, &narrow.user)
        && topics_hold(wide, narrow)
}

fn users_hold(wide: &UserPattern, narrow: &UserPattern) -> bool {
    match (wide, narrow) {
        (UserPattern::Any, _) => true,
        (wide, UserPattern::Exact(name)) => wide.matches(name),
        (UserPattern::Prefix(wide), UserPattern::Prefix(narrow)) => narrow.starts_with(&**wide),
        (UserPattern::Prefix(wide), UserPattern::Parts(parts)) => {
            parts.first().is_some_and(|begin| begin.starts_with(&**wide))
        }
        (wide, narrow) => wide == narrow,
    }
}

fn topics_hold(wide: &Rule, narrow: &Rule) -> bool {
    let (wide, narrow) = (written_out(wide), written_out(narrow));
    let covers = |wide, narrow| {
        Some(
            TopicFilter::parse(wide)
                .ok()?
                .covers(TopicFilter::parse(narrow).ok()?),
        )
    };
    wide == "#" || covers(&wide, &narrow).unwrap_or(false)
}

/// The pattern with the claim's name for `{$self}`: a value that has the same name on both sides is the same.
fn written_out(rule: &Rule) -> String {
    let claim = rule.binding.as_deref().unwrap_or("$self");
    rule.pattern.replace("{$self}", &format!("{{{claim}}}"))
}

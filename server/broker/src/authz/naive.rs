//! The permit function against the shortest possible telling of the same rules, on random policies,
//! identities and topics.

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use cloudsignal_core::{Qos, TopicFilter, TopicName};
use proptest::collection;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{CompiledPolicy, Decider, Grants, LastPermit};
use crate::identity::{Access, Credential, Identity, OrgId};
use crate::policy::{Actions, Effect, Policy, Precedence, Rule, UserPattern};

/// Who asks.
#[derive(Clone, Debug)]
struct Who {
    username: &'static str,
    client_id: &'static str,
    team: Option<&'static str>,
}

impl Who {
    fn identity(&self) -> Identity {
        let team = self.team.map(|team| ("team".into(), team.into()));
        Identity {
            org: OrgId::new("org_a"),
            username: self.username.into(),
            principal: self.username.into(),
            credential: Credential::Anonymous,
            claims: team.into_iter().collect(),
            expires_at: None,
            access: Access::Policy,
            scope: None,
        }
    }

    fn value(&self, name: &str, binding: Option<&str>) -> Option<&'static str> {
        match name {
            "username" => Some(self.username),
            "client_id" => Some(self.client_id),
            "team" => self.team,
            "$self" if binding == Some("team") => self.team,
            _ => None,
        }
    }

    /// The pattern as it is about this one; `None` when the rule is silent.
    fn read(&self, rule: &Rule) -> Option<String> {
        let mut levels: Vec<String> = rule.pattern.split('/').map(Into::into).collect();
        for (at, level) in levels.iter_mut().enumerate() {
            let Some((before, rest)) = level
                .clone()
                .split_once('{')
                .map(|(a, b)| (String::from(a), String::from(b)))
            else {
                continue;
            };
            let (name, after) = rest.split_once('}')?;
            let value = self.value(name, rule.binding.as_deref());
            let usable = value.filter(|value| !value.is_empty() && !value.contains(['/', '+', '#']));
            match (usable, rule.effect) {
                (Some(value), Effect::Allow) if at == 0 && before.is_empty() && value.starts_with('$') => {
                    return None;
                }
                (Some(value), _) => *level = format!("{before}{value}{after}"),
                (None, Effect::Deny) => *level = "+".into(),
                (None, Effect::Allow) => return None,
            }
        }
        let text = levels.join("/");
        (!text.starts_with("$share/")).then_some(text)
    }
}

fn is_like(pattern: &UserPattern, name: &str) -> bool {
    match pattern {
        UserPattern::Any => true,
        UserPattern::Exact(exact) => **exact == *name,
        UserPattern::Prefix(prefix) => name.starts_with(&**prefix),
        UserPattern::Parts(parts) => {
            let [first, last] = &**parts else {
                panic!("the test makes two")
            };
            name.len() >= first.len() + last.len() && name.starts_with(&**first) && name.ends_with(&**last)
        }
    }
}

fn holds(pattern: &str, topic: &str) -> bool {
    fn levels(pattern: &[&str], topic: &[&str]) -> bool {
        match (pattern, topic) {
            (["#"], _) | ([], []) => true,
            (["+", pattern @ ..], [_, topic @ ..]) => levels(pattern, topic),
            ([a, pattern @ ..], [b, topic @ ..]) if a == b => levels(pattern, topic),
            _ => false,
        }
    }
    let pattern_levels: Vec<_> = pattern.split('/').collect();
    let topic_levels: Vec<_> = topic.split('/').collect();
    let is_hidden = topic.starts_with('$') && pattern.starts_with(['+', '#']);
    pattern == "#" || (!is_hidden && levels(&pattern_levels, &topic_levels))
}

fn holds_all(pattern: &str, filter: TopicFilter<'_>) -> bool {
    pattern == "#" || TopicFilter::parse(pattern).is_ok_and(|pattern| pattern.covers(filter))
}

/// What the policy says when asked as its documentation reads: collect the rules that speak, pick one.
fn decide(policy: &Policy, speaks: impl Fn(&Rule) -> bool) -> Effect {
    let mut said = policy
        .rules
        .iter()
        .filter(|rule| speaks(rule))
        .map(|rule| rule.effect);
    let picked = match policy.precedence {
        Precedence::FirstMatch => said.next(),
        Precedence::DenyWins => {
            let said: Vec<_> = said.collect();
            let is_denied = said.contains(&Effect::Deny);
            is_denied.then_some(Effect::Deny).or(said.first().copied())
        }
    };
    picked.unwrap_or(policy.default)
}

fn is_within(rule: &Rule, qos: Qos, retain: bool) -> bool {
    rule.effect == Effect::Deny || (rule.qos_max.is_none_or(|max| qos <= max) && (rule.retain || !retain))
}

fn may_publish(policy: &Policy, who: &Who, topic: &str, qos: Qos, retain: bool) -> bool {
    !(topic == "$SYS" || topic.starts_with("$SYS/"))
        && decide(policy, |rule| {
            rule.actions.publish
                && is_like(&rule.user, who.username)
                && is_within(rule, qos, retain)
                && who.read(rule).is_some_and(|pattern| holds(&pattern, topic))
        }) == Effect::Allow
}

fn may_receive(policy: &Policy, who: &Who, topic: &str) -> bool {
    decide(policy, |rule| {
        rule.actions.subscribe
            && is_like(&rule.user, who.username)
            && who.read(rule).is_some_and(|pattern| holds(&pattern, topic))
    }) == Effect::Allow
}

/// The highest QoS, up to the one that is asked for, at which a rule that covers the filter, or the default, allows it.
fn may_subscribe(policy: &Policy, who: &Who, filter: TopicFilter<'_>, qos: Qos) -> Option<Qos> {
    let allows = |qos: &Qos| {
        decide(policy, |rule| {
            rule.actions.subscribe
                && is_like(&rule.user, who.username)
                && is_within(rule, *qos, false)
                && who.read(rule).is_some_and(|pattern| holds_all(&pattern, filter))
        }) == Effect::Allow
    };
    let tried = [Qos::ExactlyOnce, Qos::AtLeastOnce, Qos::AtMostOnce];
    tried.into_iter().filter(|tried| *tried <= qos).find(allows)
}

const LEVELS: [&str; 8] = [
    "a",
    "b",
    "+",
    "",
    "{username}",
    "x-{client_id}",
    "{team}",
    "{$self}",
];
const FIRST: [&str; 8] = ["a", "b", "+", "$b", "$SYS", "{username}", "{client_id}", "{team}"];
const VALUES: [&str; 9] = ["a", "b", "ab", "+", "#", "a/b", "", "$b", "$share"];

fn pattern() -> impl Strategy<Value = String> {
    let last = select(vec!["#", "+", "a", "{username}", "b"]);
    let longer = (
        select(&FIRST[..]),
        collection::vec(select(&LEVELS[..]), 0..2),
        last,
    );
    let longer = longer.prop_map(|(first, levels, last)| {
        let mut all = vec![first];
        all.extend(levels);
        all.push(last);
        all.join("/")
    });
    prop_oneof![4 => longer, 1 => Just(String::from("#")), 1 => select(&FIRST[..]).prop_map(String::from)]
}

fn rule() -> impl Strategy<Value = Rule> {
    let user = prop_oneof![
        3 => Just(UserPattern::Any),
        2 => select(&VALUES[..]).prop_map(|name| UserPattern::Exact(name.into())),
        1 => Just(UserPattern::Prefix("a".into())),
        1 => Just(UserPattern::Parts(["a".into(), "b".into()].into())),
    ];
    let actions = select(vec![(true, true), (true, false), (false, true)]);
    let qos_max = option::weighted(0.3, select(vec![Qos::AtMostOnce, Qos::AtLeastOnce]));
    let effect = select(vec![Effect::Allow, Effect::Allow, Effect::Deny]);
    (
        user,
        pattern(),
        actions,
        effect,
        qos_max,
        prop::bool::weighted(0.8),
    )
        .prop_map(
            |(user, pattern, (publish, subscribe), effect, qos_max, retain)| Rule {
                name: "".into(),
                user,
                pattern: pattern.into(),
                binding: Some("team".into()),
                actions: Actions { publish, subscribe },
                effect,
                qos_max,
                retain,
            },
        )
}

fn policy() -> impl Strategy<Value = Policy> {
    let precedence = select(vec![Precedence::DenyWins, Precedence::FirstMatch]);
    let default = select(vec![Effect::Allow, Effect::Deny]);
    (precedence, default, collection::vec(rule(), 0..7)).prop_map(|(precedence, default, rules)| Policy {
        precedence,
        default,
        rules,
    })
}

fn who() -> impl Strategy<Value = Who> {
    let value = || select(&VALUES[..]);
    (value(), value(), option::of(value())).prop_map(|(username, client_id, team)| Who {
        username,
        client_id,
        team,
    })
}

/// Every topic of up to three levels that the patterns above can tell apart.
fn topics() -> Vec<String> {
    let levels = ["a", "b", "ab", "", "x-a", "other"];
    let mut topics: Vec<String> = ["a", "b", "$b", "$SYS", "ab", "", "$share", "other"]
        .map(String::from)
        .into();
    let mut begin = 0;
    for _ in 0..2 {
        let end = topics.len();
        for at in begin..end {
            let begun = topics[at].clone();
            topics.extend(levels.iter().map(|level| format!("{begun}/{level}")));
        }
        begin = end;
    }
    topics.retain(|topic| !topic.is_empty());
    topics
}

fn qos() -> impl Strategy<Value = Qos> {
    select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 1_500 }))]

    #[test]
    fn the_permit_function_says_what_the_rules_say(
        policy in policy(),
        who in who(),
        filters in collection::vec(pattern(), 6),
        qos in qos(),
        retain in any::<bool>(),
    ) {
        let compiled = CompiledPolicy::new(policy.clone());
        let identity = who.identity();
        let (grants, mut last) = (Grants::new(&compiled, &identity, who.client_id), LastPermit::default());
        let topics = topics();
        for topic in &topics {
            let name = TopicName::parse(topic).expect("a topic");
            let expected = may_publish(&policy, &who, topic, qos, retain);
            for _ in 0..2 {
                let permit = last.permit_publish(|| grants, name, qos, retain);
                prop_assert_eq!(permit.is_ok(), expected, "publish {}", topic);
            }
            prop_assert_eq!(grants.allows_delivery(name), may_receive(&policy, &who, topic), "receive {}", topic);
            let decision = grants.decide_publish(name, qos, retain);
            if let Decider::Rule(index) = decision.by {
                prop_assert_eq!(policy.rules[index].effect, decision.effect);
                let pattern = who.read(&policy.rules[index]);
                prop_assert!(pattern.is_some_and(|pattern| holds(&pattern, topic)));
            }
        }
        for text in filters.iter().filter(|text| !text.contains('{')) {
            let filter = TopicFilter::parse(text).expect("a filter");
            let permit = grants.permit_subscribe(filter, qos).ok();
            prop_assert_eq!(permit.map(|permit| permit.qos()), may_subscribe(&policy, &who, filter, qos), "{}", text);
            if permit.is_some_and(|permit| permit.covered()) {
                for topic in topics.iter().filter(|topic| filter.matches(TopicName::parse(topic).expect("a topic"))) {
                    prop_assert!(may_receive(&policy, &who, topic), "{} was covered, and {} is not allowed", text, topic);
                }
            }
        }
    }
}

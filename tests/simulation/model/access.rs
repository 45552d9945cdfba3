//! What a policy allows, asked rule by rule. Of the rules that speak the first decides, or any that denies;
//! when none speaks, the default.

use cloudsignal_broker::policy::{Effect, Policy, Precedence, Rule};
use cloudsignal_broker::{Access, Identity};
use cloudsignal_core::{Qos, TopicFilter, TopicFilterBuf, TopicName};

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) identity: Identity,
    pub(crate) client_id: String,
}

impl Who {
    pub(crate) fn may_publish(&self, policy: &Policy, topic: &str, qos: Qos, retain: bool) -> bool {
        if topic == "$SYS" || topic.starts_with("$SYS/") {
            return false;
        }
        if self.identity.access == Access::Full {
            return true;
        }
        let name = TopicName::parse(topic).expect("invariant: a topic of the run");
        self.decide(policy, |rule, pattern| {
            rule.actions.publish && is_within(rule, qos, retain) && (is_all(pattern) || pattern.matches(name))
        })
    }

    pub(crate) fn may_receive(&self, policy: &Policy, topic: &str) -> bool {
        if self.identity.access == Access::Full {
            return true;
        }
        let name = TopicName::parse(topic).expect("invariant: a topic of the run");
        self.decide(policy, |rule, pattern| {
            rule.actions.subscribe && (is_all(pattern) || pattern.matches(name))
        })
    }

    /// The QoS at which the filter may be subscribed to: the highest at which what covers it allows it.
    pub(crate) fn may_subscribe(&self, policy: &Policy, filter: TopicFilter<'_>, qos: Qos) -> Option<Qos> {
        if self.identity.access == Access::Full {
            return Some(qos);
        }
        let tried = [Qos::ExactlyOnce, Qos::AtLeastOnce, Qos::AtMostOnce];
        tried.into_iter().filter(|tried| *tried <= qos).find(|tried| {
            self.decide(policy, |rule, pattern| {
                rule.actions.subscribe
                    && is_within(rule, *tried, false)
                    && (is_all(pattern) || pattern.covers(filter))
            })
        })
    }

    fn decide(&self, policy: &Policy, speaks: impl Fn(&Rule, TopicFilter<'_>) -> bool) -> bool {
        let rules = self.rules(policy);
        let mut said = rules
            .iter()
            .filter(|(rule, pattern)| speaks(rule, pattern.as_ref()))
            .map(|(rule, _)| rule.effect);
        let decided = match policy.precedence {
            Precedence::FirstMatch => said.next(),
            Precedence::DenyWins => {
                let said: Vec<_> = said.collect();
                let denied = said.iter().find(|effect| **effect == Effect::Deny);
                denied.or(said.first()).copied()
            }
        };
        decided.unwrap_or(policy.default) == Effect::Allow
    }

    /// The rules that are about this client, with what they bind to put in.
    fn rules<'p>(&self, policy: &'p Policy) -> Vec<(&'p Rule, TopicFilterBuf)> {
        let mine = policy
            .rules
            .iter()
            .filter(|rule| rule.user.matches(&self.identity.username));
        mine.filter_map(|rule| Some((rule, self.expand(rule)?))).collect()
    }

    fn expand(&self, rule: &Rule) -> Option<TopicFilterBuf> {
        let own = rule.binding.as_deref();
        let bindings = [
            ("{username}", Some(&*self.identity.username)),
            ("{client_id}", Some(self.client_id.as_str())),
            ("{team}", self.identity.claim("team")),
            ("{nobody}", self.identity.claim("nobody")),
            ("{$self}", own.and_then(|name| self.identity.claim(name))),
        ];
        let mut levels: Vec<_> = rule.pattern.split('/').map(String::from).collect();
        for (name, value) in bindings {
            for level in levels.iter_mut().filter(|level| level.contains(name)) {
                let usable = value.filter(|value| !value.is_empty() && !value.contains(['/', '+', '#']));
                match (usable, rule.effect) {
                    (Some(value), _) => *level = level.replace(name, value),
                    (None, Effect::Deny) => *level = "+".into(),
                    (None, Effect::Allow) => return None,
                }
            }
        }
        TopicFilterBuf::parse(levels.join("/")).ok()
    }
}

/// Whether an allow rule is within its limits.
fn is_within(rule: &Rule, qos: Qos, retain: bool) -> bool {
    rule.effect == Effect::Deny || ((rule.retain || !retain) && rule.qos_max.is_none_or(|max| qos <= max))
}

/// `#` alone is every topic.
fn is_all(pattern: TopicFilter<'_>) -> bool {
    pattern.as_str() == "#"
}

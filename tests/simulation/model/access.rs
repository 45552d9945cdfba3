//! What a policy allows, asked rule by rule: a deny wins over every allow, an allow over the default.

use cloudsignal_broker::policy::{Effect, Policy, Rule};
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
        let rules = self.rules(policy);
        let about: Vec<_> = rules
            .iter()
            .filter(|(rule, pattern)| rule.actions.publish && pattern.as_ref().matches(name))
            .map(|(rule, _)| *rule)
            .collect();
        let is_denied = about.iter().any(|rule| rule.effect == Effect::Deny);
        let is_allowed = about
            .iter()
            .any(|rule| (rule.retain || !retain) && rule.qos_max.is_none_or(|max| qos <= max));
        !is_denied && (is_allowed || policy.default == Effect::Allow)
    }

    pub(crate) fn may_receive(&self, policy: &Policy, topic: &str) -> bool {
        if self.identity.access == Access::Full {
            return true;
        }
        let name = TopicName::parse(topic).expect("invariant: a topic of the run");
        let rules = self.rules(policy);
        let mut effects = rules
            .iter()
            .filter(|(rule, pattern)| rule.actions.subscribe && pattern.as_ref().matches(name))
            .map(|(rule, _)| rule.effect)
            .peekable();
        match effects.peek() {
            None => policy.default == Effect::Allow,
            Some(_) => effects.all(|effect| effect == Effect::Allow),
        }
    }

    /// The QoS at which the filter may be subscribed to.
    pub(crate) fn may_subscribe(&self, policy: &Policy, filter: TopicFilter<'_>, qos: Qos) -> Option<Qos> {
        if self.identity.access == Access::Full {
            return Some(qos);
        }
        let rules = self.rules(policy);
        let about: Vec<_> = rules
            .iter()
            .filter(|(rule, pattern)| rule.actions.subscribe && pattern.as_ref().covers(filter))
            .map(|(rule, _)| *rule)
            .collect();
        if about.iter().any(|rule| rule.effect == Effect::Deny) {
            return None;
        }
        let best = about
            .iter()
            .map(|rule| rule.qos_max.unwrap_or(Qos::ExactlyOnce))
            .max();
        match best {
            Some(max) => Some(qos.min(max)),
            None => (policy.default == Effect::Allow).then_some(qos),
        }
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
        let mut text = rule.pattern.to_string();
        let own = rule.binding.as_deref();
        let bindings = [
            ("{username}", Some(&*self.identity.username)),
            ("{client_id}", Some(self.client_id.as_str())),
            ("{team}", self.identity.claim("team")),
            ("{nobody}", self.identity.claim("nobody")),
            ("{$self}", own.and_then(|name| self.identity.claim(name))),
        ];
        for (name, value) in bindings {
            if text.contains(name) {
                let value = value.filter(|value| !value.is_empty() && !value.contains(['/', '+', '#']))?;
                text = text.replace(name, value);
            }
        }
        TopicFilterBuf::parse(text).ok()
    }
}

//! Permissions: a policy as it is about one session, and the permits that only it can make.
//!
//! Nothing is routed without a [`PublishPermit`] and no filter is stored without a
//! [`SubscribePermit`]; both can be made here only, so forgetting to ask does not compile.

mod compiled;

use alloc::string::String;

use cloudsignal_core::codec::ReasonCode;
use cloudsignal_core::topic::TopicName;
use cloudsignal_core::{Qos, TopicFilter};

use crate::identity::{Access, Identity};
use crate::policy::{Effect, Rule};

use compiled::{Asked, CompiledRule, Reach};
pub use compiled::{CompiledPolicy, bindings};

/// Proof that a message may be routed under this topic.
#[derive(Clone, Copy, Debug)]
pub struct PublishPermit<'t> {
    topic: TopicName<'t>,
}

impl<'t> PublishPermit<'t> {
    /// The topic that was permitted.
    #[must_use]
    pub const fn topic(&self) -> TopicName<'t> {
        self.topic
    }

    /// For the broker's own words: topics under `$SYS/` only.
    pub(crate) fn of_broker(topic: TopicName<'t>) -> Option<Self> {
        is_sys(topic.as_str()).then_some(Self { topic })
    }
}

/// Proof that a filter may be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribePermit {
    qos: Qos,
    covered: bool,
}

impl SubscribePermit {
    /// The QoS that is granted: what was asked for, or less.
    #[must_use]
    pub const fn qos(&self) -> Qos {
        self.qos
    }

    /// Whether everything that matches the filter may be delivered, so that deliveries need no question.
    #[must_use]
    pub const fn covered(&self) -> bool {
        self.covered
    }
}

/// Why a permit was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The policy has no rule that allows it, or one that denies it.
    #[error("not allowed by the organization's policy")]
    Policy,
    /// The credential was made for other topics.
    #[error("outside of what the credential is limited to")]
    Scope,
    /// `$SYS/` belongs to the broker.
    #[error("topics under $SYS/ are published by the broker only")]
    Sys,
}

impl Denied {
    /// What a v5 client is told.
    #[must_use]
    pub const fn reason(self) -> ReasonCode {
        match self {
            Self::Policy | Self::Scope | Self::Sys => ReasonCode::NotAuthorized,
        }
    }
}

/// Where a rule's pattern leads for one identity; `None` when the rule says nothing to it.
#[must_use]
pub fn pattern_for(rule: &Rule, identity: &Identity, client_id: &str) -> Option<String> {
    compiled::filter_for(rule, identity, client_id).map(|filter| filter.as_str().into())
}

/// What was decided, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Yes or no.
    pub effect: Effect,
    /// By what.
    pub by: Decider,
}

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decider {
    /// The rule at this place of the policy.
    Rule(usize),
    /// The policy's default: no rule speaks about it.
    Default,
    /// The credential's scope leaves it out.
    Scope,
    /// `$SYS/` belongs to the broker.
    Sys,
    /// The policy does not apply to the connection.
    FullAccess,
}

/// A policy as it is about one session. Nothing but three references: it is made wherever something is asked.
#[derive(Clone, Copy, Debug)]
pub struct Grants<'a> {
    /// `None`: everything is allowed.
    policy: Option<&'a CompiledPolicy>,
    identity: &'a Identity,
    client_id: &'a str,
}

/// The last publish that the rules were asked about and allowed, because publishers repeat themselves. It is worth
/// nothing once the policy or the identity is another.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastPermit {
    /// At most [`REMEMBERED_TOPIC_BYTES_MAX`]; empty when there is none.
    topic: String,
    qos: Qos,
    retain: bool,
}

/// Longer topics are asked about every time, so that a session remembers little.
const REMEMBERED_TOPIC_BYTES_MAX: usize = 256;

impl<'a> Grants<'a> {
    /// The policy for this identity.
    #[must_use]
    pub const fn new(policy: &'a CompiledPolicy, identity: &'a Identity, client_id: &'a str) -> Self {
        let policy = match identity.access {
            Access::Full => None,
            Access::Policy => Some(policy),
        };
        Self {
            policy,
            identity,
            client_id,
        }
    }

    /// Whether there is nothing that it could deny, `$SYS/` aside.
    pub(crate) fn is_open(&self) -> bool {
        let is_open = |policy: &CompiledPolicy| policy.is_empty() && policy.default == Effect::Allow;
        self.policy.is_none_or(is_open) && self.identity.scope.is_none()
    }

    /// May a message be published under `topic`?
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub fn permit_publish<'t>(
        &self,
        topic: TopicName<'t>,
        qos: Qos,
        retain: bool,
    ) -> Result<PublishPermit<'t>, Denied> {
        self.decide_publish(topic, qos, retain).permit()?;
        Ok(PublishPermit { topic })
    }

    /// Whether a message may be published under `topic`, and what decides that.
    #[must_use]
    pub fn decide_publish(&self, topic: TopicName<'_>, qos: Qos, retain: bool) -> Decision {
        if is_sys(topic.as_str()) {
            return Decision::deny(Decider::Sys);
        }
        let scope = self.identity.scope.as_deref();
        if scope.is_some_and(|scope| !scope.allows_publish(topic)) {
            return Decision::deny(Decider::Scope);
        }
        let decided = self.find(Asked::publish(topic), |rule, reach| {
            (rule.admits(qos, retain) && reach.holds(topic)).then(|| Decision::of(rule))
        });
        decided.unwrap_or_else(|| self.default())
    }

    /// May `filter` be subscribed to? An allow rule must cover all of it; what deny rules before that take
    /// out of it is kept back at delivery.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub fn permit_subscribe(&self, filter: TopicFilter<'_>, qos: Qos) -> Result<SubscribePermit, Denied> {
        let (decision, permit) = self.decide_subscribe(filter, qos);
        decision.permit()?;
        Ok(permit)
    }

    /// Whether `filter` may be subscribed to, what decides that, and how far the permit goes if it may.
    #[must_use]
    pub fn decide_subscribe(&self, filter: TopicFilter<'_>, qos: Qos) -> (Decision, SubscribePermit) {
        let mut permit = SubscribePermit { qos, covered: true };
        let scope = self.identity.scope.as_deref();
        if scope.is_some_and(|scope| !scope.allows_subscribe(filter)) {
            return (Decision::deny(Decider::Scope), permit);
        }
        let mut allowed: Option<(Decision, Qos)> = None;
        let ended = self.find(Asked::subscribe(filter), |rule, reach| match rule.rule.effect {
            Effect::Deny if reach.holds_all(filter) => Some(allowed.unwrap_or((Decision::of(rule), qos))),
            Effect::Deny => {
                // After an allow rule that covers it, nothing is left for a deny rule to take out.
                permit.covered &= allowed.is_some() || !reach.holds_some(filter);
                None
            }
            Effect::Allow if reach.holds_all(filter) => {
                let qos_max = rule.rule.qos_max.unwrap_or(Qos::ExactlyOnce);
                if allowed.is_none_or(|(_, best)| best < qos_max) {
                    allowed = Some((Decision::of(rule), qos_max));
                }
                allowed.filter(|(_, best)| qos <= *best)
            }
            Effect::Allow => None,
        });
        let default = self.default();
        let at_end = match allowed {
            Some(best) if default.effect == Effect::Deny => best,
            Some(_) | None => (default, Qos::ExactlyOnce),
        };
        let (decision, qos_max) = ended.unwrap_or(at_end);
        permit.qos = qos.min(qos_max);
        (decision, permit)
    }

    /// May a message under `topic` be delivered to this session?
    #[must_use]
    pub fn allows_delivery(&self, topic: TopicName<'_>) -> bool {
        self.decide_delivery(topic).effect == Effect::Allow
    }

    /// Whether a message under `topic` may be delivered to this session, and what decides that. Limits of
    /// QoS were settled when the session subscribed.
    #[must_use]
    pub fn decide_delivery(&self, topic: TopicName<'_>) -> Decision {
        let scope = self.identity.scope.as_deref();
        if scope.is_some_and(|scope| !scope.allows_delivery(topic)) {
            return Decision::deny(Decider::Scope);
        }
        let decided = self.find(Asked::receive(topic), |rule, reach| {
            reach.holds(topic).then(|| Decision::of(rule))
        });
        decided.unwrap_or_else(|| self.default())
    }

    fn find<T>(
        &self,
        asked: Asked<'_>,
        each: impl FnMut(&CompiledRule, Reach<'_>) -> Option<T>,
    ) -> Option<T> {
        self.policy?.find(self.identity, self.client_id, asked, each)
    }

    fn default(&self) -> Decision {
        match self.policy {
            None => Decision {
                effect: Effect::Allow,
                by: Decider::FullAccess,
            },
            Some(policy) => Decision {
                effect: policy.default,
                by: Decider::Default,
            },
        }
    }
}

impl Decision {
    const fn deny(by: Decider) -> Self {
        Self {
            effect: Effect::Deny,
            by,
        }
    }

    const fn of(rule: &CompiledRule) -> Self {
        Self {
            effect: rule.rule.effect,
            by: Decider::Rule(rule.index as usize),
        }
    }

    const fn permit(self) -> Result<(), Denied> {
        match (self.effect, self.by) {
            (Effect::Allow, _) => Ok(()),
            (Effect::Deny, Decider::Sys) => Err(Denied::Sys),
            (Effect::Deny, Decider::Scope) => Err(Denied::Scope),
            (Effect::Deny, Decider::Rule(_) | Decider::Default | Decider::FullAccess) => Err(Denied::Policy),
        }
    }
}

impl LastPermit {
    /// As [`Grants::permit_publish`], for one who mostly asks the same.
    pub(crate) fn permit_publish<'t, 'g>(
        &mut self,
        grants: impl FnOnce() -> Grants<'g>,
        topic: TopicName<'t>,
        qos: Qos,
        retain: bool,
    ) -> Result<PublishPermit<'t>, Denied> {
        if self.is(topic, qos, retain) {
            return Ok(PublishPermit { topic });
        }
        let permit = grants().permit_publish(topic, qos, retain)?;
        self.remember(topic, qos, retain);
        Ok(permit)
    }

    fn is(&self, topic: TopicName<'_>, qos: Qos, retain: bool) -> bool {
        self.topic == topic.as_str() && self.qos == qos && self.retain == retain
    }

    fn remember(&mut self, topic: TopicName<'_>, qos: Qos, retain: bool) {
        let topic = topic.as_str();
        self.topic.clear();
        if topic.len() <= REMEMBERED_TOPIC_BYTES_MAX {
            self.topic.push_str(topic);
            (self.qos, self.retain) = (qos, retain);
        }
    }
}

fn is_sys(topic: &str) -> bool {
    topic == "$SYS" || topic.starts_with("$SYS/")
}

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

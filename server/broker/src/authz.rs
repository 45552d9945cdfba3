//! Permissions: a policy compiled for one session, and the permits that only it can make.
//!
//! Nothing is routed without a [`PublishPermit`] and no filter is stored without a
//! [`SubscribePermit`]; both can be made here only, so forgetting to ask does not compile.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use cloudsignal_core::codec::ReasonCode;
use cloudsignal_core::topic::{TopicFilterBuf, TopicName};
use cloudsignal_core::{Qos, TopicFilter};

use crate::identity::{Access, Identity};
use crate::policy::{Actions, Effect, Policy, Rule};
use crate::scope::Scope;

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

/// A policy compiled for one session.
#[derive(Clone, Debug)]
pub struct Grants {
    default: Effect,
    entries: Box<[Grant]>,
    scope: Option<Arc<Scope>>,
    last: LastPermit,
}

/// The last publish that the rules were asked about and allowed, because publishers repeat themselves.
#[derive(Clone, Debug, Default)]
struct LastPermit {
    /// At most [`REMEMBERED_TOPIC_BYTES_MAX`]; empty when there is none.
    topic: String,
    qos: Qos,
    retain: bool,
}

/// Longer topics are asked about every time, so that a session remembers little.
const REMEMBERED_TOPIC_BYTES_MAX: usize = 256;

#[derive(Clone, Debug)]
struct Grant {
    filter: TopicFilterBuf,
    actions: Actions,
    effect: Effect,
    qos_max: Qos,
    retain: bool,
}

impl Grants {
    /// Compiles the rules that are about this identity. A binding whose value is missing, empty or
    /// holds `/`, `+` or `#` makes its rule say nothing.
    #[must_use]
    pub fn compile(policy: &Policy, identity: &Identity, client_id: &str) -> Self {
        if identity.access == Access::Full {
            return Self::new(Effect::Allow, Box::default(), identity);
        }
        let entries = policy
            .rules
            .iter()
            .filter(|rule| rule.user.matches(&identity.username))
            .filter_map(|rule| Grant::compile(rule, identity, client_id))
            .collect();
        Self::new(policy.default, entries, identity)
    }

    fn new(default: Effect, entries: Box<[Grant]>, identity: &Identity) -> Self {
        let last = LastPermit::default();
        Self {
            default,
            entries,
            scope: identity.scope.clone(),
            last,
        }
    }

    /// May a message be published under `topic`?
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub fn permit_publish<'t>(
        &mut self,
        topic: TopicName<'t>,
        qos: Qos,
        retain: bool,
    ) -> Result<PublishPermit<'t>, Denied> {
        if is_sys(topic.as_str()) {
            return Err(Denied::Sys);
        }
        if self.last.is(topic, qos, retain) {
            return Ok(PublishPermit { topic });
        }
        if self
            .scope
            .as_deref()
            .is_some_and(|scope| !scope.allows_publish(topic))
        {
            return Err(Denied::Scope);
        }
        let allows = |grant: &Grant| qos <= grant.qos_max && (grant.retain || !retain);
        if !self.decide(|grant| grant.actions.publish && grant.matches(topic), allows) {
            return Err(Denied::Policy);
        }
        if !self.entries.is_empty() {
            self.last.remember(topic, qos, retain);
        }
        Ok(PublishPermit { topic })
    }

    /// May `filter` be subscribed to? An allow rule must cover all of it; what deny rules take out
    /// of it is kept back at delivery.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub fn permit_subscribe(&self, filter: TopicFilter<'_>, qos: Qos) -> Result<SubscribePermit, Denied> {
        if self
            .scope
            .as_deref()
            .is_some_and(|scope| !scope.allows_subscribe(filter))
        {
            return Err(Denied::Scope);
        }
        let about = || self.entries.iter().filter(|grant| grant.actions.subscribe);
        let denies = |grant: &&Grant| grant.effect == Effect::Deny;
        if about()
            .filter(denies)
            .any(|grant| grant.filter.as_ref().covers(filter))
        {
            return Err(Denied::Policy);
        }
        let granted = about()
            .filter(|grant| grant.effect == Effect::Allow && grant.filter.as_ref().covers(filter))
            .map(|grant| grant.qos_max)
            .max()
            .or((self.default == Effect::Allow).then_some(Qos::ExactlyOnce))
            .ok_or(Denied::Policy)?;
        Ok(SubscribePermit {
            qos: qos.min(granted),
            covered: !about().any(|grant| denies(&grant)),
        })
    }

    /// May a message under `topic` be delivered to this session?
    #[must_use]
    pub fn allows_delivery(&self, topic: TopicName<'_>) -> bool {
        let in_scope = |scope: &Arc<Scope>| scope.allows_delivery(topic);
        self.scope.as_ref().is_none_or(in_scope)
            && self.decide(|grant| grant.actions.subscribe && grant.matches(topic), |_| true)
    }

    /// A deny wins over every allow, an allow over the default.
    fn decide(&self, about: impl Fn(&Grant) -> bool, allows: impl Fn(&Grant) -> bool) -> bool {
        let mut allowed = self.default == Effect::Allow;
        for grant in self.entries.iter().filter(|grant| about(grant)) {
            match grant.effect {
                Effect::Deny => return false,
                Effect::Allow => allowed |= allows(grant),
            }
        }
        allowed
    }
}

impl LastPermit {
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

impl Grant {
    fn compile(rule: &Rule, identity: &Identity, client_id: &str) -> Option<Self> {
        let pattern = expand(rule, identity, client_id)?;
        let filter = TopicFilter::parse(&pattern).ok()?;
        Some(Self {
            filter: filter.to_owned(),
            actions: rule.actions,
            effect: rule.effect,
            qos_max: rule.qos_max.unwrap_or(Qos::ExactlyOnce),
            retain: rule.retain,
        })
    }

    fn matches(&self, topic: TopicName<'_>) -> bool {
        self.filter.as_ref().matches(topic)
    }
}

/// The rule's pattern with every binding replaced; `None` when one cannot be.
fn expand(rule: &Rule, identity: &Identity, client_id: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = &*rule.pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        let value = match name {
            "username" => &*identity.username,
            "client_id" => client_id,
            "org_short_id" => identity.org.as_str(),
            "$self" => identity.claim(rule.binding.as_deref()?)?,
            claim => identity.claim(claim)?,
        };
        if value.is_empty() || value.contains(['/', '+', '#', '\0']) {
            return None;
        }
        out.push_str(before);
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

fn is_sys(topic: &str) -> bool {
    topic == "$SYS" || topic.starts_with("$SYS/")
}

/// Every name a pattern binds to, so that a validator can say which are unknown.
pub fn bindings(pattern: &str) -> Vec<&str> {
    pattern
        .split('{')
        .skip(1)
        .filter_map(|part| part.split_once('}').map(|(name, _)| name))
        .collect()
}

#[cfg(test)]
mod tests;

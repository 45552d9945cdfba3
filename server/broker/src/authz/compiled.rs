//! A policy made ready once, for the many sessions that live by it.
//!
//! Deny wins is the same as first match wins with the deny rules in front, so both precedences become one
//! ordered list, and one function asks it. Patterns without bindings are parsed here, not per session, and
//! rules about one user are found by the user's name.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use cloudsignal_core::topic::{TopicFilterBuf, TopicName};
use cloudsignal_core::{Qos, TopicFilter};

use crate::identity::Identity;
use crate::policy::{Effect, Policy, Precedence, RULES_MAX, Rule, UserPattern};

/// A policy in the order in which its rules are asked.
#[derive(Debug)]
pub struct CompiledPolicy {
    pub(super) default: Effect,
    pub(super) rules: Box<[CompiledRule]>,
    /// Places in `rules` of those about exactly one user.
    by_user: BTreeMap<Box<str>, Vec<u32>>,
    /// Places in `rules` of the others.
    by_pattern: Box<[u32]>,
}

#[derive(Debug)]
pub(super) struct CompiledRule {
    pub(super) rule: Rule,
    /// Its place in the policy.
    pub(super) index: u32,
    /// Its pattern, when that is the same for everybody.
    filter: Option<TopicFilterBuf>,
}

/// A rule as it is about one session.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its place in the compiled policy.
    at: u32,
    /// Its pattern, when that is this session's own.
    own: Option<TopicFilterBuf>,
}

impl CompiledPolicy {
    /// Puts the rules in order. Patterns that are no topic filters say nothing.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let Policy {
            precedence,
            default,
            rules,
        } = policy;
        let mut compiled: Vec<_> = (0..).zip(rules).take(RULES_MAX).map(CompiledRule::new).collect();
        if precedence == Precedence::DenyWins {
            compiled.sort_by_key(|compiled| compiled.rule.effect == Effect::Allow);
        }
        let (mut by_user, mut by_pattern) = (BTreeMap::<Box<str>, Vec<u32>>::new(), Vec::new());
        for (at, compiled) in (0..).zip(&compiled) {
            match &compiled.rule.user {
                UserPattern::Exact(name) => by_user.entry(name.clone()).or_default().push(at),
                UserPattern::Any | UserPattern::Prefix(_) | UserPattern::Parts(_) => by_pattern.push(at),
            }
        }
        Self {
            default,
            rules: compiled.into_boxed_slice(),
            by_user,
            by_pattern: by_pattern.into_boxed_slice(),
        }
    }

    /// What the rule at this place of the policy is called.
    pub(crate) fn rule_name(&self, place: usize) -> Option<&str> {
        let found = self.rules.iter().find(|rule| rule.index as usize == place);
        found.map(|found| &*found.rule.name)
    }

    /// The rules that can say something about a session, in order.
    pub(super) fn entries(&self, identity: &Identity, client_id: &str) -> Box<[Entry]> {
        let own = self
            .by_user
            .get(&*identity.username)
            .map_or(&[][..], Vec::as_slice);
        let is_about = |at: &&u32| self.rules[**at as usize].rule.user.matches(&identity.username);
        let (mut own, mut others) = (
            own.iter().peekable(),
            self.by_pattern.iter().filter(is_about).peekable(),
        );
        let merged = core::iter::from_fn(|| match (own.peek(), others.peek()) {
            (Some(mine), Some(theirs)) if theirs < mine => others.next(),
            (Some(_), _) => own.next(),
            (None, _) => others.next(),
        });
        merged
            .filter_map(|&at| self.rules[at as usize].entry(at, identity, client_id))
            .collect()
    }
}

impl CompiledRule {
    fn new((index, rule): (u32, Rule)) -> Self {
        let filter = if rule.pattern.contains('{') {
            None
        } else {
            parse(&rule.pattern)
        };
        Self { rule, index, filter }
    }

    fn entry(&self, at: u32, identity: &Identity, client_id: &str) -> Option<Entry> {
        if self.filter.is_some() {
            return Some(Entry { at, own: None });
        }
        let own = filter_for(&self.rule, identity, client_id)?;
        Some(Entry { at, own: Some(own) })
    }

    /// Whether an allow rule is within its limits; a deny rule has none.
    pub(super) fn admits(&self, qos: Qos, retain: bool) -> bool {
        match self.rule.effect {
            Effect::Deny => true,
            Effect::Allow => self.rule.qos_max.is_none_or(|max| qos <= max) && (self.rule.retain || !retain),
        }
    }
}

impl Entry {
    /// The rule and the topics it is about.
    pub(super) fn of<'a>(&'a self, policy: &'a CompiledPolicy) -> (&'a CompiledRule, Reach<'a>) {
        let rule = &policy.rules[self.at as usize];
        let filter = self.own.as_ref().or(rule.filter.as_ref());
        let filter = filter.expect("invariant: an entry without a filter of its own has its rule's");
        (rule, Reach(filter.as_ref()))
    }
}

/// The topics that a rule is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach<'a>(pub(super) TopicFilter<'a>);

impl Reach<'_> {
    fn is_everything(self) -> bool {
        self.0.as_str() == "#"
    }

    pub(super) fn holds(self, topic: TopicName<'_>) -> bool {
        self.is_everything() || self.0.matches(topic)
    }

    /// Whether all that `filter` can match is among them.
    pub(super) fn holds_all(self, filter: TopicFilter<'_>) -> bool {
        self.is_everything() || self.0.covers(filter)
    }

    /// Whether anything that `filter` can match is among them.
    pub(super) fn holds_some(self, filter: TopicFilter<'_>) -> bool {
        self.is_everything() || self.0.overlaps(filter)
    }
}

/// A filter that is about topics as they are: with `$share/` in front it would say something else.
fn parse(text: &str) -> Option<TopicFilterBuf> {
    let filter = TopicFilter::parse(text).ok()?;
    (!text.starts_with("$share/")).then(|| filter.to_owned())
}

/// The topics that a rule is about for one identity; `None` when it says nothing to it.
pub(super) fn filter_for(rule: &Rule, identity: &Identity, client_id: &str) -> Option<TopicFilterBuf> {
    parse(&expand(rule, identity, client_id)?)
}

/// The rule's pattern with every binding replaced; `None` when the rule says nothing to this session.
fn expand(rule: &Rule, identity: &Identity, client_id: &str) -> Option<String> {
    let mut out = String::new();
    for (at, level) in rule.pattern.split('/').enumerate() {
        if at > 0 {
            out.push('/');
        }
        let begin = out.len();
        let expanded = expand_level(level, rule, identity, client_id, &mut out);
        // A value must not lead an allow rule to the topics that begin with $, which wildcards leave out too.
        let is_led = at == 0 && out.starts_with('$') && !level.starts_with('$');
        match rule.effect {
            Effect::Allow if expanded.is_none() || is_led => return None,
            Effect::Deny if expanded.is_none() => {
                out.truncate(begin);
                out.push('+');
            }
            Effect::Allow | Effect::Deny => {}
        }
    }
    Some(out)
}

fn expand_level(
    level: &str,
    rule: &Rule,
    identity: &Identity,
    client_id: &str,
    out: &mut String,
) -> Option<()> {
    let mut rest = level;
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
    Some(())
}

/// Every name a pattern binds to, so that a validator can say which are unknown.
pub fn bindings(pattern: &str) -> Vec<&str> {
    pattern
        .split('{')
        .skip(1)
        .filter_map(|part| part.split_once('}').map(|(name, _)| name))
        .collect()
}

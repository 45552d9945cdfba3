//! A policy made ready once, for the many sessions that live by it.
//!
//! Deny wins is the same as first match wins with the deny rules in front, so both precedences become one
//! ordered list, and one function asks it. A session keeps nothing of its own: rules about one user are found
//! by the user's name, most other rules are passed over by comparing two numbers, and only a rule that may
//! speak has its bindings replaced. So an edit of the policy costs little, however many sessions there are.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use cloudsignal_core::topic::{Levels, TopicFilterBuf, TopicName};
use cloudsignal_core::{Qos, TopicFilter};

use crate::identity::Identity;
use crate::policy::{Actions, Effect, Policy, Precedence, RULES_MAX, Rule, UserPattern};

/// A policy in the order in which its rules are asked.
#[derive(Debug)]
pub struct CompiledPolicy {
    pub(super) default: Effect,
    rules: Box<[CompiledRule]>,
    /// Rules about exactly one user.
    by_user: BTreeMap<Box<str>, Vec<Candidate>>,
    /// The others.
    by_pattern: Box<[Candidate]>,
}

#[derive(Debug)]
pub(super) struct CompiledRule {
    pub(super) rule: Rule,
    /// Its place in the policy.
    pub(super) index: u32,
    pattern: Pattern,
}

/// The topics that a rule is about, as far as they are known without its session.
#[derive(Debug)]
enum Pattern {
    /// The same for everybody.
    Same(TopicFilterBuf),
    /// With `+` for each level that has a binding, so that most topics are told apart before anything is replaced.
    /// `None`: the first level has one, and might become a `$` that `+` does not match.
    Bound(Option<TopicFilterBuf>),
}

/// What is looked at first of a rule.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// Its place in the compiled policy.
    at: u32,
    print: Print,
    actions: Actions,
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
        let mut compiled: Vec<_> = (0..)
            .zip(rules)
            .take(RULES_MAX)
            .filter_map(CompiledRule::new)
            .collect();
        if precedence == Precedence::DenyWins {
            compiled.sort_by_key(|compiled| compiled.rule.effect == Effect::Allow);
        }
        let (mut by_user, mut by_pattern) = (BTreeMap::<Box<str>, Vec<Candidate>>::new(), Vec::new());
        for (at, CompiledRule { rule, .. }) in (0..).zip(&compiled) {
            let candidate = Candidate {
                at,
                print: Print::of(&rule.pattern),
                actions: rule.actions,
            };
            match &rule.user {
                UserPattern::Exact(name) => by_user.entry(name.clone()).or_default().push(candidate),
                UserPattern::Any | UserPattern::Prefix(_) | UserPattern::Parts(_) => {
                    by_pattern.push(candidate);
                }
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
        let mut rules = self.rules.iter();
        let compiled = rules.find(|compiled| compiled.index as usize == place)?;
        Some(&compiled.rule.name)
    }

    /// Whether it has no rules, so that the default decides everything.
    pub(super) const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Gives `each` the rules about this identity that may speak about what has this print, in order, with the
    /// topics they are about; until it answers something.
    pub(super) fn find<T>(
        &self,
        identity: &Identity,
        client_id: &str,
        asked: Asked<'_>,
        mut each: impl FnMut(&CompiledRule, Reach<'_>) -> Option<T>,
    ) -> Option<T> {
        let may_speak = |candidate: &&Candidate| asked.may_be_about(candidate);
        let own = self
            .by_user
            .get(&*identity.username)
            .map_or(&[][..], Vec::as_slice);
        let mut own = own.iter().filter(may_speak).peekable();
        let mut others = self.by_pattern.iter().filter(may_speak).peekable();
        loop {
            let next = match (own.peek(), others.peek()) {
                (Some(mine), Some(theirs)) if theirs.at < mine.at => others.next(),
                (Some(_), _) => own.next(),
                (None, _) => others.next(),
            };
            let compiled = &self.rules[next?.at as usize];
            if !compiled.rule.user.matches(&identity.username) {
                continue;
            }
            let answer = match &compiled.pattern {
                Pattern::Same(filter) => each(compiled, Reach(filter.as_ref())),
                Pattern::Bound(Some(outline)) if asked.is_outside(outline.as_ref()) => None,
                Pattern::Bound(_) => filter_for(&compiled.rule, identity, client_id)
                    .and_then(|filter| each(compiled, Reach(filter.as_ref()))),
            };
            if answer.is_some() {
                return answer;
            }
        }
    }
}

impl CompiledRule {
    fn new((index, rule): (u32, Rule)) -> Option<Self> {
        let pattern = if rule.pattern.contains('{') {
            Pattern::Bound(outline(&rule.pattern))
        } else {
            Pattern::Same(parse(&rule.pattern)?)
        };
        Some(Self { rule, index, pattern })
    }

    /// Whether an allow rule is within its limits; a deny rule has none.
    pub(super) fn admits(&self, qos: Qos, retain: bool) -> bool {
        match self.rule.effect {
            Effect::Deny => true,
            Effect::Allow => self.rule.qos_max.is_none_or(|max| qos <= max) && (self.rule.retain || !retain),
        }
    }
}

/// What is asked about, as far as rules are passed over for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    print: Print,
    action: Action,
    /// `None`: a filter is asked about.
    topic: Option<TopicName<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Publish,
    Receive,
    /// A filter: rules that are about a part of it matter too.
    Subscribe,
}

impl<'a> Asked<'a> {
    pub(super) fn publish(topic: TopicName<'a>) -> Self {
        Self {
            print: Print::of(topic.as_str()),
            action: Action::Publish,
            topic: Some(topic),
        }
    }

    pub(super) fn receive(topic: TopicName<'a>) -> Self {
        Self {
            print: Print::of(topic.as_str()),
            action: Action::Receive,
            topic: Some(topic),
        }
    }

    pub(super) fn subscribe(filter: TopicFilter<'_>) -> Self {
        Self {
            print: Print::of(filter.path()),
            action: Action::Subscribe,
            topic: None,
        }
    }

    const fn may_be_about(self, candidate: &Candidate) -> bool {
        let is_action = match self.action {
            Action::Publish => candidate.actions.publish,
            Action::Receive | Action::Subscribe => candidate.actions.subscribe,
        };
        is_action && self.print.may_share(candidate.print)
    }

    /// Whether it is a topic that a filter does not match.
    fn is_outside(self, filter: TopicFilter<'_>) -> bool {
        self.topic.is_some_and(|topic| !filter.matches(topic))
    }
}

/// The first two levels of a filter or topic as numbers: two that have nothing in common mostly differ in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Print([u32; 2]);

impl Print {
    /// A wildcard, or a level with a binding: any level, or none.
    const ANY: u32 = 0;
    /// There is no such level.
    const NONE: u32 = 1;

    fn of(path: &str) -> Self {
        let mut levels = Levels::of(path);
        let first = levels.next().map_or(Self::NONE, Self::of_level);
        let second = match levels.next() {
            // `#` is its parent too, and what is below.
            _ if path == "#" => Self::ANY,
            Some(level) => Self::of_level(level),
            None => Self::NONE,
        };
        Self([first, second])
    }

    fn of_level(level: &str) -> u32 {
        if level == "+" || level == "#" || level.contains('{') {
            return Self::ANY;
        }
        // FNV-1a: levels are short.
        let hash = level.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        hash.max(Self::NONE + 1)
    }

    /// Whether something can be both.
    const fn may_share(self, other: Self) -> bool {
        let [first, second] = self.0;
        let [other_first, other_second] = other.0;
        (first == other_first || first == Self::ANY || other_first == Self::ANY)
            && (second == other_second || second == Self::ANY || other_second == Self::ANY)
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

/// What a pattern with bindings matches at most; see [`Pattern::Bound`].
fn outline(pattern: &str) -> Option<TopicFilterBuf> {
    let mut levels = Levels::of(pattern);
    let mut outline = String::from(levels.next().filter(|first| !first.contains('{'))?);
    for level in levels {
        outline.push('/');
        outline.push_str(if level.contains('{') { "+" } else { level });
    }
    parse(&outline)
}

/// The topics that a rule is about for one identity; `None` when it says nothing to it.
pub(super) fn filter_for(rule: &Rule, identity: &Identity, client_id: &str) -> Option<TopicFilterBuf> {
    parse(&expand(rule, identity, client_id)?)
}

/// The rule's pattern with every binding replaced; `None` when the rule says nothing to this session.
fn expand(rule: &Rule, identity: &Identity, client_id: &str) -> Option<String> {
    let mut out = String::with_capacity(2 * rule.pattern.len());
    for (at, level) in Levels::of(&rule.pattern).enumerate() {
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

//! Access rules as data: the one form that every documented format compiles to.
//!
//! A rule speaks about a request when it is about the user, about the action, and its pattern holds the
//! topic; an allow rule moreover only within its limits of QoS and retain. Of the rules that speak, one
//! decides: which one, says the policy's [`Precedence`]. When none speaks, the default decides.
//!
//! Patterns are topic filters, matched as MQTT matches them, so a pattern that begins with a wildcard says
//! nothing about topics that begin with `$`; with one exception: `#` alone is every topic.

use alloc::boxed::Box;
use alloc::vec::Vec;

use cloudsignal_core::Qos;

/// How many rules a policy may have.
pub const RULES_MAX: usize = 10_000;

/// The access rules of one organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which rule decides when several speak.
    pub precedence: Precedence,
    /// What happens when no rule speaks.
    pub default: Effect,
    /// The rules, at most [`RULES_MAX`]; more are not looked at.
    pub rules: Vec<Rule>,
}

/// Which rule decides when several speak about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precedence {
    /// A deny rule, wherever it stands; else an allow rule.
    DenyWins,
    /// The one that stands first.
    FirstMatch,
}

impl Policy {
    /// Everything is allowed.
    #[must_use]
    pub const fn permit_all() -> Self {
        Self {
            precedence: Precedence::DenyWins,
            default: Effect::Allow,
            rules: Vec::new(),
        }
    }

    /// Nothing is allowed.
    #[must_use]
    pub const fn deny_all() -> Self {
        Self {
            precedence: Precedence::DenyWins,
            default: Effect::Deny,
            rules: Vec::new(),
        }
    }
}

/// One access rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What the validator, the simulator and logs call it: `rules[3]`.
    pub name: Box<str>,
    /// Whom it is about.
    pub user: UserPattern,
    /// A topic filter that may hold `{username}`, `{client_id}`, `{org_short_id}`, `{$self}` and `{claim}`.
    /// Where a value is missing, empty, or holds `/`, `+` or `#`, an allow rule says nothing, and a deny rule
    /// reads the level as `+`.
    pub pattern: Box<str>,
    /// The claim that `{$self}` stands for.
    pub binding: Option<Box<str>>,
    /// What it is about.
    pub actions: Actions,
    /// What it says.
    pub effect: Effect,
    /// The highest QoS it allows; `None` for all.
    pub qos_max: Option<Qos>,
    /// Whether it allows retained publishes.
    pub retain: bool,
}

/// What a rule, or a policy's default, says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Yes.
    Allow,
    /// No.
    Deny,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions {
    /// Publishing to a topic.
    pub publish: bool,
    /// Subscribing to a filter and receiving what matches it.
    pub subscribe: bool,
}

impl Actions {
    /// Publishing only.
    pub const PUBLISH: Self = Self {
        publish: true,
        subscribe: false,
    };
    /// Subscribing only.
    pub const SUBSCRIBE: Self = Self {
        publish: false,
        subscribe: true,
    };
    /// Both.
    pub const BOTH: Self = Self {
        publish: true,
        subscribe: true,
    };
}

/// Which users a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserPattern {
    /// Everybody.
    Any,
    /// Exactly this name.
    Exact(Box<str>),
    /// Every name that begins so: `sensor-*` is `Prefix("sensor-")`.
    Prefix(Box<str>),
    /// Every name that has these parts in this order, the first at its beginning, the last at its end:
    /// `a*b*` is `["a", "b", ""]`.
    Parts(Box<[Box<str>]>),
}

impl UserPattern {
    /// Reads a name in which `wildcard` stands for any characters.
    #[must_use]
    pub fn parse(text: &str, wildcard: char) -> Self {
        match text.split_once(wildcard) {
            None => Self::Exact(text.into()),
            Some(("", "")) => Self::Any,
            Some((prefix, "")) => Self::Prefix(prefix.into()),
            Some(_) => Self::Parts(text.split(wildcard).map(Into::into).collect()),
        }
    }

    /// Whether the rule is about this user.
    #[must_use]
    pub fn matches(&self, username: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => **name == *username,
            Self::Prefix(prefix) => username.starts_with(&**prefix),
            Self::Parts(parts) => has_parts(username, parts),
        }
    }
}

fn has_parts(text: &str, parts: &[Box<str>]) -> bool {
    let [first, between @ .., last] = parts else {
        return parts.iter().all(|only| **only == *text);
    };
    let Some(mut rest) = text.strip_prefix(&**first) else {
        return false;
    };
    for part in between {
        // The earliest place leaves most for the parts that follow.
        let Some((_, after)) = rest.split_once(&**part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(&**last)
}

#[cfg(test)]
mod tests {
    use super::UserPattern;

    #[test]
    fn users_are_named_whole_or_in_parts() {
        let cases: [(&str, &[&str], &[&str]); 6] = [
            ("%", &["", "ada", "%"], &[]),
            ("ada", &["ada"], &["", "adam", "Ada"]),
            ("agent-%", &["agent-", "agent-7"], &["agent", "an-agent-7"]),
            ("%-agent", &["-agent", "an-agent"], &["agent", "an-agent-7"]),
            ("a%b%c", &["abc", "a-bb-c", "abcabc"], &["ac", "ab", "cba", "acb"]),
            ("a%a", &["aa", "aba"], &["a", "ab"]),
        ];
        for (pattern, yes, no) in cases {
            let users = UserPattern::parse(pattern, '%');
            assert!(yes.iter().all(|name| users.matches(name)), "{pattern}");
            assert!(!no.iter().any(|name| users.matches(name)), "{pattern}");
        }
    }
}

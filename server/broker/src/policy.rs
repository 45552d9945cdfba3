//! Access rules as data: the canonical form that every documented format compiles to.
//!
//! Reading order does not matter: a matching deny rule wins over every allow rule, an allow rule
//! wins over the default. Patterns are topic filters, matched as MQTT matches them, so a pattern
//! that begins with a wildcard says nothing about topics that begin with `$`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use cloudsignal_core::Qos;

/// How many rules a policy may have.
pub const RULES_MAX: usize = 10_000;

/// The access rules of one organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What happens when no rule matches.
    pub default: Effect,
    /// The rules, at most [`RULES_MAX`].
    pub rules: Vec<Rule>,
}

impl Policy {
    /// Everything is allowed.
    #[must_use]
    pub const fn permit_all() -> Self {
        Self {
            default: Effect::Allow,
            rules: Vec::new(),
        }
    }

    /// Nothing is allowed.
    #[must_use]
    pub const fn deny_all() -> Self {
        Self {
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
    /// A topic filter that may hold `{username}`, `{client_id}`, `{$self}` and `{claim}`.
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

/// Which users a rule is about: an exact name, or a name with one `*` at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserPattern {
    /// Everybody.
    Any,
    /// Exactly this name.
    Exact(Box<str>),
    /// Every name that begins so: `sensor-*` is `Prefix("sensor-")`.
    Prefix(Box<str>),
}

impl UserPattern {
    /// Whether the rule is about this user.
    #[must_use]
    pub fn matches(&self, username: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => **name == *username,
            Self::Prefix(prefix) => username.starts_with(&**prefix),
        }
    }
}

//! What a rule may say, in each list of each format.

use cloudsignal_broker::policy::{Actions, Effect};

/// The kinds of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// In `global` of a policy: about everybody.
    Global,
    /// In `rules` of a policy.
    Rules,
    /// In `publishers` of a policy: may publish.
    Publishers,
    /// In `rules` of a dashboard document.
    Dashboard,
    /// In a rule set.
    RuleSet,
    /// In a list with priorities.
    Priority,
}

impl Dialect {
    /// Every key that means something.
    pub(super) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Global => &[
                "topic",
                "action",
                "effect",
                "binding",
                "require_grant",
                "qos_max",
                "qos",
                "retain",
                "description",
            ],
            Self::Rules => &[
                "user",
                "topic",
                "action",
                "effect",
                "binding",
                "require_grant",
                "qos_max",
                "qos",
                "retain",
                "description",
            ],
            Self::Publishers => &["user", "topic", "qos_max", "qos", "retain", "description"],
            Self::Dashboard => &[
                "user",
                "topic",
                "permission",
                "effect",
                "binding",
                "require_grant",
                "qos_max",
                "qos",
                "retain",
                "description",
            ],
            Self::RuleSet => &[
                "user",
                "topic",
                "permission",
                "binding",
                "require_grant",
                "qos_max",
                "qos",
                "retain",
                "locked",
                "description",
            ],
            Self::Priority => &[
                "priority",
                "permission",
                "action",
                "topic",
                "user",
                "binding",
                "require_grant",
                "qos_max",
                "qos",
                "retain",
                "description",
            ],
        }
    }

    /// What stands for any characters of a user's name.
    pub(super) const fn wildcard(self) -> char {
        match self {
            Self::Global | Self::Rules | Self::Publishers | Self::Dashboard | Self::Priority => '*',
            Self::RuleSet => '%',
        }
    }

    /// Whether a rule has to say whom it is about.
    pub(super) const fn needs_user(self) -> bool {
        match self {
            Self::Publishers | Self::RuleSet => true,
            Self::Global | Self::Rules | Self::Dashboard | Self::Priority => false,
        }
    }

    /// The key that says what a rule is about.
    pub(super) const fn action_key(self) -> &'static str {
        match self {
            Self::Global | Self::Rules | Self::Publishers | Self::Priority => "action",
            Self::Dashboard | Self::RuleSet => "permission",
        }
    }

    /// What may stand there, for the people who wrote something else.
    pub(super) const fn action_words(self) -> &'static str {
        match self {
            Self::Global | Self::Rules | Self::Publishers => "\"pub\", \"sub\" or \"pub+sub\"",
            Self::Dashboard => "\"publish\", \"subscribe\" or \"both\"",
            Self::RuleSet => "\"publish\", \"subscribe\", \"pubsub\" or \"deny\"",
            Self::Priority => "\"publish\", \"subscribe\" or \"both\"",
        }
    }

    /// What a word there means; the effect where the word says that too.
    pub(super) fn action(self, word: &str) -> Option<(Actions, Option<Effect>)> {
        match (self, word) {
            (Self::Global | Self::Rules | Self::Publishers, "pub") => Some((Actions::PUBLISH, None)),
            (Self::Global | Self::Rules | Self::Publishers, "sub") => Some((Actions::SUBSCRIBE, None)),
            (Self::Global | Self::Rules | Self::Publishers, "pub+sub" | "sub+pub") => {
                Some((Actions::BOTH, None))
            }
            (Self::Dashboard | Self::RuleSet | Self::Priority, "publish") => Some((Actions::PUBLISH, None)),
            (Self::Dashboard | Self::RuleSet | Self::Priority, "subscribe") => {
                Some((Actions::SUBSCRIBE, None))
            }
            (Self::Dashboard | Self::RuleSet | Self::Priority, "both" | "pubsub") => {
                Some((Actions::BOTH, None))
            }
            (Self::RuleSet, "deny") => Some((Actions::BOTH, Some(Effect::Deny))),
            (_, _) => None,
        }
    }

    /// The key that says whether a rule allows or denies, if it may.
    pub(super) const fn effect_key(self) -> Option<&'static str> {
        match self {
            Self::Global | Self::Rules | Self::Dashboard => Some("effect"),
            Self::Priority => Some("permission"),
            Self::Publishers | Self::RuleSet => None,
        }
    }
}

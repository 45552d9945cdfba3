//! Which of the documented formats a document is written in.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A way to write access rules. What each looks like and means: `docs/access-control.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `{"version": "2", …}` or `"2.1"`: a default, and rules that may deny; deny wins.
    Policy,
    /// `{"rules": [{"user": "sensor-*", "topic": …, "permission": "publish"}]}`: what is not allowed is denied.
    Dashboard,
    /// `[{"user": "agent-%", "topic": …, "permission": "pubsub"}]`: the first match wins.
    RuleSets,
    /// `[{"priority": 10, "permission": "allow", "action": "publish", "topic": …}]`: the lowest number that
    /// matches wins.
    PriorityList,
    /// Lines such as `pattern subscribe $notifications/%u/inbox/#`; deny wins.
    Text,
}

impl Format {
    /// Recognizes the format. What is none of them is taken for a [`Format::Policy`], whose faults say the most.
    #[must_use]
    pub fn of(source: &Value) -> Self {
        let has = |rules: &[Value], key| rules.iter().any(|rule| rule.get(key).is_some());
        match source {
            Value::String(_) => Self::Text,
            Value::Array(rules) if has(rules, "priority") => Self::PriorityList,
            Value::Array(_) => Self::RuleSets,
            Value::Object(document) => match document.get("rules").and_then(Value::as_array) {
                _ if document.contains_key("version") => Self::Policy,
                _ if document.contains_key("rule_sets") => Self::RuleSets,
                Some(rules) if has(rules, "priority") => Self::PriorityList,
                Some(rules) if rules.is_empty() && document.len() == 1 || has(rules, "permission") => {
                    Self::Dashboard
                }
                Some(_) | None => Self::Policy,
            },
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Policy,
        }
    }

    /// Its name: `rule-sets`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Dashboard => "dashboard",
            Self::RuleSets => "rule-sets",
            Self::PriorityList => "priority-list",
            Self::Text => "text",
        }
    }
}

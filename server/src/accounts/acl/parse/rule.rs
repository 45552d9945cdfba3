//! One rule, field by field.

use serde_json::{Map, Value};

use cloudsignal_broker::policy::{Actions, Effect, Rule, UserPattern};
use cloudsignal_core::Qos;

use super::dialect::Dialect;
use super::pattern::{Binding, is_claim_name};
use super::{Parser, shown};
use crate::accounts::limits::USER_NAME_BYTES_MAX;

impl Parser {
    pub(super) fn rule(&mut self, dialect: Dialect, path: &str, item: &Map<String, Value>) -> Option<Rule> {
        self.check_keys(path, item, dialect.keys());
        self.check_remarks(path, item);
        let user = self.user(path, dialect, item.get("user"));
        let action = self.action(path, dialect, item.get(dialect.action_key()));
        let effect = match (action, dialect.effect_key()) {
            (Some((_, Some(effect))), _) => effect,
            (_, Some(key)) => self.rule_effect(dialect, &format!("{path}.{key}"), item.get(key)),
            (_, None) => Effect::Allow,
        };
        let bound = Binding {
            claim: self.binding(path, item.get("binding")),
            requires_grant: self.yes(&format!("{path}.require_grant"), item.get("require_grant"), false),
            effect,
        };
        let pattern = self.pattern(path, item.get("topic"), &bound);
        let qos_max = self.qos_limit(path, item);
        let retain = self.yes(&format!("{path}.retain"), item.get("retain"), true);
        if effect == Effect::Deny && (qos_max.is_some() || !retain) {
            let advice = "limits belong to allow rules; a deny rule denies everything it matches";
            self.fault(path, "a deny rule has qos_max or retain", advice);
        }
        Some(Rule {
            name: path.into(),
            user: user?,
            pattern: pattern?,
            binding: bound.claim,
            actions: action?.0,
            effect,
            qos_max,
            retain,
        })
    }

    /// Fields that say nothing to the broker.
    fn check_remarks(&mut self, path: &str, item: &Map<String, Value>) {
        self.yes(&format!("{path}.locked"), item.get("locked"), false);
        if let Some(other) = item.get("description").filter(|value| !value.is_string()) {
            let problem = format!("{} is not text", shown(other));
            self.fault(
                format!("{path}.description"),
                problem,
                "write a remark for people",
            );
        }
    }

    fn yes(&mut self, path: &str, value: Option<&Value>, default: bool) -> bool {
        match value {
            None => default,
            Some(&Value::Bool(yes)) => yes,
            Some(other) => {
                self.fault(
                    path,
                    format!("{} is not a yes or no", shown(other)),
                    "write true or false",
                );
                default
            }
        }
    }

    pub(super) fn effect(&mut self, path: &str, value: Option<&Value>, default: Effect) -> Effect {
        match value {
            None => default,
            Some(Value::String(text)) if text == "allow" => Effect::Allow,
            Some(Value::String(text)) if text == "deny" => Effect::Deny,
            Some(other) => {
                self.fault(
                    path,
                    format!("{} is not an effect", shown(other)),
                    "write \"allow\" or \"deny\"",
                );
                default
            }
        }
    }

    /// In lists with priorities it must be said, and is written large as often as small.
    fn rule_effect(&mut self, dialect: Dialect, path: &str, value: Option<&Value>) -> Effect {
        if dialect != Dialect::Priority {
            return self.effect(path, value, Effect::Allow);
        }
        match value {
            None => {
                self.fault(path, "missing", "write \"allow\" or \"deny\"");
                Effect::Deny
            }
            Some(Value::String(text)) => {
                let small = Value::String(text.to_ascii_lowercase());
                self.effect(path, Some(&small), Effect::Deny)
            }
            other => self.effect(path, other, Effect::Deny),
        }
    }

    fn user(&mut self, path: &str, dialect: Dialect, value: Option<&Value>) -> Option<UserPattern> {
        let (path, wildcard) = (format!("{path}.user"), dialect.wildcard());
        let text = match value {
            None if dialect.needs_user() => {
                let advice = format!("name the user, or write \"{wildcard}\" for everybody");
                self.fault(path, "missing", advice);
                return None;
            }
            None => return Some(UserPattern::Any),
            Some(Value::String(text)) => text.as_str(),
            Some(other) => {
                self.fault(
                    path,
                    format!("{} is not a user", shown(other)),
                    format!("write a name, or a beginning and {wildcard}"),
                );
                return None;
            }
        };
        self.user_named(&path, text, wildcard)
    }

    pub(super) fn user_named(&mut self, path: &str, text: &str, wildcard: char) -> Option<UserPattern> {
        if text.is_empty() || text.len() > USER_NAME_BYTES_MAX {
            self.fault(
                path,
                "empty or too long",
                format!("write 1 to {USER_NAME_BYTES_MAX} bytes"),
            );
            return None;
        }
        if text.contains("@org_") {
            let advice = "leave out @ and what follows";
            self.warn(path, "names are compared without their organization", advice);
        }
        let other = if wildcard == '*' { '%' } else { '*' };
        if text.contains(other) {
            let advice = format!("write {wildcard} for any characters");
            self.warn(path, format!("{other} stands for itself in this format"), advice);
        }
        Some(UserPattern::parse(text, wildcard))
    }

    fn action(
        &mut self,
        path: &str,
        dialect: Dialect,
        value: Option<&Value>,
    ) -> Option<(Actions, Option<Effect>)> {
        let value = match dialect {
            Dialect::Publishers => return dialect.action("pub"),
            Dialect::Global | Dialect::Rules | Dialect::Dashboard | Dialect::RuleSet | Dialect::Priority => {
                value
            }
        };
        let action = value
            .and_then(Value::as_str)
            .and_then(|word| dialect.action(word));
        if action.is_none() {
            let key = dialect.action_key();
            let problem = value.map_or("missing".into(), |value| {
                let article = if key == "action" { "an" } else { "a" };
                format!("{} is not {article} {key}", shown(value))
            });
            let advice = format!("write {}", dialect.action_words());
            self.fault(format!("{path}.{key}"), problem, advice);
        }
        action
    }

    /// `qos_max`, or the list `qos` that says the same.
    fn qos_limit(&mut self, path: &str, item: &Map<String, Value>) -> Option<Qos> {
        if let Some(value) = item.get("qos_max") {
            let qos = qos(value);
            if qos.is_none() {
                self.fault(
                    format!("{path}.qos_max"),
                    format!("{} is not a QoS", shown(value)),
                    "write 0, 1 or 2",
                );
            }
            return qos;
        }
        let value = item.get("qos")?;
        let listed = value
            .as_array()
            .map(|list| list.iter().map(qos).collect::<Vec<_>>());
        let max = match listed.as_deref() {
            Some([Some(Qos::AtMostOnce)]) => Some(Qos::AtMostOnce),
            Some([Some(Qos::AtMostOnce), Some(Qos::AtLeastOnce)]) => Some(Qos::AtLeastOnce),
            Some(
                [
                    Some(Qos::AtMostOnce),
                    Some(Qos::AtLeastOnce),
                    Some(Qos::ExactlyOnce),
                ],
            ) => Some(Qos::ExactlyOnce),
            Some(_) | None => None,
        };
        if max.is_none() {
            let advice = "write [0], [0, 1] or [0, 1, 2]: a message may always arrive at a lower QoS";
            let problem = format!("{} is not a list of QoS that begins at 0", shown(value));
            self.fault(format!("{path}.qos"), problem, advice);
        }
        max
    }

    fn binding(&mut self, path: &str, value: Option<&Value>) -> Option<Box<str>> {
        let value = value?;
        match value.as_str().filter(|name| is_claim_name(name)) {
            Some(name) => Some(name.into()),
            None => {
                let advice = "name the claim that {$self} stands for, such as \"email\"";
                self.fault(
                    format!("{path}.binding"),
                    format!("{} is not the name of a claim", shown(value)),
                    advice,
                );
                None
            }
        }
    }
}

fn qos(value: &Value) -> Option<Qos> {
    let number = value.as_u64().and_then(|number| u8::try_from(number).ok());
    number.and_then(Qos::from_bits)
}

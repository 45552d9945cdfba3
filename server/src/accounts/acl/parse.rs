//! From JSON to the broker's rules. Every fault names its place and what to do about it.

use serde_json::{Map, Value};

use cloudsignal_broker::Policy;
use cloudsignal_broker::policy::{Actions, Effect, Precedence, Rule, UserPattern};
use cloudsignal_core::{Qos, TopicFilter};

use super::{DOCUMENT_BYTES_MAX, FAULTS_MAX, PATTERN_BYTES_MAX, PolicyFault, RULES_MAX};
use crate::accounts::limits::USER_NAME_BYTES_MAX;

/// Values that every login has.
const BINDINGS_OF_EVERYBODY: [&str; 3] = ["username", "client_id", "org_short_id"];
/// Values that logins with a token or a password have.
const BINDINGS_KNOWN: [&str; 2] = ["email", "user_id"];
/// Stands for the claim that `binding` names.
const BINDING_SELF: &str = "$self";
/// Longest name of a claim, bytes.
const CLAIM_NAME_BYTES_MAX: usize = 64;

/// The lists of a document, in the order of their rules.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Global,
    Rules,
    Publishers,
}

impl List {
    const ALL: [Self; 3] = [Self::Global, Self::Rules, Self::Publishers];

    const fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Rules => "rules",
            Self::Publishers => "publishers",
        }
    }

    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Global => &["topic", "action", "effect", "binding", "qos_max", "retain"],
            Self::Rules => &[
                "user", "topic", "action", "effect", "binding", "qos_max", "retain",
            ],
            Self::Publishers => &["user", "topic", "qos_max", "retain"],
        }
    }
}

pub(super) fn compile(source: &Value) -> Result<(Policy, Vec<PolicyFault>), Vec<PolicyFault>> {
    let mut parser = Parser {
        faults: Vec::new(),
        warnings: Vec::new(),
    };
    let policy = parser.policy(source);
    match policy {
        Some(policy) if parser.faults.is_empty() => Ok((policy, parser.warnings)),
        Some(_) | None => Err(parser.faults),
    }
}

struct Parser {
    faults: Vec<PolicyFault>,
    warnings: Vec<PolicyFault>,
}

impl Parser {
    fn fault(&mut self, path: impl Into<String>, problem: impl Into<String>, advice: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(PolicyFault {
                path: path.into(),
                problem: problem.into(),
                advice: advice.into(),
            });
        }
    }

    fn warn(&mut self, path: &str, problem: impl Into<String>, advice: impl Into<String>) {
        if self.warnings.len() < FAULTS_MAX {
            let (problem, advice) = (problem.into(), advice.into());
            self.warnings.push(PolicyFault {
                path: path.into(),
                problem,
                advice,
            });
        }
    }

    fn policy(&mut self, source: &Value) -> Option<Policy> {
        let Value::Object(document) = source else {
            self.fault(
                "$",
                "the policy is not an object",
                "write {\"version\": \"2.1\", …}",
            );
            return None;
        };
        if source.to_string().len() > DOCUMENT_BYTES_MAX {
            self.fault(
                "$",
                format!("larger than {DOCUMENT_BYTES_MAX} bytes"),
                "use patterns instead of one rule per topic",
            );
            return None;
        }
        self.check_keys(
            "$",
            document,
            &["version", "default", "global", "rules", "publishers"],
        );
        self.check_version(document);
        let default = self.effect("default", document.get("default"), Effect::Deny);
        let mut rules = Vec::new();
        for list in List::ALL {
            self.list(list, document.get(list.name()), &mut rules);
        }
        Some(Policy {
            precedence: Precedence::DenyWins,
            default,
            rules,
        })
    }

    fn check_version(&mut self, document: &Map<String, Value>) {
        match document.get("version") {
            Some(Value::String(version)) if version == "2.1" || version == "2" => {}
            Some(other) => self.fault(
                "version",
                format!("{other} is not a version we know"),
                "write \"2.1\"",
            ),
            None => self.fault("version", "missing", "write \"version\": \"2.1\""),
        }
    }

    fn check_keys(&mut self, path: &str, object: &Map<String, Value>, known: &[&str]) {
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            let shown: String = key.chars().take(CLAIM_NAME_BYTES_MAX).collect();
            self.fault(
                path,
                format!("\"{shown}\" has no meaning here"),
                format!("use one of: {}", known.join(", ")),
            );
        }
    }

    fn effect(&mut self, path: &str, value: Option<&Value>, default: Effect) -> Effect {
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

    fn list(&mut self, list: List, value: Option<&Value>, rules: &mut Vec<Rule>) {
        let items = match value {
            None => return,
            Some(Value::Array(items)) => items,
            Some(other) => {
                return self.fault(
                    list.name(),
                    format!("{} is not a list", shown(other)),
                    "write [ … ]",
                );
            }
        };
        for (index, item) in items.iter().enumerate() {
            if rules.len() == RULES_MAX {
                let advice = "use wildcards and bindings instead of one rule per user";
                return self.fault(
                    list.name(),
                    format!("the policy has more than {RULES_MAX} rules"),
                    advice,
                );
            }
            let path = format!("{}[{index}]", list.name());
            match item.as_object() {
                Some(rule) => rules.extend(self.rule(list, &path, rule)),
                None => {
                    let advice = "write { \"topic\": …, \"action\": … }";
                    self.fault(path, format!("{} is not a rule", shown(item)), advice);
                }
            }
        }
    }

    fn rule(&mut self, list: List, path: &str, item: &Map<String, Value>) -> Option<Rule> {
        self.check_keys(path, item, list.keys());
        let user = self.user(path, list, item.get("user"));
        let effect = self.effect(&format!("{path}.effect"), item.get("effect"), Effect::Allow);
        let binding = self.binding(path, item.get("binding"));
        let pattern = self.pattern(path, item.get("topic"), binding.as_deref(), effect);
        let actions = match list {
            List::Publishers => Some(Actions {
                publish: true,
                subscribe: false,
            }),
            List::Global | List::Rules => self.actions(path, item.get("action")),
        };
        let qos_max = self.qos_max(path, item.get("qos_max"));
        let retain = match item.get("retain") {
            None => true,
            Some(&Value::Bool(retain)) => retain,
            Some(other) => {
                self.fault(
                    format!("{path}.retain"),
                    format!("{} is not a yes or no", shown(other)),
                    "write true or false",
                );
                true
            }
        };
        if effect == Effect::Deny && (qos_max.is_some() || !retain) {
            let advice = "limits belong to allow rules; a deny rule denies everything it matches";
            self.fault(path, "a deny rule has qos_max or retain", advice);
        }
        Some(Rule {
            name: path.into(),
            user: user?,
            pattern: pattern?,
            binding,
            actions: actions?,
            effect,
            qos_max,
            retain,
        })
    }

    fn user(&mut self, path: &str, list: List, value: Option<&Value>) -> Option<UserPattern> {
        let path = format!("{path}.user");
        let text = match value {
            None if list == List::Publishers => {
                self.fault(path, "missing", "name the user who may publish, or \"*\"");
                return None;
            }
            None => return Some(UserPattern::Any),
            Some(Value::String(text)) => text.as_str(),
            Some(other) => {
                self.fault(
                    path,
                    format!("{} is not a user", shown(other)),
                    "write a name, or a beginning and *",
                );
                return None;
            }
        };
        if text.is_empty() || text.len() > USER_NAME_BYTES_MAX {
            self.fault(
                path,
                "empty or too long",
                format!("write 1 to {USER_NAME_BYTES_MAX} bytes"),
            );
            return None;
        }
        match text.strip_suffix('*') {
            Some("") => Some(UserPattern::Any),
            Some(prefix) if !prefix.contains('*') => Some(UserPattern::Prefix(prefix.into())),
            None if !text.contains('*') => {
                if text.contains("@org_") {
                    self.warn(
                        &path,
                        "names are compared without their organization",
                        "leave out @ and what follows",
                    );
                }
                Some(UserPattern::Exact(text.into()))
            }
            Some(_) | None => {
                self.fault(
                    path,
                    "* stands in the middle",
                    "write * only at the end: \"sensor-*\"",
                );
                None
            }
        }
    }

    fn actions(&mut self, path: &str, value: Option<&Value>) -> Option<Actions> {
        let path = format!("{path}.action");
        let actions = match value {
            Some(Value::String(text)) => match text.as_str() {
                "pub" => Some(Actions {
                    publish: true,
                    subscribe: false,
                }),
                "sub" => Some(Actions {
                    publish: false,
                    subscribe: true,
                }),
                "pub+sub" | "sub+pub" => Some(Actions {
                    publish: true,
                    subscribe: true,
                }),
                _ => None,
            },
            Some(_) | None => None,
        };
        if actions.is_none() {
            let problem = value.map_or("missing".into(), |value| {
                format!("{} is not an action", shown(value))
            });
            self.fault(path, problem, "write \"pub\", \"sub\" or \"pub+sub\"");
        }
        actions
    }

    fn qos_max(&mut self, path: &str, value: Option<&Value>) -> Option<Qos> {
        let value = value?;
        let qos = value
            .as_u64()
            .and_then(|number| u8::try_from(number).ok())
            .and_then(Qos::from_bits);
        if qos.is_none() {
            self.fault(
                format!("{path}.qos_max"),
                format!("{} is not a QoS", shown(value)),
                "write 0, 1 or 2",
            );
        }
        qos
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

    fn pattern(
        &mut self,
        path: &str,
        value: Option<&Value>,
        binding: Option<&str>,
        effect: Effect,
    ) -> Option<Box<str>> {
        let path = format!("{path}.topic");
        let Some(Value::String(text)) = value else {
            let problem = value.map_or("missing".into(), |value| format!("{} is not text", shown(value)));
            self.fault(
                path,
                problem,
                "write a topic filter, such as \"data/{username}/#\"",
            );
            return None;
        };
        if text.len() > PATTERN_BYTES_MAX {
            self.fault(
                path,
                format!("longer than {PATTERN_BYTES_MAX} bytes"),
                "use wildcards",
            );
            return None;
        }
        let sample = self.check_bindings(&path, text, binding, effect)?;
        if sample.starts_with("$share/") {
            self.fault(
                path,
                "a shared subscription is not a topic",
                "write what follows $share/group/",
            );
            return None;
        }
        if let Err(error) = TopicFilter::parse(&sample) {
            self.fault(
                path,
                error.to_string(),
                "write + for one level, and # only as the last level",
            );
            return None;
        }
        Some(text.as_str().into())
    }

    /// Checks the bindings of a pattern; answers the pattern with `x` for each.
    fn check_bindings(
        &mut self,
        path: &str,
        text: &str,
        binding: Option<&str>,
        effect: Effect,
    ) -> Option<String> {
        let (mut sample, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}').filter(|_| !before.contains('}')) else {
                self.fault(path, "a { without its }", "write bindings as {username}");
                return None;
            };
            if !self.check_binding(path, name, binding, effect) {
                return None;
            }
            sample.push_str(before);
            sample.push('x');
            rest = after;
        }
        if rest.contains('}') {
            self.fault(path, "a } without its {", "write bindings as {username}");
            return None;
        }
        sample.push_str(rest);
        Some(sample)
    }

    fn check_binding(&mut self, path: &str, name: &str, binding: Option<&str>, effect: Effect) -> bool {
        // A rule whose binding has no usable value says nothing. For a deny that would mean "allowed",
        // and whoever picks the value (a client id, say) could pick one that is not usable.
        if effect == Effect::Deny && name != "username" {
            let advice = "in deny rules use {username}, + or #";
            self.fault(
                path,
                format!("a deny rule would say nothing where {{{name}}} has no value"),
                advice,
            );
            return false;
        }
        let claim = if name == BINDING_SELF { binding } else { Some(name) };
        let Some(claim) = claim else {
            self.fault(
                path,
                "{$self} without a binding",
                "add \"binding\": \"email\" or another claim",
            );
            return false;
        };
        if !is_claim_name(claim) {
            self.fault(
                path,
                "not a name of a value in { }",
                "use {username}, {client_id}, {email}, {user_id} or {$self}",
            );
            return false;
        }
        if !BINDINGS_OF_EVERYBODY.contains(&claim) && !BINDINGS_KNOWN.contains(&claim) {
            let advice =
                "check its spelling: {username}, {client_id}, {email} and {user_id} are always there";
            self.warn(
                path,
                format!("only logins that carry the claim \"{claim}\" can use this rule"),
                advice,
            );
        }
        true
    }
}

fn is_claim_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    !name.is_empty() && name.len() <= CLAIM_NAME_BYTES_MAX && name.bytes().all(plain)
}

/// A value in an error message: short, whatever it was.
fn shown(value: &Value) -> String {
    const CHARS_MAX: usize = 40;
    let text = value.to_string();
    if text.chars().count() <= CHARS_MAX {
        text
    } else {
        text.chars().take(CHARS_MAX).chain(['…']).collect()
    }
}

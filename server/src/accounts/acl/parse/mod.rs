//! From documents to the broker's rules. Every fault names its place and what to do about it.
//!
//! | file | holds |
//! |---|---|
//! | this | the documents as a whole |
//! | [`dialect`] | which words each kind of rule uses |
//! | `rule` | one rule, field by field |
//! | `pattern` | its topic, with what is bound |
//! | `text` | the format that is lines instead of JSON |

mod dialect;
mod pattern;
mod rule;
mod text;

use serde_json::{Map, Value};

use cloudsignal_broker::Policy;
use cloudsignal_broker::policy::{Effect, Precedence, Rule};

use super::format::Format;
use super::lint;
use super::{DOCUMENT_BYTES_MAX, FAULTS_MAX, PolicyFault, RULES_MAX};
use dialect::Dialect;

/// Longest name of a claim or of an unknown key that is repeated in a fault, bytes.
const CLAIM_NAME_BYTES_MAX: usize = 64;

/// A policy and its warnings, or what is wrong with it.
pub(super) fn compile(source: &Value) -> Result<(Policy, Vec<PolicyFault>), Vec<PolicyFault>> {
    let mut parser = Parser {
        faults: Vec::new(),
        warnings: Vec::new(),
        has_self: true,
    };
    let policy = parser.document(source);
    match policy {
        Some(policy) if parser.faults.is_empty() => {
            let room = FAULTS_MAX.saturating_sub(parser.warnings.len());
            parser.warnings.extend(lint::look_at(&policy).take(room));
            Ok((policy, parser.warnings))
        }
        Some(_) | None => Err(parser.faults),
    }
}

struct Parser {
    faults: Vec<PolicyFault>,
    warnings: Vec<PolicyFault>,
    /// Whether the document's version knows `{$self}`.
    has_self: bool,
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

    fn document(&mut self, source: &Value) -> Option<Policy> {
        if bytes_of(source) > DOCUMENT_BYTES_MAX {
            self.fault(
                "$",
                format!("larger than {DOCUMENT_BYTES_MAX} bytes"),
                "use patterns instead of one rule per topic",
            );
            return None;
        }
        match (Format::of(source), source) {
            (Format::Text, Value::String(lines)) => Some(self.text(lines)),
            (Format::RuleSets, Value::Array(rules)) => Some(self.rule_sets("", rules)),
            (Format::RuleSets, Value::Object(document)) => {
                self.check_keys("$", document, &["rule_sets"]);
                let sets = self.items("rule_sets", document.get("rule_sets"))?;
                Some(self.rule_sets("rule_sets", sets))
            }
            (Format::PriorityList, Value::Array(rules)) => Some(self.priorities("", rules)),
            (Format::PriorityList, Value::Object(document)) => {
                self.check_keys("$", document, &["rules"]);
                let rules = self.items("rules", document.get("rules"))?;
                Some(self.priorities("rules", rules))
            }
            (Format::Dashboard, Value::Object(document)) => self.dashboard(document),
            (Format::Policy, Value::Object(document)) => Some(self.policy(document)),
            (_, _) => {
                self.fault(
                    "$",
                    "the policy is not an object",
                    "write {\"version\": \"2.1\", …}",
                );
                None
            }
        }
    }

    fn policy(&mut self, document: &Map<String, Value>) -> Policy {
        let keys = ["version", "default", "global", "rules", "publishers"];
        self.check_keys("$", document, &keys);
        self.check_version(document);
        let default = self.effect("default", document.get("default"), Effect::Deny);
        let mut rules = Vec::new();
        let lists = [Dialect::Global, Dialect::Rules, Dialect::Publishers];
        for (dialect, name) in lists.into_iter().zip(["global", "rules", "publishers"]) {
            if let Some(items) = self.items(name, document.get(name)) {
                self.list(dialect, name, items, &mut rules);
            }
        }
        Policy {
            precedence: Precedence::DenyWins,
            default,
            rules,
        }
    }

    fn check_version(&mut self, document: &Map<String, Value>) {
        match document.get("version") {
            Some(Value::String(version)) if version == "2.1" => {}
            Some(Value::String(version)) if version == "2" => self.has_self = false,
            Some(other) => self.fault(
                "version",
                format!("{} is not a version we know", shown(other)),
                "write \"2.1\"",
            ),
            None => self.fault("version", "missing", "write \"version\": \"2.1\""),
        }
    }

    fn dashboard(&mut self, document: &Map<String, Value>) -> Option<Policy> {
        self.check_keys("$", document, &["rules", "exclusive_subscriptions"]);
        if document
            .get("exclusive_subscriptions")
            .is_some_and(|value| *value != Value::Bool(false))
        {
            self.fault(
                "exclusive_subscriptions",
                "not supported: what it restricts is documented nowhere, and this server does not guess at rules",
                "leave it out, or make it false; where one of many is to get each message, let them subscribe to \
                 $share/GROUP/FILTER",
            );
        }
        let items = self.items("rules", document.get("rules"))?;
        let mut rules = Vec::new();
        self.list(Dialect::Dashboard, "rules", items, &mut rules);
        Some(Policy {
            precedence: Precedence::DenyWins,
            default: Effect::Deny,
            rules,
        })
    }

    /// Rules, or sets of rules with a name, in the order in which they are asked.
    fn rule_sets(&mut self, path: &str, sets: &[Value]) -> Policy {
        let mut rules = Vec::new();
        for (index, item) in sets.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match item.as_object().filter(|set| set.contains_key("rules")) {
                None => self.item(Dialect::RuleSet, path, item, &mut rules),
                Some(set) => {
                    self.check_keys(&path, set, &["name", "description", "rules"]);
                    let path = format!("{path}.rules");
                    if let Some(items) = self.items(&path, set.get("rules")) {
                        self.list(Dialect::RuleSet, &path, items, &mut rules);
                    }
                }
            }
        }
        let default = if rules.is_empty() {
            let advice = "the first rule changes that: from then on only what a rule allows is allowed";
            self.warn("$", "without a rule everything is allowed", advice);
            Effect::Allow
        } else {
            Effect::Deny
        };
        Policy {
            precedence: Precedence::FirstMatch,
            default,
            rules,
        }
    }

    /// Rules in the order of their priorities; those of the same priority in the order of the document.
    fn priorities(&mut self, path: &str, items: &[Value]) -> Policy {
        let mut by_priority = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let priority = item.get("priority").and_then(Value::as_i64);
            if priority.is_none() && item.is_object() {
                self.fault(
                    format!("{path}.priority"),
                    "missing, or not a whole number",
                    "write a number; the lowest that matches decides",
                );
            }
            by_priority.push((priority, path, item));
        }
        by_priority.sort_by_key(|(priority, ..)| *priority);
        let mut rules = Vec::new();
        for (_, path, item) in by_priority {
            self.item(Dialect::Priority, path, item, &mut rules);
        }
        Policy {
            precedence: Precedence::FirstMatch,
            default: Effect::Deny,
            rules,
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

    /// The items of a list; `None` when it is absent or something else.
    fn items<'v>(&mut self, path: &str, value: Option<&'v Value>) -> Option<&'v [Value]> {
        let value = value?;
        let items = value.as_array();
        if items.is_none() {
            self.fault(path, format!("{} is not a list", shown(value)), "write [ … ]");
        }
        items.map(Vec::as_slice)
    }

    fn list(&mut self, dialect: Dialect, name: &str, items: &[Value], rules: &mut Vec<Rule>) {
        for (index, item) in items.iter().enumerate() {
            self.item(dialect, format!("{name}[{index}]"), item, rules);
        }
    }

    fn item(&mut self, dialect: Dialect, path: String, item: &Value, rules: &mut Vec<Rule>) {
        if self.is_full(&path, rules) {
            return;
        }
        match item.as_object() {
            Some(rule) => rules.extend(self.rule(dialect, &path, rule)),
            None => {
                let advice = format!("write {{ \"topic\": …, \"{}\": … }}", dialect.action_key());
                self.fault(path, format!("{} is not a rule", shown(item)), advice);
            }
        }
    }

    fn is_full(&mut self, path: &str, rules: &[Rule]) -> bool {
        let is_full = rules.len() >= RULES_MAX;
        if is_full
            && self
                .faults
                .iter()
                .all(|fault| !fault.problem.contains("more than"))
        {
            let advice = "use wildcards and bindings instead of one rule per user";
            self.fault(
                path,
                format!("the policy has more than {RULES_MAX} rules"),
                advice,
            );
        }
        is_full
    }
}

/// How large a document is, without writing it down.
fn bytes_of(source: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, source).map_or(usize::MAX, |()| count.0)
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

//! Rules as lines, in the way of other brokers:
//!
//! ```text
//! # about everybody, until a user is named
//! topic read public/#
//! user reporter
//! topic write reports/#
//! # about everybody, wherever it stands: %u is the user's name, %c the client id
//! pattern subscribe $notifications/%u/inbox/#
//! ```

use cloudsignal_broker::Policy;
use cloudsignal_broker::policy::{Actions, Effect, Precedence, Rule, UserPattern};

use super::Parser;
use super::pattern::Binding;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Topic,
    Pattern,
}

impl Parser {
    pub(super) fn text(&mut self, lines: &str) -> Policy {
        let (mut rules, mut user) = (Vec::new(), Some(UserPattern::Any));
        for (number, line) in (1..).zip(lines.lines()) {
            let path = format!("line {number}");
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let rest = rest.trim();
            let kind = match word {
                "user" => {
                    // The name stands for itself: this format knows no patterns of users.
                    let is_named = self.user_named(&path, rest, '\0').is_some();
                    user = is_named.then(|| UserPattern::Exact(rest.into()));
                    continue;
                }
                "topic" => Kind::Topic,
                "pattern" => Kind::Pattern,
                _ => {
                    let problem = "does not begin with user, topic, pattern or #";
                    self.fault(path, problem, "write: topic read public/#");
                    continue;
                }
            };
            let about = match kind {
                Kind::Topic => user.clone(),
                Kind::Pattern => Some(UserPattern::Any),
            };
            if self.is_full(&path, &rules) {
                break;
            }
            rules.extend(
                self.line(path, kind, rest)
                    .zip(about)
                    .map(|(rule, user)| Rule { user, ..rule }),
            );
        }
        Policy {
            precedence: Precedence::DenyWins,
            default: Effect::Deny,
            rules,
        }
    }

    fn line(&mut self, path: String, kind: Kind, rest: &str) -> Option<Rule> {
        let (word, topic) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let said = actions(word);
        let topic = if said.is_some() { topic.trim() } else { rest };
        if topic.is_empty() {
            let advice = "write: topic read public/#, with read, write, readwrite or deny";
            self.fault(path, "names no topic", advice);
            return None;
        }
        let (publish, subscribe, effect) = said.unwrap_or((true, true, Effect::Allow));
        let bound = Binding {
            claim: None,
            requires_grant: false,
            effect,
        };
        let topic = match kind {
            Kind::Topic => topic.to_owned(),
            Kind::Pattern => topic.replace("%u", "{username}").replace("%c", "{client_id}"),
        };
        if kind == Kind::Topic && (topic.contains("%u") || topic.contains("%c")) {
            self.warn(
                &path,
                "%u and %c stand for themselves here",
                "begin the line with pattern",
            );
        }
        let pattern = self.pattern_of(&path, &topic, &bound)?;
        Some(Rule {
            name: path.into(),
            user: UserPattern::Any,
            pattern,
            binding: None,
            actions: Actions { publish, subscribe },
            effect,
            qos_max: None,
            retain: true,
        })
    }
}

/// Publish, subscribe, and whether that is allowed.
fn actions(word: &str) -> Option<(bool, bool, Effect)> {
    match word {
        "read" | "subscribe" => Some((false, true, Effect::Allow)),
        "write" | "publish" => Some((true, false, Effect::Allow)),
        "readwrite" | "pubsub" | "both" => Some((true, true, Effect::Allow)),
        "deny" => Some((true, true, Effect::Deny)),
        _ => None,
    }
}

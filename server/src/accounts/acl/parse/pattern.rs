//! The topic of a rule: a filter that may name values.

use serde_json::Value;

use cloudsignal_broker::policy::Effect;
use cloudsignal_core::TopicFilter;

use super::{CLAIM_NAME_BYTES_MAX, Parser, shown};
use crate::accounts::acl::PATTERN_BYTES_MAX;

/// Values that every login has.
const BINDINGS_OF_EVERYBODY: [&str; 3] = ["username", "client_id", "org_short_id"];
/// Claims that the documentation names; no spelling mistakes.
const BINDINGS_KNOWN: [&str; 5] = ["email", "user_id", "agent_id", "session_id", CHANNEL];
/// Stands for the claim that `binding` names.
const BINDING_SELF: &str = "$self";
/// A value that clients choose, unless the rule requires that they were granted it.
const CHANNEL: &str = "channel";

/// What a rule says about its bindings.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    /// What `{$self}` stands for.
    pub(super) claim: Option<Box<str>>,
    /// Whether a channel must be a claim of the login.
    pub(super) requires_grant: bool,
    pub(super) effect: Effect,
}

impl Parser {
    pub(super) fn pattern(&mut self, path: &str, value: Option<&Value>, bound: &Binding) -> Option<Box<str>> {
        let topic_path = format!("{path}.topic");
        match value {
            Some(Value::String(text)) => {
                let pattern = self.pattern_of(&topic_path, text, bound)?;
                self.check_binding_used(path, text, bound);
                Some(pattern)
            }
            other => {
                let problem = other.map_or("missing".into(), |value| format!("{} is not text", shown(value)));
                let advice = "write a topic filter, such as \"data/{username}/#\"";
                self.fault(topic_path, problem, advice);
                None
            }
        }
    }

    /// Checks a pattern; answers it with open channels as `+`.
    pub(super) fn pattern_of(&mut self, path: &str, text: &str, bound: &Binding) -> Option<Box<str>> {
        if text.len() > PATTERN_BYTES_MAX {
            self.fault(
                path,
                format!("longer than {PATTERN_BYTES_MAX} bytes"),
                "use wildcards",
            );
            return None;
        }
        let sample = self.check_bindings(path, text, bound)?;
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
        self.open_channels(path, text, bound)
    }

    /// Checks the bindings of a pattern; answers the pattern with `x` for each.
    fn check_bindings(&mut self, path: &str, text: &str, bound: &Binding) -> Option<String> {
        let (mut sample, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}').filter(|_| !before.contains('}')) else {
                self.fault(path, "a { without its }", "write bindings as {username}");
                return None;
            };
            if !self.check_binding(path, name, bound) {
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

    fn check_binding(&mut self, path: &str, name: &str, bound: &Binding) -> bool {
        if name == BINDING_SELF && !self.has_self {
            self.fault(
                path,
                "{$self} is not known in version 2",
                "write \"version\": \"2.1\"",
            );
            return false;
        }
        let Some(claim) = claim_of(name, bound) else {
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
        if bound.effect == Effect::Deny && claim == "client_id" {
            let advice = "deny by {username}, or for everybody with +";
            self.warn(
                path,
                "clients choose their client ids, so this denies little",
                advice,
            );
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

    /// A channel that nobody has to be granted is any channel: its level is read as `+`.
    fn open_channels(&mut self, path: &str, text: &str, bound: &Binding) -> Option<Box<str>> {
        let names_channel = |level: &str| {
            let names = cloudsignal_broker::authz::bindings(level);
            names
                .into_iter()
                .any(|name| claim_of(name, bound) == Some(CHANNEL))
        };
        if bound.requires_grant || !text.split('/').any(names_channel) {
            return Some(text.into());
        }
        let rule = path.strip_suffix(".topic").unwrap_or(path);
        let advice =
            "it means every channel; with \"require_grant\": true only the channel in the login's claims";
        self.warn(rule, "channel binding without require_grant", advice);
        let mut levels = Vec::new();
        for level in text.split('/') {
            let is_whole = matches!(level, "{channel}" | "{$self}");
            match (names_channel(level), is_whole) {
                (false, _) => levels.push(level),
                (true, true) => levels.push("+"),
                (true, false) => {
                    let advice = "write it alone between slashes, or add \"require_grant\": true";
                    self.fault(
                        path,
                        "a channel that nobody is granted is a part of a level",
                        advice,
                    );
                    return None;
                }
            }
        }
        Some(levels.join("/").into())
    }

    fn check_binding_used(&mut self, path: &str, text: &str, bound: &Binding) {
        let Some(claim) = bound.claim.as_deref() else {
            return;
        };
        let names = cloudsignal_broker::authz::bindings(text);
        if !names.iter().any(|name| *name == BINDING_SELF || *name == claim) {
            let advice = format!("write {{$self}} or {{{claim}}} in the topic, or leave the binding out");
            self.warn(
                &format!("{path}.binding"),
                "the topic does not use the binding",
                advice,
            );
        }
    }
}

/// What a name in a pattern stands for; `None` for `{$self}` without a binding.
fn claim_of<'a>(name: &'a str, bound: &'a Binding) -> Option<&'a str> {
    if name == BINDING_SELF {
        bound.claim.as_deref()
    } else {
        Some(name)
    }
}

pub(super) fn is_claim_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    !name.is_empty() && name.len() <= CLAIM_NAME_BYTES_MAX && name.bytes().all(plain)
}

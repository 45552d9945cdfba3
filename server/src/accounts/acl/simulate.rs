//! May this one do that? Asked of any document, saved or not, by the same function that the broker asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use cloudsignal_broker::authz::{self, CompiledPolicy, Decider, Decision, Grants};
use cloudsignal_broker::identity::CLAIMS_MAX;
use cloudsignal_broker::policy::{Effect, Rule};
use cloudsignal_broker::{Access, Credential, Identity, OrgId};
use cloudsignal_core::{Qos, TopicFilter, TopicName};

use super::PolicyDocument;
use crate::accounts::names::OrgRef;

/// What is asked. Field names other than these are refused.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The user's name, with or without `@organization`.
    pub username: String,
    /// The client id; rules with `{client_id}` say nothing without one.
    #[serde(default)]
    pub client_id: String,
    /// Claims that the login carries, such as `{"email": "ada@example.com"}`; at most 32.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// A topic; for `subscribe` a filter.
    pub topic: String,
    /// What is tried.
    pub action: Action,
    /// At which QoS, 0 to 2.
    #[serde(default)]
    #[schema(maximum = 2)]
    pub qos: u8,
    /// Whether what is published shall be retained.
    #[serde(default)]
    pub retain: bool,
    /// A document to ask instead of the one in force, in any format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub policy: Option<Value>,
}

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A message is published.
    #[serde(alias = "pub")]
    Publish,
    /// A filter is subscribed to.
    #[serde(alias = "sub")]
    Subscribe,
    /// A message is delivered to a subscription.
    Receive,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verdict {
    /// Yes or no.
    pub allowed: bool,
    /// What decided.
    pub decided_by: DecidedBy,
    /// The deciding rule's place, such as `rules[3]` or `line 7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The deciding rule as it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_source: Option<Value>,
    /// The deciding rule's topic with the values of this login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// In a sentence.
    pub reason: String,
    /// For `subscribe`: the QoS that is granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_qos: Option<u8>,
    /// For `subscribe`: whether deny rules keep back some of what the filter matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partly_kept_back: Option<bool>,
    /// Allow rules about this user that say nothing because a value is missing or cannot be used; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent_rules: Vec<String>,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// A rule.
    Rule,
    /// The default: no rule speaks about it.
    Default,
    /// Topics under `$SYS/` are the broker's.
    Sys,
}

/// Silent rules that are told.
const SILENT_RULES_MAX: usize = 20;
/// Longest name, client id or value, bytes.
const VALUE_BYTES_MAX: usize = 1_024;

/// Answers a question about a document.
///
/// # Errors
/// Which field of the question cannot be used, and why.
pub fn simulate(
    document: &PolicyDocument,
    org: &OrgId,
    question: &Question,
) -> Result<Verdict, (&'static str, String)> {
    let qos = Qos::from_bits(question.qos).ok_or_else(|| ("qos", "must be 0, 1 or 2".to_owned()))?;
    check_sizes(question)?;
    let identity = identity(org, question);
    let policy = CompiledPolicy::new(document.policy().clone());
    let grants = Grants::new(&policy, &identity, &question.client_id);
    let unfit = |error: cloudsignal_core::topic::TopicError| ("topic", error.to_string());
    let (decision, permit) = match question.action {
        Action::Subscribe => {
            let filter = TopicFilter::parse(&question.topic).map_err(unfit)?;
            let (decision, permit) = grants.decide_subscribe(filter, qos);
            (decision, Some(permit))
        }
        Action::Publish => {
            let topic = TopicName::parse(&question.topic).map_err(unfit)?;
            (grants.decide_publish(topic, qos, question.retain), None)
        }
        Action::Receive => {
            let topic = TopicName::parse(&question.topic).map_err(unfit)?;
            (grants.decide_delivery(topic), None)
        }
    };
    let allowed = decision.effect == Effect::Allow;
    let permit = permit.filter(|_| allowed);
    let mut verdict = told(document, &identity, question, decision);
    verdict.granted_qos = permit.map(|permit| permit.qos().bits());
    verdict.partly_kept_back = permit.map(|permit| !permit.covered());
    verdict.silent_rules = silent_rules(document, &identity, question);
    Ok(verdict)
}

fn check_sizes(question: &Question) -> Result<(), (&'static str, String)> {
    let too_long = |text: &str| text.len() > VALUE_BYTES_MAX;
    let fault = || format!("is longer than {VALUE_BYTES_MAX} bytes");
    if question.username.is_empty() {
        return Err(("username", "is empty".into()));
    }
    if too_long(&question.username) {
        return Err(("username", fault()));
    }
    if too_long(&question.client_id) {
        return Err(("client_id", fault()));
    }
    if question.claims.len() > CLAIMS_MAX {
        return Err(("claims", format!("are more than {CLAIMS_MAX}")));
    }
    let mut claims = question.claims.iter();
    if claims.any(|(name, value)| too_long(name) || too_long(value)) {
        return Err(("claims", format!("hold a name or value that {}", fault())));
    }
    Ok(())
}

fn identity(org: &OrgId, question: &Question) -> Identity {
    let named = question.username.rsplit_once('@');
    let name = named.filter(|(name, org)| !name.is_empty() && OrgRef::parse(org).is_some());
    let name = name.map_or(question.username.as_str(), |(name, _)| name);
    let claims = question.claims.iter();
    Identity {
        org: org.clone(),
        username: name.into(),
        principal: name.into(),
        credential: Credential::Anonymous,
        claims: claims
            .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect(),
        expires_at: None,
        access: Access::Policy,
        scope: None,
    }
}

fn told(document: &PolicyDocument, identity: &Identity, question: &Question, decision: Decision) -> Verdict {
    let allowed = decision.effect == Effect::Allow;
    let mut verdict = Verdict {
        allowed,
        decided_by: DecidedBy::Default,
        rule: None,
        rule_source: None,
        pattern: None,
        reason: String::new(),
        granted_qos: None,
        partly_kept_back: None,
        silent_rules: Vec::new(),
    };
    let says = if allowed { "allows" } else { "denies" };
    match decision.by {
        Decider::Rule(index) => {
            let rule = &document.policy().rules[index];
            let pattern = authz::pattern_for(rule, identity, &question.client_id).unwrap_or_default();
            verdict.reason = format!("{} {says} {pattern} to {}", rule.name, identity.username);
            verdict.decided_by = DecidedBy::Rule;
            verdict.rule = Some(rule.name.to_string());
            verdict.rule_source = document.rule_source(&rule.name);
            verdict.pattern = Some(pattern);
        }
        Decider::Sys => {
            verdict.decided_by = DecidedBy::Sys;
            verdict.reason = "topics under $SYS/ are published by the broker only".into();
        }
        Decider::Default | Decider::Scope | Decider::FullAccess => {
            let what = match question.action {
                Action::Subscribe => "no rule is about all of this filter",
                Action::Publish | Action::Receive => "no rule speaks about this",
            };
            verdict.reason = format!("{what}; the default {says} it");
        }
    }
    verdict
}

/// Allow rules that would be about this, had the login the values they name.
fn silent_rules(document: &PolicyDocument, identity: &Identity, question: &Question) -> Vec<String> {
    let is_about = |rule: &&Rule| {
        let is_action = match question.action {
            Action::Publish => rule.actions.publish,
            Action::Subscribe | Action::Receive => rule.actions.subscribe,
        };
        is_action && rule.user.matches(&identity.username)
    };
    let is_silent = |rule: &&Rule| authz::pattern_for(rule, identity, &question.client_id).is_none();
    let rules = document.policy().rules.iter().filter(is_about).filter(is_silent);
    rules
        .map(|rule| rule.name.to_string())
        .take(SILENT_RULES_MAX)
        .collect()
}

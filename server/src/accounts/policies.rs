//! The policy of an organization: shown, checked, tried out and replaced.

use serde_json::Value;

use cloudsignal_broker::policy::UserPattern;

use super::account::Account;
use super::acl::{self, AclReport, FAULTS_MAX, PolicyDocument, PolicyFault, Question};
use super::audit::Trail;
use super::command::{CommandError, Outcome, PolicySource};
use super::directory::{Directory, event};
use super::event::AccountChange;
use super::names::SERVER_USER;
use super::record::{self, encode, key_of};
use crate::store::{Commit, Expect, Table};

impl Directory {
    pub(super) fn acl_get(&self, org: &str) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let state = account.state.read();
        Ok(Outcome::Acl(state.policy.view()))
    }

    /// Replaces the policy; with `if_match` only when it is still the one with one of these etags.
    pub(super) async fn acl_set(
        &self,
        trail: Trail,
        org: &str,
        policy: PolicySource,
        if_match: Option<&[String]>,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let document = match policy {
            PolicySource::Preset(preset) => PolicyDocument::of_preset(preset),
            PolicySource::Document(source) => {
                PolicyDocument::parse(source).map_err(|faults| CommandError::Policy { faults })?
            }
        };
        let gate = self.lock(&account).await?;
        if let Some(etags) = if_match {
            let etag = account.state.read().policy.etag();
            if !etags.contains(&etag) {
                return Err(CommandError::Stale {
                    what: "policy".into(),
                });
            }
        }
        let key = key_of(&account.id, record::ACL, "");
        let commit = Commit::new().put(Table::Config, key, Expect::Any, encode(document.source()));
        let answer = Outcome::Acl(document.view());
        self.change(&account, trail, commit, Some(gate), move |_, account| {
            account.state.write().policy = document;
            vec![event(&account.id, AccountChange::PolicyChanged)]
        })
        .await?;
        Ok(answer)
    }

    /// What a document says by itself, and what it says about users that are not there.
    pub(super) fn acl_validate(&self, org: &str, document: Value) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let report = match PolicyDocument::parse(document) {
            Err(faults) => AclReport::of_faults(faults),
            Ok(document) => {
                let mut report = AclReport::of(&document);
                let room = FAULTS_MAX.saturating_sub(report.warnings.len());
                report
                    .warnings
                    .extend(unknown_users(&account, &document).into_iter().take(room));
                report
            }
        };
        Ok(Outcome::AclReport(report))
    }

    pub(super) fn acl_simulate(&self, org: &str, mut question: Question) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let tried = question.policy.take().map(PolicyDocument::parse).transpose();
        let tried = tried.map_err(|faults| CommandError::Policy { faults })?;
        let verdict = match &tried {
            Some(document) => acl::simulate(document, &account.id, &question),
            None => acl::simulate(&account.state.read().policy, &account.id, &question),
        };
        verdict
            .map(Outcome::AclVerdict)
            .map_err(|(field, problem)| CommandError::invalid(field, problem))
    }
}

/// Rules about one user whom the organization does not have. Tokens and identity providers may bring more
/// users than it has, so this is no fault.
fn unknown_users(account: &Account, document: &PolicyDocument) -> Vec<PolicyFault> {
    let state = account.state.read();
    let rules = document.policy().rules.iter();
    rules
        .filter_map(|rule| match &rule.user {
            UserPattern::Exact(name) if **name != *SERVER_USER && !state.users.contains_key(name) => {
                Some(PolicyFault {
                    path: rule.name.to_string(),
                    problem: format!("the organization has no user {name:?}"),
                    advice: "check the spelling, unless tokens or an identity provider bring this name"
                        .into(),
                })
            }
            UserPattern::Any | UserPattern::Exact(_) | UserPattern::Prefix(_) | UserPattern::Parts(_) => None,
        })
        .take(FAULTS_MAX)
        .collect()
}

//! The policy of an organization: shown and replaced.

use super::acl::PolicyDocument;
use super::command::{CommandError, Outcome, PolicySource};
use super::directory::{Directory, event};
use super::event::AccountChange;
use super::record::{self, encode, key_of};
use crate::store::{Commit, Expect, Table};

impl Directory {
    pub(super) fn acl_get(&self, org: &str) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let state = account.state.read();
        Ok(Outcome::Acl {
            policy: state.policy.source().clone(),
            warnings: state.policy.warnings().to_vec(),
        })
    }

    pub(super) async fn acl_set(&self, org: &str, policy: PolicySource) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let document = match policy {
            PolicySource::Preset(preset) => PolicyDocument::of_preset(preset),
            PolicySource::Document(source) => {
                PolicyDocument::parse(source).map_err(|faults| CommandError::Policy { faults })?
            }
        };
        let gate = account.lock().await?;
        let key = key_of(&account.id, record::ACL, "");
        let commit = Commit::new().put(Table::Config, key, Expect::Any, encode(document.source()));
        let answer = Outcome::Acl {
            policy: document.source().clone(),
            warnings: document.warnings().to_vec(),
        };
        self.change(commit, Some(gate), move |_| {
            account.state.write().policy = document;
            vec![event(&account.id, AccountChange::PolicyChanged)]
        })
        .await?;
        Ok(answer)
    }
}

//! What an organization is allowed: a plan, and what it is allowed beside the plan.
//!
//! | file | holds |
//! |---|---|
//! | `plan` | the plans |
//! | `names` | every quota by name |

mod names;
mod plan;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use cloudsignal_broker::{Limits, OrgId};

use super::audit::Trail;
use super::command::{CommandError, Outcome};
use super::directory::{Directory, event};
use super::event::AccountChange;
use super::record::{encode, org_key};
use crate::store::{Commit, Expect, Table};

pub use names::{QUOTAS, QuotaName, Zero, find};
pub use plan::Plan;

/// What an operator has set for an organization.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaSettings {
    /// Its plan.
    #[serde(default)]
    pub plan: Plan,
    /// What holds instead of the plan and of the server's own limits, by the name of the quota.
    #[serde(default)]
    pub overrides: BTreeMap<String, u64>,
}

/// Everything that bounds an organization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// What the broker enforces.
    pub limits: Limits,
    /// Calls of the HTTP API per second with all its keys together; 0 for no limit.
    pub api_calls_per_sec: u32,
    /// Calls of the HTTP API per second with one key; 0 for no limit.
    pub api_key_calls_per_sec: u32,
    /// Messages per second that one key or token publishes over HTTP; 0 for no limit.
    pub api_key_publishes_per_sec: u32,
    /// Messages that one key or token may publish in one go after a pause; 0 for none at all.
    pub api_key_publish_burst: u32,
}

impl QuotaSettings {
    /// What bounds the organization on a server that itself allows `server`.
    #[must_use]
    pub fn allowance(&self, server: &Allowance) -> Allowance {
        let mut allowance = server.clone();
        for (name, value) in self.plan.quotas() {
            if let Some(quota) = find(name) {
                quota.narrow(&mut allowance, value);
            }
        }
        for (name, value) in &self.overrides {
            if let Some(quota) = find(name) {
                (quota.write)(&mut allowance, (*value).min(quota.max));
            }
        }
        allowance
    }

    fn check(&self) -> Result<(), CommandError> {
        for (name, value) in &self.overrides {
            let Some(quota) = find(name) else {
                let names: Vec<_> = QUOTAS.iter().map(|quota| quota.name).collect();
                let problem = format!("is no quota; there are {}", names.join(", "));
                return Err(CommandError::invalid(name, problem));
            };
            if *value > quota.max {
                let problem = format!("must be at most {}", quota.max);
                return Err(CommandError::invalid(name, problem));
            }
        }
        Ok(())
    }
}

impl Directory {
    /// What an operator has set for an organization.
    #[must_use]
    pub fn quotas(&self, org: &OrgId) -> Option<QuotaSettings> {
        Some(self.account_of(org)?.state.read().record.quotas.clone())
    }

    pub(super) fn quota_get(&self, org: &str) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let settings = account.state.read().record.quotas.clone();
        Ok(Outcome::Quotas { settings })
    }

    pub(super) async fn quota_set(
        &self,
        trail: Trail,
        org: &str,
        plan: Option<Plan>,
        overrides: Option<BTreeMap<String, u64>>,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let gate = self.lock(&account).await?;
        let mut record = account.state.read().record.clone();
        let QuotaSettings {
            plan: old_plan,
            overrides: old_overrides,
        } = record.quotas;
        let settings = QuotaSettings {
            plan: plan.unwrap_or(old_plan),
            overrides: overrides.unwrap_or(old_overrides),
        };
        settings.check()?;
        record.quotas = settings.clone();
        let commit = Commit::new().put(Table::Config, org_key(&account.id), Expect::Any, encode(&record));
        self.change(&account, trail, commit, Some(gate), move |_, account| {
            account.state.write().record = record;
            vec![event(&account.id, AccountChange::QuotasChanged)]
        })
        .await?;
        Ok(Outcome::Quotas { settings })
    }
}

#[cfg(test)]
mod tests;

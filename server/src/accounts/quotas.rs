//! What an organization is allowed: a plan, and what it is allowed beside the plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use cloudsignal_broker::{Limits, OrgId};

use super::audit::Trail;
use super::command::{CommandError, Outcome};
use super::directory::{Directory, event};
use super::event::AccountChange;
use super::record::{encode, org_key};
use crate::store::{Commit, Expect, Table};

const MIB: u64 = 1_048_576;

/// A named set of quotas. It never allows more than the server's own `limits`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// 10 connections, 100 000 messages a month.
    Free,
    /// 100 connections, 1 000 000 messages a month.
    Pro,
    /// 1 000 connections, 10 000 000 messages a month.
    Business,
    /// What the server allows.
    #[default]
    Unlimited,
}

impl Plan {
    /// Every plan, the smallest first.
    pub const ALL: [Self; 4] = [Self::Free, Self::Pro, Self::Business, Self::Unlimited];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Business => "business",
            Self::Unlimited => "unlimited",
        }
    }

    /// Its quotas by name.
    #[must_use]
    pub fn quotas(self) -> Vec<(&'static str, u64)> {
        let scale = match self {
            Self::Free => 1,
            Self::Pro => 10,
            Self::Business => 100,
            Self::Unlimited => return Vec::new(),
        };
        vec![
            ("connections_max", 10 * scale),
            ("connects_per_sec", 10 * scale),
            ("sessions_max", 50 * scale),
            ("all_subscriptions_max", 1_000 * scale),
            ("wildcard_subscriptions_max", 500 * scale),
            ("publish_messages_per_sec", 50 * scale),
            ("publish_bytes_per_sec", MIB * scale),
            ("publish_messages_per_month", 100_000 * scale),
            ("fan_out_max", 50 * scale),
            ("deliver_messages_per_sec", 500 * scale),
            ("deliver_bytes_per_sec", 4 * MIB * scale),
            ("retained_messages_max", 1_000 * scale),
            ("retained_bytes_max", 10 * MIB * scale),
            ("all_queue_bytes_max", 10 * MIB * scale),
            ("api_calls_per_sec", 20 * scale),
            ("api_key_calls_per_sec", 10 * scale),
            ("api_key_publishes_per_sec", 100 * scale),
            ("api_key_publish_burst", 200 * scale),
        ]
    }
}

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

/// What a quota of 0 means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zero {
    /// Nothing is allowed.
    Nothing,
    /// There is no limit: so it is with everything that is counted by time.
    NoLimit,
}

/// A quota that plans and operators set.
#[derive(Clone, Copy)]
pub struct QuotaName {
    /// Its name.
    pub name: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// What 0 means.
    pub zero: Zero,
    /// The largest value that can be set.
    pub max: u64,
    /// Reads it.
    pub read: fn(&Allowance) -> u64,
    write: fn(&mut Allowance, u64),
}

impl std::fmt::Debug for QuotaName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The largest number that every reader of JSON gets right.
const NUMBER_MAX: u64 = (1 << 53) - 1;

macro_rules! quota {
    ($name:literal, $($field:ident).+, $zero:ident, $unit:literal, $max:expr) => {
        QuotaName {
            name: $name,
            unit: $unit,
            zero: Zero::$zero,
            max: $max,
            read: |allowance| allowance.$($field).+.try_into().unwrap_or(u64::MAX),
            write: |allowance, value| {
                allowance.$($field).+ = value.try_into().expect("invariant: checked against its bound");
            },
        }
    };
}

const U32: u64 = u32::MAX as u64;

/// Every quota, in the order in which they are shown.
pub const QUOTAS: &[QuotaName] = &[
    quota!(
        "connections_max",
        limits.connections_max,
        Nothing,
        "connections",
        U32
    ),
    quota!(
        "connects_per_sec",
        limits.connects_per_sec,
        NoLimit,
        "connects per second",
        U32
    ),
    quota!("sessions_max", limits.sessions_max, Nothing, "sessions", U32),
    quota!(
        "subscriptions_max",
        limits.subscriptions_max,
        Nothing,
        "subscriptions of one session",
        U32
    ),
    quota!(
        "all_subscriptions_max",
        limits.all_subscriptions_max,
        Nothing,
        "subscriptions",
        U32
    ),
    quota!(
        "wildcard_subscriptions_max",
        limits.wildcard_subscriptions_max,
        Nothing,
        "subscriptions",
        U32
    ),
    quota!(
        "publish_messages_per_sec",
        limits.publish_messages_per_sec,
        NoLimit,
        "messages per second",
        U32
    ),
    quota!(
        "publish_bytes_per_sec",
        limits.publish_bytes_per_sec,
        NoLimit,
        "bytes per second",
        NUMBER_MAX
    ),
    quota!(
        "publish_messages_per_month",
        limits.publish_messages_per_month,
        NoLimit,
        "messages per month",
        NUMBER_MAX
    ),
    quota!(
        "refused_publishes_per_sec",
        limits.refused_publishes_per_sec,
        NoLimit,
        "messages per second of one client",
        U32
    ),
    quota!(
        "payload_bytes_max",
        limits.payload_bytes_max,
        Nothing,
        "bytes",
        U32
    ),
    quota!("fan_out_max", limits.fan_out_max, Nothing, "sessions", U32),
    quota!(
        "deliver_messages_per_sec",
        limits.deliver_messages_per_sec,
        NoLimit,
        "messages per second",
        U32
    ),
    quota!(
        "deliver_bytes_per_sec",
        limits.deliver_bytes_per_sec,
        NoLimit,
        "bytes per second",
        NUMBER_MAX
    ),
    quota!(
        "retained_messages_max",
        limits.retained_messages_max,
        Nothing,
        "messages",
        NUMBER_MAX
    ),
    quota!(
        "retained_bytes_max",
        limits.retained_bytes_max,
        Nothing,
        "bytes",
        NUMBER_MAX
    ),
    quota!(
        "all_queue_bytes_max",
        limits.all_queue_bytes_max,
        Nothing,
        "bytes",
        NUMBER_MAX
    ),
    quota!(
        "queue_messages_max",
        limits.queue_messages_max,
        Nothing,
        "messages of one session",
        NUMBER_MAX
    ),
    quota!(
        "queue_bytes_max",
        limits.queue_bytes_max,
        Nothing,
        "bytes of one session",
        NUMBER_MAX
    ),
    quota!(
        "session_expiry_secs_max",
        limits.session_expiry_secs_max,
        Nothing,
        "seconds",
        U32
    ),
    quota!(
        "api_calls_per_sec",
        api_calls_per_sec,
        NoLimit,
        "calls per second",
        U32
    ),
    quota!(
        "api_key_calls_per_sec",
        api_key_calls_per_sec,
        NoLimit,
        "calls per second of one key",
        U32
    ),
    quota!(
        "api_key_publishes_per_sec",
        api_key_publishes_per_sec,
        NoLimit,
        "messages per second of one key or token",
        U32
    ),
    quota!(
        "api_key_publish_burst",
        api_key_publish_burst,
        Nothing,
        "messages in one go of one key or token",
        U32
    ),
];

/// The quota with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static QuotaName> {
    QUOTAS.iter().find(|quota| quota.name == name)
}

impl QuotaName {
    /// The value, or that there is no limit.
    #[must_use]
    pub fn limit(&self, allowance: &Allowance) -> Option<u64> {
        let value = (self.read)(allowance);
        (value > 0 || self.zero == Zero::Nothing).then_some(value)
    }

    /// Lowers the quota to `value`, unless it is lower already.
    fn narrow(&self, allowance: &mut Allowance, value: u64) {
        if self.limit(allowance).is_none_or(|known| value < known) {
            (self.write)(allowance, value);
        }
    }
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
        let gate = account.lock().await?;
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

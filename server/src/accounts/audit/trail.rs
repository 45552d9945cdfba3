//! What a change leaves in the trail, from its command to its commit.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Actor, AuditEntry, Owner};
use crate::accounts::account::Account;
use crate::accounts::command::{Command, PolicySource};
use crate::accounts::directory::Inner;
use crate::accounts::limits::{AUDIT_ENTRIES_MAX, AUDIT_SECS_MAX};
use crate::accounts::record::encode;
use crate::clock::WallTime;
use crate::store::{Commit, Expect, Table};

/// Who makes a change, and the entry that it leaves, if it leaves one.
#[derive(Clone, Debug)]
pub(in crate::accounts) struct Trail {
    actor: Actor,
    draft: Option<Draft>,
}

#[derive(Clone, Debug)]
struct Draft {
    action: &'static str,
    entity: &'static str,
    entity_id: String,
    details: Map<String, Value>,
    /// About the organization as a whole: the operator's own trail has it too.
    of_whole_org: bool,
}

impl Trail {
    /// A command that an actor asks for.
    pub(in crate::accounts) fn of(actor: Actor, command: &Command) -> Self {
        let draft = Draft::of(command);
        Self { actor, draft }
    }

    /// A change of its own, which no command stands for.
    pub(in crate::accounts) fn new(actor: Actor, action: &'static str, entity: &'static str) -> Self {
        let draft = Some(Draft::new(action, entity, ""));
        Self { actor, draft }
    }

    /// For changes that are no entry.
    pub(in crate::accounts) const fn none() -> Self {
        Self {
            actor: Actor::Holder,
            draft: None,
        }
    }

    /// Who makes the change.
    pub(in crate::accounts) const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Says which one was changed, if only the change knows.
    pub(in crate::accounts) fn about(mut self, entity_id: &str) -> Self {
        if let Some(draft) = &mut self.draft {
            draft.entity_id = entity_id.to_owned();
        }
        self
    }

    /// Says more about the change; never a secret.
    pub(in crate::accounts) fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.draft = self.draft.map(|draft| draft.with(name, value));
        self
    }

    /// Adds the entry to the commit of the change and has `send` send it, before another one takes a number:
    /// entries are stored in the order of their numbers.
    pub(in crate::accounts) fn send_with(
        &self,
        inner: &Inner,
        account: &Account,
        mut commit: Commit,
        send: impl FnOnce(Commit),
    ) {
        let Some(draft) = &self.draft else {
            return send(commit);
        };
        let mut entry = self.entry(draft, inner.clock.wall());
        if draft.of_whole_org {
            entry.entity_id = account.id.to_string();
        }
        let mut state = account.state.write();
        commit = put(
            commit,
            Owner::Org(&account.id),
            entry.clone(),
            &mut state.audit_next,
        );
        if draft.of_whole_org {
            let mut next = inner.audit_next.lock();
            commit = put(commit, Owner::Operator, entry, &mut next);
            return send(commit);
        }
        send(commit);
    }

    fn entry(&self, draft: &Draft, at: WallTime) -> AuditEntry {
        AuditEntry {
            id: String::new(),
            at,
            actor: self.actor.to_string(),
            action: draft.action.into(),
            entity: draft.entity.into(),
            entity_id: draft.entity_id.clone(),
            details: draft.details.clone(),
        }
    }

    /// Tells the log that the change is made.
    pub(in crate::accounts) fn log(&self, account: &Account) {
        if let Some(Draft {
            action, entity_id, ..
        }) = &self.draft
        {
            tracing::info!(actor = %self.actor, org = %account.id, action, entity_id, "changed");
        }
    }
}

/// Adds an entry with the next number; the oldest one makes room.
fn put(commit: Commit, owner: Owner<'_>, mut entry: AuditEntry, next: &mut u64) -> Commit {
    let number = *next;
    *next += 1;
    entry.id = format!("{number:016x}");
    let life = Duration::from_secs(AUDIT_SECS_MAX);
    let commit = commit
        .put_for(Table::Audit, owner.key(number), Expect::Any, encode(&entry), life)
        .put(Table::Config, owner.next_key(), Expect::Any, encode(next));
    match number.checked_sub(AUDIT_ENTRIES_MAX) {
        None => commit,
        Some(oldest) => commit.delete(Table::Audit, owner.key(oldest), Expect::Any),
    }
}

impl Draft {
    fn new(action: &'static str, entity: &'static str, entity_id: &str) -> Self {
        Self {
            action,
            entity,
            entity_id: entity_id.to_owned(),
            details: Map::new(),
            of_whole_org: false,
        }
    }

    fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.details.insert(name.into(), json!(value));
        self
    }

    /// `None` for commands that are no entry.
    fn of(command: &Command) -> Option<Self> {
        Self::of_org(command)
            .or_else(|| Self::of_people(command))
            .or_else(|| Self::of_credentials(command))
    }

    fn of_org(command: &Command) -> Option<Self> {
        let org = |action| {
            let draft = Self::new(action, "organization", "");
            Some(Self {
                of_whole_org: true,
                ..draft
            })
        };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "`of_credentials` names every other command"
        )]
        match command {
            Command::QuotaSet { plan, overrides, .. } => {
                org("quotas_set").map(|draft| draft.with("plan", plan).with("overrides", overrides))
            }
            Command::OrgCreate { name, preset } => {
                org("organization_created").map(|draft| draft.with("name", name).with("preset", preset))
            }
            Command::SignUp {
                organization_name,
                email,
                password: _,
            } => org("organization_signed_up")
                .map(|draft| draft.with("name", organization_name).with("owner", email)),
            Command::OrgRename { name, .. } => {
                org("organization_renamed").map(|draft| draft.with("name", name))
            }
            Command::OrgDurability { durability, .. } => {
                org("organization_durability_set").map(|draft| draft.with("durability", durability))
            }
            Command::OrgSuspend { .. } => org("organization_suspended"),
            Command::OrgResume { .. } => org("organization_resumed"),
            Command::OrgDelete { .. } => org("organization_deleted"),
            Command::AclSet { policy, .. } => {
                let source = match policy {
                    PolicySource::Preset(preset) => json!(preset),
                    PolicySource::Document(_) => json!("document"),
                };
                Some(Self::new("acl_updated", "acl", "").with("source", source))
            }
            _ => None,
        }
    }

    fn of_people(command: &Command) -> Option<Self> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "`of_credentials` names every other command"
        )]
        match command {
            Command::UserCreate { name, .. } => Some(Self::new("user_created", "user", name)),
            Command::UserSetPassword { name, .. } => Some(Self::new("user_password_set", "user", name)),
            Command::UserEnable { name, enabled, .. } => {
                let action = if *enabled { "user_enabled" } else { "user_disabled" };
                Some(Self::new(action, "user", name))
            }
            Command::UserDelete { name, .. } => Some(Self::new("user_deleted", "user", name)),
            Command::MemberCreate { email, role, .. } => {
                Some(Self::new("member_created", "member", email).with("role", role))
            }
            Command::MemberUpdate {
                email,
                role,
                password,
                ..
            } => {
                let draft = Self::new("member_updated", "member", email);
                let draft = draft.with("password_set", password.is_some());
                Some(match role {
                    Some(role) => draft.with("role", role),
                    None => draft,
                })
            }
            Command::MemberDelete { email, .. } => Some(Self::new("member_deleted", "member", email)),
            _ => None,
        }
    }

    /// Names every command, so that a new one is looked at.
    fn of_credentials(command: &Command) -> Option<Self> {
        match command {
            Command::KeyCreate { name, options, .. } => Some(
                Self::new("key_created", "key", "")
                    .with("name", name)
                    .with("kind", options.kind.name())
                    .with("scopes", options.kind.scopes()),
            ),
            Command::KeyRotate {
                key_id, grace_secs, ..
            } => Some(Self::new("key_rotated", "key", key_id).with("grace_secs", grace_secs)),
            Command::KeyRevoke { key_id, .. } => Some(Self::new("key_revoked", "key", key_id)),
            Command::TokenRevoke { token_id, .. } => Some(Self::new("token_revoked", "token", token_id)),
            Command::TokenRevokeAll { of, .. } => {
                Some(Self::new("tokens_revoked", "token", "").with("of", of))
            }
            Command::ProviderCreate { settings, .. } => {
                let kind = settings.trust.provider_type();
                Some(Self::new("provider_created", "provider", &settings.name).with("type", kind))
            }
            Command::ProviderUpdate {
                name,
                changes,
                end_connections,
                ..
            } => Some(Self::new(changes.action(), "provider", name).with("end_connections", end_connections)),
            Command::ProviderDelete { name, .. } => Some(Self::new("provider_deleted", "provider", name)),
            Command::ProviderList { .. } | Command::ProviderShow { .. } => None,
            Command::OrgCreate { .. }
            | Command::OrgList(_)
            | Command::OrgShow { .. }
            | Command::OrgRename { .. }
            | Command::OrgDurability { .. }
            | Command::OrgSuspend { .. }
            | Command::OrgResume { .. }
            | Command::OrgDelete { .. }
            | Command::SignUp { .. }
            | Command::UserCreate { .. }
            | Command::UserList { .. }
            | Command::UserShow { .. }
            | Command::UserSetPassword { .. }
            | Command::UserEnable { .. }
            | Command::UserDelete { .. }
            | Command::MemberCreate { .. }
            | Command::MemberList { .. }
            | Command::MemberShow { .. }
            | Command::MemberUpdate { .. }
            | Command::MemberDelete { .. }
            | Command::KeyList { .. }
            | Command::KeyShow { .. }
            | Command::TokenCreate { .. }
            | Command::TokenRefresh { .. }
            | Command::TokenList { .. }
            | Command::QuotaGet { .. }
            | Command::QuotaSet { .. }
            | Command::AclGet { .. }
            | Command::AclValidate { .. }
            | Command::AclSimulate { .. }
            | Command::AclSet { .. } => None,
        }
    }
}

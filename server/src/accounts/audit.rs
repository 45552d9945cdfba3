//! The audit trail: who changed what, and when.
//!
//! Every change that goes through the directory is an entry: stored after the change and before its answer.
//! A server that dies between the two has made a change that nobody was told of. An organization keeps
//! the last [`AUDIT_ENTRIES_MAX`] entries, none for longer than [`AUDIT_SECS_MAX`]. What makes or removes
//! whole organizations is kept for the operator too, under no organization.
//!
//! Making and refreshing tokens changes nothing that is stored, and is no entry.

use core::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use cloudsignal_broker::OrgId;

use super::command::{Command, CommandError, Outcome, PageRequest, PolicySource};
use super::directory::Directory;
use super::limits::{AUDIT_ENTRIES_MAX, AUDIT_SECS_MAX};
use super::record::{self, decode, encode};
use crate::clock::WallTime;
use crate::store::{Commit, Entry, Expect, Key, Prefix, StoreError, Table};

/// Entries that are read at once.
const CHUNK_ENTRIES: u64 = 1_000;

/// Who asks for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Whoever has the administration token, such as the command line on the server's own machine.
    Operator,
    /// Whoever has this key of the organization.
    Key {
        /// The key's id.
        id: Box<str>,
    },
    /// A member who logged in.
    Member {
        /// The member's e-mail address.
        email: Box<str>,
    },
    /// Whoever shows the credential that is changed, or signs up.
    Holder,
}

impl fmt::Display for Actor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => out.write_str("operator"),
            Self::Key { id } => write!(out, "key:{id}"),
            Self::Member { email } => write!(out, "member:{email}"),
            Self::Holder => out.write_str("holder"),
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// Names the entry; later ones are greater.
    pub id: String,
    /// When it was made.
    pub at: WallTime,
    /// Who made it: `operator`, `key:key_…`, `member:ada@example.com` or `holder`.
    pub actor: String,
    /// What was done: `user_created`.
    pub action: String,
    /// What kind of thing was changed: `user`.
    pub entity: String,
    /// Which one.
    pub entity_id: String,
    /// More about the change, without secrets.
    #[schema(value_type = Object)]
    pub details: Map<String, Value>,
}

/// Which entries are wanted.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditFilter {
    /// Only of this actor: `operator`, `key:key_…`, `member:ada@example.com` or `holder`.
    pub actor: Option<String>,
    /// Only this action: `user_created`.
    pub action: Option<String>,
    /// Only about this kind of thing: `user`.
    pub entity: Option<String>,
    /// Only about this one.
    pub entity_id: Option<String>,
    /// Only from then on.
    pub since: Option<WallTime>,
    /// Only before that.
    pub until: Option<WallTime>,
}

/// Newest first.
#[derive(Clone, Debug)]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// Where to go on.
    pub next: Option<String>,
}

impl AuditFilter {
    fn wants(&self, entry: &AuditEntry) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|wanted| wanted == text);
        is(&self.actor, &entry.actor)
            && is(&self.action, &entry.action)
            && is(&self.entity, &entry.entity)
            && is(&self.entity_id, &entry.entity_id)
            && self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
    }
}

/// What a command will have changed.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    org: String,
    action: &'static str,
    entity: &'static str,
    entity_id: String,
    details: Map<String, Value>,
    /// Whether the operator's own trail has it too.
    for_operator: bool,
}

impl Draft {
    pub(super) fn new(org: &str, action: &'static str, entity: &'static str, entity_id: &str) -> Self {
        Self {
            org: org.to_owned(),
            action,
            entity,
            entity_id: entity_id.to_owned(),
            details: Map::new(),
            for_operator: false,
        }
    }

    pub(super) fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.details.insert(name.into(), json!(value));
        self
    }

    const fn for_operator(mut self) -> Self {
        self.for_operator = true;
        self
    }

    /// `None` for commands that change nothing.
    pub(super) fn of(command: &Command) -> Option<Self> {
        Self::of_org(command)
            .or_else(|| Self::of_people(command))
            .or_else(|| Self::of_credentials(command))
    }

    fn of_org(command: &Command) -> Option<Self> {
        let org = |org: &str, action| Some(Self::new(org, action, "organization", org).for_operator());
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "`of_credentials` names every other command"
        )]
        match command {
            Command::QuotaSet {
                org: of,
                plan,
                overrides,
            } => org(of, "quotas_set").map(|draft| draft.with("plan", plan).with("overrides", overrides)),
            Command::OrgCreate { name, preset } => {
                org("", "organization_created").map(|draft| draft.with("name", name).with("preset", preset))
            }
            Command::SignUp {
                organization_name,
                email,
                password: _,
            } => org("", "organization_signed_up")
                .map(|draft| draft.with("name", organization_name).with("owner", email)),
            Command::OrgRename { org: id, name } => {
                org(id, "organization_renamed").map(|draft| draft.with("name", name))
            }
            Command::OrgSuspend { org: id } => org(id, "organization_suspended"),
            Command::OrgResume { org: id } => org(id, "organization_resumed"),
            Command::OrgDelete { org: id } => org(id, "organization_deleted"),
            Command::AclSet { org, policy, .. } => {
                let source = match policy {
                    PolicySource::Preset(preset) => json!(preset),
                    PolicySource::Document(_) => json!("document"),
                };
                Some(Self::new(org, "acl_updated", "acl", "").with("source", source))
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
            Command::UserCreate { org, name, .. } => Some(Self::new(org, "user_created", "user", name)),
            Command::UserSetPassword { org, name, .. } => {
                Some(Self::new(org, "user_password_set", "user", name))
            }
            Command::UserEnable { org, name, enabled } => {
                let action = if *enabled { "user_enabled" } else { "user_disabled" };
                Some(Self::new(org, action, "user", name))
            }
            Command::UserDelete { org, name } => Some(Self::new(org, "user_deleted", "user", name)),
            Command::MemberCreate { org, email, role, .. } => {
                Some(Self::new(org, "member_created", "member", email).with("role", role))
            }
            Command::MemberUpdate {
                org,
                email,
                role,
                password,
            } => {
                let draft = Self::new(org, "member_updated", "member", email);
                let draft = draft.with("password_set", password.is_some());
                Some(match role {
                    Some(role) => draft.with("role", role),
                    None => draft,
                })
            }
            Command::MemberDelete { org, email } => Some(Self::new(org, "member_deleted", "member", email)),
            _ => None,
        }
    }

    /// Names every command, so that a new one is looked at.
    fn of_credentials(command: &Command) -> Option<Self> {
        match command {
            Command::KeyCreate { org, name, options } => Some(
                Self::new(org, "key_created", "key", "")
                    .with("name", name)
                    .with("kind", options.kind.name())
                    .with("scopes", options.kind.scopes()),
            ),
            Command::KeyRotate {
                org,
                key_id,
                grace_secs,
            } => Some(Self::new(org, "key_rotated", "key", key_id).with("grace_secs", grace_secs)),
            Command::KeyRevoke { org, key_id } => Some(Self::new(org, "key_revoked", "key", key_id)),
            Command::TokenRevoke { org, token_id } => {
                Some(Self::new(org, "token_revoked", "token", token_id))
            }
            Command::TokenRevokeAll { org, of } => {
                Some(Self::new(org, "tokens_revoked", "token", "").with("of", of))
            }
            Command::ProviderCreate { org, settings } => {
                let kind = settings.trust.provider_type();
                Some(Self::new(org, "provider_created", "provider", &settings.name).with("type", kind))
            }
            Command::ProviderUpdate {
                org,
                name,
                changes,
                end_connections,
            } => Some(
                Self::new(org, changes.action(), "provider", name).with("end_connections", end_connections),
            ),
            Command::ProviderDelete { org, name } => {
                Some(Self::new(org, "provider_deleted", "provider", name))
            }
            Command::ProviderList { .. } | Command::ProviderShow { .. } => None,
            Command::OrgCreate { .. }
            | Command::OrgList(_)
            | Command::OrgShow { .. }
            | Command::OrgRename { .. }
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

    /// Adds what only the answer knows.
    pub(super) fn finish(mut self, outcome: &Outcome) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "other outcomes say nothing new")]
        match outcome {
            Outcome::OrgCreated { org, .. } | Outcome::SignedUp { org, .. } => {
                self.org.clone_from(&org.id);
                self.entity_id.clone_from(&org.id);
            }
            Outcome::KeyCreated { key, .. } => self.entity_id.clone_from(&key.id),
            Outcome::KeyRotated { key, .. } => {
                self.details.insert("new_key_id".into(), json!(key.id));
            }
            _ => {}
        }
        self
    }
}

impl Directory {
    /// Keeps an entry. The change itself stands already, so an entry that cannot be stored is only logged.
    pub(super) async fn keep_trail(&self, actor: &Actor, draft: Draft) {
        let Draft {
            org,
            action,
            entity,
            entity_id,
            details,
            for_operator,
        } = draft;
        tracing::info!(%actor, org, action, entity_id, "changed");
        let entry = AuditEntry {
            id: String::new(),
            at: self.0.clock.wall(),
            actor: actor.to_string(),
            action: action.into(),
            entity: entity.into(),
            entity_id,
            details,
        };
        // An organization that is gone has no trail any more.
        let of_org = self.account(&org).ok().map(|account| {
            let mut state = account.state.write();
            let commit = entry_commit(Owner::Org(&account.id), entry.clone(), state.audit_next);
            state.audit_next += 1;
            // Sent while the number is held: entries are stored in their order.
            self.send(commit)
        });
        let of_operator = for_operator.then(|| {
            let mut next = self.0.audit_next.lock();
            let commit = entry_commit(Owner::Operator, entry, *next);
            *next += 1;
            self.send(commit)
        });
        for stored in of_org.into_iter().chain(of_operator) {
            if stored.await != Ok(true) {
                tracing::error!(%actor, org, action, "an entry of the audit trail could not be stored");
            }
        }
    }

    fn send(&self, commit: Commit) -> oneshot::Receiver<bool> {
        let (tell, told) = oneshot::channel();
        self.0.store.commit(
            commit,
            Box::new(move |outcome| {
                // The caller went away; the entry stands.
                let _ = tell.send(outcome.is_ok());
            }),
        );
        told
    }

    /// The audit trail of an organization, or the operator's own; newest first.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] for a cursor that is not ours, [`CommandError::NotFound`],
    /// [`CommandError::Storage`].
    pub async fn audit(
        &self,
        org: Option<&OrgId>,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<AuditPage, CommandError> {
        let account = match org {
            Some(org) => Some(self.account(org.as_str())?),
            None => None,
        };
        let (owner, next) = match &account {
            Some(account) => (Owner::Org(&account.id), account.state.read().audit_next),
            None => (Owner::Operator, *self.0.audit_next.lock()),
        };
        let mut before = match page.after.as_deref() {
            None => next,
            Some(cursor) => cursor_number(cursor)?.min(next),
        };
        let first = next.saturating_sub(AUDIT_ENTRIES_MAX);
        let mut entries = Vec::new();
        while before > first && entries.len() <= page.entries_max() {
            let from = before.saturating_sub(CHUNK_ENTRIES).max(first);
            let mut chunk = self.audit_chunk(owner, from, before).await.map_err(|error| {
                tracing::error!(%error, "the audit trail cannot be read");
                CommandError::Storage
            })?;
            chunk.reverse();
            entries.extend(chunk.into_iter().filter(|entry| filter.wants(entry)));
            before = from;
        }
        let next = page.next(&mut entries, |entry| entry.id.clone());
        Ok(AuditPage { entries, next })
    }

    /// Entries from number `from` up to but without `before`, oldest first.
    async fn audit_chunk(
        &self,
        owner: Owner<'_>,
        from: u64,
        before: u64,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let mut after = from.checked_sub(1).map(|number| owner.key(number));
        let mut entries = Vec::new();
        loop {
            let most = usize::try_from(before - from).unwrap_or(usize::MAX);
            let page = self
                .0
                .store
                .scan(Table::Audit, &owner.prefix(), after.as_ref(), most)
                .await?;
            for entry in &page.entries {
                if entry.key >= owner.key(before) {
                    return Ok(entries);
                }
                entries.push(decode(entry)?);
            }
            after = page.next;
            if after.is_none() {
                return Ok(entries);
            }
        }
    }

    /// Learns where the operator's own trail goes on.
    pub(super) fn load_audit(&self, entry: &Entry) -> Result<(), StoreError> {
        *self.0.audit_next.lock() = decode(entry)?;
        Ok(())
    }
}

/// Whose trail it is.
#[derive(Clone, Copy)]
enum Owner<'a> {
    Org(&'a OrgId),
    Operator,
}

impl Owner<'_> {
    fn key(self, number: u64) -> Key {
        let path = format!("{number:016x}");
        match self {
            Self::Org(org) => Key::of_org(org, &path),
            Self::Operator => Key::of_system(&path),
        }
    }

    fn next_key(self) -> Key {
        match self {
            Self::Org(org) => Key::of_org(org, record::AUDIT_NEXT),
            Self::Operator => Key::of_system(record::AUDIT_NEXT),
        }
    }

    fn prefix(self) -> Prefix {
        match self {
            Self::Org(org) => Prefix::of_org(org, ""),
            Self::Operator => Prefix::of_system(""),
        }
    }
}

fn entry_commit(owner: Owner<'_>, mut entry: AuditEntry, number: u64) -> Commit {
    entry.id = format!("{number:016x}");
    let life = Duration::from_secs(AUDIT_SECS_MAX);
    let commit = Commit::new()
        .put_for(Table::Audit, owner.key(number), Expect::Any, encode(&entry), life)
        .put(
            Table::Config,
            owner.next_key(),
            Expect::Any,
            encode(&(number + 1)),
        );
    match number.checked_sub(AUDIT_ENTRIES_MAX) {
        None => commit,
        Some(oldest) => commit.delete(Table::Audit, owner.key(oldest), Expect::Any),
    }
}

fn cursor_number(cursor: &str) -> Result<u64, CommandError> {
    u64::from_str_radix(cursor, 16)
        .map_err(|_| CommandError::invalid("after", "is no cursor of the audit trail"))
}

//! The directory: all accounts in memory, every change on stable storage before it counts.
//!
//! A change is judged under its organization's gate, stored, and then, on the store's commit thread,
//! made in memory and told to whoever listens; only then it is answered. So an answer means: stored, in
//! force for the next login, and on its way to open connections. A caller that goes away in between
//! changes nothing about that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use tokio::sync::broadcast;
use uuid::Uuid;

use cloudsignal_broker::{Credential, Identity, OrgId, Policy};
use cloudsignal_core::Instant;

use super::account::{Account, User};
use super::audit::{Actor, Trail};
use super::command::{Command, CommandError, CredentialFault, Outcome, PageRequest};
use super::event::{AccountChange, AccountEvent};
use super::limits::{EVENTS_MAX, PAGE_ENTRIES_MAX};
use super::listener::Asked;
use super::marks::Issue;
use super::names::{Email, OrgRef};
use super::secret::SecretDigest;
use super::tokens::TokenOrder;
use crate::authn::password::PasswordPool;
use crate::clock::Clock;
use crate::identity::endpoint::Reach;
use crate::store::{Store, StoreError};

/// All accounts. Cheap to clone; clones are the same directory.
#[derive(Clone, Debug)]
pub struct Directory(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    pub(super) passwords: PasswordPool,
    pub(super) registry: RwLock<Registry>,
    pub(super) provider_reach: OnceLock<Reach>,
    /// Held by whoever makes an organization.
    pub(super) gate: Arc<tokio::sync::Mutex<()>>,
    /// Number of the next entry of the operator's own audit trail.
    pub(super) audit_next: Mutex<u64>,
    pub(super) events: broadcast::Sender<AccountEvent>,
    pub(super) listener: Asked,
}

/// Which organizations there are, and where each secret key belongs.
#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) accounts: BTreeMap<OrgId, Arc<Account>>,
    pub(super) by_uuid: HashMap<Uuid, OrgId>,
    pub(super) keys: HashMap<SecretDigest, (OrgId, Box<str>)>,
    /// Where each member is one.
    pub(super) members: BTreeMap<Email, BTreeSet<OrgId>>,
}

/// The claim of an identity that says which issue of its credential was shown: of a token its epoch, of a
/// user when the password was set.
pub(crate) const EPOCH_CLAIM: &str = "credential_epoch";

/// The claim of an identity that says who vouched for it, if it came with a token.
pub(crate) const PROVIDER_CLAIM: &str = "provider";

/// Why a connection has no right to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// The organization does not exist any more.
    #[error("the organization is gone")]
    Org,
    /// The credential is worth nothing any more.
    #[error(transparent)]
    Credential(#[from] CredentialFault),
}

impl Directory {
    /// Reads everything back from the store.
    ///
    /// # Errors
    /// What the store answers, or which record cannot be understood.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Clock,
        passwords: PasswordPool,
    ) -> Result<Self, StoreError> {
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let registry = RwLock::default();
        let inner = Inner {
            store,
            clock,
            passwords,
            registry,
            provider_reach: OnceLock::new(),
            gate: Arc::default(),
            audit_next: Mutex::new(0),
            events,
            listener: Asked::default(),
        };
        let directory = Self(Arc::new(inner));
        directory.load().await?;
        Ok(directory)
    }

    /// Carries out a command of the operator's, as [`Directory::execute_as`].
    ///
    /// # Errors
    /// [`CommandError`]; nothing changed then.
    pub async fn execute(&self, command: Command) -> Result<Outcome, CommandError> {
        self.execute_as(Actor::Operator, command).await
    }

    /// Carries out a command. When it answers `Ok`, the change is stored and in force, also for open connections if
    /// somebody [listens](Directory::listen), and the audit trail names the actor.
    ///
    /// # Errors
    /// [`CommandError`]; nothing changed then.
    pub async fn execute_as(&self, actor: Actor, command: Command) -> Result<Outcome, CommandError> {
        let trail = Trail::of(actor, &command);
        self.carry_out(trail, command).await
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each command, and nothing else")]
    async fn carry_out(&self, trail: Trail, command: Command) -> Result<Outcome, CommandError> {
        match command {
            Command::OrgCreate { name, preset } => self.org_create(trail, name, preset).await,
            Command::OrgList(page) => Ok(self.org_list(&page)),
            Command::OrgShow { org } => Ok(Outcome::Org(self.account(&org)?.view())),
            Command::OrgSuspend { org } => self.org_suspend(trail, &org).await,
            Command::OrgResume { org } => self.org_resume(trail, &org).await,
            Command::OrgDelete { org } => self.org_delete(trail, &org).await,
            Command::UserCreate { org, name, password } => {
                self.user_create(trail, &org, name, password).await
            }
            Command::OrgDurability { org, durability } => self.org_durability(trail, &org, durability).await,
            Command::OrgRename { org, name } => self.org_rename(trail, &org, name).await,
            Command::SignUp {
                organization_name,
                email,
                password,
            } => self.sign_up(trail, organization_name, &email, password).await,
            Command::UserList { org, prefix, page } => self.user_list(&org, prefix.as_deref(), &page),
            Command::UserShow { org, name } => self.user_show(&org, &name),
            Command::UserEnable { org, name, enabled } => self.user_enable(trail, &org, name, enabled).await,
            Command::UserSetPassword { org, name, password } => {
                self.user_set_password(trail, &org, name, password).await
            }
            Command::UserDelete { org, name } => self.user_delete(trail, &org, name).await,
            Command::MemberCreate {
                org,
                email,
                role,
                password,
            } => self.member_create(trail, &org, &email, role, password).await,
            Command::MemberList { org, page } => self.member_list(&org, &page),
            Command::MemberShow { org, email } => self.member_show(&org, &email),
            Command::MemberUpdate {
                org,
                email,
                role,
                password,
            } => self.member_update(trail, &org, &email, role, password).await,
            Command::MemberDelete { org, email } => self.member_delete(trail, &org, &email).await,
            Command::KeyCreate { org, name, options } => self.key_create(trail, &org, name, options).await,
            Command::KeyList { org, page } => self.key_list(&org, &page),
            Command::KeyShow { org, key_id } => self.key_show(&org, &key_id),
            Command::KeyRotate {
                org,
                key_id,
                grace_secs,
            } => self.key_rotate(trail, &org, key_id, grace_secs).await,
            Command::KeyRevoke { org, key_id } => self.key_revoke(trail, &org, key_id).await,
            Command::TokenCreate {
                org,
                email,
                ttl_secs,
                replace_existing,
                scope,
            } => {
                let order = TokenOrder {
                    ttl_secs,
                    replace_existing,
                    scope,
                    ..TokenOrder::new(&org, &email)
                };
                Ok(Outcome::Token(self.issue_token(order).await?))
            }
            Command::TokenRefresh { token_id, password } => {
                Ok(Outcome::Token(self.token_refresh(&token_id, &password).await?))
            }
            Command::TokenRevoke { org, token_id } => self.token_revoke(trail, &org, &token_id).await,
            Command::TokenRevokeAll { org, of } => self.token_revoke_all(trail, &org, of).await,
            Command::TokenList { org, page } => self.token_list(&org, &page),
            Command::ProviderCreate { org, settings } => self.provider_create(trail, &org, settings).await,
            Command::ProviderList { org } => self.provider_list(&org),
            Command::ProviderShow { org, name } => self.provider_show(&org, &name),
            Command::ProviderUpdate {
                org,
                name,
                changes,
                end_connections,
            } => {
                self.provider_update(trail, &org, &name, changes, end_connections)
                    .await
            }
            Command::ProviderDelete { org, name } => self.provider_delete(trail, &org, &name).await,
            Command::QuotaGet { org } => self.quota_get(&org),
            Command::QuotaSet { org, plan, overrides } => self.quota_set(trail, &org, plan, overrides).await,
            Command::AclGet { org } => self.acl_get(&org),
            Command::AclSet {
                org,
                policy,
                if_match,
            } => self.acl_set(trail, &org, policy, if_match.as_deref()).await,
            Command::AclValidate { org, document } => self.acl_validate(&org, document),
            Command::AclSimulate { org, question } => self.acl_simulate(&org, question),
        }
    }

    /// Whether there is such an organization.
    #[must_use]
    pub fn has_org(&self, org: &OrgId) -> bool {
        self.0.registry.read().accounts.contains_key(org)
    }

    /// Where everything is stored.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0.store)
    }

    /// The clock that times are taken from.
    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// What changes from now on. See [`AccountEvent`] for who falls behind.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<AccountEvent> {
        self.0.events.subscribe()
    }

    /// Every organization, in the order of ids.
    #[must_use]
    pub fn org_ids(&self) -> Vec<OrgId> {
        self.0.registry.read().accounts.keys().cloned().collect()
    }

    /// The short id of an organization named in either way.
    #[must_use]
    pub fn org_id(&self, org: &str) -> Option<OrgId> {
        self.account(org).ok().map(|account| account.id.clone())
    }

    /// The short id of an organization.
    #[must_use]
    pub fn org_of(&self, org: &OrgRef) -> Option<OrgId> {
        self.account_by(org).map(|account| account.id.clone())
    }

    /// What the broker has to enforce for an organization.
    #[must_use]
    pub fn policy(&self, org: &OrgId) -> Option<Policy> {
        Some(self.account_of(org)?.state.read().policy.policy().clone())
    }

    /// Whether a connection may stay, and until when.
    ///
    /// # Errors
    /// [`Gone`] says why it has to go.
    pub fn standing(&self, identity: &Identity) -> Result<Option<Instant>, Gone> {
        let account = self.account_of(&identity.org).ok_or(Gone::Org)?;
        if !account.is_active() {
            return Err(CredentialFault::Suspended.into());
        }
        let state = account.state.read();
        match &identity.credential {
            Credential::Anonymous => Ok(identity.expires_at),
            Credential::Password { user } => {
                let is_same =
                    |user: &User| !user.disabled && identity.claim(EPOCH_CLAIM) == Some(&*user.epoch());
                let good = state.users.get(user).is_some_and(is_same);
                good.then_some(identity.expires_at)
                    .ok_or_else(|| CredentialFault::Revoked.into())
            }
            Credential::Key { id } => {
                let key = state.keys.get(id).ok_or(CredentialFault::Revoked)?;
                let end = key.record.expires_at;
                Ok(end.map(|end| self.0.clock.instant_of(end)))
            }
            Credential::Certificate { id: _ } => {
                self.check_certificate(&state, identity)?;
                Ok(identity.expires_at)
            }
            Credential::Token { id } => {
                let id = Uuid::parse_str(id).map_err(|_| CredentialFault::Unknown)?;
                let now = self.0.clock.wall();
                let issue = Issue::of_connection(id, identity).ok_or(CredentialFault::Unknown)?;
                state.tokens.check_stay(&issue, now)?;
                let renewed = state
                    .tokens
                    .renewed
                    .get(&id, now)
                    .map(|&until| self.0.clock.instant_of(until));
                Ok(identity.expires_at.max(renewed))
            }
        }
    }

    pub(super) fn account(&self, org: &str) -> Result<Arc<Account>, CommandError> {
        let org = OrgRef::parse(org).ok_or_else(|| CommandError::not_found("organization"))?;
        self.account_by(&org)
            .ok_or_else(|| CommandError::not_found("organization"))
    }

    /// Whether `named` names this organization.
    #[must_use]
    pub fn is_org(&self, named: &OrgRef, org: &OrgId) -> bool {
        self.account_by(named).is_some_and(|account| account.id == *org)
    }

    pub(super) fn account_by(&self, org: &OrgRef) -> Option<Arc<Account>> {
        let registry = self.0.registry.read();
        let id = match org {
            OrgRef::Id(id) => id,
            OrgRef::Uuid(uuid) => registry.by_uuid.get(uuid)?,
        };
        registry.accounts.get(id).cloned()
    }

    pub(super) fn account_of(&self, org: &OrgId) -> Option<Arc<Account>> {
        self.0.registry.read().accounts.get(org).cloned()
    }
}

pub(super) fn event(org: &OrgId, change: AccountChange) -> AccountEvent {
    AccountEvent {
        org: org.clone(),
        change,
    }
}

impl PageRequest {
    pub(super) fn entries_max(&self) -> usize {
        self.limit.unwrap_or(PAGE_ENTRIES_MAX).clamp(1, PAGE_ENTRIES_MAX)
    }

    /// Cuts a list that was collected with one entry too many; answers where to go on.
    pub(super) fn next<T>(&self, entries: &mut Vec<T>, name: impl Fn(&T) -> String) -> Option<String> {
        if entries.len() <= self.entries_max() {
            return None;
        }
        entries.truncate(self.entries_max());
        entries.last().map(name)
    }
}

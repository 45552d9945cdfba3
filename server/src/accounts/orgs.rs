//! Organizations: made, listed, suspended, removed; and read back at start.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use cloudsignal_broker::OrgId;

use super::account::{Account, ApiKey, User};
use super::acl::{PolicyDocument, Preset};
use super::audit::Trail;
use super::command::{CommandError, OrgState, Outcome, PageRequest};
use super::directory::{Directory, Inner, Registry, event};
use super::event::AccountChange;
use super::limits::ORGS_MAX;
use super::marks::TokenMarks;
use super::names::{Email, check_title, generate_org_id};
use super::providers::Provider;
use super::quotas::QuotaSettings;
use super::record::{self, OrgRecord, decode, encode, key_of, org_key};
use super::secret::SigningKey;
use crate::clock::WallTime;
use crate::durable::{Level, erase_mark};
use crate::identity::endpoint::Reach;
use crate::store::reading::PAGE_BYTES_MAX;
use crate::store::{Commit, Entry, Expect, Prefix, StoreError, StoreExt as _, Table};

/// Entries read or removed at once.
const CHUNK_ENTRIES: usize = 1_000;
const _: () = assert!(PAGE_BYTES_MAX >= CHUNK_ENTRIES, "a chunk makes progress");

impl Directory {
    pub(super) async fn org_create(
        &self,
        trail: Trail,
        name: String,
        preset: Preset,
    ) -> Result<Outcome, CommandError> {
        check_title(&name).map_err(|error| CommandError::name("name", error))?;
        let (gate, id) = self.new_org().await?;
        let (record, document) = self.new_org_parts(name, preset);
        let commit = org_commit(&id, &record, &document);
        let account = Arc::new(Account::new(id, record, document));
        self.change(&account, trail, commit, Some(gate), |inner, account| {
            inner.register(account);
            vec![event(&account.id, AccountChange::OrgCreated)]
        })
        .await?;
        Ok(Outcome::OrgCreated {
            org: account.view(),
            preset,
            policy_meaning: preset.meaning().into(),
        })
    }

    pub(super) async fn new_org(&self) -> Result<(OwnedMutexGuard<()>, OrgId), CommandError> {
        let gate = Arc::clone(&self.0.gate).lock_owned().await;
        let registry = self.0.registry.read();
        if registry.accounts.len() >= ORGS_MAX {
            return Err(CommandError::limit("organizations", ORGS_MAX));
        }
        let id = generate_org_id();
        // 60 random bits: a clash means that the next call succeeds.
        if registry.accounts.contains_key(&id) {
            Err(CommandError::Busy)
        } else {
            Ok((gate, id))
        }
    }

    pub(super) fn new_org_parts(&self, name: String, preset: Preset) -> (OrgRecord, PolicyDocument) {
        let record = OrgRecord {
            uuid: Uuid::new_v4(),
            name,
            state: OrgState::Active,
            created_at: self.0.clock.wall().whole_secs(),
            token_key: SigningKey::generate(),
            quotas: QuotaSettings::default(),
            durability: None,
        };
        (record, PolicyDocument::of_preset(preset))
    }

    pub(super) fn org_list(&self, page: &PageRequest) -> Outcome {
        let registry = self.0.registry.read();
        let from = OrgId::new(page.after.as_deref().unwrap_or(""));
        let rest = registry
            .accounts
            .range(from.clone()..)
            .filter(|(id, _)| **id != from);
        let mut orgs: Vec<_> = rest
            .take(page.entries_max() + 1)
            .map(|(_, account)| account.view())
            .collect();
        let next = page.next(&mut orgs, |org| org.id.clone());
        Outcome::Orgs { orgs, next }
    }

    pub(super) async fn org_suspend(&self, trail: Trail, org: &str) -> Result<Outcome, CommandError> {
        self.set_org_state(trail, org, OrgState::Suspended, AccountChange::OrgSuspended)
            .await
    }

    pub(super) async fn org_resume(&self, trail: Trail, org: &str) -> Result<Outcome, CommandError> {
        self.set_org_state(trail, org, OrgState::Active, AccountChange::OrgResumed)
            .await
    }

    pub(super) async fn org_rename(
        &self,
        trail: Trail,
        org: &str,
        name: String,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        check_title(&name).map_err(|error| CommandError::name("name", error))?;
        let gate = self.lock(&account).await?;
        let mut record = account.state.read().record.clone();
        record.name = name;
        let commit = Commit::new().put(Table::Config, org_key(&account.id), Expect::Any, encode(&record));
        self.change(&account, trail, commit, Some(gate), move |_, account| {
            account.state.write().record = record;
            Vec::new()
        })
        .await?;
        Ok(Outcome::Org(account.view()))
    }

    pub(super) async fn org_durability(
        &self,
        trail: Trail,
        org: &str,
        durability: Option<Level>,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let gate = self.lock(&account).await?;
        let mut record = account.state.read().record.clone();
        record.durability = durability;
        let commit = Commit::new().put(Table::Config, org_key(&account.id), Expect::Any, encode(&record));
        self.change(&account, trail, commit, Some(gate), move |_, account| {
            account.state.write().record = record;
            vec![event(&account.id, AccountChange::DurabilityChanged)]
        })
        .await?;
        Ok(Outcome::Org(account.view()))
    }

    /// What was set for an organization: what its acknowledgements survive.
    #[must_use]
    pub fn durability(&self, org: &OrgId) -> Option<Level> {
        self.account_of(org)?.state.read().record.durability
    }

    async fn set_org_state(
        &self,
        trail: Trail,
        org: &str,
        state: OrgState,
        change: AccountChange,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let gate = self.lock(&account).await?;
        let mut record = account.state.read().record.clone();
        if record.state == state {
            return Ok(Outcome::Org(account.view()));
        }
        record.state = state;
        let commit = Commit::new().put(Table::Config, org_key(&account.id), Expect::Any, encode(&record));
        self.change(&account, trail, commit, Some(gate), move |_, account| {
            account.state.write().record = record;
            vec![event(&account.id, change)]
        })
        .await?;
        Ok(Outcome::Org(account.view()))
    }

    /// First it is marked and gone for everybody; then its entries go, in chunks. A crash in between is
    /// finished by the next start.
    pub(super) async fn org_delete(&self, trail: Trail, org: &str) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let gate = self.lock(&account).await?;
        let mut record = account.state.read().record.clone();
        record.state = OrgState::Deleting;
        let commit = Commit::new()
            .put(Table::Config, org_key(&account.id), Expect::Any, encode(&record))
            .put(Table::Config, erase_mark(&account.id), Expect::Any, "");
        self.change(&account, trail, commit, Some(gate), move |inner, account| {
            account.state.write().record = record;
            inner.unregister(account);
            vec![event(&account.id, AccountChange::OrgDeleted)]
        })
        .await?;
        if let Err(error) = self.purge(&account.id).await {
            tracing::warn!(org = %account.id, %error, "entries of a removed organization are left; the next start removes them");
        }
        Ok(Outcome::OrgDeleted {
            id: account.id.to_string(),
        })
    }

    /// The organization's own entry goes last: a crash in between is finished by the next start.
    async fn purge(&self, org: &OrgId) -> Result<(), StoreError> {
        for table in [Table::Audit, Table::History, Table::Usage] {
            self.purge_table(org, table, Commit::new()).await?;
        }
        let mark = Commit::new().delete(Table::Config, org_key(org), Expect::Any);
        self.purge_table(org, Table::Config, mark).await
    }

    async fn purge_table(&self, org: &OrgId, table: Table, last: Commit) -> Result<(), StoreError> {
        let store = &self.0.store;
        let mut finish = Some(last);
        while finish.is_some() {
            let page = store
                .scan(table, &Prefix::of_org(org, ""), None, CHUNK_ENTRIES)
                .await?;
            let mut commit = match page.next {
                Some(_) => Commit::new(),
                None => finish.take().unwrap_or_default(),
            };
            for entry in page.entries {
                commit = commit.delete(table, entry.key, Expect::Any);
            }
            store
                .write(commit)
                .await
                .map_err(|error| StoreError::Failed(error.to_string()))?;
        }
        Ok(())
    }

    /// Reads all accounts back.
    pub(super) async fn load(&self) -> Result<(), StoreError> {
        for entry in self.entries(&Prefix::of_system(record::AUDIT_NEXT)).await? {
            self.load_audit(&entry)?;
        }
        for entry in self.entries(&Prefix::of_system(record::ORGS)).await? {
            let org: OrgRecord = decode(&entry)?;
            let id = entry
                .key
                .path()
                .and_then(|path| path.strip_prefix(record::ORGS))
                .unwrap_or_default();
            let id = OrgId::new(id);
            if org.state == OrgState::Deleting {
                self.purge(&id).await?;
                continue;
            }
            let account = Account::new(id, org, PolicyDocument::of_preset(Preset::Blank));
            for entry in self.entries(&Prefix::of_org(&account.id, "")).await? {
                load_entry(&account, &entry, self.0.clock.wall())?;
            }
            self.0.register(&Arc::new(account));
        }
        Ok(())
    }

    async fn entries(&self, prefix: &Prefix) -> Result<Vec<Entry>, StoreError> {
        let (mut entries, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .0
                .store
                .scan(Table::Config, prefix, after.as_ref(), CHUNK_ENTRIES)
                .await?;
            entries.extend(page.entries);
            after = page.next;
            if after.is_none() {
                return Ok(entries);
            }
        }
    }
}

pub(super) fn org_commit(id: &OrgId, record: &OrgRecord, document: &PolicyDocument) -> Commit {
    Commit::new()
        .put(Table::Config, org_key(id), Expect::Absent, encode(record))
        .put(
            Table::Config,
            key_of(id, record::ACL, ""),
            Expect::Any,
            encode(document.source()),
        )
}

fn load_entry(account: &Account, entry: &Entry, now: WallTime) -> Result<(), StoreError> {
    let damaged = |what: &str| StoreError::Failed(format!("{:?} cannot be understood: {what}", entry.key));
    let path = entry.key.path().ok_or_else(|| damaged("its key is not text"))?;
    let mut state = account.state.write();
    if path == record::ACL {
        state.policy =
            PolicyDocument::parse(decode(entry)?).map_err(|faults| damaged(&faults[0].to_string()))?;
    } else if let Some(name) = path.strip_prefix(record::USERS) {
        state.users.insert(name.into(), User::of(decode(entry)?));
    } else if let Some(name) = path.strip_prefix(record::PROVIDERS) {
        // What was accepted once is not refused for its hosts now; they are judged when they are asked.
        let provider = Provider::new(decode(entry)?, Reach::Development);
        let provider = provider.map_err(|error| damaged(&error.to_string()))?;
        state.providers.insert(name.into(), provider);
    } else if let Some(id) = path.strip_prefix(record::KEYS) {
        state.keys.insert(id.into(), ApiKey::of(decode(entry)?));
    } else if let Some(email) = path.strip_prefix(record::MEMBERS) {
        let email = Email::parse(email).map_err(|error| damaged(&error.to_string()))?;
        state.members.insert(email, decode(entry)?);
    } else if path == record::AUDIT_NEXT {
        state.audit_next = decode(entry)?;
    } else if let Some(id) = path.strip_prefix(record::KEYS_USED) {
        // A key revoked just as it was used leaves this behind.
        if let Some(key) = state.keys.get_mut(id) {
            key.last_used_at = Some(decode(entry)?);
        }
    } else {
        load_mark(&mut state.tokens, path, entry, now)?;
    }
    Ok(())
}

fn load_mark(tokens: &mut TokenMarks, path: &str, entry: &Entry, now: WallTime) -> Result<(), StoreError> {
    let damaged = |what: &str| StoreError::Failed(format!("{:?} cannot be understood: {what}", entry.key));
    let uuid = |text: &str| Uuid::parse_str(text).map_err(|error| damaged(&error.to_string()));
    let email = |text: &str| Email::parse(text).map_err(|error| damaged(&error.to_string()));
    let expires_at = entry.expires_at.unwrap_or(now);
    if let Some(id) = path.strip_prefix(record::REVOKED) {
        tokens.revoked.insert_evicting(uuid(id)?, (), expires_at, now);
        return Ok(());
    }
    if let Some(id) = path.strip_prefix(record::RENEWED) {
        let until = decode(entry)?;
        tokens.renewed.insert_evicting(uuid(id)?, until, expires_at, now);
        return Ok(());
    }
    let epoch = if let Some(owner) = path.strip_prefix(record::REPLACED) {
        let (owner, epoch) = (email(owner)?, decode(entry)?);
        tokens.replaced.insert_evicting(owner, epoch, expires_at, now);
        epoch
    } else if let Some(owner) = path.strip_prefix(record::OWNER_CUT) {
        let (owner, epoch) = (email(owner)?, decode(entry)?);
        tokens.owners_cut.insert_evicting(owner, epoch, expires_at, now);
        epoch
    } else if let Some(provider) = path.strip_prefix(record::PROVIDER_CUT) {
        let epoch = decode(entry)?;
        tokens
            .providers_cut
            .insert_evicting(provider.into(), epoch, expires_at, now);
        epoch
    } else {
        return Err(damaged("no record has this name"));
    };
    tokens.epoch_last = tokens.epoch_last.max(epoch);
    Ok(())
}

impl Inner {
    pub(super) fn register(&self, account: &Arc<Account>) {
        let mut registry = self.registry.write();
        let state = account.state.read();
        registry.by_uuid.insert(state.record.uuid, account.id.clone());
        for (id, key) in &state.keys {
            registry
                .keys
                .insert(key.record.digest, (account.id.clone(), id.clone()));
        }
        for email in state.members.keys() {
            registry.note_member(email, &account.id);
        }
        registry.accounts.insert(account.id.clone(), Arc::clone(account));
    }

    fn unregister(&self, account: &Account) {
        let mut registry = self.registry.write();
        let state = account.state.read();
        registry.by_uuid.remove(&state.record.uuid);
        for key in state.keys.values() {
            registry.keys.remove(&key.record.digest);
        }
        for email in state.members.keys() {
            registry.forget_member(email, &account.id);
        }
        registry.accounts.remove(&account.id);
    }
}

impl Registry {
    pub(super) fn note_member(&mut self, email: &Email, org: &OrgId) {
        self.members.entry(email.clone()).or_default().insert(org.clone());
    }

    pub(super) fn forget_member(&mut self, email: &Email, org: &OrgId) {
        if let Some(orgs) = self.members.get_mut(email) {
            orgs.remove(org);
            if orgs.is_empty() {
                self.members.remove(email);
            }
        }
    }
}

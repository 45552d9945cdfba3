//! API keys: what a team's own servers log in with, ask for tokens with, and manage their organization with.

use std::sync::Arc;
use std::time::Duration;

use super::account::{Account, AccountState, ApiKey};
use super::audit::Trail;
use super::command::{CommandError, KeyOptions, Outcome, PageRequest};
use super::directory::{Directory, event};
use super::event::{AccountChange, AccountEvent};
use super::limits::{KEY_GRACE_SECS_MAX, KEY_LIFE_SECS_MAX, KEY_LIFE_SECS_MIN, KEYS_PER_ORG_MAX};
use super::names::{check_title, generate_org_id};
use super::record::{self, KeyRecord, encode, key_of};
use super::scope::{KeyKind, ScopeSet};
use super::secret::{Secret, SecretDigest};
use crate::clock::WallTime;
use crate::store::{Commit, Expect, Table};

/// How a secret key begins.
pub(crate) const SECRET_KEY_PREFIX: &str = KeyKind::Secret.prefix();

/// A key that is to be made.
#[derive(Clone, Debug)]
pub(super) struct NewKey {
    pub(super) name: String,
    pub(super) kind: KeyKind,
    pub(super) expires_at: Option<WallTime>,
    /// Whose login it is, if it is one.
    pub(super) member: Option<String>,
}

impl NewKey {
    pub(super) const fn secret(name: String) -> Self {
        Self {
            name,
            kind: KeyKind::Secret,
            expires_at: None,
            member: None,
        }
    }

    /// A fresh id, and the record of the key with this value.
    pub(super) fn record(self, secret: &Secret, created_at: WallTime) -> (Box<str>, KeyRecord) {
        // The random part of an organization id is what a key id needs too.
        let id = generate_org_id().as_str().replacen("org_", "key_", 1).into();
        let record = KeyRecord {
            name: self.name,
            digest: secret.digest(),
            masked: secret.masked(),
            created_at,
            kind: self.kind,
            expires_at: self.expires_at,
            member: self.member,
        };
        (id, record)
    }
}

/// Keys that come and go in one commit.
#[derive(Debug, Default)]
pub(super) struct KeyChange {
    pub(super) added: Vec<(Box<str>, KeyRecord)>,
    pub(super) removed: Vec<(Box<str>, SecretDigest)>,
}

impl KeyChange {
    /// What has to be stored.
    pub(super) fn write(&self, account: &Account, mut commit: Commit) -> Commit {
        for (id, record) in &self.added {
            let place = key_of(&account.id, record::KEYS, id);
            commit = commit.put(Table::Config, place, Expect::Absent, encode(record));
        }
        for (id, _) in &self.removed {
            for list in [record::KEYS, record::KEYS_USED] {
                commit = commit.delete(Table::Config, key_of(&account.id, list, id), Expect::Any);
            }
        }
        commit
    }

    /// Makes the change in memory; answers what connections have to hear.
    pub(super) fn apply(self, inner: &super::directory::Inner, account: &Account) -> Vec<AccountEvent> {
        let mut registry = inner.registry.write();
        let mut state = account.state.write();
        for (id, record) in self.added {
            registry
                .keys
                .insert(record.digest, (account.id.clone(), id.clone()));
            state.keys.insert(id, ApiKey::of(record));
        }
        let mut events = Vec::new();
        for (id, digest) in self.removed {
            registry.keys.remove(&digest);
            state.keys.remove(&id);
            events.push(event(&account.id, AccountChange::KeyRevoked { id }));
        }
        events
    }
}

impl AccountState {
    /// Keys whose time is over: they go with the next change.
    pub(super) fn ended_keys(&self, now: WallTime) -> Vec<(Box<str>, SecretDigest)> {
        let ended = |key: &ApiKey| key.record.expires_at.is_some_and(|end| end <= now);
        self.keys_where(ended)
    }

    /// The login keys of a member.
    pub(super) fn keys_of_member(&self, email: &str) -> Vec<(Box<str>, SecretDigest)> {
        self.keys_where(|key| key.record.member.as_deref() == Some(email))
    }

    fn keys_where(&self, wanted: impl Fn(&ApiKey) -> bool) -> Vec<(Box<str>, SecretDigest)> {
        let keys = self.keys.iter().filter(|(_, key)| wanted(key));
        keys.map(|(id, key)| (id.clone(), key.record.digest)).collect()
    }
}

impl Directory {
    pub(super) async fn key_create(
        &self,
        trail: Trail,
        org: &str,
        name: String,
        options: KeyOptions,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        check_title(&name).map_err(|error| CommandError::name("name", error))?;
        let KeyOptions {
            kind,
            expires_in_secs,
        } = options;
        if kind.scopes() == ScopeSet::NONE {
            let problem = "must name at least one scope for a restricted key";
            return Err(CommandError::invalid("scopes", problem));
        }
        let now = self.0.clock.wall().whole_secs();
        let expires_at = match expires_in_secs {
            None => None,
            Some(secs) if (KEY_LIFE_SECS_MIN..=KEY_LIFE_SECS_MAX).contains(&secs) => {
                Some(now.after(Duration::from_secs(secs)))
            }
            Some(_) => {
                let problem = format!("must be {KEY_LIFE_SECS_MIN} to {KEY_LIFE_SECS_MAX} seconds");
                return Err(CommandError::invalid("expires_in_secs", problem));
            }
        };
        let gate = self.lock(&account).await?;
        let removed = room_for_a_key(&account, now)?;
        let secret_key = Secret::generate(kind.prefix());
        let new = NewKey {
            name,
            kind,
            expires_at,
            member: None,
        };
        let (id, record) = new.record(&secret_key, now);
        let view = ApiKey::of(record.clone()).view(&id);
        let trail = trail.about(&id);
        let added = vec![(id, record)];
        let change = KeyChange { added, removed };
        let commit = change.write(&account, Commit::new());
        self.change(&account, trail, commit, Some(gate), move |inner, account| {
            change.apply(inner, account)
        })
        .await?;
        Ok(Outcome::KeyCreated {
            key: view,
            secret_key,
        })
    }

    pub(super) fn key_list(&self, org: &str, page: &PageRequest) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let state = account.state.read();
        let after = page.after.as_deref().unwrap_or_default();
        let rest = state.keys.iter().filter(|(id, _)| ***id > *after);
        let rest = rest.take(page.entries_max() + 1);
        let mut keys: Vec<_> = rest.map(|(id, key)| key.view(id)).collect();
        let next = page.next(&mut keys, |key| key.id.clone());
        Ok(Outcome::Keys { keys, next })
    }

    pub(super) fn key_show(&self, org: &str, key_id: &str) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let state = account.state.read();
        let key = state
            .keys
            .get(key_id)
            .ok_or_else(|| CommandError::not_found("key"))?;
        Ok(Outcome::Key(key.view(key_id)))
    }

    /// A new key like the old one, which ends now or after a while.
    pub(super) async fn key_rotate(
        &self,
        trail: Trail,
        org: &str,
        key_id: String,
        grace_secs: u64,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        if grace_secs > KEY_GRACE_SECS_MAX {
            let problem = format!("must be at most {KEY_GRACE_SECS_MAX} seconds");
            return Err(CommandError::invalid("grace_secs", problem));
        }
        let gate = self.lock(&account).await?;
        let now = self.0.clock.wall().whole_secs();
        let old = account.state.read().keys.get(key_id.as_str()).cloned();
        let old = old.ok_or_else(|| CommandError::not_found("key"))?.record;
        if old.member.is_some() {
            let problem = "belongs to a login; log in again instead";
            return Err(CommandError::invalid("key_id", problem));
        }
        let secret_key = Secret::generate(old.kind.prefix());
        let new = NewKey {
            name: old.name.clone(),
            kind: old.kind,
            expires_at: old.expires_at,
            member: None,
        };
        let (id, record) = new.record(&secret_key, now);
        let view = ApiKey::of(record.clone()).view(&id);
        let trail = trail.with("new_key_id", &id);
        let mut change = KeyChange {
            added: vec![(id, record)],
            removed: Vec::new(),
        };
        let old_id: Box<str> = key_id.as_str().into();
        let mut old_ends_at = now;
        let mut commit = Commit::new();
        let mut kept = None;
        if grace_secs == 0 {
            change.removed.push((old_id.clone(), old.digest));
        } else {
            change.removed = room_for_a_key(&account, now)?;
            let end = now.after(Duration::from_secs(grace_secs));
            old_ends_at = old.expires_at.map_or(end, |before| before.min(end));
            let record = KeyRecord {
                expires_at: Some(old_ends_at),
                ..old
            };
            let place = key_of(&account.id, record::KEYS, &key_id);
            commit = commit.put(Table::Config, place, Expect::Any, encode(&record));
            kept = Some((old_id, record));
        }
        commit = change.write(&account, commit);
        self.change(&account, trail, commit, Some(gate), move |inner, account| {
            let mut events = change.apply(inner, account);
            if let Some((id, record)) = kept
                && let Some(key) = account.state.write().keys.get_mut(&id)
            {
                key.record = record;
                let expires_at = inner.clock.instant_of(old_ends_at);
                let change = AccountChange::KeyDeadlineMoved { id, expires_at };
                events.push(event(&account.id, change));
            }
            events
        })
        .await?;
        Ok(Outcome::KeyRotated {
            key: view,
            secret_key,
            replaced_key_id: key_id,
            replaced_ends_at: old_ends_at,
        })
    }

    pub(super) async fn key_revoke(
        &self,
        trail: Trail,
        org: &str,
        key_id: String,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let gate = self.lock(&account).await?;
        let key = account.state.read().keys.get(key_id.as_str()).cloned();
        let digest = key.ok_or_else(|| CommandError::not_found("key"))?.record.digest;
        let change = KeyChange {
            added: Vec::new(),
            removed: vec![(key_id.as_str().into(), digest)],
        };
        let commit = change.write(&account, Commit::new());
        self.change(&account, trail, commit, Some(gate), move |inner, account| {
            change.apply(inner, account)
        })
        .await?;
        Ok(Outcome::KeyRevoked { key_id })
    }
}

/// Whether there may be one key more; answers those that make room because their time is over.
fn room_for_a_key(
    account: &Arc<Account>,
    now: WallTime,
) -> Result<Vec<(Box<str>, SecretDigest)>, CommandError> {
    let state = account.state.read();
    let ended = state.ended_keys(now);
    let is_live = |key: &&ApiKey| key.record.expires_at.is_none_or(|end| end > now);
    let live = state.keys.values().filter(is_live);
    // Logins have a bound of their own.
    if live.filter(|key| key.record.member.is_none()).count() >= KEYS_PER_ORG_MAX {
        return Err(CommandError::limit("keys of an organization", KEYS_PER_ORG_MAX));
    }
    Ok(ended)
}

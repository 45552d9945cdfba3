//! Secret keys: what a team's own servers log in with and ask for tokens with.

use std::sync::Arc;

use cloudsignal_broker::OrgId;

use super::account::{Account, SecretKey};
use super::command::{CommandError, CredentialFault, Outcome};
use super::directory::{Directory, event};
use super::event::AccountChange;
use super::limits::{KEYS_PER_ORG_MAX, LAST_USED_STEP_SECS};
use super::names::{OrgRef, check_title, generate_org_id};
use super::record::{self, KeyRecord, encode, key_of};
use super::scope::KeyKind;
use super::secret::{Secret, SecretDigest};
use crate::clock::WallTime;
use crate::store::{Commit, Expect, Table};

/// How a secret key begins.
pub(crate) const SECRET_KEY_PREFIX: &str = "sk_";

/// Whose key a request shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHolder {
    /// The key's organization.
    pub org: OrgId,
    /// The key's id; not secret.
    pub id: Box<str>,
    /// What it may do.
    pub kind: KeyKind,
}

/// A fresh id and record for a key.
pub(super) fn new_key(name: String, secret: &Secret, created_at: WallTime) -> (Box<str>, KeyRecord) {
    // The random part of an organization id is what a key id needs too.
    let id = generate_org_id().as_str().replacen("org_", "key_", 1).into();
    (
        id,
        KeyRecord {
            name,
            digest: secret.digest(),
            masked: secret.masked(),
            created_at,
            kind: KeyKind::Secret,
            expires_at: None,
        },
    )
}

impl Directory {
    pub(super) async fn key_create(&self, org: &str, name: String) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        check_title(&name).map_err(|error| CommandError::name("name", error))?;
        let gate = account.lock().await?;
        if account.state.read().keys.len() >= KEYS_PER_ORG_MAX {
            return Err(CommandError::limit(
                "secret keys of an organization",
                KEYS_PER_ORG_MAX,
            ));
        }
        let secret_key = Secret::generate(SECRET_KEY_PREFIX);
        let (id, record) = new_key(name, &secret_key, self.0.clock.wall().whole_secs());
        let commit = Commit::new().put(
            Table::Config,
            key_of(&account.id, record::KEYS, &id),
            Expect::Absent,
            encode(&record),
        );
        let key = SecretKey {
            record,
            last_used_at: None,
        };
        let view = key.view(&id);
        self.change(commit, Some(gate), move |inner| {
            let place = (account.id.clone(), id.clone());
            inner.registry.write().keys.insert(key.record.digest, place);
            account.state.write().keys.insert(id, key);
            Vec::new()
        })
        .await?;
        Ok(Outcome::KeyCreated {
            key: view,
            secret_key,
        })
    }

    pub(super) fn key_list(&self, org: &str) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let state = account.state.read();
        Ok(Outcome::Keys {
            keys: state.keys.iter().map(|(id, key)| key.view(id)).collect(),
        })
    }

    pub(super) async fn key_revoke(&self, org: &str, key_id: String) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let gate = account.lock().await?;
        let key = account.state.read().keys.get(key_id.as_str()).cloned();
        let digest = key.ok_or_else(|| CommandError::not_found("key"))?.record.digest;
        let commit = Commit::new()
            .delete(
                Table::Config,
                key_of(&account.id, record::KEYS, &key_id),
                Expect::Any,
            )
            .delete(
                Table::Config,
                key_of(&account.id, record::KEYS_USED, &key_id),
                Expect::Any,
            );
        let id: Box<str> = key_id.as_str().into();
        self.change(commit, Some(gate), move |inner| {
            inner.registry.write().keys.remove(&digest);
            account.state.write().keys.remove(&id);
            vec![event(&account.id, AccountChange::KeyRevoked { id })]
        })
        .await?;
        Ok(Outcome::KeyRevoked { key_id })
    }

    /// Whose key a client shows: its organization and the key's id. Notes that it was used.
    ///
    /// # Errors
    /// [`CredentialFault::Unknown`] for no key of this organization, [`CredentialFault::Suspended`].
    pub fn check_key(&self, org: &OrgRef, secret: &[u8]) -> Result<(OrgId, Box<str>), CredentialFault> {
        let digest = SecretDigest::of(secret);
        let (account, id) = self.key_place(&digest)?;
        if self.account_by(org).is_none_or(|named| named.id != account.id) {
            return Err(CredentialFault::Unknown);
        }
        match self.use_key(&account, &id, digest)? {
            KeyKind::Secret => Ok((account.id.clone(), id)),
            KeyKind::Publishable | KeyKind::Restricted { .. } => Err(CredentialFault::Unknown),
        }
    }

    /// Whose key a request shows, of whichever kind. Notes that it was used.
    ///
    /// # Errors
    /// [`CredentialFault::Unknown`] for no key of ours, [`CredentialFault::Expired`],
    /// [`CredentialFault::Suspended`].
    pub fn check_api_key(&self, secret: &[u8]) -> Result<KeyHolder, CredentialFault> {
        let digest = SecretDigest::of(secret);
        let (account, id) = self.key_place(&digest)?;
        let kind = self.use_key(&account, &id, digest)?;
        let org = account.id.clone();
        Ok(KeyHolder { org, id, kind })
    }

    fn key_place(&self, digest: &SecretDigest) -> Result<(Arc<Account>, Box<str>), CredentialFault> {
        let registry = self.0.registry.read();
        let (owner, id) = registry.keys.get(digest).ok_or(CredentialFault::Unknown)?;
        let account = registry.accounts.get(owner).ok_or(CredentialFault::Unknown)?;
        Ok((Arc::clone(account), id.clone()))
    }

    fn use_key(
        &self,
        account: &Arc<Account>,
        id: &str,
        digest: SecretDigest,
    ) -> Result<KeyKind, CredentialFault> {
        if !account.is_active() {
            return Err(CredentialFault::Suspended);
        }
        self.note_key_used(account, id, digest)
    }

    fn note_key_used(
        &self,
        account: &Arc<Account>,
        id: &str,
        digest: SecretDigest,
    ) -> Result<KeyKind, CredentialFault> {
        let now = self.0.clock.wall().whole_secs();
        let mut state = account.state.write();
        // Revoked since the look into the registry, perhaps.
        let key = state
            .keys
            .get_mut(id)
            .filter(|key| key.record.digest.matches(&digest));
        let key = key.ok_or(CredentialFault::Unknown)?;
        if key.record.expires_at.is_some_and(|end| end <= now) {
            return Err(CredentialFault::Expired);
        }
        let kind = key.record.kind;
        let is_news = key
            .last_used_at
            .is_none_or(|at| now.since(at).as_secs() >= LAST_USED_STEP_SECS);
        if is_news {
            key.last_used_at = Some(now);
            let place = key_of(&account.id, record::KEYS_USED, id);
            let commit = Commit::new().put(Table::Config, place, Expect::Any, encode(&now));
            // Nobody waits for this; lost, the shown time is older than it should be.
            self.0.store.commit(commit, Box::new(|_outcome| {}));
        }
        Ok(kind)
    }
}

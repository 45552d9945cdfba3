//! From the value of a key to whose it is.

use std::sync::Arc;

use cloudsignal_broker::OrgId;

use super::account::Account;
use super::command::CredentialFault;
use super::directory::Directory;
use super::limits::LAST_USED_STEP_SECS;
use super::members::Role;
use super::names::{Email, OrgRef};
use super::record::{self, encode, key_of};
use super::scope::KeyKind;
use super::secret::SecretDigest;
use crate::clock::WallTime;
use crate::store::{Commit, Expect, Table};

/// Whose key somebody shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHolder {
    /// The key's organization.
    pub org: OrgId,
    /// The key's id; not secret.
    pub id: Box<str>,
    /// What it may do.
    pub kind: KeyKind,
    /// When it ends, if it does.
    pub expires_at: Option<WallTime>,
    /// Whose login it is, if it is one.
    pub login: Option<(Email, Role)>,
}

impl Directory {
    /// Whose secret key a client of this organization shows. Notes that it was used.
    ///
    /// # Errors
    /// [`CredentialFault::Unknown`] for no secret key of this organization, [`CredentialFault::Expired`],
    /// [`CredentialFault::Suspended`].
    pub fn check_key(&self, org: &OrgRef, secret: &[u8]) -> Result<KeyHolder, CredentialFault> {
        let digest = SecretDigest::of(secret);
        let (account, id) = self.key_place(&digest)?;
        if self.account_by(org).is_none_or(|named| named.id != account.id) {
            return Err(CredentialFault::Unknown);
        }
        let holder = self.use_key(&account, id, digest)?;
        match holder.kind {
            KeyKind::Secret => Ok(holder),
            KeyKind::Publishable | KeyKind::Restricted { .. } => Err(CredentialFault::Unknown),
        }
    }

    /// Whose key a request shows, of whichever kind and organization. Notes that it was used.
    ///
    /// # Errors
    /// [`CredentialFault::Unknown`] for no key of ours, [`CredentialFault::Expired`],
    /// [`CredentialFault::Suspended`].
    pub fn check_api_key(&self, secret: &[u8]) -> Result<KeyHolder, CredentialFault> {
        let digest = SecretDigest::of(secret);
        let (account, id) = self.key_place(&digest)?;
        self.use_key(&account, id, digest)
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
        id: Box<str>,
        digest: SecretDigest,
    ) -> Result<KeyHolder, CredentialFault> {
        if !account.is_active() {
            return Err(CredentialFault::Suspended);
        }
        let now = self.0.clock.wall().whole_secs();
        let mut state = account.state.write();
        let state = &mut *state;
        // Revoked since the look into the registry, perhaps.
        let key = state.keys.get_mut(&id);
        let key = key.filter(|key| key.record.digest.matches(&digest));
        let key = key.ok_or(CredentialFault::Unknown)?;
        let record = &key.record;
        if record.expires_at.is_some_and(|end| end <= now) {
            return Err(CredentialFault::Expired);
        }
        let login = match &record.member {
            None => None,
            Some(email) => {
                let email = Email::parse(email).map_err(|_| CredentialFault::Unknown)?;
                let member = state.members.get(&email).ok_or(CredentialFault::Revoked)?;
                Some((email, member.role))
            }
        };
        let is_news = |at| now.since(at).as_secs() >= LAST_USED_STEP_SECS;
        if key.last_used_at.is_none_or(is_news) {
            key.last_used_at = Some(now);
            let place = key_of(&account.id, record::KEYS_USED, &id);
            let commit = Commit::new().put(Table::Config, place, Expect::Any, encode(&now));
            // Nobody waits for this; lost, the shown time is older than it should be.
            self.0.store.commit(commit, Box::new(|_outcome| {}));
        }
        Ok(KeyHolder {
            org: account.id.clone(),
            kind: record.kind,
            expires_at: record.expires_at,
            id,
            login,
        })
    }
}

//! Logins of members: a password for a key that ends by itself.

use std::sync::Arc;
use std::time::Duration;

use super::account::{Account, ApiKey};
use super::audit::Trail;
use super::command::{CommandError, CredentialFault, KeyView, MemberView, OrgView};
use super::directory::Directory;
use super::keys::{KeyChange, NewKey};
use super::limits::{LOGIN_ORGS_MAX, LOGIN_SECS, LOGINS_PER_MEMBER_MAX, PASSWORD_BYTES_MAX};
use super::names::{Email, OrgRef};
use super::record::MemberRecord;
use super::scope::KeyKind;
use super::secret::Secret;
use crate::store::Commit;

/// Whoever just logged in.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// The member.
    pub member: MemberView,
    /// The organization.
    pub org: OrgView,
    /// The key that the login made.
    pub key: KeyView,
    /// Its value, once.
    pub secret: Secret,
}

impl Directory {
    /// Checks a member's password and makes a key with the scopes of the role, for [`LOGIN_SECS`].
    ///
    /// Without an organization the password is tried in the member's organizations, in the order of their
    /// ids, at most [`LOGIN_ORGS_MAX`] of them. An unknown address costs as much time as a wrong password.
    ///
    /// # Errors
    /// [`CommandError::Refused`] for a wrong password or address, and a suspended organization.
    pub async fn log_in(
        &self,
        org: Option<&str>,
        email: &str,
        password: &Secret,
    ) -> Result<LoggedIn, CommandError> {
        let email = Email::parse(email).map_err(|error| CommandError::name("email", error))?;
        let password = password.expose().as_bytes();
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(CredentialFault::Unknown.into());
        }
        let mut found = None;
        for account in self.accounts_of(org, &email) {
            let hash = account.state.read().members.get(&email).map(MemberRecord::hash);
            if hash.is_some() && self.0.passwords.verify(password, hash.clone()).await? {
                found = Some((account, hash));
                break;
            }
        }
        let Some((account, hash)) = found else {
            // As long as a wrong password takes.
            if self.accounts_of(org, &email).is_empty() {
                self.0.passwords.verify(password, None).await?;
            }
            return Err(CredentialFault::Unknown.into());
        };
        self.make_login(&account, &email, hash).await
    }

    fn accounts_of(&self, org: Option<&str>, email: &Email) -> Vec<Arc<Account>> {
        let registry = self.0.registry.read();
        let orgs = registry.members.get(email).into_iter().flatten();
        let wanted = org.map(OrgRef::parse);
        let accounts = orgs.filter_map(|id| registry.accounts.get(id));
        let accounts = accounts.filter(|account| match &wanted {
            None => true,
            Some(None) => false,
            Some(Some(OrgRef::Id(id))) => account.id == *id,
            Some(Some(OrgRef::Uuid(uuid))) => account.state.read().record.uuid == *uuid,
        });
        accounts.take(LOGIN_ORGS_MAX).cloned().collect()
    }

    async fn make_login(
        &self,
        account: &Arc<Account>,
        email: &Email,
        hash: Option<Arc<str>>,
    ) -> Result<LoggedIn, CommandError> {
        let gate = self.lock(account).await?;
        if !account.is_active() {
            return Err(CredentialFault::Suspended.into());
        }
        // Changed or removed while the password was checked, perhaps.
        let (email, member) = account
            .member(email.as_str())
            .map_err(|_gone| CredentialFault::Unknown)?;
        if hash.is_none_or(|hash| *hash != *member.password) {
            return Err(CredentialFault::Unknown.into());
        }
        let now = self.0.clock.wall().whole_secs();
        let mut removed = account.state.read().ended_keys(now);
        let oldest = {
            let state = account.state.read();
            let mut logins: Vec<_> = state
                .keys_of_member(email.as_str())
                .into_iter()
                .filter(|login| !removed.contains(login))
                .collect();
            logins.sort_by_key(|(id, _)| state.keys.get(id).map(|key| key.record.created_at));
            let excess = (logins.len() + 1).saturating_sub(LOGINS_PER_MEMBER_MAX);
            logins.truncate(excess);
            logins
        };
        removed.extend(oldest);
        let scopes = member.role.scopes();
        let kind = KeyKind::Restricted { scopes };
        let secret = Secret::generate(kind.prefix());
        let new = NewKey {
            name: "login".into(),
            kind,
            expires_at: Some(now.after(Duration::from_secs(LOGIN_SECS))),
            member: Some(email.as_str().into()),
        };
        let (id, record) = new.record(&secret, now);
        let key = ApiKey::of(record.clone()).view(&id);
        let added = vec![(id, record)];
        let change = KeyChange { added, removed };
        let commit = change.write(account, Commit::new());
        self.change(
            account,
            Trail::none(),
            commit,
            Some(gate),
            move |inner, account| change.apply(inner, account),
        )
        .await?;
        Ok(LoggedIn {
            member: member.view(&email),
            org: account.view(),
            key,
            secret,
        })
    }
}

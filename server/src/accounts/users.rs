//! Individual users: a name and a password that stays until it is changed.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use cloudsignal_broker::OrgId;

use super::account::User;
use super::audit::Trail;
use super::command::{CommandError, CredentialFault, Outcome, PageRequest};
use super::directory::{Directory, event};
use super::event::AccountChange;
use super::limits::{PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, USERS_PER_ORG_MAX};
use super::names::{LoginName, check_user_name};
use super::record::{self, encode, key_of};
use super::secret::Secret;
use crate::store::{Commit, Expect, Table};

/// A user whose password is to be checked.
#[derive(Debug)]
pub(crate) struct UserToVerify {
    /// The organization, by its short id.
    pub(crate) org: OrgId,
    /// argon2id in PHC form.
    pub(crate) hash: Arc<str>,
    /// Tells this password apart from earlier and later ones.
    pub(crate) epoch: String,
}

impl Directory {
    pub(super) async fn user_create(
        &self,
        trail: Trail,
        org: &str,
        name: String,
        password: Option<Secret>,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        check_user_name(&name).map_err(|error| CommandError::name("name", error))?;
        let (hash, made) = self.new_password(password).await?;
        let gate = self.lock(&account).await?;
        let now = self.0.clock.wall();
        let user = User {
            password: hash,
            created_at: now.whole_secs(),
            password_set_at: now,
            disabled: false,
        };
        {
            let state = account.state.read();
            if state.users.contains_key(name.as_str()) {
                return Err(CommandError::Exists { what: "user".into() });
            }
            if state.users.len() >= USERS_PER_ORG_MAX {
                return Err(CommandError::limit("users of an organization", USERS_PER_ORG_MAX));
            }
        }
        let view = account.user_view(&name, &user);
        let key = key_of(&account.id, record::USERS, &name);
        let commit = Commit::new().put(Table::Config, key, Expect::Absent, encode(&user.record()));
        self.change(&account, trail, commit, Some(gate), move |_, account| {
            account.state.write().users.insert(name.into(), user);
            Vec::new()
        })
        .await?;
        Ok(Outcome::User {
            user: view,
            password: made,
        })
    }

    pub(super) fn user_show(&self, org: &str, name: &str) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let state = account.state.read();
        let user = state
            .users
            .get(name)
            .ok_or_else(|| CommandError::not_found("user"))?;
        Ok(Outcome::User {
            user: account.user_view(name, user),
            password: None,
        })
    }

    pub(super) async fn user_enable(
        &self,
        trail: Trail,
        org: &str,
        name: String,
        enabled: bool,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let gate = self.lock(&account).await?;
        let user = account.state.read().users.get(name.as_str()).cloned();
        let mut user = user.ok_or_else(|| CommandError::not_found("user"))?;
        let was_disabled = user.disabled;
        user.disabled = !enabled;
        let view = account.user_view(&name, &user);
        if was_disabled != user.disabled {
            let key = key_of(&account.id, record::USERS, &name);
            let commit = Commit::new().put(Table::Config, key, Expect::Any, encode(&user.record()));
            self.change(&account, trail, commit, Some(gate), move |_, account| {
                let name: Box<str> = name.into();
                account.state.write().users.insert(name.clone(), user);
                let disabled = event(&account.id, AccountChange::UserDisabled { user: name });
                if enabled { Vec::new() } else { vec![disabled] }
            })
            .await?;
        }
        Ok(Outcome::User {
            user: view,
            password: None,
        })
    }

    pub(super) fn user_list(
        &self,
        org: &str,
        prefix: Option<&str>,
        page: &PageRequest,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let state = account.state.read();
        let prefix = prefix.unwrap_or_default();
        let from = match page.after.as_deref() {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let rest = state
            .users
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .take(page.entries_max() + 1);
        let mut users: Vec<_> = rest.map(|(name, user)| account.user_view(name, user)).collect();
        let next = page.next(&mut users, |user| user.name.clone());
        Ok(Outcome::Users { users, next })
    }

    pub(super) async fn user_set_password(
        &self,
        trail: Trail,
        org: &str,
        name: String,
        password: Option<Secret>,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let (hash, made) = self.new_password(password).await?;
        let gate = self.lock(&account).await?;
        let before = account.state.read().users.get(name.as_str()).cloned();
        let before = before.ok_or_else(|| CommandError::not_found("user"))?;
        // Later than the one before even if the clock was set back.
        let password_set_at = self
            .0
            .clock
            .wall()
            .max(before.password_set_at.after(Duration::from_micros(1)));
        let user = User {
            password: hash,
            password_set_at,
            ..before
        };
        let view = account.user_view(&name, &user);
        let key = key_of(&account.id, record::USERS, &name);
        let commit = Commit::new().put(Table::Config, key, Expect::Any, encode(&user.record()));
        self.change(&account, trail, commit, Some(gate), move |_, account| {
            let name: Box<str> = name.into();
            account.state.write().users.insert(name.clone(), user);
            vec![event(&account.id, AccountChange::PasswordChanged { user: name })]
        })
        .await?;
        Ok(Outcome::User {
            user: view,
            password: made,
        })
    }

    pub(super) async fn user_delete(
        &self,
        trail: Trail,
        org: &str,
        name: String,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let gate = self.lock(&account).await?;
        if !account.state.read().users.contains_key(name.as_str()) {
            return Err(CommandError::not_found("user"));
        }
        let commit = Commit::new().delete(
            Table::Config,
            key_of(&account.id, record::USERS, &name),
            Expect::Any,
        );
        let user: Box<str> = name.as_str().into();
        self.change(&account, trail, commit, Some(gate), move |_, account| {
            account.state.write().users.remove(&user);
            vec![event(&account.id, AccountChange::UserDeleted { user })]
        })
        .await?;
        Ok(Outcome::UserDeleted { name })
    }

    /// What is needed to check a user's password; `None` for an unknown user or organization.
    ///
    /// # Errors
    /// [`CredentialFault::Suspended`]
    pub(crate) fn user_to_verify(
        &self,
        login: &LoginName<'_>,
    ) -> Result<Option<UserToVerify>, CredentialFault> {
        let Some(account) = self.account_by(&login.org) else {
            return Ok(None);
        };
        if !account.is_active() {
            return Err(CredentialFault::Suspended);
        }
        let state = account.state.read();
        let user = state.users.get(login.name).filter(|user| !user.disabled);
        Ok(user.map(|user| UserToVerify {
            org: account.id.clone(),
            hash: Arc::clone(&user.password),
            epoch: user.epoch(),
        }))
    }

    /// The hash of a password, and the password itself if it was made here.
    pub(super) async fn new_password(
        &self,
        password: Option<Secret>,
    ) -> Result<(Arc<str>, Option<Secret>), CommandError> {
        let (password, made) = match password {
            Some(password) => (password, None),
            None => {
                let password = Secret::generate_password();
                (password.clone(), Some(password))
            }
        };
        let bytes = password.expose().as_bytes();
        if !(PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&bytes.len()) {
            let problem = format!("must have {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes");
            return Err(CommandError::invalid("password", problem));
        }
        Ok((self.0.passwords.hash(bytes).await?.into(), made))
    }
}

//! Organizations made with everything that makes them usable: at the first start, and at sign-up.

use std::sync::Arc;

use cloudsignal_broker::OrgId;

use super::account::{Account, ApiKey, User};
use super::acl::Preset;
use super::audit::Trail;
use super::command::{CommandError, Outcome};
use super::directory::{Directory, event};
use super::event::AccountChange;
use super::keys::NewKey;
use super::members::Role;
use super::names::{Email, check_title, check_user_name};
use super::orgs::org_commit;
use super::record::{self, MemberRecord, UserRecord, encode, key_of};
use super::secret::Secret;
use crate::store::{Expect, Table};

/// Everything that the first start makes, with secrets chosen beforehand so that they can be written
/// down before they count.
#[derive(Clone, Debug)]
pub struct Provision {
    /// The organization's short id.
    pub org: OrgId,
    /// What people call it.
    pub name: String,
    /// Its first policy.
    pub preset: Preset,
    /// The name of its first user.
    pub user: String,
    /// That user's password.
    pub password: Secret,
    /// Its first secret key.
    pub secret_key: Secret,
}

impl Directory {
    /// Makes an organization with a user and a key in one commit.
    ///
    /// # Errors
    /// As the single commands; nothing of it exists then.
    pub async fn provision(&self, provision: Provision) -> Result<(), CommandError> {
        let Provision {
            org: id,
            name,
            preset,
            user,
            password,
            secret_key,
        } = provision;
        check_title(&name).map_err(|error| CommandError::name("name", error))?;
        check_user_name(&user).map_err(|error| CommandError::name("user", error))?;
        let hash = self.0.passwords.hash(password.expose().as_bytes()).await?;
        let gate = Arc::clone(&self.0.gate).lock_owned().await;
        let (record, document) = self.new_org_parts(name, preset);
        let user_record = UserRecord {
            password: hash.into(),
            created_at: record.created_at,
            password_set_at: record.created_at,
            disabled: false,
        };
        let (key_id, key_record) = NewKey::secret("first key".into()).record(&secret_key, record.created_at);
        let user_place = key_of(&id, record::USERS, &user);
        let key_place = key_of(&id, record::KEYS, &key_id);
        let commit = org_commit(&id, &record, &document)
            .put(Table::Config, user_place, Expect::Absent, encode(&user_record))
            .put(Table::Config, key_place, Expect::Absent, encode(&key_record));
        let account = Arc::new(Account::new(id, record, document));
        // The first start is nobody's change.
        self.change(
            &account,
            Trail::none(),
            commit,
            Some(gate),
            move |inner, account| {
                {
                    let mut state = account.state.write();
                    state.users.insert(user.into(), User::of(user_record));
                    state.keys.insert(key_id, ApiKey::of(key_record));
                }
                inner.register(account);
                vec![event(&account.id, AccountChange::OrgCreated)]
            },
        )
        .await
    }

    /// Makes an organization with its owner and a secret key in one commit.
    pub(super) async fn sign_up(
        &self,
        trail: Trail,
        name: String,
        email: &str,
        password: Secret,
    ) -> Result<Outcome, CommandError> {
        check_title(&name).map_err(|error| CommandError::name("organization_name", error))?;
        let email = Email::parse(email).map_err(|error| CommandError::name("email", error))?;
        let (hash, _) = self.new_password(Some(password)).await?;
        let (gate, id) = self.new_org().await?;
        let preset = Preset::default();
        let (record, document) = self.new_org_parts(name, preset);
        let owner = MemberRecord {
            password: hash.to_string(),
            role: Role::Owner,
            created_at: record.created_at,
            password_set_at: record.created_at,
        };
        let secret_key = Secret::generate(super::keys::SECRET_KEY_PREFIX);
        let (key_id, key_record) = NewKey::secret("first key".into()).record(&secret_key, record.created_at);
        let member_place = key_of(&id, record::MEMBERS, email.as_str());
        let key_place = key_of(&id, record::KEYS, &key_id);
        let commit = org_commit(&id, &record, &document)
            .put(Table::Config, member_place, Expect::Absent, encode(&owner))
            .put(Table::Config, key_place, Expect::Absent, encode(&key_record));
        let key = ApiKey::of(key_record);
        let (member_view, key_view) = (owner.view(&email), key.view(&key_id));
        let account = Arc::new(Account::new(id, record, document));
        self.change(&account, trail, commit, Some(gate), move |inner, account| {
            {
                let mut state = account.state.write();
                state.members.insert(email, owner);
                state.keys.insert(key_id, key);
            }
            inner.register(account);
            vec![event(&account.id, AccountChange::OrgCreated)]
        })
        .await?;
        Ok(Outcome::SignedUp {
            org: account.view(),
            member: member_view,
            key: key_view,
            secret_key,
            policy_meaning: preset.meaning().into(),
        })
    }
}

//! Members: the people who manage an organization. Each has a role, which is a set of scopes.

use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::audit::{Actor, Trail};
use super::command::{CommandError, CredentialFault, MemberView, Outcome, PageRequest};
use super::directory::Directory;
use super::keys::KeyChange;
use super::limits::MEMBERS_PER_ORG_MAX;
use super::names::Email;
use super::record::{self, MemberRecord, encode, key_of};
use super::scope::{KeyKind, Scope, ScopeSet};
use super::secret::Secret;
use crate::store::{Commit, Expect, Table};

/// What a member may do. A later one may do less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything. An organization has at least one.
    Owner,
    /// Everything, except making, changing and removing owners.
    Admin,
    /// Works with messages, tokens and sessions, and sees everything but the audit trail.
    Member,
    /// Sees what a member sees, and changes nothing.
    Viewer,
}

const VIEWER: &[Scope] = &[
    Scope::TokensRead,
    Scope::UsersRead,
    Scope::SessionsRead,
    Scope::AclRead,
    Scope::KeysRead,
    Scope::ProvidersRead,
    Scope::UsageRead,
    Scope::OrgRead,
];

impl Role {
    /// The scopes of the role.
    #[must_use]
    pub const fn scopes(self) -> ScopeSet {
        match self {
            Self::Owner | Self::Admin => ScopeSet::ALL,
            Self::Member => ScopeSet::of(VIEWER).and(ScopeSet::of(&[
                Scope::MessagesPublish,
                Scope::TokensWrite,
                Scope::SessionsWrite,
            ])),
            Self::Viewer => ScopeSet::of(VIEWER),
        }
    }

    /// Whether somebody of this role may make, change and remove members of the `other` one.
    #[must_use]
    pub const fn manages(self, other: Self) -> bool {
        match (self, other) {
            (Self::Owner, _) => true,
            (Self::Admin, Self::Admin | Self::Member | Self::Viewer) => true,
            (Self::Admin, Self::Owner) | (Self::Member | Self::Viewer, _) => false,
        }
    }
}

impl Directory {
    pub(super) async fn member_create(
        &self,
        trail: Trail,
        org: &str,
        email: &str,
        role: Role,
        password: Option<Secret>,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let email = Email::parse(email).map_err(|error| CommandError::name("email", error))?;
        let (hash, made) = self.new_password(password).await?;
        let gate = self.lock(&account).await?;
        account.check_power(trail.actor(), role)?;
        {
            let state = account.state.read();
            if state.members.contains_key(&email) {
                return Err(CommandError::Exists {
                    what: "member".into(),
                });
            }
            if state.members.len() >= MEMBERS_PER_ORG_MAX {
                return Err(CommandError::limit(
                    "members of an organization",
                    MEMBERS_PER_ORG_MAX,
                ));
            }
        }
        let now = self.0.clock.wall().whole_secs();
        let member = MemberRecord {
            password: hash.to_string(),
            role,
            created_at: now,
            password_set_at: now,
        };
        let view = member.view(&email);
        let place = key_of(&account.id, record::MEMBERS, email.as_str());
        let commit = Commit::new().put(Table::Config, place, Expect::Absent, encode(&member));
        self.change(&account, trail, commit, Some(gate), move |inner, account| {
            inner.registry.write().note_member(&email, &account.id);
            account.state.write().members.insert(email, member);
            Vec::new()
        })
        .await?;
        Ok(Outcome::Member {
            member: view,
            password: made,
        })
    }

    pub(super) fn member_list(&self, org: &str, page: &PageRequest) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let state = account.state.read();
        let after = page.after.as_deref().map(Email::parse);
        let after = match &after {
            None => Bound::Unbounded,
            Some(Ok(email)) => Bound::Excluded(email),
            Some(Err(error)) => return Err(CommandError::name("after", *error)),
        };
        let rest = state.members.range((after, Bound::Unbounded));
        let rest = rest.take(page.entries_max() + 1);
        let mut members: Vec<_> = rest.map(|(email, member)| member.view(email)).collect();
        let next = page.next(&mut members, |member| member.email.clone());
        Ok(Outcome::Members { members, next })
    }

    pub(super) fn member_show(&self, org: &str, email: &str) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let (email, member) = account.member(email)?;
        Ok(Outcome::Member {
            member: member.view(&email),
            password: None,
        })
    }

    /// A new role or a new password; with either, the member's logins end.
    pub(super) async fn member_update(
        &self,
        trail: Trail,
        org: &str,
        email: &str,
        role: Option<Role>,
        password: Option<Secret>,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        account.member(email)?;
        let hash = match password {
            None => None,
            Some(password) => Some(self.new_password(Some(password)).await?.0),
        };
        let gate = self.lock(&account).await?;
        let (email, mut member) = account.member(email)?;
        account.check_power(trail.actor(), member.role)?;
        if let Some(role) = role {
            account.check_power(trail.actor(), role)?;
            account.keep_an_owner(&member, role)?;
            member.role = role;
        }
        if let Some(hash) = hash {
            member.password = hash.to_string();
            member.password_set_at = self.0.clock.wall().whole_secs();
        }
        let view = member.view(&email);
        let change = KeyChange {
            added: Vec::new(),
            removed: account.state.read().keys_of_member(email.as_str()),
        };
        let place = key_of(&account.id, record::MEMBERS, email.as_str());
        let commit = Commit::new().put(Table::Config, place, Expect::Any, encode(&member));
        let commit = change.write(&account, commit);
        self.change(&account, trail, commit, Some(gate), move |inner, account| {
            account.state.write().members.insert(email, member);
            change.apply(inner, account)
        })
        .await?;
        Ok(Outcome::Member {
            member: view,
            password: None,
        })
    }

    pub(super) async fn member_delete(
        &self,
        trail: Trail,
        org: &str,
        email: &str,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let gate = self.lock(&account).await?;
        let (email, member) = account.member(email)?;
        account.check_power(trail.actor(), member.role)?;
        account.keep_an_owner(&member, Role::Viewer)?;
        let change = KeyChange {
            added: Vec::new(),
            removed: account.state.read().keys_of_member(email.as_str()),
        };
        let place = key_of(&account.id, record::MEMBERS, email.as_str());
        let commit = Commit::new().delete(Table::Config, place, Expect::Any);
        let commit = change.write(&account, commit);
        let gone = email.as_str().to_owned();
        self.change(&account, trail, commit, Some(gate), move |inner, account| {
            inner.registry.write().forget_member(&email, &account.id);
            account.state.write().members.remove(&email);
            change.apply(inner, account)
        })
        .await?;
        Ok(Outcome::MemberDeleted { email: gone })
    }
}

impl Account {
    pub(super) fn member(&self, email: &str) -> Result<(Email, MemberRecord), CommandError> {
        let no_such = || CommandError::not_found("member");
        let email = Email::parse(email).map_err(|_| no_such())?;
        let member = self.state.read().members.get(&email).cloned();
        Ok((email, member.ok_or_else(no_such)?))
    }

    /// Refuses an actor without power over members of this role. To be asked under the gate: what the actor
    /// may do is what counts when the change happens, not when the request came.
    fn check_power(&self, actor: &Actor, over: Role) -> Result<(), CommandError> {
        let state = self.state.read();
        let gone = || CommandError::from(CredentialFault::Revoked);
        let own = match actor {
            Actor::Operator => Role::Owner,
            Actor::Member { email } => {
                let email = Email::parse(email).map_err(|_| gone())?;
                state.members.get(&email).ok_or_else(gone)?.role
            }
            Actor::Key { id } => match state.keys.get(id).ok_or_else(gone)?.record.kind {
                KeyKind::Secret => Role::Owner,
                KeyKind::Publishable | KeyKind::Restricted { .. } => Role::Admin,
            },
            Actor::Holder => Role::Viewer,
        };
        if own.manages(over) {
            Ok(())
        } else {
            Err(CommandError::InsufficientRole)
        }
    }

    /// Refuses to take the last owner's role away.
    fn keep_an_owner(&self, member: &MemberRecord, role: Role) -> Result<(), CommandError> {
        if member.role != Role::Owner || role == Role::Owner {
            return Ok(());
        }
        let state = self.state.read();
        let owners = state.members.values().filter(|member| member.role == Role::Owner);
        if owners.count() > 1 {
            return Ok(());
        }
        let problem = "of the last owner cannot be taken away: make another owner first";
        Err(CommandError::invalid("role", problem))
    }
}

impl MemberRecord {
    pub(super) fn hash(&self) -> Arc<str> {
        self.password.as_str().into()
    }

    pub(super) fn view(&self, email: &Email) -> MemberView {
        MemberView {
            email: email.as_str().into(),
            role: self.role,
            scopes: self.role.scopes(),
            created_at: self.created_at,
            password_set_at: self.password_set_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_role_may_do_less() {
        let roles = [Role::Owner, Role::Admin, Role::Member, Role::Viewer];
        for pair in roles.windows(2) {
            assert!(pair[0].scopes().covers(pair[1].scopes()));
            assert!(!pair[1].manages(pair[0]), "{pair:?}");
        }
        assert!(
            !Role::Viewer
                .scopes()
                .iter()
                .any(|scope| scope.name().ends_with(":write"))
        );
        assert!(Role::Admin.manages(Role::Admin) && !Role::Member.manages(Role::Viewer));
    }
}

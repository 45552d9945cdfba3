//! One organization in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use cloudsignal_broker::OrgId;

use super::acl::PolicyDocument;
use super::command::{KeyView, OrgState, OrgView, UserView};
use super::doubt::Doubts;
use super::marks::TokenMarks;
use super::names::Email;
use super::providers::Provider;
use super::record::{KeyRecord, MemberRecord, OrgRecord, UserRecord};
use crate::clock::WallTime;

/// One organization.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) id: OrgId,
    /// Held by whoever changes users, keys, the policy or the organization itself, from its look at the
    /// state until the change is stored: changes of one organization happen one after the other.
    pub(super) gate: Arc<tokio::sync::Mutex<()>>,
    /// Changes of which it is not known whether they are stored.
    pub(super) doubts: Doubts,
    /// Short looks and short changes only; never held across an await.
    pub(super) state: RwLock<AccountState>,
}

#[derive(Debug)]
pub(super) struct AccountState {
    pub(super) record: OrgRecord,
    pub(super) users: BTreeMap<Box<str>, User>,
    pub(super) members: BTreeMap<Email, MemberRecord>,
    pub(super) keys: BTreeMap<Box<str>, ApiKey>,
    /// Number of the next entry of the audit trail.
    pub(super) audit_next: u64,
    pub(super) providers: BTreeMap<Box<str>, Provider>,
    pub(super) policy: PolicyDocument,
    pub(super) tokens: TokenMarks,
}

#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) password: Arc<str>,
    pub(super) created_at: WallTime,
    pub(super) password_set_at: WallTime,
    /// May not log in, until enabled again.
    pub(super) disabled: bool,
}

#[derive(Clone, Debug)]
pub(super) struct ApiKey {
    pub(super) record: KeyRecord,
    pub(super) last_used_at: Option<WallTime>,
}

impl User {
    pub(super) fn of(record: UserRecord) -> Self {
        let UserRecord {
            password,
            created_at,
            password_set_at,
            disabled,
        } = record;
        Self {
            password: password.into(),
            created_at,
            password_set_at,
            disabled,
        }
    }

    /// Tells this password apart from earlier and later ones of the same name.
    pub(super) fn epoch(&self) -> String {
        self.password_set_at.unix_micros().to_string()
    }

    pub(super) fn record(&self) -> UserRecord {
        UserRecord {
            password: self.password.to_string(),
            created_at: self.created_at,
            password_set_at: self.password_set_at,
            disabled: self.disabled,
        }
    }
}

impl Account {
    pub(super) fn new(id: OrgId, record: OrgRecord, policy: PolicyDocument) -> Self {
        let state = AccountState {
            record,
            users: BTreeMap::new(),
            members: BTreeMap::new(),
            keys: BTreeMap::new(),
            audit_next: 0,
            providers: BTreeMap::new(),
            policy,
            tokens: TokenMarks::new(),
        };
        Self {
            id,
            gate: Arc::default(),
            doubts: Doubts::default(),
            state: RwLock::new(state),
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.state.read().record.state == OrgState::Active
    }

    pub(super) fn view(&self) -> OrgView {
        let state = self.state.read();
        let OrgRecord {
            uuid,
            ref name,
            state: org_state,
            created_at,
            durability,
            ..
        } = state.record;
        OrgView {
            id: self.id.as_str().into(),
            uuid,
            name: name.clone(),
            state: org_state,
            created_at,
            users: state.users.len(),
            members: state.members.len(),
            keys: state.keys.len(),
            durability,
        }
    }

    pub(super) fn user_view(&self, name: &str, user: &User) -> UserView {
        UserView {
            name: name.into(),
            username: format!("{name}@{}", self.id),
            enabled: !user.disabled,
            created_at: user.created_at,
            password_set_at: user.password_set_at.whole_secs(),
        }
    }
}

impl ApiKey {
    pub(super) const fn of(record: KeyRecord) -> Self {
        Self {
            record,
            last_used_at: None,
        }
    }

    pub(super) fn view(&self, id: &str) -> KeyView {
        KeyView {
            id: id.into(),
            name: self.record.name.clone(),
            kind: self.record.kind.name(),
            scopes: self.record.kind.scopes(),
            masked: self.record.masked.clone(),
            member: self.record.member.clone(),
            expires_at: self.record.expires_at,
            created_at: self.record.created_at,
            last_used_at: self.last_used_at,
        }
    }
}

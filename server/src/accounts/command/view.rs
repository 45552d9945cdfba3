//! Things of an organization, as they are shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::members::Role;
use crate::accounts::scope::{KeyKindName, ScopeSet};
use crate::accounts::secret::Secret;
use crate::clock::WallTime;
use crate::durable::Level;
use crate::identity::provider::{ProviderSettings, ProviderType};

/// Whether an organization's people may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrgState {
    /// They may.
    Active,
    /// They may not, until it is resumed.
    Suspended,
    /// It is being removed; a start of the server finishes that.
    Deleting,
}

/// An organization, as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrgView {
    /// Short id: `org_k7xm4pqr2n5t`.
    pub id: String,
    /// The other id.
    pub uuid: Uuid,
    /// What people call it.
    pub name: String,
    /// Whether its people may log in.
    pub state: OrgState,
    /// When it was made.
    pub created_at: WallTime,
    /// How many users it has.
    pub users: usize,
    /// How many members it has.
    #[serde(default)]
    pub members: usize,
    /// How many keys it has.
    pub keys: usize,
    /// What its acknowledgements survive; as the server says, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<Level>,
}

/// A user, as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    /// The name inside the organization.
    pub name: String,
    /// What clients log in as: `name@org_…`.
    pub username: String,
    /// Whether the user may log in.
    pub enabled: bool,
    /// When the user was made.
    pub created_at: WallTime,
    /// When the password was last set.
    pub password_set_at: WallTime,
}

/// A member, as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberView {
    /// The address, in lower case.
    pub email: String,
    /// The role.
    pub role: Role,
    /// What the role may do.
    pub scopes: ScopeSet,
    /// When the member was made.
    pub created_at: WallTime,
    /// When the password was last set.
    pub password_set_at: WallTime,
}

/// A key, as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Its id; not secret.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What kind of key it is.
    pub kind: KeyKindName,
    /// What it may do.
    pub scopes: ScopeSet,
    /// `sk_...x7m4`
    pub masked: String,
    /// When it was made.
    pub created_at: WallTime,
    /// When it ends, if it does.
    pub expires_at: Option<WallTime>,
    /// Whose login it is, if it is one.
    pub member: Option<String>,
    /// When it was last used, to within five minutes.
    pub last_used_at: Option<WallTime>,
}

/// An identity provider, as shown: secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProviderView {
    /// Which kind it is.
    #[serde(rename = "type")]
    pub provider_type: ProviderType,
    /// What the organization says about it.
    #[serde(flatten)]
    pub settings: ProviderSettings,
    /// Whether its word counts.
    pub enabled: bool,
    /// When it was made.
    pub created_at: WallTime,
    /// When it was last changed.
    pub updated_at: WallTime,
}

/// A temporary token, as answered once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenGrant {
    /// Its id; not secret.
    pub token_id: Uuid,
    /// Whose it is.
    pub email: String,
    /// Who vouched for the user: `cloudsignal`, or the name of an identity provider.
    pub provider: String,
    /// What the client logs in as.
    pub username: String,
    /// The password: `tkn_…`.
    pub password: Secret,
    /// When it was made.
    pub issued_at: WallTime,
    /// When it ends, and its connections with it.
    pub expires_at: WallTime,
    /// When to ask for the next one: 10 % of its life before its end.
    pub refresh_recommended_at: WallTime,
    /// Seconds it lives.
    pub expires_in_secs: u64,
}

/// A token, as listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id; not secret.
    pub token_id: Uuid,
    /// Whose it is.
    pub user_email: String,
    /// Who vouched for the user.
    pub provider: String,
    /// Whether it is limited to some topics.
    pub scoped: bool,
    /// When its last known password was made.
    pub issued_at: WallTime,
    /// When it ends.
    pub expires_at: WallTime,
    /// When it last logged in.
    pub last_login_at: Option<WallTime>,
}

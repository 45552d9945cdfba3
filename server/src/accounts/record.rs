//! What the store keeps of the directory, as JSON inside versioned entries of [`Table::Config`](crate::store::Table::Config).
//!
//! ```text
//! sys/org/{org}           OrgRecord           {org}/key/{id}          KeyRecord
//! {org}/user/{name}       UserRecord          {org}/keyused/{id}      WallTime
//! {org}/member/{e-mail}   MemberRecord        {org}/auditnext         number of the next audit entry
//! {org}/provider/{name}   ProviderRecord
//! {org}/acl               policy document     {org}/token/…           marks, with a time to live:
//!                                               revoked/{id} ""  replaced/{e-mail} epoch  renewed/{id} WallTime
//!                                               cut/{e-mail} epoch  cutprovider/{name} epoch
//! ```

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use cloudsignal_broker::OrgId;

use super::command::OrgState;
use super::members::Role;
use super::quotas::QuotaSettings;
use super::scope::KeyKind;
use super::secret::{SecretDigest, SigningKey};
use crate::clock::WallTime;
use crate::durable::Level;
use crate::identity::provider::ProviderSettings;
use crate::store::{Entry, Key, StoreError};

pub(crate) const ORGS: &str = "org/";
pub(super) const USERS: &str = "user/";
pub(super) const KEYS: &str = "key/";
/// Sorted after the keys themselves, so that they are read first.
pub(super) const KEYS_USED: &str = "keyused/";
pub(super) const MEMBERS: &str = "member/";
pub(super) const AUDIT_NEXT: &str = "auditnext";
/// Identity providers.
pub(super) const PROVIDERS: &str = "provider/";
pub(super) const ACL: &str = "acl";
pub(super) const REVOKED: &str = "token/revoked/";
pub(super) const REPLACED: &str = "token/replaced/";
pub(super) const OWNER_CUT: &str = "token/cut/";
pub(super) const PROVIDER_CUT: &str = "token/cutprovider/";
pub(super) const RENEWED: &str = "token/renewed/";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OrgRecord {
    pub(super) uuid: Uuid,
    pub(super) name: String,
    pub(super) state: OrgState,
    pub(super) created_at: WallTime,
    pub(super) token_key: SigningKey,
    /// Records of before there were plans have none.
    #[serde(default)]
    pub(super) quotas: QuotaSettings,
    /// That of the server if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) durability: Option<Level>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct UserRecord {
    /// argon2id in PHC form.
    pub(super) password: String,
    pub(super) created_at: WallTime,
    pub(super) password_set_at: WallTime,
    #[serde(default)]
    pub(super) disabled: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct MemberRecord {
    /// argon2id in PHC form.
    pub(super) password: String,
    pub(super) role: Role,
    pub(super) created_at: WallTime,
    pub(super) password_set_at: WallTime,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    pub(super) name: String,
    pub(super) digest: SecretDigest,
    pub(super) masked: String,
    pub(super) created_at: WallTime,
    /// Records of before there were kinds are of secret keys.
    #[serde(default, flatten)]
    pub(super) kind: KeyKind,
    /// When it is worth nothing any more; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<WallTime>,
    /// The e-mail address of the member whose login it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) member: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ProviderRecord {
    /// With its secrets, which must be readable to be compared.
    pub(super) settings: ProviderSettings,
    pub(super) enabled: bool,
    pub(super) created_at: WallTime,
    pub(super) updated_at: WallTime,
}

pub(super) fn org_key(org: &OrgId) -> Key {
    Key::of_system(&format!("{ORGS}{org}"))
}

pub(super) fn key_of(org: &OrgId, list: &str, name: &str) -> Key {
    Key::of_org(org, &format!("{list}{name}"))
}

pub(super) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).expect("invariant: our records have text keys and finite numbers")
}

pub(super) fn decode<T: DeserializeOwned>(entry: &Entry) -> Result<T, StoreError> {
    serde_json::from_slice(&entry.value)
        .map_err(|error| StoreError::Failed(format!("{:?} cannot be understood: {error}", entry.key)))
}

//! What may be asked of the directory, as values: the command line and the HTTP API send the same ones.

mod error;
mod outcome;
mod view;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::acl::{Preset, Question};
use super::members::Role;
use super::quotas::Plan;
use super::scope::KeyKind;
use super::secret::Secret;
use super::token_scope::ScopeGrant;
use crate::durable::Level;
use crate::identity::provider::{EmailVerification, ProviderSettings, Trust};

pub use error::{CommandError, CredentialFault};
pub use outcome::Outcome;
pub use view::{KeyView, MemberView, OrgState, OrgView, ProviderView, TokenGrant, TokenView, UserView};

/// A management command. Organizations are named by short id or by UUID.
#[derive(Clone, Debug)]
pub enum Command {
    /// Makes an organization that starts from a preset policy.
    OrgCreate {
        /// What people call it.
        name: String,
        /// Its first policy; `permit-all` if absent.
        preset: Preset,
    },
    /// Lists organizations in the order of their ids.
    OrgList(PageRequest),
    /// Shows one organization.
    OrgShow { org: String },
    /// Closes its connections and lets nobody log in.
    OrgSuspend { org: String },
    /// Lets people log in again.
    OrgResume { org: String },
    /// Removes it with everything it has.
    OrgDelete { org: String },
    /// Gives it another name.
    OrgRename { org: String, name: String },
    /// Says what its acknowledgements survive; as the server does, if nothing is said.
    OrgDurability { org: String, durability: Option<Level> },
    /// Makes an organization with its owner and a secret key.
    SignUp {
        organization_name: String,
        email: String,
        password: Secret,
    },
    /// Makes a user. Without a password one is made and answered, once.
    UserCreate {
        org: String,
        name: String,
        password: Option<Secret>,
    },
    /// Lists users in the order of their names.
    UserList {
        org: String,
        /// Only names that begin so.
        prefix: Option<String>,
        page: PageRequest,
    },
    /// Shows one user.
    UserShow { org: String, name: String },
    /// Lets a user log in again, or closes the connections and lets the user log in no more.
    UserEnable {
        org: String,
        name: String,
        enabled: bool,
    },
    /// Sets a user's password; connections made with the old one are closed.
    UserSetPassword {
        org: String,
        name: String,
        password: Option<Secret>,
    },
    /// Removes a user and closes the connections.
    UserDelete { org: String, name: String },
    /// Makes a member. Without a password one is made and answered, once.
    MemberCreate {
        org: String,
        email: String,
        role: Role,
        password: Option<Secret>,
    },
    /// Lists members in the order of their addresses.
    MemberList { org: String, page: PageRequest },
    /// Shows one member.
    MemberShow { org: String, email: String },
    /// Changes a member's role, password or both; the member's logins end.
    MemberUpdate {
        org: String,
        email: String,
        role: Option<Role>,
        password: Option<Secret>,
    },
    /// Removes a member and ends the logins.
    MemberDelete { org: String, email: String },
    /// Makes a key and answers it, once.
    KeyCreate {
        org: String,
        name: String,
        options: KeyOptions,
    },
    /// Lists keys, masked.
    KeyList { org: String, page: PageRequest },
    /// Shows one key, masked.
    KeyShow { org: String, key_id: String },
    /// Replaces a key by a new one that may do the same, and answers it, once.
    KeyRotate {
        org: String,
        key_id: String,
        /// How long the old one stays good, at most 30 days.
        grace_secs: u64,
    },
    /// Makes a key worthless and closes its connections.
    KeyRevoke { org: String, key_id: String },
    /// Makes a temporary token for an e-mail address.
    TokenCreate {
        org: String,
        email: String,
        /// Seconds it lives, 60 to 86 400; 3 600 if absent.
        ttl_secs: Option<u32>,
        /// Whether earlier tokens of the address open no new connection from now on. Open connections stay.
        replace_existing: bool,
        /// What it is limited to; nothing but the policy if absent.
        scope: Option<Vec<ScopeGrant>>,
    },
    /// Makes a new password for a token that is still good, and lets its connections stay.
    TokenRefresh { token_id: String, password: Secret },
    /// Ends a token and its connections.
    TokenRevoke { org: String, token_id: String },
    /// Ends many tokens and their connections.
    TokenRevokeAll { org: String, of: TokensOf },
    /// Lists tokens that were made or have logged in since the server started, and live.
    TokenList { org: String, page: PageRequest },
    /// Adds an identity provider, enabled.
    ProviderCreate { org: String, settings: ProviderSettings },
    /// Lists identity providers, secrets masked.
    ProviderList { org: String },
    /// Shows one, secrets masked.
    ProviderShow { org: String, name: String },
    /// Changes what is given. With `end_connections`, whoever it vouched for has to log in again.
    ProviderUpdate {
        org: String,
        name: String,
        changes: ProviderChanges,
        end_connections: bool,
    },
    /// Removes one; whoever it vouched for has to log in again.
    ProviderDelete { org: String, name: String },
    /// Shows the plan, and what is allowed beside it.
    QuotaGet { org: String },
    /// Sets the plan, what is allowed beside it, or both; what is left out stays.
    QuotaSet {
        org: String,
        plan: Option<Plan>,
        /// All of it, by the name of the quota.
        overrides: Option<BTreeMap<String, u64>>,
    },
    /// Shows the policy document.
    AclGet { org: String },
    /// Replaces the policy.
    AclSet {
        org: String,
        policy: PolicySource,
        /// Only if the policy is still one of these: etags as answered before; `None` for whatever it is.
        if_match: Option<Vec<String>>,
    },
    /// Says what is wrong with a document, without replacing the policy.
    AclValidate { org: String, document: Value },
    /// Says whether something is allowed, and which rule decides.
    AclSimulate { org: String, question: Question },
}

/// What a new key may do, and for how long. By default everything, for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyOptions {
    /// What it may do.
    pub kind: KeyKind,
    /// When it ends, 60 seconds to ten years from now; never if absent.
    pub expires_in_secs: Option<u64>,
}

/// A new policy.
#[derive(Clone, Debug)]
pub enum PolicySource {
    /// A named one.
    Preset(Preset),
    /// A document in any of the formats.
    Document(Value),
}

/// Whose tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokensOf {
    /// Those of one owner.
    UserEmail(String),
    /// Those that one identity provider vouched for; `cloudsignal` for those made with a secret key.
    Provider(String),
}

/// What to change of an identity provider; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderChanges {
    /// As a whole, with its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// Where a token has the e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_claim: Option<String>,
    /// What is asked of `email_verified`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_verification: Option<EmailVerification>,
    /// Claims kept for access rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Vec<String>>,
    /// Whether its tokens are good as MQTT passwords.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtt_password: Option<bool>,
    /// Whether its word counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// Which part of a list.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// Begin after this id or name.
    pub after: Option<String>,
    /// At most so many, at most 1 000 (the default).
    pub limit: Option<usize>,
}

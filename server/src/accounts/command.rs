//! What may be asked of the directory, as values: the command line and the HTTP API send the same ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::acl::{AclReport, AclView, PolicyFault, Preset, Question, Verdict};
use super::members::Role;
use super::names::NameError;
use super::quotas::{Plan, QuotaSettings};
use super::scope::{KeyKind, KeyKindName, ScopeSet};
use super::secret::Secret;
use super::token_scope::ScopeGrant;
use crate::clock::WallTime;
use crate::durable::Level;
use crate::identity::provider::{EmailVerification, ProviderSettings, ProviderType, Trust};

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

/// What a command answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// An organization, as it is now.
    Org(OrgView),
    /// A new organization, with what its first policy means.
    OrgCreated {
        org: OrgView,
        preset: Preset,
        policy_meaning: String,
    },
    /// Organizations.
    Orgs {
        orgs: Vec<OrgView>,
        next: Option<String>,
    },
    /// It is gone.
    OrgDeleted { id: String },
    /// A new user, or one with a new password. `password` only if we made it.
    User {
        user: UserView,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Secret>,
    },
    /// Users.
    Users {
        users: Vec<UserView>,
        next: Option<String>,
    },
    /// The user is gone.
    UserDeleted { name: String },
    /// A new organization with its owner and a key.
    SignedUp {
        org: OrgView,
        member: MemberView,
        key: KeyView,
        secret_key: Secret,
        policy_meaning: String,
    },
    /// A member. `password` only if we made it.
    Member {
        member: MemberView,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Secret>,
    },
    /// Members.
    Members {
        members: Vec<MemberView>,
        next: Option<String>,
    },
    /// The member is gone.
    MemberDeleted { email: String },
    /// A new key.
    KeyCreated { key: KeyView, secret_key: Secret },
    /// A key.
    Key(KeyView),
    /// Keys.
    Keys {
        keys: Vec<KeyView>,
        next: Option<String>,
    },
    /// A new key instead of an old one.
    KeyRotated {
        key: KeyView,
        secret_key: Secret,
        replaced_key_id: String,
        replaced_ends_at: WallTime,
    },
    /// The key is worth nothing now.
    KeyRevoked { key_id: String },
    /// A token.
    Token(TokenGrant),
    /// The token is worth nothing now.
    TokenRevoked { token_id: String },
    /// These tokens are worth nothing now.
    TokensRevoked { of: TokensOf },
    /// Tokens.
    Tokens {
        tokens: Vec<TokenView>,
        next: Option<String>,
    },
    /// An identity provider, secrets masked.
    Provider(ProviderView),
    /// Identity providers, secrets masked.
    Providers { providers: Vec<ProviderView> },
    /// The provider is gone.
    ProviderDeleted { name: String },
    /// What an organization is allowed.
    Quotas { settings: QuotaSettings },
    /// The policy document.
    Acl(AclView),
    /// What is wrong with a document.
    AclReport(AclReport),
    /// Whether something is allowed.
    AclVerdict(Verdict),
}

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

/// Why a command was not carried out. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum CommandError {
    /// A value cannot be used.
    #[error("{field} {problem}")]
    Invalid {
        /// Which value.
        field: String,
        /// Why, and what to write instead.
        problem: String,
    },
    /// The policy has faults.
    #[error("the policy has {} fault(s); the first: {}", faults.len(), faults.first().map_or_else(String::new, ToString::to_string))]
    Policy {
        /// All that were found.
        faults: Vec<PolicyFault>,
    },
    /// There is no such thing.
    #[error("there is no such {what}")]
    NotFound {
        /// `organization`, `user`, `key`.
        what: String,
    },
    /// The name is taken.
    #[error("this {what} exists already")]
    Exists {
        /// `user`.
        what: String,
    },
    /// Somebody else changed it in the meantime.
    #[error("the {what} was changed by somebody else; read it again")]
    Stale {
        /// `policy`.
        what: String,
    },
    /// Whoever asks has no power over members of this role.
    #[error("only an owner, or a secret key, has power over owners")]
    InsufficientRole,
    /// A credential is not good (any more).
    #[error("{credential}")]
    Refused {
        /// Why.
        credential: CredentialFault,
    },
    /// There are as many as there may be.
    #[error("there may be at most {max} {what}")]
    Limit {
        /// Of what.
        what: String,
        /// The bound.
        max: usize,
    },
    /// Too much is going on. Try again.
    #[error("the server is busy; try again")]
    Busy,
    /// The store cannot write. Whether the change was stored is known, and in force, once it works again.
    #[error(
        "the store does not work: whether the change was stored is known when it does; look, or try again"
    )]
    Storage,
}

/// What is wrong with a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialFault {
    /// It is not one of ours.
    #[error("the credential is not valid")]
    Unknown,
    /// Its time is over.
    #[error("the credential has expired")]
    Expired,
    /// It was revoked or replaced.
    #[error("the credential was revoked")]
    Revoked,
    /// Its organization is suspended.
    #[error("the organization is suspended")]
    Suspended,
}

impl CommandError {
    pub(super) fn invalid(field: &str, problem: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            problem: problem.into(),
        }
    }

    pub(super) fn name(field: &str, error: NameError) -> Self {
        Self::invalid(field, error.to_string())
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::NotFound { what: what.into() }
    }

    pub(super) fn limit(what: &str, max: usize) -> Self {
        Self::Limit {
            what: what.into(),
            max,
        }
    }
}

impl From<CredentialFault> for CommandError {
    fn from(credential: CredentialFault) -> Self {
        Self::Refused { credential }
    }
}

impl From<crate::authn::password::PoolBusy> for CommandError {
    fn from(_: crate::authn::password::PoolBusy) -> Self {
        Self::Busy
    }
}

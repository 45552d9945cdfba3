use serde::{Deserialize, Serialize};

use super::{KeyView, MemberView, OrgView, ProviderView, TokenGrant, TokenView, TokensOf, UserView};
use crate::accounts::acl::{AclReport, AclView, Preset, Verdict};
use crate::accounts::quotas::QuotaSettings;
use crate::accounts::secret::Secret;
use crate::clock::WallTime;

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

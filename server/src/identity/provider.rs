//! What an organization says about an identity provider, and what follows from it.

use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};

use super::endpoint::{Endpoint, Reach};
use super::limits::{KEPT_CLAIMS_MAX, PROVIDER_NAME_BYTES_MAX, SETTING_BYTES_MAX, TOKEN_FACT_NAME_BYTES_MAX};
use crate::accounts::Secret;

/// The claims of identities that we fill ourselves: no provider may.
const OWN_CLAIMS: [&str; 8] = [
    "email",
    "user_id",
    "username",
    "client_id",
    "org_short_id",
    "org_id",
    "$self",
    "provider",
];
/// What the names of our bookkeeping among an identity's claims begin with.
const BOOKKEEPING_PREFIX: &str = "credential_";
/// The claim that holds the e-mail address if nobody says otherwise.
const EMAIL_CLAIM: &str = "email";

/// A provider as its organization describes it.
///
/// JSON: `{"name": "web", "trust": {"type": "firebase", "project_id": "shop-1"}, "claims": ["role"]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    /// What callers call it: lower-case letters, digits, `-` and `_`. One of a kind in its organization.
    pub name: String,
    /// Whose word counts, and how it is checked.
    pub trust: Trust,
    /// Where a token has the e-mail address: a claim's name, or a path such as `profile.email`.
    #[serde(default = "email_claim")]
    pub email_claim: String,
    /// What is asked of `email_verified`.
    #[serde(default)]
    pub email_verification: EmailVerification,
    /// Claims kept for access rules, as names or paths such as `app_metadata.role`.
    #[serde(default)]
    pub claims: Vec<String>,
    /// Whether its tokens are good as MQTT passwords, without an exchange.
    #[serde(default)]
    pub mqtt_password: bool,
}

/// Whose word counts, and how it is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Trust {
    /// Supabase: with the legacy JWT secret (HS256), or without it by the project's published keys.
    Supabase {
        /// `https://PROJECT.supabase.co`
        project_url: String,
        /// The legacy JWT secret.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        jwt_secret: Option<Secret>,
    },
    /// Firebase Authentication.
    Firebase {
        /// The project's id.
        project_id: String,
    },
    /// Auth0.
    Auth0 {
        /// `TENANT.eu.auth0.com`, or the tenant's own domain.
        domain: String,
        /// The API's identifier for access tokens, or the client id for ID tokens.
        audience: String,
    },
    /// Clerk: a token's `iss` says which of the instances it is from.
    Clerk {
        /// Frontend API URLs: `https://clerk.example.com`, `https://….clerk.accounts.dev`.
        issuers: Vec<String>,
        /// Checked if it is given; Clerk's session tokens have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audience: Option<String>,
    },
    /// Any OpenID Connect provider. Without `jwks_url`, its discovery document says where the keys are.
    Oidc {
        /// Exactly as in the tokens.
        issuer: String,
        /// Whom tokens are for: client ids or API identifiers, one of them.
        audiences: Vec<String>,
        /// Where the keys are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        jwks_url: Option<String>,
        /// How tokens are signed: RS256, ES256 and EdDSA if absent.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        algorithms: Vec<PublicAlgorithm>,
    },
    /// Client certificates, signed by an authority that the server has in `tls.client_ca_file`: good in place
    /// of a password. Nothing can be exchanged for them.
    ClientCertificate {
        /// What says which user it is.
        user: CertificateUser,
        /// What the subject's `O` must be. If absent, the organization's id, short or UUID.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        organization: Option<String>,
    },
    /// A secret that the organization shares with whoever signs (HS256).
    SharedSecret {
        /// Exactly as in the tokens.
        issuer: String,
        /// Checked if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audience: Option<String>,
        /// At least 32 bytes.
        secret: Secret,
    },
}

/// What of a certificate says which user it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CertificateUser {
    /// The subject's common name is the name of an individual user.
    CommonName,
    /// An e-mail address among the alternative names, which becomes a user name as in tokens.
    Email,
}

/// What is asked of the claim `email_verified`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmailVerification {
    /// It must not be false. Providers that do not say are believed.
    #[default]
    NotFalse,
    /// It must be true.
    Required,
    /// Nothing: for providers whose addresses are not proven, but trusted for another reason.
    Ignored,
}

/// Signatures with a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum PublicAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

/// Which kind of provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderType {
    /// [`Trust::Supabase`]
    Supabase,
    /// [`Trust::Firebase`]
    Firebase,
    /// [`Trust::Auth0`]
    Auth0,
    /// [`Trust::Clerk`]
    Clerk,
    /// [`Trust::Oidc`]
    Oidc,
    /// [`Trust::ClientCertificate`]
    ClientCertificate,
    /// [`Trust::SharedSecret`]
    SharedSecret,
}

/// One issuer whose tokens count, and everything that checks them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must hold one of; empty: it is not looked at.
    pub audiences: Vec<String>,
    /// How tokens may be signed; all of one family of keys or all public, never both.
    pub algorithms: Vec<Algorithm>,
    /// What signatures are checked with.
    pub keys: KeySource,
}

/// What signatures are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// This secret.
    Secret(Secret),
    /// The key set at this address.
    Jwks(Endpoint),
    /// The key set that this discovery document names.
    Discovery(Endpoint),
}

/// What is wrong with a provider's description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct SettingsError {
    /// Which field.
    pub field: &'static str,
    /// The end of the sentence.
    pub problem: String,
}

fn email_claim() -> String {
    EMAIL_CLAIM.into()
}

impl ProviderSettings {
    /// Checks everything; answers whom it trusts.
    ///
    /// # Errors
    /// [`SettingsError`]
    pub fn check(&self, reach: Reach) -> Result<Vec<Issuer>, SettingsError> {
        let name = &self.name;
        let is_letter =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if name.is_empty() || name.len() > PROVIDER_NAME_BYTES_MAX || !name.bytes().all(is_letter) {
            let problem =
                format!("must be 1 to {PROVIDER_NAME_BYTES_MAX} lower-case letters, digits, - and _");
            return Err(wrong("name", problem));
        }
        check_text("email_claim", &self.email_claim)?;
        if self.claims.len() > KEPT_CLAIMS_MAX {
            return Err(wrong("claims", format!("must be at most {KEPT_CLAIMS_MAX}")));
        }
        for (number, claim) in self.claims.iter().enumerate() {
            check_text("claims", claim)?;
            if claim.len() > TOKEN_FACT_NAME_BYTES_MAX {
                let problem = format!("must have names of at most {TOKEN_FACT_NAME_BYTES_MAX} bytes");
                return Err(wrong("claims", problem));
            }
            if OWN_CLAIMS.contains(&claim.as_str()) || claim.starts_with(BOOKKEEPING_PREFIX) {
                return Err(wrong(
                    "claims",
                    format!("may not hold {claim}: it is the server's own"),
                ));
            }
            if self.claims[..number].contains(claim) {
                return Err(wrong("claims", format!("hold {claim} twice")));
            }
        }
        self.trust.issuers(reach)
    }
}

impl ProviderType {
    /// The type of this name, as JSON writes it.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }
}

impl Trust {
    /// Which kind it is.
    #[must_use]
    pub const fn provider_type(&self) -> ProviderType {
        match self {
            Self::Supabase { .. } => ProviderType::Supabase,
            Self::Firebase { .. } => ProviderType::Firebase,
            Self::Auth0 { .. } => ProviderType::Auth0,
            Self::Clerk { .. } => ProviderType::Clerk,
            Self::Oidc { .. } => ProviderType::Oidc,
            Self::ClientCertificate { .. } => ProviderType::ClientCertificate,
            Self::SharedSecret { .. } => ProviderType::SharedSecret,
        }
    }

    /// The same with its secrets masked, to be shown.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut shown = self.clone();
        match &mut shown {
            Self::Supabase { jwt_secret, .. } => *jwt_secret = jwt_secret.as_ref().map(mask),
            Self::SharedSecret { secret, .. } => *secret = mask(secret),
            Self::Firebase { .. }
            | Self::Auth0 { .. }
            | Self::Clerk { .. }
            | Self::Oidc { .. }
            | Self::ClientCertificate { .. } => {}
        }
        shown
    }
}

impl From<PublicAlgorithm> for Algorithm {
    fn from(algorithm: PublicAlgorithm) -> Self {
        match algorithm {
            PublicAlgorithm::RS256 => Self::RS256,
            PublicAlgorithm::RS384 => Self::RS384,
            PublicAlgorithm::RS512 => Self::RS512,
            PublicAlgorithm::PS256 => Self::PS256,
            PublicAlgorithm::PS384 => Self::PS384,
            PublicAlgorithm::PS512 => Self::PS512,
            PublicAlgorithm::ES256 => Self::ES256,
            PublicAlgorithm::ES384 => Self::ES384,
            PublicAlgorithm::EdDSA => Self::EdDSA,
        }
    }
}

fn mask(secret: &Secret) -> Secret {
    let text = secret.expose();
    let end: String = text
        .chars()
        .skip(text.chars().count().saturating_sub(4))
        .collect();
    Secret::new(format!("...{end}"))
}

pub(super) fn wrong(field: &'static str, problem: impl Into<String>) -> SettingsError {
    SettingsError {
        field,
        problem: problem.into(),
    }
}

pub(super) fn check_text(field: &'static str, text: &str) -> Result<(), SettingsError> {
    if text.is_empty() {
        return Err(wrong(field, "must not be empty"));
    }
    if text.len() > SETTING_BYTES_MAX {
        return Err(wrong(
            field,
            format!("must be at most {SETTING_BYTES_MAX} bytes long"),
        ));
    }
    if text.chars().any(|char| char.is_control() || char.is_whitespace()) {
        return Err(wrong(field, "must not contain spaces or control characters"));
    }
    Ok(())
}

pub(super) fn check_texts(
    field: &'static str,
    mut texts: impl Iterator<Item = impl AsRef<str>>,
) -> Result<(), SettingsError> {
    texts.try_for_each(|text| check_text(field, text.as_ref()))
}

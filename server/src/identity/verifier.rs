//! The order of questions that an external token has to answer.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::Deserialize;
use serde_json::Value;

use cloudsignal_broker::OrgId;

use super::claims::{self, Claims, Facts};
use super::endpoint::Reach;
use super::fault::{FetchFault, IdentityFault, Requirement};
use super::fetch::Fetcher;
use super::key_cache::{KeyCache, KeyTimes, SetName};
use super::key_set::KeySet;
use super::limits::{JWT_BYTES_MAX, KID_BYTES_MAX};
use super::provider::{Issuer, KeySource, ProviderSettings};
use super::signature;
use crate::accounts::names::Email;
use crate::clock::{Clock, WallTime};

/// What an operator decides about identity providers.
#[derive(Clone, Copy, Debug)]
pub struct IdentityOptions {
    /// Which hosts are asked.
    pub reach: Reach,
    /// How far a provider's clock may be from ours.
    pub skew: Duration,
    /// How long one answer of a provider's server may take.
    pub fetch_time: Duration,
    /// When key sets are fetched.
    pub keys: KeyTimes,
}

impl Default for IdentityOptions {
    fn default() -> Self {
        (&crate::config::Identity::default()).into()
    }
}

/// A provider whose word may count, as the directory has it.
#[derive(Clone, Debug)]
pub struct TrustedProvider {
    /// What the organization says about it.
    pub settings: ProviderSettings,
    /// Whom it trusts.
    pub issuers: Vec<Issuer>,
}

/// Somebody whom a provider vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalIdentity {
    /// The provider's name.
    pub provider: String,
    /// Who it is.
    pub email: Email,
    /// Claims for access rules, `user_id` first if the token has a subject. At most 1 KiB together.
    pub claims: Facts,
    /// When the token was made.
    pub issued_at: WallTime,
    /// Until when the token counts: its end, or a day after it was made, and the allowance for clocks.
    pub expires_at: WallTime,
}

/// Checks external tokens.
#[derive(Debug)]
pub struct IdentityVerifier {
    cache: KeyCache,
    clock: Clock,
    skew: Duration,
}

/// What is read of a token before anything of it is believed.
#[derive(Deserialize)]
struct Glance {
    iss: Option<Value>,
}

impl IdentityVerifier {
    /// A verifier with an empty cache.
    #[must_use]
    pub fn new(options: IdentityOptions, clock: Clock) -> Self {
        signature::install();
        let fetcher = Fetcher::new(options.reach, options.fetch_time);
        Self {
            cache: KeyCache::new(fetcher, clock.clone(), options.keys),
            clock,
            skew: options.skew,
        }
    }

    /// Whom a token is about, if one of `providers` vouches for it. Waits only for keys to be fetched.
    ///
    /// # Errors
    /// [`IdentityFault`]: of several providers with the token's issuer, what came closest.
    pub async fn verify(
        &self,
        org: &OrgId,
        providers: &[Arc<TrustedProvider>],
        token: &str,
    ) -> Result<ExternalIdentity, IdentityFault> {
        if token.len() > JWT_BYTES_MAX {
            return Err(IdentityFault::Malformed);
        }
        let header = read_header(token)?;
        let glance: Glance =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| IdentityFault::Malformed)?;
        let Some(Value::String(issuer)) = glance.iss else {
            return Err(IdentityFault::Claim(Requirement::Issuer));
        };
        let mut best = IdentityFault::NoProvider;
        for provider in providers {
            for trusted in provider.issuers.iter().filter(|it| it.issuer == issuer) {
                match self.verify_by(org, provider, trusted, &header, token).await {
                    Ok(identity) => return Ok(identity),
                    Err(fault) => best = best.closer(fault),
                }
            }
        }
        Err(best)
    }

    async fn verify_by(
        &self,
        org: &OrgId,
        provider: &TrustedProvider,
        issuer: &Issuer,
        header: &Header,
        token: &str,
    ) -> Result<ExternalIdentity, IdentityFault> {
        if !issuer.algorithms.contains(&header.alg) {
            return Err(IdentityFault::Algorithm);
        }
        let claims = match &issuer.keys {
            KeySource::Secret(secret) => {
                let key = DecodingKey::from_secret(secret.expose().as_bytes());
                check_signature(token, &key, issuer, header.alg)?
            }
            KeySource::Jwks(_) | KeySource::Discovery(_) => {
                let name = SetName {
                    org: org.clone(),
                    provider: provider.settings.name.as_str().into(),
                    issuer: issuer.issuer.as_str().into(),
                };
                let kid = header.kid.as_deref();
                let set = self.cache.get(&name, &issuer.keys, kid).await?;
                check_with_set(token, &set, issuer, header)?
            }
        };
        let settings = &provider.settings;
        let times = claims::check_times(&claims, self.clock.wall(), self.skew)?;
        Ok(ExternalIdentity {
            provider: settings.name.clone(),
            email: claims::email(&claims, settings)?,
            claims: claims::kept(&claims, settings)?,
            issued_at: times.issued_at,
            expires_at: times.counts_until,
        })
    }
}

/// The header, if it asks for nothing that we do not do. `none` is no algorithm that the library knows.
fn read_header(token: &str) -> Result<Header, IdentityFault> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| IdentityFault::Malformed)?;
    // RFC 7515, 4.1.11: what is critical must be understood, and we understand nothing of the kind.
    let is_plain = header.crit.is_none() && header.enc.is_none() && header.zip.is_none();
    let is_named = header.kid.as_ref().is_none_or(|kid| kid.len() <= KID_BYTES_MAX);
    (is_plain && is_named)
        .then_some(header)
        .ok_or(IdentityFault::Malformed)
}

fn check_with_set(
    token: &str,
    set: &KeySet,
    issuer: &Issuer,
    header: &Header,
) -> Result<Claims, IdentityFault> {
    let mut fault = IdentityFault::UnknownKey;
    for key in set.select(header.kid.as_deref(), header.alg) {
        match check_signature(token, key, issuer, header.alg) {
            Ok(claims) => return Ok(claims),
            Err(closer) => fault = fault.closer(closer),
        }
    }
    Err(fault)
}

/// Signature, issuer and audience, by the library, for one algorithm that the provider uses.
fn check_signature(
    token: &str,
    key: &DecodingKey,
    issuer: &Issuer,
    algorithm: Algorithm,
) -> Result<Claims, IdentityFault> {
    let mut validation = Validation::new(algorithm);
    // Times are checked by our own clock.
    validation.validate_exp = false;
    validation.set_issuer(&[&issuer.issuer]);
    if issuer.audiences.is_empty() {
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["iss"]);
    } else {
        validation.set_audience(&issuer.audiences);
        validation.set_required_spec_claims(&["iss", "aud"]);
    }
    let decoded = jsonwebtoken::decode::<Claims>(token, key, &validation);
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library's list may grow; whatever else is wrong, the token is"
    )]
    let decoded = decoded.map_err(|error| match error.kind() {
        ErrorKind::InvalidIssuer => IdentityFault::Issuer,
        ErrorKind::InvalidAudience => IdentityFault::Audience,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => IdentityFault::Audience,
        ErrorKind::MissingRequiredClaim(_) => IdentityFault::Issuer,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => IdentityFault::Algorithm,
        ErrorKind::InvalidSignature => IdentityFault::Signature,
        _ => IdentityFault::Malformed,
    })?;
    Ok(decoded.claims)
}

impl IdentityFault {
    /// Of two faults the one that says more: a provider that cannot be reached might have said yes; after
    /// that, whoever got further.
    fn closer(self, other: Self) -> Self {
        if other.closeness() > self.closeness() {
            other
        } else {
            self
        }
    }

    const fn closeness(self) -> u8 {
        match self {
            Self::Malformed => 0,
            Self::NoProvider => 1,
            Self::Algorithm => 2,
            Self::UnknownKey => 3,
            Self::Signature => 4,
            Self::Issuer => 5,
            Self::Audience => 6,
            Self::Expired | Self::NotYet => 7,
            Self::Claim(_) | Self::EmailNotVerified | Self::TooManyClaims => 8,
            Self::Unreachable(FetchFault::Later) => 9,
            Self::Unreachable(_) => 10,
        }
    }
}

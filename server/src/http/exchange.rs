//! A token of ours for the token of an identity provider.
//!
//! Two shapes are in use. Clients name the organization in the body and need no key: the external token is
//! what they prove themselves with. Servers show a key, which decides the organization, and name the
//! provider; they are answered in other words.

use axum::Json;
use axum::extract::{FromRequestParts as _, State};
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use cloudsignal_broker::OrgId;

use super::caller::shown;
use super::payload::Payload;
use super::tokens::TokenResponse;
use super::{Api, ApiError, Caller, Peer};
use crate::accounts::Secret;
use crate::accounts::command::TokenGrant;
use crate::accounts::providers::ProviderChoice;
use crate::clock::WallTime;
use crate::identity::{ExternalIdentity, IdentityFault};

/// Body of `POST /v2/tokens/exchange`. Fields that we do not know are ignored.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct ExchangeRequest {
    /// Short id or UUID. May be left out if a key is shown.
    pub organization_id: Option<String>,
    /// The identity provider's token: a JWT.
    pub token: Secret,
    /// The provider's name, or its type if there is one of it. Left out, the token's issuer decides.
    pub provider: Option<String>,
    /// Another name for `provider`, which some clients send.
    pub integration_id: Option<String>,
    /// Seconds the new token lives, 60 to 86 400; 3 600 if absent.
    #[schema(minimum = 60, maximum = 86_400)]
    pub ttl: Option<u32>,
}

/// The answer: the first form to requests with `organization_id`, the second to others.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ExchangeResponse {
    /// As `POST /v2/tokens/create` answers.
    Token(TokenResponse),
    /// For servers.
    Login(LoginResponse),
}

/// What to log in with over MQTT.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LoginResponse {
    /// `john_example_com@org_…`
    pub mqtt_username: String,
    /// `tkn_…`
    pub mqtt_password: Secret,
    /// When it ends.
    pub expires_at: WallTime,
    /// Seconds it lives.
    pub expires_in: u64,
    /// Who vouched for the user: the provider's name.
    pub provider: String,
    /// What the provider calls the user: the token's subject, or else the e-mail address.
    pub user_id: String,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(exchange))
}

/// Exchange the token of an identity provider for one that logs in
///
/// Without a key, name the organization in the body. With a key, the key decides it.
#[utoipa::path(post, path = "/v2/tokens/exchange", tag = "Providers", request_body = ExchangeRequest, responses(
    (status = 200, description = "The token", body = ExchangeResponse),
    (status = 401, description = "The provider's token is not good: `token_expired`, or `invalid_token` with a `reason`"),
    (status = 403, description = "The organization is suspended"),
    (status = 404, description = "There is no such organization, or no provider that vouches for this token"),
    (status = 422, description = "The token has no e-mail address, or one that is not verified"),
    (status = 429, description = "Too many failures; `Retry-After` says when to come back"),
    (status = 503, description = "The provider's keys cannot be fetched: `provider_unreachable`; try again"),
))]
pub(super) async fn exchange(
    State(api): State<Api>,
    peer: Peer,
    parts: Parts,
    Payload(request): Payload<ExchangeRequest>,
) -> Result<Json<ExchangeResponse>, ApiError> {
    let org = organization(&api, parts, request.organization_id.as_deref()).await?;
    let name = request.provider.as_deref().or(request.integration_id.as_deref());
    let choice = name.map_or(ProviderChoice::Any, ProviderChoice::Named);
    let providers = api.0.directory.trusted_providers(&org, choice)?;
    let token = request.token.expose();
    let verified = api
        .0
        .authenticator
        .identities()
        .verify(&org, &providers, token)
        .await;
    let external = verified.map_err(|fault| api.refuse_external(peer, &org, fault))?;
    let grant = api
        .0
        .directory
        .exchange(&org, &external, token, request.ttl)
        .await?;
    Ok(Json(if request.organization_id.is_some() {
        ExchangeResponse::Token(grant.into())
    } else {
        ExchangeResponse::Login(LoginResponse::new(grant, &external))
    }))
}

/// The organization that is meant. A key that is shown has to be good, and of that organization.
async fn organization(api: &Api, mut parts: Parts, named: Option<&str>) -> Result<OrgId, ApiError> {
    let no_such = || ApiError::not_found("organization");
    let named = named.map(|named| api.0.directory.org_id(named).ok_or_else(no_such));
    if shown(&parts.headers).is_none() {
        return named.unwrap_or_else(|| {
            Err(ApiError::invalid_value(
                "name the organization with organization_id, or show a key",
            ))
        });
    }
    let caller = Caller::from_request_parts(&mut parts, api).await?;
    match named.transpose()? {
        // The operator names no organization elsewhere.
        Some(named) if caller.key_kind().is_none() => Ok(named),
        Some(named) if named != *caller.org()? => Err(no_such()),
        Some(_) | None => caller.org().cloned(),
    }
}

impl LoginResponse {
    fn new(grant: TokenGrant, external: &ExternalIdentity) -> Self {
        let subject = external.claims.iter().find(|(name, _)| **name == *"user_id");
        Self {
            mqtt_username: grant.username,
            mqtt_password: grant.password,
            expires_at: grant.expires_at,
            expires_in: grant.expires_in_secs,
            provider: grant.provider,
            user_id: subject.map_or(grant.email, |(_, subject)| subject.to_string()),
        }
    }
}

impl Api {
    /// Counts a forgery; a source with too many of them is told to come back later.
    fn refuse_external(&self, peer: Peer, org: &OrgId, fault: IdentityFault) -> ApiError {
        let (throttle, source, now) = (
            self.0.authenticator.throttle(),
            peer.address.ip(),
            self.0.clock.now(),
        );
        let account = format!("exchange {org}");
        match fault {
            IdentityFault::Malformed
            | IdentityFault::Algorithm
            | IdentityFault::UnknownKey
            | IdentityFault::Signature => {
                if !throttle.allows(source, &account, now) {
                    return ApiError::too_many_failures();
                }
                throttle.note_failure(source, &account, now);
                fault.into()
            }
            IdentityFault::NoProvider
            | IdentityFault::Issuer
            | IdentityFault::Audience
            | IdentityFault::Expired
            | IdentityFault::NotYet
            | IdentityFault::Claim(_)
            | IdentityFault::EmailNotVerified
            | IdentityFault::TooManyClaims
            | IdentityFault::Unreachable(_) => fault.into(),
        }
    }
}

//! Temporary tokens for browsers and devices.
//!
//! The secret travels in the body, for callers that cannot set a header, or in a header as everywhere. An answer
//! always says when the token ends and when to refresh it: published clients spin if either is missing.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use cloudsignal_broker::OrgId;

use super::payload::Payload;
use super::{Api, ApiError, Caller, Peer};
use crate::accounts::command::{CredentialFault, TokenGrant};
use crate::accounts::names::OrgRef;
use crate::accounts::token_scope::ScopeGrant;
use crate::accounts::{Command, CommandError, Outcome, Scope, Secret, TokenOrder};
use crate::clock::WallTime;

/// What counts failures of [`refresh`], where there is no account to name.
const REFRESH_ACCOUNT: &str = "token refresh";

/// Body of `POST /v2/tokens/create`. Fields that we do not know are ignored.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct CreateRequest {
    /// Short id or UUID. May be left out if the key comes in a header.
    pub organization_id: Option<String>,
    /// `sk_…`, or a restricted key with the scope `tokens:write`. May be left out if it comes in a header.
    pub secret_key: Option<Secret>,
    /// Whom the token is for.
    pub user_email: String,
    /// Whether earlier tokens of the address open no new connection from now on.
    #[serde(default)]
    pub replace_existing: bool,
    /// Seconds it lives, 60 to 86 400; 3 600 if absent.
    #[schema(minimum = 60, maximum = 86_400)]
    pub ttl: Option<u32>,
    /// What it is limited to; nothing but the policy if absent.
    #[serde(default)]
    pub scope: Option<Vec<ScopeGrant>>,
}

/// Body of `POST /v2/tokens/refresh`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct RefreshRequest {
    /// The token's id.
    pub token_id: String,
    /// Its current password: `tkn_…`.
    pub current_token_password: Secret,
}

/// The answer to both.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenResponse {
    /// The token password.
    pub access_token: Secret,
    /// Always `Bearer`.
    pub token_type: String,
    /// Seconds it lives.
    pub expires_in: u64,
    /// What to put into CONNECT.
    pub mqtt_credentials: MqttCredentials,
    /// Names the token; not secret.
    pub token_id: Uuid,
    /// Whose it is.
    pub user_email: String,
    /// Who vouched for the user: `cloudsignal`, as the secret key did.
    pub provider: String,
    /// When it ends.
    pub expires_at: WallTime,
    /// When to refresh it.
    pub refresh_recommended_at: WallTime,
}

/// What to put into CONNECT.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MqttCredentials {
    /// `john_example_com@org_…`
    pub username: String,
    /// The same as the access token.
    pub password: Secret,
}

impl From<TokenGrant> for TokenResponse {
    fn from(grant: TokenGrant) -> Self {
        Self {
            access_token: grant.password.clone(),
            token_type: "Bearer".into(),
            expires_in: grant.expires_in_secs,
            mqtt_credentials: MqttCredentials {
                username: grant.username,
                password: grant.password,
            },
            token_id: grant.token_id,
            user_email: grant.email,
            provider: grant.provider,
            expires_at: grant.expires_at,
            refresh_recommended_at: grant.refresh_recommended_at,
        }
    }
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(refresh))
}

/// Make a token for an e-mail address
///
/// The secret key travels in the body, or without `secret_key` there in a header as everywhere.
#[utoipa::path(post, path = "/v2/tokens/create", tag = "Tokens", request_body = CreateRequest, responses(
    (status = 200, description = "The token", body = TokenResponse),
    (status = 401, description = "The secret key is not good"),
    (status = 403, description = "The key does not reach that far, or the organization is suspended"),
    (status = 404, description = "There is no such organization"),
    (status = 429, description = "Too many failures; `Retry-After` says when to come back"),
))]
pub(super) async fn create(
    State(api): State<Api>,
    peer: Peer,
    parts: Parts,
    Payload(request): Payload<CreateRequest>,
) -> Result<Json<TokenResponse>, ApiError> {
    Ok(Json(api.create_token(peer, parts, request).await?.into()))
}

/// Get a new password for a token that is still good
///
/// Connections made with it stay until the new end. The old password is good until its own.
#[utoipa::path(post, path = "/v2/tokens/refresh", tag = "Tokens", request_body = RefreshRequest, responses(
    (status = 200, description = "The token with its new password", body = TokenResponse),
    (status = 401, description = "The password is not good (any more)"),
    (status = 403, description = "The organization is suspended"),
    (status = 404, description = "There is no such token"),
    (status = 429, description = "Too many failures; `Retry-After` says when to come back"),
))]
pub(super) async fn refresh(
    State(api): State<Api>,
    peer: Peer,
    Payload(request): Payload<RefreshRequest>,
) -> Result<Json<TokenResponse>, ApiError> {
    let RefreshRequest {
        token_id,
        current_token_password,
    } = request;
    let command = Command::TokenRefresh {
        token_id,
        password: current_token_password,
    };
    api.token(command).await.map_err(|error| match error {
        CommandError::Refused { credential } => api.refuse(peer, REFRESH_ACCOUNT, credential),
        CommandError::Invalid { .. }
        | CommandError::Policy { .. }
        | CommandError::NotFound { .. }
        | CommandError::Stale { .. }
        | CommandError::InsufficientRole
        | CommandError::Exists { .. }
        | CommandError::Limit { .. }
        | CommandError::Busy
        | CommandError::Storage => error.into(),
    })
}

impl Api {
    /// Makes the token that somebody with a key in the body or in a header asks for.
    pub(super) async fn create_token(
        &self,
        peer: Peer,
        mut parts: Parts,
        request: CreateRequest,
    ) -> Result<TokenGrant, ApiError> {
        let org = match &request.secret_key {
            Some(key) => self.org_of_key(peer, request.organization_id.as_deref(), key)?,
            None => {
                self.org_of_caller(&mut parts, request.organization_id.as_deref())
                    .await?
            }
        };
        let order = TokenOrder {
            ttl_secs: request.ttl,
            replace_existing: request.replace_existing,
            scope: request.scope,
            ..TokenOrder::new(org.as_str(), &request.user_email)
        };
        Ok(self.0.directory.issue_token(order).await?)
    }

    /// The organization of a key in the body, if the key is good for tokens there.
    fn org_of_key(&self, peer: Peer, named: Option<&str>, key: &Secret) -> Result<OrgId, ApiError> {
        let text = "organization_id is missing";
        let org = named.ok_or_else(|| ApiError::invalid_value(text))?;
        let no_such_org = || ApiError::not_found("organization");
        let named = OrgRef::parse(org).ok_or_else(no_such_org)?;
        if self.0.directory.org_id(org).is_none() {
            return Err(no_such_org());
        }
        let checked = self.0.directory.check_api_key(key.expose().as_bytes());
        let checked = checked.and_then(|holder| {
            let is_own = self.0.directory.is_org(&named, &holder.org);
            is_own.then_some(holder).ok_or(CredentialFault::Unknown)
        });
        let holder = checked.map_err(|fault| self.refuse(peer, org, fault))?;
        if !holder.kind.scopes().has(Scope::TokensWrite) {
            return Err(ApiError::insufficient_scope(Scope::TokensWrite));
        }
        Ok(holder.org)
    }

    /// The organization of a key in a header.
    async fn org_of_caller(&self, parts: &mut Parts, named: Option<&str>) -> Result<OrgId, ApiError> {
        let caller = <Caller as FromRequestParts<Self>>::from_request_parts(parts, self).await?;
        let org = caller.require(Scope::TokensWrite)?;
        let is_other = |named| {
            let named = OrgRef::parse(named);
            !named.is_some_and(|named| self.0.directory.is_org(&named, org))
        };
        if named.is_some_and(is_other) {
            return Err(ApiError::not_found("organization"));
        }
        Ok(org.clone())
    }

    async fn token(&self, command: Command) -> Result<Json<TokenResponse>, CommandError> {
        // Only token commands come here, and they answer tokens.
        if let Outcome::Token(grant) = self.0.directory.execute(command).await? {
            Ok(Json(grant.into()))
        } else {
            Err(CommandError::NotFound { what: "token".into() })
        }
    }

    /// Counts a failure; a source with too many of them is told to come back later. Good credentials are
    /// never held back.
    pub(super) fn refuse(&self, peer: Peer, account: &str, fault: CredentialFault) -> ApiError {
        let (throttle, source, now) = (
            self.0.authenticator.throttle(),
            peer.address.ip(),
            self.0.clock.now(),
        );
        match fault {
            CredentialFault::Unknown if !throttle.allows(source, account, now) => {
                ApiError::too_many_failures()
            }
            CredentialFault::Unknown => {
                throttle.note_failure(source, account, now);
                fault.into()
            }
            CredentialFault::Expired | CredentialFault::Revoked | CredentialFault::Suspended => fault.into(),
        }
    }
}

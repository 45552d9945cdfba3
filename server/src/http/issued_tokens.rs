//! Tokens in the older documented shapes, which tokens there are, and their revocation.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::tokens::CreateRequest;
use super::{Api, ApiError, Caller, PageParams, Params, Payload, Peer};
use crate::accounts::command::{TokenGrant, TokenView, TokensOf};
use crate::accounts::names::OrgRef;
use crate::accounts::token_scope::{ScopeAction, ScopeGrant};
use crate::accounts::{Command, Outcome, Scope, Secret, TokenOrder};
use crate::clock::WallTime;

/// The domain of owners that are named by an id instead of an address. It never exists.
const ID_DOMAIN: &str = "user-id.invalid";
const USER_ID_CLAIM: &str = "user_id";
/// What a token may do if topics are named and permissions are not, and the other way round.
const EVERY_TOPIC: &str = "#";

/// The answer of `POST /v1/create`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OldTokenResponse {
    /// What to log in as: `john_example_com@org_…`
    pub mqtt_username: String,
    /// The password: `tkn_…`
    pub token_password: Secret,
    /// Short id of the organization.
    pub org_short_id: String,
    /// Names the token; not secret.
    pub token_id: Uuid,
    /// Seconds it lives.
    pub expires_in: u64,
    /// When it ends.
    pub expires_at: WallTime,
    /// When to refresh it.
    pub refresh_recommended_at: WallTime,
}

/// What a token of the older shape may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Publish to the topics.
    Publish,
    /// Subscribe to the topics.
    Subscribe,
    /// Nothing of its own: presence is ordinary topics.
    Presence,
    /// Nothing: there is no history of messages.
    History,
}

/// Body of `POST /v2/tokens`. Fields that we do not know are ignored.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct ScopedTokenRequest {
    /// The key's organization, if named at all.
    pub organization_id: Option<String>,
    /// Whose it is: an e-mail address or another id.
    #[schema(min_length = 1, max_length = 200)]
    pub user_id: String,
    /// What it may do with the topics; everything if absent.
    #[serde(default)]
    pub permissions: Vec<Permission>,
    /// Topic filters it is good for; all if absent.
    #[serde(default)]
    pub topics: Vec<String>,
    /// Seconds it lives, 60 to 86 400; 3 600 if absent.
    #[schema(minimum = 60, maximum = 86_400)]
    pub ttl: Option<u32>,
}

/// The answer of `POST /v2/tokens`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ScopedTokenResponse {
    /// The password: `tkn_…`
    pub token: Secret,
    /// What to log in as.
    pub mqtt_username: String,
    /// Names the token; not secret.
    pub token_id: Uuid,
    /// Seconds it lives.
    pub expires_in: u64,
    /// When it ends.
    pub expires_at: WallTime,
    /// When to refresh it.
    pub refresh_recommended_at: WallTime,
}

/// Tokens.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TokenList {
    /// Those that were made or have logged in since the server started, and are good.
    pub tokens: Vec<TokenView>,
    /// What to send as `after` for those that follow.
    pub next: Option<String>,
}

/// Body of `POST /v2/tokens/revoke`: one of the three.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// One token, by its id.
    pub token_id: Option<String>,
    /// Every token of this address.
    pub user_email: Option<String>,
    /// Every token that this identity provider vouched for; `cloudsignal` for those made with a key.
    pub provider: Option<String>,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create_old))
        .routes(routes!(list, create_scoped))
        .routes(routes!(revoke))
}

/// Make a token for an e-mail address, in the oldest shape
///
/// The secret key travels in the body, or without `secret_key` there in a header as everywhere.
#[utoipa::path(post, path = "/v1/create", tag = "Tokens", request_body = CreateRequest, responses(
    (status = 200, description = "The token", body = OldTokenResponse),
    (status = 401, description = "The secret key is not good"),
    (status = 403, description = "The key does not reach that far, or the organization is suspended"),
    (status = 404, description = "There is no such organization"),
    (status = 429, description = "Too many failures; `Retry-After` says when to come back"),
))]
async fn create_old(
    State(api): State<Api>,
    peer: Peer,
    parts: Parts,
    Payload(request): Payload<CreateRequest>,
) -> Result<Json<OldTokenResponse>, ApiError> {
    let grant = api.create_token(peer, parts, request).await?;
    let org = grant.username.rsplit_once('@').map_or("", |(_, org)| org);
    Ok(Json(OldTokenResponse {
        org_short_id: org.to_owned(),
        mqtt_username: grant.username,
        token_password: grant.password,
        token_id: grant.token_id,
        expires_in: grant.expires_in_secs,
        expires_at: grant.expires_at,
        refresh_recommended_at: grant.refresh_recommended_at,
    }))
}

/// Make a token that is good for some topics
///
/// It never may more than the policy allows its owner.
#[utoipa::path(post, path = "/v2/tokens", tag = "Tokens", security(("bearer" = [])), request_body = ScopedTokenRequest,
    responses((status = 200, description = "The token", body = ScopedTokenResponse)))]
async fn create_scoped(
    State(api): State<Api>,
    caller: Caller,
    Payload(request): Payload<ScopedTokenRequest>,
) -> Result<Json<ScopedTokenResponse>, ApiError> {
    let org = caller.require(Scope::TokensWrite)?;
    if let Some(named) = &request.organization_id {
        let is_own = OrgRef::parse(named).is_some_and(|named| api.0.directory.is_org(&named, org));
        if !is_own {
            return Err(ApiError::not_found("organization"));
        }
    }
    let mut order = TokenOrder::new(org.as_str(), &request.user_id);
    if !request.user_id.contains('@') {
        order.email = format!("{}@{ID_DOMAIN}", request.user_id);
        order
            .facts
            .push((USER_ID_CLAIM.into(), request.user_id.as_str().into()));
    }
    order.ttl_secs = request.ttl;
    order.scope = request.scope()?;
    let grant: TokenGrant = api.0.directory.issue_token(order).await?;
    Ok(Json(ScopedTokenResponse {
        token: grant.password,
        mqtt_username: grant.username,
        token_id: grant.token_id,
        expires_in: grant.expires_in_secs,
        expires_at: grant.expires_at,
        refresh_recommended_at: grant.refresh_recommended_at,
    }))
}

impl ScopedTokenRequest {
    /// What the token is limited to; `None` for nothing but the policy.
    fn scope(&self) -> Result<Option<Vec<ScopeGrant>>, ApiError> {
        let may = |permission| self.permissions.is_empty() || self.permissions.contains(&permission);
        let action = match (may(Permission::Publish), may(Permission::Subscribe)) {
            (true, true) if self.topics.is_empty() => return Ok(None),
            (true, true) => ScopeAction::Both,
            (true, false) => ScopeAction::Publish,
            (false, true) => ScopeAction::Subscribe,
            (false, false) => {
                let text =
                    "permissions must have publish or subscribe: a token without them is good for nothing";
                return Err(ApiError::invalid_value(text));
            }
        };
        let grant = |topic: &str| ScopeGrant {
            topic: topic.to_owned(),
            action,
        };
        let mut grants: Vec<_> = self.topics.iter().map(|topic| grant(topic)).collect();
        if grants.is_empty() {
            grants.push(grant(EVERY_TOPIC));
        }
        Ok(Some(grants))
    }
}

/// List tokens
///
/// Tokens are not stored: the list has those that were made or have logged in since the server started, as
/// many as it remembers.
#[utoipa::path(get, path = "/v2/tokens", tag = "Tokens", security(("bearer" = [])), params(PageParams),
    responses((status = 200, description = "A page of them", body = TokenList)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(page): Params<PageParams>,
) -> Result<Json<TokenList>, ApiError> {
    let org = caller.require(Scope::TokensRead)?.to_string();
    let page = page.page()?;
    let Outcome::Tokens { tokens, next } = api.execute(&caller, Command::TokenList { org, page }).await?
    else {
        return Err(ApiError::internal("a list of tokens is none"));
    };
    Ok(Json(TokenList { tokens, next }))
}

/// Make tokens worthless and close their connections
#[utoipa::path(post, path = "/v2/tokens/revoke", tag = "Tokens", security(("bearer" = [])), request_body = Revocation,
    responses((status = 204, description = "They are worth nothing now")))]
async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    Payload(revocation): Payload<Revocation>,
) -> Result<StatusCode, ApiError> {
    let org = caller.require(Scope::TokensWrite)?.to_string();
    let Revocation {
        token_id,
        user_email,
        provider,
    } = revocation;
    let command = match (token_id, user_email, provider) {
        (Some(token_id), None, None) => Command::TokenRevoke { org, token_id },
        (None, Some(email), None) => Command::TokenRevokeAll {
            org,
            of: TokensOf::UserEmail(email),
        },
        (None, None, Some(provider)) => Command::TokenRevokeAll {
            org,
            of: TokensOf::Provider(provider),
        },
        (_, _, _) => {
            let text = "name one of token_id, user_email and provider";
            return Err(ApiError::invalid_value(text));
        }
    };
    api.execute(&caller, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

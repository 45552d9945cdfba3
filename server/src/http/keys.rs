//! API keys. Their values are shown once.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::payload::MaybePayload;
use super::{Api, ApiError, Caller, InPath, PageParams, Params, Payload};
use crate::accounts::command::{KeyOptions, KeyView};
use crate::accounts::scope::KeyKindName;
use crate::accounts::{Command, KeyKind, Outcome, Scope, ScopeSet, Secret};
use crate::clock::WallTime;

/// Body of `POST /v2/keys`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What people will call it.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// What kind of key; `secret` if absent.
    #[serde(default)]
    pub kind: KeyKindName,
    /// What a restricted key may do, and only of a restricted one.
    #[serde(default)]
    pub scopes: ScopeSet,
    /// Seconds until it ends; never if absent.
    #[schema(minimum = 60, maximum = 316_224_000)]
    pub expires_in_secs: Option<u64>,
}

/// Body of `POST /v2/keys/{id}/rotate`.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Seconds that the old key stays good; 0 if absent.
    #[serde(default)]
    #[schema(maximum = 2_592_000)]
    pub grace_secs: u64,
}

/// A new key.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CreatedKey {
    /// The key, as lists show it.
    #[serde(flatten)]
    pub key: KeyView,
    /// Its value, shown this once.
    pub value: Secret,
}

/// A new key instead of another.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RotatedKey {
    /// The new key, as lists show it.
    #[serde(flatten)]
    pub key: KeyView,
    /// Its value, shown this once.
    pub value: Secret,
    /// The id of the key it replaces.
    pub replaced_key_id: String,
    /// When that one ends, or ended.
    pub replaced_ends_at: WallTime,
}

/// Keys.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KeyList {
    /// In the order of their ids.
    pub keys: Vec<KeyView>,
    /// What to send as `after` for those that follow.
    pub next: Option<String>,
}

impl NewKey {
    fn kind(&self) -> Result<KeyKind, ApiError> {
        let restricted = self.kind == KeyKindName::Restricted;
        if !restricted && self.scopes != ScopeSet::NONE {
            return Err(ApiError::invalid_value(
                "only restricted keys have scopes of their own",
            ));
        }
        Ok(match self.kind {
            KeyKindName::Secret => KeyKind::Secret,
            KeyKindName::Publishable => KeyKind::Publishable,
            KeyKindName::Restricted => KeyKind::Restricted { scopes: self.scopes },
        })
    }
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, revoke))
        .routes(routes!(rotate))
}

/// List keys, masked
#[utoipa::path(get, path = "/v2/keys", tag = "Keys", security(("bearer" = [])), params(PageParams),
    responses((status = 200, description = "A page of them", body = KeyList)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(page): Params<PageParams>,
) -> Result<Json<KeyList>, ApiError> {
    let org = caller.require(Scope::KeysRead)?.to_string();
    let page = page.page()?;
    let Outcome::Keys { keys, next } = api.execute(&caller, Command::KeyList { org, page }).await? else {
        return Err(ApiError::internal("a list of keys is none"));
    };
    Ok(Json(KeyList { keys, next }))
}

/// Make a key
///
/// Nobody makes a key that may do more than the own one.
#[utoipa::path(post, path = "/v2/keys", tag = "Keys", security(("bearer" = [])), request_body = NewKey,
    responses((status = 201, description = "The key, with its value shown this once", body = CreatedKey)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Payload(new): Payload<NewKey>,
) -> Result<(StatusCode, Json<CreatedKey>), ApiError> {
    let org = caller.require(Scope::KeysWrite)?.to_string();
    let kind = new.kind()?;
    caller.require_to_grant(kind.scopes())?;
    let command = Command::KeyCreate {
        org,
        name: new.name,
        options: KeyOptions {
            kind,
            expires_in_secs: new.expires_in_secs,
        },
    };
    let Outcome::KeyCreated { key, secret_key } = api.execute(&caller, command).await? else {
        return Err(ApiError::internal("a new key is none"));
    };
    let made = CreatedKey {
        key,
        value: secret_key,
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Show a key, masked
#[utoipa::path(get, path = "/v2/keys/{id}", tag = "Keys", security(("bearer" = [])),
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 200, description = "The key", body = KeyView)))]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    InPath(key_id): InPath,
) -> Result<Json<KeyView>, ApiError> {
    let org = caller.require(Scope::KeysRead)?.to_string();
    Ok(Json(key_of(&api, &caller, org, key_id).await?))
}

/// Replace a key by a new one that may do the same
///
/// The old one ends at once, or after `grace_secs`. The body may be left out.
#[utoipa::path(post, path = "/v2/keys/{id}/rotate", tag = "Keys", security(("bearer" = [])),
    params(("id" = String, Path, description = "The key's id")), request_body = Option<Rotation>,
    responses((status = 200, description = "The new key, with its value shown this once", body = RotatedKey)))]
async fn rotate(
    State(api): State<Api>,
    caller: Caller,
    InPath(key_id): InPath,
    MaybePayload(rotation): MaybePayload<Rotation>,
) -> Result<Json<RotatedKey>, ApiError> {
    let org = caller.require(Scope::KeysWrite)?.to_string();
    let old = key_of(&api, &caller, org.clone(), key_id.clone()).await?;
    caller.require_to_grant(old.scopes)?;
    let command = Command::KeyRotate {
        org,
        key_id,
        grace_secs: rotation.grace_secs,
    };
    let Outcome::KeyRotated {
        key,
        secret_key,
        replaced_key_id,
        replaced_ends_at,
    } = api.execute(&caller, command).await?
    else {
        return Err(ApiError::internal("a rotated key is none"));
    };
    Ok(Json(RotatedKey {
        key,
        value: secret_key,
        replaced_key_id,
        replaced_ends_at,
    }))
}

/// Make a key worthless and close its connections
#[utoipa::path(delete, path = "/v2/keys/{id}", tag = "Keys", security(("bearer" = [])),
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 204, description = "It is worth nothing now")))]
async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    InPath(key_id): InPath,
) -> Result<StatusCode, ApiError> {
    let org = caller.require(Scope::KeysWrite)?.to_string();
    let old = key_of(&api, &caller, org.clone(), key_id.clone()).await?;
    caller.require_to_grant(old.scopes)?;
    api.execute(&caller, Command::KeyRevoke { org, key_id }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn key_of(api: &Api, caller: &Caller, org: String, key_id: String) -> Result<KeyView, ApiError> {
    if let Outcome::Key(key) = api.execute(caller, Command::KeyShow { org, key_id }).await? {
        Ok(key)
    } else {
        Err(ApiError::internal("a key was asked for and something else came"))
    }
}

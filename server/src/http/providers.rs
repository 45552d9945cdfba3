//! Identity providers of an organization.

use axum::Json;
use axum::extract::{FromRequestParts as _, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::shown;
use super::payload::MaybePayload;
use super::{Api, ApiError, Caller, Params, Payload};
use crate::accounts::command::{ProviderChanges, ProviderView};
use crate::accounts::{Command, Outcome, Scope};
use crate::identity::provider::{ProviderSettings, ProviderType};

/// Which organization's providers.
#[derive(Clone, Debug, Deserialize)]
pub struct ListParams {
    /// Short id or UUID. May be left out if a key is shown.
    pub organization_id: Option<String>,
}

/// Providers. Without a key that may read them in full, only those that are enabled and only what everybody
/// may know.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProviderList {
    /// All of them: there are few.
    pub providers: Vec<ProviderEntry>,
    /// Always null.
    pub next: Option<String>,
}

/// A provider of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ProviderEntry {
    /// In full, secrets masked.
    Full(ProviderView),
    /// What everybody may know.
    Public(PublicProvider),
}

/// What everybody may know of a provider.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PublicProvider {
    /// What to send as `provider` to exchange its tokens.
    pub name: String,
    /// Which kind it is.
    #[serde(rename = "type")]
    pub provider_type: ProviderType,
    /// Whether its word counts.
    pub enabled: bool,
}

/// What to change of a provider. What is left out stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct ChangeRequest {
    /// The changes.
    #[serde(flatten)]
    pub changes: ProviderChanges,
    /// Whether everybody it vouched for has to log in again. Otherwise open connections stay until their own
    /// end.
    pub end_connections: bool,
}

/// How to switch a provider off.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DisableRequest {
    /// Whether the connections of everybody it vouched for end now. Otherwise they stay until their own end;
    /// new ones are refused in any case.
    pub end_connections: bool,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change, delete))
        .routes(routes!(enable))
        .routes(routes!(disable))
}

/// List identity providers
///
/// Without a key, or with one that may not read them in full, answers what everybody may know.
#[utoipa::path(get, path = "/v2/providers", tag = "Providers", params(
    ("organization_id" = Option<String>, Query, description = "Short id or UUID. May be left out if a key is shown."),
), responses(
    (status = 200, description = "The providers", body = ProviderList),
    (status = 401, description = "The key is not good"),
    (status = 404, description = "There is no such organization"),
    (status = 422, description = "No organization is named"),
    (status = 429, description = "Too many failures; `Retry-After` says when to come back"),
))]
pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<ListParams>,
    mut parts: Parts,
) -> Result<Json<ProviderList>, ApiError> {
    let caller = match shown(&parts.headers) {
        Some(_) => Some(Caller::from_request_parts(&mut parts, &api).await?),
        None => None,
    };
    let may_read = caller
        .as_ref()
        .and_then(|caller| caller.require(Scope::ProvidersRead).ok());
    let org = match (&caller, params.organization_id) {
        (Some(caller), _) => caller.org()?.to_string(),
        (None, Some(named)) => named,
        (None, None) => {
            return Err(ApiError::invalid_value(
                "name the organization with organization_id",
            ));
        }
    };
    let Outcome::Providers { providers } = api.0.directory.execute(Command::ProviderList { org }).await?
    else {
        return Err(ApiError::internal("a list of providers was answered otherwise"));
    };
    let providers = if may_read.is_some() {
        providers.into_iter().map(ProviderEntry::Full).collect()
    } else {
        let enabled = providers.into_iter().filter(|provider| provider.enabled);
        enabled
            .map(PublicProvider::of)
            .map(ProviderEntry::Public)
            .collect()
    };
    Ok(Json(ProviderList {
        providers,
        next: None,
    }))
}

/// Add an identity provider
///
/// It is enabled at once.
#[utoipa::path(post, path = "/v2/providers", tag = "Providers", request_body = ProviderSettings,
    security(("bearer" = [])), responses(
    (status = 201, description = "The provider, secrets masked", body = ProviderView),
    (status = 409, description = "There is one of this name"),
))]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Payload(settings): Payload<ProviderSettings>,
) -> Result<(StatusCode, Json<ProviderView>), ApiError> {
    let org = caller.require(Scope::ProvidersWrite)?.to_string();
    let made = api
        .provider(&caller, Command::ProviderCreate { org, settings })
        .await?;
    Ok((StatusCode::CREATED, made))
}

/// Show an identity provider
#[utoipa::path(get, path = "/v2/providers/{name}", tag = "Providers",
    params(("name" = String, Path, description = "The provider's name")), security(("bearer" = [])), responses(
    (status = 200, description = "The provider, secrets masked", body = ProviderView),
))]
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<ProviderView>, ApiError> {
    let org = caller.require(Scope::ProvidersRead)?.to_string();
    api.provider(&caller, Command::ProviderShow { org, name }).await
}

/// Change an identity provider
///
/// `trust` is replaced as a whole, with its secret.
#[utoipa::path(patch, path = "/v2/providers/{name}", tag = "Providers", request_body = ChangeRequest,
    params(("name" = String, Path, description = "The provider's name")), security(("bearer" = [])), responses(
    (status = 200, description = "The provider as it is now, secrets masked", body = ProviderView),
))]
pub(super) async fn change(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Payload(request): Payload<Value>,
) -> Result<Json<ProviderView>, ApiError> {
    let org = caller.require(Scope::ProvidersWrite)?.to_string();
    let (changes, end_connections) = read_changes(request)?;
    let command = Command::ProviderUpdate {
        org,
        name,
        changes,
        end_connections,
    };
    api.provider(&caller, command).await
}

/// Remove an identity provider
///
/// The connections of everybody it vouched for end. To let them stay, disable it.
#[utoipa::path(delete, path = "/v2/providers/{name}", tag = "Providers",
    params(("name" = String, Path, description = "The provider's name")), security(("bearer" = [])), responses(
    (status = 204, description = "It is gone"),
))]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let org = caller.require(Scope::ProvidersWrite)?.to_string();
    api.execute(&caller, Command::ProviderDelete { org, name })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Enable an identity provider
#[utoipa::path(post, path = "/v2/providers/{name}/enable", tag = "Providers",
    params(("name" = String, Path, description = "The provider's name")), security(("bearer" = [])), responses(
    (status = 200, description = "The provider as it is now, secrets masked", body = ProviderView),
))]
pub(super) async fn enable(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<ProviderView>, ApiError> {
    api.switch_provider(&caller, name, true, false).await
}

/// Disable an identity provider
///
/// Its tokens log nobody in any more, nor do tokens that were exchanged for them. The body may be left out.
#[utoipa::path(post, path = "/v2/providers/{name}/disable", tag = "Providers", request_body = Option<DisableRequest>,
    params(("name" = String, Path, description = "The provider's name")), security(("bearer" = [])), responses(
    (status = 200, description = "The provider as it is now, secrets masked", body = ProviderView),
))]
pub(super) async fn disable(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    MaybePayload(request): MaybePayload<DisableRequest>,
) -> Result<Json<ProviderView>, ApiError> {
    api.switch_provider(&caller, name, false, request.end_connections)
        .await
}

/// Reads the changes apart from what is asked beside them, so that both refuse unknown fields.
fn read_changes(mut request: Value) -> Result<(ProviderChanges, bool), ApiError> {
    let wrong = |error: serde_json::Error| ApiError::invalid_value(error.to_string());
    let end_connections = request
        .as_object_mut()
        .and_then(|fields| fields.remove("end_connections"));
    let end_connections = end_connections.map_or(Ok(false), serde_json::from_value);
    let changes = serde_json::from_value(request).map_err(wrong)?;
    Ok((changes, end_connections.map_err(wrong)?))
}

impl Api {
    async fn switch_provider(
        &self,
        caller: &Caller,
        name: String,
        enabled: bool,
        end_connections: bool,
    ) -> Result<Json<ProviderView>, ApiError> {
        let org = caller.require(Scope::ProvidersWrite)?.to_string();
        let changes = ProviderChanges {
            enabled: Some(enabled),
            ..ProviderChanges::default()
        };
        let command = Command::ProviderUpdate {
            org,
            name,
            changes,
            end_connections,
        };
        self.provider(caller, command).await
    }

    async fn provider(&self, caller: &Caller, command: Command) -> Result<Json<ProviderView>, ApiError> {
        let Outcome::Provider(view) = self.execute(caller, command).await? else {
            return Err(ApiError::internal("a provider was answered otherwise"));
        };
        Ok(Json(view))
    }
}

impl PublicProvider {
    fn of(view: ProviderView) -> Self {
        Self {
            name: view.settings.name,
            provider_type: view.provider_type,
            enabled: view.enabled,
        }
    }
}

//! One's own organization, and all of them for the operator.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{Api, ApiError, Caller, InPath, PageParams, Params, Payload};
use crate::accounts::acl::Preset;
use crate::accounts::command::{OrgState, OrgView};
use crate::accounts::{Command, Outcome, Scope};
use crate::clock::WallTime;
use crate::durable::Level;

/// An organization. Publishable keys see what is public of it: ids, name and state.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Organization {
    /// Short id.
    pub id: String,
    /// The other id.
    pub uuid: Uuid,
    /// What people call it.
    pub name: String,
    /// Whether its people may log in.
    pub state: OrgState,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<WallTime>,
    /// How many users it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<usize>,
    /// How many members it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<usize>,
    /// How many keys it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<usize>,
    /// What its acknowledgements survive; as the server says, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Level>,
}

impl From<OrgView> for Organization {
    fn from(view: OrgView) -> Self {
        Self {
            created_at: Some(view.created_at),
            users: Some(view.users),
            members: Some(view.members),
            keys: Some(view.keys),
            durability: view.durability,
            ..Self::public(view)
        }
    }
}

impl Organization {
    fn public(view: OrgView) -> Self {
        Self {
            id: view.id,
            uuid: view.uuid,
            name: view.name,
            state: view.state,
            created_at: None,
            users: None,
            members: None,
            keys: None,
            durability: None,
        }
    }
}

/// Organizations.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OrganizationList {
    /// In the order of their ids.
    pub organizations: Vec<Organization>,
    /// What to send as `after` for those that follow.
    pub next: Option<String>,
}

/// Body of `PATCH /v2/organization`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationChange {
    /// What people will call it.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
}

/// Body of `PUT /v2/organization/durability`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DurabilityChange {
    /// What acknowledgements survive; null for what the server says (`durability.level`).
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    pub durability: Option<Level>,
}

/// Body of `POST /v2/organizations`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrganization {
    /// What people will call it.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// Its first policy.
    #[serde(default)]
    pub preset: Preset,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(show_own, change_own))
        .routes(routes!(set_durability))
        .routes(routes!(list, create))
        .routes(routes!(show, delete))
        .routes(routes!(suspend))
        .routes(routes!(resume))
}

/// Show one's own organization
#[utoipa::path(get, path = "/v2/organization", tag = "Organizations", security(("bearer" = [])),
    responses((status = 200, description = "The organization of the key", body = Organization)))]
async fn show_own(State(api): State<Api>, caller: Caller) -> Result<Json<Organization>, ApiError> {
    let org = if caller.is_publishable() {
        caller.org()?
    } else {
        caller.require(Scope::OrgRead)?
    };
    let command = Command::OrgShow { org: org.to_string() };
    let view = org_of(api.execute(&caller, command).await?)?;
    Ok(Json(if caller.is_publishable() {
        Organization::public(view)
    } else {
        view.into()
    }))
}

/// Rename one's own organization
#[utoipa::path(patch, path = "/v2/organization", tag = "Organizations", security(("bearer" = [])),
    request_body = OrganizationChange,
    responses((status = 200, description = "The organization as it is now", body = Organization)))]
async fn change_own(
    State(api): State<Api>,
    caller: Caller,
    Payload(change): Payload<OrganizationChange>,
) -> Result<Json<Organization>, ApiError> {
    let org = caller.require(Scope::OrgWrite)?.to_string();
    let name = change.name;
    let outcome = api.execute(&caller, Command::OrgRename { org, name }).await?;
    Ok(Json(org_of(outcome)?.into()))
}

/// Say what acknowledgements survive
///
/// `disk`: the loss of power. `os`: the end of the process. `memory`: nothing, and nothing is stored. Between `disk` and
/// `os` in force with the next commit; from or to `memory` when the broker starts the next time: then what is stored is
/// removed, or storing begins.
#[utoipa::path(put, path = "/v2/organization/durability", tag = "Organizations", security(("bearer" = [])),
    request_body = DurabilityChange,
    responses((status = 200, description = "The organization as it is now", body = Organization)))]
async fn set_durability(
    State(api): State<Api>,
    caller: Caller,
    Payload(change): Payload<DurabilityChange>,
) -> Result<Json<Organization>, ApiError> {
    let org = caller.require(Scope::OrgWrite)?.to_string();
    let durability = change.durability;
    let outcome = api
        .execute(&caller, Command::OrgDurability { org, durability })
        .await?;
    Ok(Json(org_of(outcome)?.into()))
}

/// List organizations
///
/// For the operator.
#[utoipa::path(get, path = "/v2/organizations", tag = "Organizations", security(("bearer" = [])), params(PageParams),
    responses((status = 200, description = "A page of them", body = OrganizationList)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(page): Params<PageParams>,
) -> Result<Json<OrganizationList>, ApiError> {
    caller.require_operator()?;
    let outcome = api.execute(&caller, Command::OrgList(page.page()?)).await?;
    let Outcome::Orgs { orgs, next } = outcome else {
        return Err(ApiError::internal("a list of organizations is none"));
    };
    let organizations = orgs.into_iter().map(Into::into).collect();
    Ok(Json(OrganizationList { organizations, next }))
}

/// Make an organization without people
///
/// For the operator. See sign-up for one with an owner and a key.
#[utoipa::path(post, path = "/v2/organizations", tag = "Organizations", security(("bearer" = [])),
    request_body = NewOrganization,
    responses((status = 201, description = "The organization", body = Organization)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Payload(new): Payload<NewOrganization>,
) -> Result<(StatusCode, Json<Organization>), ApiError> {
    caller.require_operator()?;
    let NewOrganization { name, preset } = new;
    let outcome = api.execute(&caller, Command::OrgCreate { name, preset }).await?;
    Ok((StatusCode::CREATED, Json(org_of(outcome)?.into())))
}

/// Show an organization
///
/// For the operator.
#[utoipa::path(get, path = "/v2/organizations/{id}", tag = "Organizations", security(("bearer" = [])),
    params(("id" = String, Path, description = "Short id or UUID")),
    responses((status = 200, description = "The organization", body = Organization)))]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    InPath(org): InPath,
) -> Result<Json<Organization>, ApiError> {
    caller.require_operator()?;
    let outcome = api.execute(&caller, Command::OrgShow { org }).await?;
    Ok(Json(org_of(outcome)?.into()))
}

/// Remove an organization with everything it has
///
/// For the operator. Its connections are closed.
#[utoipa::path(delete, path = "/v2/organizations/{id}", tag = "Organizations", security(("bearer" = [])),
    params(("id" = String, Path, description = "Short id or UUID")),
    responses((status = 204, description = "It is gone")))]
async fn delete(State(api): State<Api>, caller: Caller, InPath(org): InPath) -> Result<StatusCode, ApiError> {
    caller.require_operator()?;
    api.execute(&caller, Command::OrgDelete { org }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Close an organization's connections and let nobody log in
///
/// For the operator.
#[utoipa::path(post, path = "/v2/organizations/{id}/suspend", tag = "Organizations", security(("bearer" = [])),
    params(("id" = String, Path, description = "Short id or UUID")),
    responses((status = 200, description = "The organization as it is now", body = Organization)))]
async fn suspend(
    State(api): State<Api>,
    caller: Caller,
    InPath(org): InPath,
) -> Result<Json<Organization>, ApiError> {
    caller.require_operator()?;
    let outcome = api.execute(&caller, Command::OrgSuspend { org }).await?;
    Ok(Json(org_of(outcome)?.into()))
}

/// Let an organization's people log in again
///
/// For the operator.
#[utoipa::path(post, path = "/v2/organizations/{id}/resume", tag = "Organizations", security(("bearer" = [])),
    params(("id" = String, Path, description = "Short id or UUID")),
    responses((status = 200, description = "The organization as it is now", body = Organization)))]
async fn resume(
    State(api): State<Api>,
    caller: Caller,
    InPath(org): InPath,
) -> Result<Json<Organization>, ApiError> {
    caller.require_operator()?;
    let outcome = api.execute(&caller, Command::OrgResume { org }).await?;
    Ok(Json(org_of(outcome)?.into()))
}

fn org_of(outcome: Outcome) -> Result<OrgView, ApiError> {
    if let Outcome::Org(org) | Outcome::OrgCreated { org, .. } = outcome {
        Ok(org)
    } else {
        Err(ApiError::internal(
            "an organization was asked for and something else came",
        ))
    }
}

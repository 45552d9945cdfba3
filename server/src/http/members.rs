//! The people who manage an organization.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, ApiError, Caller, InPath, PageParams, Params, Payload};
use crate::accounts::command::MemberView;
use crate::accounts::{Command, Outcome, Role, Scope, Secret};

/// Body of `POST /v2/members`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    /// The address.
    #[schema(format = Email, max_length = 254)]
    pub email: String,
    /// What the member may do.
    pub role: Role,
    /// The password; left out, one is made and answered.
    #[schema(min_length = 8, max_length = 1024)]
    pub password: Option<Secret>,
}

/// Body of `PATCH /v2/members/{email}`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberChange {
    /// The new role.
    pub role: Option<Role>,
    /// The new password.
    #[schema(min_length = 8, max_length = 1024)]
    pub password: Option<Secret>,
}

/// A new member.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CreatedMember {
    /// The member.
    #[serde(flatten)]
    pub member: MemberView,
    /// The password, shown this once; only if the server made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

/// Members.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MemberList {
    /// In the order of their addresses.
    pub members: Vec<MemberView>,
    /// What to send as `after` for those that follow.
    pub next: Option<String>,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change, delete))
}

/// List members
#[utoipa::path(get, path = "/v2/members", tag = "Members", security(("bearer" = [])), params(PageParams),
    responses((status = 200, description = "A page of them", body = MemberList)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(page): Params<PageParams>,
) -> Result<Json<MemberList>, ApiError> {
    let org = caller.require(Scope::UsersRead)?.to_string();
    let page = page.page()?;
    let outcome = api.execute(&caller, Command::MemberList { org, page }).await?;
    let Outcome::Members { members, next } = outcome else {
        return Err(ApiError::internal("a list of members is none"));
    };
    Ok(Json(MemberList { members, next }))
}

/// Make a member
#[utoipa::path(post, path = "/v2/members", tag = "Members", security(("bearer" = [])), request_body = NewMember,
    responses(
        (status = 201, description = "The member", body = CreatedMember),
        (status = 409, description = "There is such a member already"),
    ))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Payload(new): Payload<NewMember>,
) -> Result<(StatusCode, Json<CreatedMember>), ApiError> {
    let org = caller.require(Scope::UsersWrite)?.to_string();
    let NewMember {
        email,
        role,
        password,
    } = new;
    let command = Command::MemberCreate {
        org,
        email,
        role,
        password,
    };
    let (member, password) = member_of(api.execute(&caller, command).await?)?;
    Ok((StatusCode::CREATED, Json(CreatedMember { member, password })))
}

/// Show a member
#[utoipa::path(get, path = "/v2/members/{email}", tag = "Members", security(("bearer" = [])),
    params(("email" = String, Path, description = "The address")),
    responses((status = 200, description = "The member", body = MemberView)))]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    InPath(email): InPath,
) -> Result<Json<MemberView>, ApiError> {
    let org = caller.require(Scope::UsersRead)?.to_string();
    let outcome = api.execute(&caller, Command::MemberShow { org, email }).await?;
    Ok(Json(member_of(outcome)?.0))
}

/// Change a member's role or password
///
/// The member's logins end. The last owner stays one.
#[utoipa::path(patch, path = "/v2/members/{email}", tag = "Members", security(("bearer" = [])),
    params(("email" = String, Path, description = "The address")), request_body = MemberChange,
    responses((status = 200, description = "The member as it is now", body = MemberView)))]
async fn change(
    State(api): State<Api>,
    caller: Caller,
    InPath(email): InPath,
    Payload(change): Payload<MemberChange>,
) -> Result<Json<MemberView>, ApiError> {
    let org = caller.require(Scope::UsersWrite)?.to_string();
    let MemberChange { role, password } = change;
    let command = Command::MemberUpdate {
        org,
        email,
        role,
        password,
    };
    Ok(Json(member_of(api.execute(&caller, command).await?)?.0))
}

/// Remove a member and end the logins
///
/// The last owner stays.
#[utoipa::path(delete, path = "/v2/members/{email}", tag = "Members", security(("bearer" = [])),
    params(("email" = String, Path, description = "The address")),
    responses((status = 204, description = "The member is gone")))]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    InPath(email): InPath,
) -> Result<StatusCode, ApiError> {
    let org = caller.require(Scope::UsersWrite)?.to_string();
    api.execute(&caller, Command::MemberDelete { org, email }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn member_of(outcome: Outcome) -> Result<(MemberView, Option<Secret>), ApiError> {
    if let Outcome::Member { member, password } = outcome {
        Ok((member, password))
    } else {
        Err(ApiError::internal(
            "a member was asked for and something else came",
        ))
    }
}

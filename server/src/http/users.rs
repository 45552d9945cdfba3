//! Who may log in over MQTT with a name and a password.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, ApiError, Caller, InPath, PageParams, Params, Payload};
use crate::accounts::command::UserView;
use crate::accounts::{Command, Outcome, Scope, Secret};

/// Body of `POST /v2/users`. Fields that we do not know are ignored.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct NewUser {
    /// The name inside the organization; `@` and the organization's id may follow.
    #[schema(min_length = 1)]
    pub username: String,
    /// The password; left out, one is made and answered.
    #[schema(min_length = 8, max_length = 1024)]
    pub password: Option<Secret>,
}

/// Body of `PATCH /v2/users/{name}`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// The new password; connections made with the old one are closed.
    #[schema(min_length = 8, max_length = 1024)]
    pub password: Option<Secret>,
    /// Whether the user may log in; if not, the connections are closed.
    pub enabled: Option<bool>,
}

/// A new user.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CreatedUser {
    /// The user.
    #[serde(flatten)]
    pub user: UserView,
    /// The password, shown this once; only if the server made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

/// Users.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UserList {
    /// In the order of their names.
    pub users: Vec<UserView>,
    /// What to send as `after` for those that follow.
    pub next: Option<String>,
}

/// Which users are wanted.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UserFilter {
    /// Only names that begin so.
    pub prefix: Option<String>,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change, delete))
}

/// List users
#[utoipa::path(get, path = "/v2/users", tag = "Users", security(("bearer" = [])), params(PageParams, UserFilter),
    responses((status = 200, description = "A page of them", body = UserList)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(page): Params<PageParams>,
    Params(filter): Params<UserFilter>,
) -> Result<Json<UserList>, ApiError> {
    let command = Command::UserList {
        org: caller.require(Scope::UsersRead)?.to_string(),
        prefix: filter.prefix,
        page: page.page()?,
    };
    let Outcome::Users { users, next } = api.execute(&caller, command).await? else {
        return Err(ApiError::internal("a list of users is none"));
    };
    Ok(Json(UserList { users, next }))
}

/// Make a user
#[utoipa::path(post, path = "/v2/users", tag = "Users", security(("bearer" = [])), request_body = NewUser, responses(
    (status = 201, description = "The user", body = CreatedUser),
    (status = 409, description = "There is such a user already"),
))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Payload(new): Payload<NewUser>,
) -> Result<(StatusCode, Json<CreatedUser>), ApiError> {
    let org = caller.require(Scope::UsersWrite)?;
    let own = |suffix: &str| api.0.directory.org_id(suffix).as_ref() == Some(org);
    let name = match new.username.rsplit_once('@') {
        Some((name, suffix)) if own(suffix) => name.to_owned(),
        Some(_) | None => new.username,
    };
    let command = Command::UserCreate {
        org: org.to_string(),
        name,
        password: new.password,
    };
    let (user, password) = user_of(api.execute(&caller, command).await?)?;
    Ok((StatusCode::CREATED, Json(CreatedUser { user, password })))
}

/// Show a user
#[utoipa::path(get, path = "/v2/users/{name}", tag = "Users", security(("bearer" = [])),
    params(("name" = String, Path, description = "The name, without the organization")),
    responses((status = 200, description = "The user", body = UserView)))]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    InPath(name): InPath,
) -> Result<Json<UserView>, ApiError> {
    let org = caller.require(Scope::UsersRead)?.to_string();
    let outcome = api.execute(&caller, Command::UserShow { org, name }).await?;
    Ok(Json(user_of(outcome)?.0))
}

/// Set a user's password, or enable or disable the user
#[utoipa::path(patch, path = "/v2/users/{name}", tag = "Users", security(("bearer" = [])), request_body = UserChange,
    params(("name" = String, Path, description = "The name, without the organization")),
    responses((status = 200, description = "The user as it is now", body = UserView)))]
async fn change(
    State(api): State<Api>,
    caller: Caller,
    InPath(name): InPath,
    Payload(change): Payload<UserChange>,
) -> Result<Json<UserView>, ApiError> {
    let org = caller.require(Scope::UsersWrite)?.to_string();
    let mut outcome = None;
    if let Some(password) = change.password {
        let command = Command::UserSetPassword {
            org: org.clone(),
            name: name.clone(),
            password: Some(password),
        };
        outcome = Some(api.execute(&caller, command).await?);
    }
    if let Some(enabled) = change.enabled {
        let (org, name) = (org.clone(), name.clone());
        let command = Command::UserEnable { org, name, enabled };
        outcome = Some(api.execute(&caller, command).await?);
    }
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => api.execute(&caller, Command::UserShow { org, name }).await?,
    };
    Ok(Json(user_of(outcome)?.0))
}

/// Remove a user and close the connections
#[utoipa::path(delete, path = "/v2/users/{name}", tag = "Users", security(("bearer" = [])),
    params(("name" = String, Path, description = "The name, without the organization")),
    responses((status = 204, description = "The user is gone")))]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    InPath(name): InPath,
) -> Result<StatusCode, ApiError> {
    let org = caller.require(Scope::UsersWrite)?.to_string();
    api.execute(&caller, Command::UserDelete { org, name }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn user_of(outcome: Outcome) -> Result<(UserView, Option<Secret>), ApiError> {
    if let Outcome::User { user, password } = outcome {
        Ok((user, password))
    } else {
        Err(ApiError::internal("a user was asked for and something else came"))
    }
}

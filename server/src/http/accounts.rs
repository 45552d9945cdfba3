//! Sign-up, login and logout, and who one is.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, ApiError, Caller, Payload, Peer};
use crate::accounts::command::{CredentialFault, KeyView, MemberView, OrgView};
use crate::accounts::scope::KeyKindName;
use crate::accounts::{Actor, Command, CommandError, Outcome, Role, ScopeSet, Secret};
use crate::config::SignUp;

/// What counts sign-ups of a source.
const SIGN_UP_ACCOUNT: &str = "sign-up";

/// Body of `POST /v2/signup`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignUpRequest {
    /// What people will call the organization.
    #[schema(min_length = 1, max_length = 100)]
    pub organization_name: String,
    /// The owner's address.
    #[schema(format = Email, max_length = 254)]
    pub email: String,
    /// The owner's password.
    #[schema(min_length = 8, max_length = 1024)]
    pub password: Secret,
}

/// A new organization.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SignedUp {
    /// The organization.
    pub organization: OrgView,
    /// Its owner.
    pub member: MemberView,
    /// Its first key.
    pub key: KeyView,
    /// The key's value, shown this once.
    pub secret_key: Secret,
    /// What its first policy lets users do.
    pub policy_meaning: String,
}

/// Body of `POST /v2/login`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// Short id or UUID; may be left out by members of one organization.
    pub organization_id: Option<String>,
    /// The member's address.
    #[schema(format = Email, max_length = 254)]
    pub email: String,
    /// The member's password.
    pub password: Secret,
}

/// Whoever just logged in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LoginResponse {
    /// The key to send from now on: `rk_…`, with the scopes of the role.
    pub api_key: Secret,
    /// The key, as lists show it.
    pub key: KeyView,
    /// The member.
    pub member: MemberView,
    /// The organization.
    pub organization: OrgView,
}

/// Who one is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// As the audit trail names one: `operator`, `key:key_…` or `member:ada@example.com`.
    pub actor: String,
    /// The organization; none for an operator who names none.
    pub organization_id: Option<String>,
    /// The key's id; none for the operator.
    pub key_id: Option<String>,
    /// The key's kind; none for the operator.
    pub kind: Option<KeyKindName>,
    /// The role of a member who logged in.
    pub role: Option<Role>,
    /// What one may do.
    pub scopes: ScopeSet,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(sign_up))
        .routes(routes!(log_in))
        .routes(routes!(log_out))
        .routes(routes!(who_am_i))
}

/// Make an organization, its owner and a secret key
///
/// Needs the administration token, unless the server is configured with `http.sign_up = "open"`.
#[utoipa::path(post, path = "/v2/signup", tag = "Accounts", request_body = SignUpRequest, security(("bearer" = [])),
    responses((status = 201, description = "The organization, with its first key shown this once", body = SignedUp)))]
async fn sign_up(
    State(api): State<Api>,
    peer: Peer,
    caller: Option<Caller>,
    Payload(request): Payload<SignUpRequest>,
) -> Result<(StatusCode, Json<SignedUp>), ApiError> {
    let actor = match (caller, api.0.sign_up) {
        (Some(caller), SignUp::Operator) => {
            caller.require_operator()?;
            Actor::Operator
        }
        (Some(caller), SignUp::Open) if caller.require_operator().is_ok() => Actor::Operator,
        (None, SignUp::Operator) => {
            let text = "only the operator may make organizations here: send the administration token";
            return Err(ApiError::unauthorized(text));
        }
        (Some(_) | None, SignUp::Open) => {
            let (throttle, now) = (api.0.authenticator.throttle(), api.0.clock.now());
            if !throttle.allows(peer.address.ip(), SIGN_UP_ACCOUNT, now) {
                return Err(ApiError::too_many_failures());
            }
            throttle.note_failure(peer.address.ip(), SIGN_UP_ACCOUNT, now);
            Actor::Holder
        }
    };
    let command = Command::SignUp {
        organization_name: request.organization_name,
        email: request.email,
        password: request.password,
    };
    let Outcome::SignedUp {
        org: organization,
        member,
        key,
        secret_key,
        policy_meaning,
    } = api.0.directory.execute_as(actor, command).await?
    else {
        return Err(ApiError::internal("a sign-up answered something else"));
    };
    let made = SignedUp {
        organization,
        member,
        key,
        secret_key,
        policy_meaning,
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Log in as a member
///
/// The answer is a key with the scopes of the role, for 30 days. A member has at most 10 logins; the oldest
/// makes room.
#[utoipa::path(post, path = "/v2/login", tag = "Accounts", request_body = LoginRequest, responses(
    (status = 200, description = "The key, shown this once", body = LoginResponse),
    (status = 401, description = "No such member, or another password"),
    (status = 403, description = "The organization is suspended"),
    (status = 429, description = "Too many failures; `Retry-After` says when to come back"),
))]
async fn log_in(
    State(api): State<Api>,
    peer: Peer,
    Payload(request): Payload<LoginRequest>,
) -> Result<Json<LoginResponse>, ApiError> {
    let LoginRequest {
        organization_id,
        email,
        password,
    } = request;
    let (throttle, source) = (api.0.authenticator.throttle(), peer.address.ip());
    if !throttle.allows(source, &email, api.0.clock.now()) {
        return Err(ApiError::too_many_failures());
    }
    let logged_in = api
        .0
        .directory
        .log_in(organization_id.as_deref(), &email, &password)
        .await;
    let login = logged_in.map_err(|error| {
        if error == CommandError::from(CredentialFault::Unknown) {
            throttle.note_failure(source, &email, api.0.clock.now());
        }
        ApiError::from(error)
    })?;
    throttle.note_success(source, &email);
    Ok(Json(LoginResponse {
        api_key: login.secret,
        key: login.key,
        member: login.member,
        organization: login.org,
    }))
}

/// End the login whose key is shown
#[utoipa::path(post, path = "/v2/logout", tag = "Accounts", security(("bearer" = [])),
    responses((status = 204, description = "The key is worth nothing now")))]
async fn log_out(State(api): State<Api>, caller: Caller) -> Result<StatusCode, ApiError> {
    let (Some(key_id), Some(_)) = (caller.key_id(), caller.role_of_login()) else {
        let text = "this key does not come from a login: revoke it at /v2/keys";
        return Err(ApiError::invalid_value(text));
    };
    let command = Command::KeyRevoke {
        org: caller.org()?.to_string(),
        key_id: key_id.to_owned(),
    };
    api.execute(&caller, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who one is
#[utoipa::path(get, path = "/v2/whoami", tag = "Accounts", security(("bearer" = [])),
    responses((status = 200, description = "The caller", body = WhoAmI)))]
async fn who_am_i(caller: Caller) -> Json<WhoAmI> {
    Json(WhoAmI {
        actor: caller.actor().to_string(),
        organization_id: caller.org().ok().map(ToString::to_string),
        key_id: caller.key_id().map(str::to_owned),
        kind: caller.key_kind().map(|kind| kind.name()),
        role: caller.role_of_login(),
        scopes: caller.scopes(),
    })
}

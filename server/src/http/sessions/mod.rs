//! Who is connected, and who was.
//!
//! | file | holds |
//! |---|---|
//! | [`view`] | what is shown of a session |
//! | [`mod@find`] | many sessions, without holding the organization for long |
//! | [`disconnect`] | sending clients away |
//! | [`history`] | connections that have ended |
#![allow(
    unused_qualifications,
    reason = "what utoipa makes of parameters is written with full paths"
)]

mod disconnect;
mod find;
mod history;
mod view;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::page::InPath;
use super::{Api, ApiError, Caller, PageParams, Params};
use crate::accounts::Scope;
use find::{Filter, Place, find};
use view::{SessionDetail, SessionSummary};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, disconnect::one))
        .routes(routes!(disconnect::many))
        // A client may be called so, too.
        .route(
            "/v2/sessions/disconnect",
            axum::routing::get(show_disconnect).delete(disconnect::one_called_disconnect),
        )
        .routes(routes!(history::list))
}

/// Which sessions are listed. All that is given has to hold.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ListParams {
    /// Exactly this client id.
    client_id: Option<String>,
    /// Exactly this user name, without `@organization`.
    username: Option<String>,
    /// Part of the client id or of the user name.
    search: Option<String>,
    /// Only sessions with a connection, or only those without one.
    connected: Option<bool>,
}

/// Sessions, a page at a time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct SessionList {
    /// In no particular order. There may be fewer than asked for although more follow: `next` tells.
    sessions: Vec<SessionSummary>,
    /// What to send as `after` for the sessions that follow; null at the end.
    next: Option<String>,
}

/// List sessions
///
/// Every session that is there from the first page to the last is listed once.
#[utoipa::path(get, path = "/v2/sessions", tag = "Sessions", params(ListParams, PageParams),
    security(("bearer" = [])),
    responses((status = 200, description = "Part of the sessions", body = SessionList)))]
pub(in crate::http) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(wanted): Params<ListParams>,
    Params(page): Params<PageParams>,
) -> Result<Json<SessionList>, ApiError> {
    let org = caller.require(Scope::SessionsRead)?;
    let page = page.page()?;
    let from = page.after.as_deref().map(Place::parse).transpose()?;
    let limit = page.limit.unwrap_or(super::page::PAGE_ENTRIES_DEFAULT);
    let Some(cell) = api.0.orgs.find(org) else {
        return Ok(Json(SessionList {
            sessions: Vec::new(),
            next: None,
        }));
    };
    let filter = Filter {
        client_id: wanted.client_id,
        username: wanted.username,
        search: wanted.search,
        connected: wanted.connected,
    };
    let _turn = api.reading(org).await?;
    let found = find(
        &cell,
        &filter,
        from.unwrap_or_default(),
        limit,
        |view, origins| SessionSummary::of(view, origins, &api.0.clock),
    )
    .await;
    Ok(Json(SessionList {
        sessions: found.found,
        next: found.next.map(Place::text),
    }))
}

/// Show a session
///
/// With its subscriptions and its queue. The client id is percent-encoded in the path.
#[utoipa::path(get, path = "/v2/sessions/{client_id}", tag = "Sessions",
    params(("client_id" = String, Path, description = "The client's id")), security(("bearer" = [])),
    responses((status = 200, description = "The session", body = SessionDetail)))]
pub(in crate::http) async fn show(
    State(api): State<Api>,
    caller: Caller,
    InPath(client_id): InPath,
) -> Result<Json<SessionDetail>, ApiError> {
    let org = caller.require(Scope::SessionsRead)?;
    let detail = api.0.orgs.find(org).and_then(|cell| {
        cell.inspect(|org, origins| SessionDetail::of(org, &client_id, origins, &api.0.clock))
    });
    detail.map(Json).ok_or_else(|| ApiError::not_found("session"))
}

async fn show_disconnect(api: State<Api>, caller: Caller) -> Result<Json<SessionDetail>, ApiError> {
    show(api, caller, InPath("disconnect".into())).await
}

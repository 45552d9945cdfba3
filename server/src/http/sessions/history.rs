//! Connections that have ended.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::accounts::{CommandError, Scope};
use crate::clock::WallTime;
use crate::history::record::ReasonClass;
use crate::history::{EndReason, EndedConnection, Wanted};
use crate::http::page::PAGE_ENTRIES_DEFAULT;
use crate::http::{Api, ApiError, Caller, PageParams, Params};

/// Which connections are listed. All that is given has to hold.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct HistoryParams {
    /// Exactly this client id.
    client_id: Option<String>,
    /// Exactly this user name, without `@organization`.
    username: Option<String>,
    /// Ended for this reason.
    reason: Option<EndReason>,
    /// Ended for a reason of this class.
    class: Option<ReasonClass>,
    /// Ended then or later.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<WallTime>,
    /// Ended before then.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<WallTime>,
}

/// One ended connection.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct HistoryEntry {
    #[serde(flatten)]
    connection: EndedConnection,
    /// Seconds that it was open.
    duration_secs: u64,
    /// The class of its reason.
    class: ReasonClass,
}

/// Ended connections, the latest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct HistoryList {
    /// There may be fewer than asked for although more follow: `next` tells.
    connections: Vec<HistoryEntry>,
    /// What to send as `after` for earlier ones; null at the end.
    next: Option<String>,
}

/// List connections that have ended
///
/// The latest first. The last 65 536 of an organization are kept, for thirty days.
#[utoipa::path(get, path = "/v2/session-history", tag = "Sessions", params(HistoryParams, PageParams),
    security(("bearer" = [])),
    responses((status = 200, description = "Part of them", body = HistoryList)))]
pub(in crate::http) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(wanted): Params<HistoryParams>,
    Params(page): Params<PageParams>,
) -> Result<Json<HistoryList>, ApiError> {
    let org = caller.require(Scope::SessionsRead)?;
    let page = page.page()?;
    let before = page.after.map(|after| after.parse()).transpose();
    let wanted = Wanted {
        since: wanted.since,
        until: wanted.until,
        reason: wanted.reason,
        class: wanted.class,
        client_id: wanted.client_id,
        username: wanted.username,
        before: before.map_err(|_| ApiError::invalid_request("after is no cursor of ours"))?,
        limit: page.limit.unwrap_or(PAGE_ENTRIES_DEFAULT),
    };
    let _turn = api.reading(org).await?;
    let found = api.0.orgs.history().page(org, &wanted).await.map_err(|error| {
        tracing::warn!(%error, "session history cannot be read");
        ApiError::from(CommandError::Storage)
    })?;
    Ok(Json(HistoryList {
        connections: found.entries.into_iter().map(HistoryEntry::of).collect(),
        next: found.next.map(|next| next.to_string()),
    }))
}

impl HistoryEntry {
    fn of(connection: EndedConnection) -> Self {
        Self {
            duration_secs: connection.duration().as_secs(),
            class: connection.reason.class(),
            connection,
        }
    }
}

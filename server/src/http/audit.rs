//! Who changed what.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, ApiError, Caller, PageParams, Params};
use crate::accounts::{AuditEntry, AuditFilter, Scope};

/// Part of the audit trail.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditList {
    /// Newest first.
    pub entries: Vec<AuditEntry>,
    /// What to send as `after` for those that follow.
    pub next: Option<String>,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Read the audit trail
///
/// The last 10 000 changes, none older than 90 days, each stored together with its change; clients that were sent
/// away too, one entry for a request. Making, exchanging and refreshing tokens and logging in are no entries. An
/// operator who names no organization reads which organizations came, changed and went.
#[utoipa::path(get, path = "/v2/audit", tag = "Audit", security(("bearer" = [])), params(PageParams, AuditFilter),
    responses((status = 200, description = "A page of it, newest first", body = AuditList)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(page): Params<PageParams>,
    Params(wanted): Params<AuditFilter>,
) -> Result<Json<AuditList>, ApiError> {
    let org = match caller.org() {
        Err(_unnamed) if caller.require_operator().is_ok() => None,
        Ok(_) | Err(_) => Some(caller.require(Scope::AuditRead)?),
    };
    let _turn = match org {
        Some(org) => Some(api.reading(org).await?),
        None => None,
    };
    let page = api.0.directory.audit(org, &wanted, &page.page()?).await?;
    Ok(Json(AuditList {
        entries: page.entries,
        next: page.next,
    }))
}

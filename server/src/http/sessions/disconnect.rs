//! Sending clients away: DISCONNECT 0x98, administrative action.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use utoipa::{IntoParams, ToSchema};

use cloudsignal_broker::OrgId;
use cloudsignal_core::codec::ReasonCode;

use super::find::{Filter, Place, find};
use crate::accounts::{CommandError, Scope, SentAway};
use crate::http::page::InPath;
use crate::http::{Api, ApiError, Caller, Params, Payload};
use crate::orgs::cell::{Handover, OrgCell};

/// Client ids in one request, and clients that one request with a filter sends away; the rest waits for the next.
const DISCONNECTS_MAX: usize = 1_000;
/// Clients that are sent away in one hold: each may have a will to publish.
const HOLD_DISCONNECTS_MAX: usize = 64;
/// What clients are told.
const REASON: ReasonCode = ReasonCode::AdministrativeAction;

/// Whether the session stays for its client to come back to.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ForgetParams {
    /// Ends the session too: its subscriptions and what waits for it are gone.
    #[serde(default)]
    forget: bool,
}

/// What became of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct Disconnected {
    /// Whether it had a connection, which is closed now.
    disconnected: bool,
    /// Whether the session has ended.
    forgotten: bool,
}

/// Disconnect a client
///
/// It is told 0x98, administrative action. The answer comes when that is stored, if there is anything to store.
#[utoipa::path(delete, path = "/v2/sessions/{client_id}", tag = "Sessions",
    params(("client_id" = String, Path, description = "The client's id"), ForgetParams),
    security(("bearer" = [])),
    responses((status = 200, description = "What became of it", body = Disconnected)))]
pub(in crate::http) async fn one(
    State(api): State<Api>,
    caller: Caller,
    InPath(client_id): InPath,
    Params(ForgetParams { forget }): Params<ForgetParams>,
) -> Result<Json<Disconnected>, ApiError> {
    let org = caller.require(Scope::SessionsWrite)?;
    let gone = || ApiError::not_found("session");
    let cell = api.0.orgs.find(org).ok_or_else(gone)?;
    let wanted = Wanted {
        one: Some(client_id.clone()),
        chosen_by: Vec::new(),
        client_ids: vec![client_id],
        forget,
    };
    let (_, done) = send_away(&api, &caller, org, cell, wanted).await?;
    done.into_iter().next().flatten().map(Json).ok_or_else(gone)
}

pub(in crate::http) async fn one_called_disconnect(
    api: State<Api>,
    caller: Caller,
    params: Params<ForgetParams>,
) -> Result<Json<Disconnected>, ApiError> {
    one(api, caller, InPath("disconnect".into()), params).await
}

/// Body of `POST /v2/sessions/disconnect`: a list of client ids, or what the sessions have in common.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DisconnectRequest {
    /// These clients; at most 1000.
    client_ids: Option<Vec<String>>,
    /// All clients of this user, without `@organization`.
    username: Option<String>,
    /// All clients with this in their client id or user name.
    search: Option<String>,
    /// All clients.
    #[serde(default)]
    all: bool,
    /// Ends the sessions too.
    #[serde(default)]
    forget: bool,
    /// Goes on where the answer before has stopped: its `next`.
    after: Option<String>,
}

/// What became of many sessions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct DisconnectedMany {
    /// How many connections were closed.
    disconnected: usize,
    /// How many sessions were ended.
    forgotten: usize,
    /// Client ids of the list that have no session.
    not_found: Vec<String>,
    /// More may match: send it as `after` to go on. Null at the end.
    next: Option<String>,
}

/// Disconnect many clients
///
/// Up to a thousand by one request; `next` says whether there may be more.
#[utoipa::path(post, path = "/v2/sessions/disconnect", tag = "Sessions", request_body = DisconnectRequest,
    security(("bearer" = [])),
    responses((status = 200, description = "What became of them", body = DisconnectedMany)))]
pub(in crate::http) async fn many(
    State(api): State<Api>,
    caller: Caller,
    Payload(request): Payload<DisconnectRequest>,
) -> Result<Json<DisconnectedMany>, ApiError> {
    let org = caller.require(Scope::SessionsWrite)?;
    let forget = request.forget;
    let target = Target::of(request)?;
    let chosen_by = target.chosen_by();
    let Some(cell) = api.0.orgs.find(org) else {
        let not_found = match target {
            Target::Listed(client_ids) => client_ids,
            Target::Found(..) => Vec::new(),
        };
        return Ok(Json(DisconnectedMany::of(&[], not_found, None)));
    };
    let (client_ids, next, is_listed) = match target {
        Target::Listed(client_ids) => (client_ids, None, true),
        Target::Found(mut filter, from) => {
            // Sessions without a connection matter only to whoever ends them.
            filter.connected = (!forget).then_some(true);
            let _turn = api.reading(org).await?;
            let found = find(&cell, &filter, from, DISCONNECTS_MAX, |view, _| {
                view.client_id.to_owned()
            })
            .await;
            (found.found, found.next.map(Place::text), false)
        }
    };
    let wanted = Wanted {
        one: None,
        client_ids,
        chosen_by,
        forget,
    };
    let (client_ids, done) = send_away(&api, &caller, org, cell, wanted).await?;
    let missing = client_ids.into_iter().zip(&done);
    let missing = missing.filter(|(_, done)| is_listed && done.is_none());
    let not_found = missing.map(|(client_id, _)| client_id).collect();
    Ok(Json(DisconnectedMany::of(&done, not_found, next)))
}

/// Whom a request is about.
enum Target {
    Listed(Vec<String>),
    Found(Filter, Place),
}

impl Target {
    fn of(request: DisconnectRequest) -> Result<Self, ApiError> {
        let DisconnectRequest {
            client_ids,
            username,
            search,
            all,
            forget: _,
            after,
        } = request;
        let from = after.as_deref().map(Place::parse).transpose()?;
        match (client_ids, username, search, all) {
            (Some(client_ids), None, None, false) if client_ids.len() <= DISCONNECTS_MAX => {
                Ok(Self::Listed(client_ids))
            }
            (Some(_), None, None, false) => {
                let text = format!("client_ids holds more than {DISCONNECTS_MAX}");
                Err(ApiError::invalid_value(text))
            }
            (None, None, None, true) => Ok(Self::Found(Filter::default(), from.unwrap_or_default())),
            (None, username, search, false) if username.is_some() || search.is_some() => {
                let filter = Filter {
                    username,
                    search,
                    ..Filter::default()
                };
                Ok(Self::Found(filter, from.unwrap_or_default()))
            }
            _ => Err(ApiError::invalid_value(
                "say whom: client_ids, or username and search, or all",
            )),
        }
    }

    /// What the audit trail says about it.
    fn chosen_by(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::Listed(client_ids) => vec![("client_ids", json!(client_ids.len()))],
            Self::Found(filter, _) => {
                let chosen = [("username", &filter.username), ("search", &filter.search)];
                let chosen: Vec<_> = chosen
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, json!(value.as_ref()?))))
                    .collect();
                if chosen.is_empty() {
                    vec![("all", json!(true))]
                } else {
                    chosen
                }
            }
        }
    }
}

impl DisconnectedMany {
    fn of(done: &[Option<Disconnected>], not_found: Vec<String>, next: Option<String>) -> Self {
        let count = |wanted: fn(&Disconnected) -> bool| done.iter().flatten().filter(|it| wanted(it)).count();
        Self {
            disconnected: count(|it| it.disconnected),
            forgotten: count(|it| it.forgotten),
            not_found,
            next,
        }
    }
}

/// Clients to be sent away.
struct Wanted {
    client_ids: Vec<String>,
    /// The one whom the request is about, for the audit trail.
    one: Option<String>,
    /// How they were chosen otherwise.
    chosen_by: Vec<(&'static str, Value)>,
    forget: bool,
}

/// What became of each client, `None` where there is no session.
type Done = Vec<Option<Disconnected>>;

/// Closes connections, keeps an entry of it, and answers the client ids and what became of them when that is
/// stored. It goes on to its end, and is in the trail, even if nobody waits for the answer any more.
async fn send_away(
    api: &Api,
    caller: &Caller,
    org: &OrgId,
    cell: Arc<OrgCell>,
    wanted: Wanted,
) -> Result<(Vec<String>, Done), ApiError> {
    let Wanted {
        client_ids,
        one,
        chosen_by,
        forget,
    } = wanted;
    let (api, actor, org) = (api.clone(), caller.actor(), org.clone());
    let sending = tokio::spawn(async move {
        let mut done = Vec::new();
        let stored = close(&api, &cell, &client_ids, forget, &mut done).await;
        let DisconnectedMany {
            disconnected,
            forgotten,
            ..
        } = DisconnectedMany::of(&done, Vec::new(), None);
        let sent = SentAway {
            client_id: one,
            chosen_by,
            forget,
            disconnected,
            forgotten,
        };
        api.0.directory.note_sent_away(actor, &org, sent).await;
        stored.map(|()| (client_ids, done)).map_err(ApiError::from)
    });
    let panicked = |_| ApiError::internal("clients could not be sent away");
    sending.await.map_err(panicked)?
}

/// Closes connections in several holds; comes back when what that changed is stored.
async fn close(
    api: &Api,
    cell: &Arc<OrgCell>,
    client_ids: &[String],
    forget: bool,
    done: &mut Done,
) -> Result<(), CommandError> {
    let mut last: Option<oneshot::Receiver<()>> = None;
    for group in client_ids.chunks(HOLD_DISCONNECTS_MAX) {
        let now = api.0.clock.now();
        let turn = cell.hold(now, None, |org, effects| {
            for client_id in group {
                let is_there = org.session(client_id).is_some();
                let had_connection = org.session(client_id).is_some_and(|view| view.connected);
                if forget {
                    org.handle_forget(client_id, REASON, now, effects);
                } else {
                    org.handle_kick(client_id, REASON, now, effects);
                }
                done.push(is_there.then(|| Disconnected {
                    disconnected: had_connection,
                    forgotten: org.session(client_id).is_none(),
                }));
            }
            let waits = org.unsealed().map(|ticket| effects.stored(ticket));
            (waits, Handover::Fair)
        });
        last = turn.ok_or(CommandError::Storage)?.or(last);
        tokio::task::yield_now().await;
    }
    match last {
        None => Ok(()),
        Some(last) => last.await.map_err(|_never| CommandError::Storage),
    }
}

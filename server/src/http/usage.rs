//! What an organization uses, and what it may use.
#![allow(
    unused_qualifications,
    reason = "what utoipa makes of parameters is written with full paths"
)]

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use cloudsignal_broker::Quota;
use cloudsignal_broker::counters::Counters;

use super::{Api, ApiError, Caller, Params, Payload};
use crate::accounts::quotas::{self, QuotaName};
use crate::accounts::{Command, CommandError, Plan, QuotaSettings, Scope};
use crate::usage::calendar::Day;
use crate::usage::tally::Tally;
use crate::usage::{Granularity, STRETCHES_MAX};

/// Days before today that are shown if nobody says otherwise.
const DAYS_DEFAULT: u16 = 29;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(usage))
        .routes(routes!(get_quotas, put_quotas))
}

/// Which usage.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UsageParams {
    /// The first day, in UTC: `2026-11-01`. 29 days before `to` if absent.
    #[param(format = Date)]
    from: Option<String>,
    /// The last day, in UTC. Today if absent.
    #[param(format = Date)]
    to: Option<String>,
    /// What is added up: `day` or `month`.
    #[serde(default)]
    by: Granularity,
}

/// What an organization used.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct UsageReport {
    organization_id: String,
    /// The first day.
    from: String,
    /// The last day.
    to: String,
    by: Granularity,
    /// One entry for each day or month with any use, in their order.
    items: Vec<UsageItem>,
    /// All of them together.
    total: Tally,
}

/// A day or a month.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct UsageItem {
    /// The day, `2026-11-23`, or the month, `2026-11`, in UTC.
    period: String,
    #[serde(flatten)]
    used: Tally,
}

/// Show usage
///
/// Messages and bytes by direction, connects, drops by reason, quotas that were exceeded and API calls, by day or by
/// month, up to this moment. Days are kept for 400 days, months for good.
#[utoipa::path(get, path = "/v2/usage", tag = "Usage", params(UsageParams), security(("bearer" = [])),
    responses((status = 200, description = "What was used", body = UsageReport)))]
pub(super) async fn usage(
    State(api): State<Api>,
    caller: Caller,
    Params(params): Params<UsageParams>,
) -> Result<Json<UsageReport>, ApiError> {
    let org = caller.require(Scope::UsageRead)?;
    let (from, to) = range(&params, Day::of(api.0.clock.wall()))?;
    let orgs = &api.0.orgs;
    let _turn = api.reading(org).await?;
    let found = orgs.usage().range(orgs, org, (from, to), params.by).await;
    let found = found.map_err(|error| {
        tracing::error!(%error, "usage cannot be read");
        ApiError::from(CommandError::Storage)
    })?;
    let mut total = Tally::default();
    for used in found.values() {
        total.add(used);
    }
    let items = found.into_iter().map(|(period, used)| UsageItem { period, used });
    Ok(Json(UsageReport {
        organization_id: org.to_string(),
        from: from.to_string(),
        to: to.to_string(),
        by: params.by,
        items: items.collect(),
        total,
    }))
}

fn range(params: &UsageParams, today: Day) -> Result<(Day, Day), ApiError> {
    let day = |text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => Day::parse(text)
            .map(Some)
            .ok_or_else(|| ApiError::invalid_request("from and to are days such as 2026-11-23")),
    };
    let to = day(&params.to)?.unwrap_or(today);
    let from = day(&params.from)?.unwrap_or_else(|| to.before(DAYS_DEFAULT));
    if from > to {
        return Err(ApiError::invalid_value("from must not come after to"));
    }
    let days_max = i64::try_from(STRETCHES_MAX).unwrap_or(i64::MAX);
    if params.by == Granularity::Day && to.days_since(from) >= days_max {
        let text = format!("ask for at most {STRETCHES_MAX} days, or by=month");
        return Err(ApiError::invalid_value(text));
    }
    Ok((from, to))
}

/// What an organization may use.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct QuotaReport {
    organization_id: String,
    plan: Plan,
    /// What an operator has set beside the plan, by the name of the quota.
    overrides: BTreeMap<String, u64>,
    /// The running month, in UTC: `2026-11`.
    month: String,
    /// Every quota.
    quotas: Vec<QuotaView>,
}

/// One quota.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct QuotaView {
    /// Its name.
    name: &'static str,
    /// What is counted.
    unit: &'static str,
    /// How much there may be; null for no limit.
    limit: Option<u64>,
    /// How much there is now; null for what is counted by the second or for each client.
    used: Option<u64>,
    /// How often it was exceeded in the running month.
    exceeded: u64,
    /// Where the limit comes from.
    source: QuotaSource,
}

/// Where a limit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum QuotaSource {
    /// The server's own limits.
    Server,
    /// The plan.
    Plan,
    /// An operator set it.
    Override,
}

/// Show the quotas
///
/// The plan, what an operator has set beside it, and of each quota what holds, what is used now and how often it was
/// exceeded this month.
#[utoipa::path(get, path = "/v2/quotas", tag = "Usage", security(("bearer" = [])),
    responses((status = 200, description = "What may be used", body = QuotaReport)))]
pub(super) async fn get_quotas(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<QuotaReport>, ApiError> {
    let org = caller.require(Scope::UsageRead)?;
    Ok(Json(report(&api, org)))
}

/// Body of `PUT /v2/quotas`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QuotaRequest {
    /// The plan.
    plan: Plan,
    /// What holds instead of the plan and of the server's own limits, by the name of the quota.
    #[serde(default)]
    overrides: BTreeMap<String, u64>,
}

/// Set the quotas
///
/// Replaces the plan and everything beside it; in force at once, also for clients that are connected. Lowering a quota
/// takes nothing away: nothing more is let in. For the operator only.
#[utoipa::path(put, path = "/v2/quotas", tag = "Usage", request_body = QuotaRequest, security(("bearer" = [])),
    responses((status = 200, description = "What may be used from now on", body = QuotaReport)))]
pub(super) async fn put_quotas(
    State(api): State<Api>,
    caller: Caller,
    Payload(request): Payload<QuotaRequest>,
) -> Result<Json<QuotaReport>, ApiError> {
    caller.require_operator()?;
    let org = caller.org()?;
    let command = Command::QuotaSet {
        org: org.to_string(),
        plan: Some(request.plan),
        overrides: Some(request.overrides),
    };
    api.execute(&caller, command).await?;
    Ok(Json(report(&api, org)))
}

fn report(api: &Api, org: &cloudsignal_broker::OrgId) -> QuotaReport {
    let orgs = &api.0.orgs;
    let settings = api.0.directory.quotas(org).unwrap_or_default();
    let (month, used) = orgs.usage().this_month(orgs, org);
    let cell = orgs.find(org);
    let counters = cell.map_or_else(Counters::default, |cell| cell.read(|org| org.counters().clone()));
    let allowance = orgs.allowance(org);
    let shown = quotas::QUOTAS.iter().map(|quota| QuotaView {
        name: quota.name,
        unit: quota.unit,
        limit: quota.limit(&allowance),
        used: used_now(quota, &counters, &used),
        exceeded: used.exceeded.get(quota.name).copied().unwrap_or(0),
        source: source(quota, &settings, &allowance, orgs.server_allowance()),
    });
    QuotaReport {
        organization_id: org.to_string(),
        plan: settings.plan,
        overrides: settings.overrides.clone(),
        month: month.to_string(),
        quotas: shown.collect(),
    }
}

fn source(
    quota: &QuotaName,
    settings: &QuotaSettings,
    allowance: &quotas::Allowance,
    server: &quotas::Allowance,
) -> QuotaSource {
    if settings.overrides.contains_key(quota.name) {
        QuotaSource::Override
    } else if quota.limit(allowance) == quota.limit(server) {
        QuotaSource::Server
    } else {
        QuotaSource::Plan
    }
}

/// What there is now of what a quota bounds.
fn used_now(quota: &QuotaName, counters: &Counters, month: &Tally) -> Option<u64> {
    let named = Quota::ALL.into_iter().find(|it| it.name() == quota.name)?;
    match named {
        Quota::Connections => Some(counters.connections_now),
        Quota::Sessions => Some(counters.sessions_now),
        Quota::AllSubscriptions => Some(counters.subscriptions_now),
        Quota::WildcardSubscriptions => Some(counters.wildcard_subscriptions_now),
        Quota::MonthMessages => Some(month.inward.messages),
        Quota::RetainedMessages => Some(counters.retained_messages_now),
        Quota::RetainedBytes => Some(counters.retained_bytes_now),
        Quota::AllQueueBytes => Some(counters.queue_bytes_now + counters.inflight_bytes_now),
        Quota::Connects
        | Quota::SessionSubscriptions
        | Quota::PublishMessages
        | Quota::PublishBytes
        | Quota::RefusedPublishes
        | Quota::PayloadBytes
        | Quota::PacketBytes
        | Quota::FanOut
        | Quota::DeliverMessages
        | Quota::DeliverBytes => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_bounded_and_runs_forward() {
        let today = Day::parse("2026-11-23").unwrap();
        let range = |from: Option<&str>, to: Option<&str>, by| {
            let params = UsageParams {
                from: from.map(str::to_owned),
                to: to.map(str::to_owned),
                by,
            };
            range(&params, today).map(|(from, to)| (from.to_string(), to.to_string()))
        };
        let whole = ("2026-10-25".to_owned(), "2026-11-23".to_owned());
        assert_eq!(range(None, None, Granularity::Day), Ok(whole));
        assert!(range(Some("2026-11-24"), None, Granularity::Day).is_err());
        assert!(range(Some("yesterday"), None, Granularity::Day).is_err());
        assert!(range(Some("2020-01-01"), None, Granularity::Day).is_err());
        assert!(range(Some("2020-01-01"), None, Granularity::Month).is_ok());
    }
}

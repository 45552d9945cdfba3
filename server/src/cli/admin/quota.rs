//! `cloudsignal quota` and `cloudsignal usage`: what an organization may use, and what it has used.

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::request::{Call, call_at, way};
use super::table::{columns, pairs};
use super::uri::asking;
use super::{AdminArgs, OrgChoice, org_of};
use crate::accounts::Plan;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Output;

/// What was typed after `cloudsignal quota`.
#[derive(Args, Clone, Debug)]
#[command(after_help = QUOTA_EXAMPLES)]
pub struct QuotaArgs {
    /// What to do
    #[command(subcommand)]
    pub action: QuotaAction,

    /// The organization
    #[command(flatten)]
    pub org: OrgChoice,

    /// The broker
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// What can be done with quotas.
#[derive(Clone, Debug, Subcommand)]
pub enum QuotaAction {
    /// Show the plan, and of each quota what holds and what is used
    Show,
    /// Set the plan, or single quotas beside it; in force at once
    Set {
        /// free, pro, business or unlimited
        #[arg(long, value_parser = plan)]
        plan: Option<Plan>,

        /// A quota and its value; `NAME=` takes it back to the plan
        #[arg(value_name = "NAME=VALUE", value_parser = setting)]
        quotas: Vec<(String, Option<u64>)>,
    },
}

/// What was typed after `cloudsignal usage`.
#[derive(Args, Clone, Debug)]
#[command(after_help = USAGE_EXAMPLES)]
pub struct UsageArgs {
    /// The first day, in UTC; 29 days before the last one if absent
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub from: Option<String>,

    /// The last day, in UTC; today if absent
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub to: Option<String>,

    /// What is added up: day or month
    #[arg(long, default_value = "day", value_parser = ["day", "month"])]
    pub by: String,

    /// The organization
    #[command(flatten)]
    pub org: OrgChoice,

    /// The broker
    #[command(flatten)]
    pub admin: AdminArgs,
}

const QUOTA_EXAMPLES: &str = "\
Examples:
  cloudsignal quota show
  cloudsignal quota set --plan pro
  cloudsignal quota set connections_max=250 publish_messages_per_month=5000000
  cloudsignal quota set connections_max=
  cloudsignal quota show --json | jq '.quotas[] | select(.exceeded > 0)'";

const USAGE_EXAMPLES: &str = "\
Examples:
  cloudsignal usage
  cloudsignal usage --from 2026-01-01 --to 2026-12-31 --by month
  cloudsignal usage --json | jq .total";

fn plan(text: &str) -> Result<Plan, String> {
    let found = Plan::ALL.into_iter().find(|plan| plan.name() == text);
    found.ok_or_else(|| format!("there are {}", Plan::ALL.map(Plan::name).join(", ")))
}

fn setting(text: &str) -> Result<(String, Option<u64>), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "write NAME=VALUE".to_owned())?;
    if value.is_empty() {
        return Ok((name.to_owned(), None));
    }
    let value = value
        .parse()
        .map_err(|_| "the value must be a whole number".to_owned())?;
    Ok((name.to_owned(), Some(value)))
}

/// `cloudsignal quota`
pub(in crate::cli) async fn quota(args: QuotaArgs) -> Result<(), Failure> {
    let QuotaArgs { action, org, admin } = args;
    let (way, path) = (way(&admin)?, "/v2/quotas");
    let org = Some(org_of(&way, &org).await?);
    let show_it = Call {
        org: org.clone(),
        ..Call::get(path.to_owned())
    };
    let mut report: Value = call_at(&way.access(), &show_it).await?;
    if let QuotaAction::Set { plan, quotas } = action {
        if plan.is_none() && quotas.is_empty() {
            return Err(Failure::because(
                Exit::Usage,
                "nothing is to be set: name a plan or a quota",
            ));
        }
        let wanted = changed(&report, plan, quotas)?;
        let set = Call {
            org,
            ..Call::new(Method::PUT, path.to_owned(), wanted)
        };
        report = call_at(&way.access(), &set).await?;
    }
    show(&admin, &report, quota_text)
}

/// `cloudsignal usage`
pub(in crate::cli) async fn usage(args: UsageArgs) -> Result<(), Failure> {
    let way = way(&args.admin)?;
    let parameters = [
        ("by", Some(&*args.by)),
        ("from", args.from.as_deref()),
        ("to", args.to.as_deref()),
    ];
    let call = Call {
        org: Some(org_of(&way, &args.org).await?),
        ..Call::get(asking("/v2/usage", &parameters))
    };
    let report: Value = call_at(&way.access(), &call).await?;
    show(&args.admin, &report, usage_text)
}

/// The quotas as they are to be.
fn changed(report: &Value, plan: Option<Plan>, quotas: Vec<(String, Option<u64>)>) -> Result<Value, Failure> {
    let overrides = serde_json::from_value(report["overrides"].clone());
    let mut overrides: BTreeMap<String, u64> = overrides.context("the broker's answer is not understood")?;
    for (name, value) in quotas {
        match value {
            Some(value) => overrides.insert(name, value),
            None => overrides.remove(&name),
        };
    }
    let plan = plan.map_or_else(|| report["plan"].clone(), |plan| json!(plan));
    Ok(json!({ "plan": plan, "overrides": overrides }))
}

fn show(admin: &AdminArgs, report: &Value, text: fn(&Value) -> String) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if admin.json {
        let json = serde_json::to_vec_pretty(report).context("the answer does not fit into JSON")?;
        output.line(&json)?;
    } else {
        output.write(text(report).as_bytes())?;
    }
    output.flush()
}

/// A value for people: numbers and words as they are, a dash for nothing.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(
        || {
            if value.is_null() {
                "-".to_owned()
            } else {
                value.to_string()
            }
        },
        str::to_owned,
    )
}

fn quota_text(report: &Value) -> String {
    let head = pairs(&[
        ("organization", plain(&report["organization_id"])),
        ("plan", plain(&report["plan"])),
        ("month", plain(&report["month"])),
    ]);
    let rows = report["quotas"].as_array().into_iter().flatten();
    let rows: Vec<_> = rows
        .map(|quota| {
            let limit = &quota["limit"];
            let limit = if limit.is_null() {
                "no limit".to_owned()
            } else {
                plain(limit)
            };
            let [name, unit, source] = ["name", "unit", "source"].map(|field| plain(&quota[field]));
            vec![
                name,
                limit,
                plain(&quota["used"]),
                plain(&quota["exceeded"]),
                source,
                unit,
            ]
        })
        .collect();
    let headline = ["quota", "limit", "used", "exceeded", "from", "unit"];
    format!("{head}\n{}", columns(&headline, &rows))
}

fn usage_text(report: &Value) -> String {
    let row = |period: String, used: &Value| {
        let sum = |field: &str| {
            let counts = used[field].as_object().into_iter().flatten();
            counts
                .filter_map(|(_, count)| count.as_u64())
                .sum::<u64>()
                .to_string()
        };
        vec![
            period,
            plain(&used["in"]["messages"]),
            plain(&used["in"]["bytes"]),
            plain(&used["out"]["messages"]),
            plain(&used["out"]["bytes"]),
            plain(&used["connects"]),
            plain(&used["connections_peak"]),
            plain(&used["api_calls"]),
            sum("dropped"),
            sum("exceeded"),
        ]
    };
    let items = report["items"].as_array().into_iter().flatten();
    let mut rows: Vec<_> = items.map(|item| row(plain(&item["period"]), item)).collect();
    rows.push(row("total".to_owned(), &report["total"]));
    let headline = [
        "period",
        "in",
        "bytes in",
        "out",
        "bytes out",
        "connects",
        "peak",
        "calls",
        "dropped",
        "exceeded",
    ];
    columns(&headline, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_name_and_a_number_or_nothing() {
        assert_eq!(setting("a=5"), Ok(("a".to_owned(), Some(5))));
        assert_eq!(setting("a="), Ok(("a".to_owned(), None)));
        assert!(setting("a").is_err());
        assert!(setting("a=-1").is_err());
        assert_eq!(plan("pro"), Ok(Plan::Pro));
        assert!(plan("gold").is_err());
    }

    #[test]
    fn what_is_not_named_stays() {
        let report = json!({ "plan": "free", "overrides": { "a": 1, "b": 2 } });
        let wanted = changed(&report, None, vec![("a".into(), None), ("c".into(), Some(3))]).unwrap();
        assert_eq!(wanted, json!({ "plan": "free", "overrides": { "b": 2, "c": 3 } }));
        let wanted = changed(&report, Some(Plan::Business), Vec::new()).unwrap();
        assert_eq!(wanted["plan"], "business");
        assert_eq!(wanted["overrides"], report["overrides"]);
    }

    #[test]
    fn tables_line_up() {
        let used = json!({
            "period": "2026-11-23", "in": { "messages": 3, "bytes": 30 },
            "out": { "messages": 4, "bytes": 40 }, "connects": 2, "connections_peak": 1,
            "api_calls": 5, "dropped": { "queue_full": 1, "expired": 2 }, "exceeded": {}
        });
        let text = usage_text(&json!({ "items": [used], "total": used }));
        let lines: Vec<_> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .collect();
        assert_eq!(
            lines[1],
            ["2026-11-23", "3", "30", "4", "40", "2", "1", "5", "3", "0"]
        );
        assert_eq!(lines[2][0], "total");
        let quota = json!({ "name": "a", "unit": "things", "limit": null, "used": 5, "exceeded": 0, "source": "plan" });
        let text = quota_text(&json!({ "plan": "pro", "quotas": [quota] }));
        assert!(
            text.contains("a      no limit  5     0         plan  things"),
            "{text}"
        );
    }
}

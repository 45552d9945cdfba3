//! `cloudsignal audit`: who changed what.

use clap::Args;

use super::request::{Call, call_api};
use super::table::columns;
use super::uri::asking;
use super::{AdminArgs, OrgChoice};
use crate::accounts::AuditEntry;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::http::audit::AuditList;

/// What was typed after `cloudsignal audit`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct AuditArgs {
    /// Only of this actor: operator, key:ID or member:EMAIL
    #[arg(long, value_name = "ACTOR")]
    pub actor: Option<String>,

    /// Only this action: user_created
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,

    /// Only about this kind of thing: user
    #[arg(long, value_name = "ENTITY")]
    pub entity: Option<String>,

    /// Only from this time on: 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,

    /// Begin after this entry
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,

    /// At most so many entries
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub limit: u32,

    /// The organization
    #[command(flatten)]
    pub org: OrgChoice,

    /// The broker
    #[command(flatten)]
    pub admin: AdminArgs,
}

const EXAMPLES: &str = "\
Examples:
  cloudsignal audit --org org_k7xm4pqr2n5t
  cloudsignal audit --action user_deleted --since 2026-11-01T00:00:00Z --json
Without --org, the operator sees which organizations came and went.";

/// Asks the broker, and prints the answer.
pub(in crate::cli) async fn run(args: AuditArgs) -> Result<(), Failure> {
    let call = Call {
        org: args.org.named()?,
        ..Call::get(args.path())
    };
    let list: AuditList = call_api(&args.admin, &call).await?;
    let mut output = Output::stdout();
    if args.admin.json {
        let json = serde_json::to_vec_pretty(&list).map_err(anyhow::Error::from)?;
        output.line(&json)?;
    } else {
        let rows: Vec<_> = list.entries.iter().map(row).collect();
        output.write(columns(&["time", "actor", "action", "what", "details"], &rows).as_bytes())?;
        if let Some(next) = &list.next {
            output.line(format!("There are more: add --after {next}").as_bytes())?;
        }
    }
    output.flush()
}

impl AuditArgs {
    fn path(&self) -> String {
        asking(
            "/v2/audit",
            &[
                ("actor", self.actor.as_deref()),
                ("action", self.action.as_deref()),
                ("entity", self.entity.as_deref()),
                ("since", self.since.as_deref()),
                ("after", self.after.as_deref()),
                ("limit", Some(&self.limit.to_string())),
            ],
        )
    }
}

fn row(entry: &AuditEntry) -> Vec<String> {
    let details = entry
        .details
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    vec![
        entry.at.to_string(),
        entry.actor.clone(),
        entry.action.clone(),
        format!("{} {}", entry.entity, entry.entity_id),
        details.collect::<Vec<_>>().join(" "),
    ]
}

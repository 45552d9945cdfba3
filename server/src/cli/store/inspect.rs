//! `cloudsignal store inspect`: what is stored, counted.

use anyhow::Context as _;
use serde_json::json;

use super::{StoreArgs, open};
use crate::cli::admin::table::{columns, pairs};
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::durable::survey::{Holdings, survey};
use crate::first_run::folder::store_in;
use crate::store::loss::lists;
use crate::store::stopped::Stopped;

pub(super) fn run(args: &StoreArgs) -> Result<(), Failure> {
    let store = open(&args.data_dir)?;
    let view = store.view()?;
    let orgs = survey(&*view, args.org.as_deref())?;
    let disk_bytes = store
        .disk_bytes()
        .context("the size of the store cannot be read")?;
    let lists = lists(&store_in(&args.data_dir)).context("the list of damaged files cannot be read")?;
    let damaged_files: usize = lists.iter().map(|(_, losses)| losses.len()).sum();
    let quarantined: u64 = orgs.values().map(|org| org.quarantined).sum();
    let mut output = Output::stdout();
    if args.json {
        let list: Vec<_> = orgs.iter().map(|(id, holdings)| of_org(id, holdings)).collect();
        let json = json!({
            "format": Stopped::format(),
            "disk_bytes": disk_bytes,
            "organizations": list,
            "quarantined": quarantined,
            "damaged_files": damaged_files,
        });
        let json = serde_json::to_vec_pretty(&json).context("the counts do not fit into JSON")?;
        output.line(&json)?;
        return output.flush();
    }
    let head = [
        ("format", Stopped::format().to_string()),
        ("on disk", format!("{disk_bytes} bytes")),
        (
            "quarantined",
            format!("{quarantined} entries, {damaged_files} damaged files"),
        ),
    ];
    let rows: Vec<_> = orgs.iter().map(|(id, holdings)| row(id, holdings)).collect();
    output.write(pairs(&head).as_bytes())?;
    output.line(b"")?;
    output.write(columns(&HEADLINE, &rows).as_bytes())?;
    if quarantined > 0 || damaged_files > 0 {
        output.line(b"\nTo see what was put aside: cloudsignal store inspect quarantine")?;
    }
    output.flush()
}

const HEADLINE: [&str; 9] = [
    "organization",
    "sessions",
    "subscriptions",
    "queued",
    "shared",
    "retained",
    "accounts",
    "quarantined",
    "bytes",
];

fn row(id: &str, holdings: &Holdings) -> Vec<String> {
    let Holdings {
        sessions,
        subscriptions,
        deliveries,
        messages,
        retained,
        quarantined,
        accounts,
        bytes,
    } = holdings;
    let counts = [
        sessions,
        subscriptions,
        deliveries,
        messages,
        retained,
        accounts,
        quarantined,
        bytes,
    ];
    let counts = counts.map(u64::to_string);
    [id.to_owned()].into_iter().chain(counts).collect()
}

fn of_org(id: &str, holdings: &Holdings) -> serde_json::Value {
    let mut json = json!(holdings);
    json["id"] = json!(id);
    json
}

//! Rows of browser clients: a page of its own for each run, in one Chromium.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use cloudsignal_tests::feeder::Feeder;
use cloudsignal_tests::{package, programs};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::Plan;
use crate::table::{Better, Table};

const CLIENTS: [&str; 3] = ["cloudsignal", "mqttjs", "paho"];

/// Name, what the page does, QoS, messages in a frame of the feeder or in flight, and how many messages.
const ROWS: [(&str, &str, u8, usize, usize); 6] = [
    ("receive QoS 0, 64 in a frame", "receive", 0, 64, 200_000),
    ("receive QoS 0, one in a frame", "receive", 0, 1, 60_000),
    ("receive QoS 1, 16 in a frame", "receive", 1, 16, 60_000),
    ("publish QoS 0", "publish", 0, 0, 100_000),
    ("publish QoS 1, 100 in flight", "publish", 1, 100, 60_000),
    ("publish QoS 1, one in flight", "publish", 1, 1, 5_000),
];

/// One line of the script.
#[derive(Debug, Deserialize)]
struct Run {
    client: String,
    row: String,
    millis: f64,
    count: usize,
    error: Option<String>,
}

/// Every row, every client in turn.
pub(crate) async fn run(plan: Plan) -> Result<()> {
    let feeder = Feeder::start().await?;
    let project = package::project(&[], &[]);
    let folder = programs::tests_folder().join("peers/js");
    let wanted = ROWS.iter().filter(|(name, ..)| plan.has(name));
    let rows: Vec<_> = wanted
        .map(|(name, what, qos, width, usual)| {
            let count = plan.messages(*usual);
            json!({ "name": name, "what": what, "qos": qos, "width": width, "count": count })
        })
        .collect();
    let job = json!({
        "url": format!("ws://127.0.0.1:{}", feeder.ws.port()),
        "package": project.path().join("node_modules/@cloudsignal/client/dist"),
        "chromium": Path::new(programs::installed("chromium").get_program()),
        "home": project.path().join("home"),
        "clients": CLIENTS,
        "rows": rows,
        "runs": plan.runs,
    });
    let mut node = Command::from(programs::node());
    node.arg(folder.join("run.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = node.spawn()?;
    let mut stdin = child.stdin.take().context("it is piped")?;
    stdin.write_all(job.to_string().as_bytes()).await?;
    drop(stdin);
    let mut lines = BufReader::new(child.stdout.take().context("it is piped")?).lines();
    let (mut rates, mut runs) = (Table::default(), 0);
    while let Some(line) = lines.next_line().await? {
        let run: Run = serde_json::from_str(&line)?;
        ensure!(run.error.is_none(), "{run:?}");
        rates.add(&run.row, &run.client, run.count as f64 * 1e3 / run.millis);
        runs += 1;
    }
    ensure!(
        runs == plan.runs * rows.len() * CLIENTS.len(),
        "{runs} runs have come to their end"
    );
    println!("Chromium, best of {} runs, and the middle one:\n", plan.runs);
    println!("{}", rates.render("messages/s", Better::More));
    Ok(())
}

//! How fast our clients are, beside others, in one run on one machine against one far end
//! ([`feeder`](cloudsignal_tests::feeder)), which is faster than any of them.
//!
//! ```text
//! cargo run --release -p cloudsignal-tests --bin peers -- rust      # our Rust SDK and rumqttc
//! cargo run --release -p cloudsignal-tests --bin peers -- browser   # our package, MQTT.js and Paho in Chromium
//! ```
//!
//! Each client of a row has a process, or a page, of its own; runs of all clients take turns, and the table shows the
//! best, and the middle one, of each. A rate counts from the first call until the far end has everything (publishing at
//! QoS 0), everything is acknowledged (QoS 1), or the application has everything (receiving).
//!
//! | file | holds |
//! |---|---|
//! | [`rust`] | rows of Rust clients: [`ours`], [`rumqttc_client`] |
//! | [`browser`] | rows of browser clients, which are in `js/` |
#![expect(clippy::print_stdout, reason = "a command prints its result")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

mod browser;
mod ours;
mod rumqttc_client;
mod rust;
mod table;

use anyhow::{Context as _, Result, bail};

const USAGE: &str = "peers rust|browser [--runs 5] [--scale 100] [--row TEXT]

    --runs   of each client and row; they take turns
    --scale  how many messages, in per cent of the usual
    --row    only rows with this in their name";

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) runs: usize,
    pub(crate) scale: usize,
    /// What the names of rows have in them.
    pub(crate) row: String,
}

impl Plan {
    fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut plan = Self {
            runs: 5,
            scale: 100,
            row: String::new(),
        };
        while let Some(flag) = args.next() {
            let value = args
                .next()
                .with_context(|| format!("{flag} needs a value\n\n{USAGE}"))?;
            match flag.as_str() {
                "--runs" => plan.runs = value.parse::<usize>()?.max(1),
                "--scale" => plan.scale = value.parse::<usize>()?.max(1),
                "--row" => plan.row = value,
                unknown => bail!("{unknown} is unknown\n\n{USAGE}"),
            }
        }
        Ok(plan)
    }

    /// Whether a row is wanted.
    pub(crate) fn has(&self, row: &str) -> bool {
        row.contains(&self.row)
    }

    /// So many messages, of what is usual.
    pub(crate) fn messages(&self, usual: usize) -> usize {
        (usual * self.scale / 100).max(1)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("rust") => rust::run(Plan::from_args(args)?).await,
        Some("browser") => browser::run(Plan::from_args(args)?).await,
        Some("client") => rust::client(&args.collect::<Vec<_>>()).await,
        _ => {
            println!("{USAGE}");
            Ok(())
        }
    }
}

/// A hundredth of the usual, once: that the commands work, and that every row has a figure for everybody.
#[cfg(test)]
const SMALL: Plan = Plan {
    runs: 1,
    scale: 1,
    row: String::new(),
};

#[tokio::test(flavor = "multi_thread")]
async fn browser_clients_are_measured() {
    browser::run(SMALL).await.expect("every row has its figures");
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_clients_are_measured() {
    for row in rust::Row::ALL {
        for name in rust::CLIENTS {
            let measured = rust::measure_here(name, row, SMALL)
                .await
                .expect("it can be measured");
            assert!(measured.per_sec > 0.0, "{name}");
        }
    }
}

//! Rows of Rust clients. Each run has a process of its own, which says how long it took and what it cost.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cloudsignal_tests::feeder::Feeder;
use cloudsignal_tests::latencies::Latencies;
use cloudsignal_tests::process;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::table::{Better, Table};
use crate::{Plan, ours, rumqttc_client};

pub(crate) const CLIENTS: [&str; 2] = ["cloudsignal", "rumqttc"];
/// QoS 1 messages that may be unacknowledged.
pub(crate) const IN_FLIGHT: u16 = 100;
/// Messages in one write of the feeder.
const TOGETHER: usize = 16;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Publish0,
    Publish1,
    Receive0,
    Receive1,
    /// Publishes at QoS 1, the next when the last is acknowledged.
    RoundTrip,
}

impl Row {
    pub(crate) const ALL: [Self; 5] = [
        Self::Publish0,
        Self::Publish1,
        Self::Receive0,
        Self::Receive1,
        Self::RoundTrip,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Publish0 => "publish QoS 0",
            Self::Publish1 => "publish QoS 1, 100 in flight",
            Self::Receive0 => "receive QoS 0",
            Self::Receive1 => "receive QoS 1",
            Self::RoundTrip => "publish QoS 1, one in flight",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|row| row.name() == name)
    }

    /// How many messages; each run takes about a second.
    const fn usual(self) -> usize {
        match self {
            Self::Publish0 | Self::Receive0 => 1_000_000,
            Self::Publish1 | Self::Receive1 => 300_000,
            Self::RoundTrip => 20_000,
        }
    }
}

/// What a client has to do.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) row: Row,
    pub(crate) port: u16,
    pub(crate) count: usize,
}

impl Work {
    /// Where it publishes.
    pub(crate) fn sink(&self) -> String {
        format!("sink/{}", self.count)
    }

    /// What it subscribes to.
    pub(crate) fn feed(&self) -> String {
        let qos = u8::from(self.row == Row::Receive1);
        format!("feed/{qos}/{TOGETHER}/{}", self.count)
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) per_sec: f64,
    /// CPU time of the client for a million messages, seconds.
    cpu_secs: f64,
    /// Of round trips, microseconds.
    p50: u32,
    p99: u32,
}

/// The time that a client takes, from the first call on.
#[derive(Debug)]
pub(crate) struct Watch {
    begin: Instant,
    cpu_before: f64,
    latencies: Latencies,
}

impl Watch {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self {
            cpu_before: process::cpu_secs(std::process::id())?,
            begin: Instant::now(),
            latencies: Latencies::default(),
        })
    }

    pub(crate) fn round_trip(&mut self, took: Duration) {
        self.latencies.note(took);
    }

    pub(crate) fn stop(mut self, count: usize) -> Result<Measured> {
        let secs = self.begin.elapsed().as_secs_f64();
        let cpu = process::cpu_secs(std::process::id())? - self.cpu_before;
        Ok(Measured {
            per_sec: count as f64 / secs,
            cpu_secs: cpu * 1e6 / count as f64,
            p50: self.latencies.micros_at(0.5),
            p99: self.latencies.micros_at(0.99),
        })
    }
}

/// A client's process: `client NAME ROW PORT COUNT`.
pub(crate) async fn client(args: &[String]) -> Result<()> {
    let [name, row, port, count] = args else {
        anyhow::bail!("this is for its own use");
    };
    let work = Work {
        row: Row::named(row).context("no such row")?,
        port: port.parse()?,
        count: count.parse()?,
    };
    let name = name.clone();
    // In a task, as servers do it: what is not in one is woken through the system.
    let measured = tokio::spawn(async move { measure(&name, work).await });
    println!("{}", serde_json::to_string(&measured.await??)?);
    Ok(())
}

async fn measure(name: &str, work: Work) -> Result<Measured> {
    match name {
        "cloudsignal" => ours::measure(work).await,
        "rumqttc" => rumqttc_client::measure(work).await,
        other => anyhow::bail!("{other} is unknown"),
    }
}

/// In this very process: for a look whether it works.
#[cfg(test)]
pub(crate) async fn measure_here(name: &str, row: Row, plan: Plan) -> Result<Measured> {
    let work = Work {
        row,
        port: Feeder::start().await?.tcp.port(),
        count: plan.messages(row.usual()),
    };
    measure(name, work).await
}

async fn measure_apart(name: &str, work: &Work) -> Result<Measured> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["client", name, work.row.name()])
        .args([work.port.to_string(), work.count.to_string()])
        .stderr(Stdio::inherit());
    let output = command.output().await?;
    ensure!(output.status.success(), "{name} has failed: {:?}", work.row);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Every row, every client in turn.
pub(crate) async fn run(plan: Plan) -> Result<()> {
    let feeder = Feeder::start().await?;
    let (mut rates, mut cpu, mut latencies) = (Table::default(), Table::default(), Table::default());
    for row in Row::ALL.into_iter().filter(|row| plan.has(row.name())) {
        for _ in 0..plan.runs {
            for name in CLIENTS {
                let work = Work {
                    row,
                    port: feeder.tcp.port(),
                    count: plan.messages(row.usual()),
                };
                let measured = measure_apart(name, &work).await?;
                rates.add(row.name(), name, measured.per_sec);
                cpu.add(row.name(), name, measured.cpu_secs);
                if row == Row::RoundTrip {
                    latencies.add("p50", name, f64::from(measured.p50));
                    latencies.add("p99", name, f64::from(measured.p99));
                }
            }
        }
    }
    println!("Best of {} runs, and the middle one:\n", plan.runs);
    println!("{}", rates.render("messages/s", Better::More));
    println!("{}", cpu.render("CPU-s per million", Better::Less));
    println!("{}", latencies.render("round trip, us", Better::Less));
    Ok(())
}

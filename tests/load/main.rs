//! A first look at speed: pairs of clients, one publishes and one subscribes, as fast as a window of
//! unreceived messages allows or at a fixed rate. Every message is numbered, so a lost, repeated or
//! reordered one shows. One thread, so that it can be pinned to a core of its own.
//!
//! ```text
//! cargo run --release -p cloudsignal-tests --bin load -- 127.0.0.1:1883 --pairs 50 --qos 1 --pid 4711
//! ```
#![expect(clippy::print_stdout, reason = "a command prints its result")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

mod pair;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cloudsignal_core::Qos;
use cloudsignal_tests::process;

use pair::{Pair, Tally};

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) address: String,
    pairs: usize,
    pub(crate) qos: Qos,
    /// Messages of a pair that are published and not yet received.
    pub(crate) window: usize,
    pub(crate) payload_bytes: usize,
    /// Messages per second of one pair; `None` for as fast as the window allows.
    pub(crate) rate: Option<f64>,
    seconds: u64,
    pid: Option<u32>,
    /// The subscribers' sessions.
    pub(crate) session: Session,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

/// What becomes of the subscribers' sessions at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    /// They end with their connections.
    Clean,
    /// They stay, and so the broker stores what they have to get.
    Persistent,
}

const USAGE: &str = "load HOST:PORT [--pairs 50] [--qos 0|1] [--window 64] [--session clean|persistent] [--payload BYTES] [--rate PER_SEC] \
    [--seconds 5] [--pid BROKER] [--username NAME --password SECRET]";

impl Plan {
    fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut plan = Self {
            address: args.next().context(USAGE)?,
            pairs: 50,
            qos: Qos::AtMostOnce,
            window: 64,
            payload_bytes: 64,
            rate: None,
            seconds: 5,
            pid: None,
            session: Session::Clean,
            username: None,
            password: None,
        };
        let mut rate = None;
        while let Some(flag) = args.next() {
            let value = args
                .next()
                .with_context(|| format!("{flag} needs a value; {USAGE}"))?;
            match flag.as_str() {
                "--pairs" => plan.pairs = value.parse()?,
                "--qos" => {
                    let qos = Qos::from_bits(value.parse()?);
                    plan.qos = qos
                        .filter(|qos| *qos < Qos::ExactlyOnce)
                        .context("--qos is 0 or 1")?;
                }
                "--window" => plan.window = value.parse()?,
                "--payload" => plan.payload_bytes = value.parse()?,
                "--rate" => rate = Some(value.parse::<f64>()?),
                "--seconds" => plan.seconds = value.parse()?,
                "--pid" => plan.pid = Some(value.parse()?),
                "--session" => {
                    plan.session = match value.as_str() {
                        "clean" => Session::Clean,
                        "persistent" => Session::Persistent,
                        other => bail!("--session is clean or persistent, not {other}"),
                    }
                }
                "--username" => plan.username = Some(value),
                "--password" => plan.password = Some(value),
                unknown => bail!("{unknown} is unknown; {USAGE}"),
            }
        }
        plan.rate = rate.map(|all| all / plan.pairs as f64);
        Ok(plan)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let plan = Plan::from_args(std::env::args().skip(1))?;
    let mut pairs = Vec::new();
    for number in 0..plan.pairs {
        pairs.push(Pair::connect(&plan, number).await?);
    }
    let cpu_before = plan.pid.map(process::cpu_secs).transpose()?;
    let begin = Instant::now();
    let end = begin + Duration::from_secs(plan.seconds);
    let running: Vec<_> = pairs
        .into_iter()
        .map(|pair| tokio::spawn(pair.run(begin, end)))
        .collect();
    let mut all = Tally::default();
    for pair in running {
        all.add(&pair.await??);
    }
    let secs = begin.elapsed().as_secs_f64();
    let millions = all.received as f64 / 1e6;
    print!(
        "{:.0} msg/s, {} received, {} faults",
        all.received as f64 / secs,
        all.received,
        all.faults
    );
    if let (Some(pid), Some(before)) = (plan.pid, cpu_before) {
        let cpu = process::cpu_secs(pid)? - before;
        print!(
            ", {:.2} CPU-s per million, {:.0} % of a core",
            cpu / millions,
            100.0 * cpu / secs
        );
        print!(", {} KiB resident", process::resident_kib(pid)?);
    }
    println!(
        ", latency p50 {} us, p99 {} us",
        all.latencies.micros_at(0.5),
        all.latencies.micros_at(0.99)
    );
    Ok(())
}

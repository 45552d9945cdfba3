//! What it costs that acknowledged means stored: publishers at QoS 1, to sessions that are away, so that every message
//! has to be stored; at each level of durability, beside the disk's own `fdatasync` rate in the same minute.
//!
//! A run is, for each level and number of publishers: as fast as a window of unacknowledged messages allows; the
//! highest rate that is kept on a schedule (see [`capacity`]); and 70 % of that, with the latency of PUBACK counted
//! from the scheduled time. Each has a fresh broker.
//!
//! ```text
//! cargo build --release -p cloudsignal-server
//! cargo run --release -p cloudsignal-tests --bin stored -- --seconds 5 --runs 5
//! ```
//!
//! With `--stalls SECONDS` it is one long run at `disk`, in which queues grow and are drained again, so that the store
//! merges its files many times: what is the longest that anybody waited for a PUBACK? See [`stalls`].
#![expect(clippy::print_stdout, reason = "a command prints its result")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

mod capacity;
mod plan;
mod probe;
mod publisher;
mod stalls;
mod table;

use std::time::{Duration, Instant};

use anyhow::Result;
use cloudsignal_core::codec::{Connect, Packet, PacketId, Subscribe, SubscribeFilter};
use cloudsignal_core::{Qos, TopicFilter, Version};
use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::latencies::Latencies;
use cloudsignal_tests::link::Link;
use cloudsignal_tests::process;

use plan::{Level, Plan};
use publisher::{Pace, Publisher};
use table::{Row, Table};

/// Sessions that are away and get the messages.
const READERS: usize = 16;
/// Share of the highest rate that is kept at which latency is measured.
const LOAD: f64 = 0.7;
/// More messages than a queue ever gets here.
const QUEUE_MESSAGES: u64 = 100_000_000;
/// And more bytes.
const QUEUE_BYTES: u64 = 1 << 36;
/// How long the disk alone is measured.
const PROBE: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let plan = Plan::from_args(std::env::args().skip(1))?;
    if let Some(seconds) = plan.stalls_seconds {
        return stalls::look(&plan, seconds).await;
    }
    let mut table = Table::default();
    for run in 1..=plan.runs {
        for level in plan.levels.iter().copied() {
            for publishers in plan.publishers.iter().copied() {
                let row = measure(&plan, level, publishers).await?;
                println!("run {run} of {}: {row}", plan.runs);
                table.add(row);
            }
        }
    }
    print!("\n{table}");
    Ok(())
}

async fn measure(plan: &Plan, level: Level, publishers: usize) -> Result<Row> {
    let span = Duration::from_secs(plan.seconds);
    let broker = start(level);
    let disk = probe::fdatasync(broker.scratch(), plan.payload_bytes, PROBE)?;
    let address = leave_sessions(&broker).await?;
    let cpu_before = process::cpu_secs(broker.pid())?;
    let full = publish(plan, &address, publishers, Pace::Window, span).await?;
    let cpu_secs = process::cpu_secs(broker.pid())? - cpu_before;
    drop(broker);
    let kept_rate = match plan.kept_rate {
        Some(rate) => rate,
        None => capacity::find(plan, level, publishers, full.rate).await?,
    };
    let broker = start(level);
    let address = leave_sessions(&broker).await?;
    let pace = Pace::PerSecond(kept_rate * LOAD);
    let scheduled = publish(plan, &address, publishers, pace, span).await?;
    Ok(Row {
        level,
        publishers,
        rate: full.rate,
        cpu_per_million: cpu_secs / (full.acknowledged as f64 / 1e6),
        full: full.latencies,
        kept_rate,
        scheduled: scheduled.latencies,
        syncs_per_sec: disk.per_sec,
        sync: disk.latencies,
    })
}

/// A broker whose queues are never full.
fn start(level: Level) -> Broker {
    let options = BrokerOptions::default()
        .with_anonymous_clients()
        .with_text("DURABILITY_LEVEL", level.name())
        .with("LIMITS_QUEUE_MESSAGES_MAX", QUEUE_MESSAGES)
        .with("LIMITS_QUEUE_BYTES_MAX", QUEUE_BYTES)
        .with("LIMITS_ALL_QUEUE_BYTES_MAX", QUEUE_BYTES);
    Broker::start(options)
}

/// Makes the sessions that get the messages; answers the broker's address.
async fn leave_sessions(broker: &Broker) -> Result<String> {
    let address = broker.addr(Listener::Mqtt).to_string();
    for reader in 0..READERS {
        leave_session(&address, reader).await?;
    }
    Ok(address)
}

/// Makes a session that outlives its connection and waits for a part of the messages.
async fn leave_session(address: &str, reader: usize) -> Result<()> {
    let mut link = come_back(address, reader).await?;
    let filter = format!("stored/{reader}/#");
    let filter = SubscribeFilter::new(TopicFilter::parse(&filter)?, Qos::AtLeastOnce);
    let mut out = Vec::new();
    Subscribe::new(PacketId::MIN, vec![filter]).encode(Version::V311, &mut out)?;
    link.write(&out).await?;
    link.read_until(|packet| matches!(packet, Packet::SubAck(_)))
        .await
}

/// Connects to a session that may be there.
async fn come_back(address: &str, reader: usize) -> Result<Link> {
    let client_id = format!("reader-{reader}");
    let mut connect = Connect::new(Version::V311, &client_id);
    connect.clean_start = false;
    Link::connect(address, &connect).await
}

/// What publishers got done.
struct Published {
    rate: f64,
    acknowledged: u64,
    latencies: Latencies,
}

async fn publish(
    plan: &Plan,
    address: &str,
    publishers: usize,
    pace: Pace,
    span: Duration,
) -> Result<Published> {
    let mut ready = Vec::new();
    for number in 0..publishers {
        ready.push(Publisher::connect(plan, address, number, pace.share(publishers)).await?);
    }
    let begin = Instant::now();
    let end = begin + span;
    let running: Vec<_> = ready
        .into_iter()
        .zip(0_u32..)
        .map(|(publisher, number)| {
            // On a schedule they take turns: were they all due at once, each would wait for the others.
            let turn = pace.turn(number);
            tokio::spawn(publisher.run(begin + turn, end))
        })
        .collect();
    let (mut acknowledged, mut latencies) = (0, Latencies::default());
    for publisher in running {
        let done = publisher.await??;
        acknowledged += done.acknowledged;
        latencies.add(&done.latencies);
    }
    Ok(Published {
        rate: acknowledged as f64 / begin.elapsed().as_secs_f64(),
        acknowledged,
        latencies,
    })
}

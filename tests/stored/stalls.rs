//! How long the longest wait for a PUBACK is while the store merges its files.
//!
//! Publishers keep to a schedule. Readers are away until something has gathered, take it, and leave again: queues grow
//! and are drained, so that there is much to merge and much to remove.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cloudsignal_core::Version;
use cloudsignal_core::codec::{Ack, Packet, ReasonCode};
use cloudsignal_tests::broker::Listener;
use cloudsignal_tests::http;
use tokio::time::{sleep_until, timeout_at};

use crate::plan::{Level, Plan};
use crate::publisher::Pace;
use crate::{PROBE, READERS, come_back, leave_sessions, probe, publish, start};

/// Clients that publish.
const PUBLISHERS: usize = 16;
/// Share of the highest rate, which is measured without readers: they are half of the work and more.
const LOAD: f64 = 0.3;
/// How long the highest rate is measured beforehand.
const FULL_SPEED: Duration = Duration::from_secs(5);
/// How long a reader is away, and then at work. Readers do not do it at the same time.
const AWAY: Duration = Duration::from_secs(20);
const AT_WORK: Duration = Duration::from_secs(10);

/// Measures for `seconds`, and prints the result.
pub(crate) async fn look(plan: &Plan, seconds: u64) -> Result<()> {
    let broker = start(Level::Disk);
    let disk = probe::fdatasync(broker.scratch(), plan.payload_bytes, PROBE)?;
    let address = leave_sessions(&broker).await?;
    let full = publish(plan, &address, PUBLISHERS, Pace::Window, FULL_SPEED).await?;
    let span = Duration::from_secs(seconds);
    let end = Instant::now() + span;
    let reading: Vec<_> = (0..READERS)
        .map(|reader| tokio::spawn(read(address.clone(), reader, end)))
        .collect();
    let pace = Pace::PerSecond(full.rate * LOAD);
    let mut scheduled = publish(plan, &address, PUBLISHERS, pace, span).await?;
    let mut taken = 0;
    for reader in reading {
        taken += reader.await??;
    }
    let metrics = http::get(broker.addr(Listener::Metrics), "/metrics")?.body;
    let compactions = metric(&metrics, "store_compactions_total")?;
    let group_max = metric(&metrics, "store_group_max_seconds")?;
    let latencies = &mut scheduled.latencies;
    let millis = |micros: u32| f64::from(micros) / 1e3;
    let mut sync = disk.latencies;
    println!(
        "{seconds} s at {:.0} msg/s: {} acknowledged, {taken} taken by readers, {compactions} compactions",
        scheduled.rate, scheduled.acknowledged
    );
    println!(
        "PUBACK: p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, longest {:.2} ms; longest commit {:.2} ms",
        millis(latencies.micros_at(0.5)),
        millis(latencies.micros_at(0.99)),
        millis(latencies.micros_at(0.999)),
        millis(latencies.longest_micros()),
        group_max * 1e3,
    );
    println!(
        "the disk alone: fdatasync p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
        millis(sync.micros_at(0.5)),
        millis(sync.micros_at(0.99)),
        millis(sync.longest_micros()),
    );
    Ok(())
}

/// Comes and goes until `end`. Answers how many messages it got.
async fn read(address: String, reader: usize, end: Instant) -> Result<u64> {
    let mut taken = 0;
    let share = u32::try_from(reader)? + 1;
    let mut at = Instant::now() + AWAY * share / u32::try_from(READERS)?;
    while at < end {
        sleep_until(at.into()).await;
        let mut link = come_back(&address, reader).await?;
        let leaves_at = at + AT_WORK;
        let (mut out, mut failed) = (Vec::new(), None);
        loop {
            let read = link.read(|packet| {
                if let Packet::Publish(publish) = packet
                    && let Some(id) = publish.packet_id
                {
                    let ack = Packet::PubAck(Ack::new(id, ReasonCode::Success));
                    failed = ack.encode(Version::V311, &mut out).err();
                    taken += 1;
                }
            });
            match timeout_at(leaves_at.min(end).into(), read).await {
                Ok(read) => read?,
                Err(_time_is_up) => break,
            }
            ensure!(
                failed.is_none(),
                "an acknowledgement cannot be written: {failed:?}"
            );
            link.write(&out).await?;
            out.clear();
        }
        at = leaves_at + AWAY;
    }
    Ok(taken)
}

fn metric(text: &str, name: &str) -> Result<f64> {
    let name = format!("cloudsignal_{name} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    let value = value.with_context(|| format!("no {name} in the metrics"))?;
    Ok(value.parse()?)
}

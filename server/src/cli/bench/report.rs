//! What a run tells: text or JSON, and whether it was without fault.

use core::fmt::Write as _;

use cloudsignal_core::{Qos, Version};
use serde::Serialize;

use super::latencies::Latencies;
use super::plan::Plan;
use super::usage::Usage;
use super::worker::Outcome;
use crate::cli::client::Scheme;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Output;

/// From this share of its cores on, in percent, the generator may be what bounds the result.
const BUSY_PERCENT: f64 = 95.0;

/// The result of a run; its JSON is documented in `docs/bench.md`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    scenario: &'static str,
    url: String,
    transport: &'static str,
    mqtt: &'static str,
    qos: u8,
    clients: usize,
    publishers: usize,
    subscribers: usize,
    payload_bytes: u32,
    window: u32,
    threads: usize,
    /// Delivered while it was measured.
    messages: u64,
    seconds: f64,
    per_second: f64,
    lost: u64,
    repeated: u64,
    out_of_order: u64,
    foreign: u64,
    latency_us: LatencyReport,
    broker: Option<BrokerReport>,
    generator: Option<GeneratorReport>,
}

/// Microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
struct LatencyReport {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct BrokerReport {
    cpu_seconds: f64,
    /// Absent when nothing was delivered.
    cpu_seconds_per_million: Option<f64>,
    core_percent: f64,
    /// Before the first connection.
    resident_bytes_before: u64,
    /// At the end of the measurement.
    resident_bytes_after: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct GeneratorReport {
    cpu_seconds: f64,
    core_percent: f64,
    /// Whether it was so busy that the broker may be faster than this.
    is_bound: bool,
}

impl Report {
    /// Puts together what the threads tell.
    pub(super) fn new(plan: &Plan, outcomes: Vec<Outcome>, resident_bytes_before: Option<u64>) -> Self {
        let (mut all, mut per_second, mut seconds) = (Outcome::default(), 0.0, 0.0_f64);
        for outcome in outcomes {
            let secs = outcome.measured.as_secs_f64();
            per_second += outcome.messages as f64 / secs;
            seconds = seconds.max(secs);
            all.add(outcome);
        }
        let used = |(before, after): (Usage, Usage)| after.cpu_secs - before.cpu_secs;
        let broker = all
            .broker
            .zip(resident_bytes_before)
            .map(|(broker, before)| BrokerReport {
                cpu_seconds: rounded(used(broker)),
                cpu_seconds_per_million: (all.messages > 0)
                    .then(|| rounded(used(broker) * 1e6 / all.messages as f64)),
                core_percent: rounded(100.0 * used(broker) / seconds),
                resident_bytes_before: before,
                resident_bytes_after: broker.1.resident_bytes,
            });
        let threads = plan.casts.len();
        let generator = all.generator.map(|generator| {
            let percent = 100.0 * used(generator) / seconds;
            GeneratorReport {
                cpu_seconds: rounded(used(generator)),
                core_percent: rounded(percent),
                is_bound: percent >= BUSY_PERCENT * threads as f64,
            }
        });
        let (publishers, subscribers) = (plan.publishers(), plan.subscribers());
        Self {
            scenario: plan.scenario,
            url: plan.access.url().to_string(),
            transport: transport(plan.access.url().scheme),
            mqtt: version(plan.access.version()),
            qos: plan.qos.bits(),
            clients: publishers + subscribers,
            publishers,
            subscribers,
            payload_bytes: plan.payload_bytes,
            window: plan.window,
            threads,
            messages: all.messages,
            seconds: rounded(seconds),
            per_second: rounded(per_second),
            lost: (all.expected + all.score.repeated).saturating_sub(all.score.delivered),
            repeated: all.score.repeated,
            out_of_order: all.score.out_of_order,
            foreign: all.score.foreign,
            latency_us: LatencyReport::new(all.latencies),
            broker,
            generator,
        }
    }

    /// Prints it on standard output.
    pub(super) fn print(&self, as_json: bool) -> Result<(), Failure> {
        let mut output = Output::stdout();
        if as_json {
            let json = serde_json::to_vec(self).expect("invariant: numbers and text become JSON");
            output.line(&json)?;
        } else {
            output.write(self.text().as_bytes())?;
        }
        output.flush()
    }

    /// A failure when a message did not come as it should.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let faults = [
            (self.lost, "lost"),
            (self.repeated, "repeated"),
            (self.out_of_order, "out of order"),
            (self.foreign, "not of this run"),
        ];
        let said: Vec<_> = faults
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, name)| format!("{count} {name}"))
            .collect();
        if said.is_empty() {
            return Ok(());
        }
        let hint = if self.qos == Qos::AtMostOnce.bits() && self.lost > 0 {
            " (at QoS 0 a broker may drop what a subscriber does not take: try a smaller --window)"
        } else {
            ""
        };
        Err(Failure::because(
            Exit::Failed,
            format!("messages were {}{hint}", said.join(", ")),
        ))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("invariant: text takes text");
        text
    }

    fn write(&self, out: &mut String) -> core::fmt::Result {
        let Self {
            scenario,
            url,
            mqtt,
            qos,
            publishers,
            subscribers,
            payload_bytes,
            window,
            ..
        } = self;
        writeln!(
            out,
            "{scenario} at {url}: MQTT {mqtt}, QoS {qos}, {payload_bytes} bytes"
        )?;
        writeln!(
            out,
            "  clients    {publishers} publishers, {subscribers} subscribers, window {window}"
        )?;
        let (messages, rate) = (grouped(self.messages), grouped(self.per_second as u64));
        writeln!(
            out,
            "  delivered  {rate} messages/s ({messages} in {:.1} s)",
            self.seconds
        )?;
        let LatencyReport { p50, p99, p999, max } = self.latency_us;
        writeln!(
            out,
            "  latency    p50 {p50} µs, p99 {p99} µs, p99.9 {p999} µs, longest {max} µs"
        )?;
        let Self {
            lost,
            repeated,
            out_of_order,
            ..
        } = self;
        writeln!(
            out,
            "  faults     {lost} lost, {repeated} repeated, {out_of_order} out of order"
        )?;
        self.write_processes(out)
    }

    fn write_processes(&self, out: &mut String) -> core::fmt::Result {
        if let Some(broker) = &self.broker {
            let per_million = broker.cpu_seconds_per_million.unwrap_or_default();
            let (before, after) = (
                broker.resident_bytes_before >> 10,
                broker.resident_bytes_after >> 10,
            );
            let percent = broker.core_percent;
            writeln!(
                out,
                "  broker     {per_million:.2} CPU-seconds per million messages, {percent:.0} % of a core"
            )?;
            writeln!(
                out,
                "  memory     {} KiB before, {} KiB at the end",
                grouped(before),
                grouped(after)
            )?;
        }
        if let Some(generator) = &self.generator {
            let bound = if generator.is_bound {
                ": it bounds the result"
            } else {
                ""
            };
            writeln!(
                out,
                "  generator  {:.0} % of a core{bound}",
                generator.core_percent
            )?;
        }
        Ok(())
    }
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.expected += other.expected;
        self.messages += other.messages;
        self.score.delivered += other.score.delivered;
        self.score.repeated += other.score.repeated;
        self.score.out_of_order += other.score.out_of_order;
        self.score.foreign += other.score.foreign;
        self.latencies.add(other.latencies);
        self.broker = self.broker.or(other.broker);
        self.generator = self.generator.or(other.generator);
    }
}

impl LatencyReport {
    fn new(mut latencies: Latencies) -> Self {
        Self {
            p50: latencies.micros_at(0.5),
            p99: latencies.micros_at(0.99),
            p999: latencies.micros_at(0.999),
            max: latencies.micros_at(1.0),
        }
    }
}

fn transport(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Mqtt => "tcp",
        Scheme::Mqtts => "tls",
        Scheme::Ws => "ws",
        Scheme::Wss => "wss",
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::V31 => "3.1",
        Version::V311 => "3.1.1",
        Version::V5 => "5.0",
    }
}

/// Three digits after the point: more than any of it is exact to.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// `1234567` → `1 234 567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

//! What a run tells: text or JSON, and whether it was without fault.

use core::fmt::Write as _;

use cloudsignal_core::{Qos, Version};
use serde::Serialize;

use super::latencies::Latencies;
use super::phase::Phase;
use super::plan::Plan;
use super::run::Finished;
use super::usage::{Generator, Spent, rounded};
use super::worker::Outcome;
use crate::cli::client::Scheme;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Output;

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
    persistent: bool,
    /// Messages per second that were asked for.
    rate: Option<u32>,
    threads: usize,
    /// Until all clients were connected and subscribed.
    setup_seconds: f64,
    /// Delivered while it was measured.
    messages: u64,
    seconds: f64,
    per_second: f64,
    /// Sent by all publishers while it was measured.
    published_per_second: f64,
    lost: u64,
    repeated: u64,
    out_of_order: u64,
    foreign: u64,
    latency_us: LatencyReport,
    /// Until the last of several subscribers had a message.
    last_us: Option<LatencyReport>,
    broker: Option<BrokerReport>,
    generator: Option<Generator>,
}

/// Microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct LatencyReport {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct BrokerReport {
    #[serde(flatten)]
    spent: Spent,
    /// Before the first connection.
    resident_bytes_before: u64,
    /// At the begin of the measurement.
    resident_bytes_ready: u64,
    /// At its end.
    resident_bytes_after: u64,
}

impl Report {
    /// Puts together what the threads tell.
    pub(super) fn new(plan: &Plan, finished: Finished, resident_bytes_before: Option<u64>) -> Self {
        let (mut all, mut seconds) = (Outcome::default(), 0.0_f64);
        let (mut per_second, mut published_per_second) = (0.0, 0.0);
        for outcome in finished.outcomes {
            let secs = outcome.measured.as_secs_f64();
            per_second += outcome.messages as f64 / secs;
            published_per_second += outcome.published as f64 / secs;
            seconds = seconds.max(secs);
            all.add(outcome);
        }
        let broker = all.broker.zip(resident_bytes_before);
        let broker = broker.map(|((begin, end), before)| BrokerReport {
            spent: Spent::between(begin, end, seconds, all.messages),
            resident_bytes_before: before,
            resident_bytes_ready: begin.resident_bytes,
            resident_bytes_after: end.resident_bytes,
        });
        let threads = plan.casts.len();
        let generator = all
            .generator
            .map(|(begin, end)| Generator::between(begin, end, seconds, all.messages, threads));
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
            persistent: plan.is_persistent,
            rate: plan.rate,
            threads,
            setup_seconds: rounded(finished.setup.as_secs_f64()),
            messages: all.messages,
            seconds: rounded(seconds),
            per_second: rounded(per_second),
            published_per_second: rounded(published_per_second),
            lost: (all.expected + all.score.repeated).saturating_sub(all.score.delivered),
            repeated: all.score.repeated,
            out_of_order: all.score.out_of_order,
            foreign: all.score.foreign,
            latency_us: LatencyReport::new(all.latencies),
            last_us: plan.is_to_many().then(|| LatencyReport::new(all.lasts)),
            broker,
            generator,
        }
    }

    /// Prints it on standard output.
    pub(super) fn print(&self, as_json: bool) -> Result<(), Failure> {
        print(self, as_json, |out| self.write(out))
    }

    /// A failure when a message did not come as it should.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let hint = if self.qos == Qos::AtMostOnce.bits() && self.lost > 0 {
            " (at QoS 0 a broker may drop what a subscriber does not take: try a smaller --window)"
        } else {
            ""
        };
        verdict([self.lost, self.repeated, self.out_of_order, self.foreign], hint)
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
        self.latency_us.write("latency", out)?;
        if let Some(last) = &self.last_us {
            last.write("last one", out)?;
        }
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
            write_broker(out, &broker.spent, "messages")?;
            let (before, after) = (broker.resident_bytes_before, broker.resident_bytes_after);
            let (before, after) = (grouped(before >> 10), grouped(after >> 10));
            writeln!(out, "  memory     {before} KiB before, {after} KiB at the end")?;
        }
        self.generator
            .as_ref()
            .map_or(Ok(()), |generator| write_generator(out, generator))
    }
}

/// What a part of a run came to.
pub(super) fn write_phase(out: &mut String, name: &str, phase: &Phase, things: &str) -> core::fmt::Result {
    let (count, rate) = (grouped(phase.count), grouped(phase.per_second as u64));
    writeln!(
        out,
        "  {name:<9}  {rate} {things}/s ({count} in {:.2} s)",
        phase.seconds
    )?;
    if let Some(broker) = &phase.broker {
        write_broker(out, &broker.spent, things)?;
    }
    phase
        .generator
        .as_ref()
        .map_or(Ok(()), |generator| write_generator(out, generator))
}

/// A line about the broker's CPU time.
pub(super) fn write_broker(out: &mut String, spent: &Spent, things: &str) -> core::fmt::Result {
    let per_million = spent.cpu_seconds_per_million.unwrap_or_default();
    let percent = spent.core_percent;
    writeln!(
        out,
        "  broker     {per_million:.2} CPU-seconds per million {things}, {percent:.0} % of a core"
    )
}

/// A line about our own.
pub(super) fn write_generator(out: &mut String, generator: &Generator) -> core::fmt::Result {
    let bound = if generator.is_bound {
        ": it bounds the result"
    } else {
        ""
    };
    writeln!(
        out,
        "  generator  {:.0} % of a core{bound}",
        generator.spent.core_percent
    )
}

/// A failure when any of these counts is above zero: lost, repeated, out of order, of another run.
pub(super) fn verdict(faults: [u64; 4], hint: &str) -> Result<(), Failure> {
    let names = ["lost", "repeated", "out of order", "not of this run"];
    let said: Vec<_> = faults
        .iter()
        .zip(names)
        .filter(|(count, _)| **count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    if said.is_empty() {
        return Ok(());
    }
    let text = format!("messages were {}{hint}", said.join(", "));
    Err(Failure::because(Exit::Failed, text))
}

/// Prints a result as one line of JSON, or as text.
pub(super) fn print(
    result: &impl Serialize,
    as_json: bool,
    write: impl FnOnce(&mut String) -> core::fmt::Result,
) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if as_json {
        let json = serde_json::to_vec(result).expect("invariant: numbers and text become JSON");
        output.line(&json)?;
    } else {
        let mut text = String::new();
        write(&mut text).expect("invariant: text takes text");
        output.write(text.as_bytes())?;
    }
    output.flush()
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
        self.lasts.add(other.lasts);
        self.broker = self.broker.or(other.broker);
        self.generator = self.generator.or(other.generator);
    }
}

impl LatencyReport {
    /// A line about it.
    pub(super) fn write(&self, name: &str, out: &mut String) -> core::fmt::Result {
        let Self { p50, p99, p999, max } = self;
        writeln!(
            out,
            "  {name:<9}  p50 {p50} µs, p99 {p99} µs, p99.9 {p999} µs, longest {max} µs"
        )
    }

    pub(super) fn new(mut latencies: Latencies) -> Self {
        Self {
            p50: latencies.micros_at(0.5),
            p99: latencies.micros_at(0.99),
            p999: latencies.micros_at(0.999),
            max: latencies.micros_at(1.0),
        }
    }
}

pub(super) fn transport(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Mqtt => "tcp",
        Scheme::Mqtts => "tls",
        Scheme::Ws => "ws",
        Scheme::Wss => "wss",
    }
}

pub(super) fn version(version: Version) -> &'static str {
    match version {
        Version::V31 => "3.1",
        Version::V311 => "3.1.1",
        Version::V5 => "5.0",
    }
}

/// `1234567` → `1 234 567`.
pub(super) fn grouped(number: u64) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_easy_to_read() {
        let texts = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1 000", "1 234 567"]);
    }

    #[test]
    fn any_fault_is_a_failure_and_names_itself() {
        assert!(verdict([0; 4], "").is_ok());
        let failure = verdict([2, 0, 1, 0], "!").unwrap_err();
        assert_eq!(failure.exit(), Exit::Failed);
        assert_eq!(failure.to_string(), "messages were 2 lost, 1 out of order!");
    }
}

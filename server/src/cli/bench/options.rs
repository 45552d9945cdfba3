//! What was typed after `cloudsignal bench`.

use clap::{Args, Subcommand, value_parser};

use cloudsignal_core::Qos;
use cloudsignal_core::codec::PACKET_BYTES_MAX;

use super::lane::WINDOW_MESSAGES_MAX;
use super::stamp::STAMP_BYTES;
use crate::cli::client::{BrokerArgs, BrokerUrl, qos};
use crate::cli::exit::EXIT_CODES;

/// Clients of one run.
pub(super) const CLIENTS_MAX: i64 = 1_000_000;

/// Threads of one run.
const THREADS_MAX: i64 = 64;

/// Longest measurement, in seconds: one day.
const SECONDS_MAX: i64 = 86_400;

/// What was typed after `cloudsignal bench`.
#[derive(Args, Clone, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct BenchArgs {
    /// What to measure
    #[command(subcommand)]
    pub scenario: ScenarioArgs,
}

/// What can be measured.
#[derive(Clone, Debug, Subcommand)]
pub enum ScenarioArgs {
    /// Point to point: each publisher has one subscriber
    Pairs(PairsArgs),
}

/// Point to point.
#[derive(Args, Clone, Debug)]
pub struct PairsArgs {
    /// Publishers, and as many subscribers
    #[arg(long, value_name = "N", default_value = "50", value_parser = value_parser!(u32).range(1..=CLIENTS_MAX / 2))]
    pub pairs: u32,

    /// Threads that the pairs are shared out to
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=THREADS_MAX))]
    pub threads: u32,

    /// The messages
    #[command(flatten)]
    pub traffic: TrafficArgs,

    /// The rest
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Which messages, and how long.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Messages")]
pub struct TrafficArgs {
    /// Quality of service, of publishers and subscribers
    #[arg(short, long, value_name = "0|1|2", default_value = "0", value_parser = qos)]
    pub qos: Qos,

    /// Bytes of each payload; the first 24 are a stamp that each message is recognized by
    #[arg(long, value_name = "BYTES", default_value = "256", value_parser = value_parser!(u32).range(PAYLOAD_BYTES_MIN..=PAYLOAD_BYTES_MAX))]
    pub payload: u32,

    /// Messages of a publisher that are on their way at once; without it, 64 at QoS 0, else 16
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(WINDOW_MESSAGES_MAX)))]
    pub window: Option<u32>,

    /// Seconds of the measurement
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = value_parser!(u32).range(1..=SECONDS_MAX))]
    pub seconds: u32,

    /// Seconds of traffic before it
    #[arg(long, value_name = "SECS", default_value = "1", value_parser = value_parser!(u32).range(0..=SECONDS_MAX))]
    pub warm_up: u32,
}

const PAYLOAD_BYTES_MIN: i64 = STAMP_BYTES as i64;
/// A packet has room for a topic of any length, too.
const PAYLOAD_BYTES_MAX: i64 = PACKET_BYTES_MAX as i64 - 128 * 1_024;

/// Options of every scenario.
#[derive(Args, Clone, Debug)]
pub struct CommonArgs {
    /// The broker; instead of --url
    #[arg(value_name = "URL")]
    pub broker_url: Option<BrokerUrl>,

    /// Begin of every topic
    #[arg(long, value_name = "TOPIC", default_value = "bench", value_parser = topic_prefix)]
    pub topic: String,

    /// The broker's process, if it is on this machine: tells its CPU time and its memory
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,

    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,

    /// Nothing while it runs
    #[arg(long)]
    pub quiet: bool,

    /// The connections
    #[command(flatten)]
    pub broker: BrokerArgs,
}

const EXAMPLES: &str = "\
Examples:
  cloudsignal bench pairs mqtt://localhost -u alice@org_k7xm4pqr2n5t --password-file alice.txt
  cloudsignal bench pairs --qos 1 --payload 1024 --seconds 30 --pid 4711
        tells what a message costs the broker, too
  cloudsignal bench pairs wss://localhost:18885 --ca data/tls/ca.pem -u 'bench-{n}@org_k7xm4pqr2n5t' --password-file p.txt
        gives every client a user of its own: bench-1, bench-2, …
  cloudsignal bench pairs --json | jq .per_second
A message that is lost, repeated or out of order ends it with exit code 1.";

/// Bytes of the longest begin of topics.
const PREFIX_BYTES_MAX: usize = 1_024;

/// Takes the begin of a topic.
fn topic_prefix(text: &str) -> Result<String, String> {
    let prefix = text.trim_end_matches('/');
    if prefix.is_empty() || prefix.contains(['+', '#', '\0']) {
        return Err("write it as a topic: no +, no #".to_owned());
    }
    if prefix.len() > PREFIX_BYTES_MAX {
        return Err(format!("at most {PREFIX_BYTES_MAX} bytes"));
    }
    Ok(prefix.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn is_read(words: &[&str]) -> bool {
        Line::try_parse_from([&["x"], words].concat()).is_ok()
    }

    #[test]
    fn impossible_measurements_are_refused() {
        assert!(is_read(&["pairs", "mqtt://b.example", "--window", "65535"]));
        for words in [
            &["dance"][..],
            &["pairs", "--pairs", "0"],
            &["pairs", "--qos", "3"],
            &["pairs", "--payload", "23"],
            &["pairs", "--payload", "268435456"],
            &["pairs", "--window", "65536"],
            &["pairs", "--seconds", "0"],
            &["pairs", "--topic", "a/#"],
            &["pairs", "--topic", "/"],
            &["pairs", "b.example"],
        ] {
            assert!(!is_read(words), "{words:?} was accepted");
        }
    }
}

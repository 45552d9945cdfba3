//! What was typed after `cloudsignal bench`.

use std::net::IpAddr;

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
    /// One to many: every subscriber gets every message
    FanOut(FanOutArgs),
    /// Many to a group: its members share the messages among them
    FanIn(FanInArgs),
    /// Many filters with wildcards, of which each message matches one
    Wildcards(WildcardsArgs),
    /// Retained messages: each on a topic of its own, then all of them by one subscription
    Retained(RetainedArgs),
    /// Messages for a client that is away, which then comes back
    Queue(QueueArgs),
    /// Connections that are opened and closed, again and again
    Connect(ConnectRateArgs),
    /// Connections that are merely there
    Idle(IdleArgs),
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

/// One to many.
#[derive(Args, Clone, Debug)]
pub struct FanOutArgs {
    /// Publishers
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=PUBLISHERS_HEARD_MAX))]
    pub publishers: u32,

    /// Subscribers, each of every publisher
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value_parser!(u32).range(1..=CLIENTS_MAX))]
    pub subscribers: u32,

    /// The messages
    #[command(flatten)]
    pub traffic: TrafficArgs,

    /// The rest
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Many to a group.
#[derive(Args, Clone, Debug)]
pub struct FanInArgs {
    /// Publishers
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value_parser!(u32).range(1..=CLIENTS_MAX))]
    pub publishers: u32,

    /// Groups; each gets every message
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=GROUPS_MAX))]
    pub groups: u32,

    /// Members of each group; each message comes to one of them
    #[arg(long, value_name = "N", default_value = "5", value_parser = value_parser!(u32).range(1..=MEMBERS_MAX))]
    pub members: u32,

    /// The messages
    #[command(flatten)]
    pub traffic: TrafficArgs,

    /// The rest
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Many filters.
#[derive(Args, Clone, Debug)]
pub struct WildcardsArgs {
    /// Filters, as DEVICE/+/#
    #[arg(long, value_name = "N", default_value = "100000", value_parser = value_parser!(u32).range(1..=FILTERS_MAX))]
    pub filters: u32,

    /// Topics that are published to; each matches one of the filters
    #[arg(long, value_name = "N", default_value = "10000", value_parser = value_parser!(u32).range(1..=FILTERS_MAX))]
    pub topics: u32,

    /// Publishers, which share the topics
    #[arg(long, value_name = "N", default_value = "50", value_parser = value_parser!(u32).range(1..=PUBLISHERS_HEARD_MAX))]
    pub publishers: u32,

    /// Subscribers, which share the filters
    #[arg(long, value_name = "N", default_value = "100", value_parser = value_parser!(u32).range(1..=CLIENTS_MAX))]
    pub subscribers: u32,

    /// The messages
    #[command(flatten)]
    pub traffic: TrafficArgs,

    /// The rest
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Retained messages.
#[derive(Args, Clone, Debug)]
pub struct RetainedArgs {
    /// The messages
    #[command(flatten)]
    pub stock: StockArgs,
}

/// Messages for a client that is away.
#[derive(Args, Clone, Debug)]
pub struct QueueArgs {
    /// The messages
    #[command(flatten)]
    pub stock: StockArgs,
}

/// Messages that are kept.
#[derive(Args, Clone, Debug)]
pub struct StockArgs {
    /// How many
    #[arg(long, value_name = "N", default_value = "100000", value_parser = value_parser!(u32).range(1..=MESSAGES_KEPT_MAX))]
    pub messages: u32,

    /// Quality of service
    #[arg(short, long, value_name = "0|1|2", default_value = "1", value_parser = qos)]
    pub qos: Qos,

    /// Bytes of each payload; the first 24 are a stamp that each message is recognized by
    #[arg(long, value_name = "BYTES", default_value = "256", value_parser = value_parser!(u32).range(PAYLOAD_BYTES_MIN..=PAYLOAD_BYTES_MAX))]
    pub payload: u32,

    /// Messages that are not yet acknowledged, if the broker takes so many
    #[arg(long, value_name = "N", default_value = "100", value_parser = value_parser!(u32).range(1..=i64::from(WINDOW_MESSAGES_MAX)))]
    pub window: u32,

    /// The rest
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Connections that are opened.
#[derive(Args, Clone, Debug)]
pub struct ConnectRateArgs {
    /// Connections that are being opened at the same time
    #[arg(long, value_name = "N", default_value = "32", value_parser = value_parser!(u32).range(1..=10_000))]
    pub at_once: u32,

    /// Seconds of the measurement
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = value_parser!(u32).range(1..=SECONDS_MAX))]
    pub seconds: u32,

    /// Seconds before it
    #[arg(long, value_name = "SECS", default_value = "1", value_parser = value_parser!(u32).range(0..=SECONDS_MAX))]
    pub warm_up: u32,

    /// The rest
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Connections that are there.
#[derive(Args, Clone, Debug)]
pub struct IdleArgs {
    /// How many
    #[arg(long, value_name = "N", default_value = "10000", value_parser = value_parser!(u32).range(1..=CLIENTS_MAX))]
    pub connections: u32,

    /// Subscriptions of each, to topics of its own
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(0..=1_000))]
    pub subscriptions: u32,

    /// Quality of service of the subscriptions
    #[arg(short, long, value_name = "0|1|2", default_value = "1", value_parser = qos)]
    pub qos: Qos,

    /// Seconds that they stay, and seconds after which it is looked at what they left behind
    #[arg(long, value_name = "SECS", default_value = "3", value_parser = value_parser!(u32).range(1..=SECONDS_MAX))]
    pub seconds: u32,

    /// The rest
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Messages that a broker is to keep.
const MESSAGES_KEPT_MAX: i64 = 10_000_000;

/// Publishers of which a subscriber keeps apart what came: it remembers something of each.
const PUBLISHERS_HEARD_MAX: i64 = 1_000;

/// Shared groups of one run.
const GROUPS_MAX: i64 = 100;

/// Members of a shared group.
const MEMBERS_MAX: i64 = 1_000;

/// Filters of one run.
const FILTERS_MAX: i64 = 10_000_000;

/// Messages per second that can be asked for.
const RATE_MAX: i64 = 100_000_000;

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

    /// Messages per second of all publishers together; without it, as many as the windows allow
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=RATE_MAX))]
    pub rate: Option<u32>,

    /// Messages of a publisher that are on their way at once; what is usual depends on scenario, QoS and rate
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(WINDOW_MESSAGES_MAX)))]
    pub window: Option<u32>,

    /// Sessions of subscribers outlive their connections, until the end of the run: the broker has to store messages
    #[arg(long)]
    pub persistent: bool,

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

    /// Local address that connections leave from; several take turns, since each has only some 28000 ports
    #[arg(long, value_name = "IP")]
    pub from: Vec<IpAddr>,

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
  cloudsignal bench pairs --pairs 100 --qos 1 --rate 5000
        tells latencies: each counts from the moment when the message should have left
  cloudsignal bench fan-out --subscribers 1000 --json | jq .per_second
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
            &["pairs", "--rate", "0"],
            &["fan-out", "--subscribers", "0"],
            &["fan-in", "--groups", "101"],
            &["wildcards", "--filters", "10000001"],
        ] {
            assert!(!is_read(words), "{words:?} was accepted");
        }
    }
}

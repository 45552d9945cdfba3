//! What is measured: the rows of the tables.

use anyhow::{Result, bail};

/// One row: one load, and what is read off its result.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) group: &'static str,
    pub(super) about: &'static str,
    /// What follows `cloudsignal bench`.
    pub(super) scenario: &'static [&'static str],
    pub(super) transport: Transport,
    pub(super) scheduling: Scheduling,
    pub(super) probe: Probe,
    /// Settings of our broker beside its defaults, as environment variables without `CLOUDSIGNAL_`.
    pub(super) settings: &'static [(&'static str, &'static str)],
    pub(super) metrics: &'static [Metric],
}

/// How clients reach the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Tls,
    WebSocket,
}

/// How the system treats broker and generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheduling {
    Ordinary,
    /// Before everybody else, if the system lets us: a latency is then not somebody else's.
    RealTime,
}

/// What is read beside the generator's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    Nothing,
    /// System calls of the broker for each message.
    SystemCalls,
}

/// A figure of a result.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) heading: &'static str,
    /// Where it stands in the result, as a JSON pointer.
    pub(super) pointer: &'static str,
    pub(super) better: Better,
}

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    Lower,
    Higher,
    /// It says how the run was, not how good it was.
    Neither,
}

const fn metric(heading: &'static str, pointer: &'static str, better: Better) -> Metric {
    Metric {
        heading,
        pointer,
        better,
    }
}

const COST: Metric = metric("CPU-s per 1M", "/broker/cpu_seconds_per_million", Better::Lower);
const RATE: Metric = metric("delivered/s", "/per_second", Better::Higher);
const BROKER: Metric = metric("broker %", "/broker/core_percent", Better::Neither);
const GENERATOR: Metric = metric("generator %", "/generator/core_percent", Better::Neither);
const P50: Metric = metric("p50 µs", "/latency_us/p50", Better::Lower);
const P99: Metric = metric("p99 µs", "/latency_us/p99", Better::Lower);
const P999: Metric = metric("p99.9 µs", "/latency_us/p999", Better::Lower);

/// A broker that has more to do than it can.
const SATURATED: &[Metric] = &[COST, RATE, BROKER, GENERATOR];
/// A broker with a given number of messages.
const PACED: &[Metric] = &[COST, P50, P99, P999];
const CALLS: &[Metric] = &[metric(
    "system calls per message",
    "/system_calls_per_message",
    Better::Lower,
)];

const PLAIN: Row = Row {
    name: "",
    group: "",
    about: "",
    scenario: &[],
    transport: Transport::Tcp,
    scheduling: Scheduling::Ordinary,
    probe: Probe::Nothing,
    settings: &[],
    metrics: SATURATED,
};

/// Every row, in the order of the tables.
static ROWS: &[Row] = &[
    Row {
        name: "pairs-0",
        group: "saturated",
        about: "50 publishers, each with a subscriber of its own, QoS 0, 256 bytes",
        scenario: &["pairs", "--qos", "0"],
        ..PLAIN
    },
    Row {
        name: "pairs-1",
        group: "saturated",
        about: "the same at QoS 1",
        scenario: &["pairs", "--qos", "1"],
        ..PLAIN
    },
    Row {
        name: "pairs-2",
        group: "saturated",
        about: "the same at QoS 2",
        scenario: &["pairs", "--qos", "2"],
        ..PLAIN
    },
    Row {
        name: "pairs-tls",
        group: "saturated",
        about: "the same at QoS 0 over TLS",
        scenario: &["pairs", "--qos", "0"],
        transport: Transport::Tls,
        ..PLAIN
    },
    Row {
        name: "pairs-ws",
        group: "saturated",
        about: "the same at QoS 0 over WebSocket",
        scenario: &["pairs", "--qos", "0"],
        transport: Transport::WebSocket,
        ..PLAIN
    },
    Row {
        name: "rate-0",
        group: "paced",
        about: "50 pairs, 20 000 messages per second, QoS 0",
        scenario: &["pairs", "--qos", "0", "--rate", "20000"],
        scheduling: Scheduling::RealTime,
        metrics: PACED,
        ..PLAIN
    },
    Row {
        name: "rate-1",
        group: "paced",
        about: "50 pairs, 10 000 messages per second, QoS 1",
        scenario: &["pairs", "--qos", "1", "--rate", "10000"],
        scheduling: Scheduling::RealTime,
        metrics: PACED,
        ..PLAIN
    },
    Row {
        name: "latency-1",
        group: "paced",
        about: "100 pairs, 5 000 messages per second, QoS 1",
        scenario: &["pairs", "--pairs", "100", "--qos", "1", "--rate", "5000"],
        scheduling: Scheduling::RealTime,
        metrics: PACED,
        ..PLAIN
    },
    Row {
        name: "calls-0",
        group: "calls",
        about: "one pair, 400 messages per second, each alone, QoS 0",
        scenario: &["pairs", "--pairs", "1", "--qos", "0", "--rate", "400"],
        probe: Probe::SystemCalls,
        metrics: CALLS,
        ..PLAIN
    },
    Row {
        name: "calls-1",
        group: "calls",
        about: "the same at QoS 1",
        scenario: &["pairs", "--pairs", "1", "--qos", "1", "--rate", "400"],
        probe: Probe::SystemCalls,
        metrics: CALLS,
        ..PLAIN
    },
];

/// The rows of these names and groups, in the order of the tables; all of them for no name.
pub(super) fn chosen(names: &[String]) -> Result<Vec<&'static Row>> {
    for name in names {
        if !ROWS.iter().any(|row| row.is_named(name)) {
            let known: Vec<_> = ROWS.iter().map(|row| row.name).collect();
            bail!("there is no row or group {name:?}; rows are {}", known.join(", "));
        }
    }
    let is_chosen = |row: &&Row| names.is_empty() || names.iter().any(|name| row.is_named(name));
    Ok(ROWS.iter().filter(is_chosen).collect())
}

impl Row {
    fn is_named(&self, name: &str) -> bool {
        [self.name, self.group].contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_have_one_name() {
        for (at, row) in ROWS.iter().enumerate() {
            let is_again = ROWS[at + 1..].iter().any(|other| other.is_named(row.name));
            assert!(!is_again && !row.metrics.is_empty(), "{}", row.name);
        }
    }

    #[test]
    fn rows_are_chosen_by_name_and_by_group() {
        let names = |wanted: &[&str]| -> Vec<_> {
            let wanted: Vec<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
            chosen(&wanted).unwrap().iter().map(|row| row.name).collect()
        };
        assert_eq!(names(&["calls-1", "pairs-0"]), ["pairs-0", "calls-1"]);
        assert_eq!(names(&["calls"]), ["calls-0", "calls-1"]);
        assert_eq!(names(&[]).len(), ROWS.len());
        assert!(chosen(&["dance".to_owned()]).is_err());
    }
}

//! What is measured: the rows of the tables.

use anyhow::{Result, bail};

use super::ours::Org;
use super::row::{
    CALLS, CONNECT, CROWD, Length, MEMORY, Method, NEIGHBOUR, Noise, PACED, Row, SATURATED, STORES,
    Scheduling, Transport, Who,
};

const PLAIN: Row = Row {
    name: "",
    group: "",
    about: "",
    scenario: &[],
    transport: Transport::Tcp,
    scheduling: Scheduling::Ordinary,
    method: Method::Once,
    length: Length::Seconds,
    sources: 0,
    who: Who::Everybody,
    settings: &[],
    metrics: SATURATED,
};

const PACE: Row = Row {
    group: "paced",
    scheduling: Scheduling::RealTime,
    metrics: PACED,
    ..PLAIN
};

/// Some 28 000 ports of each address are used for a minute.
const CONNECTING: Row = Row {
    group: "connecting",
    scenario: &["connect"],
    sources: 64,
    metrics: CONNECT,
    ..PLAIN
};

const STORING: Row = Row {
    group: "stores",
    length: Length::Work,
    metrics: STORES,
    ..PLAIN
};

/// More than the rows put in.
const MUCH_WAITS: (&str, &str) = ("LIMITS_QUEUE_MESSAGES_MAX", "1000000");
const MANY_BYTES_WAIT: (&str, &str) = ("LIMITS_QUEUE_BYTES_MAX", "1073741824");
/// What the others do.
const IN_MEMORY: (&str, &str) = ("DURABILITY_LEVEL", "memory");

/// A small one first: a broker's own buffers and caches are not what a connection costs.
const IDLE: Row = Row {
    group: "memory",
    scenario: &["idle"],
    method: Method::Rehearsed(&["idle", "--connections", "100"]),
    metrics: MEMORY,
    ..PLAIN
};

/// 500 messages per second of one organization, while another one is noisy.
const QUIET: Row = Row {
    group: "neighbour",
    scenario: &["pairs", "--pairs", "100", "--qos", "1", "--rate", "500"],
    scheduling: Scheduling::RealTime,
    who: Who::Ours,
    metrics: NEIGHBOUR,
    ..PLAIN
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
        name: "fan-out-0",
        group: "saturated",
        about: "one publisher, 1 000 subscribers, QoS 0",
        scenario: &["fan-out", "--qos", "0"],
        ..PLAIN
    },
    Row {
        name: "fan-out-1",
        group: "saturated",
        about: "the same at QoS 1",
        scenario: &["fan-out", "--qos", "1"],
        ..PLAIN
    },
    Row {
        name: "fan-in-0",
        group: "saturated",
        about: "1 000 publishers, 5 subscribers that share the messages, QoS 0",
        scenario: &["fan-in", "--qos", "0"],
        ..PLAIN
    },
    Row {
        name: "fan-in-1",
        group: "saturated",
        about: "the same at QoS 1",
        scenario: &["fan-in", "--qos", "1"],
        ..PLAIN
    },
    Row {
        name: "wildcards",
        group: "saturated",
        about: "50 publishers to 10 000 topics, 100 subscribers with 100 000 filters, of which a message matches one, QoS 0",
        scenario: &["wildcards", "--qos", "0"],
        ..PLAIN
    },
    Row {
        name: "rate-0",
        about: "50 pairs, 20 000 messages per second, QoS 0",
        scenario: &["pairs", "--qos", "0", "--rate", "20000"],
        ..PACE
    },
    Row {
        name: "rate-1",
        about: "50 pairs, 10 000 messages per second, QoS 1",
        scenario: &["pairs", "--qos", "1", "--rate", "10000"],
        ..PACE
    },
    Row {
        name: "latency-1",
        about: "100 pairs, 5 000 messages per second, QoS 1",
        scenario: &["pairs", "--pairs", "100", "--qos", "1", "--rate", "5000"],
        ..PACE
    },
    Row {
        name: "crowd-0",
        group: "crowd",
        about: "two messages per second to 10 000 subscribers, QoS 0, until the last one has it",
        scenario: &["fan-out", "--subscribers", "10000", "--qos", "0", "--rate", "2"],
        metrics: CROWD,
        ..PACE
    },
    Row {
        name: "crowd-1",
        group: "crowd",
        about: "the same at QoS 1",
        scenario: &["fan-out", "--subscribers", "10000", "--qos", "1", "--rate", "2"],
        metrics: CROWD,
        ..PACE
    },
    Row {
        name: "calls-0",
        group: "calls",
        about: "one pair, 400 messages per second, each alone, QoS 0",
        scenario: &["pairs", "--pairs", "1", "--qos", "0", "--rate", "400"],
        method: Method::SystemCalls,
        metrics: CALLS,
        ..PLAIN
    },
    Row {
        name: "calls-1",
        group: "calls",
        about: "the same at QoS 1",
        scenario: &["pairs", "--pairs", "1", "--qos", "1", "--rate", "400"],
        method: Method::SystemCalls,
        metrics: CALLS,
        ..PLAIN
    },
    Row {
        name: "connect",
        about: "connections that are opened and closed, 32 at once",
        ..CONNECTING
    },
    Row {
        name: "connect-tls",
        about: "the same over TLS, each with a whole handshake",
        transport: Transport::Tls,
        ..CONNECTING
    },
    Row {
        name: "retained",
        about: "100 000 retained messages, then all of them by one subscription, QoS 1; ours in memory as the others",
        scenario: &["retained"],
        settings: &[IN_MEMORY],
        ..STORING
    },
    Row {
        name: "retained-disk",
        about: "the same; ours on disk before it acknowledges, the others in memory",
        scenario: &["retained"],
        ..STORING
    },
    Row {
        name: "queue",
        about: "100 000 messages for a client that is away and comes back, QoS 1; ours in memory as the others",
        scenario: &["queue"],
        settings: &[IN_MEMORY, MUCH_WAITS, MANY_BYTES_WAIT],
        ..STORING
    },
    Row {
        name: "queue-60k",
        about: "60 000 of them: FlashMQ keeps no more than 65 535",
        scenario: &["queue", "--messages", "60000"],
        settings: &[IN_MEMORY, MUCH_WAITS, MANY_BYTES_WAIT],
        ..STORING
    },
    Row {
        name: "queue-disk",
        about: "100 000 of them; ours on disk before it acknowledges, the others in memory",
        scenario: &["queue"],
        settings: &[MUCH_WAITS, MANY_BYTES_WAIT],
        ..STORING
    },
    Row {
        name: "idle",
        about: "10 000 connections that are merely there, each with a subscription",
        ..IDLE
    },
    Row {
        name: "idle-tls",
        about: "the same over TLS",
        transport: Transport::Tls,
        ..IDLE
    },
    Row {
        name: "idle-wss",
        about: "the same over WebSocket with TLS",
        transport: Transport::WebSocketTls,
        ..IDLE
    },
    Row {
        name: "near-crowd-0",
        about: "100 pairs, 500 messages per second, QoS 1; beside them another organization as in crowd-0",
        method: Method::Beside(&Noise {
            org: Org::Second,
            scenario: &["fan-out", "--subscribers", "10000", "--qos", "0", "--rate", "2"],
            connections: 10_001,
        }),
        ..QUIET
    },
    Row {
        name: "near-crowd-1",
        about: "the same beside crowd-1",
        method: Method::Beside(&Noise {
            org: Org::Second,
            scenario: &["fan-out", "--subscribers", "10000", "--qos", "1", "--rate", "2"],
            connections: 10_001,
        }),
        ..QUIET
    },
    Row {
        name: "near-flood",
        about: "the same beside 100 publishers that send 100 times what their organization may",
        // Nothing waits for what is refused.
        method: Method::Beside(&Noise {
            org: Org::Limited,
            scenario: &["pairs", "--pairs", "100", "--rate", "100000", "--window", "65535"],
            connections: 200,
        }),
        ..QUIET
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

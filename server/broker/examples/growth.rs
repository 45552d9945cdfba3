//! How cost grows: memory and time of one organization's machine with 1 to 1 000 000 subscribers, filters, retained
//! messages and organizations, as Markdown tables. No socket, no store, nothing but the machine.
//!
//! ```text
//! cargo run --release -p cloudsignal-broker --example growth -- [MAX]
//! ```
//! Each line is a process of its own, so that nobody uses the memory of the one before.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "it says what it has measured")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::fs;
use std::process::Command;
use std::sync::Arc;

use cloudsignal_broker::change::Change;
use cloudsignal_broker::{
    Access, CloseCause, ConnId, Credential, Fetch, Identity, Limits, Message, Org, OrgId, Policy, Report,
    Sink,
};
use cloudsignal_core::codec::{Connect, Packet, PacketId, Publish, Subscribe, SubscribeFilter, Unsubscribe};
use cloudsignal_core::{Instant, Qos, TopicFilter, TopicName, Version};

const NOW: Instant = Instant::ZERO;
const PUBLISHER: ConnId = ConnId(0);
const PAYLOAD: [u8; 256] = [b'.'; 256];
const MAX_DEFAULT: u32 = 1_000_000;
/// Operations that are timed, at least; below it the clock and the caches are what is measured.
const TIMED_MIN: u32 = 100_000;
/// Filters that one session holds.
const FILTERS_EACH: u32 = 1_000;

/// A table: its name, what it is about, what is counted, what is timed, and the measurement.
type Kind = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    fn(u32) -> Cell,
);

const KINDS: [Kind; 4] = [
    (
        "subscribers",
        "one topic, everybody subscribes to it, QoS 0",
        "bytes per connected session",
        "ns per delivery",
        subscribers,
    ),
    (
        "filters",
        "filters `fleet/DEVICE/+/#`, a thousand for each session; a message matches one of them, no topic soon again",
        "bytes per filter",
        "ns per message",
        filters,
    ),
    (
        "retained",
        "retained messages of 256 bytes, each on a topic of its own; one is asked for by its name",
        "bytes per message",
        "ns per subscription",
        retained,
    ),
    (
        "organizations",
        "organizations with two connected clients and a subscription each; one message after the other to each",
        "bytes per organization",
        "ns per message",
        organizations,
    ),
];

/// What one line says.
struct Cell {
    bytes_each: u64,
    nanos_each: u128,
}

/// Takes everything and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn send(&mut self, _conn: ConnId, _bytes: &[u8]) -> usize {
        0
    }

    fn send_shared(&mut self, _conn: ConnId, _head: &[u8], _message: &Arc<Message>) -> usize {
        0
    }

    fn close(&mut self, conn: ConnId, cause: CloseCause) {
        panic!("{conn:?} was closed: {cause}");
    }

    fn verify(&mut self, _conn: ConnId, _token: &[u8]) {}

    fn store(&mut self, _change: Change) {}

    fn fetch(&mut self, _fetch: Fetch) {}

    fn report(&mut self, _report: Report<'_>) {}
}

/// Bytes of memory that the process holds.
fn memory_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("a number of kilobytes") * 1_024
}

fn org(number: u32) -> Org {
    let limits = Limits {
        connections_max: u32::MAX,
        sessions_max: u32::MAX,
        retained_messages_max: usize::MAX,
        retained_bytes_max: usize::MAX,
        fan_out_max: u32::MAX,
        ..Limits::default()
    };
    Org::new(
        OrgId::new(&format!("org_{number}")),
        limits,
        Policy::permit_all(),
        1,
    )
}

fn connect(org: &mut Org, conn: ConnId) {
    let client_id = format!("client-{}", conn.0);
    let identity = Identity {
        org: org.id().clone(),
        username: "fleet".into(),
        principal: "user/fleet".into(),
        credential: Credential::Password { user: "fleet".into() },
        claims: Vec::new(),
        expires_at: None,
        access: Access::Policy,
        scope: None,
    };
    let connect = Connect::new(Version::V5, &client_id);
    org.handle_connect(conn, &connect, identity, NOW, &mut Nowhere);
}

fn subscribe(org: &mut Org, conn: ConnId, filter: &str) {
    let filter = SubscribeFilter::new(TopicFilter::parse(filter).expect("a filter"), Qos::AtMostOnce);
    let subscribe = Packet::Subscribe(Subscribe::new(PacketId::MIN, vec![filter]));
    org.handle_packet(conn, &subscribe, NOW, &mut Nowhere);
}

fn publish(org: &mut Org, topic: &str, retain: bool) {
    let mut publish = Publish::new(TopicName::parse(topic).expect("a topic"), &PAYLOAD);
    publish.retain = retain;
    org.handle_packet(PUBLISHER, &Packet::Publish(publish), NOW, &mut Nowhere);
}

/// Visits `0..count` with big steps, so that neighbours do not come one after the other.
fn scattered(count: u32, times: u32) -> impl Iterator<Item = u32> {
    // A prime, which divides no count here.
    (0..times)
        .map(move |turn| u32::try_from(u64::from(turn) * 7_919 % u64::from(count)).expect("below count"))
}

fn nanos_each(operations: u32, work: impl FnOnce()) -> u128 {
    let begin = std::time::Instant::now();
    work();
    begin.elapsed().as_nanos() / u128::from(operations)
}

fn subscribers(count: u32) -> Cell {
    let mut org = org(0);
    connect(&mut org, PUBLISHER);
    let before = memory_bytes();
    for number in 1..=count {
        connect(&mut org, ConnId(number));
        subscribe(&mut org, ConnId(number), "fleet/all");
    }
    let bytes_each = (memory_bytes() - before) / u64::from(count);
    publish(&mut org, "fleet/all", false); // Who gets it is found once.
    let messages = (20 * TIMED_MIN).div_ceil(count).max(3);
    let nanos_each = nanos_each(messages * count, || {
        (0..messages).for_each(|_| publish(&mut org, "fleet/all", false));
    });
    let delivered: u64 = org.counters().messages_sent.iter().sum();
    assert_eq!(
        delivered,
        u64::from(count) * (u64::from(messages) + 1),
        "all got all"
    );
    Cell {
        bytes_each,
        nanos_each,
    }
}

fn filters(count: u32) -> Cell {
    let mut org = org(0);
    connect(&mut org, PUBLISHER);
    let before = memory_bytes();
    for number in 0..count {
        let conn = ConnId(1 + number / FILTERS_EACH);
        if number % FILTERS_EACH == 0 {
            connect(&mut org, conn);
        }
        subscribe(&mut org, conn, &format!("fleet/{number:07}/+/#"));
    }
    let bytes_each = (memory_bytes() - before) / u64::from(count);
    let times = (2 * TIMED_MIN).max(count);
    let topics: Vec<String> = scattered(count, times)
        .zip(0..)
        .map(|(number, turn): (u32, u32)| format!("fleet/{number:07}/{turn}/value"))
        .collect();
    let nanos_each = nanos_each(times, || {
        topics.iter().for_each(|topic| publish(&mut org, topic, false));
    });
    let delivered: u64 = org.counters().messages_sent.iter().sum();
    assert_eq!(delivered, u64::from(times), "each matched one");
    Cell {
        bytes_each,
        nanos_each,
    }
}

fn retained(count: u32) -> Cell {
    let mut org = org(0);
    connect(&mut org, PUBLISHER);
    connect(&mut org, ConnId(1));
    let before = memory_bytes();
    for number in 0..count {
        publish(&mut org, &format!("state/{number:07}"), true);
    }
    let bytes_each = (memory_bytes() - before) / u64::from(count);
    let wanted: Vec<String> = scattered(count, TIMED_MIN)
        .map(|number| format!("state/{number:07}"))
        .collect();
    let nanos_each = nanos_each(TIMED_MIN, || {
        // One session may not hold that many.
        for filter in &wanted {
            subscribe(&mut org, ConnId(1), filter);
            let unsubscribe = Unsubscribe::new(PacketId::MIN, vec![TopicFilter::parse(filter)]);
            org.handle_packet(ConnId(1), &Packet::Unsubscribe(unsubscribe), NOW, &mut Nowhere);
        }
    });
    let delivered: u64 = org.counters().messages_sent.iter().sum();
    assert_eq!(delivered, u64::from(TIMED_MIN), "each was found");
    Cell {
        bytes_each,
        nanos_each,
    }
}

fn organizations(count: u32) -> Cell {
    let before = memory_bytes();
    let mut orgs: Vec<Org> = (0..count).map(org).collect();
    for org in &mut orgs {
        connect(org, PUBLISHER);
        connect(org, ConnId(1));
        subscribe(org, ConnId(1), "fleet/all");
    }
    let bytes_each = (memory_bytes() - before) / u64::from(count);
    let times = TIMED_MIN.max(2 * count);
    let nanos_each = nanos_each(times, || {
        for number in scattered(count, times) {
            publish(&mut orgs[number as usize], "fleet/all", false);
        }
    });
    let delivered: u64 = orgs
        .iter()
        .map(|org| org.counters().messages_sent.iter().sum::<u64>())
        .sum();
    assert_eq!(delivered, u64::from(times), "each had its own");
    Cell {
        bytes_each,
        nanos_each,
    }
}

/// A line of a table, by a process of its own.
fn line(kind: &str, count: u32) -> String {
    let program = std::env::current_exe().expect("a program knows its file");
    let mut command = Command::new(program);
    command.args([kind, &count.to_string()]);
    let answer = command.output().expect("it starts once more");
    assert!(
        answer.status.success(),
        "{}",
        String::from_utf8_lossy(&answer.stderr)
    );
    String::from_utf8(answer.stdout).expect("text")
}

fn tables(max: u32) {
    for (name, about, bytes, nanos, _) in KINDS {
        println!("## {name}\n\n{about}\n\n| {name} | {bytes} | {nanos} |\n|---|---|---|");
        let counts = std::iter::successors(Some(1_u32), |count| count.checked_mul(10));
        for count in counts.take_while(|count| *count <= max) {
            print!("{}", line(name, count));
        }
        println!();
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &String| text.parse().expect("a number");
    match &*args {
        [] => tables(MAX_DEFAULT),
        [max] => tables(number(max)),
        [name, count] => {
            let (.., measure) = KINDS.iter().find(|(kind, ..)| kind == name).expect("a table");
            let count = number(count);
            let cell = measure(count);
            // Below it, memory grows by pages and not by what one of them costs.
            let bytes = if count < 1_000 {
                "–".to_owned()
            } else {
                cell.bytes_each.to_string()
            };
            println!("| {count} | {bytes} | {} |", cell.nanos_each);
        }
        _ => panic!("growth [MAX]"),
    }
}

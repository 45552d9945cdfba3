//! What a session costs whose client is away: memory of the machine alone, for devices with three subscriptions each,
//! two of them to filters of their own (`devices/000123456/cmd`, `devices/000123456/config`) and one that all have
//! (`fleet/all`). Then what it takes to find them: one message to every device, which is no topic twice.
//!
//! ```text
//! cargo run --release -p cloudsignal-broker --example idle -- SESSIONS USERS
//! ```
//! `USERS` is `one` (all devices log in with the same user) or `each` (every device has its own).
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "it says what it has measured")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::fs;
use std::sync::Arc;

use cloudsignal_broker::change::Change;
use cloudsignal_broker::{
    Access, CloseCause, ConnId, Credential, Fetch, Identity, Limits, Message, Org, OrgId, Policy, Report,
    Sink,
};
use cloudsignal_core::codec::{Connect, Packet, PacketId, Publish, Subscribe, SubscribeFilter};
use cloudsignal_core::{Instant, Qos, TopicFilter, TopicName, Version};

const SESSIONS_DEFAULT: u32 = 100_000;
const PUBLISHER: ConnId = ConnId(1);
const NOW: Instant = Instant::ZERO;

/// Takes everything and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn send(&mut self, _conn: ConnId, _bytes: &[u8]) -> usize {
        0
    }

    fn send_shared(&mut self, _conn: ConnId, _head: &[u8], _message: &Arc<Message>) -> usize {
        0
    }

    fn close(&mut self, _conn: ConnId, _cause: CloseCause) {}

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

/// Whose devices they are.
#[derive(Clone, Copy)]
enum Users {
    One,
    Each,
}

fn identity(org: &OrgId, number: u32, users: Users) -> Identity {
    let user = match users {
        Users::One => "fleet".to_owned(),
        Users::Each => format!("device{number}"),
    };
    Identity {
        org: org.clone(),
        username: user.as_str().into(),
        principal: format!("user:{user}").into(),
        credential: Credential::Password { user: user.into() },
        claims: Vec::new(),
        expires_at: None,
        access: Access::Policy,
        scope: None,
    }
}

/// Comes in, subscribes to what devices subscribe to, and goes.
fn visit(org: &mut Org, number: u32, users: Users) {
    let conn = ConnId(0);
    let client_id = format!("device-{number:09}");
    let mut connect = Connect::new(Version::V5, &client_id);
    (connect.clean_start, connect.session_expiry_secs) = (false, Some(u32::MAX));
    org.handle_connect(
        conn,
        &connect,
        identity(&org.id().clone(), number, users),
        NOW,
        &mut Nowhere,
    );
    let own = ["cmd", "config"].map(|leaf| format!("devices/{number:09}/{leaf}"));
    let filters = [&*own[0], &*own[1], "fleet/all"]
        .map(|filter| SubscribeFilter::new(TopicFilter::parse(filter).expect("a filter"), Qos::AtLeastOnce));
    let subscribe = Packet::Subscribe(Subscribe::new(PacketId::MIN, filters.into()));
    org.handle_packet(conn, &subscribe, NOW, &mut Nowhere);
    store(org);
    org.handle_closed(conn, NOW, &mut Nowhere);
    store(org);
}

/// A store that is never behind.
fn store(org: &mut Org) {
    if let Some(ticket) = org.seal() {
        org.handle_stored(ticket, NOW, &mut Nowhere);
    }
}

/// One QoS 0 message to each device: it is found and, being away, not sent anything. Answers nanoseconds each.
fn find_all(org: &mut Org, sessions: u32) -> u128 {
    let publisher = ConnId(1);
    let connect = Connect::new(Version::V5, "publisher");
    org.handle_connect(
        publisher,
        &connect,
        identity(&org.id().clone(), 0, Users::One),
        NOW,
        &mut Nowhere,
    );
    let begin = std::time::Instant::now();
    for number in 0..sessions {
        let topic = format!("devices/{number:09}/cmd");
        let publish = Publish::new(TopicName::parse(&topic).expect("a topic"), b"on");
        org.handle_packet(PUBLISHER, &Packet::Publish(publish), NOW, &mut Nowhere);
    }
    begin.elapsed().as_nanos() / u128::from(sessions.max(1))
}

fn main() {
    let mut args = std::env::args().skip(1);
    let sessions = args
        .next()
        .map(|text| text.parse().expect("a number of sessions"));
    let sessions: u32 = sessions.unwrap_or(SESSIONS_DEFAULT);
    let users = match args.next().as_deref() {
        None | Some("one") => Users::One,
        Some("each") => Users::Each,
        Some(other) => panic!("USERS is one or each, not {other}"),
    };
    let (policy, limits) = (
        Policy::permit_all(),
        Limits {
            sessions_max: u32::MAX,
            ..Limits::default()
        },
    );
    let mut org = Org::new(OrgId::new("org_k7xm4pqr2n5t"), limits, policy, 1);
    let connect = Connect::new(Version::V5, "publisher");
    let operator = identity(&org.id().clone(), 0, Users::One);
    org.handle_connect(PUBLISHER, &connect, operator, NOW, &mut Nowhere);
    let before = memory_bytes();
    let begin = std::time::Instant::now();
    for number in 0..sessions {
        visit(&mut org, number, users);
    }
    let visit_nanos = begin.elapsed().as_nanos() / u128::from(sessions.max(1));
    let grown = memory_bytes() - before;
    let there = org.counters().sessions_now - 1;
    println!(
        "{there} sessions with three subscriptions each: {} bytes each, {} MiB",
        grown / u64::from(sessions.max(1)),
        grown / 1_024 / 1_024
    );
    println!("a visit of each: {visit_nanos} ns");
    println!("a message to each: {} ns", find_all(&mut org, sessions));
}

//! What a session costs whose client is away: memory of the machine alone, for sessions with three subscriptions each.
//!
//! ```text
//! cargo run --release -p cloudsignal-broker --example idle -- 100000
//! ```
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "it says what it has measured")]

use std::fs;
use std::sync::Arc;

use cloudsignal_broker::change::Change;
use cloudsignal_broker::{
    Access, CloseCause, ConnId, Credential, Fetch, Identity, Limits, Message, Org, OrgId, Policy, Report,
    Sink, Ticket,
};
use cloudsignal_core::codec::{Connect, Packet, PacketId, Subscribe, SubscribeFilter};
use cloudsignal_core::{Instant, Qos, TopicFilter, Version};

const SESSIONS_DEFAULT: u32 = 100_000;
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

fn identity(number: u32) -> Identity {
    let user = format!("device{number}");
    Identity {
        org: OrgId::new("org_k7xm4pqr2n5t"),
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
fn visit(org: &mut Org, number: u32) {
    let conn = ConnId(0);
    let client_id = format!("device-{number:08}");
    let mut connect = Connect::new(Version::V5, &client_id);
    (connect.clean_start, connect.session_expiry_secs) = (false, Some(u32::MAX));
    org.handle_connect(conn, &connect, identity(number), NOW, &mut Nowhere);
    let (own, answers) = (
        format!("devices/{number}/commands"),
        format!("devices/{number}/answers"),
    );
    let filters = [own.as_str(), answers.as_str(), "news/all"]
        .map(|filter| SubscribeFilter::new(TopicFilter::parse(filter).expect("a filter"), Qos::AtLeastOnce));
    let subscribe = Packet::Subscribe(Subscribe::new(PacketId::MIN, filters.into()));
    org.handle_packet(conn, &subscribe, NOW, &mut Nowhere);
    org.handle_closed(conn, NOW, &mut Nowhere);
    if let Some(Ticket(ticket)) = org.seal() {
        org.handle_stored(Ticket(ticket), NOW, &mut Nowhere);
    }
}

fn main() {
    let asked = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let sessions = asked.unwrap_or(SESSIONS_DEFAULT);
    let mut org = Org::new(
        OrgId::new("org_k7xm4pqr2n5t"),
        Limits::default(),
        Policy::permit_all(),
        1,
    );
    let before = memory_bytes();
    for number in 0..sessions {
        visit(&mut org, number);
    }
    let grown = memory_bytes() - before;
    println!(
        "{sessions} sessions with three subscriptions each: {} bytes each, {} MiB",
        grown / u64::from(sessions.max(1)),
        grown / 1_024 / 1_024
    );
    println!("{} sessions are there", org.counters().sessions_now);
}

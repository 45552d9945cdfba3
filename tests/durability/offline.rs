//! Sessions whose clients are away, with three subscriptions each: what they take in memory before and after a start, and
//! how long the start takes.
//!
//! ```text
//! CS_TEST_SESSIONS=1000000 cargo test --release -p cloudsignal-tests --test durability -- offline --nocapture
//! ```
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use cloudsignal_core::Qos;
use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use tokio::task::JoinSet;

use crate::client::{Client, Got, ack};
use crate::moment::{number_from_environment, say};

/// Sessions of an ordinary test run.
const SESSIONS_DEFAULT: usize = 2_000;
/// Clients that connect at the same time.
const CONNECTING: usize = 256;
/// Sessions that have one of their filters in common.
const GROUP: usize = 1_000;
/// Sessions that are asked after the start.
const PROBES: usize = 50;
/// What a session and its subscriptions may take in memory after a start, beside what the process takes anyway.
const SESSION_BYTES_MAX: u64 = 2_048;
/// What a process may take more than another that has done something else before.
const NOISE_BYTES: u64 = 64 * 1_024 * 1_024;

fn client_id(number: usize) -> String {
    format!("device-{number:07}")
}

/// Two filters of its own, and one that a thousand have.
fn filters(number: usize) -> [String; 3] {
    [
        format!("devices/{number:07}/commands"),
        format!("devices/{number:07}/config/+"),
        format!("sites/{:04}/#", number % GROUP),
    ]
}

/// Topics that match them.
fn topics(number: usize) -> [String; 3] {
    [
        format!("devices/{number:07}/commands"),
        format!("devices/{number:07}/config/interval"),
        format!("sites/{:04}/alarm", number % GROUP),
    ]
}

async fn leave_sessions(addr: SocketAddr, sessions: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut at_work = JoinSet::new();
    for _ in 0..CONNECTING {
        let next = Arc::clone(&next);
        at_work.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= sessions {
                    return;
                }
                Client::leave_session(addr, &client_id(number), &filters(number)).await;
            }
        });
    }
    while let Some(ended) = at_work.join_next().await {
        ended.expect("it ends well");
    }
}

/// Some clients come back: their sessions are there, and each of their filters gets its message.
async fn probe(addr: SocketAddr, sessions: usize) {
    let (mut publisher, _) = Client::connect(addr, "publisher", 0).await;
    for probe in 0..PROBES.min(sessions) {
        let number = probe * sessions / PROBES.min(sessions);
        let (mut client, session_present) = Client::connect(addr, &client_id(number), u32::MAX).await;
        assert!(session_present, "the session of {}", client_id(number));
        for topic in topics(number) {
            publisher
                .publish(&topic, &topic, Qos::AtLeastOnce, 1, false)
                .await;
            assert_eq!(publisher.next().await, Got::PubAck(1));
            loop {
                let Got::Message { topic: came, id, .. } = client.next().await else {
                    panic!("only messages come")
                };
                client
                    .send(&cloudsignal_core::codec::Packet::PubAck(ack(id)))
                    .await;
                // What earlier probes have told the same group comes first.
                if came == topic {
                    break;
                }
            }
        }
    }
}

fn options(sessions: usize) -> BrokerOptions {
    let sessions_max = u64::try_from(sessions + PROBES).expect("it fits");
    BrokerOptions::default()
        .with_anonymous_clients()
        .with("LIMITS_SESSIONS_MAX", sessions_max)
}

fn start_again(mut broker: Broker, moment: &str) -> Broker {
    assert_eq!(broker.terminate(), Some(0));
    let begin = Instant::now();
    let broker = broker.start_again();
    say(moment, &broker, begin.elapsed());
    broker
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_whose_client_is_away_costs_little() {
    let sessions = number_from_environment("CS_TEST_SESSIONS", SESSIONS_DEFAULT);
    let broker = start_again(options(sessions).start(), "started with nothing");
    let before = broker.memory_bytes();
    let begin = Instant::now();
    leave_sessions(broker.addr(Listener::Mqtt), sessions).await;
    say(&format!("{sessions} sessions left"), &broker, begin.elapsed());

    let broker = start_again(broker, "started again");
    let grown = broker.memory_bytes().saturating_sub(before);
    say_each(grown, sessions);
    probe(broker.addr(Listener::Mqtt), sessions).await;
    let bound = SESSION_BYTES_MAX * u64::try_from(sessions).expect("it fits") + NOISE_BYTES;
    assert!(grown < bound, "{grown} bytes for {sessions} sessions");
}

#[expect(clippy::print_stdout, reason = "a run says what it has measured")]
fn say_each(grown: u64, sessions: usize) {
    let each = grown / u64::try_from(sessions).expect("it fits").max(1);
    println!("{each} bytes of memory for each session after the start");
}

//! Many messages wait for clients that are away: they cost disk, and memory only by their sessions. How much of each,
//! how long a start takes with them, and how fast they leave:
//!
//! ```text
//! CS_TEST_QUEUED=1000000 cargo test --release -p cloudsignal-tests --test durability -- queued --nocapture
//! ```
//!
//! One half is published to one session each, the other half to all sessions at once.
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cloudsignal_core::Qos;
use cloudsignal_core::codec::Packet;
use cloudsignal_tests::broker::{BrokerOptions, Listener};
use tokio::task::JoinSet;

use crate::client::{Client, Got, ack};
use crate::moment::{number_from_environment, say};

/// Messages of an ordinary test run.
const QUEUED_DEFAULT: usize = 20_000;
/// Of these, each session has about so many.
const QUEUED_EACH: usize = 1_000;
/// At least so many sessions.
const SESSIONS_MIN: usize = 20;
/// Bytes of a payload.
const PAYLOAD_BYTES: usize = 200;
/// Publishes that are not acknowledged yet.
const WINDOW: usize = 200;
/// Clients that fetch their queues at the same time.
const RETURNING_MAX: usize = 50;
/// What the process may grow by, whatever waits: buffers and caches of the storage engine.
const GROWTH_BYTES_MAX: u64 = 384 * 1_024 * 1_024;

#[derive(Clone, Copy)]
struct Plan {
    sessions: usize,
    /// Messages of each session that nobody else gets.
    own: usize,
    /// Messages that every session gets.
    common: usize,
}

impl Plan {
    fn new() -> Self {
        let queued = number_from_environment("CS_TEST_QUEUED", QUEUED_DEFAULT);
        let sessions = (queued / QUEUED_EACH).max(SESSIONS_MIN);
        let own = queued / sessions / 2;
        Self {
            sessions,
            own,
            common: queued / sessions - own,
        }
    }

    const fn queued(self) -> usize {
        self.sessions * (self.own + self.common)
    }
}

async fn make_sessions(addr: SocketAddr, plan: Plan) {
    for session in 0..plan.sessions {
        let (mut client, _) = Client::connect(addr, &format!("away{session}"), u32::MAX).await;
        client.subscribe("common").await;
        client.subscribe(&format!("own/{session}")).await;
    }
}

/// Publishes everything and waits until all of it is acknowledged.
async fn publish_all(addr: SocketAddr, plan: Plan) {
    let (mut publisher, _) = Client::connect(addr, "publisher", 0).await;
    let pad = "x".repeat(PAYLOAD_BYTES);
    let own = (0..plan.own)
        .flat_map(|number| (0..plan.sessions).map(move |session| (format!("own/{session}"), number)));
    let common = (0..plan.common).map(|number| ("common".to_owned(), number));
    let mut waiting = 0;
    for (at, (topic, number)) in own.chain(common).enumerate() {
        if waiting == WINDOW {
            assert!(matches!(publisher.next().await, Got::PubAck(_)));
            waiting -= 1;
        }
        let payload = format!("{number} {pad}");
        let id = u16::try_from(at % 60_000 + 1).expect("an id");
        publisher
            .publish(&topic, &payload, Qos::AtLeastOnce, id, false)
            .await;
        waiting += 1;
    }
    for _ in 0..waiting {
        assert!(matches!(publisher.next().await, Got::PubAck(_)));
    }
}

/// A client comes back and takes everything that is its, in order.
async fn come_back(addr: SocketAddr, session: usize, plan: Plan) {
    let (mut client, session_present) = Client::connect(addr, &format!("away{session}"), u32::MAX).await;
    assert!(session_present);
    let numbers = (0..plan.own).chain(0..plan.common);
    for expected in numbers {
        let Got::Message { payload, id, .. } = client.next().await else {
            panic!("only messages come")
        };
        let number = payload.split(' ').next().map(str::parse);
        assert_eq!(number, Some(Ok(expected)), "in order, and nothing twice");
        client.send(&Packet::PubAck(ack(id))).await;
    }
    // The last acknowledgement has arrived when this has.
    client.subscribe("common").await;
}

async fn come_back_all(addr: SocketAddr, plan: Plan) {
    let mut at_work = JoinSet::new();
    for session in 0..plan.sessions {
        if at_work.len() == RETURNING_MAX {
            at_work
                .join_next()
                .await
                .expect("some are at work")
                .expect("it ends well");
        }
        at_work.spawn(come_back(addr, session, plan));
    }
    while let Some(ended) = at_work.join_next().await {
        ended.expect("it ends well");
    }
}

#[tokio::test]
async fn what_is_queued_costs_disk_and_not_memory() {
    let plan = Plan::new();
    let broker = BrokerOptions::default().with_anonymous_clients().start();
    let addr = broker.addr(Listener::Mqtt);
    make_sessions(addr, plan).await;
    let before = broker.memory_bytes();
    say(&format!("{} sessions", plan.sessions), &broker, Duration::ZERO);

    let begin = Instant::now();
    publish_all(addr, plan).await;
    say(&format!("{} queued", plan.queued()), &broker, begin.elapsed());
    let grown = broker.memory_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "it has grown by {grown} bytes");

    let mut broker = broker;
    assert_eq!(broker.terminate(), Some(0));
    let begin = Instant::now();
    let broker = broker.start_again();
    say("started again", &broker, begin.elapsed());
    assert!(broker.memory_bytes() < before + GROWTH_BYTES_MAX);

    let begin = Instant::now();
    let addr = broker.addr(Listener::Mqtt);
    come_back_all(addr, plan).await;
    let took = begin.elapsed();
    say("taken", &broker, took);
    say_rate(plan, took);

    let mut broker = broker;
    assert_eq!(broker.terminate(), Some(0));
    let begin = Instant::now();
    let broker = broker.start_again();
    say("started with nothing", &broker, begin.elapsed());
    let addr = broker.addr(Listener::Mqtt);
    // Nothing is left for anybody.
    let (mut client, _) = Client::connect(addr, "away0", u32::MAX).await;
    client.subscribe("marker").await;
}

#[expect(clippy::print_stdout, reason = "a run says what it has measured")]
fn say_rate(plan: Plan, took: Duration) {
    let millis = usize::try_from(took.as_millis()).expect("tests end").max(1);
    println!("{} messages per second", plan.queued() * 1_000 / millis);
}

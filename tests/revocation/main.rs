//! How long it takes until a decision of an administrator has reached the last of the connections that it is about.
//!
//! Live clients of the real program log in with passwords, tokens and secret keys, over MQTT 3.1.1 and 5, and are
//! under fire: messages for whoever is next are published as fast as they are taken. Then users are deleted,
//! disabled or given another password, tokens and keys are revoked, and access rules are taken away, in random
//! order through the HTTP API. Measured is the time to the end of the connection, or to the last message that should
//! not have come any more: from the last byte of the API's answer, and from the first byte of the request. Every end
//! must have its code, and nobody else may be touched; how long it takes is printed and decides nothing.
//!
//! | file | holds |
//! |---|---|
//! | [`subject`] | a live client, and what it has seen when |
//! | [`edit`] | what administrators do |
//! | [`table`] | the figures |
//!
//! With a thousand clients:
//!
//! ```text
//! CS_TEST_REVOCATION_CLIENTS=1000 cargo test --release -p cloudsignal-tests --test revocation -- --nocapture
//! ```
mod edit;
mod subject;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cloudsignal_core::Version;
use cloudsignal_core::codec::{PacketId, ReasonCode};
use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::client::{Client, Got, Login};
use cloudsignal_tests::random::Random;
use tokio::net::TcpStream;

use edit::{Edit, Office};
use subject::{Clock, Subject};
use table::{Felt, Table};

/// Clients of an ordinary run.
const CLIENTS_DEFAULT: u64 = 40;
/// Publishes that are taken while nothing comes any more, until an edit counts as felt.
const QUIET_PUBLISHES: u64 = 10;
const SEED: u64 = 1;

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_reach_live_connections_at_once() {
    let count = number_from("CS_TEST_REVOCATION_CLIENTS").unwrap_or(CLIENTS_DEFAULT);
    let seed = number_from("CS_TEST_REVOCATION_SEED").unwrap_or(SEED);
    let broker = BrokerOptions::default().with_many_connections().start();
    let clock = Clock::start();
    let mut office = Office::open(&broker);
    let mut edits = office.hire(&broker, count, clock).await;
    let witness = office.witness(&broker, clock).await;
    let mut fire = Fire::open(&broker).await;
    let mut random = Random::new(seed);
    let mut table = Table::default();
    while !edits.is_empty() {
        let edit = edits.swap_remove(random.index(edits.len()));
        for subject in &edit.subjects {
            assert_eq!(subject.end(), None, "{} was ended by another edit", subject.name);
        }
        let felt = carry_out(&office, &edit, &mut fire, clock).await;
        table.note(edit.kind(), felt);
        office.forget(&edit);
    }
    witness.ping().await;
    assert_eq!(witness.end(), None, "the witness has nothing to do with it");
    for subject in office.survivors() {
        subject.ping().await;
        assert_eq!(subject.end(), None, "{} only lost a rule", subject.name);
    }
    println!(
        "{count} clients, seed {seed}, {} messages under fire",
        fire.published
    );
    println!("{table}");
}

/// Does one thing, under fire. Answers how long each of its clients still felt nothing.
async fn carry_out(office: &Office, edit: &Edit, fire: &mut Fire, clock: Clock) -> Vec<Felt> {
    let (stop, taken) = (AtomicBool::new(false), AtomicU64::new(0));
    let topics: Vec<_> = edit.subjects.iter().map(|it| it.topic.clone()).collect();
    let work = async {
        // The fire is on before anything is decided.
        while taken.load(Ordering::Relaxed) < QUIET_PUBLISHES {
            tokio::task::yield_now().await;
        }
        let asked_at = clock.now();
        office.run(edit).await;
        let answered_at = clock.now();
        let mut felt = Vec::new();
        for subject in &edit.subjects {
            let last = if edit.closes() {
                await_end(subject).await
            } else {
                await_silence(subject, &taken).await
            };
            felt.push(Felt {
                since_answer: last.saturating_sub(answered_at),
                since_request: last.saturating_sub(asked_at),
            });
        }
        stop.store(true, Ordering::Relaxed);
        felt
    };
    tokio::join!(work, fire.on(&topics, &stop, &taken)).0
}

/// Awaits the end, which must have its code. Answers when it was.
async fn await_end(subject: &Arc<Subject>) -> Duration {
    let ended = subject.ended().await;
    let due = subject.version.is_v5().then_some(ReasonCode::NotAuthorized);
    assert_eq!(ended.goodbye, due, "{}", subject.name);
    ended.at
}

/// Awaits that messages which are published do not come any more. Answers when the last one came.
async fn await_silence(subject: &Arc<Subject>, taken: &AtomicU64) -> Duration {
    loop {
        let (before, messages) = (taken.load(Ordering::Relaxed), subject.messages());
        while taken.load(Ordering::Relaxed) < before + QUIET_PUBLISHES {
            tokio::task::yield_now().await;
        }
        // What was delivered before the pong has been read by then.
        subject.ping().await;
        if subject.messages() == messages {
            return subject.last_message_at();
        }
    }
}

/// Somebody who publishes as fast as the broker takes it.
struct Fire {
    client: Client,
    published: u64,
}

impl Fire {
    async fn open(broker: &Broker) -> Self {
        let first_run = broker.first_run();
        let mut client = dial(broker, Version::V5).await;
        let username = format!("server@{}", first_run.org_id);
        let login = Login::Password(&username, &first_run.secret_key);
        assert_eq!(
            client.connect("fire", login).await,
            Got::ConnAck(ReasonCode::Success)
        );
        Self { client, published: 0 }
    }

    async fn on(&mut self, topics: &[String], stop: &AtomicBool, taken: &AtomicU64) {
        for topic in topics.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            self.client.publish(topic, b"fire", PacketId::MIN).await;
            let got = self.client.next().await;
            assert!(matches!(got, Got::PubAck(..)), "{got:?}");
            self.published += 1;
            taken.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn dial(broker: &Broker, version: Version) -> Client {
    let stream = TcpStream::connect(broker.addr(Listener::Mqtt)).await;
    let stream = stream.expect("the broker listens");
    stream.set_nodelay(true).expect("an open socket takes options");
    Client::new(Box::new(stream), version)
}

//! A process with a file store is killed again and again, while it publishes and receives: whatever it was told to be stored
//! arrives, of QoS 2 once, and whatever was sent to it reaches it in the end. Every other time the broker is out of reach.
//!
//! `CS_TEST_SDK_KILLS` says how often (8).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cloudsignal::{Client, FileStore, Qos, Subscription};
use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::proxy::Proxy;
use cloudsignal_tests::random::Random;
use cloudsignal_tests::{ports, wait};
use serde_json::json;
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::child::{self, Task};
use crate::client;

/// The test by which a child comes to life.
const CHILD: &str = "killed::a_child_that_is_killed";
/// A child offers so many messages.
const OFFERED: u64 = 2_000;
/// A number of a message is the round and the place in it.
const ROUND: u64 = 1_000_000;
/// So many messages may be on their way into the store.
const UNDER_WAY: usize = 64;
/// What says that no more comes.
const END: &str = "end";

#[tokio::test]
#[ignore = "a child of the test below"]
async fn a_child_that_is_killed() {
    let task = Task::given();
    let store = FileStore::open(task.text("store")).expect("it can be opened after every end");
    let client = Client::builder(task.text("url"))
        .client_id("killed")
        .password(task.text("username"), task.text("password"));
    let client = client.store(store).start().await.expect("the store can be read");
    let mut incoming = client
        .subscribe("to-killed")
        .begin()
        .await
        .expect("there is room");
    let Some(round) = task.number("round") else {
        client.flush().await.expect("everything is answered");
        print_until_end(&mut incoming).await;
        client.close().await;
        return;
    };
    let first = round * ROUND;
    tokio::spawn(async move { print_until_end(&mut incoming).await });
    let mut storing = JoinSet::new();
    for number in first..first + OFFERED {
        let qos = if number % 2 == 0 {
            Qos::ExactlyOnce
        } else {
            Qos::AtLeastOnce
        };
        let message = client.publish("from-killed", number.to_string()).qos(qos);
        let mut ticket = message.send().await.expect("there is room");
        storing.spawn(async move {
            ticket.stored().await.expect("it is stored");
            child::tell(format_args!("stored {number}"));
        });
        if storing.len() >= UNDER_WAY {
            storing.join_next().await;
        }
    }
    std::future::pending::<()>().await;
}

async fn print_until_end(incoming: &mut Subscription) {
    while let Some(message) = incoming.recv().await {
        let text = message.text().expect("text");
        child::tell(format_args!("got {text}"));
        if text == END {
            break;
        }
    }
}

/// What children have said.
#[derive(Debug, Default)]
struct Said {
    stored: BTreeSet<u64>,
    got: BTreeSet<String>,
}

impl Said {
    fn note(&mut self, line: &str) {
        if let Some(number) = line.strip_prefix("stored ") {
            self.stored.insert(number.parse().expect("a number"));
        } else if let Some(text) = line.strip_prefix("got ") {
            self.got.insert(text.to_owned());
        }
    }

    /// Kills it once so many more messages are stored.
    async fn kill_after(&mut self, child: Child, stored: usize) {
        let is_stored = |line: &str| line.starts_with("stored ");
        for line in child::kill_after(child, stored, is_stored).await {
            self.note(&line);
        }
    }

    async fn hear_out(&mut self, child: Child) {
        let output = timeout(wait::DEADLINE, child.wait_with_output()).await;
        let output = output.expect("it comes to its end").expect("it can be awaited");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {text}", output.status);
        for line in text.lines() {
            self.note(line);
        }
    }
}

fn start(broker: &Broker, proxy: &Proxy, store: &Path, round: Option<u64>) -> Child {
    let first_run = broker.first_run();
    let task = json!({
        "url": format!("mqtt://localhost:{}", proxy.port()),
        "username": first_run.username,
        "password": first_run.password,
        "store": store,
        "round": round,
    });
    child::start(CHILD, &task)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_survives_the_process() {
    let kills = std::env::var("CS_TEST_SDK_KILLS").map_or(8, |text| text.parse().expect("a number"));
    let broker = BrokerOptions::default().start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let proxy = Proxy::to(broker.addr(Listener::Mqtt)).await;
    let judge = client(&broker, Listener::Mqtt)
        .connect()
        .await
        .expect("it is let in");
    let outgoing = judge
        .subscribe("from-killed")
        .qos(Qos::ExactlyOnce)
        .await
        .expect("it is granted");
    let judging = tokio::spawn(hear(outgoing));
    let mut dice = Random::new(5);
    let mut said = Said::default();
    let mut sent = BTreeSet::new();
    for round in 0..kills {
        let is_reachable = round % 2 == 0;
        let nowhere = ([127, 0, 0, 1], ports::free_port()).into();
        proxy.aim(if is_reachable {
            broker.addr(Listener::Mqtt)
        } else {
            nowhere
        });
        let child = start(&broker, &proxy, folder.path(), Some(round));
        for _ in 0..20 {
            let text = sent.len().to_string();
            judge
                .publish("to-killed", text.clone())
                .send()
                .await
                .expect("there is room");
            sent.insert(text);
        }
        let stored = usize::try_from(dice.between(1, 300)).expect("few");
        said.kill_after(child, stored).await;
    }
    proxy.aim(broker.addr(Listener::Mqtt));
    judge.flush().await.expect("it is open");
    judge.publish("to-killed", END).await.expect("it is open");
    said.hear_out(start(&broker, &proxy, folder.path(), None)).await;
    judge.publish("from-killed", END).await.expect("it is open");
    let heard = judging.await.expect("the judge does not panic");

    report(kills, &said, &heard);
    assert!(
        said.stored.len() >= usize::try_from(kills).expect("few"),
        "something was stored each time"
    );
    for number in &said.stored {
        assert!(
            heard.contains_key(number),
            "{number} was stored and has not arrived"
        );
    }
    for (number, times) in heard.iter().filter(|(number, _)| **number % 2 == 0) {
        assert_eq!(*times, 1, "{number} has arrived more than once");
    }
    sent.insert(END.to_owned());
    // What was sent before it had ever subscribed was for nobody.
    let first = said.got.iter().filter_map(|text| text.parse::<u64>().ok()).min();
    let owed = |text: &&String| text.parse::<u64>().is_ok_and(|number| Some(number) >= first);
    let missing: Vec<_> = sent
        .iter()
        .filter(owed)
        .filter(|text| !said.got.contains(*text))
        .collect();
    assert!(missing.is_empty(), "{missing:?} were sent and not received");
}

#[expect(clippy::print_stdout, reason = "a run prints its figures")]
fn report(kills: u64, said: &Said, heard: &BTreeMap<u64, u32>) {
    let arrivals: u32 = heard.values().sum();
    println!(
        "killed {kills} times: {} stored, {} have arrived in {arrivals} messages; {} received",
        said.stored.len(),
        heard.len(),
        said.got.len(),
    );
}

/// How often each number has arrived.
async fn hear(mut outgoing: Subscription) -> BTreeMap<u64, u32> {
    let mut heard = BTreeMap::new();
    while let Some(message) = outgoing.recv().await {
        match message.text().expect("text") {
            END => break,
            number => *heard.entry(number.parse().expect("a number")).or_default() += 1,
        }
    }
    heard
}

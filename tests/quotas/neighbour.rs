//! A noisy neighbour: one organization publishes at a hundred times its quota; what does a quiet one beside it feel?
//!
//! Prints a table of the quiet organization's latency before, during and after. Nothing is decided by time: the test
//! fails only when the quiet organization loses a message or the noisy one is not refused. For figures worth reading:
//!
//! ```text
//! cargo build --release -p cloudsignal-server
//! CS_TEST_NEIGHBOUR_SECS=10 cargo test --release -p cloudsignal-tests --test quotas neighbour -- --nocapture
//! ```
#![expect(
    clippy::disallowed_methods,
    reason = "a measurement reads the clock, and keeps to a rate"
)]

use std::env;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};

use crate::client::{Door, V5, V311};
use crate::{door, shown};

/// What the noisy organization may publish, messages per second.
const QUOTA: u64 = 1_000;
/// How much more it publishes.
const TIMES: u64 = 100;
/// Clients of the noisy organization.
const NOISY_CLIENTS: u64 = 8;
/// Messages per second of the quiet organization.
const QUIET_RATE: u64 = 200;
/// Seconds of each phase, if nobody says otherwise.
const SECS_DEFAULT: u64 = 1;

/// Latencies of one phase, sorted.
struct Phase {
    name: &'static str,
    latencies: Vec<Duration>,
    noise: u64,
    secs: f64,
}

impl Phase {
    fn at(&self, share: f64) -> u128 {
        let last = self.latencies.len() - 1;
        let index = (last as f64 * share) as usize;
        self.latencies[index].as_micros()
    }
}

/// A second organization, with a user.
fn noisy_door(broker: &Broker) -> Door {
    let org = shown(broker, &["org", "create", "Noisy"])["org"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let user = shown(broker, &["user", "create", "loud", "--org", &org]);
    for setting in [
        format!("publish_messages_per_sec={QUOTA}"),
        // The flood is to go on, so nobody is sent away.
        "refused_publishes_per_sec=0".to_owned(),
    ] {
        drop(broker.cli(&["quota", "set", &setting, "--org", &org]));
    }
    Door {
        addr: broker.addr(Listener::Mqtt),
        username: user["user"]["username"].as_str().expect("a name").to_owned(),
        password: user["password"].as_str().expect("a password").to_owned(),
    }
}

/// Publishes at a hundred times the quota until it is told to stop. Answers how many.
fn make_noise(door: &Door, number: u64, is_on: &AtomicBool, sent: &AtomicU64) {
    let mut client = door.enter(V5, &format!("loud{number}"));
    let per_step = QUOTA * TIMES / NOISY_CLIENTS / 100;
    while is_on.load(Ordering::Relaxed) {
        let begin = Instant::now();
        for _ in 0..per_step {
            client.tell("noise/of/the/neighbour", &[b'!'; 64]);
        }
        sent.fetch_add(per_step, Ordering::Relaxed);
        // sleep: the flood keeps to a rate; nothing is awaited
        thread::sleep(Duration::from_millis(10).saturating_sub(begin.elapsed()));
    }
}

/// Publishes at a quiet rate and measures how long each message takes there and back.
fn listen(name: &'static str, door: &Door, secs: u64, sent: &AtomicU64) -> Phase {
    let mut client = door.enter(V311, "quiet");
    assert_eq!(client.subscribe("quiet/of/the/night", 0), 0);
    let (begin, noise) = (Instant::now(), sent.load(Ordering::Relaxed));
    let mut latencies = Vec::new();
    for number in 0..secs * QUIET_RATE {
        let due = begin + Duration::from_micros(number * 1_000_000 / QUIET_RATE);
        // sleep: messages leave at a rate; nothing is awaited
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let payload = number.to_be_bytes();
        let start = Instant::now();
        client.tell("quiet/of/the/night", &payload);
        assert_eq!(client.next().as_deref(), Some(&payload[..]), "nothing is lost");
        latencies.push(start.elapsed());
    }
    latencies.sort_unstable();
    Phase {
        name,
        latencies,
        noise: sent.load(Ordering::Relaxed) - noise,
        secs: begin.elapsed().as_secs_f64(),
    }
}

#[test]
fn a_noisy_neighbour() {
    let secs = env::var("CS_TEST_NEIGHBOUR_SECS").map_or(SECS_DEFAULT, |text| text.parse().expect("seconds"));
    let broker = Broker::start(BrokerOptions::default());
    let (quiet, noisy) = (door(&broker), noisy_door(&broker));
    let (is_on, sent) = (AtomicBool::new(true), AtomicU64::new(0));
    let before = listen("before", &quiet, secs, &sent);
    let during = thread::scope(|scope| {
        for number in 0..NOISY_CLIENTS {
            let (noisy, is_on, sent) = (&noisy, &is_on, &sent);
            scope.spawn(move || make_noise(noisy, number, is_on, sent));
        }
        let during = listen("during", &quiet, secs, &sent);
        is_on.store(false, Ordering::Relaxed);
        during
    });
    let after = listen("after", &quiet, secs, &sent);
    println!("quiet organization: {QUIET_RATE} messages/s, there and back, microseconds");
    println!("phase   messages      p50      p99      max   noise/s (quota {QUOTA})");
    for phase in [&before, &during, &after] {
        let (p50, p99, max) = (phase.at(0.5), phase.at(0.99), phase.at(1.0));
        let noise = phase.noise as f64 / phase.secs;
        let (name, count) = (phase.name, phase.latencies.len());
        println!("{name:<7} {count:>8} {p50:>8} {p99:>8} {max:>8}   {noise:.0}");
    }
    let (org, _) = noisy
        .username
        .split_once('@')
        .map_or(("", ""), |(user, org)| (org, user));
    let used = shown(&broker, &["usage", "--org", org]);
    let refused = used["total"]["dropped"]["publish_quota"].as_u64();
    println!("noisy organization: {}", used["total"]);
    assert!(refused > Some(0), "{used}");
}

//! A noisy neighbour: what does a quiet organization feel while another one makes as much noise as it can?
//!
//! | noise | what |
//! |---|---|
//! | `flood` | eight clients publish at a hundred times the quota of their organization |
//! | `crowd` | one client publishes all that is allowed, in bursts, and two hundred clients get it |
//!
//! Prints the quiet organization's latency before, during and after. Nothing is decided by time: a test fails only
//! when the quiet organization loses a message or the noisy one was not noisy. For figures worth reading:
//!
//! ```text
//! cargo build --release -p cloudsignal-server
//! CS_TEST_NEIGHBOUR_SECS=10 cargo test --release -p cloudsignal-tests --test quotas neighbour -- \
//!     --nocapture --test-threads 1
//! ```
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement reads the clock, keeps to a rate, and prints what it found"
)]

use std::env;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::packets::publish_v5;
use serde_json::Value;

use crate::client::{Door, V5, V311};
use crate::{door, shown};

/// What the noisy organization may publish, messages per second.
const QUOTA: u64 = 1_000;
/// How much more it publishes when it floods.
const TIMES: u64 = 100;
/// Clients that flood.
const FLOODERS: u64 = 8;
/// Clients that all get the same messages.
const CROWD: u64 = 200;
/// Messages per second of the quiet organization.
const QUIET_RATE: u64 = 200;
/// Seconds of each phase, if nobody says otherwise.
const SECS_DEFAULT: u64 = 1;
/// Where the noise is made.
const NOISE: &str = "noise/of/the/neighbour";

/// A broker with two organizations.
struct Street {
    broker: Broker,
    quiet: Door,
    noisy: Door,
    is_on: AtomicBool,
    /// Messages that the noisy organization got rid of.
    sent: AtomicU64,
}

/// How one noisy client publishes.
#[derive(Clone, Copy)]
struct Noise {
    bursts_per_sec: u64,
    /// Writes to the socket in one burst.
    writes: usize,
    /// Messages in one write.
    per_write: usize,
}

/// As a client library does it: each message is a write.
const FLOOD: Noise = Noise {
    bursts_per_sec: 100,
    writes: (QUOTA * TIMES / FLOODERS / 100) as usize,
    per_write: 1,
};

/// All that is allowed, in bursts.
const WITHIN_QUOTA: Noise = Noise {
    bursts_per_sec: 10,
    writes: 1,
    per_write: (QUOTA / 10) as usize,
};

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

impl Street {
    fn new() -> Self {
        let broker = Broker::start(BrokerOptions::default());
        Self {
            quiet: door(&broker),
            noisy: noisy_door(&broker),
            broker,
            is_on: AtomicBool::new(true),
            sent: AtomicU64::new(0),
        }
    }

    /// Measures before, during and after the noise, and shows the table. Answers what the noisy organization used.
    fn measure<'env>(&'env self, noise: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>)) -> Value {
        let before = self.listen("before");
        let during = thread::scope(|scope| {
            noise(scope);
            let during = self.listen("during");
            self.is_on.store(false, Ordering::Relaxed);
            during
        });
        let after = self.listen("after");
        show(&[before, during, after]);
        let (_, org) = self
            .noisy
            .username
            .split_once('@')
            .expect("a name and its organization");
        let used = shown(&self.broker, &["usage", "--org", org]);
        println!("noisy organization: {}", used["total"]);
        used["total"].clone()
    }

    /// Publishes until the noise is over.
    fn make_noise(&self, client_id: &str, noise: Noise) {
        let mut client = self.noisy.enter(V5, client_id);
        let period = Duration::from_micros(1_000_000 / noise.bursts_per_sec);
        let bytes = publish_v5(None, NOISE.as_bytes(), &[b'!'; 64]).repeat(noise.per_write);
        while self.is_on.load(Ordering::Relaxed) {
            let begin = Instant::now();
            for _ in 0..noise.writes {
                client.say(&bytes);
            }
            let messages = noise.writes * noise.per_write;
            self.sent.fetch_add(messages as u64, Ordering::Relaxed);
            // sleep: the noise keeps to a rate; nothing is awaited
            thread::sleep(period.saturating_sub(begin.elapsed()));
        }
    }

    /// Publishes at a quiet rate and measures how long each message takes there and back.
    fn listen(&self, name: &'static str) -> Phase {
        let secs =
            env::var("CS_TEST_NEIGHBOUR_SECS").map_or(SECS_DEFAULT, |text| text.parse().expect("seconds"));
        let mut client = self.quiet.enter(V311, "quiet");
        assert_eq!(client.subscribe("quiet/of/the/night", 0), 0);
        let (begin, noise) = (Instant::now(), self.sent.load(Ordering::Relaxed));
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
            noise: self.sent.load(Ordering::Relaxed) - noise,
            secs: begin.elapsed().as_secs_f64(),
        }
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

fn show(phases: &[Phase]) {
    println!("quiet organization: {QUIET_RATE} messages/s, there and back, microseconds");
    println!("phase   messages      p50      p90      p99      max   noise/s (quota {QUOTA})");
    for phase in phases {
        let [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1.0].map(|share| phase.at(share));
        let noise = phase.noise as f64 / phase.secs;
        let (name, count) = (phase.name, phase.latencies.len());
        println!("{name:<7} {count:>8} {p50:>8} {p90:>8} {p99:>8} {max:>8}   {noise:.0}");
    }
}

#[test]
fn a_neighbour_floods() {
    let street = Street::new();
    let street = &street;
    let used = street.measure(|scope| {
        for number in 0..FLOODERS {
            scope.spawn(move || street.make_noise(&format!("loud{number}"), FLOOD));
        }
    });
    assert!(used["dropped"]["publish_quota"].as_u64() > Some(0), "{used}");
}

#[test]
fn a_neighbour_has_a_crowd() {
    let street = Street::new();
    for number in 0..CROWD {
        let mut client = street.noisy.enter(V5, &format!("one{number}"));
        assert_eq!(client.subscribe(NOISE, 0), 0);
        // It ends with the broker.
        thread::spawn(move || client.swallow());
    }
    let street = &street;
    let used = street.measure(|scope| {
        scope.spawn(move || street.make_noise("loud", WITHIN_QUOTA));
    });
    assert!(used["out"]["messages"].as_u64() >= Some(CROWD), "{used}");
}

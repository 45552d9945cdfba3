//! Both ends are ours: clients and the broker, machine against machine in one thread, under one virtual clock, from
//! one seed.
//!
//! A seed decides what is published, where wires split, stall and break, when the stores of both ends answer, when a
//! process dies (the broker's, a client's) and when tokens end. What is judged is what an application sees: every
//! accepted message arrives, once where that is promised, and in order.
//!
//! | file | holds |
//! |---|---|
//! | [`world`] | a run: the agenda, what happens, and the quiet end |
//! | [`broker`] | the organization, its store, and its ends of the wires |
//! | [`peer`] | a client, its store, and its application |
//! | [`wire`] | bytes on their way, in both directions |
//! | [`judge`] | what was promised, and what has arrived |
//!
//! `CS_PAIR_SEEDS=N` runs more seeds (`CS_PAIR_FROM=S` others than the first ones), `CS_PAIR_SEED=S` one, with its
//! events.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a run says what it did, and how to repeat it")]

mod broker;
#[path = "../../server/broker/tests/conformance/disk.rs"]
#[allow(dead_code, reason = "the store of other tests, who look into it too")]
mod disk;
mod judge;
mod peer;
mod wire;
mod world;

use world::{Run, World};

/// Seeds of an ordinary test run.
const SEEDS_DEFAULT: u64 = 300;

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
    )
}

#[test]
fn what_a_client_accepts_arrives_whatever_happens() {
    if let Some(seed) = number_from("CS_PAIR_SEED") {
        let run = World::new(seed, true).run();
        assert_eq!(run.wrong, None, "seed {seed}");
        return;
    }
    let first = number_from("CS_PAIR_FROM").unwrap_or(1);
    let count = number_from("CS_PAIR_SEEDS").unwrap_or(SEEDS_DEFAULT);
    let mut total = Run::default();
    let mut failures = Vec::new();
    for seed in first..first + count {
        let run = World::new(seed, false).run();
        if let Some(wrong) = &run.wrong {
            println!("seed {seed}: {wrong}");
            failures.push(seed);
        }
        total.add(&run);
    }
    println!("{count} seeds: {total}");
    assert!(failures.is_empty(), "seeds that fail: {failures:?}");
}

/// What the client had left unanswered came again behind what it awaited first: both ends waited for ever.
#[test]
fn seeds_that_once_failed_pass() {
    for seed in [3_258, 4_650, 8_124] {
        assert_eq!(World::new(seed, false).run().wrong, None, "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 14, 15] {
        let (first, second) = (World::new(seed, false).run(), World::new(seed, false).run());
        assert_eq!(first, second, "seed {seed}");
        assert!(first.delivered > 0);
    }
}

#[test]
fn a_lost_and_a_doubled_message_are_noticed() {
    use judge::{Judge, Key};
    let message = Key { peer: 0, number: 1 };
    let published = || {
        let mut judge = Judge::new(2);
        judge.published(message, cloudsignal_core::Qos::ExactlyOnce);
        judge.safe(message);
        judge
    };
    assert!(published().verdict().unwrap().contains("lost"));
    let mut judge = published();
    judge.arrived(0, message);
    judge.arrived(1, message);
    assert_eq!(judge.verdict(), None);
    judge.arrived(1, message);
    assert!(judge.verdict().unwrap().contains("twice"));
}

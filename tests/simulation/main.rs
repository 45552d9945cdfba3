//! Deterministic simulation: organizations and clients in one thread, under one virtual clock, from one seed.
//!
//! A seed decides everything: how many organizations and clients there are, what they may do, what they do, where
//! the wires split, stall and break, when the store answers, and when time jumps. A model that knows nothing of how
//! the broker works judges every call, every packet, and what has arrived at the end.
//!
//! | file | holds |
//! |---|---|
//! | [`settings`], [`steps`] | what a seed decides, what can happen |
//! | [`world`], [`healing`] | a run and its end |
//! | [`net`], [`link`] | the wires |
//! | [`client`] | a correct client that does random things |
//! | [`host`], [`inbound`], [`accepting`], [`outbound`], [`admin`], [`recorder`], [`storing`] | the organization under test, and every way in and out |
//! | [`judging`] | what each call must have done |
//! | [`model`], [`ledger`], [`shelf`] | the judge: what must be, what is owed, what is stored |
//! | [`reading`] | queues that are read from the store |
//! | [`crash`], [`disk`] | the process dies and is started again from what was stored |
//! | [`faults`] | faults planted on purpose, to hear the alarm |
//! | [`log`], [`scene`] | event log, and what everybody has at hand |
//!
//! `cargo xtask sim --seeds N` runs more seeds (`--from S` others than the first ones), `cargo xtask sim --seed S` one, with its last events.
#![forbid(unsafe_code)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the harness looks for one packet among many"
)]
#![expect(clippy::print_stdout, reason = "a run says what it did, and how to repeat it")]

mod accepting;
mod admin;
mod client;
mod crash;
#[path = "../../server/broker/tests/conformance/disk.rs"]
mod disk;
mod faults;
mod healing;
mod host;
mod inbound;
mod judging;
mod ledger;
mod link;
mod log;
mod model;
mod net;
mod outbound;
mod reading;
mod recorder;
mod scene;
mod settings;
mod shelf;
mod steps;
mod storing;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use faults::Fault;
use reading::Queues;
use world::{Crashes, World};

/// Seeds of an ordinary test run.
const SEEDS_DEFAULT: u64 = 200;
/// Seeds after which a planted fault must have been seen.
const CANARY_SEEDS_MAX: u64 = 240;

/// What kind of run it is.
type Manner = (Crashes, Queues);

/// What became of a run.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    digest: u64,
    events: u64,
    steps: u64,
    wrong: Option<String>,
    lines: Vec<String>,
}

fn run(seed: u64, keeps_lines: bool, fault: Option<Fault>, manner: Manner) -> Outcome {
    let mut world = World::new(seed, keeps_lines, fault, manner);
    let finished = catch_unwind(AssertUnwindSafe(|| {
        world.run();
        if world.scene.verdict.wrong().is_none() {
            world.heal();
        }
        if world.scene.verdict.wrong().is_none() {
            world.check_end();
        }
    }));
    let panicked = finished.err().map(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        format!("panic: {}", text.unwrap_or_default())
    });
    let wrong = world.scene.verdict.wrong().map(str::to_owned);
    Outcome {
        digest: world.scene.log.digest(),
        events: world.scene.log.events(),
        steps: world.settings.steps,
        wrong: wrong.or(panicked),
        lines: world.scene.log.lines().map(str::to_owned).collect(),
    }
}

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
    )
}

fn judge(seeds: impl IntoIterator<Item = u64>, manner: Manner) {
    let (mut runs, mut steps, mut events) = (0, 0, 0);
    let mut failures = Vec::new();
    for seed in seeds {
        let outcome = run(seed, false, None, manner);
        (runs, steps, events) = (runs + 1, steps + outcome.steps, events + outcome.events);
        if let Some(wrong) = outcome.wrong {
            println!("seed {seed}: {wrong}\n    cargo xtask sim --seed {seed}");
            failures.push(seed);
        }
    }
    println!("{runs} seeds, {steps} steps, {events} events");
    assert!(failures.is_empty(), "seeds that fail: {failures:?}");
}

#[test]
fn what_is_promised_holds_whatever_happens() {
    judge_or_replay((Crashes::Never, Queues::Usual));
}

#[test]
fn what_is_promised_survives_crashes() {
    judge_or_replay((Crashes::Now, Queues::Usual));
}

#[test]
fn what_is_promised_holds_for_long_queues() {
    judge_or_replay((Crashes::Never, Queues::Long));
}

#[test]
fn what_is_promised_of_long_queues_survives_crashes() {
    judge_or_replay((Crashes::Now, Queues::Long));
}

fn judge_or_replay(manner: Manner) {
    if let Some(seed) = number_from("CS_SIM_SEED") {
        let outcome = run(seed, true, None, manner);
        for line in &outcome.lines {
            println!("{line}");
        }
        assert_eq!(outcome.wrong, None, "seed {seed}");
        return;
    }
    let first = number_from("CS_SIM_FROM").unwrap_or(1);
    let count = number_from("CS_SIM_SEEDS").unwrap_or(SEEDS_DEFAULT);
    judge(first..first + count, manner);
}

#[test]
fn seeds_that_once_failed_pass() {
    let lines = include_str!("seeds.txt").lines();
    let seeds = lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .map(|seed| seed.parse().expect("a seed at the beginning of the line"));
    judge(seeds, (Crashes::Never, Queues::Usual));
}

/// Seeds in which the judge, or the broker, was wrong about what comes back.
const CRASH_SEEDS: [u64; 13] = [
    39, 248, 415, 2_085, 2_543, 3_280, 3_807, 4_722, 10_384, 10_582, 11_741, 16_826, 52_136,
];

/// The same of long queues.
const LONG_CRASH_SEEDS: [u64; 26] = [
    371, 396, 617, 648, 773, 2_507, 2_617, 2_783, 3_061, 3_513, 4_036, 4_163, 4_176, 4_229, 4_428, 5_167,
    9_493, 11_474, 50_749, 50_780, 110_345, 115_997, 116_372, 123_391, 136_800, 147_838,
];

#[test]
fn seeds_that_once_failed_after_a_crash_pass() {
    judge(CRASH_SEEDS, (Crashes::Now, Queues::Usual));
    judge(LONG_CRASH_SEEDS, (Crashes::Now, Queues::Long));
}

#[test]
fn the_same_seed_gives_the_same_events() {
    for seed in 1..=5 {
        let (first, second) = (
            run(seed, false, None, (Crashes::Now, Queues::Long)),
            run(seed, false, None, (Crashes::Now, Queues::Long)),
        );
        assert_eq!(first, second, "seed {seed}");
        assert!(first.events > 0);
    }
    let digest = |seed| run(seed, false, None, (Crashes::Never, Queues::Usual)).digest;
    assert_ne!(digest(1), digest(2));
}

#[test]
fn the_alarm_rings_for_every_planted_fault() {
    for fault in Fault::ALL {
        let manner = match fault {
            Fault::StoreForgets => (Crashes::Now, Queues::Usual),
            Fault::StoreRemembers => (Crashes::Now, Queues::Long),
            _ => (Crashes::Never, Queues::Usual),
        };
        let mut runs = (1..=CANARY_SEEDS_MAX).map(|seed| run(seed, false, Some(fault), manner));
        let wrong = runs.find_map(|outcome| outcome.wrong);
        let wrong = wrong.unwrap_or_else(|| panic!("{fault:?} was not seen within {CANARY_SEEDS_MAX} seeds"));
        let is_about_it = fault.verdicts().iter().any(|begin| wrong.starts_with(begin));
        assert!(is_about_it, "{fault:?} was seen as {wrong:?}");
    }
}

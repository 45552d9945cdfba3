//! Isolation: fifty organizations that are as alike as can be do random things, all of them in one broker, and
//! nothing of one is ever noticed in another.
//!
//! The broker is the real one behind its sockets: connections, HTTP API, accounts and organizations run in this
//! process, on one thread, under a clock that the test moves. One operation is done at a time, by one organization,
//! and everything that it causes is awaited before the next. So the judge need not guess: between two steps of the
//! clock, whatever a client of another organization is sent, and every connection of another one that ends, is a leak,
//! whatever the bytes say. And everything that is said carries its organization's mark, so that bytes which come late,
//! or in an answer of the API, can be told too.
//!
//! | file | holds |
//! |---|---|
//! | [`cast`], [`spelling`] | organizations, their clients, and the many ways to write their ids |
//! | [`world`], [`traffic`] | a run, and what clients do |
//! | [`management`], [`intruder`] | what owners do through the API; what credentials of others are tried for |
//! | [`console`], [`signing`] | the whole API as its document tells it; tokens of identity providers |
//! | [`client`], [`bench`] | the two ends of a wire |
//! | [`judge`], [`watch`], [`tally`] | what must hold, what must not move, and what a run did |
//! | [`leaks`] | leaks planted on purpose, to hear the alarm |
//!
//! The long form, some ten minutes, says how far it is:
//!
//! ```text
//! CS_TEST_ISOLATION_OPERATIONS=10000000 cargo test --release -p cloudsignal-tests --test isolation -- --nocapture
//! ```
//! `CS_TEST_ISOLATION_SEED` begins elsewhere. A seed decides what is done; keys, ids and salts are the broker's own.
#![forbid(unsafe_code)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the judge looks for few things among many"
)]
#![expect(clippy::print_stdout, reason = "a long run says how far it is")]

mod bench;
mod cast;
mod client;
mod console;
mod intruder;
mod judge;
mod leaks;
mod management;
mod signing;
mod spelling;
mod tally;
mod traffic;
mod watch;
mod world;

use leaks::Leak;
use tally::Tally;
use world::World;

/// Operations of an ordinary test run.
const OPERATIONS_DEFAULT: u64 = 150_000;
/// Operations within which a planted leak must have been seen.
const CANARY_OPERATIONS_MAX: u64 = 20_000;
const SEED_DEFAULT: u64 = 1;
/// Lines that say how far a run is.
const PROGRESS_LINES: u64 = 20;

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
    )
}

/// What a run did, and what was wrong.
fn run(seed: u64, operations: u64, leak: Option<Leak>) -> (Tally, Option<String>) {
    let mut world = World::new(seed, leak);
    let step = operations.div_ceil(PROGRESS_LINES);
    let mut told_at = step;
    world.run(operations, |tally| {
        if leak.is_none() && tally.operations >= told_at {
            println!(
                "{} of {operations} operations, {} rounds",
                tally.operations, tally.rounds
            );
            told_at = tally.operations + step;
        }
    });
    (world.tally, world.judge.wrong().map(str::to_owned))
}

#[test]
fn nothing_of_one_organization_reaches_another() {
    let seed = number_from("CS_TEST_ISOLATION_SEED").unwrap_or(SEED_DEFAULT);
    let operations = number_from("CS_TEST_ISOLATION_OPERATIONS").unwrap_or(OPERATIONS_DEFAULT);
    let (tally, wrong) = run(seed, operations, None);
    println!("seed {seed}\n{tally}");
    assert_eq!(wrong, None, "seed {seed}");
    for (name, number) in tally.all() {
        assert!(number > 0, "no {name}: the run proves nothing about them");
    }
}

#[test]
fn the_alarm_rings_for_every_planted_leak() {
    for leak in Leak::ALL {
        let (tally, wrong) = run(SEED_DEFAULT, CANARY_OPERATIONS_MAX, Some(leak));
        let wrong = wrong.unwrap_or_else(|| panic!("{leak:?} was not seen:\n{tally}"));
        let is_about_it = leak.verdicts().iter().any(|begin| wrong.starts_with(begin));
        assert!(is_about_it, "{leak:?} was seen as {wrong:?}");
        println!("{leak:?} after {} operations", tally.operations);
    }
}

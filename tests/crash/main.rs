//! Acknowledged means stored: a broker is ended under load, again and again, and nothing that it has acknowledged may be
//! missing afterwards. Real sockets, real processes, real SIGKILL; any broker, ours or another, through its port alone.
//!
//! Clients with persistent sessions publish, subscribe, go away, come back, and connect elsewhere. They keep their own
//! half of the protocol over the broker's end: they send again what was not answered, with the same packet ids, and
//! tell a repetition from a new message. So the judge can say:
//!
//! - What was acknowledged (PUBACK, PUBREC) came to each subscription whose SUBACK was there before it was sent and that
//!   was not given up before it came; to one member of a group.
//! - QoS 2 came once. First arrivals of one publisher and topic came in the order of sending.
//! - A retained topic holds the last acknowledged write, or a later one.
//! - A session that CONNACK has agreed on is there, with its subscriptions; one that UNSUBACK has ended is not.
//! - Users and tokens are as the last successful answer of the HTTP API says (only for our broker).
//!
//! | file | holds |
//! |---|---|
//! | [`settings`], [`plan`] | what the environment and a seed decide |
//! | [`director`] | a run: load, end, start, rest, reckoning |
//! | [`brokers`] | how each broker is started and ended |
//! | [`member`], [`session`], [`connection`] | a client: its life, its memory, its wire |
//! | [`message`], [`outgoing`] | what is published, and what of it is under way |
//! | [`directory`], [`reader`] | users and tokens; retained topics |
//! | [`ledger`], [`books`], [`route`], [`retained`], [`tally`], [`trace`] | what happened |
//! | [`judge`], [`fault`], [`report`] | what is wrong with it |
//!
//! A run against any broker, by its environment; see [`settings`] and [`brokers`]:
//!
//! ```text
//! CS_TEST_CRASH_BROKER=mosquitto CS_TEST_CRASH_CYCLES=200 CS_TEST_CRASH_SEED=7 \
//!     cargo test --release -p cloudsignal-tests --test crash -- --nocapture acknowledged_means_stored
//! ```
//!
//! A long run tells what it has found so far in the file that `CS_TEST_CRASH_REPORT` names, after each reckoning.
#![forbid(unsafe_code)]

mod books;
mod brokers;
mod connection;
mod director;
mod directory;
mod fault;
mod judge;
mod ledger;
mod member;
mod message;
mod outgoing;
mod plan;
mod reader;
mod report;
mod retained;
mod route;
mod session;
mod settings;
mod tally;
mod trace;

use std::time::Duration;

use brokers::{Autosave, Cut, Mosquitto, Ours};
use fault::Kind;
use plan::Sharing;
use settings::{Endings, Settings};

#[test]
fn acknowledged_means_stored() {
    let mut broker = brokers::from_environment();
    let report = director::run(broker.as_mut(), Settings::from_environment());
    println!("{report}");
    assert!(
        report.tally.acked_all() > 0,
        "nothing was acknowledged: this proves nothing"
    );
    assert_eq!(report.faults.kinds(), [], "see above");
}

/// A short run against another broker.
fn short(endings: Endings, sharing: Sharing) -> Settings {
    Settings {
        seed: 1,
        cycles: 2,
        load_millis_max: 1_000,
        patience: Duration::from_secs(2),
        endings,
        sharing,
    }
}

#[test]
fn the_alarm_rings_for_our_broker_when_it_is_told_to_store_nothing() {
    let settings = short(Endings::KillsOnly, Sharing::Tried);
    let report = director::run(&mut Ours::new("DURABILITY_LEVEL=memory"), settings);
    println!("{report}");
    for kind in [Kind::Lost, Kind::Session, Kind::Retained] {
        assert!(report.faults.count(kind) > 0, "no {}", kind.name());
    }
}

#[test]
fn nobody_is_accused_when_only_connections_are_cut() {
    let mut settings = short(Endings::Mixed, Sharing::Tried);
    settings.cycles = 5;
    settings.patience = Duration::from_secs(20);
    let report = director::run(&mut Cut::new(), settings);
    println!("{report}");
    assert!(report.tally.acked_all() > 0);
    assert_eq!(report.faults.kinds(), [], "see above");
}

#[test]
fn a_broker_that_writes_its_store_when_it_is_asked_to_end_is_not_accused_of_having_none() {
    let settings = short(Endings::StopsOnly, Sharing::LeftOut);
    let report = director::run(&mut Mosquitto::new(Autosave::Default), settings);
    println!("{report}");
    assert!(report.tally.acked_all() > 0);
    // Its sessions come back with an order and with repetitions of their own, so of messages nothing is said.
    for kind in [
        Kind::Retained,
        Kind::Session,
        Kind::Subscription,
        Kind::Protocol,
        Kind::Stuck,
    ] {
        assert_eq!(report.faults.count(kind), 0, "{}", kind.name());
    }
}

#[test]
fn the_alarm_rings_for_a_broker_that_writes_its_store_once_in_half_an_hour() {
    let report = director::run(
        &mut Mosquitto::new(Autosave::Default),
        short(Endings::KillsOnly, Sharing::Tried),
    );
    println!("{report}");
    for kind in [Kind::Lost, Kind::Session, Kind::Retained] {
        assert!(report.faults.count(kind) > 0, "no {}", kind.name());
    }
}

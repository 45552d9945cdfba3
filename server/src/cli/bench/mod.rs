//! `bench`: measures a broker, ours or another, and checks that every message arrives once and in order.
//!
//! | file | holds |
//! |---|---|
//! | `options` | what can be typed |
//! | `access` | how clients connect, log in and subscribe |
//! | `plan` | who publishes where, and who hears it |
//! | `run`, `worker` | the threads of a run, and what one of them does |
//! | `floor` | what the clients of a thread share |
//! | `actor`, `publisher`, `subscriber` | the clients |
//! | `link` | a connection that reads and writes in batches |
//! | `lane` | how far a publisher may be ahead |
//! | `template`, `stamp` | a message that is sent again and again, and what tells one from the other |
//! | `judge` | whether messages come once and in order |
//! | `latencies` | how long they were on their way |
//! | `usage` | CPU time and memory of a process |
//! | `report` | what is printed |
//!
//! A thread runs all of its clients as one task, without a lock and without an allocation per message: a generator that
//! is slower than the broker measures itself.

mod access;
mod actor;
mod floor;
mod judge;
mod lane;
mod latencies;
mod link;
mod options;
mod plan;
mod publisher;
mod report;
mod run;
mod stamp;
mod subscriber;
mod template;
mod usage;
mod worker;

pub use options::{BenchArgs, CommonArgs, PairsArgs, ScenarioArgs, TrafficArgs};

pub(super) use run::bench;

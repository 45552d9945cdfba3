//! `bench`: measures a broker, ours or another, and checks that every message arrives once and in order.
//!
//! | file | holds |
//! |---|---|
//! | `options` | what can be typed |
//! | `access` | how clients connect, log in and subscribe |
//! | `plan` | what a run consists of |
//! | `cast` | who publishes where, and who hears it |
//! | `run`, `worker` | the threads of a run, and what one of them does |
//! | `floor` | what the clients of a thread share |
//! | `crowd` | connections without messages |
//! | `stock`, `collector` | messages that a broker keeps, and who gets them |
//! | `actor`, `publisher`, `subscriber` | the clients |
//! | `link` | a connection that reads and writes in batches |
//! | `schedule`, `alarm` | when messages of a fixed rate are due, and waiting for it |
//! | `lane` | how far a publisher may be ahead |
//! | `template`, `stamp` | a message that is sent again and again, and what tells one from the other |
//! | `judge` | whether messages come once and in order |
//! | `latencies` | how long they were on their way |
//! | `usage` | CPU time and memory of a process |
//! | `phase` | a part of a run, measured by itself |
//! | `report` | what is printed |
//!
//! A thread runs all of its clients as one task, without a lock and without an allocation per message: a generator that
//! is slower than the broker measures itself.

mod access;
mod actor;
mod alarm;
mod cast;
mod collector;
mod crowd;
mod floor;
mod judge;
mod lane;
mod latencies;
mod link;
mod options;
mod phase;
mod plan;
mod publisher;
mod report;
mod run;
mod schedule;
mod stamp;
mod stock;
mod subscriber;
mod template;
mod usage;
mod worker;

pub use options::{
    BenchArgs, CommonArgs, ConnectRateArgs, FanInArgs, FanOutArgs, IdleArgs, PairsArgs, QueueArgs,
    RetainedArgs, ScenarioArgs, StockArgs, TrafficArgs, WildcardsArgs,
};

pub(super) use run::bench;

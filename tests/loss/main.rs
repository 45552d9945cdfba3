//! What becomes of messages when everything breaks: our two SDKs and MQTT.js side by side, each through its own proxy to
//! the same broker, at QoS 1 in both directions, while connections are reset, tokens are replaced and the broker gets
//! SIGKILL. Ours have the settings that they have by themselves. What breaks when follows from a seed, and is the same for
//! all of them.
//!
//! ```text
//! cargo build --release -p cloudsignal-server
//! CS_TEST_BROKER=target/release/cloudsignal cargo run --release -p cloudsignal-tests --bin loss -- --secs 1500
//! ```
//!
//! Each client has a [`counterpart`], which publishes what the client should hear and hears what it publishes. Nothing
//! may be lost of ours; what becomes of the others' is printed only. The table counts for each direction what was sent,
//! what the library has reported as delivered, and what was lost, came twice, or came after a later one.
//!
//! | file | holds |
//! |---|---|
//! | [`plan`] | how long, how fast, what breaks when |
//! | [`scene`] | the broker, the ways to it, and what breaks |
//! | [`contestant`] | a client under test: [`rust_sdk`], or one in [`node`] (`js/`) |
//! | [`counterpart`] | its other side |
//! | [`course`] | both of them, from the beginning to the end |
//! | [`book`] | what is known in the end |
#![expect(clippy::print_stdout, reason = "a command prints its result")]
#![expect(clippy::disallowed_methods, reason = "what breaks, breaks on time")]

mod book;
mod contestant;
mod counterpart;
mod course;
mod node;
mod plan;
mod rust_sdk;
mod scene;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use cloudsignal_tests::wait;
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;

use book::{Book, HEAD};
use course::{Course, Moment};
use plan::Plan;
use scene::{NAMES, OURS, Scene};

/// Whether the broker numbers messages, so that nothing comes twice to whoever understands that.
const NUMBERED: bool = true;

/// Runs of lost messages that are told.
const LOST_RUNS_MAX: usize = 20;

/// How long those are waited for whose figures are printed only. Ours are given much more.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        println!("{}", plan::USAGE);
        return Ok(());
    }
    let plan = Plan::from_args(args.into_iter())?;
    judge(&run(&plan).await?)
}

/// Runs it all and prints the table.
async fn run(plan: &Plan) -> Result<Vec<Book>> {
    let is_wanted = |name: &&str| plan.only.is_empty() || plan.only.iter().any(|it| it == name);
    let names: Vec<_> = NAMES.into_iter().filter(is_wanted).collect();
    ensure!(!names.is_empty(), "these are all: {}", NAMES.join(", "));
    let broker = scene::start_broker();
    let scene = Arc::new(Scene::around(&broker, &names).await);
    let (moments, moment) = watch::channel(Moment::Breaking);
    let ready = Arc::new(Barrier::new(names.len() + 1));
    let mut courses = JoinSet::new();
    for (place, name) in names.iter().copied().enumerate() {
        let book = Book::new(name, plan.messages());
        let counterpart = scene.counterpart(name).await?;
        let patience = if OURS.contains(&name) {
            wait::DEADLINE
        } else {
            PATIENCE
        };
        let course = Course::new(book, scene.contestant(name, plan), counterpart, patience);
        let running = course.run(plan.clone(), Arc::clone(&ready), moment.clone());
        courses.spawn(async move { (place, running.await) });
    }
    ready.wait().await;
    let (broker, resets) = scene.break_things(plan, broker).await;
    moments.send_replace(Moment::After);
    let mut books = courses.join_all().await;
    drop(broker);
    books.sort_by_key(|(place, _)| *place);
    println!("{HEAD}");
    let books = books.into_iter().map(|(place, mut book)| {
        book.resets = resets[place];
        print!("{book}");
        book
    });
    Ok(books.collect())
}

/// Refuses a run in which ours have lost something.
fn judge(books: &[Book]) -> Result<()> {
    for book in books.iter().filter(|book| OURS.contains(&book.name)) {
        for (direction, tally) in [("from", &book.up), ("to", &book.down)] {
            let faults = (tally.lost(), tally.out_of_order);
            ensure!(
                faults == (0, 0),
                "(lost, out of order) {direction} {}: {faults:?}, lost are {:?}",
                book.name,
                tally.lost_runs(LOST_RUNS_MAX)
            );
            let came_again = tally.duplicates;
            ensure!(
                !NUMBERED || came_again == 0,
                "{came_again} came twice {direction} {}",
                book.name
            );
        }
        ensure!(book.refused == 0, "{} has refused {}", book.name, book.refused);
        ensure!(
            book.has_ended_up && book.has_ended_down,
            "{} has not come to its end",
            book.name
        );
    }
    Ok(())
}

/// Everything that the long run has, in seconds.
#[cfg(test)]
const SHORT: Plan = Plan {
    secs: 18,
    rate: 50,
    resets: 18,
    rotations: 2,
    restarts: 2,
    seed: 1,
    only: Vec::new(),
};

#[tokio::test(flavor = "multi_thread")]
async fn ours_lose_nothing() {
    let books = run(&SHORT).await.expect("it can be run");
    judge(&books).unwrap_or_else(|fault| panic!("{fault}"));
    // The others' timers are longer, so what they have seen is chance.
    for book in books.iter().filter(|book| OURS.contains(&book.name)) {
        assert!(
            book.resets > 0 && book.connections > 1,
            "{} was disturbed",
            book.name
        );
        assert!(book.tokens > 1, "{} has renewed its token", book.name);
    }
}

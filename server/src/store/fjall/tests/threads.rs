//! What the engine's own threads may take of the machine.

use std::fs;

use tempfile::TempDir;

use super::super::WORKERS_NICE;
use super::{DataLoss, open_engine};

/// The name of the engine's threads, as the system shows it.
const WORKER: &str = "(fjall:worker)";
/// Nobody can give way more than this.
const NICE_MAX: i32 = 19;

/// The `nice` of each of the engine's threads in this process.
fn nice_of_workers() -> Vec<i32> {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    // A thread of another test may end meanwhile.
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")).ok());
    let workers = stats.filter_map(|stat| {
        let (_, after_name) = stat.split_once(WORKER)?;
        // The 19th field, of which two are the thread's number and name.
        Some(after_name.split_whitespace().nth(16)?.parse().unwrap())
    });
    workers.collect()
}

#[test]
fn they_give_way_to_all_others() {
    let folder = TempDir::new().unwrap();
    let engine = open_engine(&folder.path().join("store"), DataLoss::Refused).unwrap();
    // Whoever has flushed has its name.
    engine.flush();
    let found = nice_of_workers();
    let ours = rustix::process::nice(0).unwrap();
    let expected = (ours + WORKERS_NICE).min(NICE_MAX);
    assert!(!found.is_empty());
    assert!(found.iter().all(|nice| *nice == expected), "{found:?}");
}

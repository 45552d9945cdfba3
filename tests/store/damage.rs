//! Damaged files, and what the real broker answers.

use std::fs;
use std::path::{Path, PathBuf};

use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::{http, wait};

use crate::device::{connect, publish, waiting};
use crate::operator::{SERVE, fail, lines};

/// Enough to be written into sorted files.
const MESSAGES: u8 = 130;
const MESSAGE_BYTES: usize = 300 * 1024;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("a file");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("a file can be written");
}

#[tokio::test]
async fn a_damaged_file_costs_what_is_in_it_and_the_broker_starts() {
    let queue_bytes_max = 2 * u64::from(MESSAGES) * MESSAGE_BYTES as u64;
    let options = BrokerOptions::default().with_anonymous_clients();
    let mut broker = options.with("LIMITS_QUEUE_BYTES_MAX", queue_bytes_max).start();
    let data_dir = broker.data_dir();
    let mut away = connect(&broker, "away", None).await;
    away.subscribe("q/#").await;
    drop(away);
    let mut publisher = connect(&broker, "publisher", None).await;
    for number in 0..MESSAGES {
        publish(&mut publisher, "q/1", &vec![number; MESSAGE_BYTES], false).await;
    }
    drop(publisher);
    // Each keyspace begins with list 0 of its sorted files; it has another one once there is one.
    wait::until("messages in a sorted file", || {
        let files = files(&data_dir.join("store/keyspaces"));
        let is_later = |path: &PathBuf| {
            let is_current = path.ends_with("current") && !path.ends_with("0/current");
            is_current && fs::read(path).is_ok_and(|bytes| bytes.first().is_some_and(|number| *number != 0))
        };
        files.iter().any(is_later).then_some(())
    });
    broker.kill();
    let tables = files(&data_dir.join("store/keyspaces"));
    let bytes = |path: &PathBuf| fs::metadata(path).expect("a file").len();
    let table = tables.into_iter().max_by_key(bytes).expect("there are files");
    assert!(
        bytes(&table) > 10 * MESSAGE_BYTES as u64,
        "the queue is in a sorted file"
    );
    flip(&table, 2 * MESSAGE_BYTES);

    let mut broker = broker.start_again();
    let log = broker.log();
    assert!(
        log.contains("damaged: keyspaces/") && log.contains("(queue)"),
        "{log}"
    );
    assert!(
        log.contains("cloudsignal store inspect quarantine --data-dir"),
        "{log}"
    );
    let metrics = http::get(broker.addr(Listener::Metrics), "/metrics").expect("an answer");
    assert!(
        metrics.body.contains("store_damaged_files_total 1"),
        "{}",
        metrics.body
    );

    let payloads = waiting(&broker, "away", "q/1").await;
    assert!(payloads.iter().all(|payload| payload.len() == MESSAGE_BYTES));
    let numbers: Vec<u8> = payloads.iter().map(|payload| payload[0]).collect();
    assert!(
        numbers.is_sorted_by(|a, b| a < b),
        "in order, none twice: {numbers:?}"
    );
    broker.kill();
    let [loss] = &lines(&data_dir, &["store", "inspect", "quarantine"])[..] else {
        panic!("one loss")
    };
    let lost = loss["entries_lost"].as_u64().expect("it is known");
    assert_eq!(loss["holds"][0], "queue");
    assert!((1..10).contains(&lost), "{loss}");
    assert_eq!(
        numbers.len() as u64 + lost,
        u64::from(MESSAGES),
        "what is missing is named"
    );
    let kept_as = loss["kept_as"].as_str().expect("it is kept");
    assert!(Path::new(kept_as).exists());
}

#[test]
fn where_accounts_are_damaged_the_broker_does_not_start_before_it_is_told_to() {
    let mut broker = BrokerOptions::default().start();
    let (data_dir, org) = (broker.data_dir(), broker.first_run().org_id);
    broker.kill();
    let journal = data_dir.join("store/0.jnl");
    let bytes = fs::read(&journal).expect("the journal");
    let account = format!("sys/org/{org}");
    let at = bytes
        .windows(account.len())
        .position(|window| window == account.as_bytes());
    flip(&journal, at.expect("the account is in it") + account.len() + 3);
    let before = fs::read(&journal).expect("the journal");

    for _ in 0..2 {
        let said = fail(&data_dir, &SERVE, 1);
        assert!(
            said.contains("the store is damaged") && said.contains("--accept-data-loss"),
            "{said}"
        );
    }
    assert!(
        fs::read(&journal).expect("the journal") == before,
        "nothing is changed"
    );
    assert!(!data_dir.join("quarantine").exists());
}

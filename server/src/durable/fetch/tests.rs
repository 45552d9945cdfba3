//! Whatever is stored of a session comes once and in order, however many are asked for at a time.

use std::sync::Arc;

use super::super::tests::{Bench, name, org};
use super::*;
use crate::durable::Level;
use crate::store::{Commit, ShelfWrites, StoreExt as _};

fn reader_of(bench: &Bench) -> QueueReader {
    QueueReader {
        committer: Committer::new(&org(), Arc::clone(&bench.store), bench.clock.clone(), Level::Disk),
        recent: Recent::default(),
        aside: Vec::new(),
        is_failing: false,
    }
}

/// The deliveries of a session behind `after`, asked for `messages_max` at a time.
async fn all_of(reader: &mut QueueReader, serial: u64, after: u64, messages_max: usize) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut fetch = Fetch {
        session: name(serial),
        after,
        through: 1_000_000,
        messages_max,
        bytes_max: 2_000,
    };
    while fetch.after < fetch.through {
        let fetched = reader.read(&fetch).await.unwrap();
        assert!(fetched.deliveries.len() <= messages_max);
        assert!(fetched.through > fetch.after, "it goes on");
        let next = fetched
            .deliveries
            .iter()
            .map(|it| (it.order, it.message.number()));
        found.extend(next);
        fetch.after = fetched.through;
    }
    found
}

#[tokio::test]
async fn everything_comes_once_and_in_order() {
    for seed in 0..15 {
        let mut bench = Bench::new(seed);
        for _ in 0..300 {
            bench.act();
            if bench.random(8) == 0 {
                bench.write().await;
            }
        }
        bench.write().await;
        let mut reader = reader_of(&bench);
        for serial in bench.sessions.clone() {
            let after = bench.random(bench.next_order);
            let expected = bench.model.range((serial, after + 1)..(serial + 1, 0));
            let expected = expected.filter(|(_, (_, released))| released.is_none());
            let expected: Vec<_> = expected
                .map(|((_, order), (number, _))| (*order, *number))
                .collect();
            for messages_max in [1, 7, 100, 10_000] {
                let found = all_of(&mut reader, serial, after, messages_max).await;
                assert_eq!(
                    found, expected,
                    "seed {seed}, session {serial}, after {after}, {messages_max} at a time"
                );
            }
        }
        assert!(reader.aside.is_empty());
    }
}

#[tokio::test]
async fn a_damaged_block_is_put_aside_and_the_rest_comes() {
    let mut bench = Bench::new(1);
    let mut writes = ShelfWrites::new(&org());
    let mut key = KeyBytes::default();
    writes.put(Shelf::Queue, key.block((1, 5)), |value| {
        value.extend_from_slice(b"\x01damaged");
    });
    let commit = Commit::new().shelve(Arc::new(writes));
    bench.store.write(commit).await.unwrap();
    let mut reader = reader_of(&bench);
    assert_eq!(all_of(&mut reader, 1, 0, 10).await, []);
    let aside = &reader.aside[0];
    assert_eq!((aside.shelf, &aside.key[..]), (Shelf::Queue, key.block((1, 5))));
    // It goes with the next commit, and nothing of it stays.
    bench.backlog.set_aside(reader.aside.remove(0));
    bench.write().await;
    assert_eq!(bench.shelf(Shelf::Queue).await, []);
    assert_eq!(bench.shelf(Shelf::Quarantine).await.len(), 1);
}

//! What every store must do: the same tests on each implementation.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use cloudsignal_broker::OrgId;

use super::commit::{COMMIT_WRITES_MAX, Commit, CommitError, Expect, StoreExt};
use super::reading::{Change, PAGE_BYTES_MAX, WATCH_EVENTS_MAX};
use super::{
    DataLoss, Key, Prefix, Seq, Shelf, ShelfWrites, Store, Survives, Table, Tail, WatchEnd, fjall, memory,
};
use crate::clock::{Clock, WallTime};

struct Bench {
    store: Arc<dyn Store>,
    clock: Clock,
    _folder: Option<tempfile::TempDir>,
}

fn manual_clock() -> Clock {
    Clock::manual(WallTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap())
}

fn in_memory() -> Bench {
    let clock = manual_clock();
    Bench {
        store: Arc::new(memory::open(clock.clone()).unwrap()),
        clock,
        _folder: None,
    }
}

fn on_disk() -> Bench {
    let (clock, folder) = (manual_clock(), tempfile::tempdir().unwrap());
    let store = Arc::new(fjall::open(folder.path(), clock.clone(), DataLoss::Refused).unwrap());
    Bench {
        store,
        clock,
        _folder: Some(folder),
    }
}

/// Runs each behaviour on each implementation.
macro_rules! on_every_store {
    ($($behaviour:ident),+ $(,)?) => {
        mod memory_store { $(#[tokio::test] async fn $behaviour() { super::$behaviour(super::in_memory()).await; })+ }
        mod fjall_store { $(#[tokio::test] async fn $behaviour() { super::$behaviour(super::on_disk()).await; })+ }
    };
}

on_every_store!(
    what_was_put_can_be_read_and_deleted,
    expectations_are_judged_in_order,
    a_commit_is_all_or_nothing,
    of_many_racing_writers_one_wins,
    a_scan_goes_page_by_page_and_stays_in_its_organization,
    a_page_is_bounded_in_bytes,
    entries_go_when_their_time_is_over,
    an_entry_written_anew_outlives_its_old_deadline,
    a_watch_tells_every_change_below_its_prefix,
    a_watcher_that_falls_behind_is_told,
    a_log_keeps_its_order_and_organizations_apart,
    a_tail_sees_what_is_there_and_what_comes,
    trimming_removes_the_oldest_records,
    oversized_commits_are_refused_at_the_door,
    done_hears_only_after_the_commit_can_be_read,
    a_shelf_holds_what_was_written_and_stays_in_its_organization,
    of_two_commits_to_one_shelf_the_later_one_counts,
);

fn org(name: &str) -> OrgId {
    OrgId::new(name)
}

fn key(path: &str) -> Key {
    Key::of_org(&org("org_a"), path)
}

async fn value(store: &dyn Store, path: &str) -> Option<Vec<u8>> {
    store
        .get(Table::Config, &key(path))
        .await
        .unwrap()
        .map(|entry| entry.value.to_vec())
}

async fn put(store: &dyn Store, path: &str, value: &'static str) -> Seq {
    let commit = Commit::new().put(Table::Config, key(path), Expect::Any, value);
    store.write(commit).await.unwrap().last
}

async fn what_was_put_can_be_read_and_deleted(bench: Bench) {
    let store = &*bench.store;
    assert_eq!(value(store, "a").await, None);
    let first = put(store, "a", "one").await;
    let second = put(store, "a", "two").await;
    assert!(second > first);
    let entry = store.get(Table::Config, &key("a")).await.unwrap().unwrap();
    assert_eq!(
        (&entry.value[..], entry.seq, entry.expires_at),
        (&b"two"[..], second, None)
    );
    assert_eq!(
        store.get(Table::History, &key("a")).await.unwrap(),
        None,
        "tables are apart"
    );
    store
        .write(Commit::new().delete(Table::Config, key("a"), Expect::At(second)))
        .await
        .unwrap();
    assert_eq!(value(store, "a").await, None);
}

async fn expectations_are_judged_in_order(bench: Bench) {
    let store = &*bench.store;
    let create = |value| Commit::new().put(Table::Config, key("a"), Expect::Absent, value);
    let seq = store.write(create("one")).await.unwrap().last;
    let conflict = CommitError::Conflict {
        table: Table::Config,
        key: key("a"),
    };
    assert_eq!(store.write(create("again")).await, Err(conflict.clone()));
    let replace = Commit::new().put(Table::Config, key("a"), Expect::At(seq), "two");
    store.write(replace.clone()).await.unwrap();
    assert_eq!(store.write(replace).await, Err(conflict));
    assert_eq!(value(store, "a").await.unwrap(), b"two");
}

async fn a_commit_is_all_or_nothing(bench: Bench) {
    let store = &*bench.store;
    put(store, "taken", "x").await;
    let commit = Commit::new()
        .append(&org("org_a"), "record")
        .put(Table::Config, key("free"), Expect::Any, "y")
        .put(Table::History, key("free"), Expect::Any, "y")
        .expect(Table::Config, key("taken"), Expect::Absent);
    assert!(matches!(
        store.write(commit).await,
        Err(CommitError::Conflict { .. })
    ));
    assert_eq!(value(store, "free").await, None);
    assert_eq!(store.get(Table::History, &key("free")).await.unwrap(), None);
    assert!(store.read(&org("org_a"), Seq::ZERO, 10).await.unwrap().is_empty());
}

async fn of_many_racing_writers_one_wins(bench: Bench) {
    const WRITERS: usize = 64;
    let won = Arc::new(AtomicUsize::new(0));
    let mut racing = Vec::new();
    for _ in 0..WRITERS {
        let (store, won) = (Arc::clone(&bench.store), Arc::clone(&won));
        racing.push(tokio::spawn(async move {
            let commit = Commit::new().put(Table::Config, key("only"), Expect::Absent, "mine");
            match store.write(commit).await {
                Ok(_) => _ = won.fetch_add(1, Ordering::SeqCst),
                Err(error) => assert!(matches!(error, CommitError::Conflict { .. })),
            }
        }));
    }
    for racer in racing {
        racer.await.unwrap();
    }
    assert_eq!(won.load(Ordering::SeqCst), 1);
}

async fn a_scan_goes_page_by_page_and_stays_in_its_organization(bench: Bench) {
    let store = &*bench.store;
    let mut commit = Commit::new().put(Table::Config, Key::of_system("user/x"), Expect::Any, "");
    for path in ["user/a", "user/b", "user/c", "user/d", "user/e", "vault/f"] {
        commit = commit.put(Table::Config, key(path), Expect::Any, path.to_owned());
        commit = commit.put(
            Table::Config,
            Key::of_org(&org("org_ab"), path),
            Expect::Any,
            "other",
        );
    }
    store.write(commit).await.unwrap();
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let prefix = Prefix::of_org(&org("org_a"), "user/");
        let page = store
            .scan(Table::Config, &prefix, after.as_ref(), 2)
            .await
            .unwrap();
        assert!(page.entries.len() <= 2);
        seen.extend(page.entries.into_iter().map(|entry| entry.value));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["user/a", "user/b", "user/c", "user/d", "user/e"]);
    assert_eq!(pages, 3);
}

async fn a_page_is_bounded_in_bytes(bench: Bench) {
    let large = vec![b'x'; PAGE_BYTES_MAX / 2 + 1];
    for path in ["a", "b", "c"] {
        let commit = Commit::new()
            .put(Table::Usage, key(path), Expect::Any, large.clone())
            .append(&org("org_a"), large.clone());
        bench.store.write(commit).await.unwrap();
    }
    let prefix = Prefix::of_org(&org("org_a"), "");
    let page = bench.store.scan(Table::Usage, &prefix, None, 100).await.unwrap();
    assert_eq!((page.entries.len(), page.next), (2, Some(key("b"))));
    assert_eq!(
        bench
            .store
            .read(&org("org_a"), Seq::ZERO, 100)
            .await
            .unwrap()
            .len(),
        2
    );
}

async fn entries_go_when_their_time_is_over(bench: Bench) {
    let store = &*bench.store;
    let ttl = Duration::from_secs(60);
    let mut watch = store.watch(Table::Config, Prefix::of_org(&org("org_a"), "short"));
    store
        .write(Commit::new().put_for(Table::Config, key("short"), Expect::Any, "x", ttl))
        .await
        .unwrap();
    assert!(matches!(watch.next().await.unwrap().change, Change::Put(_)));
    bench.clock.advance(ttl - Duration::from_micros(1));
    assert!(value(store, "short").await.is_some());
    bench.clock.advance(Duration::from_micros(1));
    assert_eq!(value(store, "short").await, None, "gone for readers at once");
    let page = store
        .scan(Table::Config, &Prefix::of_org(&org("org_a"), ""), None, 9)
        .await
        .unwrap();
    assert!(page.entries.is_empty());
    assert_eq!(watch.next().await.unwrap().change, Change::Expired);
    let anew = Commit::new().put(Table::Config, key("short"), Expect::Absent, "y");
    store.write(anew).await.unwrap();
    assert_eq!(value(store, "short").await.unwrap(), b"y");
}

async fn an_entry_written_anew_outlives_its_old_deadline(bench: Bench) {
    let store = &*bench.store;
    for secs in [10, 100] {
        let ttl = Duration::from_secs(secs);
        store
            .write(Commit::new().put_for(Table::Config, key("a"), Expect::Any, "x", ttl))
            .await
            .unwrap();
    }
    store
        .write(Commit::new().put_for(Table::Config, key("b"), Expect::Any, "x", Duration::from_secs(10)))
        .await
        .unwrap();
    put(store, "b", "for ever").await;
    bench.clock.advance(Duration::from_secs(50));
    put(store, "other", "this turn sweeps").await;
    assert!(value(store, "a").await.is_some());
    assert!(value(store, "b").await.is_some());
    bench.clock.advance(Duration::from_secs(51));
    assert_eq!(value(store, "a").await, None);
    assert!(value(store, "b").await.is_some());
}

async fn a_watch_tells_every_change_below_its_prefix(bench: Bench) {
    let store = &*bench.store;
    put(store, "user/before", "x").await;
    let mut watch = store.watch(Table::Config, Prefix::of_org(&org("org_a"), "user/"));
    put(store, "key/a", "x").await;
    let seq = put(store, "user/a", "one").await;
    store
        .write(Commit::new().delete(Table::Config, key("user/a"), Expect::Any))
        .await
        .unwrap();
    let event = watch.next().await.unwrap();
    assert_eq!((event.key, event.seq), (key("user/a"), seq));
    assert_eq!(event.change, Change::Put("one".into()));
    assert_eq!(watch.next().await.unwrap().change, Change::Deleted);
}

async fn a_watcher_that_falls_behind_is_told(bench: Bench) {
    let store = &*bench.store;
    let mut watch = store.watch(Table::Config, Prefix::of_org(&org("org_a"), ""));
    let mut commit = Commit::new();
    for number in 0..=WATCH_EVENTS_MAX {
        commit = commit.put(Table::Config, key(&format!("{number}")), Expect::Any, "");
    }
    store.write(commit).await.unwrap();
    assert_eq!(watch.next().await, Err(WatchEnd::Lagged));
    assert!(watch.next().await.is_ok(), "it goes on with what was not missed");
}

async fn a_log_keeps_its_order_and_organizations_apart(bench: Bench) {
    let store = &*bench.store;
    let (a, ab) = (org("org_a"), org("org_ab"));
    let committed = store
        .write(Commit::new().append(&a, "1").append(&ab, "other").append(&a, "2"))
        .await
        .unwrap();
    assert_eq!(committed.last.0 - committed.first.0, 2);
    store.write(Commit::new().append(&a, "3")).await.unwrap();
    let records = store.read(&a, Seq::ZERO, 10).await.unwrap();
    assert!(records.is_sorted_by_key(|record| record.seq));
    let texts: Vec<_> = records.iter().map(|record| &record.record[..]).collect();
    assert_eq!(texts, [b"1", b"2", b"3"]);
    assert_eq!(records[0].seq, committed.first);
    let rest = store.read(&a, records[1].seq, 1).await.unwrap();
    assert_eq!(rest, records[1..2]);
}

async fn a_tail_sees_what_is_there_and_what_comes(bench: Bench) {
    const RECORDS: usize = 300;
    let a = org("org_a");
    bench
        .store
        .write(Commit::new().append(&a, "before"))
        .await
        .unwrap();
    let mut tail = Tail::new(Arc::clone(&bench.store), a.clone(), Seq::ZERO);
    let store = Arc::clone(&bench.store);
    let writer = tokio::spawn(async move {
        for number in 0..RECORDS {
            let noise = Commit::new().append(&org("org_b"), "noise");
            store.write(noise).await.unwrap();
            store
                .write(Commit::new().append(&org("org_a"), format!("{number}")))
                .await
                .unwrap();
        }
    });
    let mut seen = Vec::new();
    while seen.len() <= RECORDS {
        let records = tail.next(7).await.unwrap();
        assert!((1..=7).contains(&records.len()));
        seen.extend(
            records
                .into_iter()
                .map(|record| String::from_utf8(record.record.to_vec()).unwrap()),
        );
    }
    let expected: Vec<_> = std::iter::once("before".to_owned())
        .chain((0..RECORDS).map(|n| n.to_string()))
        .collect();
    assert_eq!(seen, expected);
    writer.await.unwrap();
}

async fn trimming_removes_the_oldest_records(bench: Bench) {
    let store = &*bench.store;
    let (a, b) = (org("org_a"), org("org_b"));
    let mut commit = Commit::new().append(&b, "keep");
    for number in 0..10 {
        commit = commit.append(&a, format!("{number}"));
    }
    let committed = store.write(commit).await.unwrap();
    let up_to = Seq(committed.last.0 - 2);
    store.write(Commit::new().trim(&a, up_to)).await.unwrap();
    let left = store.read(&a, Seq::ZERO, 100).await.unwrap();
    assert_eq!(
        left.iter().map(|record| &record.record[..]).collect::<Vec<_>>(),
        [b"8", b"9"]
    );
    assert_eq!(store.read(&b, Seq::ZERO, 100).await.unwrap().len(), 1);
    let next = store.write(Commit::new().append(&a, "10")).await.unwrap();
    assert!(next.first > committed.last, "positions are never used again");
    // A trim that takes several turns stays within what was there when it was asked for.
    let mut commit = Commit::new();
    for _ in 0..COMMIT_WRITES_MAX {
        commit = commit.append(&a, "x");
    }
    store.write(commit.clone()).await.unwrap();
    store.write(commit).await.unwrap();
    store.write(Commit::new().trim(&a, Seq(u64::MAX))).await.unwrap();
    store.write(Commit::new().append(&a, "later")).await.unwrap();
    store.write(Commit::new()).await.unwrap();
    let left = store.read(&a, Seq::ZERO, 100).await.unwrap();
    assert_eq!(
        left.iter().map(|record| &record.record[..]).collect::<Vec<_>>(),
        [b"later"]
    );
}

async fn oversized_commits_are_refused_at_the_door(bench: Bench) {
    let store = &*bench.store;
    let mut commit = Commit::new();
    for _ in 0..=COMMIT_WRITES_MAX {
        commit = commit.delete(Table::Config, key("a"), Expect::Any);
    }
    let error = store.write(commit).await.unwrap_err();
    assert_eq!(
        error,
        CommitError::TooLarge {
            what: "writes",
            max: COMMIT_WRITES_MAX
        }
    );
    let long = Commit::new().put(Table::Config, key(&"k".repeat(70_000)), Expect::Any, "");
    assert!(matches!(
        store.write(long).await,
        Err(CommitError::TooLarge { .. })
    ));
}

async fn done_hears_only_after_the_commit_can_be_read(bench: Bench) {
    let (tell, told) = oneshot::channel();
    let committed = bench.store.committed();
    let commit = Commit::new().put(Table::Config, key("a"), Expect::Any, "x");
    bench.store.commit(
        commit,
        Box::new(move |outcome| {
            let outcome = outcome.unwrap();
            assert!(*committed.borrow() >= outcome.last);
            tell.send(()).unwrap();
        }),
    );
    told.await.unwrap();
    assert!(value(&*bench.store, "a").await.is_some());
    assert!(
        bench.store.write(Commit::new()).await.is_ok(),
        "an empty commit is a barrier"
    );
}

fn shelve(name: &str, keys: &[&str], value: &str) -> Commit {
    let mut writes = ShelfWrites::new(&org(name));
    for key in keys {
        writes.put(Shelf::Queue, key.as_bytes(), |bytes| {
            bytes.extend_from_slice(value.as_bytes());
        });
    }
    Commit::new().shelve(Arc::new(writes))
}

async fn shelved(store: &dyn Store, prefix: &str, entries_max: usize) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.shelf(
            Shelf::Queue,
            &org("org_a"),
            prefix.as_bytes(),
            after.as_deref(),
            entries_max,
        );
        let page = page.await.unwrap();
        assert!(page.entries.len() <= entries_max);
        all.extend(page.entries.iter().map(|(key, value)| (text(key), text(value))));
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

async fn a_shelf_holds_what_was_written_and_stays_in_its_organization(bench: Bench) {
    let store = &*bench.store;
    let before = *store.committed().borrow();
    let commit = shelve("org_a", &["q1", "q2", "q3", "r1"], "mine").surviving(Survives::Crash);
    store.write(commit).await.unwrap();
    store.write(shelve("org_ab", &["q1"], "other")).await.unwrap();
    let of = |key: &str| (key.to_owned(), "mine".to_owned());
    assert_eq!(shelved(store, "q", 2).await, [of("q1"), of("q2"), of("q3")]);
    let mut writes = ShelfWrites::new(&org("org_a"));
    writes.delete(Shelf::Queue, b"q2");
    writes.delete(Shelf::Queue, b"nobody knows it");
    store.write(Commit::new().shelve(Arc::new(writes))).await.unwrap();
    assert_eq!(shelved(store, "", 9).await, [of("q1"), of("q3"), of("r1")]);
    assert_eq!(*store.committed().borrow(), before, "shelves have no positions");
}

async fn of_two_commits_to_one_shelf_the_later_one_counts(bench: Bench) {
    let told = Arc::new(AtomicUsize::new(0));
    // They wait together behind the first, and would be one group if they were of two organizations.
    for value in ["first", "second", "third"] {
        let told = Arc::clone(&told);
        let done = Box::new(move |outcome: Result<_, _>| {
            told.fetch_add(usize::from(outcome.is_ok()), Ordering::SeqCst);
        });
        bench.store.commit(shelve("org_a", &["k"], value), done);
    }
    bench.store.write(Commit::new()).await.unwrap();
    assert_eq!(told.load(Ordering::SeqCst), 3);
    assert_eq!(
        shelved(&*bench.store, "", 9).await,
        [("k".to_owned(), "third".to_owned())]
    );
}

mod reopening {
    use super::*;
    use crate::store::StoreError;

    fn reopen(folder: &tempfile::TempDir, clock: &Clock) -> Arc<dyn Store> {
        Arc::new(fjall::open(folder.path(), clock.clone(), DataLoss::Refused).unwrap())
    }

    #[tokio::test]
    async fn everything_committed_is_there_after_reopening() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), manual_clock());
        let store = reopen(&folder, &clock);
        let ttl = Duration::from_secs(60);
        let commit = Commit::new()
            .put(Table::Config, key("a"), Expect::Any, "x")
            .put_for(Table::Config, key("short"), Expect::Any, "y", ttl)
            .append(&org("org_a"), "record");
        store.write(shelve("org_a", &["q"], "kept")).await.unwrap();
        let committed = store.write(commit).await.unwrap();
        drop(store);
        clock.advance(ttl);
        let store = reopen(&folder, &clock);
        assert_eq!(*store.committed().borrow(), committed.last);
        assert_eq!(shelved(&*store, "", 9).await, [("q".into(), "kept".into())]);
        assert_eq!(value(&*store, "a").await.unwrap(), b"x");
        assert_eq!(
            value(&*store, "short").await,
            None,
            "its time passed while the store was closed"
        );
        assert_eq!(store.read(&org("org_a"), Seq::ZERO, 9).await.unwrap().len(), 1);
        assert!(
            store
                .write(Commit::new().append(&org("org_a"), "next"))
                .await
                .unwrap()
                .first
                > committed.last
        );
    }

    /// A process that dies leaves the files as they are at some moment after the last answer. A copy
    /// of the folder, taken while the store is open, is such a moment.
    #[tokio::test]
    async fn what_was_answered_survives_a_crash() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), manual_clock());
        let store = reopen(&folder, &clock);
        for number in 0..50 {
            let commit = Commit::new().put(Table::Config, key(&format!("{number:02}")), Expect::Any, "x");
            store
                .write(commit.append(&org("org_a"), format!("{number}")))
                .await
                .unwrap();
        }
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        let after_crash = reopen(&copy, &clock);
        let prefix = Prefix::of_org(&org("org_a"), "");
        let page = after_crash
            .scan(Table::Config, &prefix, None, 1_000)
            .await
            .unwrap();
        assert_eq!(page.entries.len(), 50);
        assert_eq!(
            after_crash
                .read(&org("org_a"), Seq::ZERO, 1_000)
                .await
                .unwrap()
                .len(),
            50
        );
        drop(store);
    }

    #[tokio::test]
    async fn two_processes_cannot_share_a_folder() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), manual_clock());
        let _store = reopen(&folder, &clock);
        let second = fjall::open(folder.path(), clock, DataLoss::Refused);
        assert_eq!(second.map(drop).unwrap_err(), StoreError::InUse);
    }
}

/// Copies a folder as it is right now: what a process that dies would leave.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

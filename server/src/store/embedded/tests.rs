//! What only a misbehaving engine or a full queue can show.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::clock::WallTime;
use crate::store::{Expect, StoreExt};

/// Holds one space's worth of nothing and refuses to write when told to.
#[derive(Debug, Default)]
struct Faulty {
    broken: Arc<AtomicBool>,
    format: Option<u8>,
}

impl Engine for Faulty {
    const READS_DISK: bool = false;

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, String> {
        let is_format = space == Space::Meta && key == META_FORMAT;
        Ok(self
            .format
            .filter(|_| is_format)
            .map(|version| Bytes::from(vec![version])))
    }

    fn scan(&self, _: Space, _: &[u8], _: Option<&[u8]>, _: Visit<'_>) -> Result<(), String> {
        Ok(())
    }

    fn reopen(&self) -> Result<(), String> {
        Ok(())
    }

    fn apply(&self, _: &Batch) -> Result<(), String> {
        if self.broken.load(Ordering::SeqCst) {
            Err("no space left".into())
        } else {
            Ok(())
        }
    }
}

fn clock() -> Clock {
    Clock::manual(WallTime::ZERO)
}

fn put() -> Commit {
    Commit::new().put(Table::Config, Key::of_system("a"), Expect::Any, "x")
}

#[tokio::test]
async fn a_failed_write_is_never_acknowledged_and_moves_nothing() {
    let broken = Arc::new(AtomicBool::new(false));
    let store = Embedded::open(
        Faulty {
            broken: Arc::clone(&broken),
            format: None,
        },
        clock(),
    )
    .unwrap();
    let mut watch = store.watch(Table::Config, Prefix::of_system(""));
    let before = store.write(put()).await.unwrap().last;
    broken.store(true, Ordering::SeqCst);
    assert_eq!(
        store.write(put()).await,
        Err(CommitError::Failed("no space left".into()))
    );
    assert_eq!(*store.committed().borrow(), before);
    broken.store(false, Ordering::SeqCst);
    let after = store.write(put()).await.unwrap().last;
    assert_eq!(watch.next().await.unwrap().seq, before);
    assert_eq!(
        watch.next().await.unwrap().seq,
        after,
        "the failed one was never told"
    );
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_recovers() {
    let store = Embedded::open(Faulty::default(), clock()).unwrap();
    let (release, held) = mpsc::channel::<()>();
    let (started, start) = tokio::sync::oneshot::channel();
    store.commit(
        put(),
        Box::new(move |_| {
            started.send(()).unwrap();
            held.recv().unwrap();
        }),
    );
    start.await.unwrap();
    let large = || put().append(&OrgId::new("org_a"), vec![0; QUEUE_BYTES_MAX / 2 + 1]);
    let (tell, told) = mpsc::channel();
    for _ in 0..3 {
        let tell = tell.clone();
        store.commit(
            large(),
            Box::new(move |outcome| tell.send(outcome.map(drop)).unwrap()),
        );
    }
    assert_eq!(
        told.recv().unwrap(),
        Err(CommitError::Busy),
        "the third finds two waiting"
    );
    release.send(()).unwrap();
    assert_eq!((told.recv().unwrap(), told.recv().unwrap()), (Ok(()), Ok(())));
    assert!(store.write(large()).await.is_ok());
}

#[test]
fn what_waits_is_written_before_the_store_closes() {
    let store = Embedded::open(Faulty::default(), clock()).unwrap();
    let (tell, told) = mpsc::channel();
    for _ in 0..100 {
        let tell = tell.clone();
        store.commit(
            put(),
            Box::new(move |outcome| tell.send(outcome.is_ok()).unwrap()),
        );
    }
    drop((store, tell));
    assert_eq!(told.iter().filter(|&ok| ok).count(), 100);
}

#[tokio::test]
async fn a_callback_that_panics_stops_nobody() {
    let store = Embedded::open(Faulty::default(), clock()).unwrap();
    store.commit(put(), Box::new(|_| panic!("on purpose, by a test")));
    assert!(store.write(put()).await.is_ok());
}

#[test]
fn a_folder_of_a_newer_program_is_refused() {
    let newer = Faulty {
        format: Some(STORE_VERSION + 1),
        ..Faulty::default()
    };
    let error = Embedded::open(newer, clock()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the data folder: stored in format 3, and this program knows format 2: use the newer program that wrote it"
    );
}

/// Keeps pairs, and fails the n-th batch, before or after it is there.
#[derive(Debug, Default)]
struct FailsOnce {
    pairs: parking_lot::Mutex<Pairs>,
    /// Batches so far, and reopenings.
    counts: Arc<parking_lot::Mutex<(usize, usize)>>,
    fails_at: usize,
    /// The failing batch is there all the same.
    is_there: bool,
    /// After a failure nothing is written until it is reopened.
    is_poisoned: AtomicBool,
}

impl Engine for FailsOnce {
    const READS_DISK: bool = false;

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, String> {
        let value = self.pairs.lock().get(&(space, key.to_vec())).cloned().flatten();
        Ok(value.map(Bytes::from))
    }

    fn scan(&self, _: Space, _: &[u8], _: Option<&[u8]>, _: Visit<'_>) -> Result<(), String> {
        Ok(())
    }

    fn apply(&self, batch: &Batch) -> Result<(), String> {
        let number = {
            let mut counts = self.counts.lock();
            counts.0 += 1;
            counts.0
        };
        if self.is_poisoned.load(Ordering::SeqCst) {
            return Err("poisoned".into());
        }
        let fails = number == self.fails_at;
        if !fails || self.is_there {
            let mut pairs = self.pairs.lock();
            for (space, key, value) in batch.writes() {
                pairs.insert((space, key.to_vec()), value.map(<[u8]>::to_vec));
            }
        }
        if fails {
            self.is_poisoned.store(true, Ordering::SeqCst);
            return Err("the sync failed".into());
        }
        Ok(())
    }

    fn reopen(&self) -> Result<(), String> {
        self.counts.lock().1 += 1;
        self.is_poisoned.store(false, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn a_folder_of_an_older_program_is_read_and_is_of_this_one_then() {
    let format = (Space::Meta, META_FORMAT.to_vec());
    for older in [None, Some(vec![1])] {
        let engine = FailsOnce::default();
        engine.pairs.lock().insert(format.clone(), older);
        read_meta(&engine).unwrap();
        assert_eq!(engine.pairs.lock()[&format], Some(vec![STORE_VERSION]));
    }
}

#[tokio::test]
async fn whichever_batch_fails_the_engine_is_reopened_and_positions_stay_unique() {
    const COMMITS: usize = 6;
    for fails_at in 2..=COMMITS {
        for is_there in [false, true] {
            let counts = Arc::default();
            let engine = FailsOnce {
                counts: Arc::clone(&counts),
                fails_at,
                is_there,
                ..FailsOnce::default()
            };
            // The first batch is the format of the folder.
            let store = Embedded::open(engine, clock()).unwrap();
            let mut watch = store.watch(Table::Config, Prefix::of_system(""));
            let (mut acknowledged, mut refused) = (Vec::new(), 0);
            for number in 1..=COMMITS {
                let key = Key::of_system(&number.to_string());
                let commit = Commit::new().put(Table::Config, key, Expect::Any, "x");
                match store.write(commit).await {
                    Ok(committed) => acknowledged.push(committed.last),
                    Err(error) => {
                        assert_eq!(error, CommitError::Failed("the sync failed".into()));
                        refused += 1;
                    }
                }
            }
            assert_eq!(
                (refused, acknowledged.len(), counts.lock().1),
                (1, COMMITS - 1, 1)
            );
            assert!(acknowledged.is_sorted() && acknowledged.windows(2).all(|pair| pair[0] != pair[1]));
            let told = COMMITS - usize::from(!is_there);
            let mut seqs = Vec::new();
            for _ in 0..told {
                seqs.push(watch.next().await.unwrap().seq);
            }
            assert!(
                seqs.windows(2).all(|pair| pair[0] < pair[1]),
                "{seqs:?}: what is there is told once, in order"
            );
            for number in 1..=COMMITS {
                let stored = store
                    .get(Table::Config, &Key::of_system(&number.to_string()))
                    .await;
                let is_expected = number + 1 != fails_at || is_there;
                assert_eq!(stored.unwrap().is_some(), is_expected, "commit {number}");
            }
        }
    }
}

/// Panics when it is given one key.
#[derive(Debug, Default)]
struct Picky(AtomicBool);

impl Engine for Picky {
    const READS_DISK: bool = false;

    fn get(&self, _: Space, _: &[u8]) -> Result<Option<Bytes>, String> {
        Ok(None)
    }

    fn scan(&self, _: Space, _: &[u8], _: Option<&[u8]>, _: Visit<'_>) -> Result<(), String> {
        Ok(())
    }

    fn apply(&self, batch: &Batch) -> Result<(), String> {
        assert!(!self.0.load(Ordering::SeqCst), "it is used after a panic");
        let is_picked = batch.writes().any(|(_, key, _)| key == b"sys/no");
        self.0.store(is_picked, Ordering::SeqCst);
        assert!(!is_picked, "not this one");
        Ok(())
    }

    fn reopen(&self) -> Result<(), String> {
        self.0.store(false, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test]
async fn a_commit_that_the_engine_never_takes_is_refused_for_good_and_everybody_else_goes_on() {
    let store = Embedded::open(Picky::default(), Clock::system()).unwrap();
    let write = async |key: &str| {
        loop {
            let commit = Commit::new().put(Table::Config, Key::of_system(key), Expect::Any, "x");
            match store.write(commit).await {
                Err(error) if !error.is_final() => tokio::task::yield_now().await,
                outcome => return outcome.map(drop),
            }
        }
    };
    let all = async { tokio::join!(write("a"), write("no"), write("b")) };
    let (a, no, b) = tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
    assert_eq!((a, b), (Ok(()), Ok(())));
    assert_eq!(no, Err(CommitError::Refused("not this one".into())));
    assert_eq!(write("c").await, Ok(()));
    assert_eq!(store.meters().failing.get(), 0);
}

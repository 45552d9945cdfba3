//! Stores that fail: nothing is acknowledged that is not there, everything is once it is, and nothing is lost.

use std::sync::Arc;

use super::bench::{Bench, entries, fresh, new_org, next_kind, org, orgs, publish, publish_this, start};
use super::restore::restore;
use super::{Durability, Level, erase_mark};
use crate::accounts::Command;
use crate::net::outbox::Batch;
use crate::orgs::live;
use crate::store::flaky::{Failure, Flaky, NEVER};
use crate::store::{Commit, Expect, Shelf, ShelfWrites, Store, StoreExt as _, Table};

/// Whichever commit fails, before or after it is there: every acknowledgement finds what it promises in the store.
#[tokio::test]
async fn an_acknowledgement_never_runs_ahead_of_the_store() {
    for fails_at in 1..=5 {
        for failure in [Failure::Before, Failure::After, Failure::Busy] {
            let bench = Bench::new(Some((fails_at, failure)));
            let away = bench.connect("away", u32::MAX);
            assert_eq!(next_kind(&away).await, 0x20, "CONNACK");
            bench.subscribe(&away).await;
            let publisher = bench.connect("publisher", 0);
            assert_eq!(next_kind(&publisher).await, 0x20, "CONNACK");
            let mut acknowledged = 0;
            for id in 1..=3 {
                bench.send(&publisher, &publish(id));
                assert_eq!(next_kind(&publisher).await, 0x40, "PUBACK");
                acknowledged += 1;
                let queued = bench.queued().await;
                assert!(
                    queued >= acknowledged,
                    "{queued} stored, {acknowledged} acknowledged"
                );
            }
            while !bench.cell.write_out() {
                tokio::task::yield_now().await;
            }
            let durability = Durability::new(Arc::clone(&bench.inner), bench.clock.clone(), Level::Disk);
            let restored = restore(&durability, fresh()).await.unwrap();
            let totals = restored.totals;
            assert_eq!(
                (totals.sessions, totals.subscriptions, totals.deliveries),
                (1, 1, 3)
            );
        }
    }
}

#[tokio::test]
async fn a_broken_organization_comes_back_as_it_was_stored_and_a_deleted_one_leaves_nothing() {
    let (clock, inner) = start();
    let (directory, orgs) = orgs(&inner, &clock, Level::Disk).await;
    let id = new_org(&directory).await;
    let cell = orgs.enter(&id).unwrap();
    let bench = Bench { clock, inner, cell };
    let away = bench.connect("away", u32::MAX);
    assert_eq!(next_kind(&away).await, 0x20, "CONNACK");
    let answer: Option<()> = bench
        .cell
        .hold(bench.clock.now(), None, |_, _| panic!("on purpose"));
    assert_eq!(answer, None);
    assert!(orgs.enter(&id).is_none(), "it is being read back");
    let revived = loop {
        tokio::task::yield_now().await;
        if let Some(cell) = orgs.enter(&id) {
            break cell;
        }
    };
    let sessions = revived.read(|org| {
        org.sessions()
            .map(|it| it.client_id.to_owned())
            .collect::<Vec<_>>()
    });
    assert_eq!(sessions, ["away"]);
    assert!(entries(&*bench.inner, &id).await > 0);
    drop(revived);
    let delete = Command::OrgDelete { org: id.to_string() };
    directory.execute(delete).await.unwrap();
    orgs.forget(&id);
    while entries(&*bench.inner, &id).await > 0 {
        tokio::task::yield_now().await;
    }
    // A crash before the end of that: the next start removes the rest.
    let mut left = ShelfWrites::new(&id);
    left.put(Shelf::Queue, b"left", |_| {});
    let left = Commit::new().shelve(Arc::new(left));
    let left = left.put(Table::Config, erase_mark(&id), Expect::Any, "");
    bench.inner.write(left).await.unwrap();
    orgs.restore().await.unwrap();
    assert_eq!(entries(&*bench.inner, &id).await, 0);
    let mark = bench.inner.get(Table::Config, &erase_mark(&id));
    assert_eq!(mark.await.unwrap(), None);
}

#[tokio::test]
async fn an_organization_that_is_deleted_while_it_is_read_back_leaves_nothing() {
    let (clock, inner) = start();
    let store = Arc::new(Flaky::working(Arc::clone(&inner)));
    let over: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
    let (directory, orgs) = orgs(&over, &clock, Level::Disk).await;
    let id = new_org(&directory).await;
    let cell = orgs.enter(&id).unwrap();
    let bench = Bench { clock, inner, cell };
    let away = bench.connect("away", u32::MAX);
    assert_eq!(next_kind(&away).await, 0x20, "CONNACK");
    store.set_readable(false);
    let now = bench.clock.now();
    let _broken: Option<()> = bench.cell.hold(now, None, |_, _| panic!("on purpose"));
    assert!(orgs.enter(&id).is_none(), "it is being read back");
    while store.readers() == 0 {
        tokio::task::yield_now().await;
    }
    let mut events = directory.events();
    let delete = Command::OrgDelete { org: id.to_string() };
    directory.execute(delete).await.unwrap();
    live::catch_up(&orgs, &directory, &mut events, now);
    store.set_readable(true);
    while store.readers() > 0 || entries(&*bench.inner, &id).await > 0 {
        tokio::task::yield_now().await;
    }
    assert!(orgs.find(&id).is_none());
    assert!(orgs.cells().is_empty(), "nobody can enter it any more");
}

#[tokio::test]
async fn what_can_never_be_stored_costs_its_publisher_and_nobody_else() {
    let bench = Bench::new(None);
    let away = bench.connect("away", u32::MAX);
    assert_eq!(next_kind(&away).await, 0x20, "CONNACK");
    bench.subscribe(&away).await;
    let (good, bad) = (bench.connect("good", 0), bench.connect("bad", 0));
    assert_eq!(next_kind(&good).await, 0x20, "CONNACK");
    assert_eq!(next_kind(&bad).await, 0x20, "CONNACK");
    // The second and the third are one commit: they come while the first is under way.
    bench.send(&good, &publish(1));
    bench.send(&bad, &publish_this(NEVER, 1));
    bench.send(&good, &publish(2));
    assert_eq!(next_kind(&bad).await, 0xE0, "DISCONNECT, and no PUBACK");
    assert_eq!(bench.queued().await, 2);
    for _ in 1..=2 {
        assert_eq!(next_kind(&good).await, 0x40, "PUBACK");
    }
    assert_eq!(bench.inner.meters().refused.get(), 1);
    assert!(!bench.cell.unstored().is_failing);
    bench.send(&good, &publish(3));
    assert_eq!(next_kind(&good).await, 0x40, "PUBACK");
    assert_eq!(bench.queued().await, 3);
}

/// While a commit fails, nobody hears anything that it promises, and what needs no storage goes on.
#[tokio::test]
async fn while_the_store_fails_only_those_wait_who_need_it() {
    let bench = Bench::new(Some((1, Failure::Before)));
    let away = bench.connect("away", u32::MAX);
    let clean = bench.connect("clean", 0);
    let mut batch = Batch::default();
    clean.outbox.take(0, &mut batch);
    assert_eq!(batch.bytes.first(), Some(&0x20), "CONNACK at once");
    let mut batch = Batch::default();
    away.outbox.take(0, &mut batch);
    assert!(batch.bytes.is_empty(), "the session is not stored");
    assert_eq!(next_kind(&away).await, 0x20, "CONNACK, once it is");
    let barrier = bench.inner.write(Commit::new());
    barrier.await.unwrap();
    let page = bench.inner.shelf(Shelf::Session, &org(), &[], None, 9);
    assert_eq!(page.await.unwrap().entries.len(), 1);
    assert!(!bench.cell.unstored().is_failing, "it has recovered");
}

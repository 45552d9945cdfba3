//! Levels change under organizations at work.

use std::time::Duration;

use cloudsignal_broker::OrgId;
use cloudsignal_core::codec::{Ack, Packet, PacketId, ReasonCode};

use super::*;
use crate::accounts::{Command, Directory};
use crate::durable::bench::{Bench, entries, new_org, next_kind, orgs, publish, start};
use crate::orgs::live;
use crate::store::Store;
use crate::store::flaky::{Failure, Flaky};

struct World {
    bench: Bench,
    store: Arc<Flaky>,
    directory: Directory,
    orgs: Arc<Orgs>,
    id: OrgId,
}

/// Awaits what another task sees to.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waits = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), waits).await;
    in_time.unwrap_or_else(|_late| panic!("{what}"));
}

impl World {
    async fn new(level: Level) -> Self {
        let (clock, inner) = start();
        let store = Arc::new(Flaky::working(Arc::clone(&inner)));
        let over: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
        let (directory, orgs) = orgs(&over, &clock, level).await;
        let id = new_org(&directory).await;
        let cell = orgs.enter(&id).unwrap();
        let bench = Bench { clock, inner, cell };
        Self {
            bench,
            store,
            directory,
            orgs,
            id,
        }
    }

    /// As an operator does.
    async fn set(&self, level: Level) {
        let mut events = self.directory.events();
        let command = Command::OrgDurability {
            org: self.id.to_string(),
            durability: Some(level),
        };
        self.directory.execute(command).await.unwrap();
        live::catch_up(&self.orgs, &self.directory, &mut events, self.bench.clock.now());
    }

    /// A session with so many messages, whose client is away.
    async fn leave_session(&self, messages: u16) {
        let bench = &self.bench;
        let away = bench.connect("away", u32::MAX);
        assert_eq!(next_kind(&away).await, 0x20, "CONNACK");
        bench.subscribe(&away).await;
        bench.lose(&away);
        let publisher = bench.connect("publisher", 0);
        assert_eq!(next_kind(&publisher).await, 0x20, "CONNACK");
        for id in 1..=messages {
            bench.send(&publisher, &publish(id));
            assert_eq!(next_kind(&publisher).await, 0x40, "PUBACK");
        }
    }

    /// What a start would read back: sessions, subscriptions, deliveries.
    async fn restored(&self) -> (u64, u64, u64) {
        let store = Arc::clone(&self.bench.inner);
        let (_, orgs) = orgs(&store, &self.bench.clock, Level::Disk).await;
        let totals = orgs.restore_one(&self.id).await.unwrap().unwrap_or_default();
        (totals.sessions, totals.subscriptions, totals.deliveries)
    }

    fn needs_store(&self) -> bool {
        self.bench.cell.read(cloudsignal_broker::Org::needs_store)
    }
}

#[tokio::test]
async fn what_lived_in_memory_is_stored_before_anything_more_is_promised() {
    let world = World::new(Level::Memory).await;
    world.leave_session(3).await;
    assert_eq!(entries(&*world.bench.inner, &world.id).await, 0);
    world.set(Level::Os).await;
    until("it stores", async || world.bench.cell.level() == Level::Os).await;
    let publisher = world.bench.connect("later", 0);
    assert_eq!(next_kind(&publisher).await, 0x20, "CONNACK");
    world.bench.send(&publisher, &publish(1));
    assert_eq!(next_kind(&publisher).await, 0x40, "PUBACK");
    assert_eq!(world.restored().await, (1, 1, 4));
    until("what is stored leaves the memory", async || world.needs_store()).await;
    // Everything comes, in order.
    let away = world.bench.connect("away", u32::MAX);
    assert_eq!(next_kind(&away).await, 0x20, "CONNACK");
    for id in 1..=4 {
        assert_eq!(next_kind(&away).await & 0xF0, 0x30, "PUBLISH {id}");
    }
}

#[tokio::test]
async fn while_the_store_fails_nobody_is_promised_what_is_not_there() {
    let world = World::new(Level::Memory).await;
    world.leave_session(3).await;
    let publisher = world.bench.connect("later", 0);
    assert_eq!(next_kind(&publisher).await, 0x20, "CONNACK");
    world.store.break_down_after(1, Failure::Before);
    world.set(Level::Disk).await;
    let is_failing = || world.bench.cell.unstored().is_failing;
    until("it is known that the store fails", async || is_failing()).await;
    world.bench.send(&publisher, &publish(1));
    assert_eq!(next_kind(&publisher).await, 0x40, "PUBACK that refuses");
    assert_eq!(world.restored().await, (0, 0, 0));
    assert!(!world.needs_store(), "what is not stored stays in memory");
    world.store.works();
    until("it works again", async || !is_failing()).await;
    assert_eq!(world.restored().await, (1, 1, 3));
    world.bench.send(&publisher, &publish(2));
    assert_eq!(next_kind(&publisher).await, 0x40, "PUBACK");
    assert_eq!(world.restored().await, (1, 1, 4));
}

#[tokio::test]
async fn what_only_the_store_has_is_delivered_before_the_store_is_left() {
    let world = World::new(Level::Disk).await;
    world.leave_session(3).await;
    until("what is stored leaves the memory", async || world.needs_store()).await;
    world.set(Level::Memory).await;
    assert_eq!(world.bench.cell.level(), Level::Disk, "as long as it is needed");
    let away = world.bench.connect("away", u32::MAX);
    assert_eq!(next_kind(&away).await, 0x20, "CONNACK");
    for id in 1..=3 {
        assert_eq!(next_kind(&away).await & 0xF0, 0x30, "PUBLISH {id}");
        let id = PacketId::new(id).unwrap();
        world
            .bench
            .send(&away, &Packet::PubAck(Ack::new(id, ReasonCode::Success)));
    }
    until("it leaves the store", async || {
        world.bench.cell.level() == Level::Memory
    })
    .await;
    until("nothing is left", async || {
        entries(&*world.bench.inner, &world.id).await == 0
    })
    .await;
    let publisher = world.bench.connect("later", 0);
    assert_eq!(next_kind(&publisher).await, 0x20, "CONNACK");
    world.store.break_down(Failure::Before);
    world.bench.send(&publisher, &publish(1));
    assert_eq!(next_kind(&publisher).await, 0x40, "PUBACK at once");
    assert_eq!(next_kind(&away).await & 0xF0, 0x30, "the session is still there");
}

#[tokio::test]
async fn a_change_of_mind_costs_nothing() {
    let world = World::new(Level::Disk).await;
    world.leave_session(3).await;
    until("what is stored leaves the memory", async || world.needs_store()).await;
    world.set(Level::Memory).await;
    world.set(Level::Os).await;
    assert_eq!(world.bench.cell.level(), Level::Os);
    assert_eq!(world.restored().await, (1, 1, 3));
    // With nothing in the way it goes, and comes back.
    let empty = World::new(Level::Disk).await;
    empty.leave_session(0).await;
    for level in [Level::Memory, Level::Disk, Level::Memory, Level::Disk] {
        empty.set(level).await;
    }
    let publisher = empty.bench.connect("later", 0);
    assert_eq!(next_kind(&publisher).await, 0x20, "CONNACK");
    until("it stores", async || empty.bench.cell.level() == Level::Disk).await;
    empty.bench.send(&publisher, &publish(1));
    assert_eq!(next_kind(&publisher).await, 0x40, "PUBACK");
    until("all of it is stored", async || {
        empty.restored().await == (1, 1, 1)
    })
    .await;
}

//! Stores that fail: nothing is acknowledged that is not there, everything is once it is, and nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use cloudsignal_broker::{ConnId, Identity, Limits, Org, OrgId, Policy};
use cloudsignal_core::codec::{Connect, Packet, PacketId, Publish, Subscribe, SubscribeFilter};
use cloudsignal_core::{Qos, TopicFilter, TopicName, Version};

use super::restore::restore;
use super::{Durability, Level, erase_mark, task};
use crate::accounts::acl::Preset;
use crate::accounts::{Command, Directory, Outcome};
use crate::authn::password::{HashCost, PasswordPool};
use crate::clock::{Clock, WallTime};
use crate::config::{Config, ConnectionLog};
use crate::history::History;
use crate::net::origin::Origin;
use crate::net::outbox::{Batch, Outbox};
use crate::orgs::Orgs;
use crate::orgs::cell::{Handover, OrgCell};
use crate::store::flaky::{Failure, Flaky, NEVER};
use crate::store::{Commit, Expect, Shelf, ShelfWrites, Store, StoreExt, Table, memory};

fn org() -> OrgId {
    OrgId::new("org_test")
}

fn fresh() -> Org {
    Org::new(org(), Limits::default(), Policy::permit_all(), 1)
}

struct Bench {
    clock: Clock,
    inner: Arc<dyn Store>,
    cell: Arc<OrgCell>,
}

struct Client {
    outbox: Arc<Outbox>,
    conn: ConnId,
}

impl Bench {
    fn new(fails: Option<(usize, Failure)>) -> Self {
        let clock = Clock::manual(WallTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap());
        let inner: Arc<dyn Store> = Arc::new(memory::open(clock.clone()).unwrap());
        let flaky = Flaky::working(Arc::clone(&inner));
        if let Some((number, failure)) = fails {
            flaky.fail(number, failure);
        }
        let stored = Durability::new(Arc::new(flaky), clock.clone(), Level::Disk).fresh(&org());
        let committer = stored.1.clone().unwrap();
        let history = History::new(Arc::clone(&inner), clock.clone());
        let cell = OrgCell::new(
            fresh(),
            stored,
            Arc::default(),
            Arc::default(),
            ConnectionLog::Debug,
            history,
        );
        let cell = Arc::new(cell);
        tokio::spawn(task::run(committer, Arc::downgrade(&cell)));
        Self { clock, inner, cell }
    }

    fn connect(&self, client_id: &str, expiry_secs: u32) -> Client {
        let (outbox, now) = (Outbox::new(), self.clock.now());
        let mut connect = Connect::new(Version::V5, client_id);
        connect.session_expiry_secs = Some(expiry_secs);
        let identity = Identity::anonymous(self.cell.id().clone(), "ada");
        let conn = self.cell.hold(now, None, |org, effects| {
            let conn = effects.admit(&outbox, Origin::unknown());
            org.handle_connect(conn, &connect, identity, now, effects);
            (conn, Handover::Free)
        });
        let conn = conn.unwrap();
        Client { outbox, conn }
    }

    fn send(&self, client: &Client, packet: &Packet<'_>) {
        let now = self.clock.now();
        self.cell.hold(now, None, |org, effects| {
            org.handle_packet(client.conn, packet, now, effects);
            ((), Handover::Free)
        });
    }

    /// Deliveries that are in the store.
    async fn queued(&self) -> usize {
        let page = self.inner.shelf(Shelf::Queue, &org(), &[], None, usize::MAX);
        page.await.unwrap().entries.len()
    }
}

/// The first byte of the next packet: its kind.
async fn next_kind(client: &Client) -> u8 {
    let deadline = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let mut batch = Batch::default();
            client.outbox.take(0, &mut batch);
            if let Some(first) = batch.bytes.first() {
                return *first;
            }
            tokio::task::yield_now().await;
        }
    });
    deadline.await.expect("an answer comes")
}

fn publish(id: u16) -> Packet<'static> {
    publish_this(b"kept", id)
}

fn publish_this(payload: &'static [u8], id: u16) -> Packet<'static> {
    let mut publish = Publish::new(TopicName::parse("a").unwrap(), payload);
    (publish.qos, publish.packet_id) = (Qos::AtLeastOnce, PacketId::new(id));
    Packet::Publish(publish)
}

/// Whichever commit fails, before or after it is there: every acknowledgement finds what it promises in the store.
#[tokio::test]
async fn an_acknowledgement_never_runs_ahead_of_the_store() {
    for fails_at in 1..=5 {
        for failure in [Failure::Before, Failure::After, Failure::Busy] {
            let bench = Bench::new(Some((fails_at, failure)));
            let away = bench.connect("away", u32::MAX);
            assert_eq!(next_kind(&away).await, 0x20, "CONNACK");
            let filter = SubscribeFilter::new(TopicFilter::parse("a").unwrap(), Qos::AtLeastOnce);
            bench.send(
                &away,
                &Packet::Subscribe(Subscribe::new(PacketId::MIN, vec![filter])),
            );
            assert_eq!(next_kind(&away).await, 0x90, "SUBACK");
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

/// The organizations of a process at level `disk`.
async fn orgs(store: &Arc<dyn Store>, clock: &Clock) -> (Directory, Arc<Orgs>) {
    let passwords = PasswordPool::start(HashCost::LEAST, 1).unwrap();
    let directory = Directory::open(Arc::clone(store), clock.clone(), passwords);
    let directory = directory.await.unwrap();
    let history = History::new(Arc::clone(store), clock.clone());
    let orgs = Orgs::new(&Config::default(), directory.clone(), history, Level::Disk);
    orgs.restore().await.unwrap();
    (directory, orgs)
}

async fn entries(store: &dyn Store, org: &OrgId) -> usize {
    let mut entries = 0;
    for shelf in Shelf::ALL {
        let page = store.shelf(shelf, org, &[], None, usize::MAX);
        entries += page.await.unwrap().entries.len();
    }
    entries
}

#[tokio::test]
async fn a_broken_organization_comes_back_as_it_was_stored_and_a_deleted_one_leaves_nothing() {
    let clock = Clock::manual(WallTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap());
    let inner: Arc<dyn Store> = Arc::new(memory::open(clock.clone()).unwrap());
    let (directory, orgs) = orgs(&inner, &clock).await;
    let create = Command::OrgCreate {
        name: "Acme".into(),
        preset: Preset::PermitAll,
    };
    let Ok(Outcome::OrgCreated { org, .. }) = directory.execute(create).await else {
        panic!("an organization can be made");
    };
    let id = OrgId::new(&org.id);
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
    let delete = Command::OrgDelete { org: org.id.clone() };
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
async fn what_can_never_be_stored_costs_its_publisher_and_nobody_else() {
    let bench = Bench::new(None);
    let away = bench.connect("away", u32::MAX);
    assert_eq!(next_kind(&away).await, 0x20, "CONNACK");
    let filter = SubscribeFilter::new(TopicFilter::parse("a").unwrap(), Qos::AtLeastOnce);
    let subscribe = Subscribe::new(PacketId::MIN, vec![filter]);
    bench.send(&away, &Packet::Subscribe(subscribe));
    assert_eq!(next_kind(&away).await, 0x90, "SUBACK");
    let (good, bad) = (bench.connect("good", 0), bench.connect("bad", 0));
    assert_eq!(next_kind(&good).await, 0x20, "CONNACK");
    assert_eq!(next_kind(&bad).await, 0x20, "CONNACK");
    // The second and the third are one commit: they come while the first is under way.
    bench.send(&good, &publish(1));
    bench.send(&bad, &publish_this(NEVER, 1));
    bench.send(&good, &publish(2));
    assert_eq!(next_kind(&bad).await, 0xE0, "DISCONNECT, and no PUBACK");
    assert_eq!(bench.queued().await, 2);
    assert_eq!(next_kind(&good).await, 0x40, "PUBACK");
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

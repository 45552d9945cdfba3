//! An organization over a store, and clients of it without sockets.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use cloudsignal_broker::{ConnId, Identity, Limits, Org, OrgId, Policy};
use cloudsignal_core::codec::{Connect, Packet, PacketId, Publish, Subscribe, SubscribeFilter};
use cloudsignal_core::{Qos, TopicFilter, TopicName, Version};

use super::tests::deliveries_of;
use super::{Durability, Level, task};
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
use crate::store::flaky::{Failure, Flaky};
use crate::store::{Shelf, Store, memory};

pub(crate) fn org() -> OrgId {
    OrgId::new("org_test")
}

pub(crate) fn fresh() -> Org {
    Org::new(org(), Limits::default(), Policy::permit_all(), 1)
}

pub(crate) struct Bench {
    pub(crate) clock: Clock,
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) cell: Arc<OrgCell>,
}

pub(crate) struct Client {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) conn: ConnId,
    unread: Mutex<VecDeque<u8>>,
}

impl Bench {
    pub(crate) fn new(fails: Option<(usize, Failure)>) -> Self {
        let (clock, inner) = start();
        let flaky = Flaky::working(Arc::clone(&inner));
        if let Some((number, failure)) = fails {
            flaky.fail(number, failure);
        }
        let stored = Durability::new(Arc::new(flaky), clock.clone(), Level::Disk).fresh(&org());
        let committer = Arc::clone(&stored.1);
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

    pub(crate) fn connect(&self, client_id: &str, expiry_secs: u32) -> Client {
        let (outbox, now) = (Outbox::new(), self.clock.now());
        let mut connect = Connect::new(Version::V5, client_id);
        connect.session_expiry_secs = Some(expiry_secs);
        connect.clean_start = expiry_secs == 0;
        let identity = Identity::anonymous(self.cell.id().clone(), "ada");
        let conn = self.cell.hold(now, None, |org, effects| {
            let conn = effects.admit(&outbox, Origin::unknown());
            org.handle_connect(conn, &connect, identity, now, effects);
            (conn, Handover::Free)
        });
        let conn = conn.unwrap();
        let unread = Mutex::default();
        Client { outbox, conn, unread }
    }

    pub(crate) fn send(&self, client: &Client, packet: &Packet<'_>) {
        let now = self.clock.now();
        self.cell.hold(now, None, |org, effects| {
            org.handle_packet(client.conn, packet, now, effects);
            ((), Handover::Free)
        });
    }

    /// Subscribes to what [`publish`] publishes.
    pub(crate) async fn subscribe(&self, client: &Client) {
        let filter = SubscribeFilter::new(TopicFilter::parse("a").unwrap(), Qos::AtLeastOnce);
        let subscribe = Subscribe::new(PacketId::MIN, vec![filter]);
        self.send(client, &Packet::Subscribe(subscribe));
        assert_eq!(next_kind(client).await, 0x90, "SUBACK");
    }

    /// Its connection is lost.
    pub(crate) fn lose(&self, client: &Client) {
        let now = self.clock.now();
        self.cell.hold(now, None, |org, effects| {
            org.handle_closed(client.conn, now, effects);
            ((), Handover::Free)
        });
    }

    /// Deliveries that are in the store.
    pub(crate) async fn queued(&self) -> usize {
        let page = self
            .inner
            .shelf(Shelf::Queue, self.cell.id(), &[], None, usize::MAX);
        deliveries_of(&page.await.unwrap().entries, &self.clock).len()
    }
}

/// The first byte of the next packet: its kind.
pub(crate) async fn next_kind(client: &Client) -> u8 {
    let deadline = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let mut batch = Batch::default();
            client.outbox.take(0, &mut batch);
            let next = {
                let mut unread = client.unread.lock();
                unread.extend(kinds(&batch.bytes));
                unread.pop_front()
            };
            if let Some(kind) = next {
                return kind;
            }
            tokio::task::yield_now().await;
        }
    });
    deadline.await.expect("an answer comes")
}

/// The first byte of each packet; none of them has more than two bytes of length.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [kind, low, rest @ ..] = bytes {
        kinds.push(*kind);
        let (head, length) = match rest {
            [high, ..] if *low >= 0x80 => (3, usize::from(low & 0x7F) + usize::from(*high) * 0x80),
            _ => (2, usize::from(*low)),
        };
        bytes = &bytes[head + length..];
    }
    kinds
}

pub(crate) fn publish(id: u16) -> Packet<'static> {
    publish_this(b"kept", id)
}

pub(crate) fn publish_this(payload: &'static [u8], id: u16) -> Packet<'static> {
    let mut publish = Publish::new(TopicName::parse("a").unwrap(), payload);
    (publish.qos, publish.packet_id) = (Qos::AtLeastOnce, PacketId::new(id));
    Packet::Publish(publish)
}

/// A clock, and a store that is empty.
pub(crate) fn start() -> (Clock, Arc<dyn Store>) {
    let clock = Clock::manual(WallTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap());
    let store = Arc::new(memory::open(clock.clone()).unwrap());
    (clock, store)
}

/// The organizations of a process, at a level.
pub(crate) async fn orgs(store: &Arc<dyn Store>, clock: &Clock, level: Level) -> (Directory, Arc<Orgs>) {
    let passwords = PasswordPool::start(HashCost::LEAST, 1).unwrap();
    let directory = Directory::open(Arc::clone(store), clock.clone(), passwords);
    let directory = directory.await.unwrap();
    let history = History::new(Arc::clone(store), clock.clone());
    let orgs = Orgs::new(&Config::default(), directory.clone(), history, level);
    orgs.restore().await.unwrap();
    (directory, orgs)
}

/// What an organization has in the store.
pub(crate) async fn entries(store: &dyn Store, org: &OrgId) -> usize {
    let mut entries = 0;
    for shelf in Shelf::ALL {
        let page = store.shelf(shelf, org, &[], None, usize::MAX);
        entries += page.await.unwrap().entries.len();
    }
    entries
}

/// An organization of the directory.
pub(crate) async fn new_org(directory: &Directory) -> OrgId {
    let create = Command::OrgCreate {
        name: "Acme".into(),
        preset: Preset::PermitAll,
    };
    let Ok(Outcome::OrgCreated { org, .. }) = directory.execute(create).await else {
        panic!("an organization can be made");
    };
    OrgId::new(&org.id)
}

//! Usage over days, months and restarts.

use std::time::Duration;

use cloudsignal_broker::Identity;
use cloudsignal_core::codec::{Connect, Packet, Publish};
use cloudsignal_core::{TopicName, Version};

use super::*;
use crate::accounts::{Command, Directory, Outcome};
use crate::authn::PasswordPool;
use crate::authn::password::HashCost;
use crate::clock::WallTime;
use crate::config::Config;
use crate::durable::Level;
use crate::history::History;
use crate::net::origin::Origin;
use crate::net::outbox::Outbox;
use crate::store::memory;

/// A server without listeners; its store outlives it.
struct Bench {
    store: Arc<dyn Store>,
    clock: Clock,
    directory: Directory,
    orgs: Arc<Orgs>,
    org: OrgId,
}

impl Bench {
    async fn new(now: &str) -> Self {
        let clock = Clock::manual(WallTime::parse_rfc3339(now).unwrap());
        let store: Arc<dyn Store> = Arc::new(memory::open(clock.clone()).unwrap());
        let (directory, orgs) = Self::start(&store, &clock).await;
        let create = Command::OrgCreate {
            name: "Acme".into(),
            preset: crate::accounts::acl::Preset::default(),
        };
        let Ok(Outcome::OrgCreated { org, .. }) = directory.execute(create).await else {
            panic!("an organization can be made");
        };
        Self {
            store,
            clock,
            directory,
            orgs,
            org: OrgId::new(&org.id),
        }
    }

    async fn start(store: &Arc<dyn Store>, clock: &Clock) -> (Directory, Arc<Orgs>) {
        let passwords = PasswordPool::start(HashCost::LEAST, 1).unwrap();
        let directory = Directory::open(Arc::clone(store), clock.clone(), passwords)
            .await
            .unwrap();
        let history = History::new(Arc::clone(store), clock.clone());
        let orgs = Orgs::new(&Config::default(), directory.clone(), history, Level::Memory);
        orgs.usage().load(&orgs.ids()).await.unwrap();
        (directory, orgs)
    }

    /// The process is killed and starts again: what was not written is gone.
    async fn restart(&mut self) {
        (self.directory, self.orgs) = Self::start(&self.store, &self.clock).await;
    }

    /// A client comes, publishes so many messages of three bytes, and goes.
    fn publish(&self, messages: u64) {
        let cell = self.orgs.enter(&self.org).unwrap();
        let identity = Identity::anonymous(self.org.clone(), "ada");
        let now = self.clock.now();
        let outbox = Outbox::new();
        cell.hold(now, None, |org, effects| {
            let conn = effects.admit(&outbox, Origin::unknown());
            org.handle_connect(conn, &Connect::new(Version::V311, "ada"), identity, now, effects);
            let publish = Publish::new(TopicName::parse("x").unwrap(), b"abc");
            for _ in 0..messages {
                org.handle_packet(conn, &Packet::Publish(publish.clone()), now, effects);
            }
            org.handle_closed(conn, now, effects);
            effects.dismiss(conn);
            ((), Handover::Free)
        });
    }

    async fn used(&self, from: &str, to: &str, by: Granularity) -> Vec<(String, u64)> {
        let range = (Day::parse(from).unwrap(), Day::parse(to).unwrap());
        let found = self.orgs.usage().range(&self.orgs, &self.org, range, by).await;
        let found = found.unwrap().into_iter();
        found.map(|(name, tally)| (name, tally.inward.messages)).collect()
    }

    async fn write(&self) {
        self.orgs.usage().write(&self.orgs).await.unwrap();
    }
}

fn named(name: &str, messages: u64) -> (String, u64) {
    (name.to_owned(), messages)
}

#[tokio::test]
async fn a_restart_keeps_what_was_written_and_the_month_goes_on() {
    let mut bench = Bench::new("2026-11-23T10:00:00Z").await;
    bench.publish(7);
    bench.write().await;
    bench.publish(2);
    let today = bench.used("2026-11-01", "2026-11-30", Granularity::Day).await;
    assert_eq!(today, [named("2026-11-23", 9)], "up to this moment");
    bench.restart().await;
    let month = bench.used("2026-11-01", "2026-11-30", Granularity::Month).await;
    assert_eq!(month, [named("2026-11", 7)], "what was not written is lost");
    bench.publish(3);
    let cell = bench.orgs.enter(&bench.org).unwrap();
    assert_eq!(cell.read(|org| org.month_messages()), 10);
    let (_, tally) = bench.orgs.usage().this_month(&bench.orgs, &bench.org);
    assert_eq!((tally.inward.messages, tally.inward.bytes), (10, 30));
    assert_eq!((tally.connects, tally.connections_peak), (2, 1));
}

#[tokio::test]
async fn days_and_months_end() {
    let mut bench = Bench::new("2026-11-29T23:59:00Z").await;
    for messages in [1, 2, 3] {
        bench.publish(messages);
        bench.write().await;
        bench.clock.advance(Duration::from_secs(86_400));
    }
    let cell = bench.orgs.enter(&bench.org).unwrap();
    bench.publish(4);
    bench.restart().await;
    let days = bench.used("2026-11-30", "2026-12-01", Granularity::Day).await;
    assert_eq!(days, [named("2026-11-30", 2), named("2026-12-01", 3)]);
    let months = bench.used("2026-11-01", "2027-01-01", Granularity::Month).await;
    assert_eq!(months, [named("2026-11", 3), named("2026-12", 3)]);
    assert_eq!(
        cell.read(|org| org.month_messages()),
        7,
        "December began with the third write"
    );
}

#[tokio::test]
async fn a_look_counts_nothing_twice() {
    let bench = Bench::new("2026-11-23T10:00:00Z").await;
    bench.publish(5);
    for _ in 0..3 {
        bench.write().await;
        let used = bench.used("2026-11-23", "2026-11-23", Granularity::Day).await;
        assert_eq!(used, [named("2026-11-23", 5)]);
    }
}

#[tokio::test]
async fn calls_are_counted_and_refused_beyond_the_quota() {
    let bench = Bench::new("2026-11-23T10:00:00Z").await;
    let allowance = Allowance {
        api_key_calls_per_sec: 2,
        ..Allowance::default()
    };
    let call = || bench.orgs.usage().call(&bench.org, "key", &allowance).is_ok();
    assert_eq!((0..10).filter(|_| call()).count(), 4);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!((0..10).filter(|_| call()).count(), 2);
    let (_, tally) = bench.orgs.usage().this_month(&bench.orgs, &bench.org);
    assert_eq!(tally.api_calls, 6);
    assert_eq!(tally.exceeded["api_key_calls_per_sec"], 14);
}

#[tokio::test]
async fn nothing_is_left_of_an_organization_that_is_deleted() {
    let bench = Bench::new("2026-11-23T10:00:00Z").await;
    bench.publish(5);
    bench.write().await;
    let delete = Command::OrgDelete {
        org: bench.org.to_string(),
    };
    bench.directory.execute(delete).await.unwrap();
    bench.orgs.forget(&bench.org);
    bench.write().await;
    let left = bench
        .store
        .scan(Table::Usage, &Prefix::of_org(&bench.org, ""), None, 10)
        .await;
    assert!(left.unwrap().entries.is_empty());
}

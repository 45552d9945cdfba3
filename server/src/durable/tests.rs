//! Records, what the backlog makes of changes, and what comes back from the store.

mod model;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use cloudsignal_broker::change::{Change, Keeping, PublishNumbers, RefusedPublish, SessionName, Terms};
use cloudsignal_broker::policy::Actions;
use cloudsignal_broker::{
    Access, Credential, Identity, Limits, Message, Org, OrgId, Policy, Scope, ScopePart, StoredMessage,
};
use cloudsignal_core::codec::UserProperties;
use cloudsignal_core::topic::TopicFilterBuf;
use cloudsignal_core::{Instant, Qos, TopicName};

use super::backlog::Backlog;
use super::block;
use super::keys::{Kind, QueueKey, parse_number, parse_queue, parse_session};
use super::record::{
    Damage, DeliveryRecord, MessagePlace, Reader, SessionRecord, SubscriptionRecord, WillRecord, Writer,
    shared_message,
};
use super::restore::restore;
use super::survey::survey;
use super::{Durability, Level};
use crate::clock::{Clock, WallTime};
use crate::store::{Commit, Shelf, ShelfWrites, Store, StoreExt, memory};

pub(super) use model::Bench;

pub(super) fn org() -> OrgId {
    OrgId::new("org_test")
}

fn clock() -> Clock {
    Clock::manual(WallTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap())
}

pub(super) fn name(serial: u64) -> SessionName {
    SessionName {
        serial,
        client_id: format!("client{serial}").into(),
    }
}

fn identity() -> Arc<Identity> {
    let filter = TopicFilterBuf::parse("a/+/#").unwrap();
    let actions = Actions {
        publish: false,
        subscribe: true,
    };
    Arc::new(Identity {
        org: org(),
        username: "ada".into(),
        principal: "user:ada".into(),
        credential: Credential::Token { id: "t1".into() },
        claims: vec![("email".into(), "ada@example.com".into())],
        expires_at: Some(Instant::from_micros(77_000_000)),
        access: Access::Policy,
        scope: Some(Arc::new(Scope {
            parts: [ScopePart { filter, actions }].into(),
        })),
    })
}

fn message(number: u64, topic: &str) -> Arc<Message> {
    let mut user = Vec::new();
    UserProperties::push(&mut user, "name", "value").unwrap();
    let rich = number.is_multiple_of(2);
    let stored = StoredMessage {
        number,
        publisher: 3,
        topic: TopicName::parse(topic).unwrap(),
        payload: &number.to_be_bytes(),
        payload_format: rich.then_some(true),
        content_type: rich.then_some("text/plain"),
        response_topic: rich.then(|| TopicName::parse("answers").unwrap()),
        correlation_data: rich.then_some(b"id"),
        user_properties: if rich { &user } else { &[] },
        qos: Qos::ExactlyOnce,
        retain: rich,
        expires_at: rich.then(|| Instant::from_micros(5_000_000)),
    };
    Message::restored(&stored).unwrap()
}

fn terms(qos: Qos) -> Terms {
    Terms {
        qos,
        retain: true,
        subscription_ids: [7, 9].into(),
        group: Some("$share/g/a".into()),
        queued_at: Instant::ZERO,
        keeping: Keeping::Together,
    }
}

fn numbers(through: u64) -> PublishNumbers {
    PublishNumbers {
        epoch: 0xABCD,
        through,
        refused: vec![RefusedPublish {
            packet_id: 9,
            sequence: through - 1,
        }],
    }
}

fn bytes(write: impl FnOnce(Writer<'_>), clock: &Clock) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(Writer {
        bytes: &mut bytes,
        clock,
    });
    bytes
}

/// The deliveries of all entries of queues: of a block, those that are left.
pub(super) fn deliveries_of(entries: &[(Bytes, Bytes)], clock: &Clock) -> BTreeMap<(u64, u64), Bytes> {
    let mut deliveries = Vec::new();
    let (mut block, mut block_at) = (None, 0);
    for (key, value) in entries {
        match parse_queue(key).unwrap() {
            QueueKey::Delivery(name) => deliveries.push((name, value.clone())),
            QueueKey::Block(first) => {
                block_at = deliveries.len();
                let records = block::read(first, value).unwrap().records.into_iter();
                deliveries.extend(records.map(|(order, record)| ((first.0, order), record)));
                block = Some(first);
                continue;
            }
            QueueKey::Left(first) => {
                let left = Reader::new(value, clock).unwrap().left().unwrap();
                assert_eq!(block, Some(first), "what is left follows its block");
                assert_ne!(left, 0, "a block goes with its last delivery");
                let of_block = deliveries.split_off(block_at);
                let is_left = |order: u64| left >> (order - first.1) & 1 == 1;
                deliveries.extend(of_block.into_iter().filter(|((_, order), _)| is_left(*order)));
            }
        }
        block = None;
    }
    let count = deliveries.len();
    let deliveries = BTreeMap::from_iter(deliveries);
    assert_eq!(deliveries.len(), count, "each is stored once");
    deliveries
}

fn facts(message: &Message) -> String {
    format!("{message:?}")
}

/// However changes fall into commits, the store holds what they say in the end, and nothing beside it.
#[tokio::test]
async fn the_store_holds_what_the_changes_say() {
    for seed in 0..200 {
        let mut bench = Bench::new(seed);
        for _ in 0..300 {
            bench.act();
            if bench.random(8) == 0 {
                bench.write().await;
            }
            if bench.random(40) == 0 {
                bench.sweep().await;
            }
        }
        bench.write().await;
        bench.sweep().await;
        bench.check().await;
        let view = bench.store.view().await.unwrap();
        let counted = survey(&*view, None).unwrap().remove(org().as_str());
        let deliveries = counted.map_or(0, |holdings| holdings.deliveries);
        assert_eq!(deliveries as usize, bench.model.len());
        assert!(bench.writes > 0);
    }
}

/// A reader goes on where the last run stopped: what it knows of the store is what that knew.
#[tokio::test]
async fn a_restart_in_between_makes_no_difference() {
    for seed in 0..50 {
        let mut bench = Bench::new(seed);
        for _ in 0..10 {
            for _ in 0..50 {
                bench.act();
            }
            bench.write().await;
            // Some sessions that ended are never swept: the start removes what they left.
            bench.ended.clear();
            let fresh = Org::new(org(), Limits::default(), Policy::permit_all(), 1);
            let durability = Durability::new(Arc::clone(&bench.store), bench.clock.clone(), Level::Disk);
            let restored = restore(&durability, fresh).await.unwrap();
            let aside = bench.shelf(Shelf::Quarantine).await;
            assert_eq!(aside, [], "seed {seed}");
            assert_eq!(restored.totals.sessions as usize, bench.sessions.len());
            assert_eq!(restored.totals.deliveries as usize, bench.model.len());
            assert_eq!(restored.totals.retained as usize, bench.retained.len());
            bench.backlog = Backlog::new(restored.known);
            bench.check().await;
        }
    }
}

#[test]
fn what_is_queued_and_settled_meanwhile_is_never_written() {
    let mut backlog = Backlog::default();
    for order in 1..=100 {
        backlog.add(Change::Queued {
            session: name(1),
            order,
            message: message(order, "a"),
            terms: terms(Qos::AtLeastOnce),
            packet_id: None,
        });
    }
    assert!(backlog.bytes() > 100 * 128);
    for order in 1..=100 {
        let session = name(1);
        backlog.add(Change::Settled {
            session,
            order,
            shares: Some(order),
        });
    }
    assert!(backlog.is_empty());
    assert_eq!((backlog.bytes(), backlog.elided()), (0, 100));
}

#[tokio::test]
async fn damaged_entries_are_put_aside_and_cost_nothing_else() {
    let mut bench = Bench::new(1);
    for _ in 0..200 {
        bench.act();
    }
    bench.write().await;
    bench.sweep().await;
    let sessions = bench.sessions.len();
    let mut damage = ShelfWrites::new(&org());
    damage.put(Shelf::Retained, b"damaged", |value| {
        value.extend_from_slice(b"\x01???");
    });
    damage.put(Shelf::Queue, b"no delivery", |value| value.push(1));
    damage.put(Shelf::Session, &[0, 0, 0, 0, 0, 0, 0, 99, 0], |value| {
        value.push(9);
    });
    bench
        .store
        .write(Commit::new().shelve(Arc::new(damage)))
        .await
        .unwrap();
    let durability = Durability::new(Arc::clone(&bench.store), bench.clock.clone(), Level::Disk);
    for quarantined in [3, 0] {
        let fresh = Org::new(org(), Limits::default(), Policy::permit_all(), 1);
        let restored = restore(&durability, fresh).await.unwrap();
        assert_eq!(restored.totals.quarantined, quarantined);
        assert_eq!(restored.totals.sessions as usize, sessions);
    }
    let aside = bench.shelf(Shelf::Quarantine).await;
    assert_eq!(aside.len(), 3);
    assert!(aside.iter().any(|(key, _)| &key[..] == b"retained/damaged"));
    let reason = b"stored in format 9, and this program knows format 1";
    let is_named = aside
        .iter()
        .any(|(_, value)| value.windows(reason.len()).any(|part| part == reason));
    assert!(is_named, "the reason is kept");
}

#[tokio::test]
async fn what_belongs_to_a_damaged_session_is_put_aside_with_it() {
    let mut bench = Bench::new(1);
    for _ in 0..200 {
        bench.act();
    }
    bench.write().await;
    bench.sweep().await;
    let serial = *bench.sessions.first().unwrap();
    let mut damage = ShelfWrites::new(&org());
    let key = serial.to_be_bytes();
    damage.put(Shelf::Session, &[&key[..], &[0]].concat(), |value| value.push(9));
    let damage = Commit::new().shelve(Arc::new(damage));
    bench.store.write(damage).await.unwrap();
    let named = |shelf: Shelf, key: &[u8]| [shelf.name().as_bytes(), b"/", key].concat();
    let mut expected = BTreeSet::new();
    for shelf in [Shelf::Session, Shelf::Queue] {
        let entries = bench.shelf(shelf).await;
        let own = entries.iter().filter(|(entry, _)| entry.starts_with(&key));
        expected.extend(own.map(|(entry, _)| named(shelf, entry)));
    }
    assert!(expected.len() > 5, "it has subscriptions and deliveries");
    let messages = bench.shelf(Shelf::Message).await;
    let durability = Durability::new(Arc::clone(&bench.store), bench.clock.clone(), Level::Disk);
    for start in 1..=2 {
        let fresh = Org::new(org(), Limits::default(), Policy::permit_all(), 1);
        let totals = restore(&durability, fresh).await.unwrap().totals;
        assert_eq!(totals.orphans, 0, "nothing is removed");
        assert_eq!(totals.quarantined > 0, start == 1);
    }
    let aside = bench.shelf(Shelf::Quarantine).await;
    let aside: BTreeSet<_> = aside.into_iter().map(|(entry, _)| entry.to_vec()).collect();
    assert!(expected.is_subset(&aside));
    let left = bench.shelf(Shelf::Message).await;
    for message in &messages {
        let is_kept = left.contains(message) || aside.contains(&named(Shelf::Message, &message.0));
        assert!(is_kept, "no message is lost");
    }
}

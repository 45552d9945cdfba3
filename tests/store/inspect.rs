//! `cloudsignal store`: what is stored, and what was put aside.

use std::fs;

use cloudsignal_tests::broker::{Broker, BrokerOptions, DEV_ORG};
use fjall::{Database, KeyspaceCreateOptions, PersistMode};

use crate::device::{connect, publish};
use crate::operator::{fail, json, lines, succeed};

/// One session with a subscription and five messages, and a retained message.
async fn fill(broker: &Broker) {
    let mut away = connect(broker, "away", None).await;
    away.subscribe("q/#").await;
    drop(away);
    let mut publisher = connect(broker, "publisher", None).await;
    for number in 0..5 {
        publish(
            &mut publisher,
            "q/1",
            format!("message {number}").as_bytes(),
            false,
        )
        .await;
    }
    publish(&mut publisher, "kept", b"retained", true).await;
}

#[tokio::test]
async fn what_is_stored_is_counted_once_the_broker_is_stopped() {
    let mut broker = BrokerOptions::default().with_anonymous_clients().start();
    let data_dir = broker.data_dir();
    fill(&broker).await;
    let said = fail(&data_dir, &["store", "inspect"], 1);
    assert!(said.contains("in use by another process"), "{said}");
    broker.kill();

    let found = json(&data_dir, &["store", "inspect"]);
    assert_eq!((&found["format"], &found["quarantined"]), (&2.into(), &0.into()));
    assert!(found["disk_bytes"].as_u64() > Some(0), "{found}");
    let orgs = found["organizations"].as_array().expect("a list");
    assert_eq!(
        orgs.len(),
        2,
        "that of the first start, and that of clients without a login: {found}"
    );
    let org = json(&data_dir, &["store", "inspect", "--org", DEV_ORG]);
    let [org] = &org["organizations"].as_array().expect("a list")[..] else {
        panic!("one organization: {org}")
    };
    assert_eq!(org["id"], DEV_ORG);
    for (what, count) in [
        ("sessions", 2),
        ("subscriptions", 1),
        ("deliveries", 5),
        ("retained", 1),
        ("quarantined", 0),
    ] {
        assert_eq!(org[what], count, "{what}: {org}");
    }
    let text = succeed(&data_dir, &["store", "inspect"]);
    assert!(text.contains(DEV_ORG) && text.contains("ORGANIZATION"), "{text}");
    let empty = broker.scratch().join("nothing");
    assert!(fail(&empty, &["store", "inspect"], 1).contains("holds no store"));
}

#[tokio::test]
async fn what_was_put_aside_is_shown_exported_and_discarded() {
    let mut broker = BrokerOptions::default().with_anonymous_clients().start();
    let data_dir = broker.data_dir();
    fill(&broker).await;
    broker.kill();
    let database = Database::builder(data_dir.join("store")).open().expect("a store");
    let queue = database
        .keyspace("queue", KeyspaceCreateOptions::default)
        .expect("a keyspace");
    let key = format!("{DEV_ORG}/odd");
    queue.insert(key, "damaged").expect("it is written");
    database.persist(PersistMode::SyncAll).expect("it is written");
    drop((queue, database));

    let mut broker = broker.start_again();
    let log = broker.log();
    assert!(
        log.contains("cloudsignal store inspect quarantine --data-dir"),
        "{log}"
    );
    broker.kill();
    let [entry] = &lines(&data_dir, &["store", "inspect", "quarantine"])[..] else {
        panic!("one entry")
    };
    assert_eq!(
        (&entry["organization"], &entry["shelf"]),
        (&DEV_ORG.into(), &"queue".into())
    );
    assert_eq!(
        (&entry["key"], &entry["reason"]),
        (&"odd".into(), &"its key is damaged".into())
    );
    assert!(
        entry["at"].as_str().is_some_and(|at| at.starts_with("20")),
        "{entry}"
    );
    let text = succeed(&data_dir, &["store", "inspect", "quarantine"]);
    assert!(text.contains("queue  odd  7 bytes: its key is damaged"), "{text}");

    let export = broker.scratch().join("export");
    let to = export.to_str().expect("plain names");
    drop(succeed(
        &data_dir,
        &["store", "inspect", "quarantine", "--export", to],
    ));
    assert_eq!(
        fs::read(export.join("00000001.bin")).expect("it is written"),
        b"damaged"
    );
    assert!(export.join("index.jsonl").exists());

    drop(fail(&data_dir, &["store", "discard-quarantine"], 2));
    drop(succeed(&data_dir, &["store", "discard-quarantine", "--yes"]));
    assert!(lines(&data_dir, &["store", "inspect", "quarantine"]).is_empty());
    let found = json(&data_dir, &["store", "inspect", "--org", DEV_ORG]);
    assert_eq!(
        found["organizations"][0]["deliveries"], 5,
        "the rest stays: {found}"
    );
}

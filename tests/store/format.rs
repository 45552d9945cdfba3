//! A store of a newer program is refused, and stays as it is.

use cloudsignal_tests::broker::BrokerOptions;
use fjall::{Database, KeyspaceCreateOptions, PersistMode};

use crate::operator::{SERVE, fail};

#[test]
fn a_newer_store_is_refused_with_what_to_do() {
    let mut broker = BrokerOptions::default().start();
    assert_eq!(broker.terminate(), Some(0));
    let data_dir = broker.data_dir();
    let database = Database::builder(data_dir.join("store")).open().expect("a store");
    let meta = database
        .keyspace("meta", KeyspaceCreateOptions::default)
        .expect("a keyspace");
    meta.insert("format", [9]).expect("it is written");
    database.persist(PersistMode::SyncAll).expect("it is written");
    drop((meta, database));
    for command in [&SERVE[..], &["store", "inspect"]] {
        let said = fail(&data_dir, command, 1);
        assert!(
            said.contains("stored in format 9, and this program knows format 2: use the newer program"),
            "{said}"
        );
    }
    std::fs::write(data_dir.join("store/version"), b"FJL\x04").expect("a file can be written");
    let said = fail(&data_dir, &SERVE, 1);
    assert!(said.contains("use the program that wrote them"), "{said}");
}

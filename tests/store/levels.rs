//! What acknowledgements survive, by organization and by message.

use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::{http, wait};
use serde_json::{Value, json};

use crate::device::connect;
use crate::operator::fail;

/// Publishes over HTTP, and answers what the message is said to survive.
fn publish_over_http(broker: &Broker, durability: Option<&str>) -> Value {
    let body = json!({ "topic": "q/1", "payload": "x", "durability": durability });
    let key = broker.first_run().secret_key;
    let answer = http::ask(
        broker.addr(Listener::Http),
        "POST",
        "/v2/publish",
        Some(&key),
        Some(&body),
    );
    let answer = answer.expect("an answer comes");
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["durability"].clone()
}

fn set(broker: &Broker, level: &str) -> Value {
    let org = broker.first_run().org_id;
    let answer = broker.cli(&["org", "durability", &org, level, "--json"]);
    let answer: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    answer["durability"].clone()
}

/// Whether the session that was left before is still known.
fn is_kept(broker: &Broker) -> bool {
    let org = broker.first_run().org_id;
    let sessions = broker.cli(&["session", "list", "--org", &org, "--json"]);
    String::from_utf8_lossy(&sessions.stdout).contains("\"away\"")
}

async fn leave_a_session(broker: &Broker) {
    let first = broker.first_run();
    let mut away = connect(broker, "away", Some((&first.username, &first.password))).await;
    away.subscribe("q/#").await;
}

#[tokio::test]
async fn each_organization_has_its_own_level_and_each_message_is_told_its() {
    let mut broker = BrokerOptions::default().start();
    leave_a_session(&broker).await;
    assert_eq!(publish_over_http(&broker, None), "disk");
    assert_eq!(publish_over_http(&broker, Some("memory")), "memory");
    assert_eq!(set(&broker, "os"), "os");
    assert_eq!(publish_over_http(&broker, None), "os", "at once");
    assert_eq!(
        publish_over_http(&broker, Some("disk")),
        "os",
        "no more than there is"
    );
    let org = broker.first_run().org_id;
    let audit = broker.cli(&["audit", "--org", &org, "--json"]);
    let audit = String::from_utf8_lossy(&audit.stdout).into_owned();
    assert!(audit.contains("organization_durability_set"), "{audit}");
    drop(fail(&broker.data_dir(), &["org", "durability", &org, "paper"], 2));
    broker.kill();

    let mut broker = broker.start_again();
    assert_eq!(publish_over_http(&broker, None), "os", "also after a kill");
    assert!(is_kept(&broker));
    assert_eq!(set(&broker, "memory"), "memory");
    assert_eq!(
        publish_over_http(&broker, None),
        "os",
        "only the store has what waits"
    );
    broker.kill();

    let mut broker = broker.start_again();
    assert_eq!(publish_over_http(&broker, None), "memory");
    assert!(!is_kept(&broker), "what was stored is removed");
    assert_eq!(set(&broker, "default"), Value::Null);
    broker.kill();

    let mut broker = broker.start_again();
    assert_eq!(publish_over_http(&broker, None), "disk");
    leave_a_session(&broker).await;
    broker.kill();
    let broker = broker.start_again();
    assert!(is_kept(&broker), "it stores again");
}

#[tokio::test]
async fn a_level_changes_while_the_organization_is_at_work() {
    let options = BrokerOptions::default().with_text("DURABILITY_LEVEL", "memory");
    let mut broker = options.start();
    leave_a_session(&broker).await;
    assert_eq!(publish_over_http(&broker, None), "memory");
    assert_eq!(set(&broker, "disk"), "disk");
    wait::until("it stores", || {
        (publish_over_http(&broker, None) == "disk").then_some(())
    });
    broker.kill();

    let mut broker = broker.start_again();
    assert!(is_kept(&broker), "also what was there before");
    let first = broker.first_run();
    // What waits for this client is in memory as long as it is here.
    let _away = connect(&broker, "away", Some((&first.username, &first.password))).await;
    assert_eq!(set(&broker, "memory"), "memory");
    wait::until("it has left the store", || {
        (publish_over_http(&broker, None) == "memory").then_some(())
    });
    assert!(is_kept(&broker), "it lives on in memory");
    broker.kill();
    let broker = broker.start_again();
    assert!(!is_kept(&broker));
}

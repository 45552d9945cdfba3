//! A backup of a broker under load, restored in another place: everything that was acknowledged before it is there.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, thread};

use cloudsignal_core::codec::{Packet, PacketId, ReasonCode, Subscribe, SubscribeFilter};
use cloudsignal_core::{Qos, TopicFilter, Version};
use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::client::{Client, Got, Login};
use serde_json::Value;

use crate::device::{connect, publish, waiting};
use crate::operator::{fail, json, run, succeed};

/// Messages that are acknowledged before the backup begins.
const BEFORE: u32 = 200;
const USER: &str = "ada";
const PASSWORD: &str = "correct horse battery";

fn number(payload: &[u8]) -> u32 {
    String::from_utf8_lossy(payload).parse().expect("a number")
}

/// Makes a user, and a token that is revoked.
fn accounts(broker: &Broker) -> Value {
    broker.add_user(USER, PASSWORD);
    let org = broker.first_run().org_id;
    let token = broker.cli(&["token", "create", "eve@example.com", "--org", &org, "--json"]);
    let token: Value = serde_json::from_slice(&token.stdout).expect("JSON");
    let id = token["token_id"].to_string();
    drop(broker.cli(&["token", "revoke", id.trim_matches('"'), "--org", &org]));
    token
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_backup_under_load_is_restored() {
    let mut broker = BrokerOptions::default().with_anonymous_clients().start();
    let data_dir = broker.data_dir();
    let token = accounts(&broker);
    let mut away = connect(&broker, "away", None).await;
    away.subscribe("q/#").await;
    drop(away);
    let mut publisher = connect(&broker, "publisher", None).await;
    publish(&mut publisher, "kept", b"retained", true).await;
    for number in 0..BEFORE {
        publish(&mut publisher, "q/1", number.to_string().as_bytes(), false).await;
    }
    // The load goes on while the backup is taken, and after it.
    let file = broker.scratch().join("all.backup");
    let is_taken = Arc::new(AtomicBool::new(false));
    let taking = {
        let (file, data_dir, is_taken) = (file.clone(), data_dir.clone(), Arc::clone(&is_taken));
        thread::spawn(move || {
            let answer = json(&data_dir, &["backup", "--out", text(&file)]);
            is_taken.store(true, Ordering::SeqCst);
            answer
        })
    };
    let mut published = BEFORE;
    let mut after = 0;
    while after < 50 {
        publish(&mut publisher, "q/1", published.to_string().as_bytes(), false).await;
        published += 1;
        after += u32::from(is_taken.load(Ordering::SeqCst));
    }
    let answer = taking.join().expect("the backup is taken");
    assert!(answer["entries"].as_u64() > Some(u64::from(BEFORE)), "{answer}");
    let mode = fs::metadata(&file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds secrets");
    broker.kill();

    let mut broker = restore(broker, &file);
    let numbers: Vec<_> = waiting(&broker, "away", "q/1")
        .await
        .iter()
        .map(|it| number(it))
        .collect();
    assert!(numbers.len() >= BEFORE as usize, "{} came back", numbers.len());
    assert!(
        numbers.len() < published as usize,
        "it was taken while messages came"
    );
    assert_eq!(
        numbers,
        (0..numbers.len() as u32).collect::<Vec<_>>(),
        "one moment: no gap, in order"
    );
    assert_eq!(retained(&broker, "kept").await, b"retained");

    let org = broker.first_run().org_id;
    let user = format!("{USER}@{org}");
    drop(connect(&broker, "ada", Some((&user, PASSWORD))).await);
    let login = (
        token["username"].as_str().expect("a name"),
        token["password"].as_str().expect("a password"),
    );
    assert!(is_refused(&broker, login).await, "a revoked token stays revoked");
    broker.kill();
}

/// The retained message of a topic.
async fn retained(broker: &Broker, topic: &str) -> Vec<u8> {
    let mut curious = connect(broker, "curious", None).await;
    let filter = SubscribeFilter::new(TopicFilter::parse(topic).expect("a filter"), Qos::AtLeastOnce);
    let subscribe = Subscribe::new(PacketId::MIN, vec![filter]);
    curious.send(&Packet::Subscribe(subscribe)).await;
    // SUBACK waits for the store, and retained messages need not wait for SUBACK.
    loop {
        let got = curious.next().await;
        match got {
            Got::Message { payload, .. } => return payload,
            Got::SubAck(_) => {}
            Got::ConnAck(_) | Got::PubAck(..) | Got::Auth(_) | Got::Pong | Got::Disconnect(_) | Got::End => {
                panic!("the message comes: {got:?}")
            }
        }
    }
}

/// Starts a broker on what a backup holds.
fn restore(broker: Broker, file: &Path) -> Broker {
    let (data_dir, old) = (broker.data_dir(), broker.scratch().join("old"));
    fs::rename(&data_dir, old).expect("a folder can be renamed");
    let said = succeed(&data_dir, &["restore", "--from", text(file)]);
    assert!(said.contains("restored"), "{said}");
    broker.start_again()
}

async fn is_refused(broker: &Broker, (username, password): (&str, &str)) -> bool {
    let stream = tokio::net::TcpStream::connect(broker.addr(Listener::Mqtt)).await;
    let mut client = Client::new(Box::new(stream.expect("the broker listens")), Version::V5);
    let got = client.connect("eve", Login::Password(username, password)).await;
    !matches!(got, Got::ConnAck(ReasonCode::Success))
}

#[tokio::test]
async fn one_organization_is_put_back_as_it_was() {
    let mut broker = BrokerOptions::default().start();
    let (data_dir, org) = (broker.data_dir(), broker.first_run().org_id);
    broker.add_user("early", PASSWORD);
    let file = broker.scratch().join("org.backup");
    let unknown = broker.scratch().join("unknown.backup");
    let said = fail(
        &data_dir,
        &["backup", "--out", text(&unknown), "--org", "org_aaaaaaaaaaaa"],
        1,
    );
    assert!(said.contains("organization") && !unknown.exists(), "{said}");
    drop(succeed(
        &data_dir,
        &["backup", "--out", text(&file), "--org", &org],
    ));
    drop(fail(&data_dir, &["backup", "--out", text(&file)], 1));
    broker.add_user("late", PASSWORD);
    let words = ["restore", "--from", text(&file), "--org", &org, "--replace"];
    let said = fail(&data_dir, &words, 1);
    assert!(said.contains("in use"), "{said}");
    assert_eq!(broker.terminate(), Some(0));

    let said = fail(&data_dir, &words[..5], 1);
    assert!(said.contains("--replace"), "{said}");
    drop(succeed(&data_dir, &words));
    let mut broker = broker.start_again();
    let users = broker.cli(&["user", "list", "--org", &org, "--json"]);
    let users = String::from_utf8_lossy(&users.stdout).into_owned();
    assert!(users.contains("early") && !users.contains("late"), "{users}");
    broker.kill();

    // Of a broker that is stopped, too.
    let offline = broker.scratch().join("offline.backup");
    drop(succeed(&data_dir, &["backup", "--out", text(&offline)]));
    drop(succeed(
        &data_dir,
        &["restore", "--from", text(&offline), "--check"],
    ));
    let bytes = fs::read(&offline).expect("a file");
    fs::write(&offline, &bytes[..bytes.len() - 1]).expect("a file can be written");
    let to = broker.scratch().join("nothing");
    let words = ["restore", "--from", text(&offline), "--data-dir", text(&to)];
    let said = fail(&data_dir, &words, 1);
    assert!(said.contains("not complete") && !to.exists(), "{said}");
    let ended = run(&data_dir, &["restore", "--from", text(&offline), "--check"]);
    assert_eq!(ended.status.code(), Some(1));
}

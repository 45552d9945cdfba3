//! What was used, counted by the broker and by the clients; and what is left of it after a restart.

use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::http;
use serde_json::{Value, json};

use crate::client::{V5, V311};
use crate::{door, shown};

/// What clients counted themselves.
#[derive(Debug, Default)]
struct Counted {
    messages_in: u64,
    bytes_in: u64,
    messages_out: u64,
    bytes_out: u64,
    connects: u64,
}

/// Messages that each publisher sends at each QoS.
const MESSAGES: usize = 100;

/// Clients of both versions publish at every QoS to a subscriber of both versions.
fn traffic(broker: &Broker) -> Counted {
    let door = door(broker);
    let mut counted = Counted::default();
    let mut readers = [door.enter(V5, "reader5"), door.enter(V311, "reader3")];
    for reader in &mut readers {
        assert_eq!(reader.subscribe("usage/#", 1), 1);
    }
    for version in [V5, V311] {
        let mut client = door.enter(version, &format!("publisher{version}"));
        for number in 0..MESSAGES {
            let payload = vec![b'.'; number];
            client.tell("usage/0", &payload);
            assert_eq!(client.publish("usage/1", &payload), 0);
            client.publish_twice_sure("usage/2", &payload);
            counted.messages_in += 3;
            counted.bytes_in += 3 * number as u64;
        }
        client.leave();
    }
    for reader in &mut readers {
        for _ in 0..6 * MESSAGES {
            let payload = reader.next().expect("a message");
            counted.messages_out += 1;
            counted.bytes_out += payload.len() as u64;
        }
    }
    counted.connects = 4;
    counted
}

/// Both within 0.1 % of each other.
fn assert_close(shown: &Value, counted: u64, what: &str) {
    let shown = shown.as_u64().unwrap_or_else(|| panic!("{what}: {shown}"));
    assert!(
        shown.abs_diff(counted) * 1_000 <= counted,
        "{what}: {shown} shown, {counted} counted"
    );
}

fn assert_used(used: &Value, counted: &Counted, rounds: u64) {
    let pairs = [
        (&used["in"]["messages"], counted.messages_in, "messages in"),
        (&used["in"]["bytes"], counted.bytes_in, "bytes in"),
        (&used["out"]["messages"], counted.messages_out, "messages out"),
        (&used["out"]["bytes"], counted.bytes_out, "bytes out"),
        (&used["connects"], counted.connects, "connects"),
    ];
    for (shown, counted, what) in pairs {
        assert_close(shown, counted * rounds, what);
    }
}

#[test]
fn usage_is_what_clients_counted_and_outlives_the_process() {
    let mut broker = Broker::start(BrokerOptions::default());
    let counted = traffic(&broker);
    let report = shown(&broker, &["usage"]);
    assert_used(&report["total"], &counted, 1);
    assert_eq!(report["total"]["connections_peak"], 3);

    assert_eq!(broker.terminate(), Some(0));
    let mut broker = broker.start_again();
    let again = traffic(&broker);
    assert_eq!(again.messages_out, counted.messages_out);
    let by_month = shown(&broker, &["usage", "--by", "month"]);
    assert_used(&by_month["total"], &counted, 2);

    // Killed right after: what was shown before the last start is there in any case.
    broker.kill();
    let broker = broker.start_again();
    let report = shown(&broker, &["usage", "--by", "month"]);
    let left = report["total"]["in"]["messages"].as_u64().expect("a number");
    assert!(
        (counted.messages_in..=2 * counted.messages_in).contains(&left),
        "{left} of {counted:?} twice"
    );
}

#[test]
fn usage_is_read_with_a_key_and_only_ones_own() {
    let broker = Broker::start(BrokerOptions::default());
    let key = broker.first_run().secret_key;
    let ask = |path: &str, key: Option<&str>| {
        http::ask(broker.addr(Listener::Http), "GET", path, key, None).expect("an answer")
    };
    let answer = ask("/v2/usage?by=month", Some(&key));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["organization_id"], json!(broker.first_run().org_id));
    assert_eq!(answer.json()["by"], "month");
    let total = ask("/v2/usage", Some(&key)).json()["total"]["api_calls"].clone();
    assert_eq!(total, 2, "calls are counted");
    let other = "org_aaaaaaaaaaaa";
    for (path, key, status) in [
        ("/v2/usage".to_owned(), None, 401),
        (format!("/v2/usage?organization_id={other}"), Some(&*key), 404),
        ("/v2/usage?from=tomorrow".to_owned(), Some(&*key), 400),
        (
            "/v2/usage?from=2026-02-01&to=2026-01-01".to_owned(),
            Some(&*key),
            422,
        ),
        ("/v2/usage?by=year".to_owned(), Some(&*key), 400),
    ] {
        assert_eq!(ask(&path, key).status, status, "{path}");
    }
}

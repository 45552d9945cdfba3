//! Publishing and sessions over HTTP, with paho-mqtt at the other end (`python/api.py`), and sessions by the command
//! line.

use serde_json::{Value, json};

use cloudsignal_tests::broker::{Broker, Listener};
use cloudsignal_tests::packets::connect_v5;
use cloudsignal_tests::wire::Wire;
use cloudsignal_tests::{http, programs, wait};

use crate::job;

/// Fewer means that some did not run.
const SCENARIOS_MIN: usize = 16;

fn run(listener: Listener) {
    let broker = job::broker();
    let created = broker.cli(&["org", "create", "Neighbours", "--json"]);
    let created: Value = serde_json::from_slice(&created.stdout).expect("--json is JSON");
    let org = created["org"]["id"].as_str().expect("an organization has an id");
    let key = broker.cli(&["key", "create", "backend", "--org", org, "--json"]);
    let key: Value = serde_json::from_slice(&key.stdout).expect("--json is JSON");
    let more = json!({
        "http_url": broker.url(Listener::Http),
        "secret_key": broker.first_run().secret_key,
        "other_secret_key": key["secret_key"],
    });
    let mut python = programs::python();
    python.arg(programs::interop_folder().join("python/api.py"));
    job::run_against(&broker, python, listener, SCENARIOS_MIN, more);
    let metrics = http::get(broker.addr(Listener::Metrics), "/readyz");
    assert!(
        metrics.is_ok_and(|answer| answer.status == 200),
        "the broker still serves"
    );
}

#[test]
fn api_beside_tcp() {
    run(Listener::Mqtt);
}

#[test]
fn api_beside_secure_websocket() {
    run(Listener::Wss);
}

/// What `cloudsignal session …` answers.
fn session(broker: &Broker, words: &[&str]) -> Value {
    let org = broker.first_run().org_id;
    let words = [&["session"], words, &["--org", &org, "--json"]].concat();
    let output = broker.cli(&words);
    serde_json::from_slice(&output.stdout).expect("--json is JSON")
}

fn connected(broker: &Broker, client_id: &str) -> Wire {
    let first_run = broker.first_run();
    let mut wire = Wire::connect(broker.addr(Listener::Mqtt));
    wire.send(&connect_v5(
        client_id,
        Some((&first_run.username, &first_run.password)),
    ));
    assert_eq!(wire.packet()[3], 0, "CONNACK: success");
    wire
}

fn reasons(broker: &Broker, client_id: &str) -> Vec<Value> {
    let history = session(broker, &["history", "--client", client_id]);
    let entries = history["connections"].as_array().expect("a list");
    entries.iter().map(|entry| entry["reason"].clone()).collect()
}

#[test]
fn operators_see_and_end_sessions_and_history_outlives_the_process() {
    let mut broker = job::broker();
    let (_one, _two, _three) = (
        connected(&broker, "one"),
        connected(&broker, "two/2"),
        connected(&broker, "three"),
    );
    let listed = session(&broker, &["list", "--state", "connected"]);
    assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(3), "{listed}");
    let shown = session(&broker, &["show", "two/2"]);
    assert_eq!(shown["connection"]["transport"], "tcp", "{shown}");
    let done = session(&broker, &["disconnect", "two/2", "nobody"]);
    assert_eq!(
        (&done["disconnected"], &done["not_found"]),
        (&json!(1), &json!(["nobody"]))
    );
    assert_eq!(reasons(&broker, "two/2"), ["server_disconnect"]);
    let text = broker.cli(&["session", "list", "--org", &broker.first_run().org_id]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.starts_with("CLIENT ID") && text.contains("one"), "{text}");

    // Told to stop, it writes down the connections that it ends.
    assert_eq!(broker.terminate(), Some(0));
    let mut broker = broker.start_again();
    assert_eq!(reasons(&broker, "two/2"), ["server_disconnect"]);
    assert_eq!(reasons(&broker, "one"), ["server_disconnect"]);
    // Killed, it has what was written: here by the look into the history.
    drop(connected(&broker, "four"));
    wait::until("the end of a connection in the history", || {
        (!reasons(&broker, "four").is_empty()).then_some(())
    });
    let _five = connected(&broker, "five");
    broker.kill();
    let broker = broker.start_again();
    assert_eq!(reasons(&broker, "four"), ["connection_lost"]);
    assert!(
        reasons(&broker, "five").is_empty(),
        "it was open when the broker was killed"
    );
    let connected_again = connected(&broker, "four");
    drop(connected_again);
    wait::until("a second end in the history", || {
        (reasons(&broker, "four").len() == 2).then_some(())
    });
}

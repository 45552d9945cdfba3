//! Publishing and sessions over HTTP, with paho-mqtt at the other end: `python/api.py`.

use serde_json::json;

use cloudsignal_tests::broker::Listener;
use cloudsignal_tests::{http, programs};

use crate::job;

/// Fewer means that some did not run.
const SCENARIOS_MIN: usize = 15;

fn run(listener: Listener) {
    let broker = job::broker();
    let created = broker.cli(&["org", "create", "Neighbours", "--json"]);
    let created: serde_json::Value = serde_json::from_slice(&created.stdout).expect("--json is JSON");
    let org = created["org"]["id"].as_str().expect("an organization has an id");
    let key = broker.cli(&["key", "create", "backend", "--org", org, "--json"]);
    let key: serde_json::Value = serde_json::from_slice(&key.stdout).expect("--json is JSON");
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

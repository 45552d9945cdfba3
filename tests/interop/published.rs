//! CloudSignal's published JavaScript client with only its base URLs changed.
//!
//! Its code is not part of this tree. Clone `cloudsignal/mqtt-client` somewhere, run `npm ci && npm run build` there,
//! and name what was built:
//!
//! ```text
//! CS_TEST_PUBLISHED_CLIENT=…/dist/index.js cargo test -p cloudsignal-tests --test interop published -- --ignored --nocapture
//! ```
//! It waits for the end of a token, so it takes a good minute. Version 2.2.4 passes. What is broken in it by itself has
//! scenarios of its own, whose names begin with `fault`.

use std::env;
use std::path::PathBuf;

use serde_json::{Value, json};

use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::programs;

/// Fewer means that some did not run.
const SCENARIOS_MIN: usize = 20;

fn broker() -> Broker {
    let broker = BrokerOptions::default().start();
    broker.set_policy(&json!({
        "version": "2.1",
        "default": "deny",
        "global": [
            { "topic": "interop/#", "action": "pub+sub" },
            { "topic": "$spaces/#", "action": "pub+sub" },
            { "topic": "response/{client_id}", "action": "pub+sub" },
        ],
    }));
    broker
}

fn job(broker: &Broker, client: &str) -> Value {
    let first_run = broker.first_run();
    let shown = broker.cli(&["org", "show", &first_run.org_id, "--json"]);
    let org: Value = serde_json::from_slice(&shown.stdout).expect("--json prints JSON");
    let listeners = [
        Listener::Mqtt,
        Listener::Mqtts,
        Listener::Ws,
        Listener::Wss,
        Listener::Https,
    ];
    let urls = listeners.map(|listener| (listener.scheme().to_owned(), broker.url(listener).into()));
    json!({
        "client": client,
        "urls": serde_json::Map::from_iter(urls),
        "username": first_run.username,
        "password": first_run.password,
        "org_id": first_run.org_id,
        "org_uuid": org["uuid"],
        "secret_key": first_run.secret_key,
        "program": programs::broker(),
        "data_dir": broker.data_dir(),
    })
}

#[test]
#[ignore = "needs the published client, built outside of this tree: CS_TEST_PUBLISHED_CLIENT"]
fn published_client_runs_with_other_base_urls() {
    let client = env::var("CS_TEST_PUBLISHED_CLIENT").expect("CS_TEST_PUBLISHED_CLIENT names dist/index.js");
    let client = PathBuf::from(client).canonicalize().expect("it is built");
    let broker = broker();
    let mut node = programs::installed("node");
    node.arg(programs::interop_folder().join("js/published.mjs"));
    node.env("NODE_EXTRA_CA_CERTS", broker.first_run().ca_file);
    let job = job(&broker, client.to_str().expect("a plain path"));
    let output = programs::run_with_input(node, &job.to_string());
    let stdout = String::from_utf8_lossy(&output.stdout);
    let outcomes: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for outcome in &outcomes {
        println!("{outcome}");
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    println!("{stderr}");
    let failed = outcomes
        .iter()
        .filter(|outcome| !outcome["error"].is_null())
        .count();
    assert!(failed == 0, "{failed} scenarios failed: {stderr}");
    assert!(
        outcomes.len() >= SCENARIOS_MIN,
        "only {} scenarios ran",
        outcomes.len()
    );
}

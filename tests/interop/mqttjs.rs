//! MQTT.js, over every transport. Each test runs every scenario of `js/scenarios.mjs` in MQTT 3.1, 3.1.1 and 5.

use cloudsignal_tests::broker::Listener;
use cloudsignal_tests::programs;

use crate::job;

/// Fewer means that some did not run.
const SCENARIOS_MIN: usize = 18;

fn run(listener: Listener) {
    let mut node = programs::node();
    node.arg(programs::interop_folder().join("js/run.mjs"));
    job::run(node, listener, SCENARIOS_MIN);
}

#[test]
fn mqttjs_over_tcp() {
    run(Listener::Mqtt);
}

#[test]
fn mqttjs_over_tls() {
    run(Listener::Mqtts);
}

#[test]
fn mqttjs_over_websocket() {
    run(Listener::Ws);
}

#[test]
fn mqttjs_over_secure_websocket() {
    run(Listener::Wss);
}

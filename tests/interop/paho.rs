//! paho-mqtt, over every transport. Each test runs every scenario of `python/scenarios.py` in MQTT 3.1, 3.1.1 and 5.

use cloudsignal_tests::broker::Listener;
use cloudsignal_tests::programs;

use crate::job;

/// Fewer means that some did not run.
const SCENARIOS_MIN: usize = 23;

fn run(listener: Listener) {
    let mut python = programs::python();
    python.arg(programs::interop_folder().join("python/run.py"));
    job::run(python, listener, SCENARIOS_MIN);
}

#[test]
fn paho_over_tcp() {
    run(Listener::Mqtt);
}

#[test]
fn paho_over_tls() {
    run(Listener::Mqtts);
}

#[test]
fn paho_over_websocket() {
    run(Listener::Ws);
}

#[test]
fn paho_over_secure_websocket() {
    run(Listener::Wss);
}

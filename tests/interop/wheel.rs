//! Our own Python package: its wheel in a fresh virtual environment, against a broker over TLS. The scenarios are those of
//! `python/wheel/scenarios.py`; that the script ends with success is one more: nothing calls into an interpreter that ends.

use cloudsignal_tests::broker::Listener;
use cloudsignal_tests::{programs, wheel};
use serde_json::json;

use crate::job;

/// Fewer means that some did not run.
const SCENARIOS_MIN: usize = 21;

#[test]
fn wheel_in_a_fresh_environment_over_tls() {
    let environment = wheel::environment();
    let broker = job::broker();
    broker.set_policy(&json!({
        "version": "2.1",
        "default": "deny",
        "global": [
            { "topic": "interop/#", "action": "pub+sub" },
            { "topic": "response/#", "action": "pub+sub" }, // Where answers to questions come.
        ],
    }));
    let mut python = environment.python();
    python.arg(programs::interop_folder().join("python/wheel/run.py"));
    let more = json!({
        "api": broker.url(Listener::Https),
        "secret_key": broker.first_run().secret_key,
    });
    job::run_against(&broker, python, Listener::Mqtts, SCENARIOS_MIN, more);
}

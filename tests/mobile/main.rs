//! What applications on phones use: the libraries for Kotlin and Swift above `sdk-ffi`.
//!
//! | file | holds |
//! |---|---|
//! | [`kotlin`] | Kotlin on the JVM against a real broker over TLS: `kotlin/` |
//! | [`swift`] | Swift, as far as a machine without Swift can check it: `swift/` |

mod kotlin;
mod swift;

use std::process::Command;

use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use serde_json::json;

/// A broker whose first organization allows these topics and no others.
fn broker() -> Broker {
    let broker = BrokerOptions::default().start();
    broker.set_policy(&json!({
        "version": "2.1",
        "default": "deny",
        "global": [
            { "topic": "mobile/#", "action": "pub+sub" },
            { "topic": "response/#", "action": "pub+sub" }, // Where answers to questions come.
        ],
    }));
    broker
}

/// Tells a program of scenarios where that broker is.
fn told(mut program: Command, broker: &Broker) -> Command {
    let first_run = broker.first_run();
    program
        .env("CS_TEST_URL", broker.url(Listener::Mqtts))
        .env("CS_TEST_API", broker.url(Listener::Https))
        .env("CS_TEST_CA_FILE", first_run.ca_file)
        .env("CS_TEST_USERNAME", first_run.username)
        .env("CS_TEST_PASSWORD", first_run.password)
        .env("CS_TEST_SECRET_KEY", first_run.secret_key);
    program
}

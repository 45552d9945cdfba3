//! The crates and the browser package as those get them who do not have this repository: packed, and installed in an empty
//! project.
//!
//! | file | holds |
//! |---|---|
//! | [`crates`] | `cargo package`, and a program with the packed crates |
//! | [`installed`] | `npm install` of what `npm pack` makes, in Node |
//! | [`pages`] | bundlers, workers and script tags in Chromium: `js/fixtures` |

mod crates;
mod installed;
mod pages;

use cloudsignal_tests::broker::{Broker, Listener};
use serde_json::{Value, json};

/// What a script has to know to log in.
fn job(broker: &Broker) -> Value {
    let first_run = broker.first_run();
    json!({
        "url": broker.url(Listener::Wss),
        "ca_file": first_run.ca_file,
        "username": first_run.username,
        "password": first_run.password,
    })
}

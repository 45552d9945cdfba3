//! The quotas of an organization, against the real program: each is driven over its limit, and the code that came back
//! is what the page `docs/quotas.md` says. What was used is compared with what the clients counted themselves.
//!
//! | file | holds |
//! |---|---|
//! | [`client`] | what a client says, and the code it gets |
//! | [`limits`] | each quota beyond its limit |
//! | [`neighbour`] | what a flood in one organization does to another |
//! | [`usage`] | what was used, counted twice; restarts |

mod client;
mod limits;
mod neighbour;
mod usage;

use cloudsignal_tests::broker::{Broker, Listener};
use serde_json::Value;

use client::Door;

/// A broker and the login of its first user.
fn door(broker: &Broker) -> Door {
    let first = broker.first_run();
    Door {
        addr: broker.addr(Listener::Mqtt),
        username: first.username,
        password: first.password,
    }
}

/// What the program prints with `--json`.
fn shown(broker: &Broker, arguments: &[&str]) -> Value {
    let output = broker.cli(&[arguments, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).expect("--json prints JSON")
}

/// One quota, as the organization sees it.
fn quota(broker: &Broker, name: &str) -> Value {
    let report = shown(broker, &["quota", "show"]);
    let quotas = report["quotas"].as_array().expect("a list");
    let found = quotas.iter().find(|quota| quota["name"] == name);
    found.unwrap_or_else(|| panic!("no quota {name}")).clone()
}

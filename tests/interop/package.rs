//! Our own browser package, packed and installed as its users install it: in Node, with the sockets of `ws` and with
//! Node's own, and in Chromium. The scenarios are those of `js/package/scenarios.mjs`.

use std::path::Path;
use std::process::Command;

use cloudsignal_tests::broker::{Broker, Listener};
use cloudsignal_tests::{package, programs};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{browser, job};

/// Fewer means that some did not run.
const SCENARIOS_MIN: usize = 20;
/// The same of many tabs: with a shared worker, and without one.
const TABS_SCENARIOS_MIN: usize = 10;

/// A project with the package in it, and the scenarios.
fn project() -> TempDir {
    let scripts = programs::interop_folder().join("js/package");
    package::project(
        &["issuer.mjs", "node.mjs", "presence.mjs", "scenarios.mjs"].map(|name| scripts.join(name)),
        &["ws"],
    )
}

/// Node in that project; it trusts the broker's authority beside those that it knows.
fn node(project: &Path, script: &str, ca_file: &Path, flags: &[&str]) -> Command {
    let mut node = programs::node();
    node.args(flags)
        .arg(project.join(script))
        .env("NODE_EXTRA_CA_CERTS", ca_file);
    node
}

/// A project, a broker, and what the scripts are told besides.
fn world() -> (TempDir, Broker, Value) {
    let (project, broker) = (project(), job::broker());
    broker.set_policy(&json!({
        "version": "2.1",
        "default": "deny",
        "global": [
            { "topic": "interop/#", "action": "pub+sub" },
            { "topic": "response/#", "action": "pub+sub" }, // Where answers to questions come.
        ],
    }));
    let more = json!({
        "project": project.path(),
        "api": broker.url(Listener::Https),
        "token": browser::token(&broker, "ada@example.com", 3_600),
    });
    (project, broker, more)
}

fn run_in_node(flags: &[&str], has_websocket: bool) {
    let (project, broker, mut more) = world();
    let ca_file = broker.first_run().ca_file;
    let node = node(project.path(), "node.mjs", &ca_file, flags);
    more["has_websocket"] = has_websocket.into();
    job::run_against(&broker, node, Listener::Wss, SCENARIOS_MIN, more);
}

#[test]
fn package_in_node_with_the_sockets_of_ws() {
    run_in_node(&[], false);
}

#[test]
fn package_in_node_with_its_own_sockets() {
    run_in_node(&["--experimental-websocket"], true);
}

/// Every scenario of `js/package/issuer.mjs`.
const ISSUER_SCENARIOS: usize = 4;

#[test]
fn package_on_a_server_that_makes_tokens() {
    let (project, broker, mut more) = world();
    let first_run = broker.first_run();
    let node = node(project.path(), "issuer.mjs", &first_run.ca_file, &[]);
    more["secret_key"] = first_run.secret_key.into();
    job::run_against(&broker, node, Listener::Wss, ISSUER_SCENARIOS, more);
}

/// Every scenario of `js/package/presence.mjs`.
const PRESENCE_SCENARIOS: usize = 2;

#[test]
fn package_shows_who_is_there() {
    let (project, broker, more) = world();
    let node = node(project.path(), "presence.mjs", &broker.first_run().ca_file, &[]);
    job::run_against(&broker, node, Listener::Wss, PRESENCE_SCENARIOS, more);
}

/// How often pages are killed in each place that a connection may have: `CS_TEST_TAB_KILLS`.
const TAB_KILLS: u32 = 4;

/// Runs a script of `js/package/` that opens pages in Chromium.
fn run_in_chromium(script: &str, scenarios_min: usize) {
    let (_project, broker, mut more) = world();
    let kills = std::env::var("CS_TEST_TAB_KILLS").map(|kills| kills.parse().expect("a number"));
    more["kills"] = kills.unwrap_or(TAB_KILLS).into();
    let mut node = programs::node();
    node.arg(programs::interop_folder().join("js/package").join(script))
        .env("NODE_EXTRA_CA_CERTS", broker.first_run().ca_file);
    let chromium = programs::installed("chromium");
    more["chromium"] = chromium.get_program().to_str().into();
    more["secret_key"] = broker.first_run().secret_key.into();
    job::run_against(&broker, node, Listener::Wss, scenarios_min, more);
}

#[test]
fn package_in_chromium() {
    run_in_chromium("chromium.mjs", 2 * SCENARIOS_MIN);
}

#[test]
fn package_in_many_tabs_of_chromium() {
    run_in_chromium("tabs.mjs", TABS_SCENARIOS_MIN);
}

#[test]
fn package_in_pages_that_are_killed() {
    run_in_chromium("kills.mjs", 3);
}

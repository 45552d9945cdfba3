//! Our own browser package, packed and installed as its users install it: in Node, with the sockets of `ws` and with
//! Node's own, and in Chromium. The scenarios are those of `js/package/scenarios.mjs`.

use std::fs;
use std::path::Path;
use std::process::Command;

use cloudsignal_tests::broker::{Broker, Listener};
use cloudsignal_tests::programs;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{browser, job};

/// Fewer means that some did not run.
const SCENARIOS_MIN: usize = 20;

/// A project with the package in it, and the scenarios.
fn project() -> TempDir {
    let project = tempfile::tempdir().expect("a folder");
    let package = project.path().join("node_modules/@cloudsignal/client");
    fs::create_dir_all(&package).expect("a folder");
    let mut pack = programs::installed("npm");
    pack.current_dir(programs::browser_package())
        .args(["pack", "--silent", "--ignore-scripts", "--pack-destination"])
        .arg(project.path());
    let packed = programs::run_with_input(pack, "");
    let name = String::from_utf8(packed.stdout).expect("npm prints text");
    let mut unpack = programs::installed("tar");
    unpack
        .args(["--strip-components=1", "-xzf"])
        .arg(project.path().join(name.trim()))
        .arg("-C")
        .arg(&package);
    let unpacked = programs::run_with_input(unpack, "");
    assert!(unpacked.status.success(), "{unpacked:?}");
    let scripts = programs::interop_folder().join("js");
    for script in ["issuer.mjs", "node.mjs", "scenarios.mjs"] {
        fs::copy(scripts.join("package").join(script), project.path().join(script)).expect("a script");
    }
    let sockets = "node_modules/ws";
    std::os::unix::fs::symlink(scripts.join(sockets), project.path().join(sockets)).expect("a link");
    project
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

#[test]
fn package_in_chromium() {
    let (_project, broker, mut more) = world();
    let mut node = programs::node();
    node.arg(programs::interop_folder().join("js/package/chromium.mjs"));
    let chromium = programs::installed("chromium");
    more["chromium"] = chromium.get_program().to_str().into();
    job::run_against(&broker, node, Listener::Wss, 2 * SCENARIOS_MIN, more);
}

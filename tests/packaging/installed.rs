//! `npm install` of what `npm pack` makes, in an empty project: it publishes and hears over WSS, as a module and as what
//! Node had before.

use std::fs;
use std::path::Path;
use std::process::Command;

use cloudsignal_tests::broker::{Broker, BrokerOptions};
use cloudsignal_tests::{package, programs};
use serde_json::Value;
use tempfile::TempDir;

/// The lines of the program, at most.
const LINES_MAX: usize = 9;

/// `npm install PACKAGE ws` in an empty folder, from files that are here.
fn project() -> TempDir {
    let project = tempfile::tempdir().expect("a folder");
    let mut install = programs::installed("npm");
    install
        .args(["install", "--offline", "--no-audit", "--no-fund", "--silent"])
        .arg(package::pack(project.path()))
        .arg(programs::interop_folder().join("js/node_modules/ws"))
        .current_dir(project.path());
    let installed = programs::run_with_input(install, "");
    assert!(installed.status.success(), "{installed:?}");
    project
}

fn node(script: &Path, broker: &Broker) -> Command {
    let mut node = programs::node();
    node.arg(script)
        .env("NODE_EXTRA_CA_CERTS", broker.first_run().ca_file);
    node
}

fn scripts() -> std::path::PathBuf {
    programs::tests_folder().join("packaging/js/fixtures")
}

#[test]
fn an_installed_package_publishes_and_hears_over_wss_in_under_ten_lines() {
    let (project, broker) = (project(), BrokerOptions::default().start());
    let text = fs::read_to_string(scripts().join("node/short.mjs")).expect("a script");
    assert!(text.lines().count() <= LINES_MAX, "{text}");
    let script = project.path().join("short.mjs");
    fs::write(&script, text).expect("a script");
    let job = crate::job(&broker);
    let mut node = node(&script, &broker);
    for field in ["url", "username", "password"] {
        node.arg(job[field].as_str().expect("text"));
    }
    let output = programs::run_with_input(node, "");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "node: hello\n",
        "{output:?}"
    );
}

#[test]
fn node_imports_and_requires_it() {
    let (project, broker) = (project(), BrokerOptions::default().start());
    fs::create_dir(project.path().join("node")).expect("a folder");
    for script in ["exchange.js", "node/esm.mjs", "node/cjs.cjs"] {
        fs::copy(scripts().join(script), project.path().join(script)).expect("a script");
    }
    for (script, who) in [("node/esm.mjs", "node-esm"), ("node/cjs.cjs", "node-cjs")] {
        let node = node(&project.path().join(script), &broker);
        let output = programs::run_with_input(node, &crate::job(&broker).to_string());
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(
            (&said["kind"], &said["who"]),
            (&"acked".into(), &who.into()),
            "{output:?}"
        );
    }
}

//! Whatever makes pages takes the package as it is: every fixture is built, opened in Chromium, connects, subscribes,
//! publishes, and hears what it has published.

use std::fs;
use std::path::{Path, PathBuf};

use cloudsignal_tests::broker::BrokerOptions;
use cloudsignal_tests::{package, programs};
use serde::Deserialize;
use serde_json::json;

/// The fixtures; `CS_TEST_FIXTURES` names others.
const FIXTURES: &str =
    "script-tag,esbuild,rollup,webpack,vite-prod,vite-dev,shared-worker,service-worker,next";

/// One line of the script.
#[derive(Debug, Deserialize)]
struct Outcome {
    fixture: String,
    secs: f64,
    kind: Option<String>,
    data: Option<String>,
    error: Option<String>,
}

/// The folder of the fixtures and their bundlers, with the package installed beside them.
pub(crate) fn project() -> PathBuf {
    let project = programs::tests_folder().join("packaging/js");
    assert!(
        project.join("node_modules/vite").is_dir(),
        "the bundlers are missing: `cargo xtask setup` installs them"
    );
    package::install(&project);
    project
}

#[test]
fn every_bundler_and_worker_takes_the_package_as_it_is() {
    let broker = BrokerOptions::default().start();
    let out = tempfile::tempdir().expect("a folder");
    let fixtures = std::env::var("CS_TEST_FIXTURES").unwrap_or_else(|_| FIXTURES.to_owned());
    let fixtures: Vec<_> = fixtures.split(',').collect();
    let mut job = crate::job(&broker);
    job["fixtures"] = json!(fixtures);
    job["out"] = json!(out.path());
    job["chromium"] = json!(Path::new(programs::installed("chromium").get_program()));
    let mut node = programs::node();
    node.arg(project().join("run.mjs"));
    let output = programs::run_with_input(node, &job.to_string());
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let outcomes: Vec<Outcome> = stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let mut faults = Vec::new();
    for outcome in &outcomes {
        println!("{:>16}: {:.1} s", outcome.fixture, outcome.secs);
        let greeting = outcome.data.as_deref().unwrap_or_default();
        if outcome.kind.as_deref() != Some("acked") || greeting != format!("hello from {}", outcome.fixture) {
            faults.push(format!(
                "{}: {}",
                outcome.fixture,
                outcome.error.as_deref().unwrap_or(greeting)
            ));
        }
    }
    assert!(faults.is_empty(), "{}\n{stderr}", faults.join("\n"));
    assert_eq!(outcomes.len(), fixtures.len(), "{stdout}\n{stderr}");
    drop(fs::remove_dir_all(out));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

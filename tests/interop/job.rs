//! What a script of scenarios is told, and what it tells.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde::Deserialize;
use serde_json::json;

use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::programs;

/// One line of a script's output.
#[derive(Debug, Deserialize)]
struct Outcome {
    scenario: String,
    version: String,
    error: Option<String>,
    /// What a person may want to know besides: it is printed, and not judged.
    note: Option<String>,
}

/// A broker whose first organization allows the topics below `interop/` and no others.
pub(crate) fn broker() -> Broker {
    let broker = BrokerOptions::default().start();
    broker.set_policy(&json!({
        "version": "2.1",
        "default": "deny",
        "global": [{ "topic": "interop/#", "action": "pub+sub" }],
    }));
    broker
}

/// Runs a script's scenarios over one listener. All must pass, and at least `scenarios_min` must have run.
pub(crate) fn run(command: Command, listener: Listener, scenarios_min: usize) {
    run_against(&broker(), command, listener, scenarios_min, json!({}));
}

/// The same with a broker that is there already; `more` goes into the job too.
#[expect(clippy::print_stdout, reason = "a run says what it has measured")]
pub(crate) fn run_against(
    broker: &Broker,
    command: Command,
    listener: Listener,
    scenarios_min: usize,
    more: serde_json::Value,
) {
    let first_run = broker.first_run();
    let mut job = json!({
        "url": broker.url(listener),
        "ca_file": first_run.ca_file,
        "username": first_run.username,
        "password": first_run.password,
        "org_id": first_run.org_id,
        // A well-formed id of nobody.
        "foreign_org_id": "org_aaaaaaaaaaaa",
        "versions": ["3.1", "3.1.1", "5"],
    });
    if let (Some(job), serde_json::Value::Object(more)) = (job.as_object_mut(), more) {
        job.extend(more);
    }
    let output = programs::run_with_input(command, &job.to_string());
    let stdout = String::from_utf8_lossy(&output.stdout);
    let outcomes: Vec<Outcome> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let mut failures = Vec::new();
    for outcome in &outcomes {
        if let Some(note) = &outcome.note {
            println!("{}: {note}", outcome.scenario);
        }
        if let Some(error) = &outcome.error {
            let Outcome {
                scenario, version, ..
            } = outcome;
            failures.push(format!("{scenario}, MQTT {version}: {error}"));
        }
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the script failed: {stderr}");
    assert!(failures.is_empty(), "{}\n{stderr}", failures.join("\n"));
    let names: BTreeSet<_> = outcomes.iter().map(|outcome| &outcome.scenario).collect();
    assert!(names.len() >= scenarios_min, "only these have run: {names:?}");
    write_matrix(listener, &outcomes);
}

/// Leaves one line per scenario for whoever wants the table: `CS_TEST_MATRIX=file`.
fn write_matrix(listener: Listener, outcomes: &[Outcome]) {
    use std::io::Write as _;
    let Some(file) = std::env::var_os("CS_TEST_MATRIX") else {
        return;
    };
    let mut table = fs::File::options()
        .append(true)
        .create(true)
        .open(file)
        .expect("the table can be opened");
    for Outcome {
        scenario, version, ..
    } in outcomes
    {
        writeln!(table, "{} {version} {scenario}", listener.scheme()).expect("the table takes lines");
    }
}

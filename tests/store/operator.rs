//! `cloudsignal` as an operator runs it, with its exit code.

use std::path::Path;
use std::process::{Command, Output};

use cloudsignal_tests::programs;
use serde_json::Value;

/// Runs it for a data folder.
pub(crate) fn run(data_dir: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(programs::broker());
    command
        .args(words)
        .env_remove("CLOUDSIGNAL_ORG")
        .env("CLOUDSIGNAL_DATA_DIR", data_dir);
    command.output().expect("the program starts")
}

/// Runs it, and reads what it prints.
pub(crate) fn json(data_dir: &Path, words: &[&str]) -> Value {
    let output = succeed(data_dir, &[words, &["--json"]].concat());
    serde_json::from_str(&output)
        .unwrap_or_else(|error| panic!("{words:?} prints no JSON ({error}): {output}"))
}

/// Runs it, and reads what it prints line by line.
pub(crate) fn lines(data_dir: &Path, words: &[&str]) -> Vec<Value> {
    let output = succeed(data_dir, &[words, &["--json"]].concat());
    output
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// Runs it, and answers what it printed.
pub(crate) fn succeed(data_dir: &Path, words: &[&str]) -> String {
    let output = run(data_dir, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs it, and answers what it complained about.
pub(crate) fn fail(data_dir: &Path, words: &[&str], exit: i32) -> String {
    let output = run(data_dir, words);
    assert_eq!(output.status.code(), Some(exit), "{words:?}: {output:?}");
    String::from_utf8(output.stderr).expect("text")
}

/// `serve`, where it is not to start.
pub(crate) const SERVE: [&str; 8] = [
    "serve",
    "--listen-mqtt=127.0.0.1:0",
    "--listen-mqtts=off",
    "--listen-wss=off",
    "--listen-http=off",
    "--listen-https=off",
    "--listen-metrics=off",
    "--listen-ws=off",
];

//! One run of one broker in one row.

use core::fmt;
use std::process::{Command, Output};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::contestant::{Contestant, Running};
use super::figures::shown;
use super::options::Options;
use super::rows::{Probe, Row};
use super::stage::{Role, Stage};
use super::strace::Count;

/// Seconds that a run may take beyond what it measures: connecting, filling, emptying.
const SLACK_SECS: u32 = 300;

/// What a run gave.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// In the order of the row's metrics; `None` for what the result does not hold.
    pub(super) values: Vec<Option<f64>>,
    /// What was wrong with it.
    pub(super) fault: Option<String>,
    row: &'static Row,
}

impl Trial {
    /// Starts the broker, loads it, and ends it.
    pub(super) fn run(
        row: &'static Row,
        contestant: &Contestant,
        options: &Options,
        stage: &Stage,
    ) -> Result<Self> {
        let running = contestant.start(row, stage)?;
        let mut command = generator(row, &running, options, stage);
        let (output, calls) = match row.probe {
            Probe::Nothing => (run(&mut command)?, None),
            Probe::SystemCalls => {
                let count = Count::begin(running.process_id(), stage.folder().join("strace"))?;
                (run(&mut command)?, Some(count.end()?))
            }
        };
        Ok(Self::read(row, &output, calls))
    }

    /// A faultless one with one figure.
    #[cfg(test)]
    pub(super) fn of_test(row: &'static Row, value: f64) -> Self {
        Self {
            values: vec![Some(value)],
            fault: None,
            row,
        }
    }

    fn read(row: &'static Row, output: &Output, calls: Option<u64>) -> Self {
        let said = String::from_utf8_lossy(&output.stderr);
        let wrong = said
            .lines()
            .last()
            .unwrap_or("it ended without a word")
            .to_owned();
        let parsed = serde_json::from_slice(&output.stdout);
        let Ok(mut result) = parsed.map_err(drop) else {
            return Self {
                values: row.metrics.iter().map(|_| None).collect(),
                fault: Some(wrong),
                row,
            };
        };
        add_calls(&mut result, calls);
        let value = |pointer: &str| result.pointer(pointer).and_then(Value::as_f64);
        Self {
            values: row.metrics.iter().map(|metric| value(metric.pointer)).collect(),
            fault: (!output.status.success()).then_some(wrong),
            row,
        }
    }
}

/// The line that `cloudsignal bench` gets.
fn generator(row: &Row, running: &Running<'_>, options: &Options, stage: &Stage) -> Command {
    let mut command = stage.command(Role::Generator, row.scheduling, "timeout".as_ref());
    let secs_max = SLACK_SECS + options.seconds;
    command
        .arg(secs_max.to_string())
        .arg(&stage.generator)
        .arg("bench");
    command.args(row.scenario).args(running.reached_by(row.transport));
    command.arg(format!("--seconds={}", options.seconds));
    if row.probe == Probe::SystemCalls {
        command.arg("--warm-up=0"); // What is not measured would be counted.
    }
    let process = running.process_id();
    command.arg(format!("--pid={process}")).arg("--json");
    command
}

fn run(command: &mut Command) -> Result<Output> {
    command
        .output()
        .with_context(|| format!("cannot start {command:?}"))
}

/// Puts the system calls of each message beside the rest.
fn add_calls(result: &mut Value, calls: Option<u64>) {
    let messages = result["messages"].as_f64().filter(|messages| *messages > 0.0);
    if let (Some(calls), Some(messages)) = (calls, messages) {
        result["system_calls_per_message"] = json!(calls as f64 / messages);
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown_values = self
            .row
            .metrics
            .iter()
            .zip(&self.values)
            .filter_map(|(metric, value)| {
                let value = shown((*value)?);
                Some(format!("{} {value}", metric.heading))
            });
        f.write_str(&shown_values.collect::<Vec<_>>().join(", "))?;
        self.fault
            .as_ref()
            .map_or(Ok(()), |fault| write!(f, "  [{fault}]"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;
    use crate::bench::rows;

    fn read(name: &str, code: i32, stdout: &str, calls: Option<u64>) -> Trial {
        let row = rows::chosen(&[name.to_owned()]).unwrap()[0];
        let output = Output {
            status: ExitStatus::from_raw(code << 8),
            stdout: stdout.into(),
            stderr: b"error: 3 messages were lost\n".to_vec(),
        };
        Trial::read(row, &output, calls)
    }

    #[test]
    fn figures_are_taken_from_the_result() {
        let json = r#"{"per_second": 2e6, "messages": 10, "broker": {"cpu_seconds_per_million": 0.5, "core_percent": 99}}"#;
        let trial = read("pairs-0", 0, json, None);
        assert_eq!(trial.values, [Some(0.5), Some(2e6), Some(99.0), None]);
        assert_eq!(trial.fault, None);
        assert_eq!(read("calls-0", 0, json, Some(50)).values, [Some(5.0)]);
    }

    #[test]
    fn a_run_with_faults_says_so_and_keeps_its_figures() {
        let trial = read("pairs-0", 1, r#"{"per_second": 7}"#, None);
        assert_eq!(trial.fault.as_deref(), Some("error: 3 messages were lost"));
        assert_eq!(trial.values[1], Some(7.0));
        let trial = read("pairs-0", 1, "", None);
        assert!(trial.fault.is_some() && trial.values.iter().all(Option::is_none));
    }
}

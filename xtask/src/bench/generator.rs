//! One run of `cloudsignal bench`: what it is told, and what it answers.

use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::contestant::Running;
use super::options::Options;
use super::ours::Org;
use super::row::{Length, Method, Noise, Row};
use super::stage::{Role, Stage};

/// Seconds that a run may take beyond what it measures: connecting, filling, emptying.
const SLACK_SECS: u32 = 300;

/// What a run of the generator has said.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    /// `None` if it ended without a result.
    pub(super) result: Option<Value>,
    /// What was wrong.
    pub(super) fault: Option<String>,
}

impl Answer {
    /// Reads what came out of it.
    pub(super) fn read(output: &Output) -> Self {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or("it ended without a word");
        let result = serde_json::from_slice(&output.stdout).ok();
        let is_faultless = output.status.success() && result.is_some();
        Self {
            result,
            fault: (!is_faultless).then(|| last.to_owned()),
        }
    }

    /// A figure of the result, by its JSON pointer.
    pub(super) fn figure(&self, pointer: &str) -> Option<f64> {
        self.result.as_ref()?.pointer(pointer)?.as_f64()
    }

    /// Puts something beside the rest of the result.
    pub(super) fn put(&mut self, name: &str, value: Value) {
        if let Some(result) = &mut self.result {
            result[name] = value;
        }
    }

    /// Takes over a fault, unless there is one already.
    pub(super) fn blame(&mut self, fault: Option<String>) {
        self.fault = self.fault.take().or(fault);
    }
}

/// Loads one broker in one row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Generator<'a> {
    pub(super) row: &'a Row,
    pub(super) running: &'a Running<'a>,
    pub(super) options: &'a Options,
    pub(super) stage: &'a Stage,
}

impl Generator<'_> {
    /// Makes this load, the row's own or another one in its way, and awaits the answer.
    pub(super) fn load(&self, scenario: &[&str]) -> Result<Answer> {
        let mut command = self.command(Role::Generator, Org::First, scenario, self.options.seconds);
        if self.row.method == Method::SystemCalls {
            command.arg("--warm-up=0"); // What is not measured would be counted.
        }
        let output = command.output();
        let output = output.with_context(|| format!("cannot start {command:?}"))?;
        Ok(Answer::read(&output))
    }

    /// Starts what another organization does meanwhile, for so many seconds.
    pub(super) fn start_noise(&self, noise: &Noise, secs: u32) -> Result<Child> {
        let mut command = self.command(Role::Noise, noise.org, noise.scenario, secs);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn();
        child.with_context(|| format!("cannot start {command:?}"))
    }

    fn command(&self, role: Role, org: Org, scenario: &[&str], secs: u32) -> Command {
        let Self {
            row, running, stage, ..
        } = self;
        let mut command = stage.command(role, row.scheduling, "timeout".as_ref());
        let secs_max = SLACK_SECS + secs;
        command.arg(secs_max.to_string()).arg(&stage.generator);
        command.arg("bench").args(scenario);
        command.args(running.reached_by(row.transport, org));
        command.args((1..=row.sources).map(|number| format!("--from=127.0.0.{number}")));
        if row.length == Length::Seconds {
            command.arg(format!("--seconds={secs}"));
        }
        let process = running.process_id();
        command.arg(format!("--pid={process}")).arg("--json");
        command
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use serde_json::json;

    use super::*;

    fn answer(code: i32, stdout: &str) -> Answer {
        Answer::read(&Output {
            status: ExitStatus::from_raw(code << 8),
            stdout: stdout.into(),
            stderr: b"error: 3 messages were lost\n".to_vec(),
        })
    }

    #[test]
    fn a_result_is_read_and_added_to() {
        let mut whole = answer(0, r#"{"per_second": 2e6, "broker": {"core_percent": 99}}"#);
        assert_eq!(whole.fault, None);
        assert_eq!(whole.figure("/broker/core_percent"), Some(99.0));
        assert_eq!(whole.figure("/broker/cpu_seconds"), None);
        whole.put("more", json!({ "p99": 7 }));
        assert_eq!(whole.figure("/more/p99"), Some(7.0));
    }

    #[test]
    fn a_run_with_faults_says_so_and_keeps_its_figures() {
        let mut faulty = answer(1, r#"{"per_second": 7}"#);
        assert_eq!(faulty.fault.as_deref(), Some("error: 3 messages were lost"));
        assert_eq!(faulty.figure("/per_second"), Some(7.0));
        faulty.blame(Some("another".to_owned()));
        assert_eq!(faulty.fault.as_deref(), Some("error: 3 messages were lost"));
        for (code, stdout) in [(1, ""), (0, "")] {
            let mut silent = answer(code, stdout);
            assert!(silent.fault.is_some(), "without a result nothing was measured");
            silent.put("more", json!(1));
            assert_eq!(silent.figure("/more"), None);
        }
    }
}

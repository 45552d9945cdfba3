//! System calls of a process, counted while a load runs.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

use super::stage::await_that;
use crate::workspace::output_of;

/// A count that runs.
#[derive(Debug)]
pub(super) struct Count {
    tracer: Child,
    summary: PathBuf,
}

impl Count {
    /// Begins to count the calls of all threads of `process`.
    pub(super) fn begin(process: u32, summary: PathBuf) -> Result<Self> {
        let mut command = Command::new("strace");
        command
            .args(["-f", "-c", "-p", &process.to_string(), "-o"])
            .arg(&summary);
        let tracer = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let tracer = tracer.spawn().context("cannot start strace")?;
        await_that("strace to be there", || Ok(is_traced(process).then_some(())))?;
        Ok(Self { tracer, summary })
    }

    /// Ends it and tells how many there were.
    pub(super) fn end(mut self) -> Result<u64> {
        // SIGINT: it lets the process go on and writes what it has counted.
        let pid = self.tracer.id().to_string();
        output_of(Command::new("kill").args(["-INT", &pid])).context("cannot end strace")?;
        self.tracer.wait().context("strace does not end")?;
        let text = fs::read_to_string(&self.summary).context("strace has written nothing")?;
        calls(&text).context("strace has written something else than a summary")
    }
}

fn is_traced(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

/// The sum of the column `calls`: `% time, seconds, usecs/call, calls, errors, syscall`, errors only where there are any.
fn calls(summary: &str) -> Option<u64> {
    let mut sum = None;
    for line in summary.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let is_total = words.last() == Some(&"total");
        let count = words.get(3).and_then(|word| word.parse::<u64>().ok());
        if let (Some(count), 5 | 6, false) = (count, words.len(), is_total) {
            sum = Some(sum.unwrap_or(0) + count);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_of_a_summary_are_added_up() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.00    0.001000           2       400           sendto
 39.00    0.000500           1       350        10 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.001500           2       750        10 total
";
        assert_eq!(calls(summary), Some(750));
        assert_eq!(calls("strace: attach: no such process\n"), None);
    }
}

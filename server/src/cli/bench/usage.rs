//! What the system knows about a process: CPU time and memory.

use std::fs;

use anyhow::{Context as _, Result};
use serde::Serialize;

/// Clock ticks per second in `/proc/PID/stat`: fixed on Linux.
const TICKS_PER_SEC: f64 = 100.0;

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// User and system, of all its threads.
    pub(super) cpu_secs: f64,
    pub(super) resident_bytes: u64,
}

/// What a process used between two moments.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Spent {
    pub(super) cpu_seconds: f64,
    /// For a million of what was done meanwhile; absent when that was nothing.
    pub(super) cpu_seconds_per_million: Option<f64>,
    /// 100 is one core.
    pub(super) core_percent: f64,
}

/// What the generator itself used.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Generator {
    #[serde(flatten)]
    pub(super) spent: Spent,
    /// Whether it was so busy that the broker may be faster than this.
    pub(super) is_bound: bool,
}

/// From this share of its cores on, in percent, the generator may be what bounds the result.
const BUSY_PERCENT: f64 = 95.0;

impl Spent {
    /// From what was used before and after a time in which so much was done.
    pub(super) fn between(before: Usage, after: Usage, seconds: f64, count: u64) -> Self {
        let used = after.cpu_secs - before.cpu_secs;
        Self {
            cpu_seconds: rounded(used),
            cpu_seconds_per_million: (count > 0).then(|| rounded(used * 1e6 / count as f64)),
            core_percent: rounded(100.0 * used / seconds),
        }
    }
}

impl Generator {
    /// The same, on so many threads.
    pub(super) fn between(before: Usage, after: Usage, seconds: f64, count: u64, threads: usize) -> Self {
        let spent = Spent::between(before, after, seconds, count);
        Self {
            spent,
            is_bound: spent.core_percent >= BUSY_PERCENT * threads as f64,
        }
    }
}

/// Three digits after the point: more than any of it is exact to.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

impl Usage {
    /// Of the process with this number.
    pub(super) fn of(pid: u32) -> Result<Self> {
        Self::read(&pid.to_string()).with_context(|| {
            format!("--pid {pid} is no process of this machine, or the machine is not Linux")
        })
    }

    /// Of this process, where the system tells it.
    pub(super) fn own() -> Option<Self> {
        Self::read("self").ok()
    }

    fn read(process: &str) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{process}/{file}");
            fs::read_to_string(&path).context(path)
        };
        Ok(Self {
            cpu_secs: cpu_secs(&read("stat")?).context("its stat has an unknown form")?,
            resident_bytes: resident_bytes(&read("status")?).context("its status has an unknown form")?,
        })
    }
}

/// The 14th and 15th field; the second one is a name in parentheses that may hold anything.
fn cpu_secs(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    Some((ticks.next()?.ok()? + ticks.next()?.ok()?) as f64 / TICKS_PER_SEC)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_found_behind_a_strange_name() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(cpu_secs(stat), Some(2.0));
        assert_eq!(cpu_secs("42 (a) S 1"), None);
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    12 kB\n"), Some(12 * 1_024));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
    }

    #[test]
    fn what_was_spent_is_told_for_a_million_and_as_a_share_of_a_core() {
        let at = |cpu_secs| Usage {
            cpu_secs,
            resident_bytes: 0,
        };
        let generator = Generator::between(at(1.0), at(2.9), 2.0, 500_000, 1);
        assert_eq!(generator.spent.cpu_seconds_per_million, Some(3.8));
        assert_eq!(generator.spent.core_percent, 95.0);
        assert!(generator.is_bound);
        let idle = Generator::between(at(1.0), at(2.9), 2.0, 0, 2);
        assert_eq!((idle.spent.cpu_seconds_per_million, idle.is_bound), (None, false));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory_and_an_impossible_one_has_not() {
        assert!(Usage::own().is_some_and(|usage| usage.resident_bytes > 0));
        let error = Usage::of(u32::MAX).unwrap_err();
        assert!(format!("{error:#}").contains("--pid 4294967295"), "{error:#}");
    }
}

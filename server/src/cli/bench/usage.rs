//! What the system knows about a process: CPU time and memory.

use std::fs;

use anyhow::{Context as _, Result};

/// Clock ticks per second in `/proc/PID/stat`: fixed on Linux.
const TICKS_PER_SEC: f64 = 100.0;

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// User and system, of all its threads.
    pub(super) cpu_secs: f64,
    pub(super) resident_bytes: u64,
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
    #[cfg(target_os = "linux")]
    fn this_process_has_memory_and_an_impossible_one_has_not() {
        assert!(Usage::own().is_some_and(|usage| usage.resident_bytes > 0));
        let error = Usage::of(u32::MAX).unwrap_err();
        assert!(format!("{error:#}").contains("--pid 4294967295"), "{error:#}");
    }
}

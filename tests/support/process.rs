//! What the system knows about the broker's process.

use std::fs;

use anyhow::{Context, Result};

/// Clock ticks per second in `/proc/PID/stat`: fixed on Linux.
const TICKS_PER_SEC: f64 = 100.0;

/// CPU seconds, user and system, that the process has used.
///
/// # Errors
/// When there is no such process.
pub fn cpu_secs(pid: u32) -> Result<f64> {
    let stat =
        fs::read_to_string(format!("/proc/{pid}/stat")).context("is --pid the broker's process id?")?;
    let (_, fields) = stat
        .rsplit_once(')')
        .context("/proc/PID/stat has an unknown form")?;
    let ticks = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<u64>)
        .sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / TICKS_PER_SEC)
}

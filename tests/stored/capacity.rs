//! The highest rate that is kept on a schedule.
//!
//! A window that is always full is the best case: messages gather while they wait, and are read, stored and
//! acknowledged many at a time. On a schedule they come one by one and cost more, so a share of the rate of full
//! windows may be more than a broker and its publishers can do at all.

use std::time::Duration;

use anyhow::Result;

use crate::plan::{Level, Plan};
use crate::publisher::Pace;
use crate::{leave_sessions, publish, start};

/// A rate is kept if this share of the messages is acknowledged within [`KEPT_WITHIN`].
const KEPT_SHARE: f64 = 0.9;
/// Counted from the time at which a message is due.
const KEPT_WITHIN: Duration = Duration::from_millis(50);
/// How long a rate is tried.
const TRIAL: Duration = Duration::from_secs(3);
/// The next rate that is tried, as a share of the last.
const STEP: f64 = 0.85;
/// How many rates are tried.
const TRIALS_MAX: u32 = 16;

/// Looks for it from `rate` downwards, messages per second; each trial has a broker of its own.
pub(crate) async fn find(plan: &Plan, level: Level, publishers: usize, mut rate: f64) -> Result<f64> {
    for _ in 1..TRIALS_MAX {
        if is_kept(plan, level, publishers, rate).await? {
            break;
        }
        rate *= STEP;
    }
    Ok(rate)
}

async fn is_kept(plan: &Plan, level: Level, publishers: usize, rate: f64) -> Result<bool> {
    let broker = start(level);
    let address = leave_sessions(&broker).await?;
    let mut done = publish(plan, &address, publishers, Pace::PerSecond(rate), TRIAL).await?;
    Ok(u128::from(done.latencies.micros_at(KEPT_SHARE)) <= KEPT_WITHIN.as_micros())
}

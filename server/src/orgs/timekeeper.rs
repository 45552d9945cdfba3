//! One task that tells every organization when its time has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use cloudsignal_core::Instant;

use crate::clock::Clock;
use crate::orgs::Orgs;
use crate::orgs::cell::Handover;

/// How exact time-outs are. Deadlines within one step are served together.
const STEP: Duration = Duration::from_millis(20);

/// When the timekeeper must look next.
#[derive(Debug)]
pub(crate) struct Alarm {
    due_micros: AtomicU64,
    earlier: Notify,
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            due_micros: AtomicU64::new(u64::MAX),
            earlier: Notify::new(),
        }
    }
}

impl Alarm {
    /// Somebody wants to be called at `due`.
    pub(crate) fn set(&self, due: Instant) {
        let due = due.as_micros();
        if self.due_micros.fetch_min(due, Ordering::Relaxed) > due {
            self.earlier.notify_one();
        }
    }

    /// Waits until something is due, at most one step too late.
    async fn wait(&self, clock: &Clock) {
        loop {
            let earlier = self.earlier.notified();
            let due = Instant::from_micros(self.due_micros.load(Ordering::Relaxed));
            let now = clock.now();
            if due <= now {
                return;
            }
            // Never shorter than a step: an organization whose deadlines follow each other closely is served
            // for all of them at once.
            let wait = due.since(now).max(STEP);
            tokio::select! {
                () = earlier => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// Runs until it is dropped.
pub(crate) async fn run(orgs: Arc<Orgs>, clock: Clock) {
    let alarm = orgs.alarm();
    loop {
        alarm.wait(&clock).await;
        alarm.due_micros.store(u64::MAX, Ordering::Relaxed);
        serve_due(&orgs, clock.now());
        tokio::task::yield_now().await;
    }
}

/// Serves every time-out that is due, and sets the alarm for the next one.
pub(crate) fn serve_due(orgs: &Orgs, now: Instant) {
    let alarm = orgs.alarm();
    for cell in orgs.cells() {
        if cell.due() <= now {
            cell.hold(now, None, |org, effects| {
                org.handle_timeout(now, effects);
                ((), Handover::Fair)
            });
        }
        alarm
            .due_micros
            .fetch_min(cell.due().as_micros(), Ordering::Relaxed);
    }
}

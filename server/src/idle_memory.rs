//! Memory that connections leave behind goes back to the system.
//!
//! The allocator keeps what was freed of a thread's memory until that thread comes by. A worker thread without work does
//! not: so each comes by before it sleeps, at most once every [`EVERY`], and all of them are woken while there may be
//! something to find.

use std::cell::Cell;

use cloudsignal_core::{Duration, Instant};
use tokio::runtime::{Builder, Handle};
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::Clock;

/// Between two looks of one thread.
const EVERY: Duration = Duration::from_secs(1);
/// Looks after the last connection that has ended: one finds what it left, one gives it to the system, and one is spare.
const LOOKS: u32 = 3;

thread_local! {
    static LOOKED_AT: Cell<Instant> = const { Cell::new(Instant::ZERO) };
}

/// Makes every worker thread `look` before it sleeps.
pub(crate) fn look_before_sleep(builder: &mut Builder, look: impl Fn() + Send + Sync + 'static) {
    let clock = Clock::system();
    builder.on_thread_park(move || {
        let now = clock.now();
        let is_due = LOOKED_AT
            .get()
            .after(Duration::from_micros(EVERY.as_micros() as u64))
            <= now;
        if is_due {
            LOOKED_AT.set(now);
            look();
        }
    });
}

/// Wakes the worker threads while tasks end, and a little longer. Never returns.
pub(crate) async fn wake_workers() {
    let metrics = Handle::current().metrics();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut looks, mut tasks_before) = (LOOKS, 0);
    loop {
        ticks.tick().await;
        let tasks = metrics.num_alive_tasks();
        if tasks < tasks_before {
            looks = LOOKS;
        }
        tasks_before = tasks;
        if looks > 0 {
            looks -= 1;
            // Work for every thread, so that every one is woken for it.
            for _ in 0..metrics.num_workers() {
                tokio::spawn(tokio::task::yield_now());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::mpsc;
    use std::thread::{self, ThreadId};

    use super::*;

    #[test]
    fn every_worker_looks_and_looks_again_without_any_work() {
        let (noted, looked) = mpsc::channel();
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2).enable_all();
        look_before_sleep(&mut builder, move || {
            let _ = noted.send(thread::current().id());
        });
        let runtime = builder.build().unwrap();
        runtime.spawn(wake_workers());

        let mut looks: HashMap<ThreadId, u32> = HashMap::new();
        while looks.len() < 2 || looks.values().any(|looks| *looks < 2) {
            let thread = looked
                .recv_timeout(Duration::from_secs(60))
                .expect("every worker looks");
            *looks.entry(thread).or_default() += 1;
        }
    }
}

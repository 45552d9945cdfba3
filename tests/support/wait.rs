//! Awaiting a condition. Nothing is decided by time, except that what never comes is a failure.

use std::thread;
use std::time::{Duration, Instant};

/// Far more than anything awaited here takes, even on a busy machine with an unoptimized broker.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none after [`DEADLINE`]; `what` names it.
pub fn until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Deadline::start();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(!deadline.is_over(), "not within {DEADLINE:?}: {what}");
        pause();
    }
}

/// A moment that is [`DEADLINE`] away.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    started: Instant,
}

impl Deadline {
    /// Starts to count now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "tests of processes wait in real time")]
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// How long it has counted.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether the wait has become a failure.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.elapsed() > DEADLINE
    }
}

fn pause() {
    // sleep: the pause between two looks at a condition
    thread::sleep(Duration::from_millis(10));
}

//! The only file that reads the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time;

use cloudsignal_core::Instant;

/// Farther away than any process lives; the timer takes no more.
const FAR: Duration = Duration::from_secs(365 * 86_400);

/// The runtime's clock, as the machine sees it: microseconds since the client was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            origin: time::Instant::now(),
        }
    }

    pub(crate) fn now(self) -> Instant {
        Instant::ZERO.after(self.origin.elapsed())
    }

    /// The same moment on the runtime's clock.
    pub(crate) fn moment(self, instant: Instant) -> time::Instant {
        self.origin + instant.since(Instant::ZERO).min(FAR)
    }

    /// Microseconds since 1970.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the wall clock is read"
    )]
    pub(crate) fn unix_micros() -> u64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX)
    }
}

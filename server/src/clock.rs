//! The only file that reads the time.
//!
//! Two clocks: the monotonic one ([`Instant`], microseconds since this clock was made) drives every
//! time-out; the wall clock ([`WallTime`]) is for what outlives the process or is shown to people.
//! A [`Clock`] can be driven by hand, so tests never wait.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use cloudsignal_core::Instant;

const MICROS_PER_SEC: u64 = 1_000_000;
/// The last moment that RFC 3339 can write: 9999-12-31T23:59:59.999999Z.
const WALL_MICROS_MAX: u64 = 253_402_300_799_999_999;

/// A moment of the wall clock: microseconds since 1970-01-01T00:00:00Z, at most the year 9999.
///
/// Serialized as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct WallTime(u64);

impl WallTime {
    /// 1970-01-01T00:00:00Z.
    pub const ZERO: Self = Self(0);
    /// The end of the year 9999.
    pub const MAX: Self = Self(WALL_MICROS_MAX);

    /// The moment `micros` microseconds after 1970; the end of the year 9999 when that is later.
    #[must_use]
    pub const fn from_unix_micros(micros: u64) -> Self {
        Self(if micros > WALL_MICROS_MAX {
            WALL_MICROS_MAX
        } else {
            micros
        })
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn unix_micros(self) -> u64 {
        self.0
    }

    /// The moment `after` later.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        Self::from_unix_micros(self.0.saturating_add(micros))
    }

    /// The moment `before` earlier, 1970 at the earliest.
    #[must_use]
    pub fn before(self, before: Duration) -> Self {
        let micros = u64::try_from(before.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The same moment without its fraction of a second: what interfaces show.
    #[must_use]
    pub const fn whole_secs(self) -> Self {
        Self(self.0 - self.0 % MICROS_PER_SEC)
    }

    /// `2026-11-22T22:15:00Z`, with a fraction only if there is one.
    #[must_use]
    pub fn rfc3339(self) -> String {
        self.date_time()
            .format(&Rfc3339)
            .expect("invariant: years 1970 to 9999 can be written")
    }

    /// Reads RFC 3339 text; `None` if it is not that, or lies before 1970.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
        u64::try_from(nanos / 1_000).ok().map(Self::from_unix_micros)
    }

    /// The same moment for libraries that speak `time`.
    #[must_use]
    pub fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .expect("invariant: at most the year 9999")
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rfc3339())
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_rfc3339(&text).ok_or_else(|| serde::de::Error::custom("not a time in RFC 3339 form"))
    }
}

/// Where the time comes from. Cheap to clone; clones show the same time.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

/// What the monotonic clock of the machine shows when it begins, in microseconds.
const PAST_MICROS: u64 = 11 * 365 * 86_400 * 1_000_000;

enum Source {
    System {
        origin: std::time::Instant,
    },
    Manual {
        monotonic_micros: AtomicU64,
        wall_micros: AtomicU64,
    },
}

impl Clock {
    /// The machine's clocks. [`Instant::ZERO`] is about eleven years ago: so old can be what was stored.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the monotonic clock is read"
    )]
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Source::System {
            origin: std::time::Instant::now(),
        }))
    }

    /// A clock that moves only by [`Clock::advance`]. It starts at [`Instant::ZERO`] and `wall`.
    #[must_use]
    pub fn manual(wall: WallTime) -> Self {
        Self(Arc::new(Source::Manual {
            monotonic_micros: AtomicU64::new(0),
            wall_micros: AtomicU64::new(wall.unix_micros()),
        }))
    }

    /// The monotonic time.
    #[must_use]
    pub fn now(&self) -> Instant {
        match &*self.0 {
            Source::System { origin } => {
                let elapsed = u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX);
                Instant::from_micros(elapsed.saturating_add(PAST_MICROS))
            }
            Source::Manual { monotonic_micros, .. } => {
                Instant::from_micros(monotonic_micros.load(Ordering::SeqCst))
            }
        }
    }

    /// The date and time. May jump, in both directions, when an operator sets the clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the wall clock is read"
    )]
    #[must_use]
    pub fn wall(&self) -> WallTime {
        match &*self.0 {
            Source::System { .. } => {
                let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                WallTime::ZERO.after(since_1970)
            }
            Source::Manual { wall_micros, .. } => {
                WallTime::from_unix_micros(wall_micros.load(Ordering::SeqCst))
            }
        }
    }

    /// When the monotonic clock will show the moment that the wall clock calls `wall`, as things
    /// stand now. A moment in the past is now.
    #[must_use]
    pub fn instant_of(&self, wall: WallTime) -> Instant {
        self.now().after(wall.since(self.wall()))
    }

    /// When the monotonic clock showed, or will show, the moment that the wall clock calls `wall`, as things stand
    /// now. Moments long before the process began are all its first one.
    #[must_use]
    pub fn moment_of(&self, wall: WallTime) -> Instant {
        let (now, wall_now) = (self.now(), self.wall());
        if wall >= wall_now {
            return self.instant_of(wall);
        }
        let ago = u64::try_from(wall_now.since(wall).as_micros()).unwrap_or(u64::MAX);
        Instant::from_micros(now.as_micros().saturating_sub(ago))
    }

    /// What the wall clock will show, or showed, at `instant`, as things stand now.
    #[must_use]
    pub fn wall_of(&self, instant: Instant) -> WallTime {
        let (now, wall) = (self.now(), self.wall());
        if instant >= now {
            wall.after(instant.since(now))
        } else {
            wall.before(now.since(instant))
        }
    }

    /// Moves both times of a manual clock forward. The system's clock is not ours to move: no effect.
    pub fn advance(&self, by: Duration) {
        match &*self.0 {
            Source::System { .. } => {}
            Source::Manual {
                monotonic_micros,
                wall_micros,
            } => {
                let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
                monotonic_micros.fetch_add(micros, Ordering::SeqCst);
                wall_micros.fetch_add(micros, Ordering::SeqCst);
            }
        }
    }

    /// Sets the wall time of a manual clock, as an operator would, and leaves the monotonic time.
    pub fn set_wall(&self, wall: WallTime) {
        match &*self.0 {
            Source::System { .. } => {}
            Source::Manual { wall_micros, .. } => wall_micros.store(wall.unix_micros(), Ordering::SeqCst),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Source::System { .. } => f.write_str("Clock(system)"),
            Source::Manual { .. } => write!(f, "Clock(manual, {})", self.wall()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> WallTime {
        WallTime::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn wall_time_reads_and_writes_rfc_3339() {
        let moment = at("2026-11-22T23:15:00+01:00");
        assert_eq!(moment.rfc3339(), "2026-11-22T22:15:00Z");
        assert_eq!(
            moment.after(Duration::from_micros(1)).rfc3339(),
            "2026-11-22T22:15:00.000001Z"
        );
        assert_eq!(
            moment.after(Duration::from_millis(1500)).whole_secs().rfc3339(),
            "2026-11-22T22:15:01Z"
        );
        assert_eq!(
            serde_json::to_string(&moment).unwrap(),
            "\"2026-11-22T22:15:00Z\""
        );
        assert_eq!(
            serde_json::from_str::<WallTime>("\"2026-11-22T22:15:00Z\"").unwrap(),
            moment
        );
    }

    #[test]
    fn what_is_not_a_moment_after_1970_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-11-22",
            "1969-12-31T23:59:59Z",
            "2026-13-01T00:00:00Z",
        ] {
            assert_eq!(WallTime::parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn arithmetic_stays_within_what_can_be_written() {
        let last = WallTime::from_unix_micros(u64::MAX);
        assert_eq!(last.rfc3339(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(last.after(Duration::MAX), last);
        assert_eq!(WallTime::ZERO.before(Duration::MAX), WallTime::ZERO);
        assert_eq!(WallTime::ZERO.since(last), Duration::ZERO);
    }

    #[test]
    fn a_manual_clock_converts_between_its_two_times() {
        let clock = Clock::manual(at("2026-01-01T00:00:00Z"));
        clock.advance(Duration::from_secs(10));
        let deadline = clock.wall().after(Duration::from_secs(60));
        assert_eq!(clock.instant_of(deadline), clock.now().after_secs(60));
        assert_eq!(clock.instant_of(WallTime::ZERO), clock.now());
        assert_eq!(clock.wall_of(clock.now().after_secs(60)), deadline);
        assert_eq!(clock.wall_of(Instant::ZERO).rfc3339(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn a_jump_of_the_wall_clock_leaves_the_monotonic_time() {
        let clock = Clock::manual(at("2026-01-01T00:00:00Z"));
        clock.advance(Duration::from_secs(5));
        clock.set_wall(at("2020-01-01T00:00:00Z"));
        assert_eq!(clock.now(), Instant::from_micros(5_000_000));
        assert_eq!(clock.wall().rfc3339(), "2020-01-01T00:00:00Z");
    }

    #[test]
    fn the_system_clock_never_runs_backwards() {
        let clock = Clock::system();
        let (first, second) = (clock.now(), clock.now());
        assert!(second >= first);
        assert!(clock.wall() > at("2024-01-01T00:00:00Z"));
        clock.advance(Duration::from_secs(1_000_000));
        assert!(clock.now() < first.after_secs(1_000));
    }
}

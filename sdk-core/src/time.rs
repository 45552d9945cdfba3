//! Time as the pure crates know it: a number that the caller passes in.

pub use core::time::Duration;

/// A moment on the caller's clock: microseconds since an origin that the caller chose.
///
/// The clock must never run backwards. It says nothing about the date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The caller's origin.
    pub const ZERO: Self = Self(0);
    /// Later than every moment a clock will show.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment `micros` microseconds after the origin.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The moment `after` later; [`Instant::MAX`] when that does not fit.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// The moment `secs` seconds later; [`Instant::MAX`] when that does not fit.
    #[must_use]
    pub const fn after_secs(self, secs: u32) -> Self {
        Self(self.0.saturating_add(secs as u64 * 1_000_000))
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Instant::MAX.after(Duration::from_secs(1)), Instant::MAX);
        assert_eq!(Instant::ZERO.since(Instant::from_micros(5)), Duration::ZERO);
        assert_eq!(Instant::ZERO.after_secs(2), Instant::from_micros(2_000_000));
    }
}

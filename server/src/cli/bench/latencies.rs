//! How long messages were on their way, counted in bounded memory.

use core::time::Duration;

use hdrhistogram::Histogram;

/// Longer ones count as this long, in microseconds: ten minutes.
const MICROS_MAX: u64 = 600_000_000;

/// Digits of a latency that are kept: three, so a figure is off by 0.1 % at most.
const DIGITS: u8 = 3;

/// Latencies of one measurement.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    counts: Histogram<u64>,
    /// The last one, which often repeats, and how often it came. Not counted yet.
    last_micros: u64,
    times: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        let counts = Histogram::new_with_bounds(1, MICROS_MAX, DIGITS);
        Self {
            counts: counts.expect("invariant: the bounds are in order"),
            last_micros: 0,
            times: 0,
        }
    }
}

impl Latencies {
    /// One more.
    pub(super) fn note(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        if micros != self.last_micros {
            self.settle();
            self.last_micros = micros;
        }
        self.times += 1;
    }

    /// Those of another measurement too.
    pub(super) fn add(&mut self, mut other: Self) {
        other.settle();
        let added = self.counts.add(&other.counts);
        added.expect("invariant: both have the same bounds");
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.counts.reset();
        self.times = 0;
    }

    /// What a share of them, from 0 to 1, does not exceed, in microseconds; 0 if there are none.
    pub(super) fn micros_at(&mut self, share: f64) -> u64 {
        self.settle();
        self.counts.value_at_quantile(share).min(self.counts.max())
    }

    fn settle(&mut self) {
        self.counts.saturating_record_n(self.last_micros, self.times);
        self.times = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_found_within_their_precision() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.micros_at(0.5), 0);
        for micros in 1..=100_000 {
            latencies.note(Duration::from_micros(micros));
        }
        for (share, micros) in [(0.5, 50_000_u64), (0.99, 99_000), (0.999, 99_900), (1.0, 100_000)] {
            let found = latencies.micros_at(share);
            assert!(found.abs_diff(micros) <= micros / 1_000, "{share}: {found}");
        }
    }

    #[test]
    fn repeated_and_endless_ones_count_and_others_are_added() {
        let mut latencies = Latencies::default();
        for _ in 0..99 {
            latencies.note(Duration::from_micros(10));
        }
        let mut other = Latencies::default();
        other.note(Duration::from_secs(1_000_000));
        latencies.add(other);
        assert_eq!(latencies.micros_at(0.98), 10);
        let longest = latencies.micros_at(1.0);
        assert!(longest.abs_diff(MICROS_MAX) <= MICROS_MAX / 1_000, "{longest}");
        latencies.clear();
        assert_eq!(latencies.micros_at(1.0), 0);
    }
}

//! Latencies of one measurement, in bounded memory.

use std::time::Duration;

/// Latencies that one measurement keeps; when there are more, every second one is forgotten.
const LATENCIES_MAX: usize = 1 << 16;

/// Latencies, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    kept: Vec<u32>,
    /// Never forgotten.
    longest: u32,
}

impl Latencies {
    /// One more.
    pub fn note(&mut self, latency: Duration) {
        if self.kept.len() >= LATENCIES_MAX {
            let mut even = false;
            self.kept.retain(|_| {
                even = !even;
                even
            });
        }
        let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        self.kept.push(micros);
        self.longest = self.longest.max(micros);
    }

    /// Those of another measurement too.
    pub fn add(&mut self, other: &Self) {
        self.kept.extend(&other.kept);
        self.longest = self.longest.max(other.longest);
    }

    /// What a share of them, from 0 to 1, does not exceed, in microseconds; 0 if there are none.
    #[must_use]
    pub fn micros_at(&mut self, share: f64) -> u32 {
        self.kept.sort_unstable();
        let at = (self.kept.len() as f64 * share) as usize;
        self.kept.get(at).or(self.kept.last()).copied().unwrap_or(0)
    }

    /// The longest of all, in microseconds.
    #[must_use]
    pub const fn longest_micros(&self) -> u32 {
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_found_and_memory_is_bounded() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.micros_at(0.5), 0);
        for micros in 0..4 * LATENCIES_MAX as u64 {
            latencies.note(Duration::from_micros(micros % 100));
        }
        assert!(latencies.kept.len() <= LATENCIES_MAX);
        assert!((40..60).contains(&latencies.micros_at(0.5)));
        assert!(latencies.micros_at(1.0) >= 98);
        latencies.note(Duration::from_secs(1));
        for _ in 0..4 * LATENCIES_MAX {
            latencies.note(Duration::ZERO);
        }
        assert_eq!(latencies.longest_micros(), 1_000_000);
    }
}

//! Latencies of one measurement, in bounded memory.

use std::time::Duration;

/// Latencies that one measurement keeps; when there are more, every second one is forgotten.
const LATENCIES_MAX: usize = 1 << 16;

/// Latencies, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    /// One more.
    pub fn note(&mut self, latency: Duration) {
        if self.0.len() >= LATENCIES_MAX {
            let mut even = false;
            self.0.retain(|_| {
                even = !even;
                even
            });
        }
        self.0
            .push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// Those of another measurement too.
    pub fn add(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// What a share of them, from 0 to 1, does not exceed, in microseconds; 0 if there are none.
    #[must_use]
    pub fn micros_at(&mut self, share: f64) -> u32 {
        self.0.sort_unstable();
        let at = (self.0.len() as f64 * share) as usize;
        self.0.get(at).or(self.0.last()).copied().unwrap_or(0)
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
        assert!(latencies.0.len() <= LATENCIES_MAX);
        assert!((40..60).contains(&latencies.micros_at(0.5)));
        assert!(latencies.micros_at(1.0) >= 98);
    }
}

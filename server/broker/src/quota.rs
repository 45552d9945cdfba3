//! Token buckets: so much per second, with one second's worth in hand.

use cloudsignal_core::Instant;

const MICROS_PER_SEC: u128 = 1_000_000;

/// A bucket that fills at `per_sec` and holds one second's worth. A rate of 0 never says no.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    per_sec: u64,
    /// What is in hand, in millionths of a unit, so that no fill is ever rounded away.
    level: u128,
    filled_at: Instant,
}

impl Bucket {
    pub(crate) const fn new(per_sec: u64) -> Self {
        Self {
            per_sec,
            level: per_sec as u128 * MICROS_PER_SEC,
            filled_at: Instant::ZERO,
        }
    }

    /// Whether `units` may be spent now; if so they are.
    pub(crate) fn spend(&mut self, units: u64, now: Instant) -> bool {
        if self.per_sec == 0 {
            return true;
        }
        self.fill(now);
        let cost = u128::from(units) * MICROS_PER_SEC;
        if cost > self.level {
            return false;
        }
        self.level -= cost;
        true
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.since(self.filled_at).as_micros();
        let full = u128::from(self.per_sec) * MICROS_PER_SEC;
        self.level = full.min(self.level + elapsed * u128::from(self.per_sec));
        self.filled_at = self.filled_at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_worth_exactly_its_rate() {
        let mut bucket = Bucket::new(3);
        let spent = |bucket: &mut Bucket, micros| {
            (0..10)
                .filter(|_| bucket.spend(1, Instant::from_micros(micros)))
                .count()
        };
        assert_eq!(spent(&mut bucket, 0), 3);
        assert_eq!(
            spent(&mut bucket, 333_333),
            0,
            "a third of a second is one micro-unit short of a message"
        );
        assert_eq!(spent(&mut bucket, 333_334), 1);
        assert_eq!(
            spent(&mut bucket, 10_000_000),
            3,
            "no more than a second's worth is saved"
        );
    }

    #[test]
    fn no_rate_no_limit() {
        let mut bucket = Bucket::new(0);
        assert!(bucket.spend(u64::MAX, Instant::ZERO));
    }
}

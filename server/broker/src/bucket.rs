//! Token buckets: so much per second, with one second's worth in hand.

use cloudsignal_core::Instant;

const MICROS_PER_SEC: i64 = 1_000_000;
/// The largest rate that is told apart from a larger one: a second's worth must fit the level.
const PER_SEC_MAX: u64 = (i64::MAX / MICROS_PER_SEC / 2) as u64;

/// A bucket that fills at `per_sec` and holds one second's worth. A rate of 0 never says no.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    per_sec: u64,
    /// What is in hand, in millionths of a unit, so that no fill is ever rounded away. Below zero: a debt.
    level: i64,
    filled_at: Instant,
}

impl Bucket {
    pub(crate) const fn new(per_sec: u64) -> Self {
        let per_sec = if per_sec < PER_SEC_MAX {
            per_sec
        } else {
            PER_SEC_MAX
        };
        Self {
            per_sec,
            level: micro(per_sec),
            filled_at: Instant::ZERO,
        }
    }

    /// Another rate from now on. What is in hand stays, up to a second's worth; where there was no rate, it is that.
    pub(crate) fn set_rate(&mut self, per_sec: u64) {
        let new = Self::new(per_sec);
        let had_rate = self.per_sec > 0;
        self.level = if had_rate {
            self.level.min(new.level)
        } else {
            new.level
        };
        self.per_sec = new.per_sec;
    }

    /// Whether `units` may be taken now.
    pub(crate) fn has(&mut self, units: u64, now: Instant) -> bool {
        if self.per_sec == 0 {
            return true;
        }
        self.fill(now);
        self.level >= micro(units)
    }

    /// Whether `units` may be taken now, where something larger than a second's worth must get through as well: it
    /// waits for a full bucket and leaves a debt, so that over time the rate holds all the same.
    pub(crate) fn has_or_is_full(&mut self, units: u64, now: Instant) -> bool {
        self.has(units.min(self.per_sec), now)
    }

    /// Takes `units`, whether they are there or not.
    pub(crate) const fn take(&mut self, units: u64) {
        if self.per_sec > 0 {
            self.level = self.level.saturating_sub(micro(units));
        }
    }

    /// Takes `units`, or what is there of them.
    pub(crate) fn take_what_is_there(&mut self, units: u64, now: Instant) {
        if self.per_sec > 0 {
            self.fill(now);
            let floor = self.level.min(0);
            self.level = self.level.saturating_sub(micro(units)).max(floor);
        }
    }

    fn fill(&mut self, now: Instant) {
        if now <= self.filled_at {
            return; // Most of a batch comes at one moment.
        }
        let elapsed = now.since(self.filled_at).as_micros();
        let full = micro(self.per_sec);
        let elapsed = i64::try_from(elapsed).unwrap_or(i64::MAX);
        let rate = i64::try_from(self.per_sec).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(elapsed.saturating_mul(rate)).min(full);
        self.filled_at = now;
    }
}

const fn micro(units: u64) -> i64 {
    if units > PER_SEC_MAX {
        i64::MAX / 2
    } else {
        units as i64 * MICROS_PER_SEC
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(bucket: &mut Bucket, units: u64, micros: u64) -> bool {
        let has = bucket.has(units, Instant::from_micros(micros));
        if has {
            bucket.take(units);
        }
        has
    }

    #[test]
    fn a_second_is_worth_exactly_its_rate() {
        let mut bucket = Bucket::new(3);
        let spent = |bucket: &mut Bucket, micros| (0..10).filter(|_| spend(bucket, 1, micros)).count();
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
        assert!(spend(&mut bucket, u64::MAX, 0));
    }

    #[test]
    fn the_largest_rate_and_the_longest_wait_do_not_overflow() {
        let mut bucket = Bucket::new(u64::MAX);
        assert!(spend(&mut bucket, PER_SEC_MAX, 0));
        assert!(!spend(&mut bucket, 1, 0));
        assert!(spend(&mut bucket, PER_SEC_MAX, u64::MAX));
        assert!(!spend(&mut bucket, u64::MAX, u64::MAX));
    }

    #[test]
    fn what_is_larger_than_a_second_waits_for_a_full_bucket_and_is_paid_for() {
        let mut bucket = Bucket::new(100);
        let at = Instant::from_micros;
        assert!(!spend(&mut bucket, 250, 0), "never, where it is not asked for");
        assert!(bucket.has_or_is_full(250, at(0)));
        bucket.take(250);
        assert!(!spend(&mut bucket, 1, 1_500_000), "the debt is paid");
        assert!(spend(&mut bucket, 1, 1_510_000));
        assert!(
            !bucket.has_or_is_full(250, at(2_509_000)),
            "the bucket is not full"
        );
        assert!(bucket.has_or_is_full(250, at(2_510_000)));
    }

    #[test]
    fn what_may_not_be_refused_leaves_no_debt() {
        let mut bucket = Bucket::new(10);
        bucket.take_what_is_there(1_000, Instant::ZERO);
        assert!(!spend(&mut bucket, 1, 0));
        assert!(spend(&mut bucket, 1, 100_000));
    }

    #[test]
    fn another_rate_is_no_way_to_a_full_bucket() {
        let mut bucket = Bucket::new(10);
        assert!(spend(&mut bucket, 10, 0));
        bucket.set_rate(20);
        assert!(!spend(&mut bucket, 1, 0));
        bucket.set_rate(0);
        assert!(spend(&mut bucket, 1_000, 0));
        bucket.set_rate(5);
        assert!(spend(&mut bucket, 5, 0), "a new quota begins full");
        assert!(!spend(&mut bucket, 1, 0));
    }
}

//! What a rate refused to one client: how much it was, and the time that it costs the client.
//!
//! A client that publishes beyond a quota works for nothing and lets us work for nothing. So each refused publish
//! costs it a little time in which it is not read: what it sends then waits in the network, which slows it down where
//! it is. Whoever is refused now and then feels nothing of it, and what is allowed is never slowed: tokens of a rate
//! are kept for longer than any rest takes.

use cloudsignal_core::{Duration, Instant};

/// Longest rest, in microseconds. A rest begins with a packet of the client and is shorter than the shortest silence
/// that ends a connection (1.5 s): nobody is taken for silent while we do not listen. It is shorter than a second,
/// too, which is how long the tokens of a rate are kept.
const REST_MICROS_MAX: u64 = 500_000;
/// Shorter rests are left out, in microseconds: they are not worth a timer.
const REST_MICROS_MIN: u64 = 10_000;
/// What each refused publish costs a client that is never sent away for them, in microseconds.
const REST_MICROS_EACH: u64 = 1_000;

const MICROS_PER_SEC: u64 = 1_000_000;

/// Publishes of one client that were refused by a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusals {
    /// Within the running second.
    count: u32,
    since: Instant,
    is_exceeded: bool,
    /// When the client will have paid for all of them.
    paid_at: Instant,
}

impl Refusals {
    /// One more. Beyond `per_sec_max` it is exceeded for good; 0 never is.
    pub(crate) fn add(&mut self, per_sec_max: u32, now: Instant) {
        if now.since(self.since) >= Duration::from_micros(MICROS_PER_SEC) {
            (self.count, self.since) = (0, now);
        }
        self.count = self.count.saturating_add(1);
        self.is_exceeded |= per_sec_max > 0 && self.count > per_sec_max;
        let each_micros = match per_sec_max {
            0 => REST_MICROS_EACH,
            // Slowed to twice what ends its connection: it is for the client to slow down further, or be sent away.
            per_sec_max => MICROS_PER_SEC / 2 / u64::from(per_sec_max),
        };
        let paid_at = self.paid_at.max(now).after(Duration::from_micros(each_micros));
        self.paid_at = paid_at.min(now.after(Duration::from_micros(REST_MICROS_MAX)));
    }

    pub(crate) const fn is_exceeded(&self) -> bool {
        self.is_exceeded
    }

    /// Until when the client is not to be read, if it has a rest that is worth it.
    pub(crate) fn rest_until(&self, now: Instant) -> Option<Instant> {
        let left = self.paid_at.since(now);
        (left >= Duration::from_micros(REST_MICROS_MIN)).then_some(self.paid_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn refusals_are_counted_by_the_second() {
        let mut refusals = Refusals::default();
        for (micros, per_sec_max) in [
            (5_000_000, 2),
            (5_900_000, 2),
            (6_000_000, 2),
            (6_100_000, 2),
            (6_200_000, 0),
        ] {
            refusals.add(per_sec_max, at(micros));
            assert!(!refusals.is_exceeded(), "at {micros}");
        }
        refusals.add(3, at(6_300_000));
        assert!(refusals.is_exceeded());
    }

    #[test]
    fn whoever_is_refused_now_and_then_does_not_rest() {
        let mut refusals = Refusals::default();
        for step in 0..1_000 {
            let now = at(step * 100_000);
            for _ in 0..9 {
                refusals.add(0, now);
            }
            assert_eq!(refusals.rest_until(now), None, "at {now:?}");
        }
    }

    #[test]
    fn each_refused_publish_costs_a_millisecond_and_all_together_half_a_second() {
        let mut refusals = Refusals::default();
        let now = at(7_000_000);
        for count in 1..2_000 {
            refusals.add(0, now);
            let rest = refusals.rest_until(now).map(|until| until.since(now).as_millis());
            let wanted = (count >= 10).then_some(count.min(500));
            assert_eq!(rest, wanted, "after {count}");
        }
        assert_eq!(refusals.rest_until(at(7_500_000)), None, "paid");
    }

    #[test]
    fn resting_keeps_nobody_below_the_limit() {
        let (mut refusals, mut micros) = (Refusals::default(), 1_000_000);
        // It sends as fast as it is read, in portions of a hundred.
        while !refusals.is_exceeded() {
            for _ in 0..100 {
                refusals.add(1_000, at(micros));
            }
            micros = refusals.rest_until(at(micros)).map_or(micros, Instant::as_micros);
            assert!(micros < 2_000_000, "sent away within the second");
        }
        assert_eq!(refusals.count, 1_100);
    }
}

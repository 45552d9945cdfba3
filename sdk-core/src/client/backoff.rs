//! When to try again after a connection failed.

use super::options::Reconnect;
use super::random::Random;
use crate::time::Duration;

/// Full jitter: the pause is drawn evenly between nothing and a bound that doubles with each failure, so that
/// a crowd of clients whose server comes back does not come back as a crowd.
#[derive(Clone, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause before the next attempt; counts a failure.
    pub(super) fn pause(&mut self, options: &Reconnect, random: &mut Random) -> Duration {
        let doublings = self.failures.min(DOUBLINGS_MAX);
        self.failures = self.failures.saturating_add(1);
        let bound = options.first.saturating_mul(1 << doublings).min(options.most);
        random.up_to(bound)
    }

    /// A connection held for [`Reconnect::steady`]: the next failure is a first one again.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// More than this many doublings of a millisecond are longer than any pause that is sensible.
const DOUBLINGS_MAX: u32 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_longest_and_begins_anew_after_a_steady_time() {
        let options = Reconnect::default();
        let mut random = Random::new(7);
        let mut longest = |backoff: &Backoff| {
            (0..2_000)
                .map(|_| backoff.clone().pause(&options, &mut random))
                .max()
                .expect("some")
        };
        let mut backoff = Backoff::default();
        let mut bound = options.first;
        for _ in 0..20 {
            let seen = longest(&backoff);
            assert!(
                seen <= bound && seen > bound.mul_f32(0.95),
                "{seen:?} of {bound:?}"
            );
            backoff.pause(&options, &mut Random::new(1));
            bound = (bound * 2).min(options.most);
        }
        assert_eq!(bound, options.most);
        backoff.reset();
        assert!(longest(&backoff) <= options.first);
    }

    #[test]
    fn pauses_are_spread_evenly() {
        let options = Reconnect::default();
        let mut random = Random::new(1);
        let mut tenths = [0_u32; 10];
        for _ in 0..10_000 {
            let pause = Backoff::default().pause(&options, &mut random);
            let tenth = pause.as_micros() * 10 / (options.first.as_micros() + 1);
            tenths[usize::try_from(tenth).expect("below ten")] += 1;
        }
        assert!(
            tenths.iter().all(|count| (850..1_150).contains(count)),
            "{tenths:?}"
        );
    }
}

//! When to try again after a connection failed.

use super::options::Reconnect;
use super::random::Random;
use crate::time::Duration;

/// Full jitter: the pause is drawn evenly between nothing and a bound that doubles with each failure, so that
/// a crowd of clients whose server comes back does not come back as a crowd.
///
/// What counts is whether the server can take the client, not how often a network breaks. An attempt that does not come
/// to CONNACK is a failure, and so is a connection that ends right after it: so looks a server that lets everybody in and
/// breaks down. The loss of a connection that held ([`Reconnect::held`]) is none. It is made again after a short pause,
/// however often that happens, and the longer it held the more failures before it are forgotten. A server that breaks
/// down under a crowd still sees less of it each time, because nobody gets through while it is down.
#[derive(Clone, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    /// The last connection held.
    has_held: bool,
}

/// What a loss says about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// Nothing, if the connection held.
    Network,
    /// It has sent the client away, or what it says makes no sense.
    Server,
}

impl Backoff {
    /// A connection that the server had accepted has ended after so long.
    pub(super) fn held(&mut self, for_so_long: Duration, options: &Reconnect) {
        let times = for_so_long.div_duration_f32(options.held) as u32;
        self.failures = self.failures.saturating_sub(times);
        self.has_held = times > 0;
    }

    /// The pause before the next attempt.
    pub(super) fn pause(&mut self, blame: Blame, options: &Reconnect, random: &mut Random) -> Duration {
        let bound = options.first.saturating_mul(1 << self.failures);
        let is_excused = core::mem::take(&mut self.has_held) && blame == Blame::Network;
        // More failures than make the longest pause would only take longer to forget.
        if !is_excused && bound < options.most && self.failures < DOUBLINGS_MAX {
            self.failures += 1;
        }
        random.up_to(bound.min(options.most))
    }

    /// The application has asked for a connection: what was before does not count.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// More than this many doublings of a millisecond are longer than any pause that is sensible.
const DOUBLINGS_MAX: u32 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: Duration = Duration::from_millis(200);

    fn failed(backoff: &mut Backoff, times: u32) {
        for _ in 0..times {
            backoff.pause(Blame::Network, &Reconnect::default(), &mut Random::new(1));
        }
    }

    /// The longest pause that may come next.
    fn bound(backoff: &Backoff) -> Duration {
        let mut random = Random::new(7);
        let mut pause = || {
            backoff
                .clone()
                .pause(Blame::Network, &Reconnect::default(), &mut random)
        };
        (0..2_000).map(|_| pause()).max().expect("some")
    }

    fn is_about(seen: Duration, bound: Duration) -> bool {
        seen <= bound && seen > bound.mul_f32(0.95)
    }

    #[test]
    fn the_bound_doubles_up_to_the_longest_and_begins_anew_when_the_application_says_so() {
        let options = Reconnect::default();
        let mut backoff = Backoff::default();
        let mut expected = options.first;
        for _ in 0..20 {
            let seen = bound(&backoff);
            assert!(is_about(seen, expected), "{seen:?} of {expected:?}");
            failed(&mut backoff, 1);
            expected = (expected * 2).min(options.most);
        }
        assert_eq!(expected, options.most);
        backoff.reset();
        assert!(bound(&backoff) <= options.first);
    }

    #[test]
    fn the_loss_of_a_connection_that_held_is_no_failure_however_often() {
        let options = Reconnect::default();
        let mut backoff = Backoff::default();
        for _ in 0..1_000 {
            backoff.held(HELD, &options);
            failed(&mut backoff, 1);
        }
        assert!(bound(&backoff) <= options.first);
    }

    #[test]
    fn a_connection_that_ends_right_after_it_was_accepted_is_a_failure() {
        let options = Reconnect::default();
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            backoff.held(HELD / 2, &options);
            failed(&mut backoff, 1);
        }
        assert!(is_about(bound(&backoff), options.most));
    }

    #[test]
    fn being_sent_away_is_a_failure_however_long_it_held() {
        let options = Reconnect::default();
        let mut backoff = Backoff::default();
        backoff.held(HELD, &options);
        backoff.pause(Blame::Server, &options, &mut Random::new(1));
        assert!(is_about(bound(&backoff), options.first * 2));
    }

    #[test]
    fn the_longer_a_connection_held_the_more_is_forgotten_and_the_longest_pause_soon() {
        let options = Reconnect::default();
        let mut backoff = Backoff::default();
        failed(&mut backoff, 1_000_000);
        assert!(is_about(bound(&backoff), options.most));
        backoff.held(HELD * 3, &options);
        assert!(is_about(bound(&backoff), options.first * 8));
        backoff.held(HELD * 3, &options);
        assert!(is_about(bound(&backoff), options.first));
    }

    #[test]
    fn pauses_are_spread_evenly() {
        let options = Reconnect::default();
        let mut random = Random::new(1);
        let mut tenths = [0_u32; 10];
        for _ in 0..10_000 {
            let pause = Backoff::default().pause(Blame::Network, &options, &mut random);
            let tenth = pause.as_micros() * 10 / (options.first.as_micros() + 1);
            tenths[usize::try_from(tenth).expect("below ten")] += 1;
        }
        assert!(
            tenths.iter().all(|count| (850..1_150).contains(count)),
            "{tenths:?}"
        );
    }
}

//! How often one key or token may publish.

use std::collections::HashMap;

use axum::http::HeaderName;
use axum::response::{IntoResponseParts, ResponseParts};
use parking_lot::Mutex;

use cloudsignal_core::Instant;

use super::publisher::{Holder, Publisher};
use crate::accounts::Allowance;
use crate::clock::Clock;
use crate::http::ApiError;

/// Keys and tokens that are told apart, about 150 bytes each. Beyond it, new ones are told to come back.
const HOLDERS_MAX: usize = 100_000;

const MICROS_PER_SEC: u64 = 1_000_000;
/// The quota that is exceeded by whoever publishes more.
pub(super) const QUOTA: &str = "api_key_publishes_per_sec";

/// How often one key or token of an organization may publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Messages per second; 0 for no limit.
    per_sec: u32,
    /// Messages in one go, after a pause.
    burst: u32,
}

/// The rates of everybody who published lately.
#[derive(Debug)]
pub(super) struct Rates {
    clock: Clock,
    /// When the allowance of each is whole again. One that is whole need not be remembered.
    whole_at: Mutex<HashMap<Holder, Instant>>,
}

/// What is left of an allowance; becomes headers of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    rate: Rate,
    remaining: u64,
    /// Seconds since 1970 at which it is whole again.
    whole_at_secs: u64,
}

impl Rate {
    pub(super) const fn of(allowance: &Allowance) -> Self {
        Self {
            per_sec: allowance.api_key_publishes_per_sec,
            burst: allowance.api_key_publish_burst,
        }
    }

    /// What one message costs, in microseconds of waiting; `None` where nothing is counted.
    fn message_micros(self) -> Option<u64> {
        (self.per_sec > 0).then(|| MICROS_PER_SEC.div_ceil(u64::from(self.per_sec)))
    }
}

impl Rates {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            whole_at: Mutex::default(),
        }
    }

    /// Takes `messages` off the publisher's allowance, or none at all. `None` where nothing is counted.
    pub(super) fn spend(
        &self,
        publisher: &Publisher,
        rate: Rate,
        messages: usize,
    ) -> (Option<Left>, Result<(), ApiError>) {
        let Some(message) = rate.message_micros() else {
            return (None, Ok(()));
        };
        let burst = u64::from(rate.burst).saturating_mul(message);
        let cost = (messages as u64).saturating_mul(message);
        let now = self.clock.now();
        let (owed, allowed) = match self.owe(publisher.holder(), cost, burst, now) {
            Ok(owed) => (owed, Ok(())),
            Err(owed) => {
                let over = owed.saturating_add(cost).saturating_sub(burst);
                let secs = over.div_ceil(MICROS_PER_SEC).max(1);
                (owed, Err(too_many(rate, u32::try_from(secs).unwrap_or(u32::MAX))))
            }
        };
        let whole_at = self.clock.wall_of(now).unix_micros().saturating_add(owed);
        let left = Left {
            rate,
            remaining: burst.saturating_sub(owed) / message,
            whole_at_secs: whole_at.div_ceil(MICROS_PER_SEC),
        };
        (Some(left), allowed)
    }

    /// What is owed afterwards, in microseconds; as an error what is owed already and leaves no room.
    fn owe(&self, holder: Holder, cost: u64, burst: u64, now: Instant) -> Result<u64, u64> {
        let mut whole_at = self.whole_at.lock();
        let known = whole_at.get(&holder).copied().unwrap_or(now).max(now);
        let owed = known.as_micros() - now.as_micros();
        let after = owed.saturating_add(cost);
        if after > burst {
            return Err(owed);
        }
        if whole_at.len() >= HOLDERS_MAX && !whole_at.contains_key(&holder) {
            whole_at.retain(|_, at| *at > now);
            if whole_at.len() >= HOLDERS_MAX {
                return Err(burst);
            }
        }
        whole_at.insert(
            holder,
            Instant::from_micros(now.as_micros().saturating_add(after)),
        );
        Ok(after)
    }
}

fn too_many(rate: Rate, secs: u32) -> ApiError {
    let Rate { per_sec, burst } = rate;
    let text = format!("this key or token may publish {per_sec} messages a second, {burst} in one go");
    ApiError::new(axum::http::StatusCode::TOO_MANY_REQUESTS, "rate_limited", text)
        .with_fact("quota", QUOTA.into())
        .retry_after(secs)
}

impl IntoResponseParts for Left {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        for (name, value) in [
            ("x-ratelimit-limit", self.rate.per_sec.into()),
            ("x-ratelimit-remaining", self.remaining),
            ("x-ratelimit-reset", self.whole_at_secs),
        ] {
            parts
                .headers_mut()
                .insert(HeaderName::from_static(name), value.into());
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::WallTime;

    const MESSAGE: u64 = 10_000;
    const BURST: u64 = 200 * MESSAGE;

    fn holder(name: &str) -> Holder {
        ("org_a".into(), name.into())
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let clock = Clock::manual(WallTime::ZERO);
        let rates = Rates::new(clock.clone());
        let goes = |name| {
            let go = || rates.owe(holder(name), MESSAGE, BURST, clock.now()).is_ok();
            (0..1_000).take_while(|_| go()).count()
        };
        assert_eq!(goes("a"), 200);
        assert_eq!(goes("b"), 200, "each for itself");
        clock.advance(Duration::from_millis(1_005));
        assert_eq!(goes("a"), 100);
        clock.advance(Duration::from_secs(60));
        assert_eq!(goes("a"), 200, "no more than that is saved");
    }

    #[test]
    fn many_at_once_or_none() {
        let clock = Clock::manual(WallTime::ZERO);
        let rates = Rates::new(clock.clone());
        let many = |messages| rates.owe(holder("a"), messages * MESSAGE, BURST, clock.now());
        assert_eq!(many(150), Ok(150 * MESSAGE));
        assert_eq!(many(51), Err(150 * MESSAGE));
        assert_eq!(many(50), Ok(BURST));
        let lower = rates.owe(holder("a"), 0, 10 * MESSAGE, clock.now());
        assert_eq!(lower, Err(BURST), "a lower burst holds at once");
    }

    #[test]
    fn a_rate_of_nothing_is_no_limit() {
        let free = Rate { per_sec: 0, burst: 0 };
        assert_eq!(free.message_micros(), None);
        let fast = Rate {
            per_sec: u32::MAX,
            burst: u32::MAX,
        };
        assert_eq!(fast.message_micros(), Some(1));
    }

    #[test]
    fn who_is_remembered_is_bounded() {
        let clock = Clock::manual(WallTime::ZERO);
        let rates = Rates::new(clock.clone());
        let go = |number: usize| rates.owe(holder(&number.to_string()), MESSAGE, BURST, clock.now());
        assert!((0..HOLDERS_MAX).all(|number| go(number).is_ok()));
        assert_eq!(go(HOLDERS_MAX), Err(BURST));
        assert!(go(0).is_ok(), "who is known goes on");
        clock.advance(Duration::from_secs(1));
        assert!(go(HOLDERS_MAX).is_ok());
        assert_eq!(rates.whole_at.lock().len(), 1);
    }
}

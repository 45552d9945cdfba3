//! How often one key or token may publish.

use std::collections::HashMap;

use axum::http::HeaderName;
use axum::response::{IntoResponseParts, ResponseParts};
use parking_lot::Mutex;

use cloudsignal_core::Instant;

use super::publisher::{Holder, Publisher};
use crate::clock::Clock;
use crate::http::ApiError;

/// Messages per second.
pub(super) const MESSAGES_PER_SEC: u64 = 100;
/// Messages in one go, after a pause.
pub(super) const BURST_MESSAGES: u64 = 200;
/// Keys and tokens that are told apart, about 150 bytes each. Beyond it, new ones are told to come back.
const HOLDERS_MAX: usize = 100_000;

const MICROS_PER_SEC: u64 = 1_000_000;
/// What one message costs, in microseconds of waiting.
const MESSAGE_MICROS: u64 = MICROS_PER_SEC / MESSAGES_PER_SEC;
/// The whole of it.
const BURST_MICROS: u64 = BURST_MESSAGES * MESSAGE_MICROS;

/// The rates of everybody who published lately.
#[derive(Debug)]
pub(super) struct Rates {
    clock: Clock,
    /// When the allowance of each is whole again. One that is whole need not be remembered.
    whole_at: Mutex<HashMap<Holder, Instant>>,
}

/// What is left of an allowance; becomes headers of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    remaining: u64,
    /// Seconds since 1970 at which it is whole again.
    whole_at_secs: u64,
}

impl Rates {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            whole_at: Mutex::default(),
        }
    }

    /// Takes `messages` off the publisher's allowance, or none at all.
    pub(super) fn spend(&self, publisher: &Publisher, messages: usize) -> (Allowance, Result<(), ApiError>) {
        let cost = (messages as u64).saturating_mul(MESSAGE_MICROS);
        let now = self.clock.now();
        let owed = self.owe(publisher.holder(), cost, now);
        let (owed, allowed) = match owed {
            Ok(owed) => (owed, Ok(())),
            Err(owed) => {
                let over = (owed + cost).saturating_sub(BURST_MICROS);
                let secs = over.div_ceil(MICROS_PER_SEC).max(1);
                (owed, Err(too_many(u32::try_from(secs).unwrap_or(u32::MAX))))
            }
        };
        let whole_at = self.clock.wall_of(now).unix_micros() + owed;
        let allowance = Allowance {
            remaining: (BURST_MICROS - owed) / MESSAGE_MICROS,
            whole_at_secs: whole_at.div_ceil(MICROS_PER_SEC),
        };
        (allowance, allowed)
    }

    /// What is owed afterwards, in microseconds; as an error what is owed already and leaves no room.
    fn owe(&self, holder: Holder, cost: u64, now: Instant) -> Result<u64, u64> {
        let mut whole_at = self.whole_at.lock();
        let known = whole_at.get(&holder).copied().unwrap_or(now).max(now);
        let owed = known.as_micros() - now.as_micros();
        if owed + cost > BURST_MICROS {
            return Err(owed);
        }
        if whole_at.len() >= HOLDERS_MAX && !whole_at.contains_key(&holder) {
            whole_at.retain(|_, at| *at > now);
            if whole_at.len() >= HOLDERS_MAX {
                return Err(BURST_MICROS);
            }
        }
        let owed = owed + cost;
        whole_at.insert(holder, Instant::from_micros(now.as_micros() + owed));
        Ok(owed)
    }
}

fn too_many(secs: u32) -> ApiError {
    let text = format!(
        "this key or token may publish {MESSAGES_PER_SEC} messages a second, {BURST_MESSAGES} in one go"
    );
    ApiError::new(axum::http::StatusCode::TOO_MANY_REQUESTS, "rate_limited", text).retry_after(secs)
}

impl IntoResponseParts for Allowance {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        for (name, value) in [
            ("x-ratelimit-limit", MESSAGES_PER_SEC),
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

    fn holder(name: &str) -> Holder {
        ("org_a".into(), name.into())
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let clock = Clock::manual(WallTime::ZERO);
        let rates = Rates::new(clock.clone());
        let goes = |name| {
            let go = || rates.owe(holder(name), MESSAGE_MICROS, clock.now()).is_ok();
            (0..1_000).take_while(|_| go()).count() as u64
        };
        assert_eq!(goes("a"), BURST_MESSAGES);
        assert_eq!(goes("b"), BURST_MESSAGES, "each for itself");
        clock.advance(Duration::from_millis(1_005));
        assert_eq!(goes("a"), MESSAGES_PER_SEC);
        clock.advance(Duration::from_secs(60));
        assert_eq!(goes("a"), BURST_MESSAGES, "no more than that is saved");
    }

    #[test]
    fn many_at_once_or_none() {
        let clock = Clock::manual(WallTime::ZERO);
        let rates = Rates::new(clock.clone());
        let many = |messages| rates.owe(holder("a"), messages * MESSAGE_MICROS, clock.now());
        assert_eq!(many(150), Ok(150 * MESSAGE_MICROS));
        assert_eq!(many(51), Err(150 * MESSAGE_MICROS));
        assert_eq!(many(50), Ok(BURST_MICROS));
    }

    #[test]
    fn who_is_remembered_is_bounded() {
        let clock = Clock::manual(WallTime::ZERO);
        let rates = Rates::new(clock.clone());
        let go = |number: usize| rates.owe(holder(&number.to_string()), MESSAGE_MICROS, clock.now());
        assert!((0..HOLDERS_MAX).all(|number| go(number).is_ok()));
        assert_eq!(go(HOLDERS_MAX), Err(BURST_MICROS));
        assert!(go(0).is_ok(), "who is known goes on");
        clock.advance(Duration::from_secs(1));
        assert!(go(HOLDERS_MAX).is_ok());
        assert_eq!(rates.whole_at.lock().len(), 1);
    }
}

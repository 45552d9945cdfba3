//! Calls of the HTTP API: so many per second for an organization, and for each of its keys.

use std::collections::HashMap;

use cloudsignal_broker::OrgId;
use cloudsignal_core::Instant;

/// Callers that are told apart at once; when there are more, those that have been quiet are forgotten.
const CALLERS_MAX: usize = 65_536;
/// What a caller may have saved, in seconds of its rate.
const BURST_SECS: u64 = 2;
const MICROS_PER_SEC: u64 = 1_000_000;

/// When each caller's saved calls will all be there again.
#[derive(Debug, Default)]
pub(super) struct Calls {
    full_at: HashMap<(OrgId, Box<str>), Instant>,
}

/// A call that comes too soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyCalls {
    /// After so many seconds it may be tried again.
    pub(crate) retry_secs: u32,
    /// The quota that is used up.
    pub(crate) quota: &'static str,
}

impl Calls {
    /// One more call; if it may pass, it is counted. `rates` are those of the organization and of the key, 0 for none.
    pub(super) fn pass(
        &mut self,
        org: &OrgId,
        key: &str,
        rates: (u32, u32),
        now: Instant,
    ) -> Result<(), TooManyCalls> {
        // No key has an empty id, so it stands for the organization.
        let both = [
            (rates.0, "", "api_calls_per_sec"),
            (rates.1, key, "api_key_calls_per_sec"),
        ];
        for (per_sec, caller, quota) in both {
            let refused = self.look(org, caller, per_sec, now).err();
            if let Some(retry_secs) = refused {
                return Err(TooManyCalls { retry_secs, quota });
            }
        }
        for (per_sec, caller, _) in both {
            self.take(org, caller, per_sec, now);
        }
        Ok(())
    }

    fn look(&self, org: &OrgId, caller: &str, per_sec: u32, now: Instant) -> Result<(), u32> {
        let Some(one) = one_call(per_sec) else {
            return Ok(());
        };
        let full_at = self.full_at.get(&(org.clone(), caller.into()));
        let full_at = full_at.map_or(0, |at| at.as_micros());
        let ahead = full_at.saturating_sub(now.as_micros()).saturating_add(one);
        let over = ahead.saturating_sub(BURST_SECS * MICROS_PER_SEC);
        if over == 0 {
            return Ok(());
        }
        Err(u32::try_from(over.div_ceil(MICROS_PER_SEC)).unwrap_or(u32::MAX))
    }

    fn take(&mut self, org: &OrgId, caller: &str, per_sec: u32, now: Instant) {
        let Some(one) = one_call(per_sec) else { return };
        if self.full_at.len() >= CALLERS_MAX {
            self.full_at.retain(|_, full_at| *full_at > now);
            if self.full_at.len() >= CALLERS_MAX {
                // Full of callers at work: they all begin anew, which errs on their side.
                self.full_at.clear();
            }
        }
        let full_at = self.full_at.entry((org.clone(), caller.into())).or_insert(now);
        let from = (*full_at).max(now);
        *full_at = Instant::from_micros(from.as_micros().saturating_add(one));
    }
}

/// Microseconds that one call takes of a caller's time; `None` where calls are not counted.
fn one_call(per_sec: u32) -> Option<u64> {
    (per_sec > 0).then(|| MICROS_PER_SEC.div_ceil(u64::from(per_sec)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(calls: &mut Calls, key: &str, rates: (u32, u32), micros: u64) -> usize {
        let org = OrgId::new("org_a");
        (0..1_000)
            .filter(|_| calls.pass(&org, key, rates, Instant::from_micros(micros)).is_ok())
            .count()
    }

    #[test]
    fn two_seconds_worth_may_come_at_once_and_then_the_rate_holds() {
        let mut calls = Calls::default();
        assert_eq!(passed(&mut calls, "k", (0, 10), 0), 20);
        assert_eq!(passed(&mut calls, "k", (0, 10), 1_000_000), 10);
        assert_eq!(passed(&mut calls, "other", (0, 10), 1_000_000), 20);
        assert_eq!(passed(&mut calls, "k", (0, 10), 100_000_000), 20);
        assert_eq!(passed(&mut calls, "k", (0, 0), 0), 1_000, "no rate, no limit");
    }

    #[test]
    fn an_organization_is_bounded_over_all_its_keys_and_a_refused_call_costs_nothing() {
        let mut calls = Calls::default();
        assert_eq!(passed(&mut calls, "a", (10, 5), 0), 10);
        assert_eq!(passed(&mut calls, "b", (10, 50), 0), 10);
        let refused = calls.pass(&OrgId::new("org_a"), "c", (10, 5), Instant::ZERO);
        let too_many = TooManyCalls {
            retry_secs: 1,
            quota: "api_calls_per_sec",
        };
        assert_eq!(refused, Err(too_many));
        let other = calls.pass(&OrgId::new("org_b"), "c", (10, 5), Instant::ZERO);
        assert_eq!(other, Ok(()), "other organizations have their own");
    }
}

//! Sources that guess passwords.
//!
//! Failures are counted per source and account, and per source, in windows of a minute. Over the limit a
//! password is not even looked at, so guessing costs us nothing, and the client is told to come back
//! later. Credentials that cannot be guessed (tokens, keys) are not held back.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};

use parking_lot::Mutex;

use cloudsignal_core::Instant;

/// Failures of one source for one account within a window.
pub const FAILURES_PER_ACCOUNT_MAX: u32 = 10;
/// Failures of one source for all accounts within a window.
pub const FAILURES_PER_SOURCE_MAX: u32 = 100;
/// Length of a window, seconds. It begins with the first failure.
pub const WINDOW_SECS: u32 = 60;
/// Windows that are kept, about 80 bytes each. The oldest makes room: with so many sources at once,
/// limits per source do not help anyway, and the bounded line before the hashing threads does.
pub const WINDOWS_MAX: usize = 65_536;

/// The counters.
#[derive(Debug, Default)]
pub struct Throttle {
    accounts: RandomState,
    windows: Mutex<Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    failures: HashMap<Key, u32>,
    /// In the order of their ends.
    ends: VecDeque<(Instant, Key)>,
}

/// A source, and an account if it is about one.
type Key = (IpAddr, Option<u64>);

impl Throttle {
    /// Whether this source may try this account now.
    #[must_use]
    pub fn allows(&self, source: IpAddr, account: &str, now: Instant) -> bool {
        let mut windows = self.windows.lock();
        windows.forget(|end, _| end <= now);
        let failures = |key| windows.failures.get(&key).copied().unwrap_or(0);
        failures(self.key(source, account)) < FAILURES_PER_ACCOUNT_MAX
            && failures((network(source), None)) < FAILURES_PER_SOURCE_MAX
    }

    /// Counts a failure.
    pub fn note_failure(&self, source: IpAddr, account: &str, now: Instant) {
        let mut windows = self.windows.lock();
        windows.forget(|end, _| end <= now);
        for key in [self.key(source, account), (network(source), None)] {
            windows.count(key, now);
        }
    }

    /// Forgets the failures for an account: whoever was right is not guessing.
    pub fn note_success(&self, source: IpAddr, account: &str) {
        if let Some(failures) = self.windows.lock().failures.get_mut(&self.key(source, account)) {
            *failures = 0;
        }
    }

    fn key(&self, source: IpAddr, account: &str) -> Key {
        (network(source), Some(self.accounts.hash_one(account)))
    }
}

impl Windows {
    fn count(&mut self, key: Key, now: Instant) {
        if let Some(failures) = self.failures.get_mut(&key) {
            *failures = failures.saturating_add(1);
            return;
        }
        self.forget(|_, count| count >= WINDOWS_MAX);
        self.failures.insert(key, 1);
        self.ends.push_back((now.after_secs(WINDOW_SECS), key));
    }

    fn forget(&mut self, due: impl Fn(Instant, usize) -> bool) {
        while let Some(&(end, key)) = self.ends.front()
            && due(end, self.ends.len())
        {
            self.ends.pop_front();
            self.failures.remove(&key);
        }
    }
}

/// Whoever has one address of a /64 has all of them.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const AWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    const NOW: Instant = Instant::from_micros(5_000_000);

    #[test]
    fn a_source_that_guesses_one_account_is_stopped_for_a_minute() {
        let throttle = Throttle::default();
        for _ in 0..FAILURES_PER_ACCOUNT_MAX {
            assert!(throttle.allows(HOME, "ada", NOW));
            throttle.note_failure(HOME, "ada", NOW);
        }
        assert!(!throttle.allows(HOME, "ada", NOW));
        assert!(throttle.allows(AWAY, "ada", NOW), "others may try");
        assert!(throttle.allows(HOME, "bob", NOW), "other accounts may be tried");
        assert!(throttle.allows(HOME, "ada", NOW.after_secs(WINDOW_SECS)));
    }

    #[test]
    fn a_source_that_tries_many_accounts_is_stopped_too() {
        let throttle = Throttle::default();
        for number in 0..FAILURES_PER_SOURCE_MAX {
            throttle.note_failure(HOME, &number.to_string(), NOW);
        }
        assert!(!throttle.allows(HOME, "ada", NOW));
        assert!(throttle.allows(AWAY, "ada", NOW));
    }

    #[test]
    fn being_right_clears_the_account() {
        let throttle = Throttle::default();
        for _ in 1..FAILURES_PER_ACCOUNT_MAX {
            throttle.note_failure(HOME, "ada", NOW);
        }
        throttle.note_success(HOME, "ada");
        throttle.note_failure(HOME, "ada", NOW);
        assert!(throttle.allows(HOME, "ada", NOW));
    }

    #[test]
    fn addresses_of_one_network_count_as_one_source() {
        let throttle = Throttle::default();
        for number in 0..u128::from(FAILURES_PER_ACCOUNT_MAX) {
            let address = IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | number));
            throttle.note_failure(address, "ada", NOW);
        }
        let same = "2001:db8::ffff:1".parse().unwrap();
        let other = "2001:db8:0:1::1".parse().unwrap();
        assert!(!throttle.allows(same, "ada", NOW));
        assert!(throttle.allows(other, "ada", NOW));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), HOME);
    }

    #[test]
    fn a_flood_from_everywhere_stays_within_bounds() {
        let throttle = Throttle::default();
        for number in 0..100_000_u32 {
            let address = IpAddr::V4(Ipv4Addr::from_bits(number));
            throttle.note_failure(address, "ada", NOW);
        }
        let windows = throttle.windows.lock();
        assert_eq!(windows.failures.len(), WINDOWS_MAX);
        assert_eq!(windows.ends.len(), WINDOWS_MAX);
    }
}

//! Passwords that were right a moment ago.
//!
//! When a thousand clients reconnect at once, hashing each password again would take minutes. What is
//! kept is a keyed hash over organization, user, the password's own epoch and the password; the key is
//! random and never leaves the process, so the cache is worth nothing to whoever reads it, and a changed
//! password never matches.

use std::collections::{HashSet, VecDeque};

use hmac::{Hmac, Mac as _};
use parking_lot::Mutex;
use sha2::Sha256;

use cloudsignal_core::Instant;

use crate::accounts::secret::random;

/// How long a password counts as right, seconds.
pub const VERIFIED_SECS: u32 = 600;
/// Passwords that are remembered, about 100 bytes each. The oldest makes room.
pub const VERIFIED_MAX: usize = 100_000;

type Fingerprint = [u8; 32];

/// The cache.
#[derive(Debug)]
pub struct Verified {
    key: [u8; 32],
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    fingerprints: HashSet<Fingerprint>,
    /// In the order of their ends.
    ends: VecDeque<(Instant, Fingerprint)>,
}

/// One password of one user, as the cache knows it.
#[derive(Clone, Copy)]
pub struct Proof(Fingerprint);

impl Verified {
    /// An empty cache with a key of its own.
    #[must_use]
    pub fn new() -> Self {
        Self {
            key: random(),
            known: Mutex::default(),
        }
    }

    /// The proof for a password; `epoch` tells a user's passwords apart.
    #[must_use]
    pub fn proof(&self, org: &str, user: &str, epoch: &str, password: &[u8]) -> Proof {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("invariant: HMAC takes keys of any length");
        for part in [org.as_bytes(), user.as_bytes(), epoch.as_bytes(), password] {
            // The length first, so that no two inputs read the same.
            mac.update(&part.len().to_be_bytes());
            mac.update(part);
        }
        Proof(mac.finalize().into_bytes().into())
    }

    /// Whether this password was right within the last [`VERIFIED_SECS`].
    #[must_use]
    pub fn knows(&self, proof: &Proof, now: Instant) -> bool {
        let mut known = self.known.lock();
        known.forget(|end, _| end <= now);
        known.fingerprints.contains(&proof.0)
    }

    /// Remembers that it was right.
    pub fn remember(&self, proof: &Proof, now: Instant) {
        let mut known = self.known.lock();
        known.forget(|end, count| end <= now || count >= VERIFIED_MAX);
        if known.fingerprints.insert(proof.0) {
            known.ends.push_back((now.after_secs(VERIFIED_SECS), proof.0));
        }
    }
}

impl Default for Verified {
    fn default() -> Self {
        Self::new()
    }
}

impl Known {
    fn forget(&mut self, due: impl Fn(Instant, usize) -> bool) {
        while let Some(&(end, fingerprint)) = self.ends.front()
            && due(end, self.ends.len())
        {
            self.ends.pop_front();
            self.fingerprints.remove(&fingerprint);
        }
    }
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proof(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_for_a_while_and_for_its_user_only() {
        let verified = Verified::new();
        let proof = verified.proof("org_a", "ada", "1", b"secret");
        assert!(!verified.knows(&proof, Instant::ZERO));
        verified.remember(&proof, Instant::ZERO);
        let last = Instant::from_micros(u64::from(VERIFIED_SECS) * 1_000_000 - 1);
        assert!(verified.knows(&proof, last));
        for other in [
            verified.proof("org_b", "ada", "1", b"secret"),
            verified.proof("org_a", "bob", "1", b"secret"),
            verified.proof("org_a", "ada", "2", b"secret"),
            verified.proof("org_a", "ada", "1", b"Secret"),
            verified.proof("org_a", "ada1", "", b"secret"),
            Verified::new().proof("org_a", "ada", "1", b"secret"),
        ] {
            assert!(!verified.knows(&other, last));
        }
        assert!(!verified.knows(&proof, Instant::ZERO.after_secs(VERIFIED_SECS)));
    }

    #[test]
    fn being_right_again_does_not_extend_and_the_oldest_makes_room() {
        let verified = Verified::new();
        let first = verified.proof("org_a", "0", "1", b"x");
        verified.remember(&first, Instant::ZERO);
        verified.remember(&first, Instant::ZERO.after_secs(1));
        for number in 1..=VERIFIED_MAX {
            let proof = verified.proof("org_a", &number.to_string(), "1", b"x");
            verified.remember(&proof, Instant::ZERO.after_secs(1));
        }
        assert_eq!(verified.known.lock().ends.len(), VERIFIED_MAX);
        assert_eq!(verified.known.lock().fingerprints.len(), VERIFIED_MAX);
        assert!(!verified.knows(&first, Instant::ZERO.after_secs(2)));
    }
}

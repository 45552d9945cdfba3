//! Who the sessions belong to, once for all sessions of one login: a fleet may have a million of them.

use alloc::sync::Arc;
use core::hash::{BuildHasher, Hash, Hasher};

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use crate::identity::Identity;

/// Before there are so many, nobody looks for those that are not needed any more.
const LOOK_MIN: usize = 64;

/// Identities that sessions have, and some that they had.
#[derive(Debug)]
pub(super) struct Identities {
    known: HashTable<Arc<Identity>>,
    hasher: FixedState,
    /// When there are so many, those that nobody has go: each look costs no more than what came since the last one.
    look_at: usize,
}

impl Identities {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            known: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            look_at: LOOK_MIN,
        }
    }

    /// The same identity, which others may have too.
    pub(super) fn share(&mut self, identity: Arc<Identity>) -> Arc<Identity> {
        let hash = hash(&self.hasher, &identity);
        if let Some(known) = self.known.find(hash, |known| **known == *identity) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.look_at {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.look_at = LOOK_MIN.max(self.known.len() * 2);
        }
        let hasher = &self.hasher;
        self.known
            .insert_unique(hash, Arc::clone(&identity), |known| self::hash(hasher, known));
        identity
    }
}

fn hash(hasher: &FixedState, identity: &Identity) -> u64 {
    let mut state = hasher.build_hasher();
    (&identity.principal, &identity.credential).hash(&mut state);
    identity.expires_at.map(|at| at.as_micros()).hash(&mut state);
    state.finish()
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;
    use crate::identity::OrgId;

    fn identity(username: &str) -> Arc<Identity> {
        Arc::new(Identity::anonymous(OrgId::new("org_test"), username))
    }

    #[test]
    fn who_is_the_same_is_there_once() {
        let mut identities = Identities::new(1);
        let first = identities.share(identity("ada"));
        assert!(Arc::ptr_eq(&first, &identities.share(identity("ada"))));
        let mut renamed = (*first).clone();
        renamed.username = "bob".into();
        assert!(!Arc::ptr_eq(&first, &identities.share(Arc::new(renamed))));
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let mut identities = Identities::new(1);
        let stay: Vec<_> = (0..100)
            .map(|number| identities.share(identity(&format!("stays-{number}"))))
            .collect();
        for number in 0..10_000 {
            identities.share(identity(&format!("goes-{number}")));
        }
        assert!(identities.known.len() <= 2 * stay.len() + LOOK_MIN);
        for who in &stay {
            assert!(Arc::ptr_eq(who, &identities.share(Arc::new((**who).clone()))));
        }
    }
}

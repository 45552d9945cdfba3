//! Who owns which connections: by credential and by principal, so that an end finds its connections without
//! asking all of them.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::hash::{Hash, Hasher};

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use super::Org;
use crate::identity::{Credential, Identity};

/// The open connections of each credential and each principal, as the places of their sessions.
#[derive(Debug)]
pub(super) struct Owners {
    credentials: HashMap<OfCredential, BTreeSet<u32>, FixedState>,
    principals: HashMap<OfPrincipal, BTreeSet<u32>, FixedState>,
}

/// An identity that is found by its credential. Sharing it keeps the credential once in memory.
#[derive(Debug)]
struct OfCredential(Arc<Identity>);

/// An identity that is found by its principal.
#[derive(Debug)]
struct OfPrincipal(Arc<Identity>);

impl Borrow<Credential> for OfCredential {
    fn borrow(&self) -> &Credential {
        &self.0.credential
    }
}

impl Hash for OfCredential {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.credential.hash(state);
    }
}

impl PartialEq for OfCredential {
    fn eq(&self, other: &Self) -> bool {
        self.0.credential == other.0.credential
    }
}

impl Eq for OfCredential {}

impl Borrow<str> for OfPrincipal {
    fn borrow(&self) -> &str {
        &self.0.principal
    }
}

impl Hash for OfPrincipal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.principal.hash(state);
    }
}

impl PartialEq for OfPrincipal {
    fn eq(&self, other: &Self) -> bool {
        self.0.principal == other.0.principal
    }
}

impl Eq for OfPrincipal {}

impl Owners {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            credentials: HashMap::with_hasher(FixedState::with_seed(seed)),
            principals: HashMap::with_hasher(FixedState::with_seed(seed)),
        }
    }

    pub(super) fn enter(&mut self, place: u32, identity: &Arc<Identity>) {
        let credential = OfCredential(Arc::clone(identity));
        self.credentials.entry(credential).or_default().insert(place);
        let principal = OfPrincipal(Arc::clone(identity));
        self.principals.entry(principal).or_default().insert(place);
    }

    pub(super) fn leave(&mut self, place: u32, identity: &Identity) {
        if let Some(places) = self.credentials.get_mut(&identity.credential) {
            places.remove(&place);
            if places.is_empty() {
                self.credentials.remove(&identity.credential);
            }
        }
        if let Some(places) = self.principals.get_mut(&*identity.principal) {
            places.remove(&place);
            if places.is_empty() {
                self.principals.remove(&*identity.principal);
            }
        }
    }

    /// The places of a credential's connections, in order.
    pub(super) fn of_credential(&self, credential: &Credential) -> Vec<u32> {
        self.credentials
            .get(credential)
            .map_or_else(Vec::new, |places| places.iter().copied().collect())
    }

    /// The places of a principal's connections, in order.
    pub(super) fn of_principal(&self, principal: &str) -> Vec<u32> {
        self.principals
            .get(principal)
            .map_or_else(Vec::new, |places| places.iter().copied().collect())
    }
}

impl Org {
    /// Every connection is found by its credential and by its principal, and nothing else is.
    pub(super) fn check_owners(&self) {
        let entries = |sets: usize| sets as u64;
        let mut connections = 0;
        for (place, session) in &self.sessions {
            let Some(conn) = session.conn.as_deref() else {
                continue;
            };
            let place = u32::try_from(place).expect("invariant: limits count in 32 bits");
            let Owners {
                credentials,
                principals,
            } = &self.owners;
            let credential = credentials.get(&conn.identity.credential);
            let principal = principals.get(&*conn.identity.principal);
            let is_found = |places: Option<&BTreeSet<u32>>| places.is_some_and(|it| it.contains(&place));
            assert!(is_found(credential), "a connection is found by its credential");
            assert!(is_found(principal), "a connection is found by its principal");
            connections += 1;
        }
        let by_credential = self.owners.credentials.values().map(BTreeSet::len).sum();
        let by_principal = self.owners.principals.values().map(BTreeSet::len).sum();
        assert_eq!(
            entries(by_credential),
            connections,
            "no credential has a connection that is gone"
        );
        assert_eq!(
            entries(by_principal),
            connections,
            "no principal has a connection that is gone"
        );
    }
}

//! Sessions by their client ids. The ids themselves are where the sessions are.

use core::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use slab::Slab;

use super::Org;
use crate::session::Session;
use crate::spare;

/// Client id → the place of its session.
#[derive(Debug)]
pub(super) struct ClientIds {
    places: HashTable<u32>,
    hasher: FixedState,
}

impl ClientIds {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            places: HashTable::new(),
            hasher: FixedState::with_seed(seed),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) const fn hasher(&self) -> &FixedState {
        &self.hasher
    }

    pub(super) fn find(&self, sessions: &Slab<Session>, client_id: &str) -> Option<u32> {
        let is_it = |&place: &u32| sessions[place as usize].subscriptions.is_of(client_id);
        self.places.find(hash(&self.hasher, client_id), is_it).copied()
    }

    /// A session is there now.
    pub(super) fn enter(&mut self, sessions: &Slab<Session>, place: u32) {
        let hash_of = |&place: &u32| hash(&self.hasher, sessions[place as usize].client_id());
        self.places.insert_unique(hash_of(&place), place, hash_of);
    }

    /// A session, which has gone from its place, is not there any more.
    pub(super) fn leave(&mut self, sessions: &Slab<Session>, client_id: &str, place: u32) {
        let gone = hash(&self.hasher, client_id);
        if let Ok(entry) = self.places.find_entry(gone, |&other| other == place) {
            entry.remove();
        }
        if spare::is_due(self.places.len(), self.places.capacity()) {
            let hash_of = |&place: &u32| hash(&self.hasher, sessions[place as usize].client_id());
            self.places.shrink_to_fit(hash_of);
        }
    }
}

fn hash(hasher: &FixedState, client_id: &str) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(client_id.as_bytes());
    state.finish()
}

impl Org {
    /// The place of the session that goes by a client id.
    pub(super) fn place_of_client(&self, client_id: &str) -> Option<u32> {
        self.client_ids.find(&self.sessions, client_id)
    }
}

//! Key sets that were fetched, and when to fetch them again.
//!
//! | the set is | and the wanted key is | then |
//! |---|---|---|
//! | fresh | there | it is used |
//! | fresh | not there | it is fetched again, but not more often than every [`KeyTimes::refetch_min`] |
//! | not fresh | | it is fetched again; if that fails, it is used until [`KeyTimes::age_max`] |
//! | older, or absent | | it is fetched; if that fails, the login is refused for now |
//!
//! One fetch at a time for each issuer of each organization's provider, and it goes on if who asked for it
//! goes away: coming and going costs the provider nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use cloudsignal_broker::OrgId;
use cloudsignal_core::Instant;

use super::fault::FetchFault;
use super::fetch::Fetcher;
use super::key_set::KeySet;
use super::limits::{FETCHES_MAX, KEY_SETS_MAX};
use super::provider::KeySource;
use crate::clock::Clock;

/// When key sets are fetched.
#[derive(Clone, Copy, Debug)]
pub struct KeyTimes {
    /// A younger set is used without asking.
    pub fresh: Duration,
    /// An older set is not used any more.
    pub age_max: Duration,
    /// Time between two fetches of one set.
    pub refetch_min: Duration,
}

/// Which set: the organization, the provider, the issuer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SetName {
    pub(super) org: OrgId,
    pub(super) provider: Box<str>,
    pub(super) issuer: Box<str>,
}

/// The sets.
#[derive(Debug)]
pub(super) struct KeyCache {
    fetcher: Arc<Fetcher>,
    clock: Clock,
    times: KeyTimes,
    fetches: Arc<Semaphore>,
    slots: Mutex<BTreeMap<SetName, Arc<Slot>>>,
}

#[derive(Debug)]
struct Slot {
    /// Where it comes from; another place makes another slot.
    source: KeySource,
    state: Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    set: Option<(Arc<KeySet>, Instant)>,
    /// When the last fetch began.
    asked_at: Option<Instant>,
    /// Why the last fetch failed, if it did.
    failed: Option<FetchFault>,
    /// Closed when the fetch that is on its way has ended.
    on_its_way: Option<watch::Receiver<()>>,
}

/// What is to be done for a caller.
enum Step {
    Done(Result<Arc<KeySet>, FetchFault>),
    Wait(watch::Receiver<()>),
}

impl KeyCache {
    pub(super) fn new(fetcher: Fetcher, clock: Clock, times: KeyTimes) -> Self {
        Self {
            fetcher: Arc::new(fetcher),
            clock,
            times,
            fetches: Arc::new(Semaphore::new(FETCHES_MAX)),
            slots: Mutex::default(),
        }
    }

    /// A set that is young enough. If it lacks the key, it was fetched after this call began.
    pub(super) async fn get(
        &self,
        name: &SetName,
        source: &KeySource,
        kid: Option<&str>,
    ) -> Result<Arc<KeySet>, FetchFault> {
        let slot = self.slot(name, source);
        let called_at = self.clock.now();
        let mut has_waited = false;
        loop {
            match self.step(&slot, name, kid, called_at, has_waited) {
                Step::Done(answer) => return answer,
                Step::Wait(mut ended) => {
                    // `Err`: the sender is gone, which is what is waited for.
                    let _ = ended.changed().await;
                    has_waited = true;
                }
            }
        }
    }

    fn step(
        &self,
        slot: &Arc<Slot>,
        name: &SetName,
        kid: Option<&str>,
        called_at: Instant,
        has_waited: bool,
    ) -> Step {
        let mut state = slot.state.lock();
        let now = self.clock.now();
        let age = |at: Instant| now.since(at);
        let usable = state.set.clone().filter(|(_, at)| age(*at) < self.times.age_max);
        if let Some((set, at)) = &usable {
            let is_fresh = age(*at) < self.times.fresh;
            let is_news = has_waited && *at >= called_at;
            if is_news || (is_fresh && set.has(kid)) {
                return Step::Done(Ok(Arc::clone(set)));
            }
        }
        if let Some(ended) = &state.on_its_way {
            return Step::Wait(ended.clone());
        }
        let is_too_soon = state.asked_at.is_some_and(|at| age(at) < self.times.refetch_min);
        if !has_waited && !is_too_soon {
            match Arc::clone(&self.fetches).try_acquire_owned() {
                Ok(permit) => return Step::Wait(self.fetch(slot, &mut state, name, permit)),
                Err(_none_left) => state.failed = Some(FetchFault::Later),
            }
        }
        // What is here has to do; but whether a key is unknown cannot be said without asking.
        match usable {
            Some((set, _)) if set.has(kid) => Step::Done(Ok(set)),
            Some(_) | None => Step::Done(Err(state.failed.unwrap_or(FetchFault::Later))),
        }
    }

    /// Starts a fetch. Once for many callers, and bounded by the permits.
    fn fetch(
        &self,
        slot: &Arc<Slot>,
        state: &mut SlotState,
        name: &SetName,
        permit: OwnedSemaphorePermit,
    ) -> watch::Receiver<()> {
        let (ended, on_its_way) = watch::channel(());
        state.asked_at = Some(self.clock.now());
        state.on_its_way = Some(on_its_way.clone());
        let (slot, fetcher) = (Arc::clone(slot), Arc::clone(&self.fetcher));
        let (clock, name) = (self.clock.clone(), name.clone());
        tokio::spawn(async move {
            let landing = Landing {
                slot: &slot,
                _permit: permit,
                _ended: ended,
            };
            let fetched = fetcher.fetch(&slot.source, &name.issuer).await;
            if let Err(fault) = &fetched {
                tracing::warn!(org = %name.org, issuer = %name.issuer, %fault, "an identity provider's keys cannot be fetched");
            }
            landing.land(fetched, clock.now());
        });
        on_its_way
    }

    fn slot(&self, name: &SetName, source: &KeySource) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(name)
            && slot.source == *source
        {
            return Arc::clone(slot);
        }
        if !slots.contains_key(name) && slots.len() >= KEY_SETS_MAX {
            let oldest = slots.iter().min_by_key(|(_, slot)| slot.state.lock().asked_at);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.map(|name| slots.remove(&name));
        }
        let slot = Arc::new(Slot {
            source: source.clone(),
            state: Mutex::default(),
        });
        slots.insert(name.clone(), Arc::clone(&slot));
        slot
    }
}

/// A fetch on its way. Dropped in whatever way, it is not on its way any more and the waiting go on.
struct Landing<'a> {
    slot: &'a Slot,
    _permit: OwnedSemaphorePermit,
    _ended: watch::Sender<()>,
}

impl Landing<'_> {
    fn land(self, fetched: Result<KeySet, FetchFault>, now: Instant) {
        let mut state = self.slot.state.lock();
        state.failed = fetched.as_ref().err().copied();
        if let Ok(set) = fetched {
            state.set = Some((Arc::new(set), now));
        }
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.slot.state.lock().on_its_way = None;
    }
}

impl Fetcher {
    async fn fetch(&self, source: &KeySource, issuer: &str) -> Result<KeySet, FetchFault> {
        match source {
            KeySource::Jwks(at) => self.key_set(at).await,
            KeySource::Discovery(at) => self.discovered_key_set(at, issuer).await,
            // Nothing to fetch: the verifier never asks for it.
            KeySource::Secret(_) => Err(FetchFault::Address),
        }
    }
}

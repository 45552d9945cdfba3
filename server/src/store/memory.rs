//! The store in memory: same promises, same commit thread, nothing survives the process.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::embedded::{Batch, Embedded, Engine};
use super::view::{Space, View, Visit};
use super::{Store, StoreError};
use crate::clock::Clock;

/// An empty store.
///
/// # Errors
/// [`StoreError::Failed`] if no thread can be started.
pub fn open(clock: Clock) -> Result<impl Store, StoreError> {
    Embedded::open(MemoryEngine::default(), clock)
}

type Pairs = BTreeMap<(Space, Vec<u8>), Bytes>;

#[derive(Default)]
struct MemoryEngine {
    pairs: RwLock<Pairs>,
}

/// A copy of all keys; the values are shared.
struct MemoryView(Pairs);

impl View for MemoryView {
    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        visit: Visit<'_>,
    ) -> Result<(), String> {
        scan(&self.0, space, prefix, after, visit);
        Ok(())
    }
}

fn scan(pairs: &Pairs, space: Space, prefix: &[u8], after: Option<&[u8]>, visit: Visit<'_>) {
    let start = match after {
        Some(after) if after >= prefix => Bound::Excluded((space, after.to_vec())),
        Some(_) | None => Bound::Included((space, prefix.to_vec())),
    };
    let range = pairs.range((start, Bound::Unbounded));
    for ((_, key), value) in range.take_while(|((at, key), _)| *at == space && key.starts_with(prefix)) {
        if visit(key, value) == ControlFlow::Break(()) {
            break;
        }
    }
}

impl Engine for MemoryEngine {
    const READS_DISK: bool = false;

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, String> {
        Ok(self.pairs.read().get(&(space, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        visit: Visit<'_>,
    ) -> Result<(), String> {
        scan(&self.pairs.read(), space, prefix, after, visit);
        Ok(())
    }

    fn apply(&self, batch: &Batch) -> Result<(), String> {
        let mut pairs = self.pairs.write();
        for (space, key, value) in batch.writes() {
            let key = (space, key.to_vec());
            match value {
                Some(value) => pairs.insert(key, Bytes::copy_from_slice(value)),
                None => pairs.remove(&key),
            };
        }
        Ok(())
    }

    fn reopen(&self) -> Result<(), String> {
        Ok(())
    }

    fn view(&self) -> Result<Arc<dyn View>, String> {
        Ok(Arc::new(MemoryView(self.pairs.read().clone())))
    }
}

impl std::fmt::Debug for MemoryView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "memory as it was, {} pairs", self.0.len())
    }
}

impl std::fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "memory, {} pairs", self.pairs.read().len())
    }
}

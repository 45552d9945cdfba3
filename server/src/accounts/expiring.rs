//! A bounded map whose entries go when their time is over.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::WallTime;

#[derive(Debug)]
pub(super) struct Expiring<K, V> {
    entries: BTreeMap<K, (WallTime, V)>,
    by_time: BTreeSet<(WallTime, K)>,
    entries_max: usize,
}

impl<K: Ord + Clone, V> Expiring<K, V> {
    pub(super) const fn new(entries_max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_time: BTreeSet::new(),
            entries_max,
        }
    }

    pub(super) fn get(&self, key: &K, now: WallTime) -> Option<&V> {
        self.entries
            .get(key)
            .filter(|(expires_at, _)| *expires_at > now)
            .map(|(_, value)| value)
    }

    /// Whether `key` could be inserted now.
    pub(super) fn has_room(&mut self, key: &K, now: WallTime) -> bool {
        self.purge(now);
        self.entries.len() < self.entries_max || self.entries.contains_key(key)
    }

    /// Inserts; when full, the entry that ends first makes room.
    pub(super) fn insert_evicting(&mut self, key: K, value: V, expires_at: WallTime, now: WallTime) {
        if !self.has_room(&key, now)
            && let Some((_, first)) = self.by_time.pop_first()
        {
            self.entries.remove(&first);
        }
        self.put(key, value, expires_at);
    }

    fn put(&mut self, key: K, value: V, expires_at: WallTime) {
        if let Some((before, _)) = self.entries.insert(key.clone(), (expires_at, value)) {
            self.by_time.remove(&(before, key.clone()));
        }
        self.by_time.insert((expires_at, key));
        debug_assert_eq!(self.entries.len(), self.by_time.len());
    }

    fn purge(&mut self, now: WallTime) {
        while self
            .by_time
            .first()
            .is_some_and(|(expires_at, _)| *expires_at <= now)
        {
            if let Some((_, key)) = self.by_time.pop_first() {
                self.entries.remove(&key);
            }
        }
    }

    /// Living entries from `from` on, in key order.
    pub(super) fn from(&self, from: &K, now: WallTime) -> impl Iterator<Item = (&K, &V)> {
        let rest = self.entries.range(from..);
        rest.filter(move |(_, (expires_at, _))| *expires_at > now)
            .map(|(key, (_, value))| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(micros: u64) -> WallTime {
        WallTime::from_unix_micros(micros)
    }

    #[test]
    fn entries_end_and_make_room() {
        let mut map = Expiring::new(2);
        map.insert_evicting("a", 1, at(10), at(0));
        map.insert_evicting("b", 2, at(20), at(0));
        assert!(!map.has_room(&"c", at(9)));
        assert!(map.has_room(&"a", at(9)), "it has its place");
        assert_eq!(map.get(&"a", at(9)), Some(&1));
        assert_eq!(map.get(&"a", at(10)), None);
        assert!(map.has_room(&"c", at(10)));
        map.insert_evicting("c", 3, at(30), at(10));
        assert_eq!(
            map.from(&"", at(10)).map(|(key, _)| *key).collect::<Vec<_>>(),
            ["b", "c"]
        );
        assert_eq!(map.from(&"c", at(10)).count(), 1);
    }

    #[test]
    fn an_entry_can_be_moved_even_when_the_map_is_full() {
        let mut map = Expiring::new(1);
        map.insert_evicting("a", 1, at(10), at(0));
        map.insert_evicting("a", 2, at(20), at(0));
        assert_eq!(map.get(&"a", at(15)), Some(&2));
    }

    #[test]
    fn eviction_takes_the_entry_that_ends_first() {
        let mut map = Expiring::new(2);
        for (key, end) in [("late", 30), ("early", 10), ("new", 20)] {
            map.insert_evicting(key, (), at(end), at(0));
        }
        assert_eq!(
            map.from(&"", at(0)).map(|(key, ())| *key).collect::<Vec<_>>(),
            ["late", "new"]
        );
    }
}

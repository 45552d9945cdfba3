//! The subscription tree of one organization: one node for each level of a filter.
//!
//! ```text
//!          root
//!         /    \
//!    "sport"   "+"            filters: sport/tennis   sport/#   +/news
//!     /   \      \
//! "tennis" "#"  "news"        `sport/#` matches `sport` itself: whoever comes to a node looks below it
//!   [s1]   [s2]  [s3]         for "#" at once
//! ```
//!
//! In a fleet most filters are one device's own, so a node is small: 40 bytes, its text and its only subscriber
//! included. Children are found by (parent, level) in one table of all nodes.

use core::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

use cloudsignal_core::{TopicFilter, TopicName};

use super::level::Level;
use super::shared::GroupKey;
use super::subscribers::{Direct, Subscribers};
use crate::spare;

#[derive(Debug)]
struct Node {
    parent: u32,
    below: Below,
    /// The level under which its parent knows it, `+` and `#` included; empty for the root.
    level: Level,
    here: Subscribers,
}

/// Which nodes are below a node: nobody asks the table for children that are not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Below(u32);

impl Below {
    const PLUS: u32 = 1 << 31;
    const HASH: u32 = 1 << 30;
    const NOTHING: Self = Self(0);

    const fn has_plus(self) -> bool {
        self.0 & Self::PLUS != 0
    }

    const fn has_hash(self) -> bool {
        self.0 & Self::HASH != 0
    }

    /// Whether there are any for levels that are no wildcards.
    const fn has_names(self) -> bool {
        self.0 & !(Self::PLUS | Self::HASH) != 0
    }

    const fn add(&mut self, level: &[u8]) {
        self.0 += Self::weight(level);
    }

    const fn remove(&mut self, level: &[u8]) {
        self.0 -= Self::weight(level);
    }

    const fn weight(level: &[u8]) -> u32 {
        match level {
            b"+" => Self::PLUS,
            b"#" => Self::HASH,
            _ => 1,
        }
    }
}

/// The tree. Its memory is bounded by the subscriptions that sessions may hold.
#[derive(Debug)]
pub(crate) struct Trie {
    nodes: Slab<Node>,
    /// Every node but the root, found by its parent and its level.
    children: HashTable<u32>,
    hasher: FixedState,
}

const ROOT: u32 = 0;

impl Trie {
    pub(crate) fn new(seed: u64) -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node {
            parent: ROOT,
            below: Below::NOTHING,
            level: Level::new(""),
            here: Subscribers::Nobody,
        });
        Self {
            nodes,
            children: HashTable::new(),
            hasher: FixedState::with_seed(seed),
        }
    }

    /// Adds or replaces the subscription of a session to `filter`.
    pub(crate) fn subscribe(&mut self, filter: TopicFilter<'_>, direct: Direct) {
        self.node_mut(filter).here.put(direct);
    }

    pub(crate) fn unsubscribe(&mut self, filter: TopicFilter<'_>, session: u32) {
        self.remove(filter, |subscribers| subscribers.remove(session));
    }

    /// The subscription of a session to `filter`. For checks: what is routed goes through `matches`.
    pub(crate) fn subscription(&self, filter: TopicFilter<'_>, session: u32) -> Option<&Direct> {
        self.nodes[self.find(filter)? as usize].here.get(session)
    }

    /// How many subscriptions there are, groups not counted.
    pub(crate) fn len(&self) -> usize {
        self.nodes.iter().map(|(_, node)| node.here.len()).sum()
    }

    pub(crate) fn add_group(&mut self, filter: TopicFilter<'_>, group: GroupKey) {
        self.node_mut(filter).here.put_group(group);
    }

    pub(crate) fn remove_group(&mut self, filter: TopicFilter<'_>, group: GroupKey) {
        self.remove(filter, |subscribers| subscribers.remove_group(group));
    }

    /// Calls `direct` and `group` for every subscription whose filter matches `topic`.
    pub(crate) fn matches(
        &self,
        topic: TopicName<'_>,
        mut direct: impl FnMut(&Direct),
        mut group: impl FnMut(GroupKey),
    ) {
        let levels: SmallVec<[&str; 16]> = topic.levels().collect();
        let mut emit = |node: &Node| node.here.each(&mut direct, &mut group);
        // [MQTT-4.7.2-1] a filter that begins with a wildcard does not match a topic that begins with `$`.
        let root_wildcards = !topic.is_dollar();
        let mut open: SmallVec<[(u32, usize); 32]> = SmallVec::new();
        open.push((ROOT, 0));
        while let Some((place, depth)) = open.pop() {
            let node = &self.nodes[place as usize];
            let wildcards = depth > 0 || root_wildcards;
            if wildcards
                && node.below.has_hash()
                && let Some(hash) = self.child(place, "#")
            {
                emit(&self.nodes[hash as usize]);
            }
            let Some(&level) = levels.get(depth) else {
                emit(node);
                continue;
            };
            let plus = (wildcards && node.below.has_plus()).then_some("+");
            let name = node.below.has_names().then_some(level);
            let children = plus.into_iter().chain(name);
            open.extend(children.filter_map(|level| Some((self.child(place, level)?, depth + 1))));
        }
    }

    /// How many nodes there are, the root included.
    #[cfg(test)]
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    fn find(&self, filter: TopicFilter<'_>) -> Option<u32> {
        let mut levels = filter.levels();
        levels.try_fold(ROOT, |place, level| self.child(place, level))
    }

    fn node_mut(&mut self, filter: TopicFilter<'_>) -> &mut Node {
        let levels = filter.levels();
        let place = levels.fold(ROOT, |place, level| self.child_or_new(place, level));
        &mut self.nodes[place as usize]
    }

    fn remove(&mut self, filter: TopicFilter<'_>, take: impl FnOnce(&mut Subscribers)) {
        if let Some(place) = self.find(filter) {
            take(&mut self.nodes[place as usize].here);
            self.prune(place);
        }
    }

    /// Takes away nodes that lead nowhere, from `place` upwards.
    fn prune(&mut self, mut place: u32) {
        while place != ROOT {
            let node = &self.nodes[place as usize];
            if node.below != Below::NOTHING || !node.here.is_empty() {
                return;
            }
            let hash = self.hash(node.parent, node.level.as_bytes());
            if let Ok(entry) = self.children.find_entry(hash, |&other| other == place) {
                entry.remove();
            }
            let node = self.nodes.remove(place as usize);
            self.nodes[node.parent as usize]
                .below
                .remove(node.level.as_bytes());
            self.give_back();
            place = node.parent;
        }
    }

    fn give_back(&mut self) {
        let Self {
            nodes,
            children,
            hasher,
        } = self;
        if spare::is_due(children.len(), children.capacity()) {
            children.shrink_to_fit(|&place| {
                let node = &nodes[place as usize];
                hash_of(hasher, node.parent, node.level.as_bytes())
            });
        }
        if spare::is_due(nodes.len(), nodes.capacity()) {
            nodes.shrink_to_fit();
        }
    }

    fn child(&self, parent: u32, level: &str) -> Option<u32> {
        let is_it = |&place: &u32| {
            let node = &self.nodes[place as usize];
            node.parent == parent && node.level.is(level)
        };
        self.children
            .find(self.hash(parent, level.as_bytes()), is_it)
            .copied()
    }

    fn child_or_new(&mut self, parent: u32, level: &str) -> u32 {
        if let Some(child) = self.child(parent, level) {
            return child;
        }
        let place = self.nodes.insert(Node {
            parent,
            below: Below::NOTHING,
            level: Level::new(level),
            here: Subscribers::Nobody,
        });
        let place = u32::try_from(place).expect("invariant: limits keep subscriptions far below 2^32");
        self.nodes[parent as usize].below.add(level.as_bytes());
        let hash = self.hash(parent, level.as_bytes());
        let Self {
            nodes,
            children,
            hasher,
        } = self;
        children.insert_unique(hash, place, |&other| {
            let node = &nodes[other as usize];
            hash_of(hasher, node.parent, node.level.as_bytes())
        });
        place
    }

    fn hash(&self, parent: u32, level: &[u8]) -> u64 {
        hash_of(&self.hasher, parent, level)
    }
}

fn hash_of(hasher: &FixedState, parent: u32, level: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write_u32(parent);
    state.write(level);
    state.finish()
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use cloudsignal_core::Qos;

    use super::*;

    fn direct(session: u32) -> Direct {
        Direct {
            session,
            id: None,
            qos: Qos::AtMostOnce,
            no_local: false,
            retain_as_published: false,
            covered: true,
        }
    }

    fn filter(text: &str) -> TopicFilter<'_> {
        TopicFilter::parse(text).expect("a filter")
    }

    fn matching(trie: &Trie, topic: &str) -> Vec<u32> {
        let mut found = vec![];
        trie.matches(
            TopicName::parse(topic).expect("a topic"),
            |direct| found.push(direct.session),
            |_| (),
        );
        found.sort_unstable();
        found
    }

    const FILTERS: [&str; 14] = [
        "a", "a/b", "a/+", "a/#", "+", "+/b", "#", "+/+", "a/b/c", "/", "/+", "$x/#", "+/#", "a//b",
    ];
    const TOPICS: [&str; 12] = [
        "a", "a/b", "a/c", "b", "b/b", "/", "/a", "$x", "$x/y", "a/b/c", "a//b", "a/",
    ];

    #[test]
    fn agrees_with_the_one_definition_of_matches() {
        let mut trie = Trie::new(7);
        for (session, text) in (0..).zip(FILTERS) {
            trie.subscribe(filter(text), direct(session));
        }
        for topic in TOPICS {
            let name = TopicName::parse(topic).expect("a topic");
            let expected: Vec<u32> = (0..)
                .zip(FILTERS)
                .filter(|(_, text)| filter(text).matches(name))
                .map(|(session, _)| session)
                .collect();
            assert_eq!(matching(&trie, topic), expected, "{topic}");
        }
    }

    #[test]
    fn forgets_what_is_unsubscribed() {
        let mut trie = Trie::new(7);
        for text in FILTERS {
            trie.subscribe(filter(text), direct(1));
            trie.subscribe(filter(text), direct(1));
        }
        for text in FILTERS {
            trie.unsubscribe(filter(text), 2);
        }
        assert_eq!(trie.len(), FILTERS.len(), "what was not there takes nothing away");
        for text in FILTERS {
            trie.unsubscribe(filter(text), 1);
            trie.unsubscribe(filter(text), 1);
        }
        assert_eq!(trie.node_count(), 1, "only the root is left");
        assert_eq!(matching(&trie, "a/b"), []);
    }

    #[test]
    fn a_fleet_has_a_filter_in_common() {
        let mut trie = Trie::new(7);
        for session in [5, 1, 3] {
            trie.subscribe(filter("fleet/all"), direct(session));
            trie.add_group(filter("fleet/all"), GroupKey(u64::from(session)));
        }
        assert_eq!(matching(&trie, "fleet/all"), [1, 3, 5]);
        let again = Direct {
            qos: Qos::ExactlyOnce,
            ..direct(3)
        };
        trie.subscribe(filter("fleet/all"), again);
        assert_eq!(trie.subscription(filter("fleet/all"), 3), Some(&again));
        for session in [1, 5] {
            trie.unsubscribe(filter("fleet/all"), session);
        }
        for group in [1, 3, 5] {
            trie.remove_group(filter("fleet/all"), GroupKey(group));
        }
        assert_eq!(matching(&trie, "fleet/all"), [3]);
        trie.unsubscribe(filter("fleet/all"), 3);
        assert_eq!(trie.node_count(), 1);
    }

    #[test]
    fn a_level_may_be_long() {
        let mut trie = Trie::new(7);
        let long = "a-level-that-is-longer-than-most/and-one-below-it-that-is-too";
        trie.subscribe(filter(long), direct(2));
        assert_eq!(matching(&trie, long), [2]);
        assert_eq!(matching(&trie, "a-level-that-is-longer-than-most"), []);
        trie.unsubscribe(filter(long), 2);
        assert_eq!(trie.node_count(), 1);
    }

    #[test]
    fn a_node_is_small() {
        assert_eq!(size_of::<Node>(), 40);
    }

    #[test]
    fn shared_groups_are_found_beside_sessions() {
        let mut trie = Trie::new(7);
        trie.add_group(filter("a/#"), GroupKey(4));
        let mut groups = vec![];
        trie.matches(
            TopicName::parse("a/b").expect("a topic"),
            |_| (),
            |group| groups.push(group),
        );
        assert_eq!(groups, [GroupKey(4)]);
        trie.remove_group(filter("a/#"), GroupKey(4));
        assert_eq!(trie.node_count(), 1);
    }
}

//! The subscription tree of one organization: one node for each level of a filter.
//!
//! ```text
//!          root
//!         /    \
//!    "sport"    '+'            filters: sport/tennis   sport/#   +/news
//!     /   \#      \
//! "tennis" [s2]  "news"        a filter ending in '#' is stored at its parent, which is
//!   [s1]           [s3]        why `sport/#` matches `sport` itself
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use foldhash::quality::FixedState;
use hashbrown::HashMap;
use slab::Slab;
use smallvec::SmallVec;

use cloudsignal_core::{Qos, TopicFilter, TopicName};

use super::shared::GroupKey;

/// A subscription of one session, as the tree keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Direct {
    pub(crate) session: u32,
    pub(crate) id: Option<NonZeroU32>,
    pub(crate) qos: Qos,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// Whether the session may receive everything the filter matches; else it is asked topic by topic.
    pub(crate) covered: bool,
}

/// Who subscribed to one filter.
#[derive(Debug, Default)]
struct Subscribers {
    direct: Vec<Direct>,
    groups: Vec<GroupKey>,
}

impl Subscribers {
    const fn is_empty(&self) -> bool {
        self.direct.is_empty() && self.groups.is_empty()
    }
}

#[derive(Debug)]
struct Node {
    parent: u32,
    /// The level under which the parent knows this node; empty for the root and for `+`.
    level: Box<str>,
    children: HashMap<Box<str>, u32, FixedState>,
    plus: Option<u32>,
    here: Subscribers,
    hash: Subscribers,
}

/// The tree. Its memory is bounded by the subscriptions that sessions may hold.
#[derive(Debug)]
pub(crate) struct Trie {
    nodes: Slab<Node>,
    hasher: FixedState,
}

const ROOT: u32 = 0;

impl Trie {
    pub(crate) fn new(seed: u64) -> Self {
        let mut trie = Self {
            nodes: Slab::new(),
            hasher: FixedState::with_seed(seed),
        };
        trie.add_node(ROOT, "");
        trie
    }

    /// Adds or replaces the subscription of a session to `filter`.
    pub(crate) fn subscribe(&mut self, filter: TopicFilter<'_>, direct: Direct) {
        let subscribers = self.subscribers_mut(filter);
        match subscribers
            .direct
            .iter_mut()
            .find(|other| other.session == direct.session)
        {
            Some(other) => *other = direct,
            None => subscribers.direct.push(direct),
        }
    }

    pub(crate) fn unsubscribe(&mut self, filter: TopicFilter<'_>, session: u32) {
        self.remove(filter, |subscribers| {
            subscribers.direct.retain(|direct| direct.session != session);
        });
    }

    /// The subscription of a session to `filter`. For checks: what is routed goes through `matches`.
    pub(crate) fn subscription(&self, filter: TopicFilter<'_>, session: u32) -> Option<&Direct> {
        let mut node = &self.nodes[ROOT as usize];
        for level in filter.levels().filter(|level| *level != "#") {
            let place = if level == "+" {
                node.plus
            } else {
                node.children.get(level).copied()
            };
            node = &self.nodes[place? as usize];
        }
        let ends_in_hash = filter.levels().last() == Some("#");
        let here = if ends_in_hash { &node.hash } else { &node.here };
        here.direct.iter().find(|direct| direct.session == session)
    }

    /// How many subscriptions there are, groups not counted.
    pub(crate) fn len(&self) -> usize {
        let count = |node: &Node| node.here.direct.len() + node.hash.direct.len();
        self.nodes.iter().map(|(_, node)| count(node)).sum()
    }

    pub(crate) fn add_group(&mut self, filter: TopicFilter<'_>, group: GroupKey) {
        self.subscribers_mut(filter).groups.push(group);
    }

    pub(crate) fn remove_group(&mut self, filter: TopicFilter<'_>, group: GroupKey) {
        self.remove(filter, |subscribers| {
            subscribers.groups.retain(|&other| other != group);
        });
    }

    /// Calls `direct` and `group` for every subscription whose filter matches `topic`.
    pub(crate) fn matches(
        &self,
        topic: TopicName<'_>,
        mut direct: impl FnMut(&Direct),
        mut group: impl FnMut(GroupKey),
    ) {
        let levels: SmallVec<[&str; 16]> = topic.levels().collect();
        let mut emit = |subscribers: &Subscribers| {
            subscribers.direct.iter().for_each(&mut direct);
            subscribers.groups.iter().copied().for_each(&mut group);
        };
        // [MQTT-4.7.2-1] a filter that begins with a wildcard does not match a topic that begins with `$`.
        let root_wildcards = !topic.is_dollar();
        let mut open: SmallVec<[(u32, usize); 32]> = SmallVec::new();
        open.push((ROOT, 0));
        while let Some((place, depth)) = open.pop() {
            let node = &self.nodes[place as usize];
            let wildcards = depth > 0 || root_wildcards;
            if wildcards {
                emit(&node.hash);
            }
            let Some(&level) = levels.get(depth) else {
                emit(&node.here);
                continue;
            };
            if let Some(plus) = node.plus.filter(|_| wildcards) {
                open.push((plus, depth + 1));
            }
            if let Some(&child) = node.children.get(level) {
                open.push((child, depth + 1));
            }
        }
    }

    /// How many nodes there are, the root included.
    #[cfg(test)]
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    fn subscribers_mut(&mut self, filter: TopicFilter<'_>) -> &mut Subscribers {
        let mut place = ROOT;
        for level in filter.levels() {
            if level == "#" {
                return &mut self.nodes[place as usize].hash;
            }
            place = self.child_or_new(place, level);
        }
        &mut self.nodes[place as usize].here
    }

    fn remove(&mut self, filter: TopicFilter<'_>, take: impl FnOnce(&mut Subscribers)) {
        let mut place = ROOT;
        for level in filter.levels() {
            if level == "#" {
                take(&mut self.nodes[place as usize].hash);
                return self.prune(place);
            }
            let Some(child) = self.child(place, level) else {
                return;
            };
            place = child;
        }
        take(&mut self.nodes[place as usize].here);
        self.prune(place);
    }

    /// Takes away nodes that lead nowhere, from `place` upwards.
    fn prune(&mut self, mut place: u32) {
        while place != ROOT {
            let node = &self.nodes[place as usize];
            let leads_somewhere = !node.children.is_empty() || node.plus.is_some();
            if leads_somewhere || !node.here.is_empty() || !node.hash.is_empty() {
                return;
            }
            let node = self.nodes.remove(place as usize);
            let parent = &mut self.nodes[node.parent as usize];
            if parent.plus == Some(place) {
                parent.plus = None;
            } else {
                parent.children.remove(&node.level);
            }
            place = node.parent;
        }
    }

    fn child(&self, place: u32, level: &str) -> Option<u32> {
        let node = &self.nodes[place as usize];
        if level == "+" {
            node.plus
        } else {
            node.children.get(level).copied()
        }
    }

    fn child_or_new(&mut self, place: u32, level: &str) -> u32 {
        if let Some(child) = self.child(place, level) {
            return child;
        }
        if level == "+" {
            let child = self.add_node(place, "");
            self.nodes[place as usize].plus = Some(child);
            return child;
        }
        let child = self.add_node(place, level);
        self.nodes[place as usize].children.insert(level.into(), child);
        child
    }

    fn add_node(&mut self, parent: u32, level: &str) -> u32 {
        let node = Node {
            parent,
            level: level.into(),
            children: HashMap::with_hasher(self.hasher.clone()),
            plus: None,
            here: Subscribers::default(),
            hash: Subscribers::default(),
        };
        u32::try_from(self.nodes.insert(node)).expect("invariant: limits keep subscriptions far below 2^32")
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

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
            trie.unsubscribe(filter(text), 1);
            trie.unsubscribe(filter(text), 1);
        }
        assert_eq!(trie.node_count(), 1, "only the root is left");
        assert_eq!(matching(&trie, "a/b"), []);
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

//! A bounded memory of what the tree answered, because real traffic repeats topics.
//!
//! An answer already holds what permissions say about the topic, so a delivery that repeats costs
//! no question. Anything that could change an answer raises the generation, which forgets all.

use alloc::boxed::Box;
use alloc::vec::Vec;

use foldhash::quality::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;

use cloudsignal_core::{Qos, TopicName};

use super::shared::GroupKey;
use super::trie::{Direct, Trie};

/// Topics remembered at once; when there are more, the next question empties the memory.
const TOPICS_MAX: usize = 4_096;
/// Matches remembered at once over all topics; when there are more, the next question empties the memory.
const MATCHES_MAX: usize = 1 << 20;
/// Subscription identifiers of overlapping subscriptions that one delivery names; the rest are left out.
const IDS_MAX: usize = 64;

/// One session that gets the message, all its matching subscriptions taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) session: u32,
    /// The highest QoS of the matching subscriptions.
    pub(crate) qos: Qos,
    /// Whether every matching subscription is No Local.
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    ids_at: u32,
    ids_len: u8,
}

/// Everybody who gets messages under one topic.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    pub(crate) sessions: Box<[Match]>,
    pub(crate) groups: Box<[GroupKey]>,
    ids: Box<[u32]>,
}

impl Matches {
    /// The subscription identifiers that the delivery must carry.
    pub(crate) fn ids(&self, of: &Match) -> &[u32] {
        let at = of.ids_at as usize;
        &self.ids[at..at + usize::from(of.ids_len)]
    }

    fn find(trie: &Trie, topic: TopicName<'_>, allowed: impl Fn(u32) -> bool) -> Self {
        let (mut found, mut groups): (Vec<Direct>, Vec<GroupKey>) = (Vec::new(), Vec::new());
        trie.matches(topic, |direct| found.push(*direct), |group| groups.push(group));
        found.retain(|direct| direct.covered || allowed(direct.session));
        found.sort_by_key(|direct| (direct.session, direct.id));
        let mut ids = Vec::new();
        let sessions = found
            .chunk_by(|a, b| a.session == b.session)
            .map(|same| Match::merge(same, &mut ids))
            .collect();
        Self {
            sessions,
            groups: groups.into_boxed_slice(),
            ids: ids.into_boxed_slice(),
        }
    }
}

impl Match {
    /// Overlapping subscriptions make one delivery, at the highest QoS and with every identifier. [MQTT-3.3.4-2]
    fn merge(same: &[Direct], ids: &mut Vec<u32>) -> Self {
        let at = ids.len();
        ids.extend(
            same.iter()
                .filter_map(|direct| direct.id)
                .map(core::num::NonZeroU32::get)
                .take(IDS_MAX),
        );
        Self {
            session: same[0].session,
            qos: same.iter().map(|direct| direct.qos).max().unwrap_or_default(),
            no_local: same.iter().all(|direct| direct.no_local),
            retain_as_published: same.iter().any(|direct| direct.retain_as_published),
            ids_at: u32::try_from(at).expect("invariant: identifiers are bounded by subscriptions"),
            ids_len: u8::try_from(ids.len() - at).expect("invariant: IDS_MAX fits"),
        }
    }
}

/// topic → matches.
#[derive(Debug)]
pub(crate) struct MatchCache {
    answers: HashMap<Box<str>, Matches, FixedState>,
    matches: usize,
}

impl MatchCache {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            answers: HashMap::with_hasher(FixedState::with_seed(seed)),
            matches: 0,
        }
    }

    /// Something changed that could change an answer.
    pub(crate) fn forget(&mut self) {
        if !self.answers.is_empty() {
            self.answers.clear();
            self.matches = 0;
        }
    }

    /// Everybody who gets messages under `topic`; `allowed` is asked once for each session that is
    /// not covered by its subscription permit.
    pub(crate) fn lookup(
        &mut self,
        trie: &Trie,
        topic: TopicName<'_>,
        allowed: impl Fn(u32) -> bool,
    ) -> &Matches {
        if self.answers.len() > TOPICS_MAX || self.matches > MATCHES_MAX {
            self.forget();
        }
        match self.answers.entry_ref(topic.as_str()) {
            EntryRef::Occupied(known) => known.into_mut(),
            EntryRef::Vacant(unknown) => {
                let found = Matches::find(trie, topic, allowed);
                self.matches += found.sessions.len();
                unknown.insert_with_key(topic.as_str().into(), found)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU32;

    use cloudsignal_core::TopicFilter;

    use super::*;

    fn direct(session: u32, qos: Qos, id: u32) -> Direct {
        Direct {
            session,
            id: NonZeroU32::new(id),
            qos,
            no_local: id == 1,
            retain_as_published: id == 2,
            covered: session != 9,
        }
    }

    fn trie() -> Trie {
        let mut trie = Trie::new(1);
        let mut add = |filter, direct| trie.subscribe(TopicFilter::parse(filter).expect("a filter"), direct);
        add("a/b", direct(5, Qos::AtMostOnce, 2));
        add("a/+", direct(5, Qos::ExactlyOnce, 1));
        add("#", direct(3, Qos::AtLeastOnce, 0));
        add("a/#", direct(9, Qos::AtLeastOnce, 7));
        trie
    }

    fn topic() -> TopicName<'static> {
        TopicName::parse("a/b").expect("a topic")
    }

    #[test]
    fn overlapping_subscriptions_make_one_delivery() {
        let (mut cache, trie) = (MatchCache::new(1), trie());
        let matches = cache.lookup(&trie, topic(), |_| false);
        assert_eq!(
            matches
                .sessions
                .iter()
                .map(|found| found.session)
                .collect::<Vec<_>>(),
            [3, 5]
        );
        let both = &matches.sessions[1];
        assert_eq!(
            (both.qos, both.no_local, both.retain_as_published),
            (Qos::ExactlyOnce, false, true)
        );
        assert_eq!(matches.ids(both), [1, 2]);
        assert_eq!(matches.ids(&matches.sessions[0]), [0_u32; 0]);
    }

    #[test]
    fn an_answer_is_kept_until_something_changes() {
        let (mut cache, trie) = (MatchCache::new(1), trie());
        assert_eq!(cache.lookup(&trie, topic(), |_| true).sessions.len(), 3);
        assert_eq!(
            cache.lookup(&trie, topic(), |_| false).sessions.len(),
            3,
            "not asked again"
        );
        cache.forget();
        assert_eq!(cache.lookup(&trie, topic(), |_| false).sessions.len(), 2);
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut cache, trie) = (MatchCache::new(1), trie());
        for n in 0..=2 * TOPICS_MAX {
            let name = alloc::format!("t/{n}");
            cache.lookup(&trie, TopicName::parse(&name).expect("a topic"), |_| true);
        }
        assert!(cache.answers.len() <= TOPICS_MAX + 1);
        assert_eq!(
            cache.matches,
            cache
                .answers
                .values()
                .map(|answer| answer.sessions.len())
                .sum::<usize>()
        );
    }
}

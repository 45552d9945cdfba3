//! A bounded memory of what the tree answered, because real traffic repeats topics.
//!
//! An answer already holds what permissions say about the topic, so a delivery that repeats costs
//! no question. Anything that could change an answer raises the generation, which forgets all.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use smallvec::SmallVec;

use cloudsignal_core::{Qos, TopicName};

use super::shared::{GroupKey, Groups};
use super::subscribers::Direct;
use super::trie::Trie;

/// Topics remembered at once; when there are more, the next question empties the memory.
const TOPICS_MAX: usize = 16_384;
/// Bytes of topics and answers remembered at once; when there are more, the next question empties the
/// memory. An answer that is larger is remembered alone.
const BYTES_MAX: usize = 32 * 1_048_576;
/// What remembering an answer costs beside its topic and its lists, in bytes.
const ANSWER_BYTES: usize = 128;
/// Up to so many topics, every one is remembered; after that only one that was asked about before.
const WELCOME_TOPICS_MAX: usize = 256;
/// Topics that were asked about lately, one byte each.
const DOOR_LEN: usize = TOPICS_MAX;
/// Members of a group that are asked beforehand; those of a larger one are asked when it is their turn.
const MEMBERS_ASKED_MAX: usize = 64;
/// Subscription identifiers of overlapping subscriptions that one delivery names; the rest are left out.
const IDS_MAX: usize = u16::MAX as usize;

/// One session that gets the message, all its matching subscriptions taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) session: u32,
    /// Whose messages reach it so.
    pub(crate) audience: Audience,
    /// The highest QoS of the matching subscriptions.
    pub(crate) qos: Qos,
    pub(crate) retain_as_published: bool,
    ids_len: u16,
    ids_at: u32,
}

/// One group of which a member gets the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupMatch {
    pub(crate) key: GroupKey,
    /// Whether every member may receive it, so that nobody is asked about it again.
    pub(crate) is_open: bool,
}

/// Whose messages a match is about. [MQTT-3.8.3-3]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Everybody's: no subscription is No Local.
    All,
    /// Those of others: at least one subscription is No Local.
    Others,
    /// The session's own, which only the subscriptions that are not No Local bring.
    Oneself,
}

impl Audience {
    /// Whether a message of the session itself, or of somebody else, goes this way.
    pub(crate) fn includes(self, is_own: bool) -> bool {
        match self {
            Self::All => true,
            Self::Others => !is_own,
            Self::Oneself => is_own,
        }
    }
}

/// Everybody who gets messages under one topic.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    pub(crate) sessions: Box<[Match]>,
    pub(crate) groups: Box<[GroupMatch]>,
    ids: Box<[u32]>,
}

impl Matches {
    /// The subscription identifiers that the delivery must carry.
    pub(crate) fn ids(&self, of: &Match) -> &[u32] {
        let at = of.ids_at as usize;
        &self.ids[at..at + usize::from(of.ids_len)]
    }

    /// What remembering it costs, its topic included.
    fn bytes(&self, topic: &str) -> usize {
        let lists = size_of_val(&*self.sessions) + size_of_val(&*self.groups) + size_of_val(&*self.ids);
        ANSWER_BYTES + topic.len() + lists
    }

    fn find(trie: &Trie, groups: &Groups, topic: TopicName<'_>, allowed: impl Fn(u32) -> bool) -> Self {
        let mut found: SmallVec<[Direct; 16]> = SmallVec::new();
        let mut keys = Vec::new();
        trie.matches(topic, |direct| found.push(*direct), |group| keys.push(group));
        let group_match = |key| {
            let members = groups.members(key);
            let is_open = members.len() <= MEMBERS_ASKED_MAX
                && members
                    .iter()
                    .all(|member| member.covered || allowed(member.session));
            GroupMatch { key, is_open }
        };
        let groups: Vec<_> = keys.into_iter().map(group_match).collect();
        found.retain(|direct| direct.covered || allowed(direct.session));
        found.sort_by_key(|direct| (direct.session, direct.id));
        let (mut sessions, mut ids) = (Vec::with_capacity(found.len()), Vec::new());
        for same in found.chunk_by_mut(|a, b| a.session == b.session) {
            Match::merge_audiences(same, &mut sessions, &mut ids);
        }
        Self {
            sessions: sessions.into_boxed_slice(),
            groups: groups.into_boxed_slice(),
            ids: ids.into_boxed_slice(),
        }
    }
}

impl Match {
    /// No Local holds for one subscription and not for the one beside it: when a session has both, its own
    /// messages and those of others reach it in different ways.
    fn merge_audiences(same: &mut [Direct], matches: &mut Vec<Self>, ids: &mut Vec<u32>) {
        let count = same.len();
        same.sort_by_key(|direct| direct.no_local);
        let open = same.partition_point(|direct| !direct.no_local);
        if open == count {
            return matches.push(Self::merge(same, Audience::All, ids));
        }
        if let Some(open @ [_, ..]) = same.get(..open) {
            matches.push(Self::merge(open, Audience::Oneself, ids));
        }
        matches.push(Self::merge(same, Audience::Others, ids));
    }

    /// Overlapping subscriptions make one delivery, at the highest QoS and with every identifier.
    /// [MQTT-3.3.4-2] [MQTT-3.3.4-4]
    fn merge(same: &[Direct], audience: Audience, ids: &mut Vec<u32>) -> Self {
        let at = ids.len();
        ids.extend(
            same.iter()
                .filter_map(|direct| direct.id)
                .map(core::num::NonZeroU32::get)
                .take(IDS_MAX),
        );
        Self {
            session: same[0].session,
            audience,
            qos: same.iter().map(|direct| direct.qos).max().unwrap_or_default(),
            retain_as_published: same.iter().any(|direct| direct.retain_as_published),
            ids_len: u16::try_from(ids.len() - at).expect("invariant: IDS_MAX fits"),
            ids_at: u32::try_from(at).expect("invariant: identifiers are bounded by subscriptions"),
        }
    }
}

/// topic → matches.
#[derive(Debug)]
pub(crate) struct MatchCache {
    answers: HashTable<Answer>,
    bytes: usize,
    hasher: FixedState,
    door: Door,
    /// The last answer that is not remembered.
    passing: Matches,
}

#[derive(Debug)]
struct Answer {
    topic: Box<str>,
    matches: Matches,
}

impl MatchCache {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            answers: HashTable::new(),
            bytes: 0,
            hasher: FixedState::with_seed(seed),
            door: Door::default(),
            passing: Matches::default(),
        }
    }

    /// Something changed that could change an answer.
    pub(crate) fn forget(&mut self) {
        if !self.answers.is_empty() {
            self.answers.clear();
            self.bytes = 0;
        }
    }

    /// Everybody who gets messages under `topic`; `allowed` is asked once for each session that is
    /// not covered by its subscription permit, in groups as far as [`GroupMatch::is_open`] says.
    pub(crate) fn lookup(
        &mut self,
        trie: &Trie,
        groups: &Groups,
        topic: TopicName<'_>,
        allowed: impl Fn(u32) -> bool,
    ) -> &Matches {
        if self.answers.len() > TOPICS_MAX || self.bytes > BYTES_MAX {
            self.forget();
        }
        let is_few = self.answers.len() < WELCOME_TOPICS_MAX;
        let name = topic.as_str();
        let hash = self.hasher.hash_one(name);
        let hash_of = |answer: &Answer| self.hasher.hash_one(&*answer.topic);
        match self.answers.entry(hash, |answer| *answer.topic == *name, hash_of) {
            Entry::Occupied(known) => &known.into_mut().matches,
            Entry::Vacant(unknown) => {
                let matches = Matches::find(trie, groups, topic, allowed);
                if !is_few && !self.door.was_here(hash) {
                    self.passing = matches;
                    return &self.passing;
                }
                self.bytes += matches.bytes(name);
                let topic = name.into();
                &unknown.insert(Answer { topic, matches }).into_mut().matches
            }
        }
    }
}

/// Who was here lately, roughly: topics that never come again do not drive out those that do.
#[derive(Debug, Default)]
struct Door {
    /// One part of a hash at the place that another part of it says; no memory until it is needed.
    marks: Box<[u8]>,
}

impl Door {
    /// Whether it was, as far as known. From now on it was.
    fn was_here(&mut self, hash: u64) -> bool {
        if self.marks.is_empty() {
            self.marks = alloc::vec![0; DOOR_LEN].into_boxed_slice();
        }
        let [mark, place @ ..] = hash.to_le_bytes();
        let place = u32::from_le_bytes([place[0], place[1], place[2], place[3]]) as usize % DOOR_LEN;
        // Zero is for nobody.
        let mark = mark.max(1);
        core::mem::replace(&mut self.marks[place], mark) == mark
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
        let matches = cache.lookup(&trie, &Groups::new(1), topic(), |_| false);
        assert_eq!(
            matches
                .sessions
                .iter()
                .map(|found| found.session)
                .collect::<Vec<_>>(),
            [3, 5, 5]
        );
        let [all, own, others] = &*matches.sessions else {
            panic!("three ways");
        };
        assert_eq!(matches.ids(all), [0_u32; 0]);
        assert_eq!((all.audience, all.qos), (Audience::All, Qos::AtLeastOnce));
        assert_eq!((own.audience, own.qos), (Audience::Oneself, Qos::AtMostOnce));
        assert_eq!(matches.ids(own), [2]);
        assert_eq!(
            (others.audience, others.qos),
            (Audience::Others, Qos::ExactlyOnce)
        );
        assert!(others.retain_as_published);
        assert_eq!(matches.ids(others), [2, 1]);
    }

    #[test]
    fn everybodys_message_goes_exactly_one_way() {
        let ways = |is_own: bool| {
            let ways = [Audience::Oneself, Audience::Others];
            ways.into_iter().filter(|way| way.includes(is_own)).count()
        };
        assert_eq!((ways(true), ways(false)), (1, 1));
        assert!(Audience::All.includes(true) && Audience::All.includes(false));
    }

    #[test]
    fn an_answer_is_kept_until_something_changes() {
        let (mut cache, trie) = (MatchCache::new(1), trie());
        assert_eq!(
            cache
                .lookup(&trie, &Groups::new(1), topic(), |_| true)
                .sessions
                .len(),
            4
        );
        assert_eq!(
            cache
                .lookup(&trie, &Groups::new(1), topic(), |_| false)
                .sessions
                .len(),
            4,
            "not asked again"
        );
        cache.forget();
        assert_eq!(
            cache
                .lookup(&trie, &Groups::new(1), topic(), |_| false)
                .sessions
                .len(),
            3
        );
    }

    #[test]
    fn topics_that_come_once_do_not_drive_out_the_others() {
        let (mut cache, trie) = (MatchCache::new(1), trie());
        let mut ask = |name: &str| {
            let topic = TopicName::parse(name).expect("a topic");
            assert_eq!(
                cache
                    .lookup(&trie, &Groups::new(1), topic, |_| true)
                    .sessions
                    .len(),
                1,
                "{name}"
            );
            cache.answers.len()
        };
        for n in 0..WELCOME_TOPICS_MAX {
            ask(&alloc::format!("usual/{n}"));
        }
        for n in 0..10 * TOPICS_MAX {
            ask(&alloc::format!("once/{n}"));
        }
        let known = ask("usual/0");
        assert!(known < WELCOME_TOPICS_MAX + TOPICS_MAX / 4, "{known}");
        let again = (0..100).map(|n| alloc::format!("twice/{n}"));
        for name in again.clone() {
            ask(&name);
        }
        let before = ask("usual/1");
        for name in again {
            ask(&name);
        }
        assert!(ask("usual/2") > before + 90, "what comes again is remembered");
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut cache, trie) = (MatchCache::new(1), trie());
        // Twice each: what comes again is remembered.
        let ask_twice = |cache: &mut MatchCache, name: &str| {
            for _ in 0..2 {
                let topic = TopicName::parse(name).expect("a topic");
                cache.lookup(&trie, &Groups::new(1), topic, |_| true);
            }
        };
        let mut most = 0;
        for n in 0..=2 * TOPICS_MAX {
            ask_twice(&mut cache, &alloc::format!("t/{n}"));
            most = most.max(cache.answers.len());
        }
        assert_eq!(most, TOPICS_MAX + 1, "it was full, and no fuller");
        let long = "x".repeat(65_000);
        for n in 0..1_000 {
            ask_twice(&mut cache, &alloc::format!("{n}/{long}"));
        }
        let bytes: usize = cache
            .answers
            .iter()
            .map(|answer| answer.matches.bytes(&answer.topic))
            .sum();
        assert_eq!(cache.bytes, bytes);
        assert!(bytes <= BYTES_MAX + 2 * long.len());
    }
}

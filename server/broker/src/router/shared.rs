//! Shared subscriptions: groups whose members take turns.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use cloudsignal_core::{Qos, TopicFilter};

/// Names a group for as long as it has members; never used again afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupKey(pub(crate) u64);

/// A group, as a message that came through it remembers it.
#[derive(Debug)]
pub(crate) struct GroupName {
    /// 0 when the group had no members any more: nobody has that key.
    pub(crate) key: GroupKey,
    /// With `$share/{name}/` in front.
    pub(crate) filter: Arc<str>,
}

/// A session's place in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) session: u32,
    pub(crate) id: Option<NonZeroU32>,
    pub(crate) qos: Qos,
    pub(crate) retain_as_published: bool,
    /// Whether the member may receive everything the filter matches.
    pub(crate) covered: bool,
}

/// How well a member could take a message now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fitness {
    /// It must not or cannot take it.
    Unfit,
    /// It would lose it: the message is too large for its client, or its queue is full.
    Full,
    /// It is away; the message would wait for its return.
    Away,
    /// It is connected, but its queue is not empty.
    Busy,
    /// It could be sent the message at once.
    Ready,
}

#[derive(Debug)]
struct Group {
    name: Arc<GroupName>,
    members: Vec<Member>,
    next: usize,
}

/// The groups of one organization.
#[derive(Debug)]
pub(crate) struct Groups {
    groups: HashMap<GroupKey, Group, FixedState>,
    by_filter: HashMap<Arc<str>, GroupKey, FixedState>,
    last: u64,
}

impl Groups {
    pub(crate) fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            groups: HashMap::with_hasher(hasher.clone()),
            by_filter: HashMap::with_hasher(hasher),
            last: 0,
        }
    }

    /// Adds or replaces a member. Answers the group's key when the group is new.
    pub(crate) fn join(&mut self, filter: TopicFilter<'_>, member: Member) -> Option<GroupKey> {
        if let Some(key) = self.by_filter.get(filter.as_str()) {
            let members = &mut self
                .groups
                .get_mut(key)
                .expect("invariant: both maps hold it")
                .members;
            match members.iter_mut().find(|other| other.session == member.session) {
                Some(other) => *other = member,
                None => members.push(member),
            }
            return None;
        }
        self.last += 1;
        let key = GroupKey(self.last);
        let filter: Arc<str> = filter.as_str().into();
        let group = Group {
            name: Arc::new(GroupName {
                key,
                filter: Arc::clone(&filter),
            }),
            members: [member].into(),
            next: 0,
        };
        self.groups.insert(key, group);
        self.by_filter.insert(filter, key);
        Some(key)
    }

    /// Takes a member out. Answers the group's key when it was the last one.
    pub(crate) fn leave(&mut self, filter: TopicFilter<'_>, session: u32) -> Option<GroupKey> {
        let key = *self.by_filter.get(filter.as_str())?;
        let group = self.groups.get_mut(&key).expect("invariant: both maps hold it");
        group.members.retain(|member| member.session != session);
        if !group.members.is_empty() {
            return None;
        }
        self.groups.remove(&key);
        self.by_filter.remove(filter.as_str());
        Some(key)
    }

    /// What messages that come through a group remember of it.
    pub(crate) fn name(&self, key: GroupKey) -> Option<&Arc<GroupName>> {
        self.groups.get(&key).map(|group| &group.name)
    }

    /// The same, for a message that was stored with the text of the filter.
    pub(crate) fn name_of(&self, filter: &Arc<str>) -> Arc<GroupName> {
        let known = self.by_filter.get(filter).and_then(|&key| self.name(key));
        known.map_or_else(
            || {
                Arc::new(GroupName {
                    key: GroupKey(0),
                    filter: Arc::clone(filter),
                })
            },
            Arc::clone,
        )
    }

    /// A session's place in the group of `filter`. For checks.
    pub(crate) fn member(&self, filter: TopicFilter<'_>, session: u32) -> Option<&Member> {
        let group = self.groups.get(self.by_filter.get(filter.as_str())?)?;
        group.members.iter().find(|member| member.session == session)
    }

    /// The members of a group.
    pub(crate) fn members(&self, key: GroupKey) -> &[Member] {
        self.groups.get(&key).map_or(&[], |group| &group.members)
    }

    /// How many members all groups have together.
    pub(crate) fn len(&self) -> usize {
        self.groups.values().map(|group| group.members.len()).sum()
    }

    /// The fittest member; among equals the one whose turn it is.
    pub(crate) fn pick(&mut self, key: GroupKey, fitness: impl Fn(&Member) -> Fitness) -> Option<Member> {
        let group = self.groups.get_mut(&key)?;
        let count = group.members.len();
        let mut best: Option<(Fitness, usize)> = None;
        for turn in 0..count {
            let place = (group.next + turn) % count;
            let fit = fitness(&group.members[place]);
            if fit > Fitness::Unfit && best.is_none_or(|(known, _)| fit > known) {
                best = Some((fit, place));
            }
            if fit == Fitness::Ready {
                break;
            }
        }
        let (_, place) = best?;
        group.next = place + 1;
        Some(group.members[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(session: u32) -> Member {
        Member {
            session,
            id: None,
            qos: Qos::AtLeastOnce,
            retain_as_published: false,
            covered: true,
        }
    }

    fn filter() -> TopicFilter<'static> {
        TopicFilter::parse("$share/g/a/#").expect("a filter")
    }

    fn three() -> (Groups, GroupKey) {
        let mut groups = Groups::new(1);
        let key = groups.join(filter(), member(1)).expect("a new group");
        assert_eq!(groups.join(filter(), member(2)), None);
        assert_eq!(groups.join(filter(), member(3)), None);
        assert_eq!(groups.join(filter(), member(3)), None, "joining again replaces");
        (groups, key)
    }

    #[test]
    fn members_take_turns() {
        let (mut groups, key) = three();
        let turns: Vec<u32> = (0..6)
            .filter_map(|_| groups.pick(key, |_| Fitness::Ready))
            .map(|m| m.session)
            .collect();
        assert_eq!(turns, [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn the_ready_come_before_the_busy_and_the_busy_before_the_away() {
        let (mut groups, key) = three();
        let fitness = |fits: [Fitness; 3]| move |member: &Member| fits[member.session as usize - 1];
        let mut pick = |fits| groups.pick(key, fitness(fits)).map(|member| member.session);
        assert_eq!(pick([Fitness::Away, Fitness::Busy, Fitness::Ready]), Some(3));
        assert_eq!(pick([Fitness::Away, Fitness::Busy, Fitness::Unfit]), Some(2));
        assert_eq!(pick([Fitness::Away, Fitness::Unfit, Fitness::Unfit]), Some(1));
        assert_eq!(pick([Fitness::Unfit; 3]), None);
    }

    #[test]
    fn a_group_ends_with_its_last_member() {
        let (mut groups, key) = three();
        assert_eq!(groups.leave(filter(), 2), None);
        assert_eq!(groups.leave(filter(), 1), None);
        assert_eq!(groups.leave(filter(), 3), Some(key));
        assert_eq!(groups.pick(key, |_| Fitness::Ready), None);
        assert_ne!(
            groups.join(filter(), member(1)),
            Some(key),
            "keys are never used again"
        );
    }
}

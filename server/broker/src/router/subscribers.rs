//! Who subscribed to one filter: mostly nobody or one session, sometimes a whole fleet.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use cloudsignal_core::Qos;

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
pub(super) enum Subscribers {
    #[default]
    Nobody,
    One(Direct),
    Crowd(Box<Crowd>),
}

/// More than one session, or shared groups.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// By session: a filter that a whole fleet has in common is joined and left in no time.
    direct: BTreeMap<u32, Direct>,
    groups: Vec<GroupKey>,
}

impl Subscribers {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Nobody => true,
            Self::One(_) => false,
            Self::Crowd(crowd) => crowd.direct.is_empty() && crowd.groups.is_empty(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Nobody => 0,
            Self::One(_) => 1,
            Self::Crowd(crowd) => crowd.direct.len(),
        }
    }

    pub(super) fn get(&self, session: u32) -> Option<&Direct> {
        match self {
            Self::Nobody => None,
            Self::One(direct) => (direct.session == session).then_some(direct),
            Self::Crowd(crowd) => crowd.direct.get(&session),
        }
    }

    pub(super) fn put(&mut self, direct: Direct) {
        match self {
            Self::Nobody => *self = Self::One(direct),
            Self::One(own) if own.session == direct.session => *own = direct,
            Self::One(_) | Self::Crowd(_) => {
                let mut crowd = self.take_crowd();
                crowd.direct.insert(direct.session, direct);
                *self = Self::Crowd(crowd);
            }
        }
    }

    pub(super) fn remove(&mut self, session: u32) {
        match self {
            Self::Nobody => {}
            Self::One(own) if own.session != session => {}
            Self::One(_) => *self = Self::Nobody,
            Self::Crowd(crowd) => {
                crowd.direct.remove(&session);
                self.shrink();
            }
        }
    }

    pub(super) fn put_group(&mut self, group: GroupKey) {
        let mut crowd = self.take_crowd();
        crowd.groups.push(group);
        *self = Self::Crowd(crowd);
    }

    pub(super) fn remove_group(&mut self, group: GroupKey) {
        if let Self::Crowd(crowd) = self {
            crowd.groups.retain(|&other| other != group);
            self.shrink();
        }
    }

    /// Everybody here as a crowd, for which the caller finds a place.
    fn take_crowd(&mut self) -> Box<Crowd> {
        match core::mem::take(self) {
            Self::Nobody => Box::default(),
            Self::One(direct) => Box::new(Crowd {
                direct: [(direct.session, direct)].into(),
                groups: Vec::new(),
            }),
            Self::Crowd(crowd) => crowd,
        }
    }

    /// A crowd of one is none.
    fn shrink(&mut self) {
        let Self::Crowd(crowd) = self else { return };
        if crowd.groups.is_empty() && crowd.direct.len() < 2 {
            *self = match crowd.direct.pop_first() {
                Some((_, direct)) => Self::One(direct),
                None => Self::Nobody,
            };
        }
    }

    pub(super) fn each(&self, mut direct: impl FnMut(&Direct), mut group: impl FnMut(GroupKey)) {
        match self {
            Self::Nobody => {}
            Self::One(own) => direct(own),
            Self::Crowd(crowd) => {
                crowd.direct.values().for_each(&mut direct);
                crowd.groups.iter().copied().for_each(&mut group);
            }
        }
    }
}

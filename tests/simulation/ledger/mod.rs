//! What the broker owes, what it sent, and what arrived.
//!
//! Every accepted message makes entries here: one for each session that must or may get it, one for each shared
//! group. Every PUBLISH that the broker sends must find its entry, and at the end every entry that is owed must
//! have been paid.
//!
//! | file | holds |
//! |---|---|
//! | [`direct`] | what a session is owed through its own subscriptions |
//! | [`group`] | what a shared group is owed |
//! | [`handout`] | retained messages for a new subscription |
//! | [`flagged`] | what was sent with the retain flag, for any of these |
//! | [`window`] | packet ids towards a client |
//! | [`sending`] | the entry of a PUBLISH that the broker sends |

pub(crate) mod direct;
pub(crate) mod flagged;
pub(crate) mod group;
pub(crate) mod handout;
pub(crate) mod sending;
pub(crate) mod window;

use std::collections::{BTreeMap, BTreeSet};

use cloudsignal_core::{Instant, Qos};

use crate::faults::Fault;
use crate::model::routing::fits;
use crate::model::{Model, SessionKey};
use crate::scene::{Publication, Scene};

use direct::Due;
use flagged::AllFlagged;
use group::GroupDue;
use handout::Handout;
use window::Windows;

/// How a message is recognized when it is seen again: by the number in its payload, or, without payload, by its topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tag {
    Number(usize),
    Empty(String),
}

impl Tag {
    pub(crate) fn of(number: usize, publication: &Publication) -> Self {
        if publication.payload.is_empty() {
            Self::Empty(publication.topic.clone())
        } else {
            Self::Number(number)
        }
    }
}

/// The entry that a PUBLISH belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Direct(usize),
    Group(usize),
    /// With the retain flag: a direct one or a step of a walk.
    Flagged(usize),
    /// The broker's own words under `$SYS/`.
    Broker,
    /// None: the verdict says so already.
    None,
}

/// When and in which place a message was accepted last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) index: u64,
    pub(crate) expires_at: Instant,
}

/// The ledger of one organization.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) dues: Vec<Due>,
    pub(crate) groups: Vec<GroupDue>,
    pub(crate) handouts: Vec<Handout>,
    pub(crate) flagged: AllFlagged,
    pub(crate) windows: Windows,
    pub(crate) accepted: BTreeMap<usize, Accepted>,
    dues_of: BTreeMap<(SessionKey, Tag), Vec<usize>>,
    groups_of: BTreeMap<Tag, Vec<usize>>,
    handouts_of: BTreeMap<SessionKey, Vec<usize>>,
    ended_links: BTreeSet<u32>,
    /// The ticket of what is accepted now.
    pub(crate) open_ticket: u64,
    /// Sessions that have survived a crash.
    pub(crate) restored: BTreeSet<SessionKey>,
    /// Whether queues leave the memory.
    pub(crate) spills: bool,
    /// The place of the last message sent, by session, topic and QoS.
    last_sent: BTreeMap<(SessionKey, String, Qos), u64>,
}

impl Ledger {
    pub(crate) fn owe(&mut self, mut due: Due) {
        due.ticket = self.open_ticket;
        self.owe_again(due);
    }

    /// What was owed before comes back.
    pub(crate) fn owe_again(&mut self, due: Due) {
        let key = (due.session, due.tag.clone());
        self.dues_of.entry(key).or_default().push(self.dues.len());
        self.dues.push(due);
    }

    /// After a crash, what was sent and not settled is sent again in its order.
    pub(crate) fn forget_order(&mut self) {
        self.last_sent.clear();
    }

    /// Whether the same message, accepted twice, arrived for an entry that need not have been paid.
    pub(crate) fn has_spare(&self, due: &Due) -> bool {
        let places = self.dues_of.get(&(due.session, due.tag.clone()));
        let mut same = places.into_iter().flatten().map(|&at| &self.dues[at]);
        let may_repeat = self.restored.contains(&due.session);
        same.any(|other| {
            let need_not = other.may_be_dropped || !other.is_owed;
            (other.received > 0 && need_not) || (other.received > 1 && may_repeat)
        })
    }

    /// As [`Ledger::has_spare`], for a shared group.
    pub(crate) fn has_spare_group(&self, due: &GroupDue) -> bool {
        let places = self.groups_of.get(&due.tag);
        let mut same = places.into_iter().flatten().map(|&at| &self.groups[at]);
        same.any(|other| {
            let need_not = other.may_be_dropped || !other.is_owed;
            other.filter == due.filter && other.received > 0 && need_not
        })
    }

    pub(crate) fn owe_group(&mut self, mut due: GroupDue) {
        due.ticket = self.open_ticket;
        self.groups_of
            .entry(due.tag.clone())
            .or_default()
            .push(self.groups.len());
        self.groups.push(due);
    }

    pub(crate) fn owe_retained(&mut self, handout: Handout) {
        self.handouts_of
            .entry(handout.session)
            .or_default()
            .push(self.handouts.len());
        self.handouts.push(handout);
    }

    /// The delivery of a retained message to a session began: it has a packet id, and leaves when that is stored.
    /// It expires at one of `ends`.
    pub(crate) fn step_begun(&mut self, session: SessionKey, topic: &str, number: usize, ends: &[Instant]) {
        for &at in self.handouts_of.get(&session).into_iter().flatten() {
            self.handouts[at].note_begun(topic, number, ends);
        }
    }

    /// The walk for a filter ends: the filter is gone, or asked for anew.
    pub(crate) fn end_handout(&mut self, session: SessionKey, filter: &str) {
        for &at in self.handouts_of.get(&session).into_iter().flatten() {
            let handout = &mut self.handouts[at];
            handout.is_over |= handout.filter == filter;
        }
    }

    /// A topic has a message that may be too large for a client: a walk that comes by now hands out nothing.
    pub(crate) fn forget_large_retained(&mut self, publication: &Publication, model: &Model) {
        for handout in self.handouts.iter_mut().filter(|handout| !handout.is_over) {
            let session = model.by_key(handout.session);
            if session.is_some_and(|session| !fits(session, publication)) {
                handout.due.remove(&publication.topic);
            }
        }
    }

    /// A topic has no retained message any more, or perhaps not: nobody is owed it.
    pub(crate) fn forget_retained(&mut self, topic: &str) {
        for handout in self.handouts.iter_mut().filter(|handout| !handout.is_over) {
            handout.due.remove(topic);
        }
    }

    /// Sessions lost permissions: what they may no longer have is no longer owed.
    pub(crate) fn forget_denied(&mut self, model: &Model) {
        let may_receive = |session: SessionKey, topic: &str| {
            model
                .by_key(session)
                .is_some_and(|session| session.may_receive(&model.policy, topic))
        };
        for due in self.dues.iter_mut().filter(|due| due.may_be_sent()) {
            if may_receive(due.session, &due.topic) {
                continue;
            }
            // What may have been sent before a crash may be sent again, and what only the store has may be allowed
            // again when its time comes.
            if due.ticket == 0 || (self.spills && due.qos > Qos::AtMostOnce) {
                due.is_owed = false;
            } else {
                due.void();
            }
        }
        for due in self.groups.iter_mut().filter(|due| due.is_owed) {
            let mut members = model.members.iter().filter(|(filter, _)| *filter == due.filter);
            if !members.all(|(_, session)| may_receive(*session, &due.topic)) {
                due.is_owed = false;
            }
        }
        for handout in self.handouts.iter_mut().filter(|handout| !handout.is_over) {
            handout.due.retain(|topic, _| may_receive(handout.session, topic));
        }
    }

    /// A session unsubscribed: what it was not yet sent for that filter need not come.
    pub(crate) fn forget_unsubscribed(&mut self, session: SessionKey, filter: &str) {
        let filter = cloudsignal_core::TopicFilter::parse(filter).expect("invariant: a filter of the run");
        for due in self.dues.iter_mut().filter(|due| due.session == session) {
            let name = cloudsignal_core::TopicName::parse(&due.topic).expect("invariant: a topic of the run");
            if !due.sent && filter.matches(name) {
                due.is_owed = false;
            }
        }
    }

    /// A session ended. What went through a shared group may be lost with it in two cases only: QoS 2 that it was
    /// already sent, and when no other member is left.
    pub(crate) fn session_ended(&mut self, session: SessionKey, model: &Model, now: Instant) {
        self.windows.forget(session);
        for due in self.groups.iter_mut().filter(|due| due.is_owed) {
            let was_member = model.members.contains(&(due.filter.clone(), session));
            let has_others = model.sessions.values().any(|other| {
                let reliable = other
                    .subscriptions
                    .get(&due.filter)
                    .is_some_and(|sub| sub.qos > Qos::AtMostOnce);
                reliable && other.may_receive(&model.policy, &due.topic)
            });
            let is_late = due.expires_at <= now;
            if was_member && (due.qos == Qos::ExactlyOnce || !has_others || is_late) {
                due.is_owed = false;
            }
        }
    }

    /// What a shared group is owed may be lost: it got a member that takes QoS 0, or its last member unsubscribed,
    /// so that there is nobody to inherit what is in flight.
    pub(crate) fn group_weakened(&mut self, filter: &str) {
        for due in self.groups.iter_mut().filter(|due| due.filter == filter) {
            due.is_owed = false;
        }
    }

    /// A connection ended, and with it what waited at QoS 0.
    pub(crate) fn link_ended(&mut self, link: u32, session: Option<SessionKey>, model: &Model, now: Instant) {
        if !self.ended_links.insert(link) {
            return; // Its session may have another connection by now.
        }
        for due in &mut self.groups {
            let expires_at = due.expires_at;
            let holder = due.holders.last_mut();
            let Some(holder) = holder.filter(|holder| holder.link == link && holder.done.is_none()) else {
                continue;
            };
            let mut others = model
                .sessions
                .values()
                .filter(|other| other.key != holder.session);
            let has_others = others.any(|other| other.subscriptions.contains_key(&due.filter));
            holder.may_have_left = has_others && holder.qos == Qos::AtLeastOnce && expires_at > now;
        }
        let mine = |due: &&mut Due| Some(due.session) == session && due.qos == Qos::AtMostOnce;
        self.dues
            .iter_mut()
            .filter(|due| due.may_be_sent())
            .filter(mine)
            .for_each(Due::void);
    }

    /// The broker got the last acknowledgement of what a session was sent.
    pub(crate) fn done(&mut self, session: SessionKey, claim: &Claim) {
        match *claim {
            Claim::Direct(at) => self.dues[at].done = Some(self.open_ticket),
            Claim::Group(at) => {
                let holder = self.groups[at].holder_mut();
                if let Some(holder) = holder.filter(|holder| holder.session == session) {
                    holder.done.get_or_insert(self.open_ticket);
                }
            }
            Claim::Flagged(at) => self.flagged.sent[at].done = Some(self.open_ticket),
            Claim::Broker | Claim::None => {}
        }
    }

    /// A client got a PUBLISH. `is_new` unless it recognized a repeated QoS 2 message.
    pub(crate) fn received(&mut self, claim: &Claim, is_new: bool, qos: Qos, scene: &mut Scene) {
        let repeats = scene.fault == Some(Fault::Qos2Repeated) && !is_new;
        let count = u32::from(is_new || repeats);
        let (what, twice) = match *claim {
            Claim::Direct(at) => {
                self.dues[at].received += count;
                (self.dues[at].number, self.direct_is_twice(at, qos))
            }
            Claim::Group(at) => {
                self.groups[at].received += count;
                (self.groups[at].number, self.group_is_twice(at))
            }
            Claim::Flagged(at) => {
                let flagged = &mut self.flagged.sent[at];
                flagged.received += count;
                (flagged.number, flagged.received > 1 && qos > Qos::AtLeastOnce)
            }
            Claim::Broker | Claim::None => return,
        };
        scene.verdict.require(!twice, || {
            format!("delivered twice: message {what} reached a client twice at {qos:?}")
        });
    }

    fn direct_is_twice(&self, at: usize, qos: Qos) -> bool {
        let due = &self.dues[at];
        if qos == Qos::AtLeastOnce || due.received < 2 {
            return false;
        }
        // Messages without payload look all the same, and after a crash one may be taken for another.
        let is_known = matches!(due.tag, Tag::Number(_)) || !self.restored.contains(&due.session);
        let same = self.dues_of[&(due.session, due.tag.clone())].iter();
        let alike = same.map(|&at| &self.dues[at]).filter(|other| other.qos == qos);
        is_known || are_too_many(alike.map(|other| other.received))
    }

    fn group_is_twice(&self, at: usize) -> bool {
        let due = &self.groups[at];
        if due.may_repeat || due.received < 2 {
            return false;
        }
        // Messages without payload look all the same.
        let same = self.groups_of[&due.tag].iter().map(|&at| &self.groups[at]);
        let alike: Vec<_> = same.filter(|other| other.filter == due.filter).collect();
        let may_repeat = alike.iter().any(|other| other.may_repeat);
        let is_known = matches!(due.tag, Tag::Number(_));
        is_known || (!may_repeat && are_too_many(alike.iter().map(|other| other.received)))
    }
}

/// Whether more has arrived than there is, of what looks all the same.
fn are_too_many(received: impl Iterator<Item = u32>) -> bool {
    let (count, arrived) = received.fold((0, 0), |(count, arrived), one| (count + 1, arrived + one));
    arrived > count
}

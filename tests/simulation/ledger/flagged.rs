//! What was sent with the retain flag: the live delivery of a message to a subscription that keeps the flag, or a step
//! of a walk through the retained messages.
//!
//! Both look the same, so no PUBLISH is said to be one of them. At any moment there must be a way to give each one an
//! entry of its own, and at the end also a way to give one to each entry that must be paid. When both exist, there is
//! one way that does both at once (Mendelsohn and Dulmage), so that nothing is blamed that could be right and nothing
//! excused that could not.

use std::collections::{BTreeMap, BTreeSet};

use cloudsignal_core::{Instant, Qos};

use crate::model::SessionKey;

/// An entry that such a PUBLISH may have been for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A live delivery.
    Due(usize),
    /// The step of a walk that hands out a topic.
    Step(usize, String),
}

/// One PUBLISH with the retain flag.
#[derive(Clone, Debug)]
pub(crate) struct Flagged {
    pub(crate) session: SessionKey,
    pub(crate) number: usize,
    pub(crate) qos: Qos,
    /// Every entry that it may have been for when it was sent.
    pub(crate) places: Vec<Place>,
    /// When the message expires, for each of them.
    pub(crate) ends: Vec<Instant>,
    pub(crate) received: u32,
    /// The ticket under which the broker got the last acknowledgement of it; 0 once that has survived a crash.
    pub(crate) done: Option<u64>,
}

/// All of them, and one way to tell them apart.
#[derive(Debug, Default)]
pub(crate) struct AllFlagged {
    pub(crate) sent: Vec<Flagged>,
    /// Which PUBLISH an entry has.
    taken: BTreeMap<Place, usize>,
}

impl AllFlagged {
    /// One more was sent. Answers its place in the list; `None` when not every PUBLISH has an entry of its own.
    pub(crate) fn send(&mut self, flagged: Flagged) -> Option<usize> {
        let at = self.sent.len();
        self.sent.push(flagged);
        if self.make_room(at, &mut BTreeSet::new()) {
            return Some(at);
        }
        self.sent.pop();
        None
    }

    /// The broker has died with what was not `stored`: what it sent below QoS 2 may never have arrived, and may be sent
    /// once more unless it was acknowledged.
    pub(crate) fn crash(&mut self, stored: u64) {
        for flagged in &mut self.sent {
            flagged.done = flagged.done.filter(|done| *done <= stored).map(|_| 0);
        }
        let repeats = |flagged: &Flagged| flagged.qos < Qos::ExactlyOnce && flagged.done.is_none();
        self.taken.retain(|_, at| !repeats(&self.sent[*at]));
        let under_way = self.sent.iter_mut().filter(|it| it.received == 0 && repeats(it));
        under_way.for_each(|flagged| flagged.qos = Qos::AtMostOnce);
    }

    /// Finds an entry for a PUBLISH; those that have one already may move to another.
    fn make_room(&mut self, at: usize, seen: &mut BTreeSet<Place>) -> bool {
        for place in self.sent[at].places.clone() {
            if !seen.insert(place.clone()) {
                continue;
            }
            let holder = self.taken.get(&place).copied();
            if holder.is_none_or(|holder| self.make_room(holder, seen)) {
                self.taken.insert(place, at);
                return true;
            }
        }
        false
    }

    /// Those of `owed` that no PUBLISH can have been for, if each is for one entry; the first ones come first.
    pub(crate) fn unpaid(&self, owed: impl IntoIterator<Item = Place>) -> Vec<Place> {
        let mut payers: BTreeMap<&Place, Vec<usize>> = BTreeMap::new();
        for (at, flagged) in self.sent.iter().enumerate() {
            for place in &flagged.places {
                payers.entry(place).or_default().push(at);
            }
        }
        let mut paid = BTreeMap::new();
        let mut owed: Vec<Place> = owed.into_iter().collect();
        owed.retain(|place| !pay(place, &payers, &mut paid, &mut BTreeSet::new()));
        owed
    }
}

/// Finds a PUBLISH for an entry; entries that have one already may take another.
fn pay(
    place: &Place,
    payers: &BTreeMap<&Place, Vec<usize>>,
    paid: &mut BTreeMap<usize, Place>,
    seen: &mut BTreeSet<usize>,
) -> bool {
    for &at in payers.get(place).into_iter().flatten() {
        if !seen.insert(at) {
            continue;
        }
        let other = paid.get(&at).cloned();
        if other.is_none_or(|other| pay(&other, payers, paid, seen)) {
            paid.insert(at, place.clone());
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(places: &[usize]) -> Flagged {
        Flagged {
            session: 1,
            number: 0,
            qos: Qos::AtLeastOnce,
            places: places.iter().map(|&at| Place::Due(at)).collect(),
            ends: Vec::new(),
            received: 0,
            done: None,
        }
    }

    #[test]
    fn each_has_an_entry_of_its_own() {
        let mut all = AllFlagged::default();
        assert_eq!(all.send(sent(&[1, 2])), Some(0));
        assert_eq!(all.send(sent(&[1])), Some(1), "the first one moves");
        assert_eq!(all.send(sent(&[1, 2])), None);
        assert_eq!(all.send(sent(&[])), None);
        assert_eq!(all.send(sent(&[2, 3])), Some(2));
    }

    #[test]
    fn what_is_owed_and_cannot_have_been_paid_is_known() {
        let mut all = AllFlagged::default();
        all.send(sent(&[1, 2])).expect("an entry");
        all.send(sent(&[1])).expect("an entry");
        let unpaid = |owed: &[usize]| all.unpaid(owed.iter().map(|&at| Place::Due(at)));
        assert_eq!(unpaid(&[1, 2]), []);
        assert_eq!(unpaid(&[2, 1]), []);
        assert_eq!(unpaid(&[1, 2, 3]), [Place::Due(3)]);
        all.send(sent(&[2, 4])).expect("an entry");
        let unpaid = all.unpaid([1, 4, 2, 5].map(Place::Due));
        assert_eq!(unpaid, [Place::Due(5)]);
    }
}

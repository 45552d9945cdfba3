//! One stream on its way to one subscription: what is owed, what has come, and in which order.

use std::collections::BTreeMap;

use cloudsignal_tests::wait::Deadline;

/// What an arrival was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// For the first time.
    First,
    /// For the first time, after one that was sent later.
    Late,
    /// For the first time, after it had been given up as lost.
    Found,
    /// Again.
    Repeated,
}

/// Its subscription and stream are the keys under which the ledger keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Numbers that must come and have not, each with its place among all that ever had to.
    owed: BTreeMap<u64, u64>,
    owed_ever: u64,
    /// The place up to which everything has come, or has been passed over.
    reached: u64,
    arrived: Spans,
    /// Highest of the owed ones that have come.
    newest: Option<u64>,
    /// Given up at a reckoning.
    lost: Spans,
    /// When something last moved.
    moved: Deadline,
}

impl Route {
    pub(crate) fn new() -> Self {
        Self {
            owed: BTreeMap::new(),
            owed_ever: 0,
            reached: 0,
            arrived: Spans::default(),
            newest: None,
            lost: Spans::default(),
            moved: Deadline::start(),
        }
    }

    /// A message was sent that this subscription must get.
    pub(crate) fn owe(&mut self, number: u64) {
        if self.behind() == 0 {
            self.moved = Deadline::start();
        }
        self.owed_ever += 1;
        self.owed.insert(number, self.owed_ever);
    }

    pub(crate) fn arrive(&mut self, number: u64, ordering: Ordering) -> Arrival {
        self.moved = Deadline::start();
        if !self.arrived.insert(number) {
            return Arrival::Repeated;
        }
        if self.lost.contains(number) {
            return Arrival::Found;
        }
        // What need not have come may have come before, to nobody: its order says nothing.
        let Some(place) = self.owed.remove(&number) else {
            return Arrival::First;
        };
        self.reached = self.reached.max(place);
        let is_late = self.newest.is_some_and(|newest| number < newest);
        self.newest = self.newest.max(Some(number));
        match ordering {
            Ordering::Kept if is_late => Arrival::Late,
            Ordering::Kept | Ordering::Free => Arrival::First,
        }
    }

    /// How many are owed after the last that has come: those before it are late or lost.
    pub(crate) fn behind(&self) -> u64 {
        self.owed_ever - self.reached
    }

    /// Whether anything that is owed has not come.
    pub(crate) fn is_complete(&self) -> bool {
        self.owed.is_empty()
    }

    /// Numbers that are owed, in their order.
    pub(crate) fn owed(&self) -> impl Iterator<Item = u64> {
        self.owed.keys().copied()
    }

    /// Nothing of what was sent so far must come any more.
    pub(crate) fn waive(&mut self) {
        self.owed.clear();
        self.pass_over();
    }

    /// Stops to wait for what was sent so far. It is owed all the same.
    pub(crate) fn pass_over(&mut self) {
        self.reached = self.owed_ever;
        self.touch();
    }

    /// What is owed and has not come will not come: these are given up, and named.
    pub(crate) fn give_up(&mut self, number: u64) {
        self.lost.insert(number);
        self.owed.remove(&number);
    }

    pub(crate) fn touch(&mut self) {
        self.moved = Deadline::start();
    }

    pub(crate) fn still_since(&self) -> std::time::Duration {
        self.moved.elapsed()
    }
}

/// Whether first arrivals keep the order of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ordering {
    /// They do.
    Kept,
    /// Each goes to whichever member of a group.
    Free,
}

/// A set of numbers that are mostly neighbours.
#[derive(Clone, Debug, Default)]
struct Spans(BTreeMap<u64, u64>);

impl Spans {
    fn contains(&self, number: u64) -> bool {
        let before = self.0.range(..=number).next_back();
        before.is_some_and(|(_, &end)| number < end)
    }

    /// Adds a number; `false` when it was there.
    fn insert(&mut self, number: u64) -> bool {
        if self.contains(number) {
            return false;
        }
        let before = self.0.range(..number).next_back();
        let begin = match before {
            Some((&begin, &end)) if end == number => begin,
            Some(_) | None => number,
        };
        let end = self.0.remove(&(number + 1)).unwrap_or(number + 1);
        self.0.insert(begin, end);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owing(numbers: impl IntoIterator<Item = u64>) -> Route {
        let mut route = Route::new();
        numbers.into_iter().for_each(|number| route.owe(number));
        route
    }

    #[test]
    fn a_repetition_is_told_from_a_late_one() {
        let mut route = owing(0..4);
        let mut arrive = |number| route.arrive(number, Ordering::Kept);
        assert_eq!(arrive(0), Arrival::First);
        assert_eq!(arrive(2), Arrival::First);
        assert_eq!(arrive(1), Arrival::Late);
        assert_eq!(arrive(2), Arrival::Repeated);
        assert_eq!(arrive(3), Arrival::First);
        assert!(route.is_complete());
    }

    #[test]
    fn what_is_not_owed_has_no_order() {
        let mut route = owing([5]);
        assert_eq!(route.arrive(5, Ordering::Kept), Arrival::First);
        assert_eq!(route.arrive(4, Ordering::Kept), Arrival::First);
        let mut group = owing([1, 2]);
        assert_eq!(group.arrive(2, Ordering::Free), Arrival::First);
        assert_eq!(group.arrive(1, Ordering::Free), Arrival::First);
    }

    #[test]
    fn what_was_given_up_can_be_found() {
        let mut route = owing(0..2);
        route.give_up(0);
        assert_eq!(route.owed().collect::<Vec<_>>(), [1]);
        assert_eq!(route.arrive(0, Ordering::Kept), Arrival::Found);
        assert_eq!(route.arrive(0, Ordering::Kept), Arrival::Repeated);
    }

    #[test]
    fn those_before_the_last_that_came_are_not_waited_for() {
        let mut route = owing(0..10);
        assert_eq!(route.behind(), 10);
        route.arrive(7, Ordering::Kept);
        assert_eq!(route.behind(), 2);
        route.pass_over();
        assert_eq!((route.behind(), route.is_complete()), (0, false));
        route.waive();
        assert!(route.is_complete());
    }

    #[test]
    fn spans_are_a_set() {
        let mut spans = Spans::default();
        for number in [4, 6, 5, 0, 1, 9] {
            assert!(spans.insert(number));
        }
        assert_eq!(spans.0, BTreeMap::from([(0, 2), (4, 7), (9, 10)]));
        for number in 0..12 {
            assert_eq!(spans.contains(number), [0, 1, 4, 5, 6, 9].contains(&number));
        }
        assert!(!spans.insert(5));
    }
}

//! What has become of numbered messages.

use std::ops::Range;

/// Counts numbers from 0 on.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    seen: Vec<bool>,
    missing: u64,
    /// One more than the highest so far.
    next: u64,
    /// Those that came again.
    pub duplicates: u64,
    /// For the first time, but after a higher one.
    pub out_of_order: u64,
}

impl Tally {
    /// Awaits the numbers below `count`.
    ///
    /// # Panics
    /// When memory has no room for so many.
    #[must_use]
    pub fn new(count: u64) -> Self {
        Self {
            seen: vec![false; usize::try_from(count).expect("few")],
            missing: count,
            ..Self::default()
        }
    }

    /// One has come.
    ///
    /// # Panics
    /// When it is none of those that are awaited.
    pub fn note(&mut self, number: u64) {
        let place = usize::try_from(number).ok().and_then(|at| self.seen.get_mut(at));
        let place = place.unwrap_or_else(|| panic!("{number} was never published"));
        if std::mem::replace(place, true) {
            self.duplicates += 1;
            return;
        }
        self.missing -= 1;
        self.out_of_order += u64::from(number < self.next);
        self.next = self.next.max(number + 1);
    }

    /// Whether every one has come.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// How many there are.
    #[must_use]
    pub const fn expected(&self) -> usize {
        self.seen.len()
    }

    /// How many have not come.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.missing
    }

    /// The first of those that have not come, as runs: from a number up to, and without, another.
    #[must_use]
    pub fn lost_runs(&self, runs_max: usize) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for at in (0..self.seen.len()).filter(|&at| !self.seen[at]) {
            if let Some(run) = runs.last_mut().filter(|run| run.end == at) {
                run.end += 1;
            } else if runs.len() < runs_max {
                runs.push(at..at + 1);
            } else {
                break;
            }
        }
        runs
    }

    /// Takes the counts of another one too.
    pub fn add(&mut self, other: &Self) {
        self.seen.extend_from_slice(&other.seen);
        self.missing += other.missing;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
    }
}

#[test]
fn every_fault_is_counted() {
    let mut tally = Tally::new(5);
    for number in [0, 2, 1, 2, 4] {
        tally.note(number);
    }
    assert_eq!((tally.lost(), tally.duplicates, tally.out_of_order), (1, 1, 1));
    assert!(!tally.is_complete());
    assert_eq!(tally.lost_runs(9).first(), Some(&(3..4)));
    let mut tally = Tally::new(6);
    tally.note(2);
    assert_eq!(tally.lost_runs(2), [0..2, 3..6]);
    assert_eq!(tally.lost_runs(1).last(), Some(&(0..2)));
}

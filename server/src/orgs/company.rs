//! Whether an organization has the machine to itself: then nobody minds how long its turns are.

use std::sync::atomic::{AtomicU64, Ordering};

use cloudsignal_core::Instant;

/// How long after another organization's turn there is company, in microseconds.
const COMPANY_MICROS: u64 = 10_000_000;
/// How often at most it is written down that there is, in microseconds: threads of different organizations would
/// otherwise write to the same memory at every turn.
const NOTE_MICROS: u64 = 1_000_000;
/// No organization has this number.
const NOBODY: u64 = 0;

/// Which organizations were at work.
#[derive(Debug, Default)]
pub(crate) struct Company {
    last_number: AtomicU64,
    last_turn_of: AtomicU64,
    until_micros: AtomicU64,
}

impl Company {
    /// A number for one more organization.
    pub(crate) fn number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A connection of an organization is at work.
    pub(crate) fn note(&self, number: u64, now: Instant) {
        let until_micros = now.as_micros() + COMPANY_MICROS;
        if self.until_micros.load(Ordering::Relaxed) + NOTE_MICROS > until_micros {
            return;
        }
        if self.last_turn_of.load(Ordering::Relaxed) == number {
            return;
        }
        if self.last_turn_of.swap(number, Ordering::Relaxed) != NOBODY {
            self.until_micros.store(until_micros, Ordering::Relaxed);
        }
    }

    /// Whether more than one organization is at work these seconds.
    pub(crate) fn is_here(&self, now: Instant) -> bool {
        now.as_micros() < self.until_micros.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Instant {
        Instant::from_micros(secs * 1_000_000)
    }

    #[test]
    fn one_organization_is_no_company() {
        let company = Company::default();
        let alone = company.number();
        for secs in 0..100 {
            company.note(alone, at(secs));
            assert!(!company.is_here(at(secs)));
        }
    }

    #[test]
    fn company_stays_for_some_seconds() {
        let company = Company::default();
        let (a, b) = (company.number(), company.number());
        company.note(a, at(100));
        company.note(b, at(200));
        assert!(company.is_here(at(200)) && company.is_here(at(209)));
        assert!(!company.is_here(at(210)));
        company.note(b, at(220));
        assert!(!company.is_here(at(220)), "it is alone again");
    }

    #[test]
    fn company_lasts_while_both_are_at_work() {
        let company = Company::default();
        let (busy, quiet) = (company.number(), company.number());
        company.note(busy, at(0));
        for secs in 1..100 {
            company.note(quiet, at(secs));
            company.note(busy, at(secs));
            assert!(company.is_here(at(secs)));
        }
    }
}

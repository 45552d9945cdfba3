//! What a run says when it is over.

use std::fmt;

use crate::fault::{Faults, Kind};
use crate::settings::Settings;
use crate::tally::Tally;

/// Figures and stories.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) broker: String,
    pub(crate) settings: Settings,
    pub(crate) tally: Tally,
    pub(crate) faults: Faults,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { seed, cycles, .. } = self.settings;
        writeln!(f, "{}, seed {seed}, {cycles} cycles", self.broker)?;
        write!(f, "{}", self.tally)?;
        let counts: Vec<_> = Kind::ALL
            .into_iter()
            .map(|kind| format!("{} {}", kind.name(), self.faults.count(kind)))
            .collect();
        writeln!(f, "{}", counts.join(", "))?;
        write!(f, "{}", self.faults)
    }
}

//! What a run says when it is over.

use std::{env, fmt, fs};

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

impl Report {
    /// For who waits for a long run: the report so far in a file, after each reckoning, if `CS_TEST_CRASH_REPORT`
    /// names one.
    pub(crate) fn write_down(&self) {
        if let Some(path) = env::var_os("CS_TEST_CRASH_REPORT") {
            let written = fs::write(&path, self.to_string());
            written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
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

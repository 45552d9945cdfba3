//! What a store counts. Clones count the same.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// What a store counts.
#[derive(Clone)]
pub struct Meters {
    /// Groups of commits that were written.
    pub groups: Counter,
    /// Commits that were written.
    pub commits: Counter,
    /// Single writes: entries, records and removals.
    pub records: Counter,
    /// Bytes of keys and values that were written.
    pub bytes: Counter,
    /// How long writing a group took, until it was on stable storage.
    pub group_seconds: Histogram,
    /// The longest of them since the start.
    pub group_seconds_max: Gauge<f64, AtomicU64>,
    /// Times that sorted files were merged since the start.
    pub compactions: Counter,
    /// Groups that could not be written.
    pub failures: Counter,
    /// Single writes that the store can never take, and that were given up.
    pub refused: Counter,
    /// Entries that could not be used when they were read back.
    pub quarantined: Counter,
    /// Files that were damaged, and put aside.
    pub damaged_files: Counter,
    /// 1 while the store cannot write, 0 otherwise.
    pub failing: Gauge,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            groups: Counter::default(),
            commits: Counter::default(),
            records: Counter::default(),
            bytes: Counter::default(),
            group_seconds: Histogram::new(exponential_buckets(0.000_05, 2.0, 18)),
            group_seconds_max: Gauge::default(),
            compactions: Counter::default(),
            failures: Counter::default(),
            refused: Counter::default(),
            quarantined: Counter::default(),
            damaged_files: Counter::default(),
            failing: Gauge::default(),
        }
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} groups, {} failed", self.groups.get(), self.failures.get())
    }
}

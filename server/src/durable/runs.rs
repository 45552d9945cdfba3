//! Runs of the process are counted in the store: what a run numbers is above everything that an earlier one did,
//! whatever of that was stored.

use super::Durability;
use super::restore::RestoreError;
use crate::clock::WallTime;
use crate::store::{Commit, Expect, Key, StoreExt as _, Table};

/// Where the count stands, as a big-endian u64.
const RUNS: &str = "runs";
/// The count is never below the number of these since [`EPOCH_UNIX_MICROS`], so that a store from a backup, which has
/// forgotten some runs, does not count them again. While the clock is wrong only the count holds.
const TICK_SECS: u64 = 600;
/// More of them, in the year 2059 or by a clock that is far ahead, leave room to count: there are twice as many numbers.
const TICKS_MAX: u64 = 1 << 21;
/// The beginning of 2020.
const EPOCH_UNIX_MICROS: u64 = 1_577_836_800_000_000;

impl Durability {
    /// Counts one more run, and answers how many that makes. It is on the disk then, at every level.
    ///
    /// # Errors
    /// What the store answers.
    pub(crate) async fn count_run(&self) -> Result<u64, RestoreError> {
        let key = Key::of_system(RUNS);
        let entry = self.store.get(Table::Config, &key).await?;
        let earlier = entry.and_then(|entry| Some(u64::from_be_bytes(entry.value[..].try_into().ok()?)));
        let since = self
            .clock
            .wall()
            .since(WallTime::from_unix_micros(EPOCH_UNIX_MICROS));
        let run = earlier
            .unwrap_or(0)
            .saturating_add(1)
            .max((since.as_secs() / TICK_SECS).min(TICKS_MAX));
        let count = Commit::new().put(Table::Config, key, Expect::Any, run.to_be_bytes().to_vec());
        self.store.write(count).await?;
        Ok(run)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Level;
    use super::*;
    use crate::clock::Clock;
    use crate::store::memory;

    #[tokio::test]
    async fn every_run_has_a_higher_number_than_the_ones_before() {
        let clock = Clock::manual(WallTime::ZERO);
        let store = Arc::new(memory::open(clock.clone()).unwrap());
        for run in 1..=3 {
            let durability = Durability::new(store.clone(), clock.clone(), Level::Os);
            assert_eq!(durability.count_run().await.unwrap(), run);
        }
        clock.set_wall(WallTime::parse_rfc3339("2020-01-02T00:00:00Z").unwrap());
        let durability = Durability::new(store.clone(), clock.clone(), Level::Os);
        assert_eq!(durability.count_run().await.unwrap(), 144, "six an hour");
        clock.set_wall(WallTime::ZERO);
        assert_eq!(
            durability.count_run().await.unwrap(),
            145,
            "also when the clock goes back"
        );
    }
}

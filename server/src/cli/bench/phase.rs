//! A part of a run that is measured by itself: how much was done, how fast, and what it cost.

use cloudsignal_core::Instant;
use serde::Serialize;

use super::usage::{Generator, Spent, Usage};
use crate::cli::exit::Failure;
use crate::clock::Clock;

/// Measures parts of a run.
pub(super) struct Meter {
    pub(super) clock: Clock,
    /// The broker's process.
    pid: Option<u32>,
}

/// A part that has begun.
pub(super) struct Begun<'m> {
    meter: &'m Meter,
    at: Instant,
    broker: Option<Usage>,
    generator: Option<Usage>,
}

/// A part that is over.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Phase {
    /// Messages, or connections.
    pub(super) count: u64,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    pub(super) broker: Option<PhaseBroker>,
    pub(super) generator: Option<Generator>,
}

/// What a part cost the broker.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct PhaseBroker {
    #[serde(flatten)]
    pub(super) spent: Spent,
    /// Resident memory at its end.
    pub(super) resident_bytes: u64,
}

impl Meter {
    /// For this broker, if its process is known.
    pub(super) fn new(pid: Option<u32>) -> Self {
        Self {
            clock: Clock::system(),
            pid,
        }
    }

    /// Resident memory of the broker.
    pub(super) fn resident_bytes(&self) -> Result<Option<u64>, Failure> {
        let usage = self.pid.map(Usage::of).transpose()?;
        Ok(usage.map(|usage| usage.resident_bytes))
    }

    /// Begins a part.
    pub(super) fn begin(&self) -> Result<Begun<'_>, Failure> {
        Ok(Begun {
            meter: self,
            broker: self.pid.map(Usage::of).transpose()?,
            generator: Usage::own(),
            at: self.clock.now(),
        })
    }
}

impl Begun<'_> {
    /// Ends it now, after so much was done.
    pub(super) fn end(self, count: u64) -> Result<Phase, Failure> {
        let now = self.meter.clock.now();
        self.end_at(now, count)
    }

    /// The same where the last of it was done earlier.
    pub(super) fn end_at(self, at: Instant, count: u64) -> Result<Phase, Failure> {
        let seconds = at.since(self.at).as_secs_f64().max(1e-6);
        let broker = self.meter.pid.map(Usage::of).transpose()?;
        let broker = self.broker.zip(broker).map(|(before, after)| PhaseBroker {
            spent: Spent::between(before, after, seconds, count),
            resident_bytes: after.resident_bytes,
        });
        let generator = self.generator.zip(Usage::own());
        Ok(Phase {
            count,
            seconds,
            per_second: count as f64 / seconds,
            broker,
            generator: generator.map(|(before, after)| Generator::between(before, after, seconds, count, 1)),
        })
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn a_part_without_a_process_has_its_rate_and_ends_when_it_is_said() {
        let meter = Meter::new(None);
        let begun = meter.begin().unwrap();
        let end = begun.at.after(Duration::from_millis(500));
        let phase = begun.end_at(end, 1_000).unwrap();
        assert_eq!(
            (phase.count, phase.seconds, phase.per_second),
            (1_000, 0.5, 2_000.0)
        );
        assert!(phase.broker.is_none());
        assert_eq!(meter.resident_bytes().unwrap(), None);
    }
}

//! What is measured.

use anyhow::{Context, Result, bail, ensure};

/// A level of durability of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Disk,
    Os,
    Memory,
}

impl Level {
    const ALL: [Self; 3] = [Self::Disk, Self::Os, Self::Memory];

    /// As the broker's configuration spells it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Os => "os",
            Self::Memory => "memory",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) levels: Vec<Level>,
    pub(crate) publishers: Vec<usize>,
    /// Messages of a publisher that are not acknowledged, at full speed.
    pub(crate) window: usize,
    pub(crate) payload_bytes: usize,
    /// Of each measurement.
    pub(crate) seconds: u64,
    pub(crate) runs: usize,
    /// The highest rate that is kept, messages per second, where it is known already.
    pub(crate) kept_rate: Option<f64>,
    /// Of a run that looks for stalls, instead of everything else.
    pub(crate) stalls_seconds: Option<u64>,
}

const USAGE: &str = "stored [--levels disk,os,memory] [--publishers 1,16,256] [--window 16] [--payload BYTES] \
    [--seconds 5] [--runs 3] [--kept-rate MESSAGES_PER_SECOND] | stored --stalls SECONDS [--window 16] [--payload BYTES]";

impl Plan {
    pub(crate) fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut plan = Self {
            levels: Level::ALL.to_vec(),
            publishers: vec![1, 16, 256],
            window: 16,
            payload_bytes: 256,
            seconds: 5,
            runs: 3,
            kept_rate: None,
            stalls_seconds: None,
        };
        while let Some(flag) = args.next() {
            let value = args
                .next()
                .with_context(|| format!("{flag} needs a value; {USAGE}"))?;
            match flag.as_str() {
                "--levels" => plan.levels = value.split(',').map(level).collect::<Result<_>>()?,
                "--publishers" => {
                    let numbers = value.split(',').map(str::parse);
                    plan.publishers = numbers.collect::<Result<_, _>>()?;
                }
                "--window" => plan.window = value.parse()?,
                "--payload" => plan.payload_bytes = value.parse()?,
                "--seconds" => plan.seconds = value.parse()?,
                "--runs" => plan.runs = value.parse()?,
                "--kept-rate" => plan.kept_rate = Some(value.parse()?),
                "--stalls" => plan.stalls_seconds = Some(value.parse()?),
                unknown => bail!("{unknown} is unknown; {USAGE}"),
            }
        }
        let is_some = plan.window > 0 && plan.seconds > 0 && plan.runs > 0 && !plan.publishers.contains(&0);
        ensure!(is_some, "nothing to measure; {USAGE}");
        Ok(plan)
    }
}

fn level(name: &str) -> Result<Level> {
    let mut levels = Level::ALL.into_iter();
    levels
        .find(|level| level.name() == name)
        .with_context(|| format!("there is no level {name}; {USAGE}"))
}

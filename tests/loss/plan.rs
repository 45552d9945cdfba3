//! How long, how fast, and what breaks when: all of it follows from a seed.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cloudsignal_tests::random::Random;

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How long is published, seconds.
    pub(crate) secs: u64,
    /// Messages per second of each client in each direction.
    pub(crate) rate: u64,
    /// How often all connections are reset.
    pub(crate) resets: u64,
    /// How often tokens are renewed.
    pub(crate) rotations: u64,
    /// How often the broker is killed and started again.
    pub(crate) restarts: u64,
    pub(crate) seed: u64,
    /// Names of clients; all when empty.
    pub(crate) only: Vec<String>,
}

/// Something that is done to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Reset,
    Restart,
}

pub(crate) const USAGE: &str =
    "loss: messages in both directions at QoS 1 through resets, restarts and renewals

    loss [--secs 1500] [--rate 200] [--resets 1000] [--rotations 100] [--restarts 50]
         [--seed 1] [--only NAME,NAME]

    --secs       how long is published
    --rate       messages per second, of each client in each direction
    --resets     how often all connections are reset
    --rotations  how often each client's token is replaced
    --restarts   how often the broker gets SIGKILL and is started again
    --seed       decides when
    --only       these clients alone: cloudsignal-rust, cloudsignal-node, mqttjs-defaults, mqttjs-tuned";

impl Plan {
    /// The run that the figures come from; the short one is in the tests.
    const LONG: Self = Self {
        secs: 1_500,
        rate: 200,
        resets: 1_000,
        rotations: 100,
        restarts: 50,
        seed: 1,
        only: Vec::new(),
    };

    pub(crate) fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut plan = Self::LONG;
        while let Some(flag) = args.next() {
            let value = args
                .next()
                .with_context(|| format!("{flag} needs a value\n\n{USAGE}"))?;
            match flag.as_str() {
                "--secs" => plan.secs = value.parse()?,
                "--rate" => plan.rate = value.parse()?,
                "--resets" => plan.resets = value.parse()?,
                "--rotations" => plan.rotations = value.parse()?,
                "--restarts" => plan.restarts = value.parse()?,
                "--seed" => plan.seed = value.parse()?,
                "--only" => plan.only = value.split(',').map(str::to_owned).collect(),
                unknown => bail!("{unknown} is unknown\n\n{USAGE}"),
            }
        }
        ensure!(plan.secs > 0 && plan.rate > 0, "nothing to do\n\n{USAGE}");
        Ok(plan)
    }

    /// Messages of each client in each direction.
    pub(crate) const fn messages(&self) -> u64 {
        self.secs * self.rate
    }

    /// How long a client believes in a token; the server lets it live for a minute at least.
    pub(crate) fn token_secs(&self) -> u64 {
        let secs = self.secs.checked_div(self.rotations);
        secs.unwrap_or(TOKEN_SECS).clamp(1, TOKEN_SECS)
    }

    /// What happens when, in order. Each kind of fault has its even share of time, and a moment of chance in it.
    pub(crate) fn faults(&self) -> Vec<(Duration, Fault)> {
        let mut random = Random::new(self.seed);
        let mut faults = Vec::new();
        for (fault, count) in [(Fault::Reset, self.resets), (Fault::Restart, self.restarts)] {
            for number in 0..count {
                let share = self.secs * 1_000 / count;
                let millis = number * share + random.below(share.max(1));
                faults.push((Duration::from_millis(millis), fault));
            }
        }
        faults.sort_by_key(|(at, _)| *at);
        faults
    }
}

/// What a token lives at the server: the least there is, seconds.
pub(crate) const TOKEN_SECS: u64 = 60;

#[test]
fn the_faults_of_a_seed_are_as_many_as_were_asked_for_and_always_the_same() {
    let faults = Plan::LONG.faults();
    let resets = faults.iter().filter(|(_, fault)| *fault == Fault::Reset).count();
    assert_eq!((resets, faults.len()), (1_000, 1_050));
    assert!(faults.is_sorted_by_key(|(at, _)| *at));
    assert!(faults.iter().all(|(at, _)| *at < Duration::from_secs(1_500)));
    assert_eq!(faults, Plan::LONG.faults());
    let other = Plan {
        seed: 2,
        ..Plan::LONG
    };
    assert_ne!(faults, other.faults());
}

#[test]
fn arguments_say_what_is_wrong_with_them() {
    let plan = |text: &str| Plan::from_args(text.split_whitespace().map(str::to_owned));
    assert_eq!(plan("--secs 30 --rate 50").unwrap().messages(), 1_500);
    for wrong in ["--secs", "--secs many", "--rate 0", "--more 1"] {
        assert!(plan(wrong).is_err(), "{wrong}");
    }
}

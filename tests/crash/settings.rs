//! What a run is told by its environment.

use std::env;
use std::time::Duration;

use crate::plan::Sharing;

/// How long, how hard, from which seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    /// Times that the broker is ended.
    pub(crate) cycles: u32,
    /// Longest load of a cycle.
    pub(crate) load_millis_max: u64,
    /// Silence after which nothing is awaited any more.
    pub(crate) patience: Duration,
    pub(crate) endings: Endings,
    pub(crate) sharing: Sharing,
}

/// How the broker is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endings {
    /// Mostly by SIGKILL, now and then by SIGTERM.
    Mixed,
    KillsOnly,
    StopsOnly,
}

const SEED_DEFAULT: u64 = 1;
const CYCLES_DEFAULT: u64 = 6;
const LOAD_SECS_DEFAULT: u64 = 2;
const PATIENCE_SECS_DEFAULT: u64 = 20;

impl Settings {
    /// `CS_TEST_CRASH_SEED`, `_CYCLES`, `_SECS` (longest load of a cycle), `_QUIET_SECS`, `_ENDINGS` (`mixed`, `kill`,
    /// `stop`) and `_SHARED` (`yes`, `no`).
    pub(crate) fn from_environment() -> Self {
        let shared = env::var("CS_TEST_CRASH_SHARED").unwrap_or_else(|_| "yes".to_owned());
        let endings = env::var("CS_TEST_CRASH_ENDINGS").unwrap_or_else(|_| "mixed".to_owned());
        Self {
            seed: number("SEED").unwrap_or(SEED_DEFAULT),
            cycles: u32::try_from(number("CYCLES").unwrap_or(CYCLES_DEFAULT))
                .expect("so many cycles never end"),
            load_millis_max: 1_000 * number("SECS").unwrap_or(LOAD_SECS_DEFAULT).max(1),
            patience: Duration::from_secs(number("QUIET_SECS").unwrap_or(PATIENCE_SECS_DEFAULT)),
            endings: match endings.as_str() {
                "mixed" => Endings::Mixed,
                "kill" => Endings::KillsOnly,
                "stop" => Endings::StopsOnly,
                other => panic!("CS_TEST_CRASH_ENDINGS is mixed, kill or stop, not {other:?}"),
            },
            sharing: match shared.as_str() {
                "yes" => Sharing::Tried,
                "no" => Sharing::LeftOut,
                other => panic!("CS_TEST_CRASH_SHARED is yes or no, not {other:?}"),
            },
        }
    }
}

fn number(name: &str) -> Option<u64> {
    let name = format!("CS_TEST_CRASH_{name}");
    let text = env::var(&name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
    )
}

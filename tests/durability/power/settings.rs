//! What the environment decides.

use std::env;

use super::workload::Amount;

const ROUNDS_DEFAULT: u64 = 2;
const PAYLOAD_BYTES_DEFAULT: usize = 40;
const IMAGES_DEFAULT: usize = 60;
const FAILURES_DEFAULT: usize = 2;
const SEED_DEFAULT: u64 = 1;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) amount: Amount,
    pub(crate) images_max: usize,
    pub(crate) failures_max: usize,
    pub(crate) seed: u64,
}

impl Settings {
    /// See the table of the module above.
    pub(crate) fn from_environment() -> Self {
        let number = |name: &str, default: u64| {
            let name = format!("CS_TEST_POWER_{name}");
            let text = env::var(&name).unwrap_or_else(|_| default.to_string());
            if text == "all" {
                return u64::MAX;
            }
            text.parse()
                .unwrap_or_else(|_| panic!("{name} is a number or `all`, not {text:?}"))
        };
        let size = |name, default: usize| usize::try_from(number(name, default as u64)).unwrap_or(usize::MAX);
        Self {
            amount: Amount {
                rounds: number("ROUNDS", ROUNDS_DEFAULT),
                payload_bytes: size("BYTES", PAYLOAD_BYTES_DEFAULT),
            },
            images_max: size("IMAGES", IMAGES_DEFAULT),
            failures_max: size("FAILURES", FAILURES_DEFAULT),
            seed: number("SEED", SEED_DEFAULT),
        }
    }
}

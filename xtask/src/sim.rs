//! `cargo xtask sim`: the simulation with more seeds than a test run has time for, or one seed again.

use anyhow::{Context as _, Result, bail};

use crate::steps::run_command;
use crate::workspace::Workspace;

/// What a run is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// So many seeds, from this one.
    Seeds { count: u64, first: u64 },
    /// One seed, with the events that led to its end.
    Seed(u64),
}

/// Runs what is asked for; without arguments what a test run runs.
pub(crate) fn sim(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let mut command = workspace.command("cargo", &["test", "--locked", "-p", "cloudsignal-tests"]);
    command.args(["--test", "simulation", "--", "--nocapture", "what_is_promised"]);
    match parse(arguments)? {
        None => {}
        Some(Asked::Seeds { count, first }) => {
            command
                .env("CS_SIM_SEEDS", count.to_string())
                .env("CS_SIM_FROM", first.to_string());
        }
        Some(Asked::Seed(seed)) => drop(command.env("CS_SIM_SEED", seed.to_string())),
    }
    run_command(&mut command)
}

fn parse(arguments: &[String]) -> Result<Option<Asked>> {
    let number = |text: &String| {
        text.parse::<u64>()
            .with_context(|| format!("{text:?} is not a number"))
    };
    let seeds = |count: &String, first: u64| {
        let count = number(count)?;
        Ok(Some(Asked::Seeds { count, first }))
    };
    match arguments {
        [] => Ok(None),
        [flag, count] if flag == "--seeds" => seeds(count, 1),
        [flag, count, from, first] if flag == "--seeds" && from == "--from" => seeds(count, number(first)?),
        [flag, value] if flag == "--seed" => Ok(Some(Asked::Seed(number(value)?))),
        _ => bail!(
            "`cargo xtask sim` takes `--seeds N`, `--seeds N --from S` or `--seed S`, but got {arguments:?}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &str) -> Result<Option<Asked>> {
        parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn takes_a_number_of_seeds_or_one_seed() {
        assert_eq!(asked("").unwrap(), None);
        let seeds = |count, first| Some(Asked::Seeds { count, first });
        assert_eq!(asked("--seeds 7").unwrap(), seeds(7, 1));
        assert_eq!(asked("--seeds 7 --from 100").unwrap(), seeds(7, 100));
        assert_eq!(asked("--seed 7").unwrap(), Some(Asked::Seed(7)));
        for refused in ["7", "--seed", "--seed x", "--seeds 1 --seed 2", "--from 1"] {
            assert!(asked(refused).is_err(), "{refused}");
        }
    }
}

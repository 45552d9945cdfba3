//! `cargo xtask bench`: our broker beside others, on this machine, by the same generator, taking turns.
//!
//! | file | holds |
//! |---|---|
//! | `options` | what can be typed |
//! | `row`, `rows` | what is measured |
//! | `contestant` | the brokers that take part |
//! | `ours` | our broker, with a login, access rules and quotas |
//! | `peer_files` | the configuration of the others |
//! | `stage` | a fresh process at free ports on its own core |
//! | `generator` | one run of `cloudsignal bench` |
//! | `trial` | one run of one broker, and what it gave |
//! | `neighbour` | what another organization does meanwhile |
//! | `strace` | system calls of the broker |
//! | `figures` | median, least and greatest |
//! | `table` | the result as Markdown |
//!
//! Every run has a fresh broker. Runs take turns, A B C A B C, so that whatever else the machine does befalls all of
//! them alike. The load comes from `cloudsignal bench`, which knows nothing of who answers.

mod contestant;
mod figures;
mod generator;
mod neighbour;
mod options;
mod ours;
mod peer_files;
mod row;
mod rows;
mod stage;
mod strace;
mod table;
mod trial;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;

use crate::steps::run_command;
use crate::workspace::Workspace;

use contestant::Contestant;
use options::Options;
use row::Row;
use stage::Stage;
use table::RowResult;
use trial::Trial;

/// Runs what was asked for, and prints the tables.
pub(crate) fn bench(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let words = ["cargo xtask bench"].into_iter();
    let options = match Options::try_parse_from(words.chain(arguments.iter().map(String::as_str))) {
        Ok(options) => options,
        // Help is an answer, not a failure.
        Err(error) if !error.use_stderr() => {
            print!("{error}");
            return Ok(());
        }
        Err(error) => bail!("{error}"),
    };
    let rows = rows::chosen(&options.only)?;
    if options.list {
        rows.iter()
            .for_each(|row| println!("{:<16} {}", row.name, row.about));
        return Ok(());
    }
    let stage = Stage::new(options.cores, built(workspace, &options)?)?;
    let contestants = contestant::all(&options, &stage)?;
    let results = measured(&rows, &contestants, &options, &stage)?;
    let text = table::document(&results, &stage);
    println!("\n{text}");
    if let Some(file) = &options.out {
        fs::write(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    faultless(&results)
}

/// The program that makes the load: what `--program` says, or a release build of the tree.
fn built(workspace: &Workspace, options: &Options) -> Result<PathBuf> {
    if let Some(program) = &options.program {
        return Ok(program.clone());
    }
    let build = ["build", "--release", "--locked", "-p", "cloudsignal-server"];
    run_command(&mut workspace.command("cargo", &build))?;
    let name = format!("cloudsignal{}", std::env::consts::EXE_SUFFIX);
    Ok(workspace.target().join("release").join(name))
}

/// Every run of every row, in turns.
fn measured(
    rows: &[&'static Row],
    contestants: &[Contestant],
    options: &Options,
    stage: &Stage,
) -> Result<Vec<RowResult>> {
    let mut results = Vec::new();
    for row in rows {
        let mut result = RowResult::new(row, contestants);
        for run in 1..=options.runs {
            let contestants = contestants.iter().enumerate();
            for (at, contestant) in contestants.filter(|(_, it)| row.is_for(it)) {
                let trial = Trial::run(row, contestant, options, stage)?;
                println!(
                    "{:<16} {run}/{} {:<18} {trial}",
                    row.name, options.runs, contestant.name
                );
                result.add(at, trial);
            }
        }
        results.push(result);
    }
    Ok(results)
}

/// A fault of ours is a failure of the command; those of others stand in the table.
fn faultless(results: &[RowResult]) -> Result<()> {
    let faulty: Vec<_> = results
        .iter()
        .filter(|result| result.ours_has_faults())
        .map(RowResult::name)
        .collect();
    if faulty.is_empty() {
        return Ok(());
    }
    bail!("our broker had faults in: {}", faulty.join(", "))
}

//! `cargo xtask instructions`: a gate on what the hot path costs, in instructions, which no other process can move.
//!
//! Each case of `server/broker/benches/cases` runs under callgrind with few calls and with more; what the additional
//! ones cost, divided by their units, is compared with the count in [`COUNTS_FILE`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::bless::Bless;
use crate::steps::Steps;
use crate::workspace::{Workspace, find_program, output_of};

/// The counts that were accepted: `CASE INSTRUCTIONS`.
const COUNTS_FILE: &str = "server/broker/benches/counts.txt";

/// Percent that a count may be above the accepted one. The same program is counted the same every time, but what is
/// changed elsewhere moves a little of what the compiler puts in line, and the C library copies as the processor can best.
const TOLERANCE_PERCENT: f64 = 5.0;

/// Units of work that are counted, at least; a case has at least [`CALLS_MIN`] calls.
const UNITS_COUNTED: u64 = 1_500;
/// Calls that are counted, at least.
const CALLS_MIN: u64 = 3;
/// Calls before that, which fill what is kept and reused.
const CALLS_BEFORE: u64 = 2;

/// Cases that would take callgrind minutes; smaller ones of the same kind are counted.
const TOO_LONG: &[&str] = &["fan-out/1000-qos-0", "filters/100000"];

/// Counts, and compares; `--bless` accepts what is counted.
pub(crate) fn instructions(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let bless = Bless::from_arguments("instructions", arguments)?;
    let mut steps = Steps::new();
    instructions_steps(workspace, &mut steps, bless)?;
    steps.print_times();
    Ok(())
}

pub(crate) fn instructions_steps(workspace: &Workspace, steps: &mut Steps, bless: Bless) -> Result<()> {
    const STEP: &str = "instructions of the hot path";
    if find_program("valgrind").is_none() {
        steps.skip(STEP, "valgrind is not installed");
        return Ok(());
    }
    let accepted = match bless {
        Bless::Yes => None,
        Bless::No => Some(Counts::read(&workspace.path(COUNTS_FILE))?),
    };
    let compiler = compiler(workspace)?;
    if let Some(accepted) = &accepted
        && accepted.compiler != compiler
    {
        let reason = format!(
            "{COUNTS_FILE} is of {}, this is {compiler}: other code is compared with nothing",
            accepted.compiler
        );
        steps.skip(STEP, &reason);
        return Ok(());
    }
    let example = [
        "build",
        "--release",
        "--locked",
        "-p",
        "cloudsignal-broker",
        "--example",
        "count",
    ];
    steps.run_command("build what is counted", &mut workspace.command("cargo", &example))?;
    steps.run(STEP, || {
        let counted = Counts {
            compiler,
            of: counted(workspace)?,
        };
        match &accepted {
            Some(accepted) => compared(accepted, &counted),
            None => counted.write(&workspace.path(COUNTS_FILE)),
        }
    })
}

/// Version and target: another one makes other instructions of the same source.
fn compiler(workspace: &Workspace) -> Result<String> {
    let said = output_of(&mut workspace.command("rustc", &["--version", "--verbose"]));
    let said = said.context("rustc does not say its version")?;
    let field = |name: &str| said.lines().find_map(|line| line.strip_prefix(name));
    let (release, host) = (field("release: "), field("host: "));
    let parts = release.zip(host).context("rustc says its version in a new way")?;
    Ok(format!("rustc {} for {}", parts.0, parts.1))
}

/// Instructions of one unit of each case.
#[derive(Clone, Debug, PartialEq)]
struct Counts {
    compiler: String,
    of: BTreeMap<String, f64>,
}

const COMPILER_LINE: &str = "# compiler: ";

impl Counts {
    fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not what --bless writes", file.display()))
    }

    fn parse(text: &str) -> Option<Self> {
        let compiler = text.lines().find_map(|line| line.strip_prefix(COMPILER_LINE))?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let entry = |line: &str| {
            let (name, count) = line.rsplit_once(' ')?;
            Some((name.trim_end().to_owned(), count.parse().ok()?))
        };
        Some(Self {
            compiler: compiler.to_owned(),
            of: lines.map(entry).collect::<Option<_>>()?,
        })
    }

    fn write(&self, file: &Path) -> Result<()> {
        let mut text = String::from(HEADER);
        writeln!(text, "{COMPILER_LINE}{}", self.compiler)?;
        for (name, count) in &self.of {
            writeln!(text, "{name:<24} {count:.0}")?;
        }
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("    written to {COUNTS_FILE}: look at what has changed before you commit it");
        Ok(())
    }
}

const HEADER: &str = "\
# Instructions of one unit of each case: a delivered message, a packet, a question. Written by
# `cargo xtask instructions --bless`; `cargo xtask instructions` compares.
";

fn counted(workspace: &Workspace) -> Result<BTreeMap<String, f64>> {
    let program = workspace.target().join("release/examples/count");
    let list = output_of(&mut Command::new(&program)).context("the program to be counted does not run")?;
    let mut counts = BTreeMap::new();
    for line in list.lines() {
        let (name, units) = line
            .rsplit_once(' ')
            .context("the list of cases has a new form")?;
        if TOO_LONG.contains(&name) {
            continue;
        }
        let units: u64 = units.parse()?;
        let calls = UNITS_COUNTED.div_ceil(units).max(CALLS_MIN);
        let run = |calls| callgrind(workspace, &program, name, calls);
        let (few, many) = (run(CALLS_BEFORE)?, run(CALLS_BEFORE + calls)?);
        let each = many.saturating_sub(few) as f64 / (calls * units) as f64;
        println!("    {name:<24} {each:>8.0}");
        counts.insert(name.to_owned(), each);
    }
    ensure!(!counts.is_empty(), "no case was counted");
    Ok(counts)
}

/// Instructions of a whole run.
fn callgrind(workspace: &Workspace, program: &Path, case: &str, calls: u64) -> Result<u64> {
    let file: PathBuf = workspace.target().join("callgrind.out");
    let mut command = workspace.command("valgrind", &["--tool=callgrind", "--quiet"]);
    command.arg(format!("--callgrind-out-file={}", file.display()));
    command.arg(program).arg(case).arg(calls.to_string());
    let answer = command.output().context("cannot start valgrind")?;
    let said = String::from_utf8_lossy(&answer.stderr);
    ensure!(answer.status.success(), "{case} failed under valgrind:\n{said}");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let total = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    let total = total.context("callgrind has written no total")?;
    Ok(total.trim().parse()?)
}

/// Refuses what costs more. What costs less is told, so that somebody accepts it and it stays.
fn compared(accepted: &Counts, counted: &Counts) -> Result<()> {
    let (mut complaints, mut is_less) = (String::new(), false);
    for (name, now) in &counted.of {
        let Some(before) = accepted.of.get(name) else {
            writeln!(complaints, "  {name}: {now:.0} instructions, not in the file")?;
            continue;
        };
        let percent = 100.0 * (now - before) / before;
        if percent > TOLERANCE_PERCENT {
            writeln!(
                complaints,
                "  {name}: {before:.0} before, {now:.0} now, {percent:.1} % more"
            )?;
        }
        is_less |= percent < -TOLERANCE_PERCENT;
    }
    for name in accepted.of.keys().filter(|name| !counted.of.contains_key(*name)) {
        writeln!(complaints, "  {name}: in the file, and no case any more")?;
    }
    ensure!(
        complaints.is_empty(),
        "the hot path costs more than {COUNTS_FILE} says:\n{complaints}\
         if there is a reason: `cargo xtask instructions --bless`, and commit the file with the change"
    );
    if is_less {
        println!(
            "    some cases cost less than {COUNTS_FILE} says: keep that by `cargo xtask instructions --bless`"
        );
    }
    println!("    nothing costs {TOLERANCE_PERCENT} % more than {COUNTS_FILE} says");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, f64)]) -> Counts {
        Counts {
            compiler: "rustc 1.0 for here".to_owned(),
            of: of
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("counts.txt");
        let written = counts(&[
            ("pair/qos-0", 812.0),
            ("permit/a name longer than its column", 40.0),
        ]);
        written.write(&file).unwrap();
        assert_eq!(Counts::read(&file).unwrap(), written);
        assert_eq!(Counts::parse("pair/qos-0 many\n"), None);
    }

    #[test]
    fn a_count_that_rises_is_named() {
        let accepted = counts(&[("a/b", 1_000.0), ("a/c", 1_000.0)]);
        assert!(compared(&accepted, &counts(&[("a/b", 1_049.0), ("a/c", 500.0)])).is_ok());
        for (now, said) in [
            (counts(&[("a/b", 1_051.0), ("a/c", 1_000.0)]), "5.1 % more"),
            (counts(&[("a/b", 1_000.0)]), "no case any more"),
            (
                counts(&[("a/b", 1_000.0), ("a/c", 1_000.0), ("a/d", 1.0)]),
                "not in the file",
            ),
        ] {
            let error = compared(&accepted, &now).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("--bless"), "{error}");
        }
    }
}

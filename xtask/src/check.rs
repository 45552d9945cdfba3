//! `cargo xtask check`: everything that can be judged without running the product.

use anyhow::{Result, ensure};

use crate::steps::Steps;
use crate::workspace::{Workspace, output_of};
use crate::{expect_no_arguments, tidy};

pub(crate) fn check(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    expect_no_arguments("check", arguments)?;
    let mut steps = Steps::new();
    check_steps(workspace, &mut steps)?;
    steps.print_times();
    Ok(())
}

/// The checks, cheapest first, as steps of a longer run.
pub(crate) fn check_steps(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    steps.run("house rules", || tidy::tidy(workspace, &[]))?;
    steps.run_command(
        "format",
        &mut workspace.command("cargo", &["fmt", "--all", "--check"]),
    )?;
    // The fuzz targets are built elsewhere, and written here.
    let fuzz = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
    steps.run_command(
        "format of the fuzz targets",
        &mut workspace.command("cargo", &fuzz),
    )?;
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ];
    steps.run_command("lints", &mut workspace.command("cargo", &clippy))?;
    let doc = ["doc", "--workspace", "--no-deps", "--locked"];
    steps.run_command(
        "documentation",
        workspace
            .command("cargo", &doc)
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )?;
    steps.run("pure crates: dependencies without std", || {
        dependencies_without_std(workspace)
    })?;
    build_without_std(workspace, steps)?;
    licences_and_bans(workspace, steps)
}

/// The crates that must build where no operating system is.
const PURE_CRATES: &[&str] = &["cloudsignal-core", "cloudsignal-broker"];

/// Targets that have `core` and `alloc` and no `std`: a build for one of them is the proof.
const TARGETS_WITHOUT_STD: &[&str] = &[
    "wasm32v1-none",
    "x86_64-unknown-none",
    "aarch64-unknown-none",
    "thumbv7em-none-eabihf",
];

/// Refuses a dependency of a pure crate whose `std` feature is on. Works on every machine, without a second target.
fn dependencies_without_std(workspace: &Workspace) -> Result<()> {
    for package in PURE_CRATES {
        let arguments = [
            "tree", "--locked", "-p", package, "-e", "normal", "--prefix", "none", "-f", "{p} {f}",
        ];
        let tree = output_of(&mut workspace.command("cargo", &arguments)).unwrap_or_default();
        ensure!(
            tree.contains(package),
            "`cargo tree -p {package}` printed nothing about {package}"
        );
        let offender = tree.lines().find(|line| has_std_feature(line));
        ensure!(
            offender.is_none(),
            "{package} gets a dependency with its `std` feature: {}\nturn off its default features in Cargo.toml",
            offender.unwrap_or_default()
        );
    }
    Ok(())
}

/// Whether a line of `cargo tree -f "{p} {f}"` lists the feature `std`.
fn has_std_feature(line: &str) -> bool {
    line.split([' ', ',']).any(|word| word == "std")
}

fn build_without_std(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    const STEP: &str = "pure crates: build without std";
    let Some(target) = TARGETS_WITHOUT_STD
        .iter()
        .find(|target| is_installed(workspace, target))
    else {
        let reason = format!(
            "no target without std is installed (`rustup target add {}`)",
            TARGETS_WITHOUT_STD[0]
        );
        steps.skip(STEP, &reason);
        return Ok(());
    };
    let mut arguments = vec!["check", "--locked", "--target", target];
    arguments.extend(PURE_CRATES.iter().flat_map(|package| ["-p", package]));
    steps.run_command(STEP, &mut workspace.command("cargo", &arguments))
}

fn is_installed(workspace: &Workspace, target: &str) -> bool {
    let libraries =
        output_of(&mut workspace.command("rustc", &["--print", "target-libdir", "--target", target]));
    libraries.is_some_and(|folder| std::path::Path::new(folder.trim()).is_dir())
}

fn licences_and_bans(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    const STEP: &str = "licences, bans, sources";
    if output_of(&mut workspace.command("cargo", &["deny", "--version"])).is_none() {
        steps.skip(STEP, "cargo-deny is not installed (`cargo install cargo-deny`)");
        return Ok(());
    }
    // Advisories come from the network and change by the day: the nightly workflow looks at them.
    let arguments = ["deny", "--offline", "check", "bans", "licenses", "sources"];
    steps.run_command(STEP, &mut workspace.command("cargo", &arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_std_feature_is_found_as_a_whole_word() {
        assert!(has_std_feature("bytes v1.12.1 default,std"));
        assert!(has_std_feature("thiserror v2.0.1 std"));
        assert!(!has_std_feature("thiserror v2.0.1 "));
        assert!(!has_std_feature("cstd v1.0.0 no_std,stdlib"));
    }
}

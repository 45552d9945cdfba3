//! `cargo xtask test`: the whole bar, and the command that continuous integration runs.

use std::process::Command;

use anyhow::Result;

use crate::bless::Bless;
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{check, ffi, instructions, kotlin, setup, wasm};

/// Installs, checks and tests. With a filter: only the tests whose names match.
pub(crate) fn test(workspace: &Workspace, filter: &[String]) -> Result<()> {
    let mut steps = Steps::new();
    setup::setup_steps(workspace, &mut steps)?;
    if filter.is_empty() {
        check::check_steps(workspace, &mut steps)?;
    }
    if filter.is_empty() || !wasm::is_built(workspace) {
        wasm::wasm_steps(workspace, &mut steps)?;
    }
    if filter.is_empty() || !ffi::is_built(workspace) {
        ffi::ffi_steps(workspace, &mut steps, Bless::No)?;
    }
    if filter.is_empty() || !kotlin::is_built(workspace) {
        kotlin::kotlin_steps(workspace, &mut steps)?;
    }
    if filter.is_empty() {
        instructions::instructions_steps(workspace, &mut steps, Bless::No)?;
    }
    // The tests at the greatest distance start the broker as its users do: as a program.
    let build = [
        "build",
        "--locked",
        "-p",
        "cloudsignal-server",
        "-p",
        "rust-agent",
        "-p",
        "cloudsignal-ffi",
    ];
    steps.run_command(
        "build the broker, an example and the static library",
        &mut workspace.command("cargo", &build),
    )?;
    let mut tests = workspace.command("cargo", &["test", "--workspace", "--locked", "--no-fail-fast"]);
    tests.arg("--").args(filter);
    steps.run_command("tests", with_test_programs(workspace, &mut tests))?;
    steps.print_times();
    Ok(())
}

/// Tells the tests where to find what `setup` and the build made.
fn with_test_programs<'a>(workspace: &Workspace, tests: &'a mut Command) -> &'a mut Command {
    let broker = workspace
        .target()
        .join("debug")
        .join(format!("cloudsignal{}", std::env::consts::EXE_SUFFIX));
    tests
        .env("CS_TEST_BROKER", broker)
        .env("CS_TEST_PYTHON", setup::python(workspace))
        .env("CS_TEST_WHEELS", ffi::folder(workspace).join("wheels"))
}

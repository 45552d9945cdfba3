//! `cargo xtask swift`: the static library, and the generated sources where the Swift package expects them.

use std::fs;

use anyhow::{Context as _, Result};

use crate::bless::Bless;
use crate::steps::{Steps, run_command};
use crate::workspace::Workspace;
use crate::{expect_no_arguments, ffi};

/// What is generated, and where the package has it. None of it is committed.
const SOURCES: &[(&str, &str)] = &[
    (
        "swift/CloudSignalFFI.swift",
        "sdk-ffi/swift/Sources/CloudSignalFFI/CloudSignalFFI.swift",
    ),
    (
        "swift/CloudSignalFFIBinary.h",
        "sdk-ffi/swift/Sources/CloudSignalFFIBinary/CloudSignalFFIBinary.h",
    ),
];

pub(crate) fn swift(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    expect_no_arguments("swift", arguments)?;
    let mut steps = Steps::new();
    ffi::ffi_steps(workspace, &mut steps, Bless::No)?;
    steps.run("library for Swift", || build(workspace))?;
    steps.run("sources for Swift", || place(workspace))?;
    steps.print_times();
    Ok(())
}

fn build(workspace: &Workspace) -> Result<()> {
    let arguments = [
        "rustc",
        "--locked",
        "-p",
        "cloudsignal-ffi",
        "--lib",
        "--profile",
        "ffi",
        "--crate-type",
        "staticlib",
    ];
    run_command(&mut workspace.command("cargo", &arguments))
}

fn place(workspace: &Workspace) -> Result<()> {
    for (made, wanted) in SOURCES {
        let (from, to) = (ffi::folder(workspace).join(made), workspace.path(wanted));
        let folder = to.parent().context("a file is in a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        println!("    {wanted}");
    }
    Ok(())
}

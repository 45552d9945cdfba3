//! `cargo xtask wasm`: the browser package, from the client machine to what npm packs.

mod package;
mod toolchain;

use anyhow::{Context as _, Result, ensure};

use crate::expect_no_arguments;
use crate::steps::{Steps, run_command};
use crate::workspace::Workspace;

use toolchain::Toolchain;

pub(crate) fn wasm(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    expect_no_arguments("wasm", arguments)?;
    let mut steps = Steps::new();
    wasm_steps(workspace, &mut steps)?;
    steps.print_times();
    Ok(())
}

/// Whether there is a package, of whatever age.
pub(crate) fn is_built(workspace: &Workspace) -> bool {
    package::is_built(workspace)
}

/// Builds the package, as steps of a longer run.
pub(crate) fn wasm_steps(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    let mut toolchain = Toolchain::find(workspace);
    if toolchain.is_none() {
        steps.run("a compiler for WebAssembly", || toolchain::install(workspace))?;
        toolchain = Toolchain::find(workspace);
    }
    let toolchain = toolchain.with_context(|| toolchain::ADVICE)?;
    steps.run("WebAssembly module", || build(workspace, &toolchain))?;
    steps.run("types of the module", || bind(workspace, &toolchain))?;
    steps.run("JavaScript packages for the browser package", || {
        package::install(workspace)
    })?;
    steps.run("browser package", || package::build(workspace))?;
    steps.run("tests of the browser package", || package::test(workspace))?;
    steps.run("sizes of the browser package", || {
        package::sizes(workspace, &toolchain)
    })
}

/// The crate, and the name that cargo gives to its module.
const CRATE: &str = "cloudsignal-wasm";
const MODULE: &str = "cloudsignal_wasm.wasm";

fn build(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    println!("    with {toolchain}");
    let mut build = toolchain.cargo(workspace, "build");
    build.args(["--locked", "-p", CRATE, "--profile", "wasm"]);
    run_command(&mut build)
}

/// Where the module gets what a browser needs.
fn bound(workspace: &Workspace) -> std::path::PathBuf {
    workspace.target().join("wasm-bound")
}

fn bind(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    let module = toolchain.output(workspace).join("wasm").join(MODULE);
    ensure!(module.is_file(), "the build has left no {}", module.display());
    let target = workspace.target().join("xtask-wasm");
    let mut bind = workspace.command("cargo", &["run", "--quiet", "--locked", "--manifest-path"]);
    bind.arg("xtask/wasm/Cargo.toml")
        .arg("--target-dir")
        .arg(target)
        .arg("--")
        .arg(module)
        .arg(bound(workspace));
    run_command(&mut bind)
}

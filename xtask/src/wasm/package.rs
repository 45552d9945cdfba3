//! `npm/`: from the module to what npm packs. What is done there is in `npm/scripts/`.

use std::process::Command;

use anyhow::Result;

use super::bound;
use super::toolchain::Toolchain;
use crate::setup::install_npm_packages;
use crate::steps::run_command;
use crate::workspace::Workspace;

const FOLDER: &str = "npm";

pub(super) fn is_built(workspace: &Workspace) -> bool {
    workspace.path(FOLDER).join("dist/index.js").is_file()
}

pub(super) fn install(workspace: &Workspace) -> Result<()> {
    install_npm_packages(workspace, FOLDER)
}

pub(super) fn build(workspace: &Workspace) -> Result<()> {
    run_command(script(workspace, "build").arg(bound(workspace)))
}

pub(super) fn test(workspace: &Workspace) -> Result<()> {
    run_command(&mut script(workspace, "test"))
}

/// Prints sizes. Only a module that is built as a release is built is held to the limits.
pub(super) fn sizes(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    let mut sizes = script(workspace, "sizes");
    if !toolchain.builds_std() {
        sizes.arg("--print-only");
    }
    run_command(&mut sizes)
}

fn script(workspace: &Workspace, name: &str) -> Command {
    let mut node = workspace.command("node", &[&format!("scripts/{name}.mjs")]);
    node.current_dir(workspace.path(FOLDER));
    node
}

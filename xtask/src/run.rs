//! `cargo xtask run`: from a fresh clone to a running broker.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::steps::shown;
use crate::workspace::{Workspace, find_program};

/// Builds the broker and becomes it. Everything after `run` but `--dev` is passed to `cloudsignal serve`.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    need_c_compiler()?;
    let (dev, serve): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| *argument == "--dev");
    let mut build = vec!["run", "--locked", "-p", "cloudsignal-server"];
    if dev.is_empty() {
        build.push("--release");
    }
    build.extend(["--", "serve"]);
    let mut command = workspace.command("cargo", &build);
    command.args(serve).stdin(Stdio::inherit());
    println!("    {} (the first build takes minutes)", shown(&command));
    replace_with(&mut command)
}

/// The cryptography library has parts in C.
fn need_c_compiler() -> Result<()> {
    let chosen = std::env::var_os("CC").is_some();
    if chosen
        || ["cc", "gcc", "clang"]
            .iter()
            .any(|compiler| find_program(compiler).is_some())
    {
        return Ok(());
    }
    bail!("a C compiler is needed for the TLS library: install one, on Debian `sudo apt-get install -y gcc`")
}

/// Hands this process over, so that Ctrl-C and SIGTERM reach the broker and its exit code is ours.
#[cfg(unix)]
fn replace_with(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    let shown = shown(command);
    Err(command.exec()).with_context(|| format!("cannot start `{shown}`"))
}

#[cfg(not(unix))]
fn replace_with(command: &mut Command) -> Result<()> {
    crate::steps::run_command(command).context("the broker stopped")
}

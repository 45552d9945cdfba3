//! `cargo xtask example NAME`: a broker and an example that uses it.

use anyhow::{Result, bail};

use crate::steps::{Steps, run_command};
use crate::wasm;
use crate::workspace::Workspace;

/// Where the examples are; those in JavaScript share their packages.
pub(crate) const FOLDER: &str = "examples";

const EXAMPLES: &[&str] = &["browser-chat", "node-worker", "react-dashboard", "rust-agent"];

pub(crate) fn example(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let name = match arguments {
        [name] if EXAMPLES.contains(&name.as_str()) => name,
        _ => bail!("name one of the examples: {}", EXAMPLES.join(", ")),
    };
    let mut steps = Steps::new();
    if workspace.path(FOLDER).join(name).join("package.json").is_file() {
        if !wasm::is_built(workspace) {
            wasm::wasm_steps(workspace, &mut steps)?;
        }
        // Always: our own package is copied, and may have been built anew.
        let install = ["ci", "--no-audit", "--no-fund"];
        let mut install = workspace.command("npm", &install);
        install.current_dir(workspace.path(FOLDER));
        steps.run_command("JavaScript packages for the examples", &mut install)?;
    }
    let build = ["build", "--locked", "-p", "cloudsignal-server"];
    steps.run_command("build the broker", &mut workspace.command("cargo", &build))?;
    let broker = workspace
        .target()
        .join("debug")
        .join(format!("cloudsignal{}", std::env::consts::EXE_SUFFIX));
    let mut start = workspace.command("node", &["examples/start.mjs", name]);
    start
        .arg(broker)
        .arg(workspace.target().join("examples").join("data"));
    run_command(&mut start)
}

//! `cargo xtask example NAME`: a broker and an example that uses it.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::bless::Bless;
use crate::steps::{Steps, run_command};
use crate::workspace::Workspace;
use crate::{ffi, kotlin, wasm};

/// Where the examples are; those in JavaScript share their packages.
pub(crate) const FOLDER: &str = "examples";

const EXAMPLES: &[&str] = &[
    "browser-chat",
    "kotlin",
    "node-worker",
    "python",
    "react-dashboard",
    "rust-agent",
];

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
    let is_python = workspace.path(FOLDER).join(name).join("demo.py").is_file();
    if is_python {
        if !ffi::is_built(workspace) {
            ffi::ffi_steps(workspace, &mut steps, Bless::No)?;
        }
        steps.run("Python environment for the example", || install_wheel(workspace))?;
    }
    let mut program = Vec::new();
    if name == "kotlin" {
        if !kotlin::is_built(workspace) {
            ffi::ffi_steps(workspace, &mut steps, Bless::No)?;
            kotlin::kotlin_steps(workspace, &mut steps)?;
        }
        steps.run("compile the example", || {
            program = kotlin::program(workspace, "examples/kotlin/src", "DeviceKt")?;
            Ok(())
        })?;
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
        .arg(workspace.target().join("examples").join("data"))
        .args(program);
    if is_python {
        start.env("CLOUDSIGNAL_PYTHON", environment(workspace).join("bin/python"));
    }
    run_command(&mut start)
}

/// Where Python has our package and nothing else.
fn environment(workspace: &Workspace) -> PathBuf {
    workspace.target().join("examples").join("python")
}

/// Always: our own package may have been built anew.
fn install_wheel(workspace: &Workspace) -> Result<()> {
    let environment = environment(workspace);
    let mut make = workspace.command("python3", &["-m", "venv", "--clear"]);
    run_command(make.arg(&environment))?;
    let python = environment.join("bin/python");
    let install = [
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--no-index",
    ];
    let mut install = workspace.command(&python.to_string_lossy(), &install);
    run_command(install.arg(ffi::wheel(workspace)?))
}

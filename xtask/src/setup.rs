//! `cargo xtask setup`: other people's programs that the tests need. What is there already is left alone.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::steps::{Steps, run_command};
use crate::workspace::{Workspace, find_program, output_of};
use crate::{example, expect_no_arguments, kotlin};

pub(crate) fn setup(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    expect_no_arguments("setup", arguments)?;
    let mut steps = Steps::new();
    setup_steps(workspace, &mut steps)?;
    steps.print_times();
    Ok(())
}

pub(crate) fn setup_steps(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    steps.run("programs of the system", || install_programs(workspace))?;
    steps.run("Python packages for the tests", || {
        install_python_packages(workspace)
    })?;
    steps.run("JavaScript packages for the tests", || {
        install_npm_packages(workspace, JAVASCRIPT_FOLDER)?;
        install_npm_packages(workspace, BUNDLERS_FOLDER)?;
        install_npm_packages(workspace, kotlin::COMPILER_FOLDER)
    })?;
    steps.run("JavaScript packages for the examples", || {
        install_npm_packages(workspace, example::FOLDER)
    })
}

/// A program that tests start, and where it comes from.
struct Program {
    name: &'static str,
    debian: &'static [&'static str],
    homebrew: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program {
        name: "mosquitto",
        debian: &["mosquitto"],
        homebrew: "mosquitto",
    },
    Program {
        name: "mosquitto_pub",
        debian: &["mosquitto-clients"],
        homebrew: "mosquitto",
    },
    Program {
        name: "curl",
        debian: &["curl"],
        homebrew: "curl",
    },
    Program {
        name: "openssl",
        debian: &["openssl"],
        homebrew: "openssl",
    },
    Program {
        name: "strace",
        debian: &["strace"],
        homebrew: "strace",
    },
    Program {
        name: "valgrind",
        debian: &["valgrind"],
        homebrew: "valgrind",
    },
    Program {
        name: "python3",
        debian: &["python3", "python3-venv"],
        homebrew: "python",
    },
    Program {
        name: "npm",
        debian: &["nodejs", "npm"],
        homebrew: "node",
    },
    Program {
        name: "chromium",
        debian: &["chromium"],
        homebrew: "chromium",
    },
    Program {
        name: "certutil",
        debian: &["libnss3-tools"],
        homebrew: "nss",
    },
    Program {
        name: "clang",
        debian: &["clang"],
        homebrew: "llvm",
    },
    Program {
        name: "java",
        debian: &["openjdk-17-jre-headless"],
        homebrew: "openjdk@17",
    },
    Program {
        name: kotlin::JNA, // A library: its whole path is its name.
        debian: &["libjna-java"],
        homebrew: "jna",
    },
];

fn install_programs(workspace: &Workspace) -> Result<()> {
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|program| find_program(program.name).is_none())
        .collect();
    for program in PROGRAMS {
        if let Some(path) = find_program(program.name) {
            println!("    {} is at {}", program.name, path.display());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing
        .iter()
        .flat_map(|program| program.debian)
        .copied()
        .collect();
    if find_program("apt-get").is_none() {
        let names: Vec<_> = missing.iter().map(|program| program.name).collect();
        let homebrew: Vec<_> = missing.iter().map(|program| program.homebrew).collect();
        bail!(
            "missing: {}\ninstall them, on macOS with: brew install {}",
            names.join(", "),
            homebrew.join(" ")
        );
    }
    if !is_root(workspace) {
        bail!(
            "packages are missing, please run:\n  sudo apt-get update && sudo apt-get install -y {}",
            packages.join(" ")
        );
    }
    let mut update = workspace.command("apt-get", &["update", "-q"]);
    run_command(&mut update)?;
    let mut install = workspace.command("apt-get", &["install", "-y", "-q", "--no-install-recommends"]);
    // In run level 1 Debian does not start the service of a package: port 1883 stays free.
    install
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1");
    run_command(&mut install)
}

pub(crate) fn is_root(workspace: &Workspace) -> bool {
    output_of(&mut workspace.command("id", &["-u"])).is_some_and(|id| id.trim() == "0")
}

const PYTHON_REQUIREMENTS: &str = "tests/interop/python/requirements.txt";
const JAVASCRIPT_FOLDER: &str = "tests/interop/js";
const BUNDLERS_FOLDER: &str = "tests/packaging/js";

/// The interpreter that has the tests' packages.
pub(crate) fn python(workspace: &Workspace) -> std::path::PathBuf {
    tools_of_python(workspace).join("python")
}

/// Where those packages have their programs.
pub(crate) fn tools_of_python(workspace: &Workspace) -> std::path::PathBuf {
    workspace.tools().join("python/bin")
}

pub(crate) fn install_python_packages(workspace: &Workspace) -> Result<()> {
    let wanted = read(&workspace.path(PYTHON_REQUIREMENTS))?;
    let stamp = workspace.tools().join("python.installed");
    if is_current(&stamp, &wanted) && python(workspace).is_file() {
        println!("    up to date with {PYTHON_REQUIREMENTS}");
        return Ok(());
    }
    let folder = workspace.tools().join("python").to_string_lossy().into_owned();
    run_command(&mut workspace.command("python3", &["-m", "venv", "--clear", &folder])).context(
        "Python cannot make a virtual environment; on Debian run: sudo apt-get install -y python3-venv",
    )?;
    let pip = [
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "-r",
        PYTHON_REQUIREMENTS,
    ];
    run_command(&mut workspace.command(&python(workspace).to_string_lossy(), &pip))?;
    write_stamp(&stamp, &wanted)
}

/// The packages of one folder, as its lock file says.
pub(crate) fn install_npm_packages(workspace: &Workspace, name: &str) -> Result<()> {
    let folder = workspace.path(name);
    let wanted = read(&folder.join("package-lock.json"))?;
    let stamp = folder.join("node_modules/.installed");
    if is_current(&stamp, &wanted) {
        println!("    up to date with {name}/package-lock.json");
        return Ok(());
    }
    let mut install = workspace.command("npm", &["ci", "--no-audit", "--no-fund"]);
    run_command(install.current_dir(&folder))?;
    write_stamp(&stamp, &wanted)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Whether the last installation followed these very requirements.
fn is_current(stamp: &Path, wanted: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|installed| installed == wanted)
}

fn write_stamp(stamp: &Path, wanted: &str) -> Result<()> {
    fs::write(stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

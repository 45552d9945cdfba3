//! Which compiler builds for WebAssembly on this machine. Nothing is downloaded through rustup.
//!
//! 1. The installed one, when it has the target.
//! 2. The installed one, when it has the source of the standard library and lets us build it.
//! 3. Debian's, which comes with that source. Compiler and source must be of the same version, so both are Debian's;
//!    the linker is the one that is there.

use core::fmt;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::setup::is_root;
use crate::steps::run_command;
use crate::workspace::{Workspace, find_program, output_of};

const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust";
/// What of the standard library is built, when it has to be.
const BUILD_STD: &str = "-Zbuild-std=core,alloc";

/// A panic is a trap without a word. What is left out makes the module a twentieth smaller.
const FLAGS: &str = "-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none -Zfmt-debug=none";

/// What a person without root, or without Debian, can do.
pub(super) const ADVICE: &str = "no compiler for wasm32-unknown-unknown; one of these brings one:\n  \
     rustup target add wasm32-unknown-unknown\n  \
     sudo apt-get install -y rustc-web cargo-web rust-web-src";

/// A compiler that can.
#[derive(Debug)]
pub(super) struct Toolchain {
    way: Way,
    version: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Target,
    OwnSource,
    Debian,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.way {
            Way::Target => "the installed target",
            Way::OwnSource => "the installed compiler and its source",
            Way::Debian => "Debian's compiler and its source",
        };
        write!(out, "{way}, Rust {}", self.version)
    }
}

impl Toolchain {
    /// The first way that works here.
    pub(super) fn find(workspace: &Workspace) -> Option<Self> {
        let way = if has_target(workspace) {
            Way::Target
        } else if has_own_source(workspace) {
            Way::OwnSource
        } else if has_debian(workspace) {
            Way::Debian
        } else {
            return None;
        };
        let rustc = match way {
            Way::Target | Way::OwnSource => "rustc",
            Way::Debian => DEBIAN_RUSTC,
        };
        let version = version_of(workspace, rustc)?;
        Some(Self { way, version })
    }

    /// Each compiler keeps its output: switching back and forth builds nothing again.
    fn target_dir(&self, workspace: &Workspace) -> PathBuf {
        let way = match self.way {
            Way::Target => "target",
            Way::OwnSource => "own-source",
            Way::Debian => "debian",
        };
        workspace.target().join(format!("wasm-{way}-{}", self.version))
    }

    /// Where a build leaves its modules, in a folder for each profile.
    pub(super) fn output(&self, workspace: &Workspace) -> PathBuf {
        self.target_dir(workspace).join(TARGET)
    }

    /// Whether the standard library is built too, with the flags of a release.
    pub(super) fn builds_std(&self) -> bool {
        self.way != Way::Target
    }

    /// `cargo SUBCOMMAND` for WebAssembly.
    pub(super) fn cargo(&self, workspace: &Workspace, subcommand: &str) -> Command {
        let mut command = match self.way {
            Way::Target | Way::OwnSource => workspace.command("cargo", &[subcommand]),
            Way::Debian => debian_cargo(workspace, subcommand),
        };
        if self.builds_std() {
            command
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", FLAGS)
                .arg(BUILD_STD);
        }
        command
            .args(["--target", TARGET, "--target-dir"])
            .arg(self.target_dir(workspace));
        command
    }
}

fn debian_cargo(workspace: &Workspace, subcommand: &str) -> Command {
    let mut command = workspace.command(DEBIAN_CARGO, &[subcommand]);
    // What our own caller's toolchain has set would mix two compilers.
    for variable in [
        "RUSTUP_TOOLCHAIN",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO",
        "LD_LIBRARY_PATH",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
    ] {
        command.env_remove(variable);
    }
    command
        .env("RUSTC", DEBIAN_RUSTC)
        .env("RUSTDOC", "/usr/bin/rustdoc");
    if let Some(linker) = linker(workspace) {
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
    command
}

/// Debian's compiler asks for a linker that is a package of its own; the installed compiler brought one that will do.
fn linker(workspace: &Workspace) -> Option<PathBuf> {
    let own = sysroot(workspace).and_then(|sysroot| {
        let about = output_of(&mut workspace.command("rustc", &["-vV"]))?;
        let host = about.lines().find_map(|line| line.strip_prefix("host: "))?;
        Some(sysroot.join("lib/rustlib").join(host).join("bin/rust-lld"))
    });
    own.filter(|file| file.is_file())
        .or_else(|| find_program("wasm-ld"))
}

fn sysroot(workspace: &Workspace) -> Option<PathBuf> {
    let sysroot = output_of(&mut workspace.command("rustc", &["--print", "sysroot"]))?;
    Some(PathBuf::from(sysroot.trim()))
}

fn version_of(workspace: &Workspace, rustc: &str) -> Option<String> {
    let mut command = workspace.command(rustc, &["-V"]);
    let said = output_of(command.env_remove("RUSTUP_TOOLCHAIN"))?;
    said.split_whitespace().nth(1).map(str::to_owned)
}

fn has_target(workspace: &Workspace) -> bool {
    let asked = ["--print", "target-libdir", "--target", TARGET];
    let folder = output_of(&mut workspace.command("rustc", &asked)).unwrap_or_default();
    let files = Path::new(folder.trim()).read_dir();
    files.is_ok_and(|mut files| {
        files.any(|file| file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libcore-")))
    })
}

fn has_own_source(workspace: &Workspace) -> bool {
    sysroot(workspace).is_some_and(|it| it.join("lib/rustlib/src/rust/library/Cargo.lock").is_file())
}

/// Whether Debian's compiler is there, with the source of the very same version.
fn has_debian(workspace: &Workspace) -> bool {
    let source = Path::new(DEBIAN_SOURCE);
    let Some(version) = version_of(workspace, DEBIAN_RUSTC) else {
        return false;
    };
    let is_same = source
        .canonicalize()
        .is_ok_and(|folder| folder.ends_with(format!("rustc-{version}")));
    is_same && source.join("library/Cargo.lock").is_file() && Path::new(DEBIAN_CARGO).is_file()
}

/// Installs Debian's, which takes root.
pub(super) fn install(workspace: &Workspace) -> Result<()> {
    if env::consts::OS != "linux" || find_program("apt-get").is_none() || !is_root(workspace) {
        bail!("{ADVICE}");
    }
    run_command(&mut workspace.command("apt-get", &["update", "-q"]))?;
    let mut install = workspace.command("apt-get", &["install", "-y", "-q", "--no-install-recommends"]);
    install
        .args(DEBIAN_PACKAGES)
        .env("DEBIAN_FRONTEND", "noninteractive");
    run_command(&mut install)
}

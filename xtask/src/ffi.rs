//! `cargo xtask ffi`: the library for other languages, the code by which they call it, and the surface that must not
//! change unseen.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};

use crate::bless::Bless;
use crate::setup;
use crate::steps::{Steps, run_command, shown};
use crate::workspace::Workspace;

/// The crate and the name of its library.
const CRATE: &str = "cloudsignal-ffi";
const LIBRARY: &str = "cloudsignal_ffi";

/// For whom there is code.
const LANGUAGES: &[&str] = &["kotlin", "swift", "python"];

/// What the library offers, as it was agreed on.
const SURFACE: &str = "sdk-ffi/surface.txt";

/// Largest library without symbols that is accepted, bytes: what it had on x86-64 when it was last looked at, and a little.
/// What it is made of is in `sdk-ffi/README.md`.
const LIBRARY_BYTES_MAX: u64 = 2_800_000;

pub(crate) fn ffi(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let bless = Bless::from_arguments("ffi", arguments)?;
    let mut steps = Steps::new();
    ffi_steps(workspace, &mut steps, bless)?;
    steps.print_times();
    Ok(())
}

/// Whether there is a library with its code, of whatever age.
pub(crate) fn is_built(workspace: &Workspace) -> bool {
    wheel(workspace).is_ok()
}

/// Where everything ends up: `libcloudsignal_ffi.*`, `kotlin/`, `swift/`, `python/`, `wheels/`.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("ffi")
}

/// Builds and checks, as steps of a longer run.
pub(crate) fn ffi_steps(workspace: &Workspace, steps: &mut Steps, bless: Bless) -> Result<()> {
    steps.run("library for other languages", || build(workspace))?;
    steps.run("code of other languages", || generate(workspace))?;
    steps.run("surface for other languages", || surface(workspace, bless))?;
    steps.run("Python packages", || setup::install_python_packages(workspace))?;
    steps.run("Python wheel", || build_wheel(workspace))?;
    steps.run("size of the library", || size(workspace))
}

/// The library of the profile `ffi`, which has the folder to itself.
pub(crate) fn library(workspace: &Workspace) -> PathBuf {
    let (prefix, suffix) = (env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    folder(workspace).join(format!("{prefix}{LIBRARY}{suffix}"))
}

fn build(workspace: &Workspace) -> Result<()> {
    // One kind of library alone: only then is it optimized as a whole.
    let arguments = [
        "rustc",
        "--locked",
        "-p",
        CRATE,
        "--lib",
        "--profile",
        "ffi",
        "--crate-type",
        "cdylib",
    ];
    run_command(&mut workspace.command("cargo", &arguments))
}

/// Where the generator is built: maturin looks for it there.
fn generator_folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("xtask-ffi")
}

fn generator(workspace: &Workspace, verb: &str) -> Command {
    let mut cargo = workspace.command("cargo", &[verb, "--quiet", "--locked", "--manifest-path"]);
    cargo
        .arg("xtask/ffi/Cargo.toml")
        .arg("--target-dir")
        .arg(generator_folder(workspace));
    cargo
}

fn generate(workspace: &Workspace) -> Result<()> {
    let library = library(workspace);
    ensure!(library.is_file(), "the build has left no {}", library.display());
    run_command(&mut generator(workspace, "test"))?;
    for language in LANGUAGES {
        let mut generate = generator(workspace, "run");
        generate
            .args(["--", "generate", "--language", language, "--config"])
            .arg(workspace.path("sdk-ffi/uniffi.toml"))
            .arg("--out-dir")
            .arg(folder(workspace).join(language))
            .arg(&library);
        run_command(&mut generate)?;
    }
    Ok(())
}

fn wheels(workspace: &Workspace) -> PathBuf {
    folder(workspace).join("wheels")
}

/// The Python package that was built last.
pub(crate) fn wheel(workspace: &Workspace) -> Result<PathBuf> {
    let folder = wheels(workspace);
    let files = fs::read_dir(&folder).with_context(|| format!("no wheel in {}", folder.display()))?;
    let wheel = files
        .flatten()
        .map(|file| file.path())
        .find(|file| file.extension().is_some_and(|it| it == "whl"));
    wheel.with_context(|| format!("no wheel in {}", folder.display()))
}

/// The Python package, as pip takes it.
fn build_wheel(workspace: &Workspace) -> Result<()> {
    let wheels = wheels(workspace);
    if wheels.is_dir() {
        fs::remove_dir_all(&wheels).context("cannot remove the last wheel")?;
    }
    let programs = [
        setup::tools_of_python(workspace),
        generator_folder(workspace).join("debug"),
    ];
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(programs.into_iter().chain(env::split_paths(&path)))?;
    let maturin = setup::tools_of_python(workspace).join("maturin");
    let mut build = workspace.command(&maturin.to_string_lossy(), &["build", "--locked"]);
    build
        .args(["--compatibility", "linux", "--target-dir"])
        .arg(workspace.target())
        .arg("--out")
        .arg(&wheels)
        .env("PATH", path)
        .current_dir(workspace.path("sdk-ffi/python"));
    run_command(&mut build)
}

/// Refuses a surface that is not the one that was agreed on.
fn surface(workspace: &Workspace, bless: Bless) -> Result<()> {
    let agreed = workspace.path(SURFACE);
    let mut print = generator(workspace, "run");
    print.args(["--", "surface"]).arg(library(workspace));
    println!("    {}", shown(&print));
    let printed = print.output().context("cannot start the generator")?;
    ensure!(
        printed.status.success(),
        "{}",
        String::from_utf8_lossy(&printed.stderr)
    );
    let now = String::from_utf8(printed.stdout).context("the surface is no text")?;
    if bless == Bless::Yes {
        return fs::write(&agreed, now).with_context(|| format!("cannot write {SURFACE}"));
    }
    let before = fs::read_to_string(&agreed).with_context(|| format!("cannot read {SURFACE}"))?;
    let changes = difference(&before, &now);
    ensure!(
        changes.is_empty(),
        "what other languages can call is not what {SURFACE} says:\n{}\nif that is meant: cargo xtask ffi --bless",
        changes.join("\n")
    );
    Ok(())
}

/// The lines that are in one text only, with the part that they belong to: parts are parted by empty lines.
fn difference(before: &str, now: &str) -> Vec<String> {
    let (before, now) = (lines_by_part(before), lines_by_part(now));
    let gone = before.iter().filter(|line| !now.contains(line));
    let new = now.iter().filter(|line| !before.contains(line));
    let shown = |sign: char| move |(part, line): &(String, String)| format!("{sign} {part}: {}", line.trim());
    gone.map(shown('-')).chain(new.map(shown('+'))).collect()
}

fn lines_by_part(text: &str) -> Vec<(String, String)> {
    let mut part = String::new();
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if !line.starts_with(' ') {
            line.clone_into(&mut part);
        }
        lines.push((part.clone(), line.to_owned()));
    }
    lines
}

fn size(workspace: &Workspace) -> Result<()> {
    let stripped = folder(workspace).join("stripped");
    let mut strip = workspace.command("strip", &["-o"]);
    run_command(strip.arg(&stripped).arg(library(workspace)))?;
    run_command(workspace.command("size", &["-A", "-d"]).arg(&stripped))?;
    let bytes = fs::metadata(&stripped).context("strip has left nothing")?.len();
    println!("    {bytes} bytes without symbols, of {LIBRARY_BYTES_MAX}");
    ensure!(bytes <= LIBRARY_BYTES_MAX, "the library has grown too large");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_shows_with_its_part() {
        let before = "record A\n  x: u8\n\nrecord B\n  x: u8\n";
        assert_eq!(difference(before, before), Vec::<String>::new());
        let now = "record A\n  x: u8\n\nrecord B\n  x: u16\n";
        assert_eq!(
            difference(before, now),
            ["- record B: x: u8", "+ record B: x: u16"]
        );
    }
}

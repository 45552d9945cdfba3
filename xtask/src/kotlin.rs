//! `cargo xtask kotlin`: the library for Kotlin as a jar, with the native library of this machine in it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::bless::Bless;
use crate::steps::{Steps, run_command};
use crate::workspace::Workspace;
use crate::{expect_no_arguments, ffi, setup};

/// Where the package of the compiler is named. It has the standard library and coroutines beside it.
pub(crate) const COMPILER_FOLDER: &str = "tests/mobile/npm";
const COMPILER: &str = "tests/mobile/npm/node_modules/kotlin-compiler";

/// What calls native libraries, as Debian installs it.
pub(crate) const JNA: &str = "/usr/share/java/jna.jar";

/// The hand-written layer.
const SOURCES: &str = "sdk-ffi/kotlin/src/main/kotlin";

/// The oldest Java that the classes are for; Android takes the same.
const JVM_TARGET: &str = "17";

pub(crate) fn kotlin(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    expect_no_arguments("kotlin", arguments)?;
    let mut steps = Steps::new();
    ffi::ffi_steps(workspace, &mut steps, Bless::No)?;
    kotlin_steps(workspace, &mut steps)?;
    steps.print_times();
    Ok(())
}

/// Compiles and packs, as steps of a longer run, after those of `ffi`.
pub(crate) fn kotlin_steps(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    steps.run("compiler of Kotlin", || {
        setup::install_npm_packages(workspace, COMPILER_FOLDER)
    })?;
    steps.run("library for Kotlin", || compile(workspace))?;
    steps.run("jar for Kotlin", || pack(workspace))
}

/// Whether there is a jar, of whatever age.
pub(crate) fn is_built(workspace: &Workspace) -> bool {
    jar(workspace).is_file()
}

fn jar(workspace: &Workspace) -> PathBuf {
    ffi::folder(workspace).join("cloudsignal.jar")
}

/// What goes into the jar.
fn content(workspace: &Workspace) -> PathBuf {
    ffi::folder(workspace).join("jar")
}

fn compile(workspace: &Workspace) -> Result<()> {
    let content = content(workspace);
    drop(fs::remove_dir_all(&content));
    let mut java = compiler(workspace, &libraries(workspace)?)?;
    java.arg("-d")
        .arg(&content)
        .arg(ffi::folder(workspace).join("kotlin"))
        .arg(workspace.path(SOURCES));
    run_command(&mut java)
}

/// What the library needs beside it.
fn libraries(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    ensure!(
        Path::new(JNA).is_file(),
        "{JNA} is missing: `cargo xtask setup` installs it"
    );
    let library = |name: &str| workspace.path(COMPILER).join("lib").join(name);
    Ok(vec![
        library("kotlin-stdlib.jar"),
        library("kotlinx-coroutines-core-jvm.jar"),
        JNA.into(),
    ])
}

/// The compiler, which needs to know where to put what, and what to compile.
fn compiler(workspace: &Workspace, libraries: &[PathBuf]) -> Result<Command> {
    let folder = workspace.path(COMPILER);
    // One short run: what would make a long one faster costs more than it gains.
    let java = ["-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"];
    let mut java = workspace.command("java", &java);
    java.arg(folder.join("lib/kotlin-preloader.jar"))
        .args(["org.jetbrains.kotlin.preloading.Preloader", "-cp"])
        .arg(folder.join("lib/kotlin-compiler.jar"))
        .arg("org.jetbrains.kotlin.cli.jvm.K2JVMCompiler")
        .args(["-no-reflect", "-jvm-target", JVM_TARGET, "-kotlin-home"])
        .arg(&folder)
        .arg("-cp")
        .arg(class_path(libraries)?);
    Ok(java)
}

fn class_path(parts: &[PathBuf]) -> Result<OsString> {
    std::env::join_paths(parts).context("a path with a colon")
}

/// Compiles a program in Kotlin, and answers the words that run its `main`, which is in the class that is named.
pub(crate) fn program(workspace: &Workspace, sources: &str, main: &str) -> Result<Vec<OsString>> {
    let mut libraries = libraries(workspace)?;
    libraries.push(jar(workspace));
    let classes = workspace.target().join(sources);
    let mut java = compiler(workspace, &libraries)?;
    java.arg("-d").arg(&classes).arg(workspace.path(sources));
    run_command(&mut java)?;
    libraries.push(classes);
    Ok(vec![
        "java".into(),
        "-cp".into(),
        class_path(&libraries)?,
        main.into(),
    ])
}

fn pack(workspace: &Workspace) -> Result<()> {
    let (content, library) = (content(workspace), ffi::library(workspace));
    let name = library.file_name().context("the library has a name")?;
    let natives = ffi::folder(workspace).join("natives").join(platform());
    let packed = content.join(platform());
    fs::create_dir_all(&natives).context("the build folder takes no folder")?;
    fs::create_dir_all(&packed).context("the jar's folder takes no folder")?;
    let mut strip = workspace.command("strip", &["-o"]);
    run_command(strip.arg(natives.join(name)).arg(&library))?;
    fs::copy(natives.join(name), packed.join(name)).context("the jar's folder takes no library")?;
    let mut zip = workspace.command("python3", &["-m", "zipfile", "-c"]);
    zip.arg(jar(workspace)).current_dir(&content);
    for entry in fs::read_dir(&content).context("the compiler has left nothing")? {
        zip.arg(entry.context("the compiler's output")?.file_name());
    }
    run_command(&mut zip)
}

/// The folder of a jar where the library of this machine is looked for.
fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "x86-64",
        other => other,
    };
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    };
    format!("{os}-{arch}")
}

//! Other people's programs. A missing one fails the test and says what installs it: nothing is skipped silently.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::wait;

/// The broker under test: `CS_TEST_BROKER`, or the one cargo built beside this test.
#[must_use]
pub fn broker() -> PathBuf {
    let path = env::var_os("CS_TEST_BROKER").map_or_else(beside_this_test, PathBuf::from);
    assert!(
        path.is_file(),
        "{} is not there: `cargo xtask test` builds it, and so does `cargo build -p cloudsignal-server`",
        path.display()
    );
    path
}

/// `target/debug/deps/interop-123` or `target/debug/load` → `target/debug/cloudsignal`.
fn beside_this_test() -> PathBuf {
    let test = env::current_exe().expect("a running program has a path");
    let folder = test.parent().expect("a program stands in a folder");
    let folder = match folder.parent() {
        Some(above) if folder.ends_with("deps") => above,
        Some(_) | None => folder,
    };
    folder.join(format!("cloudsignal{}", env::consts::EXE_SUFFIX))
}

/// What `command` leaves in the build folder: a file or a folder.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn built(name: &str, command: &str) -> PathBuf {
    let path = beside_this_test().with_file_name("..").join(name);
    assert!(
        path.exists(),
        "{} is not there: `{command}` builds it",
        path.display()
    );
    path
}

/// Python with the packages of `tests/interop/python/requirements.txt`.
#[must_use]
pub fn python() -> Command {
    let beside = || beside_this_test().with_file_name("../test-tools/python/bin/python");
    let path = env::var_os("CS_TEST_PYTHON").map_or_else(beside, PathBuf::from);
    assert!(
        path.is_file(),
        "no Python with the tests' packages at {}: `cargo xtask setup` installs it",
        path.display()
    );
    Command::new(path)
}

/// Node, with the packages of `tests/interop/js/package-lock.json` in place.
#[must_use]
pub fn node() -> Command {
    let packages = interop_folder().join("js/node_modules/mqtt");
    assert!(
        packages.is_dir(),
        "the tests' JavaScript packages are missing: `cargo xtask setup` installs them"
    );
    installed("node")
}

/// The folder of our browser package, built.
#[must_use]
pub fn browser_package() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../npm");
    assert!(
        folder.join("dist/index.js").is_file(),
        "the browser package is not built: `cargo xtask wasm` builds it"
    );
    folder
}

/// A program of the system.
#[must_use]
pub fn installed(name: &str) -> Command {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    let Some(program) = found else {
        panic!("{name} is missing: `cargo xtask setup` installs it");
    };
    Command::new(program)
}

/// The folder of the tests' scripts.
#[must_use]
pub fn interop_folder() -> PathBuf {
    tests_folder().join("interop")
}

/// The folder of the tests.
#[must_use]
pub fn tests_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Starts `command`, writes `input` to it, and gives what it printed when it has ended.
#[must_use]
pub fn run_with_input(mut command: Command, input: &str) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = start(&mut command);
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin
        .write_all(input.as_bytes())
        .unwrap_or_else(|error| panic!("{command:?} does not read its input: {error}"));
    drop(stdin);
    child
        .wait_with_output()
        .unwrap_or_else(|error| panic!("{command:?} was lost: {error}"))
}

/// Starts `command`.
pub fn start(command: &mut Command) -> Child {
    command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
}

/// Awaits the end of a child and gives its exit code.
pub fn ended(what: &str, child: &mut Child) -> Option<i32> {
    let status = wait::until(&format!("the end of {what}"), || {
        child.try_wait().expect("a child can be asked for its state")
    });
    status.code()
}

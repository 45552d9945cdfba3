//! Our Python package, installed in a fresh virtual environment as its users install it.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

use crate::programs;

/// A virtual environment with the package in it; gone with this value.
#[derive(Debug)]
pub struct Environment {
    folder: TempDir,
}

/// Makes one.
///
/// # Panics
/// When there is no wheel, or it cannot be installed.
#[must_use]
pub fn environment() -> Environment {
    let folder = TempDir::new().expect("a folder");
    let mut make = programs::python();
    make.args(["-m", "venv"]).arg(folder.path());
    succeed(make);
    let environment = Environment { folder };
    let mut install = environment.python();
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
    ]);
    install.arg(wheel());
    succeed(install);
    environment
}

impl Environment {
    /// Its interpreter, which sees nothing of what is installed elsewhere.
    #[must_use]
    pub fn python(&self) -> Command {
        let mut python = Command::new(self.folder.path().join("bin/python"));
        python.env_remove("PYTHONPATH").env("PYTHONWARNINGS", "default");
        python
    }
}

/// The wheel that was built last: `CS_TEST_WHEELS`, or beside the tests' build.
fn wheel() -> PathBuf {
    let folder = env::var_os("CS_TEST_WHEELS").map_or_else(
        || programs::broker().with_file_name("../ffi/wheels"),
        PathBuf::from,
    );
    let files = fs::read_dir(&folder).ok().into_iter().flatten().flatten();
    let wheel = files
        .map(|file| file.path())
        .find(|file| file.extension().is_some_and(|it| it == "whl"));
    wheel.unwrap_or_else(|| panic!("no wheel in {}: `cargo xtask ffi` builds it", folder.display()))
}

fn succeed(mut command: Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(output.status.success(), "{command:?} failed: {output:?}");
}

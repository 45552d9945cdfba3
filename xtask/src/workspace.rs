//! Where things are: the root of the checkout and the build folder.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// This checkout.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace that this program was built from.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask/ lies inside the workspace")?;
        ensure!(
            root.join("Cargo.toml").is_file(),
            "{} has moved: run `cargo build -p xtask` again",
            root.display()
        );
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// A path inside the checkout, or the checkout itself for `""`.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        if relative.is_empty() {
            self.root.clone()
        } else {
            self.root.join(relative)
        }
    }

    /// Cargo's build folder.
    pub(crate) fn target(&self) -> PathBuf {
        match env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => self.root.join(folder),
            None => self.root.join("target"),
        }
    }

    /// Tools that `setup` installs beside the build.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target().join("test-tools")
    }

    /// `program` with `arguments`, run in the root of the checkout, without standard input.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let program = if program == "cargo" {
            cargo()
        } else {
            program.into()
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.root)
            .stdin(Stdio::null());
        command
    }
}

/// The cargo that started us, so that a toolchain chosen for this call holds for what it starts.
fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Where `program` is on the search path. Looks in the system folders too, which a plain user's path leaves out.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// What a command prints on standard output, or `None` when it cannot run or fails.
pub(crate) fn output_of(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

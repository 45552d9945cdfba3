//! Our browser package, packed and installed as its users install it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::programs;

/// What npm packs of it: a file in `folder`.
///
/// # Panics
/// When the package is not built, or npm fails.
#[must_use]
pub fn pack(folder: &Path) -> PathBuf {
    let mut pack = programs::installed("npm");
    pack.current_dir(programs::browser_package())
        .args(["pack", "--silent", "--ignore-scripts", "--pack-destination"])
        .arg(folder);
    let packed = programs::run_with_input(pack, "");
    assert!(packed.status.success(), "{packed:?}");
    let name = String::from_utf8(packed.stdout).expect("npm prints text");
    folder.join(name.trim())
}

/// Installs it in a project; what was there before is gone.
///
/// # Panics
/// When it cannot be unpacked.
pub fn install(project: &Path) {
    let package = project.join("node_modules/@cloudsignal/client");
    drop(fs::remove_dir_all(&package));
    fs::create_dir_all(&package).expect("a folder");
    let packed = tempfile::tempdir().expect("a folder");
    let mut unpack = programs::installed("tar");
    unpack
        .args(["--strip-components=1", "-xzf"])
        .arg(pack(packed.path()))
        .arg("-C")
        .arg(&package);
    let unpacked = programs::run_with_input(unpack, "");
    assert!(unpacked.status.success(), "{unpacked:?}");
}

/// An empty project that has the package, these scripts, and of the tests' JavaScript packages these.
///
/// # Panics
/// When one of them is missing.
#[must_use]
pub fn project(scripts: &[PathBuf], packages: &[&str]) -> TempDir {
    let project = tempfile::tempdir().expect("a folder");
    install(project.path());
    for script in scripts {
        let name = script.file_name().expect("a script has a name");
        fs::copy(script, project.path().join(name)).expect("a script");
    }
    let installed = programs::interop_folder().join("js/node_modules");
    for name in packages {
        let link = project.path().join("node_modules").join(name);
        symlink(installed.join(name), link).expect("a link");
    }
    project
}

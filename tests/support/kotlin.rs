//! Programs in Kotlin, compiled against the library as `cargo xtask kotlin` packs it, and run on this machine's Java.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs;

/// What calls native libraries, as Debian installs it.
const JNA: &str = "/usr/share/java/jna.jar";

/// A compiled program.
#[derive(Debug)]
pub struct Program {
    classes: PathBuf,
}

impl Program {
    /// Compiles a folder of sources; what comes of it is left in `out`.
    ///
    /// # Panics
    /// When the compiler refuses them, or the library or the compiler is missing.
    #[must_use]
    pub fn compile(sources: &Path, out: &Path) -> Self {
        drop(fs::remove_dir_all(out));
        let compiler = compiler();
        let mut java = programs::installed("java");
        java.args(["-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
            .arg(compiler.join("lib/kotlin-preloader.jar"))
            .args(["org.jetbrains.kotlin.preloading.Preloader", "-cp"])
            .arg(compiler.join("lib/kotlin-compiler.jar"))
            .arg("org.jetbrains.kotlin.cli.jvm.K2JVMCompiler")
            .args(["-no-reflect", "-Werror", "-jvm-target", "17", "-kotlin-home"])
            .arg(&compiler)
            .arg("-cp")
            .arg(class_path(&[]))
            .arg("-d")
            .arg(out)
            .arg(sources);
        let compiled = programs::run_with_input(java, "");
        let problems = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "{}: {problems}", sources.display());
        Self {
            classes: out.to_owned(),
        }
    }

    /// Java with the program: `main` is the file that holds it, as Kotlin names its class.
    #[must_use]
    pub fn command(&self, main: &str) -> Command {
        let mut java = programs::installed("java");
        // Cargo lists its own folder there, and a library in it would be taken before the one of the jar.
        java.env_remove("LD_LIBRARY_PATH");
        java.arg("-cp").arg(class_path(&[&self.classes])).arg(main);
        java
    }
}

fn compiler() -> PathBuf {
    let folder = programs::tests_folder().join("mobile/npm/node_modules/kotlin-compiler");
    assert!(
        folder.is_dir(),
        "the compiler of Kotlin is missing: `cargo xtask setup` installs it"
    );
    folder
}

/// The library as it is packed, what it needs, and more.
fn class_path(more: &[&Path]) -> OsString {
    let jar = programs::built("ffi/cloudsignal.jar", "cargo xtask kotlin");
    let libraries = compiler().join("lib");
    let mut parts = vec![
        jar,
        PathBuf::from(JNA),
        libraries.join("kotlin-stdlib.jar"),
        libraries.join("kotlinx-coroutines-core-jvm.jar"),
    ];
    parts.extend(more.iter().map(|part| part.to_path_buf()));
    env::join_paths(parts).expect("paths without colons")
}

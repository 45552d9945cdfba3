//! The library for Swift, as far as a machine without Swift can check it: the C border is compiled, linked and called, no
//! symbol is missing on either side of it, and the hand-written sources parse and declare what was agreed on. None of this
//! checks types; the package's own tests do, where there is Swift.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cloudsignal_tests::programs;

/// What uniffi calls the version of its border.
const CONTRACT: &str = "ffi_cloudsignal_ffi_uniffi_contract_version";

fn package() -> PathBuf {
    programs::tests_folder().join("../sdk-ffi/swift")
}

fn generated(name: &str) -> PathBuf {
    programs::built("ffi/swift", "cargo xtask ffi").join(name)
}

/// Cargo builds it with the tests: all kinds of the library.
fn static_library() -> PathBuf {
    programs::built("debug/libcloudsignal_ffi.a", "cargo build -p cloudsignal-ffi")
}

fn succeed(command: Command) -> String {
    let output: Output = programs::run_with_input(command, "");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

/// The names in a text that begin as those of the library do.
fn symbols(text: &str) -> BTreeSet<&str> {
    let names = text.split(|ch: char| !ch.is_ascii_alphanumeric() && ch != '_');
    names
        .filter(|name| {
            let of_ours = ["ffi_cloudsignal_ffi_", "uniffi_cloudsignal_ffi_"];
            of_ours.iter().any(|prefix| name.starts_with(prefix))
        })
        .collect()
}

#[test]
fn the_module_of_swift_links_and_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let map = package().join("Sources/CloudSignalFFIBinary/module.modulemap");
    for (from, to) in [
        (map, "module.modulemap"),
        (generated("CloudSignalFFIBinary.h"), "CloudSignalFFIBinary.h"),
    ] {
        fs::copy(from, folder.path().join(to)).expect("a copy");
    }
    let source = folder.path().join("main.c");
    let text = format!(
        "#pragma clang module import CloudSignalFFIBinary\nint printf(const char *, ...);\n\
         int main(void) {{ return printf(\"%u\\n\", {CONTRACT}()) < 0; }}\n"
    );
    fs::write(&source, text).expect("a source");
    let program = folder.path().join("main");
    let mut clang = programs::installed("clang");
    clang
        .args(["-Wall", "-Werror", "-fmodules", "-I"])
        .arg(folder.path())
        .arg(format!(
            "-fmodules-cache-path={}",
            folder.path().join("cache").display()
        ))
        .arg(&source)
        .arg(static_library())
        .args(["-lm", "-lpthread", "-ldl", "-o"])
        .arg(&program);
    drop(succeed(clang));
    let version = succeed(Command::new(&program));
    let swift = fs::read_to_string(generated("CloudSignalFFI.swift")).expect("a source");
    let wanted = format!("bindings_contract_version = {}", version.trim());
    assert!(swift.contains(&wanted), "the library says {version}");
}

#[test]
fn every_symbol_of_swift_is_in_the_library() {
    let header = fs::read_to_string(generated("CloudSignalFFIBinary.h")).expect("a header");
    let swift = fs::read_to_string(generated("CloudSignalFFI.swift")).expect("a source");
    let mut nm = programs::installed("nm");
    nm.args(["--defined-only", "--extern-only", "--format=just-symbols"])
        .arg(static_library())
        .stderr(std::process::Stdio::null());
    let library = succeed(nm);
    let (declared, called, there) = (symbols(&header), symbols(&swift), symbols(&library));
    assert!(
        declared.contains(CONTRACT) && called.contains(CONTRACT),
        "{declared:?}"
    );
    let missing: Vec<_> = declared.difference(&there).collect();
    assert!(missing.is_empty(), "the library lacks {missing:?}");
    let undeclared: Vec<_> = called.difference(&declared).collect();
    assert!(undeclared.is_empty(), "the header lacks {undeclared:?}");
}

/// The Swift files of a folder, in the order of their names.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = files
        .filter(|file| file.extension() == Some(OsStr::new("swift")))
        .collect();
    files.sort();
    files
}

/// `CS_TEST_BLESS=1` writes what is declared now.
#[test]
fn hand_written_swift_parses_and_declares_what_was_agreed_on() {
    let (package, example) = (
        package(),
        programs::tests_folder().join("../examples/swift/Sources/Device"),
    );
    let mut python = programs::python();
    python
        .arg(programs::tests_folder().join("mobile/swift/surface.py"))
        .arg(package.join("Package.swift"))
        .args(sources(&package.join("Tests/CloudSignalTests")))
        .args(sources(&example))
        .arg("--")
        .args(sources(&package.join("Sources/CloudSignal")));
    let declared = succeed(python);
    let file = package.join("public.txt");
    if std::env::var_os("CS_TEST_BLESS").is_some() {
        fs::write(&file, &declared).expect("the file takes text");
    }
    let agreed = fs::read_to_string(&file).expect("public.txt");
    let lines = |text: &str| -> BTreeSet<String> { text.lines().map(str::to_owned).collect() };
    let (before, now) = (lines(&agreed), lines(&declared));
    assert!(
        agreed == declared,
        "what Swift can call is not what public.txt says:\n gone: {:#?}\n new: {:#?}\n\
         if that is meant: CS_TEST_BLESS=1 cargo test -p cloudsignal-tests --test mobile hand_written_swift",
        before.difference(&now),
        now.difference(&before)
    );
}

/// The package's own tests, against a broker over TLS.
#[test]
#[ignore = "needs Swift, and `cargo xtask swift` before"]
fn the_package_passes_its_own_tests() {
    let broker = crate::broker();
    let library = programs::built("ffi/libcloudsignal_ffi.a", "cargo xtask swift");
    let mut swift = programs::installed("swift");
    swift
        .arg("test")
        .arg("--package-path")
        .arg(package())
        .args(["-Xlinker", "-L", "-Xlinker"])
        .arg(library.parent().expect("a library is in a folder"));
    let output = programs::run_with_input(crate::told(swift, &broker), "");
    assert!(output.status.success(), "{output:?}");
}

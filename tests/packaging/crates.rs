//! `cargo package`, and an empty project outside of the workspace that depends on what came of it: it publishes and hears
//! over TLS. The registry does not have the crates yet, so the project says where they are; whatever else they need is what
//! a registry gives.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::programs;
use serde_json::Value;

/// Those that are published.
const CRATES: [&str; 2] = ["cloudsignal-core", "cloudsignal"];
/// The lines of the program that use the client, at most.
const LINES_MAX: usize = 9;
const PROGRAM: &str = include_str!("rust/main.rs");

/// Kept from run to run: most of the time goes into building what others have written.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("packaging")
}

fn workspace() -> PathBuf {
    programs::tests_folder().join("..")
}

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.arg("--offline").args(arguments);
    cargo
}

fn run(mut command: Command) -> Vec<u8> {
    let output = command.output().expect("it can be started");
    assert!(output.status.success(), "{command:?} failed: {output:?}");
    output.stdout
}

/// Packs the crates and unpacks them again. Gives where each is.
fn pack() -> [PathBuf; 2] {
    let mut package = cargo(&[
        "package",
        "--no-verify",
        "--allow-dirty",
        "--locked",
        "--target-dir",
    ]);
    package.arg(folder()).current_dir(workspace());
    for name in CRATES {
        package.args(["-p", name]);
    }
    run(package);
    CRATES.map(|name| {
        let named = format!("{name}-{}", env!("CARGO_PKG_VERSION"));
        let packed = folder().join("package");
        drop(fs::remove_dir_all(packed.join(&named)));
        let mut unpack = programs::installed("tar");
        unpack
            .arg("-xzf")
            .arg(packed.join(format!("{named}.crate")))
            .arg("-C")
            .arg(&packed);
        run(unpack);
        packed.join(named)
    })
}

/// A project that nobody but its manifest has told anything.
fn project(crates: &[PathBuf; 2]) -> PathBuf {
    let project = folder().join("project");
    drop(fs::remove_dir_all(&project));
    fs::create_dir_all(project.join("src")).expect("a folder");
    let patches: String = CRATES
        .iter()
        .zip(crates)
        .map(|(name, path)| format!("{name} = {{ path = {path:?} }}\n"))
        .collect();
    let manifest = format!(
        "[package]\nname = \"outside\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         cloudsignal = \"{}\"\ntokio = {{ version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }}\n\n\
         [profile.dev]\ndebug = false\n\n[patch.crates-io]\n{patches}",
        env!("CARGO_PKG_VERSION"),
    );
    fs::write(project.join("Cargo.toml"), manifest).expect("a manifest");
    fs::write(project.join("src/main.rs"), PROGRAM).expect("a program");
    // The versions that are tested here; those that nobody needs there go by themselves.
    fs::copy(workspace().join("Cargo.lock"), project.join("Cargo.lock")).expect("a lock file");
    project
}

#[test]
fn packed_crates_publish_and_hear_over_tls_in_an_empty_project() {
    let project = project(&pack());
    let mut build = cargo(&["build", "--quiet", "--target-dir"]);
    build.arg(folder()).current_dir(&project);
    run(build);
    let broker = BrokerOptions::default().start();
    let first_run = broker.first_run();
    let mut program = Command::new(folder().join("debug/outside"));
    program
        .arg(broker.url(Listener::Mqtts))
        .arg(&first_run.ca_file)
        .args([&first_run.username, &first_run.password]);
    assert_eq!(String::from_utf8_lossy(&run(program)), "packaging/rust: hello\n");
}

#[test]
fn the_program_is_short() {
    let uses = PROGRAM
        .lines()
        .skip_while(|line| !line.contains("builder"))
        .filter(|line| !line.is_empty());
    assert!(uses.count() <= LINES_MAX + 1, "with the brace that ends it");
}

#[test]
fn published_crates_say_what_a_registry_wants_to_know() {
    let mut metadata = cargo(&["metadata", "--format-version", "1", "--no-deps", "--locked"]);
    metadata.current_dir(workspace());
    let metadata: Value = serde_json::from_slice(&run(metadata)).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    let published = packages.iter().filter(|package| package["publish"].is_null());
    // Cargo lists them by where they are on this machine.
    let names: BTreeSet<_> = published
        .clone()
        .filter_map(|package| package["name"].as_str())
        .collect();
    assert_eq!(names, CRATES.into(), "and no others");
    for package in published {
        for field in ["description", "license", "repository", "readme", "rust_version"] {
            assert!(package[field].is_string(), "{}: {field}", package["name"]);
        }
        for list in ["keywords", "categories"] {
            let entries = package[list].as_array().map_or(0, Vec::len);
            assert!((1..=5).contains(&entries), "{}: {list}", package["name"]);
        }
    }
}

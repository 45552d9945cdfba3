//! Rules for Rust code that no lint knows, and for sleeping in tests of any language.

use super::Finding;
use super::rust_source::RustSource;
use super::tree::{Tree, is_test_file};

/// Crates that decide and never do: no operating system in reach.
const PURE_CRATES: &[&str] = &["sdk-core", "server/broker"];

/// The one place that calls C: it tells the allocator what no crate has a safe word for.
const CALLS_C: &str = "server/memory/";

/// A comment that begins so, on the line above, says why a test must sleep.
const SLEEP_REASON: &str = "sleep:";

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (file, rust) in tree.rust_files() {
        if PURE_CRATES
            .iter()
            .any(|folder| file.path.starts_with(&format!("{folder}/src/")))
        {
            pure_crate(&file.path, rust, findings);
        }
        if file.path.starts_with("server/broker/") {
            client_in_broker(&file.path, rust, findings);
        }
        handwritten_unsafe(&file.path, rust, findings);
        ignored_without_reason(&file.path, rust, findings);
        sleeping_tests(&file.path, rust, findings);
    }
    pure_crate_roots(tree, findings);
    sleeping_scripts(tree, findings);
    lint_opt_in(tree, findings);
}

fn pure_crate(path: &str, rust: &RustSource, findings: &mut Vec<Finding>) {
    for line in rust
        .lines()
        .filter(|line| line.code.contains("extern crate std") && !line.is_test)
    {
        let text = "a pure crate has no std outside `#[cfg(test)]`";
        findings.push(Finding::at(path, line.index, text));
    }
}

/// The two attributes that make the compiler keep a crate pure.
fn pure_crate_roots(tree: &Tree, findings: &mut Vec<Finding>) {
    for folder in PURE_CRATES {
        let path = format!("{folder}/src/lib.rs");
        let Some(rust) = tree.file(&path).and_then(|file| file.rust.as_ref()) else {
            continue;
        };
        for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
            if !rust.code().contains(attribute) {
                findings.push(Finding::whole(
                    &path,
                    format!("a pure crate begins with `{attribute}`"),
                ));
            }
        }
    }
}

fn client_in_broker(path: &str, rust: &RustSource, findings: &mut Vec<Finding>) {
    for line in rust.lines() {
        let code: String = line.code.split_whitespace().collect();
        if code.contains("cloudsignal_core::client") || code.contains("cloudsignal_core::{client") {
            let text = "the broker shares the codec, topics and time with the client, never its machine";
            findings.push(Finding::at(path, line.index, text));
        }
    }
}

fn handwritten_unsafe(path: &str, rust: &RustSource, findings: &mut Vec<Finding>) {
    if path.starts_with(CALLS_C) {
        return;
    }
    for line in rust.lines() {
        let mut words = line.code.split(|ch: char| !ch.is_alphanumeric() && ch != '_');
        if words.any(|word| word == "unsafe") {
            findings.push(Finding::at(path, line.index, "no hand-written unsafe code"));
        }
    }
}

fn ignored_without_reason(path: &str, rust: &RustSource, findings: &mut Vec<Finding>) {
    for line in rust.lines().filter(|line| line.code.contains("#[ignore]")) {
        findings.push(Finding::at(
            path,
            line.index,
            "a test is ignored without `= \"reason\"`",
        ));
    }
}

fn sleeping_tests(path: &str, rust: &RustSource, findings: &mut Vec<Finding>) {
    let mut above = "";
    for line in rust.lines() {
        if line.is_test && calls_sleep(line.code) && !above.contains(SLEEP_REASON) {
            findings.push(Finding::at(path, line.index, SLEEP_ADVICE));
        }
        above = line.comment;
    }
}

/// The name of another function may end in it.
fn calls_sleep(code: &str) -> bool {
    code.rsplit("sleep(")
        .skip(1)
        .any(|before| !before.ends_with(|it: char| it.is_alphanumeric() || it == '_'))
}

const SLEEP_ADVICE: &str =
    "a test sleeps: await a condition, or pause the clock and say why above with `// sleep: reason`";

/// Tests in Python and JavaScript keep the same rule.
fn sleeping_scripts(tree: &Tree, findings: &mut Vec<Finding>) {
    let is_script = |path: &str| {
        [".py", ".js", ".mjs", ".ts"]
            .iter()
            .any(|end| path.ends_with(end))
    };
    for file in tree
        .files
        .iter()
        .filter(|file| is_script(&file.path) && is_test_file(&file.path))
    {
        let mut above = "";
        for (index, line) in file.text.lines().enumerate() {
            if calls_sleep(line) && !above.contains(SLEEP_REASON) {
                findings.push(Finding::at(&file.path, index, SLEEP_ADVICE));
            }
            above = line;
        }
    }
}

/// Crates outside the workspace.
const OUTSIDE: &[&str] = &["fuzz/", "xtask/ffi/", "xtask/wasm/"];

/// The workspace's lints hold only in crates that ask for them. What calls C has lints of its own: what the workspace
/// forbids nobody can allow.
fn lint_opt_in(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in tree.files.iter().filter(|file| {
        file.path.ends_with("/Cargo.toml")
            && !OUTSIDE
                .iter()
                .chain([&CALLS_C])
                .any(|it| file.path.starts_with(it))
    }) {
        let mut lines = file
            .text
            .lines()
            .map(str::trim)
            .skip_while(|line| *line != "[lints]")
            .skip(1);
        if lines.next() != Some("workspace = true") {
            findings.push(Finding::whole(
                &file.path,
                "needs `[lints]` with `workspace = true`",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<(String, usize)> {
        let mut findings = Vec::new();
        check(&Tree::of(files), &mut findings);
        findings
            .into_iter()
            .map(|finding| (finding.path, finding.line))
            .collect()
    }

    fn lines_found(path: &str, text: &str) -> Vec<usize> {
        found(&[(path, text)]).into_iter().map(|(_, line)| line).collect()
    }

    #[test]
    fn a_pure_crate_sees_std_in_tests_only() {
        let good = "#![no_std]\n#![forbid(unsafe_code)]\n#[cfg(test)]\nextern crate std;\n";
        assert_eq!(lines_found("sdk-core/src/lib.rs", good), [] as [usize; 0]);
        let bad = "#![no_std]\n#![forbid(unsafe_code)]\nextern crate std;\n";
        assert_eq!(lines_found("sdk-core/src/lib.rs", bad), [3]);
        assert_eq!(lines_found("server/broker/src/lib.rs", "pub mod a;\n"), [0, 0]);
        assert_eq!(
            lines_found("server/src/net.rs", "extern crate std;\n"),
            [] as [usize; 0]
        );
    }

    #[test]
    fn the_broker_never_uses_the_client_machine() {
        assert_eq!(
            lines_found("server/broker/src/a.rs", "use cloudsignal_core::codec;\n"),
            [] as [usize; 0]
        );
        assert_eq!(
            lines_found(
                "server/broker/src/a.rs",
                "use cloudsignal_core::client::Client;\n"
            ),
            [1]
        );
    }

    #[test]
    fn unsafe_is_found_as_code_only() {
        let text = "// unsafe\nlet a = \"unsafe\";\n#![forbid(unsafe_code)]\nfn f() { unsafe { g() } }\n";
        assert_eq!(lines_found("a/src/b.rs", text), [4]);
        assert_eq!(lines_found("server/src/b.rs", text), [4]);
        assert_eq!(lines_found("server/memory/src/b.rs", text), [0; 0]);
    }

    #[test]
    fn a_sleeping_test_needs_a_reason_above() {
        let text = "fn a() { sleep(1); }\n#[cfg(test)]\nmod tests {\n    sleep(1);\n    // sleep: the clock is paused\n    sleep(2);\n}\n";
        assert_eq!(lines_found("a/src/b.rs", text), [4]);
        assert_eq!(lines_found("tests/a.rs", "sleep(1);\n"), [1]);
        assert_eq!(lines_found("tests/a.rs", "look_before_sleep(1);\n"), [0; 0]);
        assert_eq!(
            lines_found(
                "tests/interop/a.py",
                "time.sleep(1)\n# sleep: polls a condition\ntime.sleep(1)\n"
            ),
            [1]
        );
    }

    #[test]
    fn an_ignored_test_says_why() {
        assert_eq!(
            lines_found("a/src/b.rs", "#[ignore]\n#[ignore = \"needs a browser\"]\n"),
            [1]
        );
    }

    #[test]
    fn every_crate_takes_the_workspace_lints() {
        assert_eq!(
            lines_found("a/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"),
            [] as [usize; 0]
        );
        assert_eq!(lines_found("a/Cargo.toml", "[package]\n"), [0]);
    }
}

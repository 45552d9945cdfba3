//! The library for Kotlin as its users have it: a jar with the native library in it, on the JVM, against a real broker
//! over TLS. The scenarios are in `kotlin/Scenarios.kt`, the costs in `kotlin/Costs.kt`.

use std::path::Path;

use cloudsignal_tests::{kotlin, programs};

/// Fewer means that some did not run.
const SCENARIOS: usize = 13;

#[test]
fn kotlin_on_the_jvm() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mobile-kotlin");
    let program = kotlin::Program::compile(&programs::tests_folder().join("mobile/kotlin"), &out);
    let broker = crate::broker();
    let java = crate::told(program.command("io.cloudsignal.tests.MainKt"), &broker);
    let output = programs::run_with_input(java, "");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{problems}");
    assert_eq!(text.lines().count(), SCENARIOS, "{text}");
    assert!(problems.is_empty(), "nothing else is said: {problems}");
}

//! One scenario, carried out through every package against a real broker over TLS, with a proxy in between that resets
//! connections: the same events in the same order from each. The scenario is `scenario.json`, what its words mean is in
//! `README.md`.
//!
//! | file | holds |
//! |---|---|
//! | [`script`] | the scenario, read |
//! | [`runner`] | the program of one package |
//! | [`stage`] | the broker, the proxy, and somebody else who publishes and listens |

mod runner;
mod script;
mod stage;

use std::path::{Path, PathBuf};
use std::process::Command;

use cloudsignal_tests::broker::Listener;
use cloudsignal_tests::{kotlin, package, programs, wheel};

use runner::Runner;
use script::Step;
use stage::Stage;

fn folder() -> PathBuf {
    programs::tests_folder().join("scenario")
}

/// Every step with a runner, which `start` begins anew.
async fn play(listener: Listener, start: impl Fn(&Stage) -> Command) {
    let mut stage = Stage::set(listener).await;
    let mut runner = Runner::start(start(&stage));
    for step in script::read() {
        if step.start {
            runner = Runner::start(start(&stage));
        }
        carry_out(&step, &mut stage, &mut runner).await;
        let expected = script::expanded(&step.expect);
        runner.expect(&step.title, &expected).await;
        stage.expect(&step.title, &script::expanded(&step.heard)).await;
        if let Some(code) = step.exit {
            assert_eq!(runner.exit_code().await, Some(code), "{}", step.title);
        }
    }
    runner.expect_nothing_more("the end of the scenario").await;
}

async fn carry_out(step: &Step, stage: &mut Stage, runner: &mut Runner) {
    if let Some(command) = &step.runner {
        let command = stage.complete(command).await;
        runner.send(&command).await;
    }
    if let Some(action) = &step.harness {
        if action["do"] == "kill" {
            runner.kill().await;
        } else {
            stage.act(action).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_in_rust() {
    play(Listener::Mqtts, |_| {
        Command::new(env!("CARGO_BIN_EXE_scenario-runner"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_in_kotlin() {
    let classes = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scenario-kotlin");
    let program = kotlin::Program::compile(&folder().join("runners/kotlin"), &classes);
    play(Listener::Mqtts, |_| program.command("RunnerKt")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_in_python() {
    let environment = wheel::environment();
    play(Listener::Mqtts, |_| {
        let mut python = environment.python();
        python.arg(folder().join("runners/runner.py"));
        python
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_in_the_browser_package() {
    let project = package::project(&[folder().join("runners/runner.mjs")], &["ws"]);
    play(Listener::Wss, |stage| {
        let mut node = programs::node();
        node.arg(project.path().join("runner.mjs"))
            .env("NODE_EXTRA_CA_CERTS", stage.ca_file());
        node
    })
    .await;
}

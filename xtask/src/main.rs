//! The repository's commands. `cargo xtask` lists them; each one lives in the file of its name.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod bench;
mod bless;
mod check;
mod example;
mod ffi;
mod instructions;
mod kotlin;
mod run;
mod setup;
mod sim;
mod steps;
mod swift;
mod test;
mod tidy;
mod wasm;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

/// One `cargo xtask NAME`.
struct Command {
    name: &'static str,
    arguments: &'static str,
    summary: &'static str,
    run: fn(&Workspace, &[String]) -> Result<()>,
}

/// Every command. Tidy holds the texts of the repository to this list.
const COMMANDS: &[Command] = &[
    Command {
        name: "run",
        arguments: "[--dev] [SERVE FLAGS]",
        summary: "build the broker and start it; --dev builds faster and runs slower",
        run: run::run,
    },
    Command {
        name: "test",
        arguments: "[TEST FILTER]",
        summary: "install what the tests need, then check and test everything; a filter runs matching tests only",
        run: test::test,
    },
    Command {
        name: "sim",
        arguments: "[--seeds N [--from S] | --seed S]",
        summary: "simulate more seeds, or replay one with its events",
        run: sim::sim,
    },
    Command {
        name: "bench",
        arguments: "[--only ROWS] [--runs N] [--flashmq NAME=PROGRAM] …",
        summary: "measure our broker beside others on this machine; --help shows everything, --list the rows",
        run: bench::bench,
    },
    Command {
        name: "instructions",
        arguments: "[--bless]",
        summary: "count the instructions of the hot path, and compare; --bless: they may change",
        run: instructions::instructions,
    },
    Command {
        name: "wasm",
        arguments: "",
        summary: "build and test the browser package, npm/dist, and print its sizes",
        run: wasm::wasm,
    },
    Command {
        name: "ffi",
        arguments: "[--bless]",
        summary: "build the library for Kotlin, Swift and Python and their code, target/ffi; --bless: its calls may change",
        run: ffi::ffi,
    },
    Command {
        name: "kotlin",
        arguments: "",
        summary: "build the library for Kotlin, target/ffi/cloudsignal.jar, with the native library of this machine",
        run: kotlin::kotlin,
    },
    Command {
        name: "swift",
        arguments: "",
        summary: "build the static library for Swift, and put the generated sources into its package, sdk-ffi/swift",
        run: swift::swift,
    },
    Command {
        name: "example",
        arguments: "NAME",
        summary: "start a broker, and an example that uses it: browser-chat, kotlin, node-worker, python, react-dashboard, rust-agent",
        run: example::example,
    },
    Command {
        name: "check",
        arguments: "",
        summary: "format, lints, docs, house rules: everything that needs no running test",
        run: check::check,
    },
    Command {
        name: "tidy",
        arguments: "",
        summary: "the house rules alone, in a second",
        run: tidy::tidy,
    },
    Command {
        name: "setup",
        arguments: "",
        summary: "install what the tests need and nothing else",
        run: setup::setup,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let (name, arguments) = match arguments {
        [] => ("help", arguments),
        [name, rest @ ..] => (name.as_str(), rest),
    };
    if ["help", "--help", "-h"].contains(&name) {
        print!("{}", usage());
        return Ok(());
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        bail!("there is no `cargo xtask {name}`\n\n{}", usage());
    };
    (command.run)(&Workspace::find()?, arguments)
}

fn usage() -> String {
    let mut text = String::from("Usage: cargo xtask COMMAND\n\n");
    for command in COMMANDS {
        let call = format!("{} {}", command.name, command.arguments);
        text += &format!("  {:<28} {}\n", call.trim_end(), command.summary);
    }
    text
}

/// Refuses arguments for a command that takes none.
fn expect_no_arguments(name: &str, arguments: &[String]) -> Result<()> {
    match arguments {
        [] => Ok(()),
        [first, ..] => bail!("`cargo xtask {name}` takes no arguments, but got {first:?}"),
    }
}

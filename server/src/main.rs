//! The program `cloudsignal`.

use std::process::ExitCode;

use clap::Parser as _;

use cloudsignal_server::cli::{self, Cli};

fn main() -> ExitCode {
    cli::run(Cli::parse()).into()
}

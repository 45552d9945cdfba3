//! The program `cloudsignal`.

use std::process::ExitCode;

use clap::Parser as _;
use cloudsignal_memory::Allocator;

use cloudsignal_server::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    cli::run(Cli::parse()).into()
}

//! The program `cloudsignal`.

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

use cloudsignal_server::cli::{self, Cli};

/// Messages are made by one thread and freed by others. The C library's allocator grows the heap of a thread that is
/// not the first by a few pages at a time, each time by a call to the system. Without huge pages: with them most of the
/// time went into clearing memory.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::run(Cli::parse()).into()
}

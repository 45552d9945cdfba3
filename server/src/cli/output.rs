//! What the command line prints: results on standard output, remarks on standard error.

use core::fmt;
use std::io::{self, BufWriter, StdoutLock, Write as _};

use super::exit::Failure;

/// Standard output, gathered into large writes. A reader that went away ends the command quietly.
#[derive(Debug)]
pub struct Output {
    stdout: BufWriter<StdoutLock<'static>>,
}

impl Output {
    /// The program's standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self {
            stdout: BufWriter::new(io::stdout().lock()),
        }
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stdout.write_all(bytes).map_err(Failure::closed_output)
    }

    /// Writes bytes and a line break.
    pub fn line(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.write(bytes)?;
        self.write(b"\n")
    }

    /// Shows what was written so far.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush().map_err(Failure::closed_output)
    }
}

/// Prints a remark for people. A standard error that nobody reads is no reason to stop.
pub(super) fn remark(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}

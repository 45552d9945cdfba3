//! How a command ends: one code per kind of failure, so that a script can tell them apart.

use core::fmt;
use std::io;
use std::process::ExitCode;

/// How a command ended, as a script sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for is done.
    Done = 0,
    /// A file, a value or an answer of the broker's administration was not as needed.
    Failed = 1,
    /// The command line makes no sense. (The parser ends the program with this code itself.)
    Usage = 2,
    /// No connection: the network, TLS, or nobody there.
    Unreachable = 3,
    /// The broker refused the login.
    LoginRefused = 4,
    /// The broker refused a message or a subscription.
    Refused = 5,
    /// The connection ended before the work was done.
    Lost = 6,
    /// What was waited for did not come in time.
    TimedOut = 7,
}

/// What every command's help says about its exit code.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done                        4  login refused
  1  failed                      5  message or subscription refused
  2  wrong command line          6  connection lost
  3  broker not reachable        7  timed out";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    /// A failure of this kind, with what to tell the person.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
        }
    }

    /// A failure of this kind, with what to tell the person.
    pub fn because(exit: Exit, text: impl fmt::Display) -> Self {
        Self::new(exit, anyhow::anyhow!("{text}"))
    }

    /// Nobody reads our output any more, as in `cloudsignal sub … | head`: no reason to complain.
    pub(super) fn closed_output(error: io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::BrokenPipe {
            Exit::Done
        } else {
            Exit::Failed
        };
        Self::new(exit, error)
    }

    /// The same failure, of another kind where it was of the `wrong` one.
    #[must_use]
    pub(super) fn instead_of(mut self, wrong: Exit, right: Exit) -> Self {
        if self.exit == wrong {
            self.exit = right;
        }
        self
    }

    /// The code to end with.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:#}", self.error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is() {
        let closed = Failure::closed_output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(closed.exit(), Exit::Done);
        let full = Failure::closed_output(io::ErrorKind::StorageFull.into());
        assert_eq!(full.exit(), Exit::Failed);
    }

    #[test]
    fn a_failure_shows_its_causes() {
        let error = anyhow::anyhow!("no such file").context("cannot read ca.pem");
        assert_eq!(
            Failure::from(error).to_string(),
            "cannot read ca.pem: no such file"
        );
    }
}

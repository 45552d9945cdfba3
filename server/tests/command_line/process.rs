//! Programs under test: started with a clean environment, and never left behind.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Longer than any step takes on a loaded machine. Only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// `cloudsignal WORDS`, with no variable of ours in its environment and nothing on standard input.
pub(crate) fn cloudsignal(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudsignal"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CLOUDSIGNAL_") {
            command.env_remove(name);
        }
    }
    command.args(words).stdin(Stdio::null());
    command
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A program that runs until its test ends.
pub(crate) struct Running {
    child: Option<Child>,
    remarks: Receiver<String>,
}

impl Running {
    /// Starts it; its standard error is read line by line.
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_owned();
        let child = command.stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!(
                "cannot start {}: {error}; `cargo xtask setup` installs what tests need",
                name.display()
            )
        });
        let stderr = child.stderr.take().expect("it is piped");
        Self {
            child: Some(child),
            remarks: lines_of(stderr),
        }
    }

    /// Waits until it says something with these words on standard error.
    pub(crate) fn wait_for(&self, words: &str) {
        self.hears(words)
            .unwrap_or_else(|said| panic!("it never said {words:?}, only:\n{said}"));
    }

    /// Waits likewise; when it ends or falls silent, gives what it said instead.
    pub(crate) fn hears(&self, words: &str) -> Result<(), String> {
        let mut said = String::new();
        loop {
            match self.remarks.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(words) => return Ok(()),
                Ok(line) => said += &format!("{line}\n"),
                Err(_) => return Err(said),
            }
        }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it is taken last").id()
    }

    /// Asks it to stop, as a supervisor would.
    #[cfg(unix)]
    pub(crate) fn terminate(&self) {
        let child = self.child.as_ref().expect("it is taken last");
        let told = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()
            .unwrap();
        assert!(told.success());
    }

    /// Waits until it ends by itself, and gives its standard output if that is piped.
    pub(crate) fn output(mut self) -> Output {
        let child = self.child.take().expect("it is taken once");
        child.wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn lines_of(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    // Ends with the program, whose standard error it reads.
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

//! A run of named steps: each is announced, timed, and listed at the end.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// The steps done so far, with what each cost.
#[derive(Debug)]
pub(crate) struct Steps {
    done: Vec<(String, Outcome)>,
    started: Instant,
}

#[derive(Debug)]
enum Outcome {
    Took(Duration),
    Skipped(String),
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self {
            done: Vec::new(),
            started: now(),
        }
    }

    /// Runs one step; its error names the step.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n==> {name}");
        let started = now();
        let result = step();
        let took = now() - started;
        self.done.push((name.to_owned(), Outcome::Took(took)));
        if result.is_err() {
            self.print_times();
        }
        result.with_context(|| format!("{name} failed after {}", seconds(took)))
    }

    /// Runs one program as a step.
    pub(crate) fn run_command(&mut self, name: &str, command: &mut Command) -> Result<()> {
        self.run(name, || run_command(command))
    }

    /// Says out loud that a step is left out, and why.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        println!("\n==> {name}: skipped, {reason}");
        self.done
            .push((name.to_owned(), Outcome::Skipped(reason.to_owned())));
    }

    /// Prints every step with its time.
    pub(crate) fn print_times(&self) {
        println!("\nSteps:");
        for (name, outcome) in &self.done {
            match outcome {
                Outcome::Took(took) => println!("  {:>8}  {name}", seconds(*took)),
                Outcome::Skipped(reason) => println!("  {:>8}  {name} ({reason})", "skipped"),
            }
        }
        println!("  {:>8}  in all", seconds(now() - self.started));
    }
}

/// Runs a program to its end; anything but success is an error that shows the command.
pub(crate) fn run_command(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    println!("    {shown}");
    let status = command
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// A command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = command.get_program();
    let name = std::path::Path::new(program).file_name().unwrap_or(program);
    let mut words = vec![name.to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|argument| argument.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures build steps; nothing of the product follows from it"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_is_named_in_its_error() {
        let mut steps = Steps::new();
        steps.run("good", || Ok(())).unwrap();
        let error = steps.run("bad", || bail!("the reason")).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.starts_with("bad failed after") && text.ends_with("the reason"),
            "{text}"
        );
    }

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "--workspace"]);
        assert_eq!(shown(&command), "cargo test --workspace");
    }
}

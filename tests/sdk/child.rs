//! A process of its own, which can be killed: this very program, told to be one of its ignored tests.

use std::fmt::Display;
use std::process::Stdio;

use cloudsignal_tests::wait;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// What a child has to know, as JSON.
const TASK: &str = "CS_TEST_SDK_TASK";

/// What the parent has told this child.
pub(crate) struct Task(Value);

impl Task {
    /// In a child.
    pub(crate) fn given() -> Self {
        let task = std::env::var(TASK).expect("the parent says what to do");
        Self(serde_json::from_str(&task).expect("the parent speaks JSON"))
    }

    pub(crate) fn text(&self, field: &str) -> String {
        self.0[field].as_str().expect("the parent says it").to_owned()
    }

    pub(crate) fn number(&self, field: &str) -> Option<u64> {
        self.0[field].as_u64()
    }
}

/// Starts the test of this name as a child, whose output is listened to.
pub(crate) fn start(test: &str, task: &Value) -> Child {
    let this = std::env::current_exe().expect("a running program has a path");
    let mut command = Command::new(this);
    command
        .args(["--ignored", "--exact", test, "--nocapture"])
        .env(TASK, task.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command.spawn().expect("this program can be started again")
}

/// Says something to the parent.
#[expect(clippy::print_stdout, reason = "the parent listens")]
pub(crate) fn tell(what: impl Display) {
    println!("\n{what}"); // The test harness writes into the same lines.
}

/// Listens until so many lines of interest have come, kills the child, and hears what it had said besides.
pub(crate) async fn kill_after(
    mut child: Child,
    count: usize,
    is_of_interest: fn(&str) -> bool,
) -> Vec<String> {
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let (mut said, mut seen) = (Vec::new(), 0);
    while seen < count {
        let line = timeout(wait::DEADLINE, whole_line(&mut stdout)).await;
        let line = line
            .expect("it goes on")
            .expect("a child lives until it is killed");
        seen += usize::from(is_of_interest(&line));
        said.push(line);
    }
    child.kill().await.expect("our own child can be killed");
    while let Some(line) = whole_line(&mut stdout).await {
        said.push(line);
    }
    said
}

/// The next line, unless it is cut off.
async fn whole_line(stdout: &mut BufReader<ChildStdout>) -> Option<String> {
    let mut line = String::new();
    stdout.read_line(&mut line).await.expect("text");
    line.ends_with('\n').then(|| line.trim_end().to_owned())
}

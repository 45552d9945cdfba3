//! The program of one package: commands in, events out.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

/// How long an event is waited for; everything here takes a fraction of it.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Runner {
    process: Child,
    commands: ChildStdin,
    events: Lines<BufReader<ChildStdout>>,
}

impl Runner {
    pub(crate) fn start(command: Command) -> Self {
        let mut process = tokio::process::Command::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the runner can be started");
        let commands = process.stdin.take().expect("stdin is piped");
        let events = process.stdout.take().expect("stdout is piped");
        Self {
            process,
            commands,
            events: BufReader::new(events).lines(),
        }
    }

    pub(crate) async fn send(&mut self, command: &Value) {
        let line = format!("{command}\n");
        let sent = self.commands.write_all(line.as_bytes()).await;
        sent.unwrap_or_else(|error| panic!("the runner takes no {command}: {error}"));
    }

    async fn next(&mut self) -> Option<Value> {
        let line = self.events.next_line().await.expect("the runner prints text")?;
        let event = serde_json::from_str(&line);
        Some(event.unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// Waits for these events and no others. Those of one thing come in their order.
    pub(crate) async fn expect(&mut self, title: &str, expected: &[Value]) {
        let mut got = Vec::new();
        while got.len() < expected.len() {
            match timeout(PATIENCE, self.next()).await {
                Ok(Some(event)) => got.push(event),
                Ok(None) => panic!("{title}: the runner has ended after {got:?}"),
                Err(_) => panic!("{title}: {expected:?} should come, and {got:?} has"),
            }
        }
        assert_eq!(in_lanes(&got), in_lanes(expected), "{title}");
    }

    /// The end of its output, and nothing before.
    pub(crate) async fn expect_nothing_more(&mut self, title: &str) {
        let more = timeout(PATIENCE, self.next()).await;
        assert_eq!(more, Ok(None), "{title}");
    }

    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        self.expect_nothing_more("the end of the runner").await;
        let status = timeout(PATIENCE, self.process.wait())
            .await
            .expect("the runner ends");
        status.expect("a child can be awaited").code()
    }

    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.expect("a child can be killed");
    }
}

/// What events are about: of each of these, they have an order.
const LANES: [&[&str]; 4] = [
    &["token_wanted", "session", "suspended", "closed"],
    &["subscribed", "unsubscribed"],
    &["message"],
    &["published"],
];

fn in_lanes(events: &[Value]) -> Vec<Vec<&Value>> {
    let is_about =
        |event: &&Value, lane: &[&str]| event["event"].as_str().is_some_and(|it| lane.contains(&it));
    let known: Vec<Vec<&Value>> = LANES
        .iter()
        .map(|lane| events.iter().filter(|event| is_about(event, lane)).collect())
        .collect();
    let told: usize = known.iter().map(Vec::len).sum();
    assert_eq!(told, events.len(), "an event that nobody knows: {events:?}");
    known
}

//! A client in a Node process of its own: a line for each order, and one for whatever it tells.

use std::path::Path;
use std::process::Stdio;

use cloudsignal_tests::programs;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use crate::contestant::{Contestant, Order, TOLD_MAX, Task, Told};
use crate::plan::TOKEN_SECS;

/// Starts `script` of the project: `kind` says which way.
pub(crate) fn start(project: &Path, kind: &str, task: &Task) -> Contestant {
    let mut node = Command::from(programs::node());
    node.arg(project.join("client.mjs"))
        .env("NODE_EXTRA_CA_CERTS", &task.ca_file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = node.spawn().expect("Node can be started");
    let stdin = child.stdin.take().expect("it is piped");
    let stdout = child.stdout.take().expect("it is piped");
    let job = json!({
        "kind": kind,
        "url": task.url,
        "api": task.api,
        "secret_key": task.secret_key,
        "org_id": task.org_id,
        "email": task.email,
        "token_secs": task.token_secs,
        "server_token_secs": TOKEN_SECS,
        "up": task.up,
        "down": task.down,
        "messages": task.messages,
        "rate": task.rate,
    });
    let (orders, taken) = mpsc::channel(1);
    let (tell, told) = mpsc::channel(TOLD_MAX);
    tokio::spawn(async move {
        command(stdin, job.to_string(), taken).await;
        // It ends by itself when its input does; nobody waits for more.
        drop(child);
    });
    tokio::spawn(listen(stdout, tell));
    Contestant { orders, told }
}

async fn command(mut stdin: ChildStdin, job: String, mut orders: mpsc::Receiver<Order>) {
    let mut line = job;
    loop {
        line.push('\n');
        stdin.write_all(line.as_bytes()).await.expect("Node reads");
        line = match orders.recv().await {
            Some(Order::Go) => "go".to_owned(),
            Some(Order::Finish) => "finish".to_owned(),
            None => return,
        };
    }
}

async fn listen(stdout: ChildStdout, tell: mpsc::Sender<Told>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let told = read(&line).unwrap_or_else(|| panic!("what is {line:?}?"));
        if tell.send(told).await.is_err() {
            return;
        }
    }
}

fn read(line: &str) -> Option<Told> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "ready" => Some(Told::Ready),
        "connected" => Some(Told::Connected),
        "token" => Some(Told::Token),
        "received" => Some(Told::Received(rest.parse().ok()?)),
        "reported" => Some(Told::Reported(rest.parse().ok()?)),
        "refused" => {
            let (number, why) = rest.split_once(' ')?;
            Some(Told::Refused(number.parse().ok()?, why.to_owned()))
        }
        _ => None,
    }
}

#[test]
fn a_line_says_one_thing() {
    assert_eq!(read("received 17"), Some(Told::Received(17)));
    let refused = Told::Refused(3, "it is full".to_owned());
    assert_eq!(read("refused 3 it is full"), Some(refused));
    for nonsense in ["", "received", "received x", "refused 3"] {
        assert_eq!(read(nonsense), None, "{nonsense}");
    }
}

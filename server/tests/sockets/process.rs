//! The program itself, and the signals it is sent.

use std::path::Path;
use std::process::Stdio;

use cloudsignal_core::Version;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};

use crate::broker::{Client, DEADLINE, connect_as, dial, in_time};

struct Program {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    folder: TempDir,
}

impl Program {
    async fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_cloudsignal"))
            .arg("serve")
            .args([
                "--listen-mqtt",
                "127.0.0.1:0",
                "--listen-mqtts",
                "127.0.0.1:0",
                "--listen-wss",
                "off",
            ])
            .args([
                "--listen-http",
                "off",
                "--listen-https",
                "off",
                "--listen-metrics",
                "off",
            ])
            .args(arguments)
            .env("CLOUDSIGNAL_DATA_DIR", folder.path())
            .env("CLOUDSIGNAL_LOG_FORMAT", "json")
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut program = Self { child, log, folder };
        program.await_line("\"ready\"").await;
        program
    }

    /// The next line of the log that holds `text`.
    async fn await_line(&mut self, text: &str) -> String {
        let search = async {
            loop {
                let line = self.log.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("the log ended before {text}"));
                if line.contains(text) {
                    return line;
                }
            }
        };
        in_time(search).await
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// A client that has logged in.
    async fn client(&self) -> Client<TcpStream> {
        let first = read_json(&self.folder.path().join("first-run.json"));
        let text = |pointer: &str| first.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let endpoint = text("/endpoints/mqtt");
        let port = endpoint.rsplit(':').next().unwrap().parse().unwrap();
        let mut client = Client::new(dial(([127, 0, 0, 1], port).into()).await);
        client
            .send(&connect_as(
                Version::V5,
                "client",
                &text("/username"),
                &text("/password"),
            ))
            .await;
        client.expect_connack(0).await;
        client
    }

    async fn exit_code(mut self) -> Option<i32> {
        tokio::time::timeout(DEADLINE, self.child.wait())
            .await
            .unwrap()
            .unwrap()
            .code()
    }
}

fn read_json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn sigterm_and_sigint_send_clients_away_and_end_well() {
    for signal in [Signal::TERM, Signal::INT] {
        let program = Program::start(&[]).await;
        let mut client = program.client().await;
        program.signal(signal);
        let disconnect = client.packet().await;
        assert_eq!((disconnect[0], disconnect[2]), (0xE0, 0x8B), "{disconnect:02x?}");
        client.expect_end().await;
        drop(client);
        assert_eq!(program.exit_code().await, Some(0));
    }
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_anybody() {
    let mut program = Program::start(&[]).await;
    // A client that neither reads nor closes holds the drain up.
    let stuck = program.client().await;
    program.signal(Signal::TERM);
    program.await_line("sending clients away").await;
    program.signal(Signal::TERM);
    assert_eq!(program.exit_code().await, Some(0));
    drop(stuck);
}

#[tokio::test]
async fn sighup_reads_the_certificates_again_and_nothing_else_happens() {
    let mut program = Program::start(&[]).await;
    let mut client = program.client().await;
    program.signal(Signal::HUP);
    program.await_line("certificates reloaded").await;
    client.send(&[0xC0, 0]).await;
    client.expect(&[0xD0, 0]).await;
}

#[tokio::test]
async fn lines_carry_organization_and_client_and_no_secret() {
    let mut program = Program::start(&[]).await;
    let _client = program.client().await;
    let line = program.await_line("\"connected\"").await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let first = read_json(&program.folder.path().join("first-run.json"));
    assert_eq!(
        (&line["org"], &line["client"]),
        (&first["org_id"], &"client".into()),
        "{line}"
    );
    let all = line.to_string();
    assert!(!all.contains(first["password"].as_str().unwrap()), "{all}");
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let output = Command::new(env!("CARGO_BIN_EXE_cloudsignal"))
        .args(["serve", "--listen-mqtt", "0.0.0.0:0", "--dev-anonymous", "org_x"])
        .env("CLOUDSIGNAL_DATA_DIR", &data)
        .env("CLOUDSIGNAL_LIMITS_RECEIVE_MAX", "0")
        .output();
    let output = in_time(output).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("limits.receive_max = \"0\": must be a whole number from 1 to 65535"),
        "{said}"
    );
    assert!(
        said.contains("(environment variable CLOUDSIGNAL_LIMITS_RECEIVE_MAX)"),
        "{said}"
    );
    assert!(!data.exists());
}

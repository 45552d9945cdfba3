//! Our broker as a careful operator runs it: clients log in, rules decide about every message, quotas are counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::row::{Row, Scheduling};
use super::stage::{Place, Ports, Process, Role, Stage, await_that};
use crate::steps::{run_command, shown};
use crate::workspace::output_of;

const USER: &str = "bench";
const PASSWORD: &str = "a password of the benchmark";

/// Twelve rules: ten about something else, one that allows, and one that takes a part of it back, so that every
/// delivery is asked about.
const POLICY: &str = r#"{
  "version": "2.1",
  "default": "deny",
  "global": [{ "topic": "announcements/#", "action": "sub" }],
  "rules": [
    { "topic": "inbox/{username}/#", "action": "sub" },
    { "topic": "state/{client_id}", "action": "pub", "qos_max": 1 },
    { "user": "sensor-*", "topic": "data/{username}/#", "action": "pub" },
    { "user": "meter-*", "topic": "meters/+/{username}", "action": "pub" },
    { "user": "dashboard", "topic": "data/#", "action": "sub" },
    { "user": "dashboard", "topic": "meters/#", "action": "sub" },
    { "user": "backend", "topic": "commands/#", "action": "pub+sub" },
    { "user": "audit-*", "topic": "audit/#", "action": "sub", "retain": false },
    { "topic": "rooms/+/public/#", "action": "pub+sub" },
    { "user": "bench*", "topic": "bench/#", "action": "pub+sub" },
    { "topic": "bench/+/secret/#", "action": "pub+sub", "effect": "deny" }
  ]
}"#;

/// An organization of ours; each has a user, and rules of its own that say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Org {
    /// The one that is measured.
    First,
    /// Another one with the same quotas.
    Second,
    /// One that reaches a quota: it may publish [`LIMITED`].
    Limited,
}

/// Rates that are counted for every message and never reached.
const QUOTAS: &[&str] = &[
    "connects_per_sec=1000000",
    "publish_messages_per_sec=100000000",
    "publish_bytes_per_sec=100000000000",
    "publish_messages_per_month=1000000000000",
    "deliver_messages_per_sec=1000000000",
    "deliver_bytes_per_sec=1000000000000",
    "fan_out_max=100000",
];

/// 1 000 messages per second. Whoever sends more stays connected, so that it goes on.
const LIMITED: &[&str] = &["publish_messages_per_sec=1000", "refused_publishes_per_sec=0"];

/// A data folder that every run of a program begins with.
#[derive(Debug)]
pub(super) struct Prepared {
    program: PathBuf,
    folder: PathBuf,
    /// What clients log in with, one for each [`Org`].
    users: [String; 3],
    pub(super) password_file: PathBuf,
}

impl Prepared {
    /// Starts the program once, and gives its organizations users, rules and quotas.
    pub(super) fn new(name: &str, program: &Path, stage: &Stage) -> Result<Self> {
        let folder = stage.folder().join(name);
        fs::create_dir_all(&folder).context("the temporary folder takes no folder")?;
        let mut prepared = Self {
            program: program.to_owned(),
            folder: folder.join("data"),
            users: Default::default(),
            password_file: folder.join("password"),
        };
        let place = stage.place(&prepared.tls())?;
        let running = prepared.serve(&prepared.folder, &place, Scheduling::Ordinary, stage)?;
        fs::write(&prepared.password_file, PASSWORD)?;
        fs::write(folder.join("policy.json"), POLICY)?;
        let first = await_that("the administration to answer", || {
            let org = prepared.org().ok();
            Ok(org.filter(|org| prepared.tell(&["quota", "show", "--org", org]).is_ok()))
        })?;
        let limited = [QUOTAS, LIMITED].concat();
        prepared.users = [
            prepared.furnish(&first, QUOTAS)?,
            prepared.furnish(&prepared.found("second")?, QUOTAS)?,
            prepared.furnish(&prepared.found("limited")?, &limited)?,
        ];
        // SIGTERM: what was said is on disk before the next run copies it.
        run_command(Command::new("kill").arg(running.id().to_string()))?;
        running.await_end()?;
        Ok(prepared)
    }

    /// Makes another organization, and gives its id.
    fn found(&self, name: &str) -> Result<String> {
        let answer = self.tell(&["org", "create", name, "--json"])?;
        let json: serde_json::Value = serde_json::from_str(&answer)?;
        let org = json["org"]["id"].as_str();
        Ok(org.context("`org create` names no organization")?.to_owned())
    }

    /// Gives an organization a user, rules and quotas; answers what the user is called.
    fn furnish(&self, org: &str, quotas: &[&str]) -> Result<String> {
        let password_file = self.password_file.display().to_string();
        let policy_file = self.password_file.with_file_name("policy.json");
        let policy_file = policy_file.display().to_string();
        let user = ["user", "create", USER, "--password-file", &password_file];
        for words in [
            &user,
            &["acl", "set", &policy_file][..],
            &[&["quota", "set"], quotas].concat(),
        ] {
            self.tell(&[words, &["--org", org]].concat())?;
        }
        Ok(format!("{USER}@{org}"))
    }

    /// What clients of this organization log in with.
    pub(super) fn user(&self, org: Org) -> &str {
        match org {
            Org::First => &self.users[0],
            Org::Second => &self.users[1],
            Org::Limited => &self.users[2],
        }
    }

    /// Where its certificates are.
    pub(super) fn tls(&self) -> PathBuf {
        self.folder.join("tls")
    }

    /// Starts it for a run, on a copy of the folder.
    pub(super) fn start(&self, row: &Row, place: &Place, stage: &Stage) -> Result<Process> {
        let data = place.folder.path().join("data");
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(&self.folder).arg(&data);
        ensure!(output_of(&mut copy).is_some(), "`{}` failed", shown(&copy));
        let mut command = self.command(&data, place, row.scheduling, stage);
        for (name, value) in row.settings {
            command.env(format!("CLOUDSIGNAL_{name}"), value);
        }
        Process::start(command, place)
    }

    fn serve(&self, data: &Path, place: &Place, scheduling: Scheduling, stage: &Stage) -> Result<Process> {
        Process::start(self.command(data, place, scheduling, stage), place)
    }

    fn command(&self, data: &Path, place: &Place, scheduling: Scheduling, stage: &Stage) -> Command {
        let Ports { mqtt, mqtts, ws, wss } = place.ports;
        let mut command = stage.command(Role::Broker, scheduling, &self.program);
        command.arg("serve").arg("--data-dir").arg(data);
        let open = [
            ("mqtt", mqtt),
            ("mqtts", mqtts),
            ("ws", ws),
            ("wss", wss),
            ("http", 0),
        ];
        for (listener, port) in open {
            command.arg(format!("--listen-{listener}=127.0.0.1:{port}"));
        }
        for listener in ["https", "metrics"] {
            command.arg(format!("--listen-{listener}=off"));
        }
        command
    }

    fn org(&self) -> Result<String> {
        let file = self.folder.join("first-run.json");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let json: serde_json::Value = serde_json::from_str(&text)?;
        let org = json["org_id"].as_str();
        Ok(org.context("first-run.json names no organization")?.to_owned())
    }

    /// A command of the administration; gives what it answers.
    fn tell(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(words).arg("--data-dir").arg(&self.folder);
        let answer = command
            .output()
            .with_context(|| format!("cannot start {command:?}"))?;
        let said = String::from_utf8_lossy(&answer.stderr);
        ensure!(answer.status.success(), "`{}` failed: {said}", shown(&command));
        Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
    }
}

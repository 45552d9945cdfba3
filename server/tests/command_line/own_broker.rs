//! The whole program against itself: first start, administration, messages, the end.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Running, cloudsignal, stderr, stdout};

/// A broker of one test, on free ports of the loopback interface.
pub(crate) struct Broker {
    process: Running,
    folder: TempDir,
    first: Value,
}

/// Every listener on a port that the system chooses.
const FREE_PORTS: [&str; 14] = [
    "--listen-mqtt",
    "127.0.0.1:0",
    "--listen-mqtts",
    "127.0.0.1:0",
    "--listen-ws",
    "127.0.0.1:0",
    "--listen-wss",
    "127.0.0.1:0",
    "--listen-http",
    "127.0.0.1:0",
    "--listen-https",
    "127.0.0.1:0",
    "--listen-metrics",
    "127.0.0.1:0",
];

impl Broker {
    pub(crate) fn start() -> Self {
        Self::start_on(tempfile::tempdir().unwrap(), &[])
    }

    fn start_on(folder: TempDir, words: &[&str]) -> Self {
        let data_dir = folder.path().to_str().unwrap().to_owned();
        let words = [&["serve", "--data-dir", &data_dir], &FREE_PORTS[..], words].concat();
        let process = Running::start(cloudsignal(&words).stdout(Stdio::null()));
        process.wait_for(" ready ");
        let first = fs::read(folder.path().join("first-run.json")).unwrap();
        let first = serde_json::from_slice(&first).unwrap();
        Self {
            process,
            folder,
            first,
        }
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn first(&self, name: &str) -> &str {
        self.first[name].as_str().unwrap()
    }

    pub(crate) fn url(&self, listener: &str) -> &str {
        self.first["endpoints"][listener].as_str().unwrap()
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// `cloudsignal WORDS` that administrates this broker.
    pub(crate) fn manage(&self, words: &[&str]) -> Output {
        let data_dir = self.data_dir().to_str().unwrap();
        cloudsignal(&[words, &["--data-dir", data_dir]].concat())
            .output()
            .unwrap()
    }

    /// What it answers as JSON; it must succeed.
    pub(crate) fn managed(&self, words: &[&str]) -> Value {
        let output = self.manage(&[words, &["--json"]].concat());
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// How `pub` and `sub` log in: over TLS, with the first user unless said otherwise.
    fn login<'a>(&'a self, username: &'a str, password: &'a str) -> [&'a str; 8] {
        [
            "--url",
            self.url("mqtts"),
            "--ca",
            self.first("ca_file"),
            "-u",
            username,
            "-P",
            password,
        ]
    }

    fn first_login(&self) -> [&str; 8] {
        self.login(self.first("username"), self.first("password"))
    }
}

fn publish(login: &[&str], words: &[&str]) -> Output {
    cloudsignal(&[&["pub"], login, words].concat()).output().unwrap()
}

fn subscribe(login: &[&str], words: &[&str]) -> Running {
    let mut command = cloudsignal(&[&["sub", "-W", "30"], login, words].concat());
    let running = Running::start(command.stdout(Stdio::piped()));
    running.wait_for("subscribed to");
    running
}

#[test]
fn a_first_start_is_enough_to_send_a_message_over_every_listener() {
    let broker = Broker::start();
    // Larger than any buffer on the way, and as much as a packet may have by default, nearly.
    let payload = "x".repeat(1_000_000);
    let file = broker.data_dir().join("payload");
    fs::write(&file, &payload).unwrap();
    for listener in ["mqtt", "mqtts", "ws", "wss"] {
        for (version, qos) in [("--v5", "0"), ("--v5", "2"), ("--v311", "1")] {
            let mut login = broker.first_login();
            login[1] = broker.url(listener);
            let topic = format!("a/{listener}/{version}/{qos}");
            let subscriber = subscribe(&login, &["-t", &topic, "-q", "2", "-C", "1", version]);
            let sent = publish(
                &login,
                &["-t", &topic, "-q", qos, "--file", file.to_str().unwrap(), version],
            );
            assert!(sent.status.success(), "{listener}: {}", stderr(&sent));
            let received = subscriber.output();
            assert!(
                received.status.success() && stdout(&received) == format!("{payload}\n"),
                "{listener} {version}"
            );
        }
    }
}

#[test]
fn a_user_can_do_what_the_rules_say_until_the_user_is_removed() {
    let broker = Broker::start();
    let made = broker.managed(&["user", "create", "alice"]);
    let (username, password) = (
        made["user"]["username"].as_str().unwrap(),
        made["password"].as_str().unwrap(),
    );
    let login = broker.login(username, password);
    assert!(
        publish(&login, &["-t", "other", "-m", "x", "-q", "1"])
            .status
            .success()
    );

    let rules = broker.data_dir().join("rules.json");
    let own = r#"{"version": "2.1", "default": "deny", "rules": [{"topic": "me/{username}/#", "action": "pub+sub"}]}"#;
    fs::write(&rules, own).unwrap();
    assert!(
        broker
            .manage(&["acl", "set", rules.to_str().unwrap()])
            .status
            .success()
    );
    assert_eq!(broker.managed(&["acl", "get"])["policy"]["default"], "deny");
    assert!(
        publish(&login, &["-t", "me/alice/x", "-m", "x", "-q", "1"])
            .status
            .success()
    );
    for qos in ["1", "2"] {
        let refused = publish(&login, &["-t", "other", "-m", "x", "-q", qos]);
        assert_eq!(refused.status.code(), Some(5), "QoS {qos}: {}", stderr(&refused));
        assert!(stderr(&refused).contains("0x87"), "{}", stderr(&refused));
    }
    let refused = cloudsignal(&[&["sub", "-t", "#"], &login[..]].concat())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(5), "{}", stderr(&refused));

    let connected = subscribe(&login, &["-t", "me/alice/#"]);
    assert!(broker.manage(&["user", "delete", "alice"]).status.success());
    assert_eq!(
        connected.output().status.code(),
        Some(6),
        "the open connection ends with its user"
    );
    let refused = publish(&login, &["-t", "me/alice/x", "-m", "x"]);
    assert_eq!(refused.status.code(), Some(4), "{}", stderr(&refused));
}

#[test]
fn logins_that_are_wrong_are_refused() {
    let broker = Broker::start();
    let (username, password) = (broker.first("username"), broker.first("password"));
    let elsewhere = username.replace(broker.first("org_id"), "org_aaaaaaaaaaaa");
    for (username, password) in [(username, "wrong"), (elsewhere.as_str(), password)] {
        for version in ["--v5", "--v311"] {
            let refused = publish(
                &broker.login(username, password),
                &["-t", "a", "-m", "x", version],
            );
            assert_eq!(refused.status.code(), Some(4), "{username}: {}", stderr(&refused));
        }
    }
    let nobody = cloudsignal(&["pub", "--url", broker.url("mqtt"), "-t", "a", "-m", "x"])
        .output()
        .unwrap();
    assert_eq!(nobody.status.code(), Some(4), "{}", stderr(&nobody));
}

#[test]
fn a_token_and_a_key_let_somebody_in_until_they_are_revoked() {
    let broker = Broker::start();
    let token = broker.managed(&["token", "create", "ada@example.com"]);
    let login = broker.login(
        token["username"].as_str().unwrap(),
        token["password"].as_str().unwrap(),
    );
    let connected = subscribe(&login, &["-t", "a"]);
    assert!(
        broker
            .manage(&["token", "revoke", token["token_id"].as_str().unwrap()])
            .status
            .success()
    );
    assert_eq!(connected.output().status.code(), Some(6));
    assert_eq!(publish(&login, &["-t", "a", "-m", "x"]).status.code(), Some(4));

    let key = broker.managed(&["key", "create", "shop"]);
    let server = format!("server@{}", broker.first("org_id"));
    let login = broker.login(&server, key["secret_key"].as_str().unwrap());
    assert!(
        publish(&login, &["-t", "a", "-m", "x", "-q", "1"])
            .status
            .success()
    );
    assert!(
        broker
            .manage(&["key", "revoke", key["key"]["id"].as_str().unwrap()])
            .status
            .success()
    );
    assert_eq!(publish(&login, &["-t", "a", "-m", "x"]).status.code(), Some(4));
}

#[test]
fn a_message_that_is_too_large_is_refused_before_it_leaves() {
    let broker = Broker::start();
    let file = broker.data_dir().join("large");
    fs::write(&file, vec![b'x'; 1_100_000]).unwrap();
    let refused = publish(
        &broker.first_login(),
        &["-t", "a", "--file", file.to_str().unwrap()],
    );
    assert_eq!(refused.status.code(), Some(5), "{}", stderr(&refused));
    assert!(
        stderr(&refused).contains("at most 1048576"),
        "{}",
        stderr(&refused)
    );
}

#[cfg(unix)]
#[test]
fn a_broker_that_is_told_to_stop_says_goodbye_and_keeps_its_accounts() {
    let broker = Broker::start();
    broker.managed(&["org", "create", "Second"]);
    let ambiguous = broker.manage(&["user", "list"]);
    assert!(stderr(&ambiguous).contains("--org"), "{}", stderr(&ambiguous));
    let connected = subscribe(&broker.first_login(), &["-t", "a"]);
    broker.process.terminate();
    let ended = connected.output();
    assert_eq!(ended.status.code(), Some(6));
    let Broker {
        process,
        folder,
        first,
    } = broker;
    assert!(process.output().status.success());
    assert!(!folder.path().join("admin.json").exists());

    // It starts again, this time with a way in for test suites.
    let org = first["org_id"].as_str().unwrap();
    let again = Broker::start_on(folder, &["--dev-anonymous", org]);
    assert_eq!(
        again.managed(&["org", "list"])["orgs"].as_array().unwrap().len(),
        2
    );
    let anonymous = cloudsignal(&["pub", "--url", again.url("mqtt"), "-t", "a", "-m", "x", "-q", "1"])
        .output()
        .unwrap();
    assert!(anonymous.status.success(), "{}", stderr(&anonymous));
}

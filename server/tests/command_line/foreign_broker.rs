//! `pub` and `sub` against a broker that we did not write: both ends cannot share one misunderstanding.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{Running, cloudsignal, stderr, stdout};

/// A Mosquitto of one test.
struct Mosquitto {
    _process: Running,
    folder: TempDir,
    mqtt: u16,
    mqtts: u16,
    ws: u16,
    wss: u16,
}

/// Another program may take a free port before Mosquitto does.
const TRIES_MAX: usize = 5;

impl Mosquitto {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = certificate.self_signed(&key).unwrap().pem();
        let (cert, key) = (
            file("cert.pem", &certificate),
            file("key.pem", &key.serialize_pem()),
        );
        let tls = format!("certfile {cert}\nkeyfile {key}\n");
        let mut said = String::new();
        for _ in 0..TRIES_MAX {
            let [mqtt, mqtts, ws, wss] = free_ports();
            let configuration = file(
                "mosquitto.conf",
                &format!(
                    "allow_anonymous true\nlog_dest stderr\nuser root\nlistener {mqtt} 127.0.0.1\n\
                     listener {mqtts} 127.0.0.1\n{tls}listener {ws} 127.0.0.1\nprotocol websockets\n\
                     listener {wss} 127.0.0.1\nprotocol websockets\n{tls}"
                ),
            );
            let process = Running::start(Command::new(program()).args(["-c", &configuration]));
            match process.hears(" running") {
                Ok(()) => {
                    return Self {
                        _process: process,
                        folder,
                        mqtt,
                        mqtts,
                        ws,
                        wss,
                    };
                }
                Err(instead) => said = instead,
            }
        }
        panic!("Mosquitto does not start:\n{said}");
    }

    /// Every way to it.
    fn urls(&self) -> [String; 4] {
        [
            format!("mqtt://localhost:{}", self.mqtt),
            format!("mqtts://localhost:{}", self.mqtts),
            format!("ws://localhost:{}/mqtt", self.ws),
            format!("wss://localhost:{}/mqtt", self.wss),
        ]
    }

    fn plain(&self) -> String {
        self.urls()[0].clone()
    }

    fn ca(&self) -> String {
        self.folder.path().join("cert.pem").display().to_string()
    }
}

/// Debian keeps it where a plain user's search path does not look.
fn program() -> PathBuf {
    let system = PathBuf::from("/usr/sbin/mosquitto");
    if system.is_file() {
        system
    } else {
        PathBuf::from("mosquitto")
    }
}

/// Ports that are free now; all are held until all are found, so that they differ.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

/// Starts `sub WORDS` and waits until it is subscribed.
fn subscribe(url: &str, words: &[&str]) -> Running {
    let mut command = cloudsignal(&[&["sub", "--url", url, "-W", "30"], words].concat());
    let running = Running::start(command.stdout(Stdio::piped()));
    running.wait_for("subscribed to");
    running
}

/// Runs `pub WORDS` with `input` on standard input; it must succeed.
fn publish(url: &str, words: &[&str], input: &str) {
    let mut command = cloudsignal(&[&["pub", "--url", url], words].concat());
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .expect("it is piped")
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "pub {words:?}: {}", stderr(&output));
}

#[test]
fn lines_travel_over_every_transport_version_and_qos() {
    let broker = Mosquitto::start();
    let ca = broker.ca();
    for url in broker.urls() {
        for version in ["--v5", "--v311"] {
            for qos in ["0", "1", "2"] {
                let topic = format!("lines/{}/{version}/{qos}", url.len());
                let subscriber = subscribe(&url, &["--ca", &ca, "-t", &topic, "-q", qos, version, "-C", "3"]);
                publish(
                    &url,
                    &["--ca", &ca, "-t", &topic, "-q", qos, version, "-l"],
                    "one\n\nthree\n",
                );
                let output = subscriber.output();
                assert_eq!(stdout(&output), "one\n\nthree\n", "{url} {version} QoS {qos}");
                assert!(output.status.success());
            }
        }
    }
}

#[test]
fn many_messages_keep_their_order_and_their_number() {
    let broker = Mosquitto::start();
    let url = broker.plain();
    let lines: String = (0..5_000).map(|number| format!("{number}\n")).collect();
    let subscriber = subscribe(&url, &["-t", "many", "-q", "2", "-C", "5000"]);
    publish(&url, &["-t", "many", "-q", "2", "-l"], &lines);
    assert_eq!(stdout(&subscriber.output()), lines);
}

#[test]
fn json_carries_a_message_with_all_its_properties() {
    let broker = Mosquitto::start();
    let url = broker.plain();
    let subscriber = subscribe(&url, &["-t", "json/#", "-q", "1", "-C", "2", "--json"]);
    let words = [
        "-t",
        "json/a",
        "-m",
        "{}",
        "-q",
        "1",
        "--user-property",
        "k=1",
        "--user-property",
        "k=2",
        "--content-type",
        "application/json",
        "--response-topic",
        "json-answer",
        "--correlation-data",
        "42",
    ];
    publish(&url, &words, "");
    let line = concat!(
        r#"{"topic":"json/a","qos":1,"retain":false,"payload":"{}","properties":{"#,
        r#""content_type":"application/json","response_topic":"json-answer","#,
        r#""correlation_data_base64":"NDI=","user_properties":[["k","1"],["k","2"]]}}"#,
    );
    // What `sub` printed, `pub` takes.
    publish(&url, &["--json"], &format!("{line}\n"));
    assert_eq!(stdout(&subscriber.output()), format!("{line}\n{line}\n"));
}

#[test]
fn a_retained_message_waits_and_an_empty_one_clears_it() {
    let broker = Mosquitto::start();
    let url = broker.plain();
    publish(&url, &["-t", "retained", "-m", "kept", "-q", "1", "--retain"], "");
    let output = subscribe(&url, &["-t", "retained", "-C", "1", "-v"]).output();
    assert_eq!(stdout(&output), "retained kept\n");
    publish(&url, &["-t", "retained", "--empty", "--retain", "-q", "1"], "");
    publish(
        &url,
        &["-t", "retained-end", "-m", "end", "-q", "1", "--retain"],
        "",
    );
    let output = subscribe(&url, &["-t", "retained", "-t", "retained-end", "-C", "1", "-v"]).output();
    assert_eq!(stdout(&output), "retained-end end\n");
}

#[test]
fn a_session_that_is_resumed_missed_nothing() {
    let broker = Mosquitto::start();
    let url = broker.plain();
    let session = ["-t", "resumed", "-q", "1", "-i", "resumer", "--resume", "-C", "1"];
    let first = subscribe(&url, &session);
    publish(&url, &["-t", "resumed", "-m", "first", "-q", "1"], "");
    assert_eq!(stdout(&first.output()), "first\n");
    publish(&url, &["-t", "resumed", "-m", "meanwhile", "-q", "1"], "");
    // What waited may come before the subscription is confirmed, and then it ends without saying so.
    let again = cloudsignal(&[&["sub", "--url", &url, "-W", "30"], &session[..]].concat())
        .output()
        .unwrap();
    assert_eq!(stdout(&again), "meanwhile\n");
    assert!(
        stderr(&again).contains("the session goes on"),
        "{}",
        stderr(&again)
    );
}

#[test]
fn the_will_is_published_when_a_client_is_killed_and_not_when_it_says_goodbye() {
    let broker = Mosquitto::start();
    let url = broker.plain();
    let witness = subscribe(&url, &["-t", "will/#", "-C", "1", "-v"]);
    let with_will = |topic| {
        [
            "-t",
            "will-other",
            "--will-topic",
            topic,
            "--will-payload",
            "gone",
        ]
    };
    let polite = subscribe(&url, &[&with_will("will/polite")[..], &["-C", "1"]].concat());
    publish(&url, &["-t", "will-other", "-m", "x"], "");
    assert!(polite.output().status.success());
    drop(subscribe(&url, &with_will("will/killed")));
    assert_eq!(stdout(&witness.output()), "will/killed gone\n");
}

#[test]
fn waiting_in_vain_ends_with_7_and_a_certificate_that_is_not_trusted_with_3() {
    let broker = Mosquitto::start();
    let [plain, encrypted, ..] = broker.urls();
    let in_vain = ["sub", "--url", &plain, "-t", "silence", "-C", "1", "-W", "1"];
    assert_eq!(cloudsignal(&in_vain).output().unwrap().status.code(), Some(7));
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let trusted = broker.folder.path().join("other.pem");
    fs::write(&trusted, other.cert.pem()).unwrap();
    let trusted = trusted.display().to_string();
    let output = cloudsignal(&["pub", "--url", &encrypted, "--ca", &trusted, "-t", "a", "-m", "x"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("certificate"), "{}", stderr(&output));
}

#[test]
fn a_reader_that_goes_away_ends_sub_quietly() {
    let broker = Mosquitto::start();
    let url = broker.plain();
    let mut command = cloudsignal(&["sub", "--url", &url, "-t", "pipe"]);
    let (reader, writer) = std::io::pipe().unwrap();
    let running = Running::start(command.stdout(writer));
    drop(command); // It holds the end of the pipe that the program writes to.
    running.wait_for("subscribed to");
    drop(reader);
    publish(&url, &["-t", "pipe", "-m", "nobody reads this"], "");
    let output = running.output();
    assert!(output.status.success(), "{:?}", output.status);
}

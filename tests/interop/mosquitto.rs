//! `mosquitto_pub` and `mosquitto_sub`, over TCP and over TLS with the broker's own authority.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use serde_json::json;

use cloudsignal_tests::broker::{Broker, Listener};
use cloudsignal_tests::first_run::FirstRun;
use cloudsignal_tests::wait::DEADLINE;
use cloudsignal_tests::{programs, wait};

use crate::job;

const VERSIONS: [&str; 3] = ["31", "311", "5"];

/// Lines that may wait between a subscriber and the test.
const LINES_MAX: usize = 10_000;

/// The programs, pointed at one listener in one protocol version.
struct Clients<'a> {
    broker: &'a Broker,
    first_run: FirstRun,
    listener: Listener,
    version: &'static str,
}

impl Clients<'_> {
    fn command(&self, program: &str, password: &str) -> Command {
        // Line by line: into a pipe, mosquitto_sub would say only with its first message that it has subscribed.
        let mut command = programs::installed("stdbuf");
        command
            .args(["-o", "L"])
            .arg(programs::installed(program).get_program());
        let port = self.broker.addr(self.listener).port().to_string();
        // By name, so that the name in the certificate is checked too.
        command.args(["-h", "localhost", "-p", &port, "-V", self.version]);
        command.args(["-u", &self.first_run.username, "-P", password]);
        if self.listener == Listener::Mqtts {
            command.arg("--cafile").arg(&self.first_run.ca_file);
        }
        command
    }

    /// Publishes and gives what the program had to say; it has ended well.
    fn publish(&self, topic: &str, payload: &str, more: &[&str]) -> Output {
        let mut command = self.command("mosquitto_pub", &self.first_run.password);
        command.args(["-t", topic]).args(more);
        match payload {
            "" => command.arg("-n"),
            text => command.args(["-m", text]),
        };
        let output = command.output().expect("mosquitto_pub can be started");
        assert!(output.status.success(), "{command:?}: {output:?}");
        output
    }

    /// Subscribes and awaits SUBACK.
    fn subscribe(&self, more: &[&str]) -> Subscriber {
        let mut command = self.command("mosquitto_sub", &self.first_run.password);
        command.args(["-d", "-F", "message %q %r %t %p"]).args(more);
        let mut subscriber = Subscriber::start(&mut command);
        subscriber.granted = subscriber.line("Subscribed (mid: ");
        subscriber
    }

    fn topic(&self, name: &str) -> String {
        format!(
            "interop/mosquitto/{name}/{}/{}",
            self.listener.scheme(),
            self.version
        )
    }

    fn is_v5(&self) -> bool {
        self.version == "5"
    }
}

/// A running `mosquitto_sub`.
struct Subscriber {
    process: Child,
    lines: Receiver<String>,
    /// `1): 1`: the packet id, then the granted QoS.
    granted: String,
}

impl Subscriber {
    fn start(command: &mut Command) -> Self {
        let mut process = programs::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let stdout = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let (sender, lines) = sync_channel(LINES_MAX);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            process,
            lines,
            granted: String::new(),
        }
    }

    /// Awaits a line that begins so, and gives the rest of it.
    fn line(&self, start: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|_| panic!("mosquitto_sub printed no {start:?}"));
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    /// The next message: `QoS retain topic payload`.
    fn message(&self) -> String {
        self.line("message ")
    }

    /// Ends without DISCONNECT.
    fn kill(&mut self) {
        self.process.kill().expect("our own child can be killed");
        self.process.wait().expect("a killed child ends");
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Runs a scenario over TCP and TLS in every version.
fn everywhere(scenario: fn(&Clients<'_>)) {
    let broker = job::broker();
    for listener in [Listener::Mqtt, Listener::Mqtts] {
        for version in VERSIONS {
            scenario(&Clients {
                broker: &broker,
                first_run: broker.first_run(),
                listener,
                version,
            });
        }
    }
}

#[test]
fn mosquitto_sends_and_receives_at_every_qos() {
    everywhere(|clients| {
        let topic = clients.topic("qos");
        for granted in ["0", "1", "2"] {
            let subscriber = clients.subscribe(&["-t", &topic, "-q", granted]);
            assert!(subscriber.granted.ends_with(granted), "{}", subscriber.granted);
            for qos in ["0", "1", "2"] {
                clients.publish(&topic, "x", &["-q", qos]);
                assert_eq!(subscriber.message(), format!("{} 0 {topic} x", qos.min(granted)));
            }
        }
    });
}

#[test]
fn mosquitto_sees_retained_messages_until_they_are_cleared() {
    everywhere(|clients| {
        let topic = clients.topic("retained");
        clients.publish(&topic, "kept", &["-r", "-q", "1"]);
        let late = clients.subscribe(&["-t", &topic, "-q", "1"]);
        assert_eq!(late.message(), format!("1 1 {topic} kept"));
        clients.publish(&topic, "", &["-r", "-q", "1"]);
        let after = clients.subscribe(&["-t", &topic, "-q", "1"]);
        clients.publish(&topic, "marker", &["-q", "1"]);
        assert_eq!(after.message(), format!("1 0 {topic} marker"));
    });
}

#[test]
fn mosquitto_leaves_a_will_when_it_is_killed() {
    everywhere(|clients| {
        let topic = clients.topic("will");
        let witness = clients.subscribe(&["-t", &topic, "-q", "2"]);
        let will = [
            "--will-topic",
            &topic,
            "--will-payload",
            "gone",
            "--will-qos",
            "2",
        ];
        let other = clients.topic("other");
        let mut doomed = clients.subscribe(&[&["-t", &other], &will[..]].concat());
        doomed.kill();
        assert_eq!(witness.message(), format!("2 0 {topic} gone"));
    });
}

#[test]
fn mosquitto_resumes_its_session() {
    everywhere(|clients| {
        let topic = clients.topic("session");
        let mut stay = vec!["-t", &topic, "-q", "1", "-i", "mosquitto-sleeper", "-c"];
        if clients.is_v5() {
            stay.extend(["-x", "300"]);
        }
        clients.subscribe(&stay).kill();
        for number in 1..=10 {
            clients.publish(&topic, &number.to_string(), &["-q", "1"]);
        }
        let mut command = clients.command("mosquitto_sub", &clients.first_run.password);
        let sleeper = Subscriber::start(command.args(["-F", "message %q %r %t %p"]).args(&stay));
        for number in 1..=10 {
            assert_eq!(sleeper.message(), format!("1 0 {topic} {number}"));
        }
        drop(sleeper);
        // Forgets the session.
        drop(clients.subscribe(&["-t", &topic, "-i", "mosquitto-sleeper"]));
    });
}

#[test]
fn mosquitto_shares_a_subscription() {
    everywhere(|clients| {
        let topic = clients.topic("shared");
        let group = format!("$share/group/{topic}");
        let members = [0, 1].map(|_| clients.subscribe(&["-t", &group, "-q", "1"]));
        for number in 0..20 {
            clients.publish(&topic, &number.to_string(), &["-q", "1"]);
        }
        let mut got = Vec::new();
        wait::until("every message, once", || {
            got.extend(members.iter().flat_map(|member| member.lines.try_iter()));
            got.retain(|line: &String| line.starts_with("message "));
            (got.len() >= 20).then_some(())
        });
        got.sort();
        got.dedup();
        assert_eq!(got.len(), 20);
    });
}

#[test]
fn mosquitto_sends_properties_end_to_end() {
    everywhere(|clients| {
        if !clients.is_v5() {
            return;
        }
        let topic = clients.topic("properties");
        let subscriber = clients.subscribe(&["-t", &topic, "-q", "1", "-F", "message %J"]);
        let pair = |name, value| ["-D", "publish", "user-property", name, value];
        let one = |name, value| ["-D", "publish", name, value];
        let properties = [
            &["-q", "1"][..],
            &pair("b", "1"),
            &pair("a", "2"),
            &one("content-type", "text/plain"),
            &one("response-topic", "answers/here"),
            &one("correlation-data", "17"),
            &one("message-expiry-interval", "3600"),
        ];
        clients.publish(&topic, "7", &properties.concat());
        let message: serde_json::Value = serde_json::from_str(&subscriber.message()).expect("%J prints JSON");
        let got = &message["properties"];
        assert_eq!(got["content-type"], "text/plain", "{message}");
        assert_eq!(got["response-topic"], "answers/here", "{message}");
        assert_eq!(got["correlation-data"], "17", "{message}");
        let remaining = got["message-expiry-interval"]
            .as_u64()
            .expect("a message that expires");
        assert!((3_500..=3_600).contains(&remaining), "{message}");
        // The program prints them as a JSON object, so their order cannot be seen here.
        assert_eq!(got["user-properties"], json!({ "a": "2", "b": "1" }), "{message}");
    });
}

#[test]
fn mosquitto_is_told_that_its_password_is_wrong() {
    everywhere(|clients| {
        let mut command = clients.command("mosquitto_pub", "wrong");
        let output = command
            .args(["-t", "x", "-m", "x"])
            .output()
            .expect("mosquitto_pub can be started");
        // The program ends with the reason code of CONNACK.
        let code = if clients.is_v5() { 0x86 } else { 4 };
        assert_eq!(output.status.code(), Some(code), "{command:?}: {output:?}");
    });
}

#[test]
fn mosquitto_is_told_which_topic_is_forbidden() {
    everywhere(|clients| {
        // MQTT 3.1 has no failure in SUBACK; it gets the one of 3.1.1.
        let subscriber = clients.subscribe(&["-t", "forbidden", "-t", &clients.topic("allowed"), "-q", "1"]);
        let failure = if clients.is_v5() { "135" } else { "128" };
        assert!(
            subscriber.granted.ends_with(&format!("{failure}, 1")),
            "{}",
            subscriber.granted
        );
        let output = clients.publish("forbidden", "x", &["-q", "1"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.contains("Not authorized"), clients.is_v5(), "{output:?}");
    });
}

#[test]
fn mosquitto_does_not_trust_the_broker_without_its_authority() {
    let broker = job::broker();
    let port = broker.addr(Listener::Mqtts).port().to_string();
    let mut command = programs::installed("mosquitto_pub");
    command.args([
        "-h",
        "localhost",
        "-p",
        &port,
        "--tls-use-os-certs",
        "-t",
        "x",
        "-m",
        "x",
    ]);
    let output = command.output().expect("mosquitto_pub can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("TLS"), "{output:?}");
}

//! The examples, as their READMEs start them, against a real broker: in Chromium, in Node, in Python, in Rust and on the
//! JVM. The scenarios of those in JavaScript are in `js/examples/`. Screenshots of the pages stay in `target/tmp/examples/`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::proxy::Proxy;
use cloudsignal_tests::{kotlin, package, programs, wheel};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::job;

/// Each script has one.
const SCENARIOS: usize = 1;

fn folder_of_examples() -> PathBuf {
    programs::tests_folder().join("../examples")
}

/// The examples with their packages, and ours among them as it is now.
fn folder() -> PathBuf {
    static OURS: Once = Once::new();
    let folder = folder_of_examples();
    assert!(
        folder.join("node_modules/vite").is_dir(),
        "the examples' packages are missing: `cargo xtask setup` installs them"
    );
    OURS.call_once(|| package::install(&folder));
    folder
}

/// Where screenshots stay.
fn out() -> PathBuf {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples");
    fs::create_dir_all(&out).expect("the build folder takes folders");
    out
}

/// What the command line of the broker answers.
fn cli(broker: &Broker, arguments: &[&str]) -> Value {
    let output = broker.cli(&[arguments, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).expect("the answer is JSON")
}

/// A second organization, and a secret key of it.
fn second_team(broker: &Broker) -> Value {
    let made = cli(broker, &["org", "create", "Globex", "--preset", "permit-all"]);
    let org = made["org"]["id"].as_str().expect("an organization has an id");
    let key = cli(broker, &["key", "create", "chat", "--org", org]);
    json!({ "name": "Globex", "secretKey": key["secret_key"] })
}

/// Runs `js/examples/SCRIPT` against a broker of its own.
fn run(script: &str, more: impl FnOnce(&Broker) -> Value) {
    let broker = BrokerOptions::default().start();
    let first_run = broker.first_run();
    let home = TempDir::new().expect("a folder");
    let mut job = json!({
        "api": broker.url(Listener::Https),
        "chromium": programs::installed("chromium").get_program().to_str(),
        "examples": folder(),
        "home": home.path(),
        "out": out(),
        "secret_key": first_run.secret_key,
    });
    if let (Some(job), Value::Object(more)) = (job.as_object_mut(), more(&broker)) {
        job.extend(more);
    }
    let mut node = programs::node();
    node.arg(programs::interop_folder().join("js/examples").join(script))
        .env("NODE_EXTRA_CA_CERTS", first_run.ca_file);
    job::run_against(&broker, node, Listener::Wss, SCENARIOS, job);
}

/// Takes the shortest life of a token, a minute.
#[test]
fn example_chat_in_chromium() {
    run("chat.mjs", |broker| {
        let first = json!({ "name": "Acme", "secretKey": broker.first_run().secret_key });
        json!({
            "teams": [first, second_team(broker)],
            "metrics": format!("http://{}/metrics", broker.addr(Listener::Metrics)),
        })
    });
}

#[test]
fn example_dashboard_in_chromium() {
    run("dashboard.mjs", |_| json!({}));
}

#[test]
fn example_worker_in_node() {
    run("worker.mjs", |_| json!({}));
}

/// Three agents answer nine questions, each of them some.
#[test]
fn example_agents_in_rust() {
    let broker = BrokerOptions::default().start();
    let first_run = broker.first_run();
    let program = programs::broker().with_file_name(format!("rust-agent{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.is_file(),
        "{} is not there: `cargo xtask test` builds it",
        program.display()
    );
    let mut agents = Command::new(program);
    agents
        .env("CLOUDSIGNAL_MQTT_URL", broker.url(Listener::Mqtts))
        .env("CLOUDSIGNAL_API_URL", broker.url(Listener::Https))
        .env("CLOUDSIGNAL_SECRET_KEY", first_run.secret_key)
        .env("CLOUDSIGNAL_CA_FILE", first_run.ca_file);
    let output = programs::run_with_input(agents, "");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let answers = text.lines().filter(|line| line.contains(", says "));
    assert_eq!(answers.count(), 9, "{text}");
    assert!(
        text.contains("reverse of \"question 1\" is \"1 noitseuq\""),
        "{text}"
    );
    for agent in ["ada", "bob", "eve"] {
        assert!(
            text.contains(&format!(", says {agent}\n")),
            "{agent} has no work: {text}"
        );
    }
}

/// A device whose network is pulled out for a second; the script itself counts what arrives.
#[test]
fn example_device_in_python() {
    let broker = BrokerOptions::default().start();
    let first_run = broker.first_run();
    let environment = wheel::environment();
    let mut demo = environment.python();
    demo.arg(programs::tests_folder().join("../examples/python/demo.py"))
        .env("CLOUDSIGNAL_MQTT_URL", broker.url(Listener::Mqtts))
        .env("CLOUDSIGNAL_API_URL", broker.url(Listener::Https))
        .env("CLOUDSIGNAL_SECRET_KEY", first_run.secret_key)
        .env("CLOUDSIGNAL_CA_FILE", first_run.ca_file);
    let output = programs::run_with_input(demo, "");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for line in [
        "the cable is out",
        "session resumed",
        "told to open the window",
        "30 of 30 readings, in order",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

/// The network is cut in the middle: everything that was published is heard, and in its order.
#[test]
fn example_device_in_kotlin() {
    let broker = BrokerOptions::default().start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let proxy = runtime.block_on(Proxy::to(broker.addr(Listener::Mqtts)));
    let sources = folder_of_examples().join("kotlin/src");
    let classes = Path::new(env!("CARGO_TARGET_TMPDIR")).join("example-kotlin");
    let first_run = broker.first_run();
    let mut java = kotlin::Program::compile(&sources, &classes).command("DeviceKt");
    java.env(
        "CLOUDSIGNAL_MQTT_URL",
        format!("mqtts://localhost:{}", proxy.port()),
    )
    .env("CLOUDSIGNAL_API_URL", broker.url(Listener::Https))
    .env("CLOUDSIGNAL_SECRET_KEY", first_run.secret_key)
    .env("CLOUDSIGNAL_CA_FILE", first_run.ca_file)
    .stdout(Stdio::piped());
    let mut device = programs::start(&mut java);
    let stdout = device.stdout.take().expect("it is piped");
    let mut lines = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.expect("text");
        if line == "published reading 10" {
            assert_eq!(proxy.cut(), 1, "a device has one connection");
        }
        lines.push(line);
    }
    assert_eq!(programs::ended("the device", &mut device), Some(0), "{lines:#?}");
    let heard: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("heard reading"))
        .collect();
    let wanted: Vec<_> = (1..=20).map(|number| format!("heard reading {number}")).collect();
    assert!(heard.iter().copied().eq(&wanted), "{lines:#?}");
}

//! The HTTP API against its own document: every route asked by programs that know nothing but the document.
//!
//! `schemathesis` makes requests of all kinds from the document, good and bad ones, and judges the answers:
//! documented status, type and shape, nothing that the schema forbids accepted, no 5xx.
//! Longer, with sequences that follow the links between routes, and a seed of one's own:
//!
//! ```sh
//! CS_TEST_API_EXAMPLES=200 CS_TEST_API_SEED=7 cargo xtask test the_api_keeps
//! ```

mod cli;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;

use serde_json::Value;

use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::{http, programs};

/// Requests of random content for each route, besides those that the document's bounds suggest.
const EXAMPLES: u32 = 3;
/// The requests of continuous integration are the same each time.
const SEED: u64 = 1;
/// Fewer means that routes went missing from the document.
const OPERATIONS_MIN: usize = 55;

fn document(broker: &Broker) -> Value {
    let answer = http::get(broker.addr(Listener::Http), "/openapi.json").expect("the document is served");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("a document has paths");
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("a path has operations") {
            operations.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    operations
}

/// The path with something in the place of its names.
fn concrete(path: &str) -> String {
    let parts = path
        .split('/')
        .map(|part| if part.starts_with('{') { "x" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

fn number_from<T: std::str::FromStr>(variable: &str, default: T) -> (T, bool) {
    match env::var(variable) {
        Ok(text) => match text.parse() {
            Ok(number) => (number, true),
            Err(_) => panic!("{variable} is no number: {text}"),
        },
        Err(_) => (default, false),
    }
}

/// The administration token, which a running broker leaves in its data folder.
fn admin_token(data_dir: &Path) -> String {
    let access = fs::read(data_dir.join("admin.json")).expect("a running broker leaves the file");
    let access: Value = serde_json::from_slice(&access).expect("the file is JSON");
    access["token"].as_str().expect("it has the token").to_owned()
}

#[test]
fn the_document_is_valid_and_has_every_route_once() {
    let broker = BrokerOptions::default().start();
    let document = document(&broker);
    assert_eq!(document["openapi"], "3.1.0");
    let file = broker.scratch().join("openapi.json");
    fs::write(&file, document.to_string()).expect("the scratch folder takes files");
    let mut validator = programs::python();
    let validated = validator
        .args(["-m", "openapi_spec_validator"])
        .arg(&file)
        .output();
    let validated = validated.expect("the validator starts");
    let said = String::from_utf8_lossy(&validated.stdout);
    assert!(
        validated.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&validated.stderr)
    );
    let operations = operations(&document);
    assert!(
        operations.len() >= OPERATIONS_MIN,
        "{} operations",
        operations.len()
    );
    let ids: BTreeSet<_> = operations
        .iter()
        .map(|(.., operation)| operation["operationId"].as_str())
        .collect();
    assert_eq!(
        ids.len(),
        operations.len(),
        "every operation has an id of its own"
    );
}

#[test]
fn every_route_of_the_document_is_there_and_refuses_strangers() {
    let broker = BrokerOptions::default().start();
    let address = broker.addr(Listener::Http);
    let (mut keyed, mut open) = (0, Vec::new());
    for (method, path, operation) in operations(&document(&broker)) {
        let answer = http::ask(address, &method, &concrete(&path), None, None).expect("an answer comes");
        assert_ne!(
            answer.status, 405,
            "{method} {path} is in the document and not in the router"
        );
        // Open to everybody by configuration, it reads the body first.
        if path == "/v2/signup" {
            continue;
        }
        if operation["security"].is_array() {
            keyed += 1;
            assert_eq!(answer.status, 401, "{method} {path} without a key: {answer:?}");
            let head = answer.head.to_ascii_lowercase();
            assert!(
                head.contains("www-authenticate: bearer"),
                "{method} {path}: {head}"
            );
            for field in ["error", "error_description", "detail", "message"] {
                assert!(answer.json()[field].is_string(), "{method} {path}: {answer:?}");
            }
        } else {
            open.push(path);
        }
    }
    assert!(keyed >= OPERATIONS_MIN - 12, "{keyed} routes need a key");
    open.sort();
    let without_a_key = [
        "/healthz",
        "/readyz",
        "/v1/create",
        "/v2/login",
        "/v2/providers",
        "/v2/tokens/create",
        "/v2/tokens/exchange",
        "/v2/tokens/refresh",
    ];
    let unexpected: Vec<_> = open
        .iter()
        .filter(|path| !without_a_key.contains(&path.as_str()))
        .collect();
    assert!(unexpected.is_empty(), "these ask for no key: {unexpected:?}");
}

#[test]
fn the_api_keeps_what_its_document_promises() {
    let mut broker = BrokerOptions::default().start();
    let (examples, long) = number_from("CS_TEST_API_EXAMPLES", EXAMPLES);
    let (seed, _) = number_from("CS_TEST_API_SEED", SEED);
    let phases = if long {
        "examples,coverage,fuzzing,stateful"
    } else {
        "examples,coverage,fuzzing"
    };
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("api/schemathesis.toml");
    let token = admin_token(&broker.data_dir());
    let org = broker.first_run().org_id;
    let mut tester = programs::python();
    tester.current_dir(broker.scratch());
    tester
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(settings);
    tester
        .arg("run")
        .arg(format!("{}/openapi.json", broker.url(Listener::Http)));
    tester.args(["-H", &format!("Authorization: Bearer {token}")]);
    tester.args(["-H", &format!("X-Organization-Id: {org}")]);
    tester.args([
        "--phases",
        phases,
        "-n",
        &examples.to_string(),
        "--seed",
        &seed.to_string(),
    ]);
    tester.args(["--warnings", "off", "--no-color", "--continue-on-failure"]);
    let tested = tester.output().expect("schemathesis starts");
    let said = String::from_utf8_lossy(&tested.stdout);
    broker.assert_alive();
    assert!(!broker.log().contains("panicked"), "{}", broker.log());
    assert!(
        tested.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&tested.stderr)
    );
    let summary = said.split("SUMMARY").nth(1).unwrap_or(&said);
    println!("{summary}");
}

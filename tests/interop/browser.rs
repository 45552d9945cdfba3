//! What README tells the makers of browser applications: their server asks for a token with `curl`, the browser logs in
//! with it over WSS.

use std::time::Duration;

use serde_json::{Value, json};

use cloudsignal_tests::broker::{Broker, Listener};
use cloudsignal_tests::packets::{PINGREQ, PINGRESP, connect_v5};
use cloudsignal_tests::wire::Wire;
use cloudsignal_tests::{programs, wait};

use crate::job;

/// CONNACK of MQTT 5 up to its reason code: no session present, success.
const CONNACK_SUCCESS_LENGTH: usize = 4;

/// Posts JSON to the API over TLS and gives the status with the answer.
fn curl(broker: &Broker, path: &str, body: &Value) -> (String, Value) {
    let mut command = programs::installed("curl");
    command
        .arg("--silent")
        .arg("--cacert")
        .arg(broker.first_run().ca_file);
    command.args([
        "--write-out",
        "\n%{http_code}",
        "--header",
        "Content-Type: application/json",
    ]);
    command.args(["--data", &body.to_string()]);
    command.arg(broker.url(Listener::Https) + path);
    let output = programs::run_with_input(command, "");
    let text = String::from_utf8_lossy(&output.stdout);
    let (answer, status) = text
        .rsplit_once('\n')
        .unwrap_or_else(|| panic!("curl failed: {output:?}"));
    let json = serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (status.to_owned(), json)
}

/// A new token; `seconds` is its life.
pub(crate) fn token(broker: &Broker, email: &str, seconds: u32) -> Value {
    let first_run = broker.first_run();
    let body = json!({
        "organization_id": first_run.org_id,
        "secret_key": first_run.secret_key,
        "user_email": email,
        "ttl": seconds,
    });
    let (status, answer) = curl(broker, "/v2/tokens/create", &body);
    assert_eq!(status, "200", "{answer}");
    answer
}

/// Sends CONNECT with a login and gives the connection with the reason code of CONNACK.
fn log_in(broker: &Broker, client_id: &str, username: &Value, password: &Value) -> (Wire, u8) {
    let mut wire = Wire::connect(broker.addr(Listener::Mqtt));
    let login = (text(username), text(password));
    wire.send(&connect_v5(client_id, Some(login)));
    let connack = wire.packet();
    assert!(
        connack[0] == 0x20 && connack.len() >= CONNACK_SUCCESS_LENGTH,
        "{connack:?}"
    );
    (wire, connack[3])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

#[test]
fn mqttjs_logs_in_over_wss_with_a_token_from_curl() {
    let broker = job::broker();
    let token = token(&broker, "john@example.com", 3_600);
    let login = &token["mqtt_credentials"];
    let org_id = broker.first_run().org_id;
    assert_eq!(login["username"], format!("john_example_com@{org_id}"));
    assert_eq!(login["password"], token["access_token"]);
    assert!(text(&token["access_token"]).starts_with("tkn_"), "{token}");
    let job = json!({
        "url": broker.url(Listener::Wss),
        "ca_file": broker.first_run().ca_file,
        "username": login["username"],
        "password": login["password"],
        "org_id": org_id,
        "foreign_org_id": "org_aaaaaaaaaaaa",
        "versions": ["3.1.1", "5"],
        "only": ["every_qos_both_ways", "foreign_organization_is_refused", "forbidden_topic_is_refused"],
    });
    let mut node = programs::node();
    node.arg(programs::interop_folder().join("js/run.mjs"));
    let output = programs::run_with_input(node, &job.to_string());
    let stdout = String::from_utf8_lossy(&output.stdout);
    let passed = stdout
        .lines()
        .filter(|line| line.ends_with("\"error\":null}"))
        .count();
    assert_eq!(passed, 6, "{output:?}");
}

#[test]
fn token_is_refused_to_whoever_does_not_know_the_key() {
    let broker = job::broker();
    let first_run = broker.first_run();
    let foreign = "org_aaaaaaaaaaaa".to_owned();
    for (org, key) in [
        (&first_run.org_id, "sk_wrong"),
        (&foreign, first_run.secret_key.as_str()),
    ] {
        let body = json!({ "organization_id": org, "secret_key": key, "user_email": "john@example.com" });
        let (status, answer) = curl(&broker, "/v2/tokens/create", &body);
        assert!(
            status == "401" || (status == "404" && *org == foreign),
            "{status} {answer}"
        );
        for field in ["error", "error_description", "detail", "message"] {
            assert!(answer[field].is_string(), "{field} is missing: {answer}");
        }
    }
}

/// Takes the shortest life of a token, a minute.
#[test]
fn refreshed_token_outlives_one_that_was_not() {
    let broker = job::broker();
    let [kept, left] = ["kept@example.com", "left@example.com"].map(|email| token(&broker, email, 60));
    let log_in = |client_id, token: &Value| {
        let login = &token["mqtt_credentials"];
        log_in(&broker, client_id, &login["username"], &login["password"])
    };
    let (mut kept_wire, code) = log_in("kept", &kept);
    assert_eq!(code, 0x00);
    let (mut left_wire, code) = log_in("left", &left);
    assert_eq!(code, 0x00);

    // A renewed token lives from its renewal on as long as the first one did from its making.
    let mut renewed = refresh(&broker, &kept);
    let packet = wait::until("the end of the token that is not renewed", || {
        renewed = refresh(&broker, &renewed);
        left_wire.packet_within(Duration::from_secs(5))
    });
    assert_ne!(renewed["access_token"], kept["access_token"]);
    // DISCONNECT with 0xA0, maximum connect time.
    assert!(packet[0] == 0xE0 && packet[2] == 0xA0, "{packet:02X?}");
    left_wire.expect_end();
    let (_, code) = log_in("left again", &left);
    assert_eq!(code, 0x87, "an expired token");

    kept_wire.send(PINGREQ);
    kept_wire.expect(PINGRESP);
    let (_, code) = log_in("kept again", &renewed);
    assert_eq!(code, 0x00, "the renewed token");
}

fn refresh(broker: &Broker, token: &Value) -> Value {
    let body = json!({ "token_id": token["token_id"], "current_token_password": token["access_token"] });
    let (status, renewed) = curl(broker, "/v2/tokens/refresh", &body);
    assert_eq!(status, "200", "{renewed}");
    renewed
}

//! `cloudsignal bench` against the whole program.

use std::process::Output;

use serde_json::{Value, json};

use crate::own_broker::Broker;
use crate::process::{cloudsignal, stderr, stdout};

/// `bench WORDS` at a listener, as the first user.
fn bench(broker: &Broker, listener: &str, words: &[&str]) -> Output {
    let login = [
        broker.url(listener),
        "--ca",
        broker.first("ca_file"),
        "-u",
        broker.first("username"),
        "-P",
        broker.first("password"),
    ];
    cloudsignal(&[&["bench"], words, &login].concat())
        .output()
        .unwrap()
}

/// The same; it must succeed, and every message must have come.
fn measured(broker: &Broker, listener: &str, words: &[&str]) -> Value {
    let output = bench(broker, listener, &[words, &["--json"]].concat());
    let (said, complaint) = (stdout(&output), stderr(&output));
    assert!(output.status.success(), "{words:?}: {said}{complaint}");
    let result: Value = serde_json::from_str(&said).unwrap();
    for fault in ["lost", "repeated", "out_of_order", "foreign"] {
        assert_eq!(result[fault], 0, "{words:?}: {said}");
    }
    assert!(result["messages"].as_u64() > Some(0), "{words:?}: {said}");
    result
}

const SHORT: [&str; 4] = ["--seconds", "1", "--warm-up", "0"];

#[test]
fn pairs_are_measured_with_every_qos_version_and_transport() {
    let broker = Broker::start();
    for (listener, transport, qos, version) in [
        ("mqtt", "tcp", "0", "--v311"),
        ("mqtts", "tls", "1", "--v5"),
        ("ws", "ws", "2", "--v5"),
        ("wss", "wss", "1", "--v311"),
    ] {
        let words = ["pairs", "--pairs", "3", "--threads", "2", "--qos", qos, version];
        let result = measured(&broker, listener, &[&words, &SHORT[..]].concat());
        assert_eq!(result["scenario"], "pairs");
        assert_eq!(result["transport"], transport);
        assert_eq!(result["qos"].to_string(), qos);
        assert_eq!((&result["clients"], &result["threads"]), (&json!(6), &json!(2)));
        assert!(result["latency_us"]["p50"].as_u64() <= result["latency_us"]["max"].as_u64());
        assert_eq!(result["broker"], Value::Null);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_that_is_named_is_measured_too() {
    let broker = Broker::start();
    let pid = broker.pid().to_string();
    let words = ["pairs", "--pairs", "2", "--payload", "24", "--pid", &pid];
    let result = measured(&broker, "mqtt", &[&words, &SHORT[..]].concat());
    assert!(result["broker"]["resident_bytes_before"].as_u64() > Some(0));
    assert!(result["generator"]["core_percent"].is_f64());
    let output = bench(&broker, "mqtt", &[&words[..5], &["--pid", "4294967295"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("--pid 4294967295"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn who_is_not_let_in_learns_why_and_what_to_do() {
    let broker = Broker::start();
    let url = broker.url("mqtt");
    let nobody = cloudsignal(&["bench", "pairs", url]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(4), "{}", stderr(&nobody));
    assert!(
        stderr(&nobody).contains("-u and --password-file"),
        "{}",
        stderr(&nobody)
    );

    let wrong = [
        "bench",
        "pairs",
        url,
        "-u",
        broker.first("username"),
        "-P",
        "wrong",
    ];
    let wrong = cloudsignal(&wrong).output().unwrap();
    assert_eq!(wrong.status.code(), Some(4), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("0x86"), "{}", stderr(&wrong));

    let topics = ["pairs", "--topic", "$SYS", "--qos", "1"];
    let refused = bench(&broker, "mqtt", &topics);
    assert_eq!(refused.status.code(), Some(5), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("--topic"), "{}", stderr(&refused));
}

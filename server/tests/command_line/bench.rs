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
        assert_eq!(result["last_us"], Value::Null, "every one is the last");
    }
}

#[test]
fn messages_to_many_to_groups_and_past_many_filters_are_all_counted() {
    let broker = Broker::start();
    let out = [
        "fan-out",
        "--publishers",
        "2",
        "--subscribers",
        "7",
        "--qos",
        "1",
        "--persistent",
    ];
    let out = measured(&broker, "mqtt", &[&out, &SHORT[..]].concat());
    assert_eq!((&out["clients"], &out["persistent"]), (&json!(9), &json!(true)));
    let (any, last) = (&out["latency_us"], &out["last_us"]);
    assert!(last["p50"].as_u64() >= any["p50"].as_u64(), "{out}");
    assert!(last["max"].as_u64() <= any["max"].as_u64(), "{out}");
    assert!(last["p50"].as_u64() > Some(0), "{out}");
    let per_second = |name: &str| out[name].as_f64().unwrap();
    // Each comes to seven; what is on its way at either end of the measurement counts once only.
    let copies = per_second("per_second") / per_second("published_per_second");
    assert!((3.5..14.0).contains(&copies), "{copies} copies of each: {out}");
    let sessions = broker.managed(&["session", "list"]);
    assert_eq!(sessions["sessions"], json!([]), "the sessions end with the run");

    let into = [
        "fan-in",
        "--publishers",
        "20",
        "--groups",
        "2",
        "--members",
        "3",
        "--qos",
        "1",
    ];
    let into = measured(&broker, "mqtt", &[&into, &SHORT[..]].concat());
    assert_eq!(
        (&into["publishers"], &into["subscribers"]),
        (&json!(20), &json!(6))
    );

    let wild = [
        "wildcards",
        "--filters",
        "500",
        "--topics",
        "50",
        "--publishers",
        "4",
        "--subscribers",
        "5",
    ];
    let wild = measured(&broker, "mqtt", &[&wild, &SHORT[..]].concat());
    assert_eq!(
        (&wild["scenario"], &wild["clients"]),
        (&json!("wildcards"), &json!(9))
    );
}

#[test]
fn what_is_kept_for_later_comes_back_whole() {
    let broker = Broker::start();
    for version in ["--v5", "--v311"] {
        for (scenario, qos) in [
            ("retained", "0"),
            ("retained", "1"),
            ("queue", "1"),
            ("queue", "2"),
        ] {
            let words = [scenario, "--messages", "500", "--qos", qos, version, "--json"];
            let output = bench(&broker, "mqtt", &words);
            let said = stdout(&output);
            assert!(output.status.success(), "{words:?}: {said}{}", stderr(&output));
            let result: Value = serde_json::from_str(&said).unwrap();
            assert_eq!(
                (&result["scenario"], &result["messages"]),
                (&json!(scenario), &json!(500))
            );
            assert_eq!(
                (&result["fill"]["count"], &result["drain"]["count"]),
                (&json!(500), &json!(500))
            );
            assert_eq!((&result["lost"], &result["repeated"]), (&json!(0), &json!(0)));
        }
    }
    // Nothing stays behind.
    let mut login = vec![
        "sub",
        "-t",
        "bench/#",
        "-C",
        "1",
        "-W",
        "1",
        "--url",
        broker.url("mqtt"),
    ];
    login.extend(["-u", broker.first("username"), "-P", broker.first("password")]);
    assert_eq!(cloudsignal(&login).output().unwrap().status.code(), Some(7));
}

#[test]
fn a_queue_of_messages_that_nobody_keeps_makes_no_sense() {
    let output = cloudsignal(&["bench", "queue", "--qos", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--qos 1"), "{}", stderr(&output));
}

#[test]
#[cfg(target_os = "linux")]
fn connections_without_messages_are_measured() {
    let broker = Broker::start();
    let pid = broker.pid().to_string();
    let common = [
        "--seconds",
        "1",
        "--from",
        "127.0.0.1",
        "--from",
        "127.0.0.2",
        "--json",
    ];
    let result = |words: &[&str]| -> Value {
        let output = bench(&broker, "mqtt", &[words, &common].concat());
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        serde_json::from_str(&stdout(&output)).unwrap()
    };
    let connect = result(&["connect", "--at-once", "3", "--warm-up", "0"]);
    assert!(connect["connections"].as_u64() > Some(0), "{connect}");
    assert_eq!(connect["connections"], connect["count"]);
    assert!(connect["latency_us"]["p50"].as_u64() > Some(0), "{connect}");

    let idle = result(&[
        "idle",
        "--connections",
        "20",
        "--subscriptions",
        "2",
        "--pid",
        &pid,
    ]);
    assert_eq!(
        (&idle["connections"], &idle["open"]["count"]),
        (&json!(20), &json!(20))
    );
    assert!(idle["resident_bytes_open"].as_u64() >= Some(1), "{idle}");
    assert!(idle["bytes_per_connection"].is_number(), "{idle}");
}

#[test]
fn a_rate_is_kept_and_never_exceeded() {
    let broker = Broker::start();
    let words = [
        "pairs",
        "--pairs",
        "10",
        "--rate",
        "200",
        "--qos",
        "1",
        "--seconds",
        "2",
        "--warm-up",
        "0",
    ];
    let result = measured(&broker, "mqtt", &words);
    assert_eq!(result["rate"], 200);
    let rate = result["per_second"].as_f64().unwrap();
    // How much less depends on how busy the machine is.
    assert!(rate <= 201.0, "{result}");
    let published = result["published_per_second"].as_f64().unwrap();
    assert!(published > 0.0 && published <= 201.0, "{result}");
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

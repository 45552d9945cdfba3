//! Each quota beyond its limit: the code that a client gets, in 5.0 and in 3.1.1, and the counter that the
//! organization reads. The quotas are changed while the broker runs and clients are connected.

use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::packets::{field, packet};
use cloudsignal_tests::{http, wait};

use crate::client::{Client, Door, V5, V311};
use crate::{door, quota};

const SUCCESS: u8 = 0x00;
const NO_SUBSCRIBERS: u8 = 0x10;
const FILTER_INVALID: u8 = 0x8F;
const PACKET_TOO_LARGE: u8 = 0x95;
const RATE_TOO_HIGH: u8 = 0x96;
const QUOTA: u8 = 0x97;
const PAYLOAD_FORMAT: u8 = 0x99;
const CONNECT_RATE: u8 = 0x9F;
/// The codes of 3.1.1: try again later, and failure.
const UNAVAILABLE: u8 = 3;
const FAILURE: u8 = 0x80;

/// Sets quotas, does something, and takes them back; the organization can read that the quota was exceeded.
fn with<R>(broker: &Broker, name: &str, value: u64, act: impl FnOnce() -> R) -> R {
    let before = quota(broker, name)["exceeded"].as_u64().expect("a number");
    drop(broker.cli(&["quota", "set", &format!("{name}={value}")]));
    let done = act();
    let after = quota(broker, name);
    assert_eq!(after["limit"], value, "{name}");
    assert!(after["exceeded"].as_u64() > Some(before), "{name}: {after}");
    assert_eq!(after["source"], "override");
    drop(broker.cli(&["quota", "set", &format!("{name}=")]));
    done
}

/// Codes of many tries: up to a limit one, and then another one.
fn rises(codes: &[u8], fine: u8, limit: usize, beyond: u8) {
    let first = codes.iter().position(|code| *code != fine);
    assert_eq!(first, Some(limit), "{codes:02X?}");
    assert!(codes[limit..].contains(&beyond), "{codes:02X?}");
    assert!(
        codes.iter().all(|code| [fine, beyond].contains(code)),
        "{codes:02X?}"
    );
}

#[test]
fn coming_in() {
    let broker = Broker::start(BrokerOptions::default());
    let door = door(&broker);
    with(&broker, "connections_max", 2, || {
        let _both = [door.enter(V5, "a"), door.enter(V5, "b")];
        assert_eq!(door.knock(V5, "c").0, QUOTA);
        assert_eq!(door.knock(V311, "d").0, UNAVAILABLE);
    });
    wait::until("everybody is gone", || {
        (quota(&broker, "connections_max")["used"] == 0).then_some(())
    });
    with(&broker, "sessions_max", 1, || {
        let _one = door.enter(V5, "a");
        assert_eq!(door.knock(V5, "b").0, QUOTA);
        assert_eq!(door.knock(V311, "b").0, UNAVAILABLE);
    });
    with(&broker, "connects_per_sec", 1, || {
        // However slow the machine is at checking passwords: many knock at the same time.
        let knock = |name: usize| {
            let (door, version) = (door.clone(), if name.is_multiple_of(2) { V5 } else { V311 });
            std::thread::spawn(move || door.knock(version, &format!("rate{name}")).0)
        };
        let mut codes = Vec::new();
        while !(codes.contains(&CONNECT_RATE) && codes.contains(&UNAVAILABLE)) {
            let knocking: Vec<_> = (0..16).map(knock).collect();
            codes.extend(knocking.into_iter().map(|it| it.join().expect("it knocks")));
            assert!(codes.len() < 1_000, "{codes:02X?}");
        }
        let known = [SUCCESS, CONNECT_RATE, UNAVAILABLE];
        assert!(codes.iter().all(|code| known.contains(code)), "{codes:02X?}");
    });
}

#[test]
fn subscribing() {
    let broker = Broker::start(BrokerOptions::default().with("LIMITS_TOPIC_LEVELS_MAX", 4));
    let door = door(&broker);
    let (mut new, mut old) = (door.enter(V5, "new"), door.enter(V311, "old"));
    assert_eq!(new.subscribe("1/2/3/4/5", 0), FILTER_INVALID);
    assert_eq!(old.subscribe("1/2/3/4/5", 0), FAILURE);
    for (name, filters) in [
        ("subscriptions_max", ["s/1", "s/2", "s/3"]),
        ("all_subscriptions_max", ["a/1", "a/2", "a/3"]),
        ("wildcard_subscriptions_max", ["w/1/#", "w/+/2", "w/#"]),
    ] {
        let (mut new, mut old) = (door.enter(V5, "new"), door.enter(V311, "old"));
        with(&broker, name, 2, || {
            let codes = filters.map(|filter| new.subscribe(filter, 0));
            rises(&codes, SUCCESS, 2, QUOTA);
            // What one client has taken is gone for others, unless each has its own.
            let codes: Vec<_> = filters.iter().map(|filter| old.subscribe(filter, 0)).collect();
            let left = if name == "subscriptions_max" { 2 } else { 0 };
            rises(&codes, SUCCESS, left, FAILURE);
        });
    }
}

#[test]
fn publishing() {
    let broker = Broker::start(BrokerOptions::default().with("LIMITS_PACKET_BYTES_MAX", 4_096));
    let door = door(&broker);
    let mut client = door.enter(V5, "client");
    with(&broker, "payload_bytes_max", 4, || {
        assert_eq!(client.publish("x", b"1234"), NO_SUBSCRIBERS);
        assert_eq!(client.publish("x", b"12345"), QUOTA);
        let mut old = door.enter(V311, "old");
        assert_eq!(old.publish("x", b"12345"), SUCCESS, "acknowledged and dropped");
    });
    for name in ["publish_messages_per_sec", "publish_bytes_per_sec"] {
        with(&broker, name, 3, || {
            let mut codes = Vec::new();
            while !codes.contains(&QUOTA) {
                codes.push(client.publish("x", b"1"));
                assert!(codes.len() < 10_000, "{codes:02X?}");
            }
            assert!(codes.len() > 3, "{codes:02X?}");
        });
    }
    let published = quota(&broker, "publish_messages_per_month")["used"].clone();
    let published = published.as_u64().expect("a number");
    with(&broker, "publish_messages_per_month", published + 2, || {
        let codes: Vec<_> = (0..4).map(|_| client.publish("x", b"1")).collect();
        rises(&codes, NO_SUBSCRIBERS, 2, QUOTA);
    });
    let mut not_text = field(b"x");
    not_text.extend([0, 9, 2, 0x01, 0x01, 0xFF]); // payload format: UTF-8 text
    assert_eq!(client.publish_bytes(&packet(0x32, &not_text)), PAYLOAD_FORMAT);
    client.tell("x", &[0; 5_000]);
    assert_eq!(client.sent_away(), PACKET_TOO_LARGE);
    let mut old = door.enter(V311, "old");
    old.tell("x", &[0; 5_000]);
    assert!(old.is_cut());
}

#[test]
fn a_flood_is_sent_away() {
    let broker = Broker::start(BrokerOptions::default());
    let door = door(&broker);
    let (mut new, mut old) = (door.enter(V5, "new"), door.enter(V311, "old"));
    drop(broker.cli(&["quota", "set", "publish_messages_per_month=1"]));
    with(&broker, "refused_publishes_per_sec", 10, || {
        flood(&mut new);
        flood(&mut old);
        assert_eq!(new.sent_away(), RATE_TOO_HIGH);
        assert!(old.is_cut());
    });
    assert_eq!(
        door.enter(V5, "new").publish("x", b""),
        QUOTA,
        "and may come back"
    );
}

fn flood(client: &mut Client) {
    for _ in 0..5_000 {
        client.tell("x", b"1");
    }
}

#[test]
fn reaching_and_keeping() {
    let broker = Broker::start(BrokerOptions::default());
    let door = door(&broker);
    let mut client = door.enter(V5, "client");
    with(&broker, "fan_out_max", 1, || {
        let (mut a, mut b) = (door.enter(V5, "a"), door.enter(V311, "b"));
        assert_eq!(a.subscribe("f", 0), 0);
        assert_eq!(client.publish("f", b"1"), SUCCESS);
        assert_eq!(b.subscribe("f", 0), 0);
        assert_eq!(client.publish("f", b"2"), QUOTA);
        a.ping();
        assert_eq!((a.next().as_deref(), a.next()), (Some(&b"1"[..]), None));
    });
    with(&broker, "retained_messages_max", 2, || {
        let codes = ["r/1", "r/2", "r/3"].map(|topic| client.retain(topic, b"1"));
        rises(&codes, NO_SUBSCRIBERS, 2, QUOTA);
    });
    with(&broker, "retained_bytes_max", 400, || {
        assert_eq!(client.retain("r/1", &[b'1'; 600]), QUOTA);
    });
    with(&broker, "all_queue_bytes_max", 400, || {
        door.leave_session("away", "q");
        // A publisher is not punished for a full queue.
        let codes = [b"1", b"2", b"3", b"4"].map(|payload| client.publish("q", payload));
        assert_eq!(codes, [SUCCESS, SUCCESS, SUCCESS, NO_SUBSCRIBERS]);
    });
}

#[test]
fn delivering() {
    let broker = Broker::start(BrokerOptions::default());
    let door = door(&broker);
    let (mut reader, mut client) = (door.enter(V5, "reader"), door.enter(V5, "client"));
    assert_eq!(reader.subscribe("0", 0), 0);
    assert_eq!(reader.subscribe("1", 1), 1);
    for name in ["deliver_messages_per_sec", "deliver_bytes_per_sec"] {
        with(&broker, name, 5, || {
            for _ in 0..40 {
                assert_eq!(client.publish("1", b"1"), SUCCESS);
            }
            // QoS 1 waits and comes in full; what has come can be counted only once it has.
            for _ in 0..40 {
                assert_eq!(reader.next().as_deref(), Some(&b"1"[..]));
            }
        });
    }
    with(&broker, "deliver_messages_per_sec", 5, || {
        for _ in 0..2_000 {
            client.tell("0", b"0");
        }
        assert_eq!(
            client.publish("nobody", b""),
            NO_SUBSCRIBERS,
            "all of it has arrived"
        );
        reader.ping();
        let got = std::iter::from_fn(|| reader.next()).count();
        assert!((1..1_000).contains(&got), "{got} of 2000 at 5 per second");
    });
}

#[test]
fn calling() {
    let broker = Broker::start(BrokerOptions::default());
    let key = broker.first_run().secret_key;
    let addr = broker.addr(Listener::Http);
    let call = || {
        let answer = http::ask(addr, "GET", "/v2/usage", Some(&key), None);
        answer.expect("an answer")
    };
    assert_eq!(call().status, 200);
    for name in ["api_calls_per_sec", "api_key_calls_per_sec"] {
        with(&broker, name, 1, || {
            let refused = (0..1_000).map(|_| call()).find(|answer| answer.status != 200);
            let refused = refused.expect("a thousand calls are too many for a second");
            assert_eq!(refused.status, 429);
            assert!(
                refused.head.to_lowercase().contains("retry-after: 1"),
                "{refused:?}"
            );
            assert_eq!(refused.json()["quota"], name);
        });
    }
    let operator_only = serde_json::json!({ "plan": "unlimited" });
    let refused = http::ask(addr, "PUT", "/v2/quotas", Some(&key), Some(&operator_only));
    assert_eq!(refused.expect("an answer").status, 403);
}

#[test]
fn publishing_over_http() {
    let broker = Broker::start(BrokerOptions::default());
    let key = broker.first_run().secret_key;
    let addr = broker.addr(Listener::Http);
    let publish = || {
        let message = serde_json::json!({ "topic": "t", "payload": "x" });
        let answer = http::ask(addr, "POST", "/v2/publish", Some(&key), Some(&message));
        answer.expect("an answer")
    };
    assert!(publish().head.to_lowercase().contains("x-ratelimit-limit: 100"));
    drop(broker.cli(&["quota", "set", "api_key_publish_burst=3"]));
    with(&broker, "api_key_publishes_per_sec", 1, || {
        let answers: Vec<_> = (0..200).map(|_| publish()).collect();
        let refused = answers.iter().find(|answer| answer.status != 202);
        let refused = refused.expect("two hundred are too many for a second");
        assert_eq!(refused.status, 429);
        let head = refused.head.to_lowercase();
        assert!(
            head.contains("retry-after: 1") && head.contains("x-ratelimit-limit: 1\r"),
            "{head}"
        );
        assert_eq!(refused.json()["error"], "rate_limited");
        assert_eq!(refused.json()["quota"], "api_key_publishes_per_sec");
    });
    drop(broker.cli(&["quota", "set", "api_key_publishes_per_sec=0"]));
    let free = publish();
    let limit = free.head.to_lowercase();
    assert!(free.status == 202 && !limit.contains("\nx-ratelimit"), "{free:?}");
}

#[test]
fn plans() {
    let mut broker = Broker::start(BrokerOptions::default());
    for (plan, connections, messages) in [
        ("free", 10, 100_000),
        ("pro", 100, 1_000_000),
        ("business", 1_000, 10_000_000),
    ] {
        drop(broker.cli(&["quota", "set", "--plan", plan]));
        assert_eq!(quota(&broker, "connections_max")["limit"], connections);
        assert_eq!(quota(&broker, "publish_messages_per_month")["limit"], messages);
        assert_eq!(quota(&broker, "connections_max")["source"], "plan");
    }
    drop(broker.cli(&["quota", "set", "--plan", "free", "connects_per_sec=1000"]));
    let door: Door = door(&broker);
    let ten: Vec<_> = (0..10)
        .map(|number| door.enter(V5, &format!("c{number}")))
        .collect();
    assert_eq!(door.knock(V5, "one too many").0, QUOTA);
    drop(broker.cli(&["quota", "set", "--plan", "unlimited"]));
    let _eleventh = door.enter(V5, "one more");
    assert_eq!(quota(&broker, "connections_max")["used"], ten.len() + 1);
    assert_eq!(broker.terminate(), Some(0));
    let broker = broker.start_again();
    let connects = quota(&broker, "connects_per_sec");
    assert_eq!(
        (&connects["limit"], &connects["source"]),
        (&1_000.into(), &"override".into())
    );
}

//! Topics and filters as long and as deep as they can be.

use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::packets::{connect_v5, publish_v5, subscribe_v5};
use cloudsignal_tests::wire::Wire;

use crate::attack::{Attack, MIB, scaled};

/// The longest topic that MQTT can say.
const TOPIC_BYTES_MAX: usize = 65_535;

const CLIENTS: usize = 20;
/// Topics and filters of each client.
const TOPICS: usize = 25;

/// Each topic is kept by its retained message, and by a session and the tree where its filter is granted; 32 MiB of them
/// are remembered beside the tree. The allocator's holes come on top.
const GROWTH_BYTES_MAX: u64 = 4 * (CLIENTS * TOPICS * TOPIC_BYTES_MAX) as u64 + 64 * MIB;

fn log_in(attack: &Attack, client_id: &str) -> Wire {
    let first_run = attack.broker.first_run();
    let login = Some((first_run.username.as_str(), first_run.password.as_str()));
    Wire::open(
        attack.addr(Listener::Mqtt),
        &connect_v5(client_id, login),
        &[0x20],
    )
}

/// `number`, and levels of one byte up to the longest topic: 32 760 of them.
fn deep(number: usize) -> Vec<u8> {
    let start = format!("{number:05}");
    [
        start.as_bytes(),
        &b"/x".repeat((TOPIC_BYTES_MAX - start.len()) / 2),
    ]
    .concat()
}

/// `number`, and one level up to the longest topic.
fn long(number: usize) -> Vec<u8> {
    let start = format!("{number:05}/");
    [start.as_bytes(), &b"x".repeat(TOPIC_BYTES_MAX - start.len())].concat()
}

#[tokio::test]
async fn topic_that_is_too_deep_is_refused_and_leaves_nothing_behind() {
    let attack = Attack::start("deep", BrokerOptions::default());
    let clients = scaled(CLIENTS);
    for client in 0..clients {
        let mut wire = log_in(&attack, &format!("deep-{client}"));
        for number in 0..TOPICS {
            wire.send(&subscribe_v5(7, &deep(number), 0x01));
            let suback = wire.packet();
            // SUBACK for packet id 7; the filter is refused as invalid.
            assert_eq!((suback[0], &suback[2..4]), (0x90, &[0x00, 0x07][..]));
            assert_eq!(suback.last(), Some(&0x8F), "{suback:02X?}");
            wire.send(&publish_v5(Some(8), &deep(number), b"x"));
            let puback = wire.packet();
            // PUBACK for packet id 8; the topic is refused as invalid.
            assert_eq!((puback[0], &puback[2..5]), (0x40, &[0x00, 0x08, 0x90][..]));
        }
    }
    let count = clients * TOPICS;
    attack.end(
        &format!("{count} topics and filters with 32 765 levels"),
        32 * MIB,
    );
}

#[tokio::test]
async fn longest_topics_cost_their_length_and_no_more() {
    let attack = Attack::start("long", BrokerOptions::default());
    let mut answers = [0_usize; 256];
    // All stay connected, so that all subscriptions stay.
    let mut wires = Vec::new();
    for client in 0..CLIENTS {
        let mut wire = log_in(&attack, &format!("long-{client}"));
        for number in 0..TOPICS {
            let topic = long(client * TOPICS + number);
            wire.send(&subscribe_v5(7, &topic, 0x00));
            let suback = wire.packet();
            assert_eq!(suback[0], 0x90, "{suback:02X?}");
            answers[usize::from(suback[suback.len() - 1])] += 1;
            let mut publish = publish_v5(Some(8), &topic, b"kept");
            publish[0] |= 0x01; // retain
            wire.send(&publish);
            // PUBACK, and the message itself where the subscription was granted.
            let packets = if suback.ends_with(&[0x00]) { 2 } else { 1 };
            for _ in 0..packets {
                let first = wire.packet()[0];
                assert!(first == 0x40 || first == 0x30, "{first:02X}");
            }
        }
        wires.push(wire);
    }
    let granted = answers[0x00];
    assert!(granted > 0, "some of the filters are within the limits");
    assert_eq!(
        granted + answers[0x97],
        CLIENTS * TOPICS,
        "the others are over the quota"
    );
    let count = CLIENTS * TOPICS;
    drop(wires);
    attack.end(
        &format!("{count} retained topics of 64 KiB, {granted} of as many filters granted"),
        GROWTH_BYTES_MAX,
    );
}

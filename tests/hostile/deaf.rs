//! Subscribers that never read what they asked for.

use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::packets::{connect_v5, publish_v5, subscribe_v5};
use cloudsignal_tests::wait;
use cloudsignal_tests::wire::Wire;

use crate::attack::{Attack, MIB, scaled};

const CLIENTS: usize = 50;

/// What is published to all of them: 64 MiB.
const MESSAGES: usize = 4_096;
const PAYLOAD_BYTES: usize = 16 * 1_024;

/// Bytes that may wait for one session, set for this test.
const QUEUE_BYTES_MAX: u64 = 4 * MIB;

#[tokio::test]
async fn subscribers_that_never_read_cost_their_queues_and_no_more() {
    let options = BrokerOptions::default()
        .with("LIMITS_QUEUE_BYTES_MAX", QUEUE_BYTES_MAX)
        .with("CONNECTIONS_STALLED_SECS", 5);
    let attack = Attack::start("deaf", options);
    let first_run = attack.broker.first_run();
    let open = |client_id: &str| {
        let login = Some((first_run.username.as_str(), first_run.password.as_str()));
        Wire::open(
            attack.addr(Listener::Mqtt),
            &connect_v5(client_id, login),
            &[0x20],
        )
    };
    let clients = scaled(CLIENTS);
    let mut deaf: Vec<_> = (0..clients)
        .map(|number| {
            let mut wire = open(&format!("deaf-{number}"));
            // Half of them at QoS 0, half at QoS 1.
            wire.send(&subscribe_v5(1, b"flood", u8::from(number % 2 == 1)));
            assert_eq!(wire.packet()[0], 0x90);
            wire
        })
        .collect();
    let mut publisher = open("flood");
    let payload = vec![0x55; PAYLOAD_BYTES];
    for _ in 0..MESSAGES {
        publisher.send(&publish_v5(Some(1), b"flood", &payload));
        let puback = publisher.packet();
        assert_eq!(&puback[..4], &[0x40, 0x02, 0x00, 0x01], "every message is taken");
    }
    // The broker closes them all, while nobody reads a byte; then each stream ends after what the system had taken.
    wait::until("the end of every client that takes nothing", || {
        let closed = attack.metric("cloudsignal_connections_stalled_total");
        (closed == clients).then_some(())
    });
    for wire in &mut deaf {
        while wire.packet_or_end().is_some() {}
    }
    drop(publisher);
    // Messages are shared between the queues; each connection's output is its own.
    let growth = clients as u64 * (MIB / 4 + 64 * 1_024) + 2 * QUEUE_BYTES_MAX + 32 * MIB;
    attack.end(
        &format!(
            "{clients} clients that never read, {} MiB published to each",
            MESSAGES * PAYLOAD_BYTES / 1_048_576
        ),
        growth,
    );
}

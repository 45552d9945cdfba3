//! Packets that claim to be, or are, larger than allowed.

use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::packets::{connect_v5, field, packet, publish_v5, remaining_length};
use cloudsignal_tests::wire::Wire;

use crate::attack::{Attack, MIB, crowd, dial, rest, scaled, send};

/// Announced by default: Maximum Packet Size.
const PACKET_BYTES_MAX: usize = 1_048_576;

const CLIENTS: usize = 500;
const AT_ONCE: usize = 100;

#[tokio::test]
async fn packet_that_claims_too_much_is_refused_at_its_header() {
    let attack = Attack::start("claims", BrokerOptions::default());
    let first_run = attack.broker.first_run();
    let connect = connect_v5("claims", Some((&first_run.username, &first_run.password)));
    let mut wire = Wire::open(attack.addr(Listener::Mqtt), &connect, &[0x20]);
    // PUBLISH of 268 435 455 bytes, of which not one follows: the answer does not wait for them.
    wire.send(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
    let disconnect = wire.packet();
    assert_eq!((disconnect[0], disconnect[2]), (0xE0, 0x95), "packet too large");
    wire.expect_end();
    // A remaining length of five bytes is none [MQTT-2.2.2-2]; neither is a CONNECT of 256 MiB.
    for claim in [
        &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x01][..],
        &[0x10, 0xFF, 0xFF, 0xFF, 0x7F],
    ] {
        let mut wire = Wire::connect(attack.addr(Listener::Mqtt));
        wire.send(claim);
        wire.expect_end();
    }
    attack.end("3 claims", 16 * MIB);
}

#[tokio::test]
async fn packets_beyond_the_limit_are_not_kept() {
    let attack = Attack::start("oversized", BrokerOptions::default());
    let addr = attack.addr(Listener::Mqtt);
    let first_run = attack.broker.first_run();
    let clients = scaled(CLIENTS);
    crowd(clients, AT_ONCE, |number| {
        let login = Some((first_run.username.as_str(), first_run.password.as_str()));
        let connect = connect_v5(&format!("oversized-{number}"), login);
        async move {
            let mut stream = dial(addr, number).await;
            send(&mut stream, &connect).await;
            // One byte too many, and all of them sent.
            let length = PACKET_BYTES_MAX + 1 - 1 - remaining_length(PACKET_BYTES_MAX).len();
            let publish = packet(0x30, &[&field(b"topic")[..], &vec![0x00; length - 7]].concat());
            assert_eq!(publish.len(), PACKET_BYTES_MAX + 1);
            send(&mut stream, &publish).await;
            rest(&mut stream).await;
        }
    })
    .await;
    attack.end(
        &format!("{clients} packets of 1 MiB and a byte, {AT_ONCE} at once"),
        64 * MIB,
    );
}

#[tokio::test]
async fn largest_packets_cost_their_size_and_no_more() {
    let attack = Attack::start("largest", BrokerOptions::default());
    let addr = attack.addr(Listener::Mqtt);
    let first_run = attack.broker.first_run();
    let clients = scaled(CLIENTS / 5);
    crowd(clients, AT_ONCE, |number| {
        let login = Some((first_run.username.as_str(), first_run.password.as_str()));
        let connect = connect_v5(&format!("largest-{number}"), login);
        async move {
            let mut stream = dial(addr, number).await;
            send(&mut stream, &connect).await;
            let header = 1 + remaining_length(PACKET_BYTES_MAX).len() + 2 + 5 + 1;
            let publish = publish_v5(None, b"topic", &vec![0x00; PACKET_BYTES_MAX - header]);
            assert_eq!(publish.len(), PACKET_BYTES_MAX);
            // All but its last byte, and then the end.
            send(&mut stream, &publish[..PACKET_BYTES_MAX - 1]).await;
            drop(tokio::io::AsyncWriteExt::shutdown(&mut stream).await);
            rest(&mut stream).await;
        }
    })
    .await;
    // A buffer that grows to its packet is at worst twice as large.
    let growth = 2 * AT_ONCE as u64 * MIB + 32 * MIB;
    attack.end(
        &format!("{clients} packets of 1 MiB without their last byte, {AT_ONCE} at once"),
        growth,
    );
}

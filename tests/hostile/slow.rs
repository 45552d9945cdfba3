//! Clients that connect and then say almost nothing, for as long as they are let.

use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::packets::CONNECT_V5;

use crate::attack::{Attack, MIB, crowd, dawdle, dial, rest, scaled, send};

/// Clients at once.
const CLIENTS: usize = 1_000;

/// What one of them may cost: its socket and its state, and some TLS.
const CLIENT_BYTES_MAX: u64 = 64 * 1_024;

/// What each listener awaits first, without its end: sent byte by byte, it never gets there in time.
fn opening(listener: Listener) -> Vec<u8> {
    match listener {
        // A CONNECT of 65 000 bytes, within what is let in.
        Listener::Mqtt => [&[0x10, 0xE8, 0xFB, 0x03][..], &CONNECT_V5[2..]].concat(),
        // A TLS record with a handshake message of 4 096 bytes, a ClientHello.
        Listener::Mqtts | Listener::Wss | Listener::Https => {
            vec![0x16, 0x03, 0x01, 0x10, 0x00, 0x01, 0x00, 0x0F, 0xFC, 0x03, 0x03]
        }
        Listener::Ws | Listener::Http | Listener::Metrics => {
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".to_vec()
        }
    }
}

#[tokio::test]
async fn slow_clients_are_closed_although_they_never_stop_sending() {
    let options = BrokerOptions::default()
        .with("CONNECTIONS_CONNECT_SECS", 3)
        .with("CONNECTIONS_HANDSHAKE_SECS", 3)
        .with("CONNECTIONS_UPGRADE_SECS", 3);
    let attack = Attack::start("slow", options);
    let clients = scaled(CLIENTS);
    crowd(clients, clients, |number| {
        let listener = Listener::ALL[number % Listener::ALL.len()];
        let addr = attack.addr(listener);
        async move {
            let mut stream = dial(addr, number).await;
            let (mut reading, mut writing) = stream.split();
            let drip = async {
                for byte in opening(listener).into_iter().chain(std::iter::repeat(b'x')) {
                    dawdle().await;
                    if tokio::io::AsyncWriteExt::write_all(&mut writing, &[byte])
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
            };
            let mut answer = Vec::new();
            // The broker ends it: first its answer, if it has one, and then nothing more.
            tokio::select! {
                () = drip => {}
                _ended = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut answer) => {}
            }
        }
    })
    .await;
    attack.end(
        &format!("{clients} clients at once, a byte each every 100 ms"),
        clients as u64 * CLIENT_BYTES_MAX + 16 * MIB,
    );
}

#[tokio::test]
async fn what_half_sent_connects_hold_is_bounded_for_all_together() {
    const OPENING_BYTES_MAX: u64 = 4 * MIB;
    let options = BrokerOptions::default()
        .with("CONNECTIONS_OPENING_BYTES_MAX", OPENING_BYTES_MAX)
        .with("CONNECTIONS_CONNECT_SECS", 5);
    let attack = Attack::start("half", options);
    let addr = attack.addr(Listener::Mqtt);
    let clients = scaled(CLIENTS);
    crowd(clients, clients, |number| async move {
        let mut stream = dial(addr, number).await;
        // A CONNECT of 65 000 bytes, without its last 16 000.
        send(
            &mut stream,
            &[&[0x10, 0xE8, 0xFB, 0x03][..], &CONNECT_V5[2..9]].concat(),
        )
        .await;
        send(&mut stream, &[0x00; 48 * 1_024]).await;
        rest(&mut stream).await;
    })
    .await;
    let turned_away = attack.metric("cloudsignal_connections_turned_away_total{why=\"opening_bytes_max\"}");
    let timed_out = attack.metric("cloudsignal_connects_timed_out_total");
    assert!(turned_away > 0 && timed_out > 0, "{turned_away} and {timed_out}");
    attack.end(
        &format!(
            "{clients} clients at once, 48 KiB of a CONNECT each: {turned_away} turned away, {timed_out} timed out"
        ),
        OPENING_BYTES_MAX + clients as u64 * CLIENT_BYTES_MAX + 16 * MIB,
    );
}

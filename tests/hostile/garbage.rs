//! Ten thousand connections that say anything but what is awaited.

use tokio::io::AsyncWriteExt as _;

use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::packets::CONNECT_V5;

use crate::attack::{Attack, MIB, crowd, dial, rest, scaled, send};

const CLIENTS: usize = 10_000;
const AT_ONCE: usize = 500;

/// The same garbage in every run.
const SEED: u64 = 0x5EED_0F6A_12BA_6E00;

/// What all of them may cost while [`AT_ONCE`] are connected.
const GROWTH_BYTES_MAX: u64 = 64 * MIB;

#[tokio::test]
async fn garbage_is_closed_and_forgotten() {
    let attack = Attack::start("garbage", BrokerOptions::default());
    let clients = scaled(CLIENTS);
    crowd(clients, AT_ONCE, |number| {
        let listener = Listener::ALL[number % Listener::ALL.len()];
        let addr = attack.addr(listener);
        async move {
            let mut stream = dial(addr, number).await;
            send(&mut stream, &garbage(number)).await;
            // Nothing more will come, so there is nothing to wait for.
            drop(stream.shutdown().await);
            rest(&mut stream).await;
        }
    })
    .await;
    assert!(attack.metric("cloudsignal_connections_accepted_total") >= clients);
    attack.end(
        &format!("{clients} connections, {AT_ONCE} at once"),
        GROWTH_BYTES_MAX,
    );
}

/// Bytes that begin like something, or like nothing.
fn garbage(number: usize) -> Vec<u8> {
    let mut noise = noise(number);
    let length = usize::try_from(noise() % 4_096).expect("a small number");
    let random: Vec<u8> = (0..length).map(|_| noise().to_le_bytes()[3]).collect();
    let starts: [&[u8]; 8] = [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v2/tokens/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000\r\n\r\n",
        b"SSH-2.0-client\r\n",
        // A TLS record with a ClientHello.
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03],
        CONNECT_V5,
        // CONNECT, cut in its middle.
        &CONNECT_V5[..9],
        // PUBLISH of the largest length there is.
        &[0x30, 0xFF, 0xFF, 0xFF, 0x7F],
    ];
    [starts[number / Listener::ALL.len() % starts.len()], &random].concat()
}

/// Random numbers of one connection (xorshift).
fn noise(number: usize) -> impl FnMut() -> u64 {
    let mut state = SEED ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

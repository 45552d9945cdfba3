//! Handshakes and frames that break the rules of WebSocket (RFC 6455), or stretch them.

use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::packets::{CONNECT_V5, PINGREQ, connect_v5};
use cloudsignal_tests::wire::{Wire, hex};

use crate::attack::{Attack, MIB, scaled};

const HANDSHAKE: &str = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: mqtt\r\n\r\n";

/// First byte of a frame: whole, continued and so on, with the kind of frame.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const BINARY_TO_BE_CONTINUED: u8 = 0x02;
const CONTINUED: u8 = 0x00;
const PING: u8 = 0x89;

/// Every frame of a client is masked; this mask leaves the bytes as they are.
const MASK: [u8; 4] = [0, 0, 0, 0];

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => bytes.push(0x80 | length.to_be_bytes()[1]),
        Ok(length) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend_from_slice(payload);
    bytes
}

/// A WebSocket, open.
fn upgraded(attack: &Attack) -> Wire {
    let mut wire = Wire::connect(attack.addr(Listener::Ws));
    wire.send(HANDSHAKE.as_bytes());
    let head = wire.until(b"\r\n\r\n").expect("a handshake is answered");
    assert!(
        head.starts_with(b"HTTP/1.1 101 "),
        "{}",
        String::from_utf8_lossy(&head)
    );
    wire
}

/// A WebSocket with an MQTT client that has logged in.
fn logged_in(attack: &Attack, client_id: &str) -> Wire {
    let first_run = attack.broker.first_run();
    let mut wire = upgraded(attack);
    let login = Some((first_run.username.as_str(), first_run.password.as_str()));
    wire.send(&frame(BINARY, &connect_v5(client_id, login)));
    // One frame with a CONNACK of less than 126 bytes.
    let [first, length] = <[u8; 2]>::try_from(wire.take(2)).expect("two bytes");
    let connack = wire.take(usize::from(length));
    assert!(
        first == BINARY && connack[0] == 0x20 && connack[3] == 0x00,
        "{}",
        hex(&connack)
    );
    wire
}

#[test]
fn handshakes_that_break_the_rules_are_refused() {
    let attack = Attack::start(
        "handshakes",
        BrokerOptions::default().with("CONNECTIONS_UPGRADE_SECS", 3),
    );
    let huge = format!("X-Huge: {}\r\n\r\n", "x".repeat(1_048_576));
    let many = "X-Many: x\r\n".repeat(1_000) + "\r\n";
    let wrong = [
        HANDSHAKE.replace("GET", "POST"),
        HANDSHAKE.replace("HTTP/1.1", "HTTP/0.9"),
        HANDSHAKE.replace("HTTP/1.1", "HTTP/9.9"),
        HANDSHAKE.replace("Upgrade: websocket\r\n", ""),
        HANDSHAKE.replace("Connection: Upgrade\r\n", ""),
        HANDSHAKE.replace("Version: 13", "Version: 12"),
        HANDSHAKE.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        HANDSHAKE.replace("Protocol: mqtt", "Protocol: chat"),
        HANDSHAKE.replace("Host: localhost", "Host\0: localhost"),
        HANDSHAKE.replace("/mqtt", &"/x".repeat(200_000)),
        HANDSHAKE.replace("\r\n\r\n", "\r\n") + &huge,
        HANDSHAKE.replace("\r\n\r\n", "\r\n") + &many,
        "\r\n".repeat(100_000),
        "\0".repeat(100_000),
    ];
    let rounds = scaled(20);
    for _ in 0..rounds {
        for handshake in &wrong {
            let mut wire = Wire::connect(attack.addr(Listener::Ws));
            wire.send(handshake.as_bytes());
            wire.finish();
            let answer = wire.rest(65_536);
            assert!(!answer.starts_with(b"HTTP/1.1 101 "), "{handshake:.40}");
        }
    }
    attack.end(&format!("{} handshakes", rounds * wrong.len()), 32 * MIB);
}

#[test]
fn frames_that_break_the_rules_end_the_connection() {
    let attack = Attack::start("frames", BrokerOptions::default());
    let connect = frame(BINARY, CONNECT_V5);
    let mut unmasked = vec![BINARY, 0x11];
    unmasked.extend_from_slice(CONNECT_V5);
    let header = |first, length: u64| [&[first, 0xFF][..], &length.to_be_bytes(), &MASK].concat();
    let wrong = [
        unmasked,
        frame(TEXT, CONNECT_V5),
        frame(BINARY | 0x40, CONNECT_V5), // a reserved bit
        frame(0x83, CONNECT_V5),          // a reserved opcode
        frame(0x8B, b""),                 // a reserved control opcode
        frame(CONTINUED, b"x"),           // nothing was begun
        [frame(BINARY_TO_BE_CONTINUED, &CONNECT_V5[..4]), connect].concat(), // not continued
        frame(PING, &[0; 126]),           // a control frame has at most 125 bytes
        frame(PING & 0x7F, b"x"),         // a control frame in parts
        header(BINARY, u64::MAX),
        header(BINARY, 1 << 62),
        header(BINARY, 1 << 40),
        header(CONTINUED | 0x80, 1 << 40),
        frame(BINARY, &[0xF0, 0x00]), // AUTH before CONNECT
        frame(BINARY, &vec![0xFF; 60_000]),
    ];
    let rounds = scaled(20);
    for _ in 0..rounds {
        for bytes in &wrong {
            let mut wire = upgraded(&attack);
            wire.send(bytes);
            // A close frame may come before the end, but no packet.
            let answer = wire.rest(65_536);
            assert!(
                !answer.starts_with(&[BINARY]),
                "{} got {}",
                hex(bytes),
                hex(&answer)
            );
        }
    }
    attack.end(&format!("{} frames", rounds * wrong.len()), 32 * MIB);
}

#[test]
fn endless_message_in_empty_parts_is_no_way_to_fill_memory() {
    let attack = Attack::start("parts", BrokerOptions::default());
    let mut wire = logged_in(&attack, "parts");
    wire.send(&frame(BINARY_TO_BE_CONTINUED, b""));
    // A PINGREQ hidden in a hundred thousand frames, most of them empty.
    let parts = scaled(100_000);
    wire.send(&frame(CONTINUED, b"").repeat(parts));
    wire.send(&frame(CONTINUED, &PINGREQ[..1]));
    wire.send(&frame(CONTINUED, b"").repeat(parts));
    wire.send(&frame(CONTINUED | 0x80, &PINGREQ[1..]));
    // One frame: PINGRESP.
    wire.expect(&[BINARY, 0x02, 0xD0, 0x00]);
    drop(wire);
    attack.end(&format!("{} frames of one message", 2 * parts), 16 * MIB);
}

#[test]
fn flood_of_pings_whose_answers_nobody_reads_is_bounded() {
    let options = BrokerOptions::default().with("CONNECTIONS_STALLED_SECS", 3);
    let attack = Attack::start("pings", options);
    let pings = frame(PING, &[0x55; 125]).repeat(1_000);
    let mut wire = logged_in(&attack, "pings");
    let mut sent_bytes = 0;
    // The broker does not read on while its answers stay, and closes when that has lasted too long.
    while wire.try_send(&pings) {
        sent_bytes += pings.len() as u64;
        assert!(sent_bytes < 1_024 * MIB, "the broker takes pings without end");
    }
    attack.end(&format!("{} MiB of pings", sent_bytes / MIB), 16 * MIB);
}

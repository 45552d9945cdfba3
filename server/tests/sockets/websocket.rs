//! MQTT over WebSocket: the upgrade, frames of every cut, and how it closes.

use cloudsignal_core::{Qos, Version};
use cloudsignal_server::server::Kind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::broker::{Broker, dial, in_time, publish, subscribe};

const V: Version = Version::V311;
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

/// The client's side of a WebSocket, frame by frame.
struct Socket(TcpStream);

impl Socket {
    /// Upgrades, and answers the head of the response.
    async fn upgrade(broker: &Broker, kind: Kind, path: &str, headers: &str) -> (Self, String) {
        let mut stream = dial(broker.addr(kind)).await;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        in_time(stream.write_all(request.as_bytes())).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(in_time(stream.read_u8()).await.unwrap());
        }
        (
            Self(stream),
            String::from_utf8(head).unwrap().to_ascii_lowercase(),
        )
    }

    async fn open(broker: &Broker) -> Self {
        let (socket, head) = Self::upgrade(broker, Kind::Ws, "/", "Sec-WebSocket-Protocol: mqtt\r\n").await;
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        socket
    }

    /// A client that is in.
    async fn client(broker: &Broker, client_id: &str) -> Self {
        let mut socket = Self::open(broker).await;
        socket.send(BINARY, &broker.connect(V, client_id)).await;
        assert_eq!(socket.frame().await, (BINARY, vec![0x20, 2, 0, 0]));
        socket
    }

    async fn send(&mut self, first: u8, payload: &[u8]) {
        self.send_raw(&frame(first, payload)).await;
    }

    async fn send_raw(&mut self, bytes: &[u8]) {
        in_time(self.0.write_all(bytes)).await.unwrap();
    }

    /// The next frame: its first byte and its payload.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let first = in_time(self.0.read_u8()).await.expect("a frame");
        let bytes = match in_time(self.0.read_u8()).await.unwrap() {
            126 => usize::from(in_time(self.0.read_u16()).await.unwrap()),
            127 => usize::try_from(in_time(self.0.read_u64()).await.unwrap()).unwrap(),
            bytes => usize::from(bytes), // A server does not mask.
        };
        let mut payload = vec![0; bytes];
        in_time(self.0.read_exact(&mut payload)).await.unwrap();
        (first, payload)
    }

    /// The broker closes with this code, and then the connection ends.
    async fn expect_close(&mut self, code: u16) {
        assert_eq!(self.frame().await, (CLOSE, code.to_be_bytes().to_vec()));
        let mut rest = Vec::new();
        let _ = in_time(self.0.read_to_end(&mut rest)).await;
        assert_eq!(rest, [0_u8; 0]);
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let mut frame = vec![first];
    match payload.len() {
        bytes @ 0..=125 => frame.push(0x80 | bytes as u8),
        bytes => {
            frame.push(0x80 | 127);
            frame.extend((bytes as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

#[tokio::test]
async fn mqtt_is_spoken_on_any_path_of_its_own_listener_and_on_one_of_http() {
    let broker = Broker::start(|_| {}).await;
    let offer = "Sec-WebSocket-Protocol: chat, mqtt\r\n";
    for (kind, path) in [
        (Kind::Ws, "/"),
        (Kind::Ws, "/any/path?x=1"),
        (Kind::Http, "/mqtt"),
    ] {
        let (_, head) = Socket::upgrade(&broker, kind, path, offer).await;
        assert!(head.starts_with("http/1.1 101 "), "{path}: {head}");
        assert!(
            head.contains("sec-websocket-protocol: mqtt\r\n"),
            "[MQTT-6.0.0-4] {head}"
        );
        assert!(
            head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
            "{head}"
        );
    }
    let (_, head) = Socket::upgrade(&broker, Kind::Http, "/other", offer).await;
    assert!(head.starts_with("http/1.1 404 "), "{head}");
    let old = "Sec-WebSocket-Protocol: mqttv3.1\r\n";
    let (_, head) = Socket::upgrade(&broker, Kind::Ws, "/", old).await;
    assert!(head.contains("sec-websocket-protocol: mqttv3.1\r\n"), "{head}");
}

#[tokio::test]
async fn an_upgrade_that_does_not_ask_for_mqtt_is_refused() {
    let broker = Broker::start(|_| {}).await;
    for headers in [
        "",
        "Sec-WebSocket-Protocol: chat\r\n",
        "Sec-WebSocket-Protocol: mqttv5\r\n",
    ] {
        let (_, head) = Socket::upgrade(&broker, Kind::Ws, "/", headers).await;
        assert!(head.starts_with("http/1.1 400 "), "{headers}: {head}");
    }
    let mut plain = dial(broker.addr(Kind::Ws)).await;
    in_time(plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
        .await
        .unwrap();
    let mut answer = String::new();
    in_time(plain.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
}

#[tokio::test]
async fn browsers_may_come_from_listed_origins_only() {
    let broker = Broker::start(|config| {
        config.websocket.origins = vec!["https://app.example.com".to_owned()];
    })
    .await;
    let cases = [
        ("https://app.example.com", "101"),
        ("https://evil.example", "403"),
        ("null", "403"),
    ];
    for (origin, status) in cases {
        let headers = format!("Origin: {origin}\r\nSec-WebSocket-Protocol: mqtt\r\n");
        let (_, head) = Socket::upgrade(&broker, Kind::Ws, "/", &headers).await;
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")),
            "{origin}: {head}"
        );
    }
    Socket::client(&broker, "no-browser").await;
}

#[tokio::test]
async fn packets_and_frames_need_not_agree() {
    let broker = Broker::start(|_| {}).await;
    let mut socket = Socket::open(&broker).await;
    // Three packets in one frame, and the next packet over three frames of two messages.
    let start = [
        broker.connect(V, "frames"),
        subscribe(V, "f", Qos::AtMostOnce),
        vec![0xC0, 0],
    ]
    .concat();
    socket.send(BINARY, &start).await;
    let mut answers = Vec::new();
    while answers.len() < 11 {
        let (first, payload) = socket.frame().await;
        assert_eq!(first, BINARY);
        answers.extend(payload);
    }
    assert_eq!(answers, [0x20, 2, 0, 0, 0x90, 3, 0, 1, 0, 0xD0, 0]);
    let message = publish(V, "f", Qos::AtMostOnce, 0, &[b'z'; 300]);
    socket.send(BINARY & 0x7F, &message[..1]).await;
    socket.send(PING, b"between").await;
    socket.send(0x80, &message[1..150]).await;
    assert_eq!(socket.frame().await, (PONG, b"between".to_vec()));
    socket.send(BINARY, &message[150..]).await;
    assert_eq!(socket.frame().await, (BINARY, message));
}

#[tokio::test]
async fn what_waits_leaves_in_one_frame() {
    let broker = Broker::start(|_| {}).await;
    let mut socket = Socket::client(&broker, "packed").await;
    socket.send(BINARY, &subscribe(V, "p", Qos::AtMostOnce)).await;
    assert_eq!(socket.frame().await.1[0], 0x90);
    let message = publish(V, "p", Qos::AtMostOnce, 0, b"small");
    let mut publisher = broker.dial().await;
    publisher.send(&broker.connect(V, "publisher")).await;
    publisher.expect_connack(0).await;
    publisher.send(&message.repeat(500)).await;
    let (mut bytes, mut frames) = (0, 0);
    while bytes < 500 * message.len() {
        let (first, payload) = socket.frame().await;
        assert_eq!(first, BINARY);
        bytes += payload.len();
        frames += 1;
    }
    assert!(frames < 100, "500 messages came in {frames} frames");
}

#[tokio::test]
async fn a_text_frame_ends_the_connection() {
    let broker = Broker::start(|_| {}).await;
    let mut socket = Socket::client(&broker, "text").await;
    socket.send(TEXT, b"hello").await;
    socket.expect_close(1_003).await; // [MQTT-6.0.0-1]
    let mut early = Socket::open(&broker).await;
    early.send(TEXT, b"hello").await;
    early.expect_close(1_003).await;
}

#[tokio::test]
async fn frames_that_break_the_rules_end_the_connection() {
    let broker = Broker::start(|_| {}).await;
    let unmasked = [BINARY, 2, 0xC0, 0];
    let reserved = frame(0xC2, &[0xC0, 0]);
    let mut huge = vec![BINARY, 0xFF];
    huge.extend(100_000_000_u64.to_be_bytes());
    huge.extend([1, 2, 3, 4]);
    for (bytes, code) in [(&unmasked[..], 1_002), (&reserved, 1_002), (&huge, 1_009)] {
        let mut socket = Socket::client(&broker, "rules").await;
        socket.send_raw(bytes).await;
        socket.expect_close(code).await;
    }
    let mut early = Socket::open(&broker).await;
    early.send_raw(&frame(BINARY, &vec![0x10; 70_000])[..14]).await;
    early.expect_close(1_009).await;
}

#[tokio::test]
async fn a_goodbye_of_either_layer_is_answered() {
    let broker = Broker::start(|_| {}).await;
    let mut socket = Socket::client(&broker, "mqtt").await;
    socket.send(BINARY, &[0xE0, 0]).await;
    socket.expect_close(1_000).await;
    let mut socket = Socket::client(&broker, "websocket").await;
    socket.send(CLOSE, &1_000_u16.to_be_bytes()).await;
    socket.expect_close(1_000).await;
}

#[tokio::test]
async fn large_messages_travel_over_websocket() {
    let broker = Broker::start(|_| {}).await;
    let mut socket = Socket::client(&broker, "large").await;
    socket.send(BINARY, &subscribe(V, "l", Qos::AtMostOnce)).await;
    assert_eq!(socket.frame().await.1[0], 0x90);
    for bytes in [100_000, 5, 900_000, 5] {
        let message = publish(V, "l", Qos::AtMostOnce, 0, &vec![b'l'; bytes]);
        socket.send(BINARY, &message).await;
        let mut got = Vec::new();
        while got.len() < message.len() {
            got.extend(socket.frame().await.1);
        }
        assert!(got == message, "{bytes}");
    }
}

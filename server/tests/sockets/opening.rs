//! Until a client is let in: in time, with a CONNECT, within bounds; and what a refusal says.

use cloudsignal_core::{Qos, Version};
use cloudsignal_server::server::Kind;

use crate::broker::{Broker, Client, connect, connect_as, dial, publish};

#[tokio::test]
async fn whoever_does_not_say_connect_in_time_is_closed() {
    let broker = Broker::start(|config| config.connections.connect_secs = 1).await;
    let mut silent = broker.dial().await;
    let mut slow = broker.dial().await;
    slow.send(&connect(Version::V5, "slow")[..9]).await;
    silent.expect_end().await;
    slow.expect_end().await;
    broker.client(Version::V5, "quick").await.send(&[0xC0, 0]).await;
}

#[tokio::test]
async fn an_http_connection_that_asks_nothing_is_closed_before_and_after_a_request() {
    let broker = Broker::start(|config| config.connections.upgrade_secs = 1).await;
    let mut silent = Client::new(dial(broker.addr(Kind::Http)).await);
    let mut slow = Client::new(dial(broker.addr(Kind::Ws)).await);
    slow.send(b"GET / HTTP/1.1\r\nHost: loc").await;
    let mut idle = Client::new(dial(broker.addr(Kind::Http)).await);
    idle.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    silent.rest().await;
    slow.rest().await;
    assert!(idle.rest().await.starts_with(b"HTTP/1.1 200 "));
}

#[tokio::test]
async fn what_is_no_connect_is_closed_without_a_word() {
    let broker = Broker::start(|_| {}).await;
    for first in [
        &[0xC0, 0][..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x00, 0x00],
        &[0xFF; 64],
    ] {
        let mut client = broker.dial().await;
        client.send(first).await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn a_large_connect_is_refused_by_its_header() {
    let broker = Broker::start(|config| config.connections.connect_bytes_max = 2_048).await;
    let mut client = broker.dial().await;
    client.send(&[0x10, 0x81, 0x10, 0, 4]).await; // promises 2 049 bytes after the header
    client.expect_end().await;
    let fits = "x".repeat(1_000);
    broker.client(Version::V5, &fits).await;
}

#[tokio::test]
async fn an_unknown_version_is_told_in_the_language_of_the_last_one() {
    let broker = Broker::start(|_| {}).await;
    let mut client = broker.dial().await;
    client
        .send(&[0x10, 0x0C, 0, 4, b'M', b'Q', b'T', b'T', 9, 2, 0, 0, 0, 0])
        .await;
    client.expect(&[0x20, 2, 0, 1]).await; // [MQTT-3.1.2-2]
    client.expect_end().await;
}

#[tokio::test]
async fn a_malformed_connect_is_told_why_if_its_version_has_words_for_it() {
    let broker = Broker::start(|_| {}).await;
    for (level, answer) in [(5, Some(0x81)), (4, None)] {
        let mut client = broker.dial().await;
        // The reserved connect flag is set [MQTT-3.1.2-3].
        client
            .send(&[0x10, 0x0D, 0, 4, b'M', b'Q', b'T', b'T', level, 3, 0, 0, 0, 0, 0])
            .await;
        if let Some(code) = answer {
            client.expect_connack(code).await;
        }
        client.expect_end().await;
    }
}

#[tokio::test]
async fn after_a_refusal_nothing_is_processed() {
    let broker = Broker::start(|_| {}).await;
    let (username, _) = broker.login();
    let mut witness = broker.dial().await;
    witness.send(&broker.connect(Version::V5, "witness")).await;
    witness.expect_connack(0).await;
    witness.subscribe(Version::V5, "#", Qos::AtMostOnce).await;

    for (version, code) in [(Version::V5, 0x86), (Version::V311, 4), (Version::V31, 4)] {
        let mut refused = broker.dial().await;
        let message = publish(version, "smuggled", Qos::AtMostOnce, 0, b"x");
        refused
            .send(&[connect_as(version, "refused", &username, "wrong"), message].concat())
            .await;
        refused.expect_connack(code).await;
        refused.expect_end().await; // [MQTT-3.1.4-6]
    }
    let mut good = broker.dial().await;
    let message = publish(Version::V5, "honest", Qos::AtMostOnce, 0, b"x");
    good.send(&[broker.connect(Version::V5, "good"), message.clone()].concat())
        .await;
    witness.expect(&message).await;
}

#[tokio::test]
async fn only_the_plain_loopback_listener_takes_clients_without_a_login() {
    let broker = Broker::start(|config| config.dev_anonymous = None).await;
    let mut client = broker.dial().await;
    client.send(&connect(Version::V5, "nobody")).await;
    client.expect_connack(0x86).await;
    client.expect_end().await;
}

#[tokio::test]
async fn what_clients_send_before_they_are_let_in_has_a_common_bound() {
    let broker = Broker::start(|config| config.connections.opening_bytes_max = 100_000).await;
    // Each promises a large CONNECT and sends most of it.
    let start = [
        vec![0x10, 0xE0, 0xD4, 0x03, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0],
        vec![0; 40_000],
    ]
    .concat();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = broker.dial().await;
        client.send(&start).await;
        clients.push(client);
    }
    let mut third = broker.dial().await;
    third.send(&start).await;
    // Whoever goes beyond the bound is closed; which one that is depends on who was read last.
    let (mut first, mut second) = (clients.remove(0), clients.remove(0));
    tokio::select! {
        () = first.expect_end() => {}
        () = second.expect_end() => {}
        () = third.expect_end() => {}
    }
    broker.client(Version::V5, "small").await;
}

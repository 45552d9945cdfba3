//! PROXY headers: who says so is believed only if it is trusted, and then the client's own address counts.

use cloudsignal_core::Version;
use cloudsignal_server::config::Config;
use cloudsignal_server::server::Kind;

use crate::broker::{Broker, Client, connect, dial};

const HEADER_V2: [u8; 28] = [
    0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A, // signature
    0x21, 0x11, 0x00, 0x0C, // version 2, PROXY, TCP over IPv4, 12 bytes
    192, 0, 2, 7, 198, 51, 100, 1, 0xC0, 0x00, 0x07, 0x5B, // from 192.0.2.7:49152 to 198.51.100.1:1883
];

fn proxied(config: &mut Config) {
    config.proxy.listeners = vec!["mqtt".to_owned()];
    config.proxy.trusted = vec!["127.0.0.0/8".parse().unwrap()];
}

#[tokio::test]
async fn a_header_of_either_version_comes_before_mqtt() {
    let broker = Broker::start(proxied).await;
    for header in [
        &b"PROXY TCP4 192.0.2.7 198.51.100.1 49152 1883\r\n"[..],
        &HEADER_V2,
        b"PROXY UNKNOWN\r\n",
    ] {
        let mut client = broker.dial().await;
        client
            .send(&[header, &connect(Version::V5, "proxied")].concat())
            .await;
        client.expect_connack(0).await;
    }
}

#[tokio::test]
async fn without_a_header_or_from_a_stranger_nothing_is_spoken() {
    let broker = Broker::start(proxied).await;
    let mut client = broker.dial().await;
    client.send(&connect(Version::V5, "direct")).await;
    client.expect_end().await;

    let distrustful = Broker::start(|config| {
        proxied(config);
        config.proxy.trusted = vec!["192.0.2.0/24".parse().unwrap()];
    })
    .await;
    let mut client = distrustful.dial().await;
    client
        .send(&[&HEADER_V2[..], &connect(Version::V5, "stranger")].concat())
        .await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_proxy_that_keeps_its_header_to_itself_is_given_up() {
    let broker = Broker::start(|config| {
        proxied(config);
        config.connections.handshake_secs = 1;
    })
    .await;
    let mut client = broker.dial().await;
    client.send(&HEADER_V2[..20]).await;
    client.expect_end().await;
}

#[tokio::test]
async fn the_limit_per_source_counts_the_client_behind_the_proxy() {
    let broker = Broker::start(|config| {
        proxied(config);
        config.proxy.listeners.push("http".to_owned());
        config.connections.per_source_max = 1;
    })
    .await;
    let from = |host: u8| {
        [
            format!("PROXY TCP4 192.0.2.{host} 198.51.100.1 49152 1883\r\n").as_bytes(),
            &connect(Version::V5, ""),
        ]
        .concat()
    };
    let mut first = broker.dial().await;
    first.send(&from(1)).await;
    first.expect_connack(0).await;
    let mut other = broker.dial().await;
    other.send(&from(2)).await;
    other.expect_connack(0).await;
    let mut again = broker.dial().await;
    again.send(&from(1)).await;
    again.expect_end().await;
    let mut web = Client::new(dial(broker.addr(Kind::Http)).await);
    web.send(b"PROXY TCP4 192.0.2.1 198.51.100.1 49152 80\r\nGET /healthz HTTP/1.1\r\n\r\n")
        .await;
    web.expect_end().await;
}

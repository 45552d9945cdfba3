//! Limits on connections, and clients that do not read what they asked for.

use cloudsignal_core::{Qos, Version};
use cloudsignal_server::server::Kind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::broker::{Broker, Client, connect, dial, in_time, publish};

const V: Version = Version::V311;

#[tokio::test]
async fn one_connection_too_many_is_closed_until_another_ends() {
    let broker = Broker::start(|config| config.connections.total_max = 2).await;
    let first = broker.client(V, "first").await;
    let _second = broker.client(V, "second").await;
    let mut third = broker.dial().await;
    third.expect_end().await;
    drop(first);
    let freed = async {
        loop {
            let mut client = broker.dial().await;
            // The place may not be free yet; then the connection is closed, perhaps while we write.
            let _ = client.stream.write_all(&connect(V, "later")).await;
            if matches!(client.stream.read(&mut [0; 4]).await, Ok(4)) {
                return;
            }
        }
    };
    in_time(freed).await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_closed_and_the_others_are_served() {
    let broker = Broker::start(|config| {
        config.connections.stalled_secs = 1;
        config.limits.output_bytes_max = 64 * 1_024;
    })
    .await;
    let mut deaf = broker.client(V, "deaf").await;
    deaf.subscribe(V, "flood", Qos::AtMostOnce).await;
    let mut good = broker.client(V, "good").await;
    good.subscribe(V, "flood", Qos::AtMostOnce).await;
    let mut witness = broker.client(V, "witness").await;
    witness.subscribe(V, "$SYS/none", Qos::AtMostOnce).await;
    let mut publisher = broker.client(V, "publisher").await;
    let message = publish(V, "flood", Qos::AtMostOnce, 0, &[b'f'; 4_000]);
    // The deaf client's socket takes a few megabytes before the broker notices.
    let closed = async {
        loop {
            publisher.send(&message).await;
            good.expect(&message).await;
            if broker
                .metric("cloudsignal_connections_stalled_total{transport=\"tcp\"}")
                .await
                == 1.0
            {
                return;
            }
        }
    };
    in_time(closed).await;
    // What it had not taken is gone with it, and so is the connection.
    deaf.rest().await;
    witness.send(&[0xC0, 0]).await;
    witness.expect(&[0xD0, 0]).await;
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answers_is_not_read_any_more() {
    let broker = Broker::start(|config| config.limits.output_bytes_max = 4_096).await;
    let mut flooder = broker.client(V, "flooder").await;
    let pings = [0xC0, 0].repeat(32 * 1_024);
    let mut sent_bytes = 0_usize;
    // The broker stops reading, the sockets fill, and a write does not come through any more.
    let stopped = async {
        loop {
            let write = tokio::time::timeout(
                std::time::Duration::from_secs(1),
                flooder.stream.write_all(&pings),
            );
            if write.await.is_err() {
                return;
            }
            sent_bytes += pings.len();
        }
    };
    in_time(stopped).await;
    // Others do not notice.
    let mut other = broker.client(V, "other").await;
    other.send(&[0xC0, 0]).await;
    other.expect(&[0xD0, 0]).await;
    assert!(sent_bytes > 0);
}

#[tokio::test]
async fn garbage_on_every_listener_costs_nobody_else_anything() {
    let broker = Broker::start(|_| {}).await;
    let mut witness = broker.client(V, "witness").await;
    let kinds = [
        Kind::Mqtt,
        Kind::Mqtts,
        Kind::Ws,
        Kind::Wss,
        Kind::Http,
        Kind::Https,
        Kind::Metrics,
    ];
    for round in 0_u32..40 {
        for kind in kinds {
            let garbage: Vec<u8> = (0..300_u32)
                .map(|at| (at.wrapping_mul(2_654_435_761) >> (round % 24)) as u8)
                .collect();
            let mut client = Client::new(dial(broker.addr(kind)).await);
            let _ = client.stream.write_all(&garbage).await;
        }
    }
    witness.send(&[0xC0, 0]).await;
    witness.expect(&[0xD0, 0]).await;
}

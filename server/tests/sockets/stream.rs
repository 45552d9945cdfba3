//! Any cut of the byte stream, many packets at once, large packets.

use cloudsignal_core::{Qos, Version};
use tokio::io::AsyncWriteExt as _;

use crate::broker::{Broker, connect, in_time, publish, subscribe};

const V: Version = Version::V311;

#[tokio::test]
async fn a_stream_may_be_cut_anywhere() {
    let broker = Broker::start(|_| {}).await;
    let topic = "cut/anywhere";
    let message = publish(V, topic, Qos::AtLeastOnce, 7, &[b'x'; 200]);
    let stream = [
        connect(V, "cut"),
        subscribe(V, topic, Qos::AtMostOnce),
        message,
        vec![0xC0, 0],
        vec![0xE0, 0],
    ]
    .concat();
    let delivered = publish(V, topic, Qos::AtMostOnce, 0, &[b'x'; 200]);
    let cuts = (1..60).chain([100, 200, stream.len() - 3, stream.len() - 1]);
    for cut in cuts {
        let mut client = broker.dial().await;
        let (first, second) = stream.split_at(cut);
        client.send(first).await;
        // Gives the broker a chance to see the first part alone; the answer is the same if it does not.
        tokio::task::yield_now().await;
        client.send(second).await;
        let rest = client.rest().await;
        let wanted = [0x20, 2, 0, 0, 0x90, 3, 0, 1, 0];
        let puback = [0x40, 2, 0, 7];
        let (either, or) = (
            [&puback[..], &delivered].concat(),
            [&delivered[..], &puback].concat(),
        );
        let answered = rest.strip_prefix(&wanted).unwrap_or_default();
        let answered = answered.strip_suffix(&[0xD0, 0]).unwrap_or_default();
        assert!(answered == either || answered == or, "cut at {cut}: {rest:02x?}");
    }
}

#[tokio::test]
async fn a_stream_may_come_byte_by_byte() {
    let broker = Broker::start(|_| {}).await;
    let mut client = broker.dial().await;
    for byte in [connect(V, "bytes"), vec![0xC0, 0, 0xC0, 0]].concat() {
        client.send(&[byte]).await;
    }
    client.expect(&[0x20, 2, 0, 0, 0xD0, 0, 0xD0, 0]).await;
}

#[tokio::test]
async fn many_packets_in_one_segment_are_all_answered_in_order() {
    let broker = Broker::start(|_| {}).await;
    let mut subscriber = broker.client(V, "subscriber").await;
    subscriber.subscribe(V, "many/#", Qos::AtMostOnce).await;
    let mut publisher = broker.dial().await;
    let mut stream = connect(V, "publisher");
    let ids: Vec<u16> = (1..=2_000).collect();
    for id in &ids {
        stream.extend(publish(
            V,
            "many/packets",
            Qos::AtLeastOnce,
            *id,
            &id.to_be_bytes(),
        ));
    }
    publisher.send(&stream).await;
    publisher.expect(&[0x20, 2, 0, 0]).await;
    for id in ids {
        let [high, low] = id.to_be_bytes();
        publisher.expect(&[0x40, 2, high, low]).await;
        subscriber
            .expect(&publish(V, "many/packets", Qos::AtMostOnce, 0, &[high, low]))
            .await;
    }
}

#[tokio::test]
async fn large_packets_travel_whole_between_small_ones() {
    let broker = Broker::start(|_| {}).await;
    let mut subscribers = Vec::new();
    for name in ["one", "two", "three"] {
        let mut subscriber = broker.client(V, name).await;
        subscriber.subscribe(V, "size", Qos::AtMostOnce).await;
        subscribers.push(subscriber);
    }
    let mut publisher = broker.client(V, "publisher").await;
    let sizes = [0, 10, 8_191, 8_192, 100_000, 3, 900_000, 64 * 1_024, 1];
    let payload = |bytes: usize| -> Vec<u8> { (0..bytes).map(|at| (at * 31 + bytes) as u8).collect() };
    let messages: Vec<_> = sizes
        .iter()
        .map(|bytes| publish(V, "size", Qos::AtMostOnce, 0, &payload(*bytes)))
        .collect();
    let stream = messages.concat();
    let sent = tokio::spawn(async move { in_time(publisher.stream.write_all(&stream)).await });
    for message in &messages {
        for subscriber in &mut subscribers {
            let got = subscriber.packet().await;
            assert!(
                got == *message,
                "{} bytes came instead of {}",
                got.len(),
                message.len()
            );
        }
    }
    sent.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_burst_to_many_subscribers_reaches_each_whole_and_in_order() {
    let broker = Broker::start(|_| {}).await;
    let mut subscribers = Vec::new();
    for number in 0..60 {
        let mut subscriber = broker.client(V, &format!("subscriber-{number}")).await;
        subscriber.subscribe(V, "burst", Qos::AtMostOnce).await;
        subscribers.push(subscriber);
    }
    // More deliveries than the organization's lock is held for at a time.
    let stream: Vec<u8> = (0..300_u16)
        .flat_map(|number| publish(V, "burst", Qos::AtMostOnce, 0, &number.to_be_bytes()))
        .collect();
    let mut publishers = [broker.client(V, "one").await, broker.client(V, "two").await];
    publishers[0].send(&stream).await;
    for subscriber in &mut subscribers {
        subscriber.expect(&stream).await;
    }
    publishers[1].send(&stream).await;
    for subscriber in &mut subscribers {
        subscriber.expect(&stream).await;
    }
}

#[tokio::test]
async fn shared_payloads_keep_their_place_between_copied_ones() {
    let broker = Broker::start(|config| {
        config.limits.shared_payload_bytes_min = 256;
        config.limits.output_bytes_max = 4 * 1_048_576;
    })
    .await;
    let mut subscriber = broker.client(V, "subscriber").await;
    subscriber.subscribe(V, "mix", Qos::AtMostOnce).await;
    let mut publisher = broker.client(V, "publisher").await;
    // More pieces than one system call takes, and more bytes than the socket takes at once.
    let messages: Vec<_> = (0..6_000_usize)
        .map(|number| {
            publish(
                V,
                "mix",
                Qos::AtMostOnce,
                0,
                &[number as u8; 600][..number % 3 * 300],
            )
        })
        .collect();
    let stream = messages.concat();
    let sent = tokio::spawn(async move { in_time(publisher.stream.write_all(&stream)).await });
    sent.await.unwrap().unwrap();
    for message in &messages {
        assert!(subscriber.packet().await == *message);
    }
}

#[tokio::test]
async fn bytes_that_are_no_mqtt_end_the_connection_after_the_packets_before_them() {
    let broker = Broker::start(|_| {}).await;
    let mut client = broker.client(Version::V5, "broken").await;
    client.send(&[0xC0, 0, 0xF0, 0, 0xC0, 0]).await;
    client.expect(&[0xD0, 0]).await;
    let disconnect = client.packet().await;
    assert_eq!(disconnect[0], 0xE0, "{disconnect:02x?}");
    assert!([0x81, 0x82].contains(&disconnect[2]), "{disconnect:02x?}");
    client.expect_end().await;

    let mut client = broker.client(V, "broken").await;
    client.send(&[0xC0, 0, 0x00, 0]).await;
    client.expect(&[0xD0, 0]).await;
    client.expect_end().await;
}

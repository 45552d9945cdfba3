//! A message over which one connection after the other ends: the application hears which, and may give it up.

use std::io;
use std::time::Duration;

use cloudsignal::{Client, Event, Outcome, PublishId, Reconnect, Warning};
use cloudsignal_core::codec::{
    Ack, AckKind, ConnAck, Decoded, Decoder, PACKET_BYTES_MAX, Packet, ReasonCode,
};
use cloudsignal_core::{Qos, Version};
use cloudsignal_tests::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const POISON: &[u8] = b"poison";

/// A server, or a way to it, that ends the connection over one message and takes every other.
async fn serve(listener: TcpListener) -> io::Result<()> {
    let mut has_session = false;
    loop {
        let (stream, _) = listener.accept().await?;
        converse(stream, has_session).await?;
        has_session = true;
    }
}

async fn converse(mut stream: TcpStream, has_session: bool) -> io::Result<()> {
    let (mut inbox, mut outbox) = (Vec::new(), Vec::new());
    let mut decoder = Decoder::new(PACKET_BYTES_MAX);
    while stream.read_buf(&mut inbox).await? > 0 {
        let mut at = 0;
        while let Ok(Decoded::Packet { packet, bytes }) = decoder.decode(&inbox[at..]) {
            at += bytes;
            if let Packet::Connect(_) = packet {
                let mut connack = ConnAck::new(ReasonCode::Success);
                connack.session_present = has_session;
                connack.encode(Version::V5, &mut outbox).expect("it can be said");
            } else if let Packet::Publish(publish) = packet {
                if publish.payload == POISON {
                    return Ok(());
                }
                let ack = Ack::new(publish.packet_id.expect("QoS 1"), ReasonCode::Success);
                let said = ack.encode(AckKind::PubAck, Version::V5, &mut outbox);
                said.expect("it can be said");
            }
        }
        inbox.drain(..at);
        stream.write_all(&outbox).await?;
        outbox.clear();
    }
    Ok(())
}

async fn named(client: &Client) -> PublishId {
    let mut events = client.events();
    loop {
        let event = timeout(wait::DEADLINE, events.recv()).await.expect("it is named");
        if let Event::Warning(Warning::Stuck { id, .. }) = event.expect("the client lives") {
            return id;
        }
    }
}

#[tokio::test]
async fn it_is_named_and_given_up_and_the_next_one_goes_through() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(serve(listener));
    let client = Client::builder(url)
        .reconnect(Reconnect {
            most: Duration::from_millis(1),
            ..Reconnect::default()
        })
        .connect()
        .await
        .unwrap();
    let naming = named(&client);
    let poison = client.publish("t", POISON).qos(Qos::AtLeastOnce).send();
    let (id, poison) = tokio::join!(naming, poison);
    let other = client.publish("t", "other").send().await.unwrap();
    // It may be on its way once more just now.
    while !client.give_up_message(id).await {
        tokio::task::yield_now().await;
    }
    assert_eq!(poison.unwrap().await.unwrap(), Outcome::Indeterminate);
    let other = timeout(wait::DEADLINE, other)
        .await
        .expect("nothing is before it");
    assert_eq!(other.unwrap(), Outcome::Acknowledged(ReasonCode::Success));
    assert!(!client.give_up_message(id).await);
    client.close().await;
    serving.abort();
}

//! Clients of the organization that needs no login.

use cloudsignal_core::codec::{Connect, Packet, PacketId, Publish, ReasonCode};
use cloudsignal_core::{Qos, TopicName, Version};
use cloudsignal_tests::broker::{Broker, Listener};
use cloudsignal_tests::client::{Client, Got};
use tokio::net::TcpStream;

/// Connects with a session that outlives the connection.
pub(crate) async fn connect(broker: &Broker, client_id: &str, login: Option<(&str, &str)>) -> Client {
    let stream = TcpStream::connect(broker.addr(Listener::Mqtt)).await;
    let stream = stream.expect("the broker listens");
    let mut client = Client::new(Box::new(stream), Version::V5);
    let mut connect = Connect::new(Version::V5, client_id);
    (connect.clean_start, connect.session_expiry_secs) = (false, Some(u32::MAX));
    if let Some((username, password)) = login {
        (connect.username, connect.password) = (Some(username), Some(password.as_bytes()));
    }
    client.send(&Packet::Connect(Box::new(connect))).await;
    assert_eq!(client.next().await, Got::ConnAck(ReasonCode::Success));
    client
}

/// Publishes at QoS 1, and awaits that it is acknowledged.
pub(crate) async fn publish(client: &mut Client, topic: &str, payload: &[u8], is_retained: bool) {
    let mut publish = Publish::new(TopicName::parse(topic).expect("a topic"), payload);
    (publish.qos, publish.packet_id) = (Qos::AtLeastOnce, Some(PacketId::MIN));
    publish.retain = is_retained;
    client.send(&Packet::Publish(publish)).await;
    let got = client.next().await;
    assert!(matches!(got, Got::PubAck(..)), "{got:?}");
}

/// What waits for a session, until a message that is published now: payloads, in order.
pub(crate) async fn waiting(broker: &Broker, client_id: &str, marker: &str) -> Vec<Vec<u8>> {
    let mut publisher = connect(broker, "marker", None).await;
    publish(&mut publisher, marker, b"marker", false).await;
    let mut client = connect(broker, client_id, None).await;
    let mut payloads = Vec::new();
    loop {
        let got = client.next().await;
        let Got::Message {
            payload, packet_id, ..
        } = got
        else {
            panic!("messages come: {got:?}")
        };
        if payload == b"marker" {
            return payloads;
        }
        client.acknowledge(packet_id.expect("it came at QoS 1")).await;
        payloads.push(payload);
    }
}

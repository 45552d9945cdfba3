//! The real program is killed and starts again: what it has acknowledged is there.

use std::collections::BTreeSet;

use cloudsignal_core::codec::{
    Ack, Connect, Decoded, Decoder, PACKET_BYTES_MAX, Packet, PacketId, Publish, ReasonCode, Subscribe,
    SubscribeFilter,
};
use cloudsignal_core::{Qos, TopicFilter, TopicName, Version};
use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::wait::DEADLINE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A client that says what came. The packets of the protocol borrow from it no longer than one call.
struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// What came, as far as these tests look.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Got {
    ConnAck {
        session_present: bool,
    },
    SubAck,
    PubAck(u16),
    PubRec(u16),
    PubRel(u16),
    PubComp(u16),
    Message {
        payload: String,
        qos: u8,
        id: u16,
        is_retained: bool,
    },
}

impl Client {
    async fn connect(broker: &Broker, client_id: &str, expiry_secs: u32) -> (Self, bool) {
        let stream = TcpStream::connect(broker.addr(Listener::Mqtt))
            .await
            .expect("the broker listens");
        let mut client = Self {
            stream,
            unread: Vec::new(),
        };
        let mut connect = Connect::new(Version::V5, client_id);
        connect.clean_start = false;
        connect.session_expiry_secs = Some(expiry_secs);
        client.send(&Packet::Connect(Box::new(connect))).await;
        let Got::ConnAck { session_present } = client.next().await else {
            panic!("CONNACK comes first")
        };
        (client, session_present)
    }

    async fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet
            .encode(Version::V5, &mut bytes)
            .expect("a packet of a test can be sent");
        self.stream.write_all(&bytes).await.expect("the broker reads");
    }

    async fn next(&mut self) -> Got {
        let next = tokio::time::timeout(DEADLINE, async {
            loop {
                let mut decoder = Decoder::with_version(Version::V5, PACKET_BYTES_MAX);
                if let Decoded::Packet { packet, bytes } =
                    decoder.decode(&self.unread).expect("the broker sends MQTT")
                {
                    let got = Got::of(&packet);
                    self.unread.drain(..bytes);
                    return got;
                }
                let read = self
                    .stream
                    .read_buf(&mut self.unread)
                    .await
                    .expect("the broker is there");
                assert!(read > 0, "the broker closed the connection");
            }
        });
        next.await.expect("something comes in time")
    }

    async fn subscribe(&mut self, filter: &str) {
        let filter = SubscribeFilter::new(TopicFilter::parse(filter).expect("a filter"), Qos::ExactlyOnce);
        let subscribe = Subscribe::new(PacketId::MIN, vec![filter]);
        self.send(&Packet::Subscribe(subscribe)).await;
        assert_eq!(self.next().await, Got::SubAck);
    }

    async fn publish(&mut self, topic: &str, payload: &str, qos: Qos, id: u16, is_retained: bool) {
        let mut publish = Publish::new(TopicName::parse(topic).expect("a topic"), payload.as_bytes());
        (publish.qos, publish.packet_id, publish.retain) = (qos, PacketId::new(id), is_retained);
        self.send(&Packet::Publish(publish)).await;
    }

    async fn release(&mut self, id: u16) {
        self.send(&Packet::PubRel(ack(id))).await;
    }
}

fn ack(id: u16) -> Ack<'static> {
    Ack::new(PacketId::new(id).expect("an id"), ReasonCode::Success)
}

impl Got {
    fn of(packet: &Packet<'_>) -> Self {
        match packet {
            Packet::ConnAck(connack) => {
                assert_eq!(connack.reason, ReasonCode::Success);
                let session_present = connack.session_present;
                Self::ConnAck { session_present }
            }
            Packet::SubAck(_) => Self::SubAck,
            Packet::PubAck(ack) => Self::PubAck(ack.packet_id.get()),
            Packet::PubRec(ack) => Self::PubRec(ack.packet_id.get()),
            Packet::PubRel(ack) => Self::PubRel(ack.packet_id.get()),
            Packet::PubComp(ack) => Self::PubComp(ack.packet_id.get()),
            Packet::Publish(publish) => Self::Message {
                payload: String::from_utf8(publish.payload.to_vec()).expect("text"),
                qos: publish.qos.bits(),
                id: publish.packet_id.map_or(0, PacketId::get),
                is_retained: publish.retain,
            },
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingReq
            | Packet::PingResp
            | Packet::Disconnect(_)
            | Packet::Auth(_) => panic!("nothing was done that is answered so: {packet:?}"),
        }
    }
}

fn restart(mut broker: Broker) -> Broker {
    broker.kill();
    broker.start_again()
}

/// Publishes what is retained, at QoS 1, at QoS 2 with PUBREL, and at QoS 2 without; everything is acknowledged.
async fn fill(broker: &Broker) {
    let (mut publisher, _) = Client::connect(broker, "publisher", u32::MAX).await;
    publisher
        .publish("kept", "retained", Qos::AtLeastOnce, 1, true)
        .await;
    assert_eq!(publisher.next().await, Got::PubAck(1));
    publisher.publish("q/1", "one", Qos::AtLeastOnce, 2, false).await;
    assert_eq!(publisher.next().await, Got::PubAck(2));
    publisher.publish("q/2", "two", Qos::ExactlyOnce, 3, false).await;
    assert_eq!(publisher.next().await, Got::PubRec(3));
    publisher.release(3).await;
    assert_eq!(publisher.next().await, Got::PubComp(3));
    publisher
        .publish("q/2", "three", Qos::ExactlyOnce, 4, false)
        .await;
    assert_eq!(publisher.next().await, Got::PubRec(4));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let broker = BrokerOptions::default().with_anonymous_clients().start();
    let (mut away, session_present) = Client::connect(&broker, "away", u32::MAX).await;
    assert!(!session_present);
    away.subscribe("q/#").await;
    drop(away);
    fill(&broker).await;
    let broker = restart(broker);

    // The publisher ends its exchange; the message is not routed once more.
    let (mut publisher, session_present) = Client::connect(&broker, "publisher", u32::MAX).await;
    assert!(session_present);
    publisher
        .publish("q/2", "three", Qos::ExactlyOnce, 4, false)
        .await;
    assert_eq!(publisher.next().await, Got::PubRec(4));
    publisher.release(4).await;
    assert_eq!(publisher.next().await, Got::PubComp(4));

    let (mut away, session_present) = Client::connect(&broker, "away", u32::MAX).await;
    assert!(session_present);
    let mut ids = BTreeSet::new();
    for (expected, expected_qos) in [("one", 1), ("two", 2), ("three", 2)] {
        let Got::Message { payload, qos, id, .. } = away.next().await else {
            panic!("messages come")
        };
        assert_eq!((payload.as_str(), qos), (expected, expected_qos), "in order");
        assert!(ids.insert(id));
    }
    // One is received and not released when the broker dies again.
    let ids: Vec<_> = ids.into_iter().collect();
    away.send(&Packet::PubRec(ack(ids[1]))).await;
    assert_eq!(away.next().await, Got::PubRel(ids[1]));
    let broker = restart(broker);

    let (mut away, _) = Client::connect(&broker, "away", u32::MAX).await;
    let mut again = BTreeSet::new();
    for _ in 0..3 {
        let mut got = away.next().await;
        // At QoS 1 the id may be another one.
        if let Got::Message { qos: 1, id, .. } = &mut got {
            *id = ids[0];
        }
        again.insert(got);
    }
    let message = |payload: &str, qos, id| Got::Message {
        payload: payload.to_owned(),
        qos,
        id,
        is_retained: false,
    };
    let expected = [
        message("one", 1, ids[0]),
        Got::PubRel(ids[1]),
        message("three", 2, ids[2]),
    ];
    assert_eq!(
        again,
        expected.into(),
        "the same ids, and nothing received comes twice"
    );

    let (mut curious, _) = Client::connect(&broker, "curious", 0).await;
    curious.subscribe("kept").await;
    let Got::Message {
        payload, is_retained, ..
    } = curious.next().await
    else {
        panic!("the retained message comes")
    };
    assert_eq!((payload.as_str(), is_retained), ("retained", true));
}

#[tokio::test]
async fn what_ended_or_was_settled_before_a_kill_is_gone() {
    let broker = BrokerOptions::default().with_anonymous_clients().start();
    let (mut away, _) = Client::connect(&broker, "away", u32::MAX).await;
    away.subscribe("q/#").await;
    let (mut publisher, _) = Client::connect(&broker, "publisher", u32::MAX).await;
    publisher.publish("q/1", "one", Qos::AtLeastOnce, 1, false).await;
    assert_eq!(publisher.next().await, Got::PubAck(1));
    let Got::Message { id, .. } = away.next().await else {
        panic!("the message comes")
    };
    away.send(&Packet::PubAck(ack(id))).await;
    // The next connection without a session ends the one that was there, and its answer is stored.
    let mut connect = Connect::new(Version::V5, "away");
    (connect.clean_start, connect.session_expiry_secs) = (true, Some(u32::MAX));
    let stream = TcpStream::connect(broker.addr(Listener::Mqtt))
        .await
        .expect("the broker listens");
    let unread = Vec::new();
    let mut fresh = Client { stream, unread };
    fresh.send(&Packet::Connect(Box::new(connect))).await;
    let session_present = false;
    assert_eq!(fresh.next().await, Got::ConnAck { session_present });
    let broker = restart(broker);

    let (mut publisher, _) = Client::connect(&broker, "publisher", u32::MAX).await;
    publisher.publish("q/1", "two", Qos::AtLeastOnce, 1, false).await;
    assert_eq!(publisher.next().await, Got::PubAck(1));
    let (mut away, session_present) = Client::connect(&broker, "away", u32::MAX).await;
    assert!(session_present, "the new session is there");
    away.subscribe("marker").await;
    publisher
        .publish("marker", "marker", Qos::AtLeastOnce, 2, false)
        .await;
    let Got::Message { payload, .. } = away.next().await else {
        panic!("the marker comes")
    };
    assert_eq!(
        payload, "marker",
        "neither its old subscription nor its old messages"
    );
}

#[tokio::test]
async fn the_longest_topics_and_filters_are_there_after_a_kill() {
    let broker = BrokerOptions::default().with_anonymous_clients().start();
    let long = "x".repeat(usize::from(u16::MAX));
    let (mut away, _) = Client::connect(&broker, "away", u32::MAX).await;
    away.subscribe(&long).await;
    drop(away);
    let (mut publisher, _) = Client::connect(&broker, "publisher", 0).await;
    publisher.publish(&long, "kept", Qos::AtLeastOnce, 1, true).await;
    assert_eq!(publisher.next().await, Got::PubAck(1));
    let broker = restart(broker);

    let (mut away, _) = Client::connect(&broker, "away", u32::MAX).await;
    assert!(matches!(
        away.next().await,
        Got::Message {
            is_retained: false,
            ..
        }
    ));
    let (mut curious, _) = Client::connect(&broker, "curious", 0).await;
    curious.subscribe(&long).await;
    assert!(matches!(
        curious.next().await,
        Got::Message {
            is_retained: true,
            ..
        }
    ));
}

#[tokio::test]
async fn at_memory_nothing_is_kept_over_a_restart() {
    let options = BrokerOptions::default().with_anonymous_clients();
    let broker = options.with_text("DURABILITY_LEVEL", "memory").start();
    let (mut away, _) = Client::connect(&broker, "away", u32::MAX).await;
    away.subscribe("q/#").await;
    drop(away);
    fill(&broker).await;
    let broker = restart(broker);
    let (_, session_present) = Client::connect(&broker, "away", u32::MAX).await;
    assert!(!session_present);
}

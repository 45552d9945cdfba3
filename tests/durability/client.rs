//! A client with a persistent session that says what came.

use std::net::SocketAddr;

use cloudsignal_core::codec::{
    Ack, Connect, Decoded, Decoder, PACKET_BYTES_MAX, Packet, PacketId, Publish, ReasonCode, Subscribe,
    SubscribeFilter,
};
use cloudsignal_core::{Qos, TopicFilter, TopicName, Version};
use cloudsignal_tests::wait::DEADLINE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A client that says what came. The packets of the protocol borrow from it no longer than one call.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// What came, as far as these tests look.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Got {
    ConnAck {
        session_present: bool,
    },
    /// CONNACK with an error.
    NotWelcome(ReasonCode),
    SubAck,
    /// PUBACK, PUBREC or SUBACK with an error.
    Refused(u16),
    Pong,
    PubAck(u16),
    PubRec(u16),
    PubRel(u16),
    PubComp(u16),
    Message {
        topic: String,
        payload: String,
        qos: u8,
        id: u16,
        is_retained: bool,
    },
}

impl Client {
    /// Connects to the session it may have. Answers whether it was there.
    pub(crate) async fn connect(addr: SocketAddr, client_id: &str, expiry_secs: u32) -> (Self, bool) {
        let connected = Self::try_connect(addr, client_id, expiry_secs).await;
        connected.unwrap_or_else(|reason| panic!("{client_id} is refused: {reason}"))
    }

    /// The same; an error when the broker refuses.
    pub(crate) async fn try_connect(
        addr: SocketAddr,
        client_id: &str,
        expiry_secs: u32,
    ) -> Result<(Self, bool), ReasonCode> {
        let mut client = Self::open(addr).await;
        let mut connect = Connect::new(Version::V5, client_id);
        connect.clean_start = false;
        connect.session_expiry_secs = Some(expiry_secs);
        client.send(&Packet::Connect(Box::new(connect))).await;
        match client.next().await {
            Got::ConnAck { session_present } => Ok((client, session_present)),
            Got::NotWelcome(reason) => Err(reason),
            other => panic!("CONNACK comes first, not {other:?}"),
        }
    }

    /// A connection that has said nothing yet.
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the broker listens");
        let unread = Vec::new();
        Self { stream, unread }
    }

    pub(crate) async fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet
            .encode(Version::V5, &mut bytes)
            .expect("a packet of a test can be sent");
        self.stream.write_all(&bytes).await.expect("the broker reads");
    }

    pub(crate) async fn next(&mut self) -> Got {
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

    pub(crate) async fn subscribe(&mut self, filter: &str) {
        self.ask_for(filter).await;
        assert_eq!(self.next().await, Got::SubAck);
    }

    /// SUBACK, or that it was refused.
    pub(crate) async fn try_subscribe(&mut self, filter: &str) -> Got {
        self.ask_for(filter).await;
        self.next().await
    }

    async fn ask_for(&mut self, filter: &str) {
        let filter = SubscribeFilter::new(TopicFilter::parse(filter).expect("a filter"), Qos::ExactlyOnce);
        let subscribe = Subscribe::new(PacketId::MIN, vec![filter]);
        self.send(&Packet::Subscribe(subscribe)).await;
    }

    /// Subscribes while messages may come. Answers what came before SUBACK.
    pub(crate) async fn subscribe_among(&mut self, filter: &str) -> Vec<Got> {
        self.ask_for(filter).await;
        let mut early = Vec::new();
        loop {
            match self.next().await {
                Got::SubAck => return early,
                got => early.push(got),
            }
        }
    }

    pub(crate) async fn publish(&mut self, topic: &str, payload: &str, qos: Qos, id: u16, is_retained: bool) {
        let mut publish = Publish::new(TopicName::parse(topic).expect("a topic"), payload.as_bytes());
        (publish.qos, publish.packet_id, publish.retain) = (qos, PacketId::new(id), is_retained);
        self.send(&Packet::Publish(publish)).await;
    }

    /// Connects and subscribes in one go. The connection is then reset, so that no port waits for its end.
    pub(crate) async fn leave_session(addr: SocketAddr, client_id: &str, filters: &[String]) {
        let mut client = Self::open(addr).await;
        let mut connect = Connect::new(Version::V5, client_id);
        (connect.clean_start, connect.session_expiry_secs) = (false, Some(u32::MAX));
        client.send(&Packet::Connect(Box::new(connect))).await;
        let filters = filters.iter().map(|filter| {
            let filter = TopicFilter::parse(filter).expect("a filter");
            SubscribeFilter::new(filter, Qos::AtLeastOnce)
        });
        let subscribe = Subscribe::new(PacketId::MIN, filters.collect());
        client.send(&Packet::Subscribe(subscribe)).await;
        assert!(matches!(client.next().await, Got::ConnAck { .. }));
        assert_eq!(client.next().await, Got::SubAck);
        client
            .stream
            .set_zero_linger()
            .expect("a connection can be reset");
    }

    pub(crate) async fn release(&mut self, id: u16) {
        self.send(&Packet::PubRel(ack(id))).await;
    }
}

pub(crate) fn ack(id: u16) -> Ack<'static> {
    Ack::new(PacketId::new(id).expect("an id"), ReasonCode::Success)
}

impl Got {
    fn of(packet: &Packet<'_>) -> Self {
        match packet {
            Packet::ConnAck(connack) => {
                if connack.reason.is_error() {
                    return Self::NotWelcome(connack.reason);
                }
                let session_present = connack.session_present;
                Self::ConnAck { session_present }
            }
            Packet::SubAck(ack) if ack.reasons.iter().any(|reason| reason.is_error()) => {
                Self::Refused(ack.packet_id.get())
            }
            Packet::PubAck(ack) | Packet::PubRec(ack) if ack.reason.is_error() => {
                Self::Refused(ack.packet_id.get())
            }
            Packet::SubAck(_) => Self::SubAck,
            Packet::PingResp => Self::Pong,
            Packet::PubAck(ack) => Self::PubAck(ack.packet_id.get()),
            Packet::PubRec(ack) => Self::PubRec(ack.packet_id.get()),
            Packet::PubRel(ack) => Self::PubRel(ack.packet_id.get()),
            Packet::PubComp(ack) => Self::PubComp(ack.packet_id.get()),
            Packet::Publish(publish) => Self::Message {
                topic: publish
                    .topic
                    .map_or_else(String::new, |topic| topic.as_str().to_owned()),
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
            | Packet::Disconnect(_)
            | Packet::Auth(_) => panic!("nothing was done that is answered so: {packet:?}"),
        }
    }
}

//! An MQTT client over anything that carries bytes. It does what it is told and says what it got; it acknowledges
//! and reconnects only when it is told to.

use std::fmt;

use cloudsignal_core::codec::{
    Ack, Auth, Connect, Decoded, Decoder, PACKET_BYTES_MAX, Packet, PacketId, Publish, ReasonCode, Subscribe,
    SubscribeFilter,
};
use cloudsignal_core::{Qos, TopicFilter, TopicName, Version};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::wait::DEADLINE;

/// What carries the bytes.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One packet from the broker, or the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// CONNACK with its reason.
    ConnAck(ReasonCode),
    /// SUBACK with its first reason.
    SubAck(ReasonCode),
    /// PUBACK.
    PubAck(PacketId, ReasonCode),
    /// PUBLISH.
    Message {
        /// Its topic; empty where an alias stands for it.
        topic: String,
        /// What it says.
        payload: Vec<u8>,
        /// With QoS 1 and 2.
        packet_id: Option<PacketId>,
    },
    /// AUTH with its reason.
    Auth(ReasonCode),
    /// PINGRESP.
    Pong,
    /// DISCONNECT with its reason.
    Disconnect(ReasonCode),
    /// The connection is closed.
    End,
}

/// A client.
pub struct Client {
    stream: Box<dyn Stream>,
    version: Version,
    decoder: Decoder,
    unread: Vec<u8>,
}

/// What a client logs in with.
#[derive(Clone, Copy, Debug)]
pub enum Login<'a> {
    /// User name and password.
    Password(&'a str, &'a str),
    /// A token by the authentication method; MQTT 5 only.
    Method(&'a str),
}

/// The authentication method of the broker.
const METHOD: &str = "cloudsignal-token";

impl Client {
    /// A client that has sent nothing yet.
    #[must_use]
    pub fn new(stream: Box<dyn Stream>, version: Version) -> Self {
        Self {
            stream,
            version,
            decoder: Decoder::with_version(version, PACKET_BYTES_MAX),
            unread: Vec::new(),
        }
    }

    /// Sends a packet. A connection that is closed takes it and forgets it: reading tells.
    pub async fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet
            .encode(self.version, &mut bytes)
            .expect("a packet of a test can be sent");
        let _closed = self.stream.write_all(&bytes).await;
    }

    /// CONNECT with a clean start, and what is said to it.
    pub async fn connect(&mut self, client_id: &str, login: Login<'_>) -> Got {
        let mut connect = Connect::new(self.version, client_id);
        match login {
            Login::Password(username, password) => {
                connect.username = Some(username);
                connect.password = Some(password.as_bytes());
            }
            Login::Method(token) => {
                connect.auth_method = Some(METHOD);
                connect.auth_data = Some(token.as_bytes());
            }
        }
        self.send(&Packet::Connect(Box::new(connect))).await;
        self.next().await
    }

    /// Subscribes to one filter at QoS 1 and awaits SUBACK.
    pub async fn subscribe(&mut self, filter: &str) {
        let filter = TopicFilter::parse(filter).expect("a filter");
        let filters = vec![SubscribeFilter::new(filter, Qos::AtLeastOnce)];
        self.send(&Packet::Subscribe(Subscribe::new(PacketId::MIN, filters)))
            .await;
        assert_eq!(self.next().await, Got::SubAck(ReasonCode::GrantedQos1));
    }

    /// PUBLISH at QoS 1.
    pub async fn publish(&mut self, topic: &str, payload: &[u8], packet_id: PacketId) {
        let topic = TopicName::parse(topic).expect("a topic");
        let mut publish = Publish::new(topic, payload);
        publish.qos = Qos::AtLeastOnce;
        publish.packet_id = Some(packet_id);
        self.send(&Packet::Publish(publish)).await;
    }

    /// PUBACK.
    pub async fn acknowledge(&mut self, packet_id: PacketId) {
        self.send(&Packet::PubAck(Ack::new(packet_id, ReasonCode::Success)))
            .await;
    }

    /// AUTH: goes on with another token.
    pub async fn reauthenticate(&mut self, token: &str) {
        let mut auth = Auth::new(ReasonCode::Reauthenticate, METHOD);
        auth.data = Some(token.as_bytes());
        self.send(&Packet::Auth(auth)).await;
    }

    /// The next thing from the broker.
    ///
    /// # Panics
    /// When nothing comes within [`DEADLINE`], and on bytes that are not MQTT.
    pub async fn next(&mut self) -> Got {
        let next = tokio::time::timeout(DEADLINE, self.next_whenever()).await;
        next.expect("something comes in time")
    }

    /// The next thing from the broker, whenever it comes. Nothing is lost when the wait is given up.
    ///
    /// # Panics
    /// On bytes that are not MQTT.
    pub async fn next_whenever(&mut self) -> Got {
        loop {
            match self.decoder.decode(&self.unread) {
                Ok(Decoded::Packet { packet, bytes }) => {
                    let got = Got::of(&packet);
                    self.unread.drain(..bytes);
                    return got;
                }
                Ok(Decoded::Incomplete { .. }) => {}
                Err(error) => panic!("the broker sent what is not MQTT: {error}"),
            }
            let mut chunk = [0; 16 * 1_024];
            match self.stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return Got::End,
                Ok(bytes) => self.unread.extend_from_slice(&chunk[..bytes]),
            }
        }
    }
}

impl Got {
    fn of(packet: &Packet<'_>) -> Self {
        match packet {
            Packet::ConnAck(connack) => Self::ConnAck(connack.reason),
            Packet::SubAck(suback) => Self::SubAck(suback.reasons.first().copied().unwrap_or_default()),
            Packet::PubAck(ack) => Self::PubAck(ack.packet_id, ack.reason),
            Packet::Publish(publish) => Self::Message {
                topic: publish
                    .topic
                    .map_or_else(String::new, |topic| topic.as_str().to_owned()),
                payload: publish.payload.to_vec(),
                packet_id: publish.packet_id,
            },
            Packet::Auth(auth) => Self::Auth(auth.reason),
            Packet::PingResp => Self::Pong,
            Packet::Disconnect(disconnect) => Self::Disconnect(disconnect.reason),
            Packet::Connect(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingReq => panic!("the client did nothing that is answered so: {packet:?}"),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

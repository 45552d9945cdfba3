//! One connection: bytes in, packets out, and nothing that is done without being told.

use std::io;
use std::net::SocketAddr;

use cloudsignal_core::codec::{
    AckKind, Connect, Decoded, Decoder, PACKET_BYTES_MAX, Packet, PacketId, ReasonCode,
};
use cloudsignal_core::{Qos, Version};
use cloudsignal_tests::wait::DEADLINE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::books::Presence;
use crate::trace::Trace;

/// A packet from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    ConnAck(Welcome),
    Publish {
        qos: Qos,
        occasion: Occasion,
        retain: Retain,
        topic: String,
        payload: Vec<u8>,
        packet_id: Option<PacketId>,
    },
    Ack(AckKind, PacketId, ReasonCode),
    SubAck(PacketId, Option<ReasonCode>),
    UnsubAck(PacketId),
    PingResp,
    Disconnect(ReasonCode),
    /// Something that only clients send, or that nobody asked for.
    Other(String),
}

/// The DUP flag of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    First,
    /// It may have come before.
    Again,
}

/// The RETAIN flag of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retain {
    Stored,
    New,
}

/// What CONNACK says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) reason: ReasonCode,
    pub(crate) present: Presence,
    /// Publishes that the broker takes at once.
    pub(crate) receive_max: usize,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    version: Version,
    decoder: Decoder,
    unread: Vec<u8>,
    out: Vec<u8>,
    trace: Trace,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum NoConnection {
    /// Nobody listens, or the connection ended.
    Network(io::Error),
    /// CONNACK says no.
    Refused(ReasonCode),
    /// Something else came, or nothing in time.
    Protocol(String),
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> Self {
        Self::Network(error)
    }
}

impl Connection {
    /// Connects and awaits CONNACK with success.
    pub(crate) async fn open(
        addr: SocketAddr,
        connect: Connect<'_>,
        trace: Trace,
    ) -> Result<(Self, Welcome), NoConnection> {
        let opening = timeout(DEADLINE, Self::shake_hands(addr, connect, trace)).await;
        opening.unwrap_or_else(|_| Err(NoConnection::Protocol(format!("nothing within {DEADLINE:?}"))))
    }

    async fn shake_hands(
        addr: SocketAddr,
        connect: Connect<'_>,
        trace: Trace,
    ) -> Result<(Self, Welcome), NoConnection> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let version = connect.version;
        let mut connection = Self {
            stream,
            version,
            decoder: Decoder::with_version(version, PACKET_BYTES_MAX),
            unread: Vec::new(),
            out: Vec::new(),
            trace,
        };
        connection.send(&Packet::Connect(Box::new(connect)));
        connection.flush().await?;
        loop {
            match connection.next().map_err(NoConnection::Protocol)? {
                None => connection.fill().await?,
                Some(Got::ConnAck(welcome)) if welcome.reason == ReasonCode::Success => {
                    return Ok((connection, welcome));
                }
                Some(Got::ConnAck(welcome)) => return Err(NoConnection::Refused(welcome.reason)),
                Some(other) => return Err(NoConnection::Protocol(format!("{other:?} before CONNACK"))),
            }
        }
    }

    /// Puts a packet behind those that wait to be flushed.
    pub(crate) fn send(&mut self, packet: &Packet<'_>) {
        self.trace.sent(packet);
        packet
            .encode(self.version, &mut self.out)
            .expect("a packet of ours can be sent");
    }

    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.out.clear();
        }
        Ok(())
    }

    /// Awaits more bytes. Nothing is lost when the wait is given up. The end of the connection is an error.
    pub(crate) async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The next packet, if it is here. The error says which bytes are none.
    pub(crate) fn next(&mut self) -> Result<Option<Got>, String> {
        match self.decoder.decode(&self.unread) {
            Ok(Decoded::Incomplete { .. }) => Ok(None),
            Ok(Decoded::Packet { packet, bytes }) => {
                let got = Got::of(&packet);
                self.unread.drain(..bytes);
                self.trace.got(&got);
                Ok(Some(got))
            }
            Err(error) => Err(format!("bytes that are not MQTT: {error}")),
        }
    }
}

impl Got {
    fn of(packet: &Packet<'_>) -> Self {
        match packet {
            Packet::ConnAck(connack) => Self::ConnAck(Welcome {
                reason: connack.reason,
                present: if connack.session_present {
                    Presence::Present
                } else {
                    Presence::Absent
                },
                receive_max: connack
                    .receive_max
                    .map_or(usize::from(u16::MAX), |it| it.get().into()),
            }),
            Packet::Publish(publish) => Self::Publish {
                qos: publish.qos,
                occasion: if publish.dup {
                    Occasion::Again
                } else {
                    Occasion::First
                },
                retain: if publish.retain {
                    Retain::Stored
                } else {
                    Retain::New
                },
                topic: publish
                    .topic
                    .map_or_else(String::new, |it| it.as_str().to_owned()),
                payload: publish.payload.to_vec(),
                packet_id: publish.packet_id,
            },
            Packet::PubAck(ack) => Self::Ack(AckKind::PubAck, ack.packet_id, ack.reason),
            Packet::PubRec(ack) => Self::Ack(AckKind::PubRec, ack.packet_id, ack.reason),
            Packet::PubRel(ack) => Self::Ack(AckKind::PubRel, ack.packet_id, ack.reason),
            Packet::PubComp(ack) => Self::Ack(AckKind::PubComp, ack.packet_id, ack.reason),
            Packet::SubAck(suback) => Self::SubAck(suback.packet_id, suback.reasons.first().copied()),
            Packet::UnsubAck(unsuback) => Self::UnsubAck(unsuback.packet_id),
            Packet::PingResp => Self::PingResp,
            Packet::Disconnect(disconnect) => Self::Disconnect(disconnect.reason),
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq
            | Packet::Auth(_) => Self::Other(format!("{packet:?}")),
        }
    }
}

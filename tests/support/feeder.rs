//! The far end of a client whose speed is measured: it is faster than any client, and does only what a client asks for.
//!
//! | client | feeder |
//! |---|---|
//! | subscribes to `feed/QOS/TOGETHER/COUNT` | sends so many messages of 64 bytes to that topic, so many in one write or frame |
//! | publishes to `sink/COUNT` | counts, acknowledges, and after so many publishes to `done` |
//!
//! It speaks 3.1.1 and 5, over TCP and WebSocket.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use cloudsignal_core::codec::{
    Ack, AckKind, ConnAck, Decoded, Decoder, PACKET_BYTES_MAX, Packet, PacketId, Publish, ReasonCode, SubAck,
};
use cloudsignal_core::{Qos, TopicName, Version};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// What a message says.
pub const PAYLOAD: [u8; 64] = [b'.'; 64];
/// QoS 1 messages that are not acknowledged.
const WINDOW: usize = 256;
/// Frames that are written before anything else is looked at.
const FRAMES_MAX: usize = 32;

/// A feeder at work, as long as the runtime lives.
#[derive(Clone, Copy, Debug)]
pub struct Feeder {
    /// MQTT over TCP.
    pub tcp: SocketAddr,
    /// MQTT over WebSocket.
    pub ws: SocketAddr,
}

impl Feeder {
    /// Starts one on free ports.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start() -> Result<Self> {
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await?;
        let ws = TcpListener::bind(("127.0.0.1", 0)).await?;
        let this = Self {
            tcp: tcp.local_addr()?,
            ws: ws.local_addr()?,
        };
        tokio::spawn(listen(tcp, |stream| async { Ok(Pipe::Tcp(stream)) }));
        tokio::spawn(listen(ws, upgrade));
        Ok(this)
    }
}

async fn listen<F: Future<Output = Result<Pipe>> + Send + 'static>(
    listener: TcpListener,
    open: fn(TcpStream) -> F,
) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            stream.set_nodelay(true)?;
            Connection::new(open(stream).await?).serve().await
        });
    }
}

#[expect(clippy::result_large_err, reason = "the library's callback is made so")]
async fn upgrade(stream: TcpStream) -> Result<Pipe> {
    let accept = |_: &Request, mut response: Response| {
        let headers = response.headers_mut();
        headers.insert("sec-websocket-protocol", "mqtt".parse().expect("a header"));
        Ok(response)
    };
    let upgraded = tokio_tungstenite::accept_hdr_async(stream, accept).await?;
    Ok(Pipe::Ws(Box::new(upgraded)))
}

/// What carries the bytes.
enum Pipe {
    Tcp(TcpStream),
    Ws(Box<WebSocketStream<TcpStream>>),
}

impl Pipe {
    async fn read(&mut self, inbox: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Tcp(stream) => {
                if stream.read_buf(inbox).await? == 0 {
                    bail!("closed");
                }
            }
            Self::Ws(socket) => match socket.next().await.context("closed")?? {
                Message::Binary(bytes) => inbox.extend_from_slice(&bytes),
                Message::Close(_) => bail!("closed"),
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            },
        }
        Ok(())
    }

    /// One write, or one frame.
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes).await?,
            Self::Ws(socket) => socket.feed(Message::Binary(bytes.to_vec().into())).await?,
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        if let Self::Ws(socket) = self {
            socket.flush().await?;
        }
        Ok(())
    }
}

/// What a client has subscribed to.
#[derive(Clone, Debug)]
struct Feed {
    topic: String,
    qos: Qos,
    together: usize,
    left: usize,
}

struct Connection {
    pipe: Pipe,
    version: Version,
    decoder: Decoder,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    feed: Option<Feed>,
    next_packet_id: u16,
    unacknowledged: usize,
    sunk: usize,
}

impl Connection {
    fn new(pipe: Pipe) -> Self {
        Self {
            pipe,
            version: Version::V5,
            decoder: Decoder::new(PACKET_BYTES_MAX),
            inbox: Vec::new(),
            outbox: Vec::new(),
            feed: None,
            next_packet_id: 0,
            unacknowledged: 0,
            sunk: 0,
        }
    }

    async fn serve(mut self) -> Result<()> {
        loop {
            self.feed().await?;
            self.pipe.read(&mut self.inbox).await?;
            self.answer()?;
            let outbox = std::mem::take(&mut self.outbox);
            if !outbox.is_empty() {
                self.pipe.write(&outbox).await?;
                self.pipe.flush().await?;
            }
        }
    }

    /// Sends what was subscribed to, as far as the window allows.
    async fn feed(&mut self) -> Result<()> {
        let mut frames = 0;
        let Some(mut feed) = self.feed.take() else {
            return Ok(());
        };
        while feed.left > 0 {
            let count = feed.together.min(feed.left);
            if feed.qos > Qos::AtMostOnce && self.unacknowledged + count > WINDOW {
                break;
            }
            let mut frame = Vec::with_capacity(count * 80);
            for _ in 0..count {
                self.encode(feed.qos, &feed.topic, &PAYLOAD, &mut frame)?;
            }
            feed.left -= count;
            self.pipe.write(&frame).await?;
            frames += 1;
            if frames % FRAMES_MAX == 0 {
                self.pipe.flush().await?;
            }
        }
        self.feed = Some(feed);
        self.pipe.flush().await
    }

    fn encode(&mut self, qos: Qos, topic: &str, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut publish = Publish::new(TopicName::parse(topic)?, payload);
        publish.qos = qos;
        if qos > Qos::AtMostOnce {
            self.next_packet_id = self.next_packet_id % 60_000 + 1;
            self.unacknowledged += 1;
            publish.packet_id = PacketId::new(self.next_packet_id);
        }
        publish.encode(self.version, out)?;
        Ok(())
    }

    fn answer(&mut self) -> Result<()> {
        let inbox = std::mem::take(&mut self.inbox);
        let mut at = 0;
        while let Decoded::Packet { packet, bytes } = self.decoder.decode(&inbox[at..])? {
            self.take(&packet)?;
            at += bytes;
        }
        self.inbox = inbox;
        self.inbox.drain(..at);
        Ok(())
    }

    fn take(&mut self, packet: &Packet<'_>) -> Result<()> {
        let (version, out) = (self.version, &mut self.outbox);
        match packet {
            Packet::Connect(connect) => {
                self.version = connect.version;
                ConnAck::new(ReasonCode::Success).encode(connect.version, out)?;
            }
            Packet::Subscribe(subscribe) => {
                let filter = subscribe.filters.first().context("nothing")?;
                let (filter, qos) = (filter.filter?.as_str(), filter.qos);
                let granted = if qos == Qos::AtMostOnce {
                    ReasonCode::Success
                } else {
                    ReasonCode::GrantedQos1
                };
                SubAck::new(subscribe.packet_id, vec![granted]).encode(version, out)?;
                self.feed = parse_feed(filter).or_else(|| self.feed.take());
            }
            Packet::Publish(publish) => self.sink(publish)?,
            Packet::PubAck(_) => self.unacknowledged -= 1,
            Packet::PingReq => Packet::PingResp.encode(version, out)?,
            Packet::Disconnect(_) => bail!("the client has gone"),
            Packet::ConnAck(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_)
            | Packet::SubAck(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Auth(_) => bail!("nobody needs {packet:?}"),
        }
        Ok(())
    }

    fn sink(&mut self, publish: &Publish<'_>) -> Result<()> {
        if let Some(packet_id) = publish.packet_id {
            let ack = Ack::new(packet_id, ReasonCode::Success);
            ack.encode(AckKind::PubAck, self.version, &mut self.outbox)?;
        }
        let topic = publish.topic.context("an alias was not offered")?.as_str();
        let count: usize = topic.strip_prefix("sink/").context("no sink")?.parse()?;
        self.sunk += 1;
        if self.sunk == count {
            self.sunk = 0;
            let mut out = std::mem::take(&mut self.outbox);
            self.encode(Qos::AtMostOnce, "done", b"", &mut out)?;
            self.outbox = out;
        }
        Ok(())
    }
}

/// `feed/QOS/TOGETHER/COUNT`
fn parse_feed(filter: &str) -> Option<Feed> {
    let mut parts = filter.strip_prefix("feed/")?.split('/');
    Some(Feed {
        topic: filter.to_owned(),
        qos: Qos::from_bits(parts.next()?.parse().ok()?)?,
        together: parts.next()?.parse().ok()?,
        left: parts.next()?.parse().ok()?,
    })
}

#[test]
fn what_is_to_be_fed_is_in_the_filter() {
    let feed = parse_feed("feed/1/16/1000").unwrap();
    assert_eq!(
        (feed.qos, feed.together, feed.left),
        (Qos::AtLeastOnce, 16, 1_000)
    );
    for other in ["done", "feed/1", "feed/9/1/1", "feed/1/x/1"] {
        assert!(parse_feed(other).is_none(), "{other}");
    }
}

//! A broker in this process on free ports, and a client that knows bytes.

use std::net::SocketAddr;
use std::time::Duration;

use cloudsignal_core::codec::{Connect, Packet, Publish, Subscribe, SubscribeFilter};
use cloudsignal_core::topic::{TopicFilter, TopicName};
use cloudsignal_core::{Qos, Version};
use cloudsignal_server::config::Config;
use cloudsignal_server::server::{Kind, Server};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Every wait of a test ends within this time.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// The organization that clients without a login are let into.
pub(crate) const ORG: &str = "org_aaaaaaaaaaaa";

pub(crate) struct Broker {
    pub(crate) server: Server,
    pub(crate) folder: TempDir,
}

impl Broker {
    /// A broker with every listener, configured by `change`.
    pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::loopback(folder.path().join("data"));
        config.dev_anonymous = Some(ORG.to_owned());
        change(&mut config);
        let server = Server::start(config).await.unwrap();
        Self { server, folder }
    }

    pub(crate) fn addr(&self, kind: Kind) -> SocketAddr {
        self.server.address(kind).unwrap()
    }

    /// The password user that the first start made: user name and password.
    pub(crate) fn login(&self) -> (String, String) {
        let json = std::fs::read(self.folder.path().join("data/first-run.json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let text = |name: &str| json[name].as_str().unwrap().to_owned();
        (text("username"), text("password"))
    }

    /// CONNECT with that login.
    pub(crate) fn connect(&self, version: Version, client_id: &str) -> Vec<u8> {
        let (username, password) = self.login();
        connect_as(version, client_id, &username, &password)
    }

    /// A connection to the plain listener, before CONNECT.
    pub(crate) async fn dial(&self) -> Client<TcpStream> {
        Client::new(dial(self.addr(Kind::Mqtt)).await)
    }

    /// A client without a login that is in.
    pub(crate) async fn client(&self, version: Version, client_id: &str) -> Client<TcpStream> {
        let mut client = self.dial().await;
        client.send(&connect(version, client_id)).await;
        client.expect_connack(0).await;
        client
    }
}

pub(crate) async fn dial(addr: SocketAddr) -> TcpStream {
    let stream = in_time(TcpStream::connect(addr)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Waits, but not for ever.
pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work)
        .await
        .expect("the broker did not answer in time")
}

/// One end of a byte stream to a broker.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self { stream }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        in_time(self.stream.write_all(bytes)).await.unwrap();
        in_time(self.stream.flush()).await.unwrap();
    }

    pub(crate) async fn expect(&mut self, wanted: &[u8]) {
        let mut got = vec![0; wanted.len()];
        let read = in_time(self.stream.read_exact(&mut got)).await;
        assert!(
            read.is_ok(),
            "the connection ended where {wanted:02x?} was awaited: {read:?}"
        );
        assert_eq!(got, wanted);
    }

    /// A CONNACK of any version with this code.
    pub(crate) async fn expect_connack(&mut self, code: u8) {
        let packet = self.packet().await;
        assert_eq!((packet[0], packet[3]), (0x20, code), "{packet:02x?}");
    }

    /// The next whole packet.
    pub(crate) async fn packet(&mut self) -> Vec<u8> {
        let mut packet = vec![in_time(self.stream.read_u8()).await.expect("a packet")];
        let mut bytes = 0;
        for shift in [0, 7, 14, 21] {
            let byte = in_time(self.stream.read_u8()).await.expect("a whole packet");
            packet.push(byte);
            bytes |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let start = packet.len();
        packet.resize(start + bytes, 0);
        in_time(self.stream.read_exact(&mut packet[start..]))
            .await
            .expect("a whole packet");
        packet
    }

    /// The connection ends, and nothing comes before.
    pub(crate) async fn expect_end(&mut self) {
        assert_eq!(self.rest().await, [0_u8; 0]);
    }

    /// Everything until the connection ends.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end like another.
        let _ = in_time(self.stream.read_to_end(&mut rest)).await;
        rest
    }

    /// Subscribes, and waits for the acknowledgement.
    pub(crate) async fn subscribe(&mut self, version: Version, filter: &str, qos: Qos) {
        self.send(&subscribe(version, filter, qos)).await;
        let suback = self.packet().await;
        assert_eq!(
            (suback[0], *suback.last().unwrap()),
            (0x90, qos.bits()),
            "{suback:02x?}"
        );
    }
}

pub(crate) fn encode(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).unwrap();
    bytes
}

pub(crate) fn connect(version: Version, client_id: &str) -> Vec<u8> {
    encode(
        &Packet::Connect(Box::new(Connect::new(version, client_id))),
        version,
    )
}

pub(crate) fn connect_as(version: Version, client_id: &str, username: &str, password: &str) -> Vec<u8> {
    let connect = Connect {
        username: Some(username),
        password: Some(password.as_bytes()),
        ..Connect::new(version, client_id)
    };
    encode(&Packet::Connect(Box::new(connect)), version)
}

pub(crate) fn subscribe(version: Version, filter: &str, qos: Qos) -> Vec<u8> {
    let filter = SubscribeFilter::new(TopicFilter::parse(filter).unwrap(), qos);
    let packet_id = 1.try_into().unwrap();
    encode(
        &Packet::Subscribe(Subscribe::new(packet_id, vec![filter])),
        version,
    )
}

pub(crate) fn publish(version: Version, topic: &str, qos: Qos, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let publish = Publish {
        qos,
        packet_id: packet_id.try_into().ok().filter(|_| qos != Qos::AtMostOnce),
        ..Publish::new(TopicName::parse(topic).unwrap(), payload)
    };
    encode(&Packet::Publish(publish), version)
}

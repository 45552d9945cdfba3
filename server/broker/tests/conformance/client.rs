//! A client in a story: it sends what it is told to send and reads what it got, one packet at a time.

use core::num::{NonZeroU16, NonZeroU32};

use cloudsignal_broker::{CloseCause, ConnId, Identity};
use cloudsignal_core::codec::{
    Ack, Auth, ConnAck, Connect, Disconnect, Publish, PublishProperties, ReasonCode, SubAck, Subscribe,
    SubscribeFilter, UnsubAck, Unsubscribe, Will,
};
use cloudsignal_core::{Packet, PacketId, Qos, TopicFilter, TopicName, Version};

use crate::world::{World, identity};

pub(crate) const QOS0: Qos = Qos::AtMostOnce;
pub(crate) const QOS1: Qos = Qos::AtLeastOnce;
pub(crate) const QOS2: Qos = Qos::ExactlyOnce;

/// A packet identifier.
pub(crate) fn id(id: u16) -> PacketId {
    NonZeroU16::new(id).expect("not 0")
}

pub(crate) fn leak(text: &str) -> &'static str {
    String::from(text).leak()
}

pub(crate) fn topic(text: &str) -> TopicName<'static> {
    TopicName::parse(leak(text)).expect("a topic name")
}

/// A filter with default options.
pub(crate) fn filter(text: &str, qos: Qos) -> SubscribeFilter<'static> {
    SubscribeFilter::new(TopicFilter::parse(leak(text)).expect("a topic filter"), qos)
}

/// A QoS 0 message; `at`, `retained` and `with` say more.
pub(crate) fn message(name: &str, payload: impl Into<Vec<u8>>) -> Publish<'static> {
    Publish::new(topic(name), payload.into().leak())
}

pub(crate) trait MessageExt: Sized {
    fn at(self, qos: Qos, packet_id: u16) -> Self;
    fn retained(self) -> Self;
    fn with(self, change: impl FnOnce(&mut PublishProperties<'static>)) -> Self;
    fn expiring(self, secs: u32) -> Self {
        self.with(|properties| properties.message_expiry_secs = Some(secs))
    }
}

impl MessageExt for Publish<'static> {
    fn at(mut self, qos: Qos, packet_id: u16) -> Self {
        self.qos = qos;
        self.packet_id = Some(id(packet_id));
        self
    }

    fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    fn with(mut self, change: impl FnOnce(&mut PublishProperties<'static>)) -> Self {
        change(&mut self.properties);
        self
    }
}

/// A will at QoS 0 that is not retained.
pub(crate) fn will(name: &str, payload: &'static str) -> Will<'static> {
    Will::new(topic(name), payload.as_bytes(), QOS0, false)
}

/// A CONNECT in the making.
pub(crate) struct Connecting {
    world: World,
    connect: Connect<'static>,
    identity: Identity,
}

impl Connecting {
    pub(crate) fn new(world: World, client_id: &str) -> Self {
        Self {
            world,
            connect: Connect::new(Version::V5, leak(client_id)),
            identity: identity("ann"),
        }
    }

    /// Anything that has no word of its own.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Connect<'static>)) -> Self {
        change(&mut self.connect);
        self
    }

    pub(crate) fn version(self, version: Version) -> Self {
        self.with(|connect| connect.version = version)
    }

    pub(crate) fn v311(self) -> Self {
        self.version(Version::V311)
    }

    /// Wants its session back, if there is one.
    pub(crate) fn resume(self) -> Self {
        self.with(|connect| connect.clean_start = false)
    }

    pub(crate) fn expiry(self, secs: u32) -> Self {
        self.with(|connect| connect.session_expiry_secs = Some(secs))
    }

    pub(crate) fn keep_alive(self, secs: u16) -> Self {
        self.with(|connect| connect.keep_alive_secs = secs)
    }

    pub(crate) fn receive_max(self, messages: u16) -> Self {
        self.with(|connect| connect.receive_max = NonZeroU16::new(messages))
    }

    pub(crate) fn packet_bytes_max(self, bytes: u32) -> Self {
        self.with(|connect| connect.packet_bytes_max = NonZeroU32::new(bytes))
    }

    pub(crate) fn alias_max(self, aliases: u16) -> Self {
        self.with(|connect| connect.topic_alias_max = aliases)
    }

    pub(crate) fn will(self, will: Will<'static>) -> Self {
        self.with(|connect| connect.will = Some(will))
    }

    pub(crate) fn user(self, username: &str) -> Self {
        self.identity(identity(username))
    }

    pub(crate) fn identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    /// Sends it. What comes back is still to be read.
    pub(crate) fn send(self) -> Client {
        let mut bytes = Vec::new();
        self.connect.encode(&mut bytes).expect("a CONNECT");
        let version = self.connect.version;
        let (line, conn) = {
            let inner = &mut *self.world.inner();
            let (line, conn) = inner.open_line(version);
            let mut server = inner.tape.lines[line].server;
            let decoded = server.decode(&bytes).expect("a CONNECT");
            inner.tape.lines[line].server = server;
            let cloudsignal_core::Decoded::Packet { packet, .. } = decoded else {
                panic!("half a CONNECT");
            };
            let Packet::Connect(connect) = packet else {
                panic!("not a CONNECT");
            };
            inner
                .org
                .handle_connect(conn, &connect, self.identity, inner.now, &mut inner.tape);
            inner.end_turn();
            (line, conn)
        };
        Client {
            world: self.world,
            line,
            conn,
            version,
        }
    }

    /// Sends it and is let in.
    pub(crate) fn go(self) -> Client {
        let (client, connack) = self.go_and_see();
        assert_eq!(connack.reason, ReasonCode::Success);
        client
    }

    /// Sends it, is let in, and looks at the CONNACK.
    pub(crate) fn go_and_see(self) -> (Client, ConnAck<'static>) {
        let client = self.send();
        let connack = client.expect_connack();
        (client, connack)
    }

    /// Sends it and is refused and closed.
    pub(crate) fn refused(self) -> ConnAck<'static> {
        let client = self.send();
        let connack = client.expect_connack();
        assert!(connack.reason.is_error(), "let in");
        assert!(
            matches!(client.closed(), Some(CloseCause::Refused(_))),
            "[MQTT-3.2.2-7]"
        );
        client.expect_nothing();
        connack
    }
}

/// A client that has sent CONNECT.
#[derive(Clone)]
pub(crate) struct Client {
    world: World,
    line: usize,
    pub(crate) conn: ConnId,
    version: Version,
}

impl Client {
    // What it does.

    pub(crate) fn send(&self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet
            .encode(self.version, &mut bytes)
            .expect("a packet that can be sent");
        self.send_bytes(&bytes);
    }

    /// Many packets in one go, as when a socket had them all.
    pub(crate) fn send_many<'a>(&self, packets: impl IntoIterator<Item = Packet<'a>>) {
        let mut bytes = Vec::new();
        for packet in packets {
            packet
                .encode(self.version, &mut bytes)
                .expect("a packet that can be sent");
        }
        self.send_bytes(&bytes);
    }

    pub(crate) fn send_bytes(&self, bytes: &[u8]) {
        self.world.inner().receive(self.line, bytes);
    }

    /// A QoS 0 message.
    pub(crate) fn publish(&self, name: &str, payload: impl Into<Vec<u8>>) {
        self.publish_it(message(name, payload));
    }

    pub(crate) fn publish_it(&self, publish: Publish<'_>) {
        self.send(&Packet::Publish(publish));
    }

    /// A QoS 1 message. Answers what PUBACK says.
    pub(crate) fn publish_qos1(&self, name: &str, payload: impl Into<Vec<u8>>, packet_id: u16) -> ReasonCode {
        self.publish_it(message(name, payload).at(QOS1, packet_id));
        let ack = self.expect_puback();
        assert_eq!(ack.packet_id.get(), packet_id);
        ack.reason
    }

    /// A QoS 2 message, from PUBLISH to PUBCOMP.
    pub(crate) fn publish_qos2(&self, name: &str, payload: impl Into<Vec<u8>>, packet_id: u16) {
        self.publish_it(message(name, payload).at(QOS2, packet_id));
        let ack = self.expect_pubrec();
        assert_eq!(ack.packet_id.get(), packet_id);
        self.pubrel(ack.packet_id);
        assert_eq!(self.expect_pubcomp().packet_id.get(), packet_id);
    }

    pub(crate) fn puback(&self, packet_id: PacketId) {
        self.send(&Packet::PubAck(Ack::new(packet_id, ReasonCode::Success)));
    }

    pub(crate) fn pubrec(&self, packet_id: PacketId) {
        self.send(&Packet::PubRec(Ack::new(packet_id, ReasonCode::Success)));
    }

    pub(crate) fn pubrel(&self, packet_id: PacketId) {
        self.send(&Packet::PubRel(Ack::new(packet_id, ReasonCode::Success)));
    }

    pub(crate) fn pubcomp(&self, packet_id: PacketId) {
        self.send(&Packet::PubComp(Ack::new(packet_id, ReasonCode::Success)));
    }

    /// Acknowledges a message it got, to the end.
    pub(crate) fn acknowledge(&self, publish: &Publish<'_>) {
        let Some(packet_id) = publish.packet_id else {
            return;
        };
        if publish.qos == QOS1 {
            return self.puback(packet_id);
        }
        self.pubrec(packet_id);
        assert_eq!(self.expect_pubrel().packet_id, packet_id);
        self.pubcomp(packet_id);
    }

    /// Subscribes to one filter and is granted just that.
    pub(crate) fn subscribe(&self, name: &str, qos: Qos) {
        assert_eq!(self.subscribe_it(filter(name, qos)), ReasonCode::from(qos));
    }

    /// Subscribes to one filter. Answers what SUBACK says of it.
    pub(crate) fn subscribe_it(&self, filter: SubscribeFilter<'static>) -> ReasonCode {
        self.subscribe_all(vec![filter], None).reasons[0]
    }

    /// Subscribes to filters, perhaps under an identifier.
    pub(crate) fn subscribe_all(
        &self,
        filters: Vec<SubscribeFilter<'static>>,
        subscription_id: Option<u32>,
    ) -> SubAck<'static> {
        let mut subscribe = Subscribe::new(id(0xFFF0), filters);
        subscribe.subscription_id = subscription_id;
        self.send(&Packet::Subscribe(subscribe));
        let suback = self.expect_suback();
        assert_eq!(suback.packet_id, id(0xFFF0), "[MQTT-3.8.4-2] [MQTT-2.2.1-6]");
        suback
    }

    /// Unsubscribes. Answers what UNSUBACK says of it.
    pub(crate) fn unsubscribe(&self, filters: &[&str]) -> Vec<ReasonCode> {
        let filters = filters
            .iter()
            .map(|text| TopicFilter::parse(leak(text)))
            .collect();
        self.send(&Packet::Unsubscribe(Unsubscribe::new(id(0xFFF1), filters)));
        let unsuback = self.expect_unsuback();
        assert_eq!(unsuback.packet_id, id(0xFFF1), "[MQTT-3.10.4-5]");
        unsuback.reasons
    }

    /// Says goodbye.
    pub(crate) fn disconnect(&self) {
        self.disconnect_it(Disconnect::default());
    }

    pub(crate) fn disconnect_it(&self, disconnect: Disconnect<'_>) {
        self.send(&Packet::Disconnect(disconnect));
    }

    /// Its network fails.
    pub(crate) fn cut(&self) {
        self.world.inner().cut(self.line);
    }

    /// It stops reading: everything it is sent waits.
    pub(crate) fn stall(&self) {
        self.world.inner().tape.lines[self.line].is_stalled = true;
    }

    /// It reads what waits, and goes on to stall.
    pub(crate) fn catch_up(&self) {
        self.world.inner().drained(self.line);
    }

    /// It reads again.
    pub(crate) fn wake_up(&self) {
        self.world.inner().tape.lines[self.line].is_stalled = false;
        self.catch_up();
    }

    // What it sees.

    /// The next packet, or nothing.
    pub(crate) fn read(&self) -> Option<Packet<'static>> {
        self.world.inner().tape.lines[self.line].read()
    }

    /// Everything there is to read.
    pub(crate) fn read_all(&self) -> Vec<Packet<'static>> {
        core::iter::from_fn(|| self.read()).collect()
    }

    /// Payloads of the messages there are to read; other packets are not expected.
    pub(crate) fn payloads(&self) -> Vec<String> {
        let text = |publish: Publish<'_>| String::from_utf8_lossy(publish.payload).into_owned();
        core::iter::from_fn(|| self.read())
            .map(|packet| text(as_publish(packet)))
            .collect()
    }

    /// As [`Client::payloads`], and each is acknowledged, which may bring more of them.
    pub(crate) fn take_all(&self) -> Vec<String> {
        let take = |packet| {
            let publish = as_publish(packet);
            self.acknowledge(&publish);
            String::from_utf8_lossy(publish.payload).into_owned()
        };
        core::iter::from_fn(|| self.read()).map(take).collect()
    }

    /// Whether and why its connection was closed.
    pub(crate) fn closed(&self) -> Option<CloseCause> {
        self.world.inner().tape.lines[self.line].closed
    }

    #[track_caller]
    pub(crate) fn expect_nothing(&self) {
        assert_eq!(self.read(), None);
    }

    #[track_caller]
    fn expect(&self) -> Packet<'static> {
        match self.read() {
            Some(packet) => packet,
            None => panic!("nothing to read; closed: {:?}", self.closed()),
        }
    }

    /// The next packet is this message.
    #[track_caller]
    pub(crate) fn expect_publish(&self, name: &str, payload: impl AsRef<[u8]>) -> Publish<'static> {
        let publish = as_publish(self.expect());
        assert_eq!(publish.topic.map(TopicName::as_str), Some(name));
        assert_eq!(
            String::from_utf8_lossy(publish.payload),
            String::from_utf8_lossy(payload.as_ref())
        );
        publish
    }

    #[track_caller]
    pub(crate) fn expect_auth(&self) -> Auth<'static> {
        self.expect_kind("AUTH", |packet| {
            if let Packet::Auth(auth) = packet {
                Some(auth)
            } else {
                None
            }
        })
    }

    /// The next packet is DISCONNECT with this reason, and the connection is closed.
    #[track_caller]
    pub(crate) fn expect_disconnect(&self, reason: ReasonCode) -> Disconnect<'static> {
        let disconnect = self.expect_kind("DISCONNECT", |packet| {
            if let Packet::Disconnect(disconnect) = packet {
                Some(disconnect)
            } else {
                None
            }
        });
        assert_eq!(disconnect.reason, reason);
        assert_eq!(self.closed(), Some(CloseCause::Server(reason)));
        assert_eq!(disconnect.session_expiry_secs, None, "[MQTT-3.14.2-2]");
        self.expect_nothing();
        disconnect
    }

    /// It was closed without a word, as clients before MQTT 5 are.
    #[track_caller]
    pub(crate) fn expect_closed(&self, reason: ReasonCode) {
        self.expect_nothing();
        assert_eq!(self.closed(), Some(CloseCause::Server(reason)));
    }

    #[track_caller]
    fn expect_kind<T>(&self, name: &str, select: impl FnOnce(Packet<'static>) -> Option<T>) -> T {
        let packet = self.expect();
        let shown = format!("{packet:?}");
        match select(packet) {
            Some(found) => found,
            None => panic!("{name} expected, not {shown}"),
        }
    }
}

/// One `expect_…` for each kind of acknowledgement.
macro_rules! expectations {
    ($($name:ident => $kind:ident, $type:ty;)*) => {
        impl Client {
            $(
                #[track_caller]
                pub(crate) fn $name(&self) -> $type {
                    self.expect_kind(stringify!($kind), |packet| {
                        if let Packet::$kind(found) = packet { Some(found) } else { None }
                    })
                }
            )*
        }
    };
}

expectations! {
    expect_puback => PubAck, Ack<'static>;
    expect_pubrec => PubRec, Ack<'static>;
    expect_pubrel => PubRel, Ack<'static>;
    expect_pubcomp => PubComp, Ack<'static>;
    expect_suback => SubAck, SubAck<'static>;
    expect_unsuback => UnsubAck, UnsubAck<'static>;
}

impl Client {
    #[track_caller]
    pub(crate) fn expect_connack(&self) -> ConnAck<'static> {
        self.expect_kind("CONNACK", |packet| {
            if let Packet::ConnAck(connack) = packet {
                Some(*connack)
            } else {
                None
            }
        })
    }

    #[track_caller]
    pub(crate) fn expect_pingresp(&self) {
        assert_eq!(self.read(), Some(Packet::PingResp));
    }
}

#[track_caller]
fn as_publish(packet: Packet<'static>) -> Publish<'static> {
    let shown = format!("{packet:?}");
    if let Packet::Publish(publish) = packet {
        publish
    } else {
        panic!("PUBLISH expected, not {shown}")
    }
}

impl Client {
    /// Publishes at QoS 1 what it is subscribed to itself, at QoS 0. Answers what PUBACK says.
    #[track_caller]
    pub(crate) fn publish_qos1_to_itself(&self, name: &str, payload: &str) -> ReasonCode {
        self.publish_it(message(name, payload).at(QOS1, 1));
        self.expect_publish(name, payload);
        self.expect_puback().reason
    }
}

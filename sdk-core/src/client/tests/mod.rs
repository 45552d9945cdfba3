//! The machine against a scripted server, under a clock that the test holds.

mod durable;
mod link;
mod publishing;
mod receiving;
mod requesting;
mod tokens;

use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;
use crate::codec::{
    Ack, AckKind, ConnAck, Decoded, Decoder, PACKET_BYTES_MAX, Packet, Publish, PublishProperties, SubAck,
};
use crate::time::Duration;
use crate::topic::{TopicFilter, TopicName};
use crate::{PacketId, Qos, ReasonCode};

/// What the machine asked for, without the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Dial(WireId, Option<String>),
    Hangup(WireId),
    Ask(AskId, TokenReason),
    State(State),
    Connected(Continuity),
    Message(String, Vec<u8>, Option<DeliveryId>, Vec<SubscriptionId>),
    Stored(PublishId),
    Published(PublishId, Outcome),
    Subscribed(SubscriptionId, Qos),
    Refused(SubscriptionId, ReasonCode),
    Unsubscribed(SubscriptionId),
    Warning(Warning),
    Replied(RequestId, Vec<u8>),
    Failed(RequestId, Unanswered),
}

/// Packets that the client sent, as text for comparison and as bytes for looking inside.
#[derive(Debug, Default)]
struct Log {
    /// Whether the last message may have been handed out before.
    was_dup: bool,
    /// User properties of the last message.
    users: usize,
    seen: Vec<Seen>,
    sent: BTreeMap<WireId, Vec<u8>>,
    store: BTreeMap<Key, Vec<u8>>,
    tickets: Vec<Ticket>,
}

impl Sink for Log {
    fn output(&mut self, output: Output<'_>) {
        let seen = match output {
            Output::Send { wire, bytes } => {
                self.sent.entry(wire).or_default().extend_from_slice(bytes);
                return;
            }
            Output::Put { key, record } => {
                self.store.insert(key, record.to_vec());
                return;
            }
            Output::Delete { key } => {
                self.store.remove(&key);
                return;
            }
            Output::Sync { ticket } => return self.tickets.push(ticket),
            Output::Dial { wire, to } => Seen::Dial(
                wire,
                match to {
                    Server::Configured => None,
                    Server::Referred(to) => Some(to.to_string()),
                },
            ),
            Output::Hangup { wire } => Seen::Hangup(wire),
            Output::AskToken { ask, reason } => Seen::Ask(ask, reason),
            Output::State(state) => Seen::State(state),
            Output::Connected { continuity } => Seen::Connected(continuity),
            Output::Message(it) => {
                self.was_dup = it.dup;
                self.users = it.properties.user_properties.iter().count();
                Seen::Message(
                    it.topic.as_str().to_string(),
                    it.payload.to_vec(),
                    it.delivery,
                    it.subscriptions.to_vec(),
                )
            }
            Output::Stored { id } => Seen::Stored(id),
            Output::Published { id, outcome } => Seen::Published(id, outcome),
            Output::Subscribed { id, granted } => Seen::Subscribed(id, granted),
            Output::SubscribeRefused { id, reason } => Seen::Refused(id, reason),
            Output::Unsubscribed { id } => Seen::Unsubscribed(id),
            Output::Warning(warning) => Seen::Warning(warning),
            Output::Replied { request, message } => Seen::Replied(request, message.payload.to_vec()),
            Output::RequestFailed { request, why } => Seen::Failed(request, why),
        };
        self.seen.push(seen);
    }
}

struct Rig {
    client: Client,
    log: Log,
    now: Instant,
    version: Version,
}

const UNIX: u64 = 1_800_000_000_000_000;

impl Rig {
    fn new(options: Options) -> Self {
        Self {
            client: Client::new(options, 7, Instant::ZERO, UNIX),
            log: Log::default(),
            now: Instant::ZERO,
            version: Version::V5,
        }
    }

    /// With the store of another one, as a later process would have it.
    fn after(earlier: &Self, options: Options) -> Self {
        let mut rig = Self::new(options);
        for (key, record) in &earlier.log.store {
            rig.client.restore(*key, record).expect("its own record");
        }
        rig.log.store = earlier.log.store.clone();
        rig
    }

    fn connected(options: Options) -> Self {
        let mut rig = Self::new(options);
        rig.connect();
        rig.accept(false);
        rig.take();
        rig
    }

    fn connect(&mut self) {
        self.client.connect(self.now, &mut self.log);
        self.open();
    }

    fn wire(&self) -> WireId {
        self.client
            .successor
            .as_ref()
            .or(self.client.wire.as_ref())
            .expect("a connection")
            .id
    }

    fn open(&mut self) {
        self.client.handle_opened(self.wire(), self.now, &mut self.log);
    }

    fn accept(&mut self, session_present: bool) {
        let mut connack = ConnAck::new(ReasonCode::Success);
        connack.session_present = session_present;
        self.serve(&Packet::ConnAck(connack.into()));
    }

    fn accept_numbered(&mut self, session_present: bool) {
        self.accept_numbered_to(session_present, 1_000);
    }

    fn accept_numbered_to(&mut self, session_present: bool, at: u64) {
        let mut users = Vec::new();
        crate::codec::UserProperties::push_sequence(&mut users, at);
        let mut connack = ConnAck::new(ReasonCode::Success);
        connack.session_present = session_present;
        connack.user_properties = crate::codec::UserProperties::from_wire(&users).expect("valid");
        self.serve(&Packet::ConnAck(connack.into()));
    }

    fn serve(&mut self, packet: &Packet<'_>) {
        self.serve_on(self.wire(), packet);
    }

    fn serve_on(&mut self, wire: WireId, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).expect("encodes");
        // Split anywhere: the machine must not care.
        let (first, second) = bytes.split_at(bytes.len() / 2);
        self.client.handle_bytes(wire, first, self.now, &mut self.log);
        if self.client.which(wire).is_some() {
            self.client.handle_bytes(wire, second, self.now, &mut self.log);
        }
    }

    fn ack(&mut self, kind: AckKind, id: u16, reason: ReasonCode) {
        let ack = Ack::new(PacketId::new(id).expect("not zero"), reason);
        self.serve(&match kind {
            AckKind::PubAck => Packet::PubAck(ack),
            AckKind::PubRec => Packet::PubRec(ack),
            AckKind::PubRel => Packet::PubRel(ack),
            AckKind::PubComp => Packet::PubComp(ack),
        });
    }

    fn cut(&mut self) {
        self.client.handle_closed(self.wire(), self.now, &mut self.log);
    }

    /// Waits out the pause, and opens the next connection.
    fn reconnect(&mut self, session_present: bool) {
        self.wait(Duration::from_secs(60));
        self.open();
        self.accept(session_present);
    }

    fn wait(&mut self, for_so_long: Duration) {
        let until = self.now.after(for_so_long);
        while let Some(at) = self.client.poll_timeout().filter(|at| *at <= until) {
            let is_waiting = matches!(self.client.state(), State::Waiting { .. });
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now, &mut self.log);
            if is_waiting && self.client.state() == State::Connecting {
                return;
            }
        }
        self.now = until;
    }

    fn stored(&mut self) {
        for ticket in core::mem::take(&mut self.log.tickets) {
            self.client.handle_stored(ticket, self.now, &mut self.log);
        }
    }

    /// What was seen since the last time, without what was sent.
    fn take(&mut self) -> Vec<Seen> {
        self.log.sent.clear();
        core::mem::take(&mut self.log.seen)
    }

    /// What was sent on the connection in use since the last time.
    fn sent(&mut self) -> Vec<String> {
        self.sent_on(self.wire())
    }

    fn sent_on(&mut self, wire: WireId) -> Vec<String> {
        let bytes = self.log.sent.remove(&wire).unwrap_or_default();
        let mut decoder = Decoder::with_version(self.version, PACKET_BYTES_MAX);
        let (mut rest, mut texts) = (&bytes[..], Vec::new());
        while let Ok(Decoded::Packet { packet, bytes }) = decoder.decode(rest) {
            texts.push(brief(&packet));
            rest = &rest[bytes..];
        }
        assert!(rest.is_empty(), "half a packet was sent: {rest:?}");
        texts
    }

    fn publish(&mut self, payload: &str, qos: Qos) -> Accepted {
        self.try_publish(payload, qos).expect("accepted")
    }

    fn try_publish(&mut self, payload: &str, qos: Qos) -> Result<Accepted, PublishError> {
        let topic = TopicName::parse("t").expect("a topic");
        let publication = Publication::new(topic, payload.as_bytes(), qos);
        self.client.publish(&publication, self.now, &mut self.log)
    }

    fn queue(&mut self, payload: &str, qos: Qos) -> PublishId {
        match self.publish(payload, qos) {
            Accepted::Queued(id) => id,
            Accepted::Sent => panic!("sent at once"),
        }
    }

    fn subscribe(&mut self, filter: &str) -> SubscriptionId {
        let filter = TopicFilter::parse(filter).expect("a filter");
        let wanted = Subscription::new(filter, Qos::AtLeastOnce);
        self.client
            .subscribe(&wanted, self.now, &mut self.log)
            .expect("room")
    }

    fn grant(&mut self, packet_id: u16) {
        let id = PacketId::new(packet_id).expect("not zero");
        self.serve(&Packet::SubAck(SubAck::new(id, [ReasonCode::GrantedQos1].into())));
    }

    fn deliver(&mut self, payload: &str, qos: Qos, id: u16, dup: bool, sequence: Option<u64>) {
        let mut users = Vec::new();
        if let Some(sequence) = sequence {
            crate::codec::UserProperties::push_sequence(&mut users, sequence);
        }
        let mut publish = Publish::new(TopicName::parse("in").expect("a topic"), payload.as_bytes());
        publish.qos = qos;
        publish.dup = dup;
        publish.packet_id = PacketId::new(id);
        publish.properties = PublishProperties {
            user_properties: crate::codec::UserProperties::from_wire(&users).expect("valid"),
            ..PublishProperties::default()
        };
        self.serve(&Packet::Publish(publish));
    }

    fn messages(&mut self) -> Vec<String> {
        let seen = self.take();
        let mut payloads = Vec::new();
        for seen in seen {
            if let Seen::Message(_, payload, ..) = seen {
                payloads.push(String::from_utf8(payload).expect("text"));
            }
        }
        payloads
    }
}

/// A packet as a line: its name, identifier and what else matters here.
fn brief(packet: &Packet<'_>) -> String {
    let ack = |name: &str, ack: &Ack<'_>| std::format!("{name} {} {:#04x}", ack.packet_id, ack.reason.byte());
    match packet {
        Packet::Connect(it) => {
            let clean = if it.clean_start { " clean" } else { "" };
            let method = it.auth_method.map_or(String::new(), |_| " method".into());
            std::format!("CONNECT {:?}{clean}{method}", it.version)
        }
        Packet::Publish(it) => {
            let dup = if it.dup { " dup" } else { "" };
            let id = it.packet_id.map_or(String::new(), |id| std::format!(" {id}"));
            let sequence = it.properties.user_properties.sequence().expect("one, or none");
            let sequence = sequence.map_or(String::new(), |number| std::format!(" #{number}"));
            let alias = it
                .properties
                .topic_alias
                .map_or(String::new(), |alias| std::format!(" ~{alias}"));
            let topic = it.topic.map_or("", TopicName::as_str);
            let payload = String::from_utf8_lossy(it.payload);
            std::format!("PUBLISH{id}{dup} {topic}={payload}{sequence}{alias}")
        }
        Packet::PubAck(it) => ack("PUBACK", it),
        Packet::PubRec(it) => ack("PUBREC", it),
        Packet::PubRel(it) => ack("PUBREL", it),
        Packet::PubComp(it) => ack("PUBCOMP", it),
        Packet::Subscribe(it) => {
            let filter = it.filters[0].filter.expect("valid");
            std::format!("SUBSCRIBE {} {filter}", it.packet_id)
        }
        Packet::Unsubscribe(it) => {
            let filter = it.filters[0].expect("valid");
            std::format!("UNSUBSCRIBE {} {filter}", it.packet_id)
        }
        Packet::Disconnect(it) => std::format!("DISCONNECT {:#04x}", it.reason.byte()),
        Packet::Auth(it) => std::format!("AUTH {:#04x}", it.reason.byte()),
        Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingReq | Packet::PingResp => {
            std::format!("{:?}", packet.packet_type())
        }
    }
}

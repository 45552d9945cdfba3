//! What the broker has promised so far, read off what it has heard and said: bytes of sockets, decoded again.

use std::collections::{BTreeMap, BTreeSet};

use cloudsignal_core::codec::{Decoded, Decoder, PACKET_BYTES_MAX, Packet, PacketId, Publish};
use cloudsignal_core::{Qos, TopicFilter, TopicName, Version};

use super::trace::{Event, Socket};

/// Everything up to some moment.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    ports: Ports,
    connections: BTreeMap<u16, Connection>,
    pub(crate) sessions: BTreeMap<String, Session>,
    /// By the number that a payload begins with.
    pub(crate) messages: BTreeMap<u64, Message>,
    /// What each retained topic was set to, in order.
    pub(crate) retained: BTreeMap<String, Vec<Write>>,
    /// Answers that a user was made, or exists, to the making of users one after the other.
    pub(crate) users: u64,
}

/// Where the broker listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) mqtt: u16,
    pub(crate) http: u16,
}

/// A session that is to last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    /// CONNACK has left.
    pub(crate) is_agreed: bool,
    /// Filters whose SUBACK has left.
    pub(crate) held: BTreeSet<String>,
    /// Filters that were asked for.
    pub(crate) asked: BTreeSet<String>,
    /// Messages that came while a filter of theirs was held, and whether the client has answered.
    pub(crate) owed: BTreeMap<u64, Owed>,
    /// QoS 2 from the client: PUBREC has left, PUBCOMP has not.
    pub(crate) open: BTreeMap<u16, Exchange>,
    /// What packet ids to the client stand for.
    delivering: BTreeMap<u16, u64>,
}

/// An exchange whose end the client has not seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) number: u64,
    /// PUBREL has come: the client will not send the message again.
    pub(crate) is_released: bool,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    /// It must come.
    Due,
    /// The client has answered: it may come again.
    Answered,
    /// PUBREL has left: it must never come again.
    Released,
}

#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) qos: Qos,
    /// PUBACK or PUBREC has left.
    pub(crate) is_acked: bool,
}

/// A write to a retained topic: its number, 0 when it was cleared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) number: u64,
    pub(crate) is_acked: bool,
}

#[derive(Clone, Debug)]
struct Connection {
    client_id: String,
    is_lasting: bool,
    up: Vec<u8>,
    down: Vec<u8>,
    /// What packet ids from the client stand for: a message, or a write to a retained topic.
    publishing: BTreeMap<u16, Publishing>,
    subscribing: BTreeMap<u16, Vec<String>>,
}

#[derive(Clone, Debug)]
struct Publishing {
    number: u64,
    /// A retained topic, and which of its writes it is.
    write: Option<(String, usize)>,
}

/// The number that a payload begins with; 0 for none.
pub(crate) fn number_of(payload: &[u8]) -> u64 {
    let digits = payload.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// Whether a filter, as text, matches a topic.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    let filter = TopicFilter::parse(filter).expect("filters of the books were accepted");
    let topic = TopicName::parse(topic).expect("topics of the books were accepted");
    filter.matches(topic)
}

impl Books {
    pub(crate) const fn new(ports: Ports) -> Self {
        Self {
            ports,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            messages: BTreeMap::new(),
            retained: BTreeMap::new(),
            users: 0,
        }
    }

    /// Takes in what was heard or said.
    pub(crate) fn take(&mut self, event: &Event) {
        match event {
            Event::Received { socket, bytes } if socket.own_port == self.ports.mqtt => {
                let connection = self.connection(*socket);
                connection.up.extend_from_slice(bytes);
                let waiting = std::mem::take(&mut connection.up);
                let rest = self.each(&waiting, |books, packet| books.heard(*socket, packet));
                self.connection(*socket).up = rest;
            }
            Event::Sent { socket, bytes } if socket.own_port == self.ports.mqtt => {
                let connection = self.connection(*socket);
                connection.down.extend_from_slice(bytes);
                let waiting = std::mem::take(&mut connection.down);
                let rest = self.each(&waiting, |books, packet| books.said(*socket, packet));
                self.connection(*socket).down = rest;
            }
            Event::Sent { socket, bytes } if socket.own_port == self.ports.http => {
                let is_there = [b"HTTP/1.1 201", b"HTTP/1.1 409"];
                self.users += u64::from(is_there.iter().any(|it| bytes.starts_with(*it)));
            }
            _ => {}
        }
    }

    fn connection(&mut self, socket: Socket) -> &mut Connection {
        let fresh = || Connection {
            client_id: String::new(),
            is_lasting: false,
            up: Vec::new(),
            down: Vec::new(),
            publishing: BTreeMap::new(),
            subscribing: BTreeMap::new(),
        };
        self.connections.entry(socket.peer_port).or_insert_with(fresh)
    }

    /// Gives each whole packet away; answers the rest.
    fn each(&mut self, mut bytes: &[u8], mut act: impl FnMut(&mut Self, &Packet<'_>)) -> Vec<u8> {
        loop {
            let mut decoder = Decoder::with_version(Version::V5, PACKET_BYTES_MAX);
            match decoder.decode(bytes) {
                Ok(Decoded::Packet { packet, bytes: taken }) => {
                    act(self, &packet);
                    bytes = &bytes[taken..];
                }
                Ok(Decoded::Incomplete { .. }) => return bytes.to_vec(),
                Err(error) => panic!("a recorded connection is not MQTT: {error}"),
            }
        }
    }

    fn heard(&mut self, socket: Socket, packet: &Packet<'_>) {
        let connection = self.connection(socket);
        let client_id = connection.client_id.clone();
        match packet {
            Packet::Connect(connect) => {
                connection.client_id = connect.client_id.to_owned();
                connection.is_lasting = connect.session_expiry_secs.is_some_and(|secs| secs > 0);
            }
            Packet::Subscribe(subscribe) => {
                let filters = subscribe.filters.iter();
                let filters: Vec<_> = filters
                    .map(|it| it.filter.expect("filters of a run are valid").as_str().to_owned())
                    .collect();
                connection
                    .subscribing
                    .insert(subscribe.packet_id.get(), filters.clone());
                if let Some(session) = self.sessions.get_mut(&client_id) {
                    session.asked.extend(filters);
                }
            }
            Packet::Publish(publish) => self.published(socket, publish),
            Packet::PubAck(ack) | Packet::PubRec(ack) => {
                if let Some(session) = self.sessions.get_mut(&client_id) {
                    session.advance(ack.packet_id, Owed::Answered);
                }
            }
            Packet::PubRel(ack) => {
                let session = self.sessions.get_mut(&client_id);
                if let Some(exchange) = session.and_then(|it| it.open.get_mut(&ack.packet_id.get())) {
                    exchange.is_released = true;
                }
            }
            _ => {}
        }
    }

    fn published(&mut self, socket: Socket, publish: &Publish<'_>) {
        let topic = publish
            .topic
            .expect("nobody here uses aliases")
            .as_str()
            .to_owned();
        let number = number_of(publish.payload);
        let mut write = None;
        if publish.retain {
            let is_acked = false;
            let writes = self.retained.entry(topic.clone()).or_default();
            writes.push(Write { number, is_acked });
            write = Some((topic.clone(), writes.len() - 1));
        }
        if number > 0 && !self.messages.contains_key(&number) {
            for session in self.sessions.values_mut() {
                if session.held.iter().any(|filter| matches(filter, &topic)) {
                    session.owed.insert(number, Owed::Due);
                }
            }
            let (qos, is_acked) = (publish.qos, false);
            self.messages.insert(number, Message { topic, qos, is_acked });
        }
        if let Some(id) = publish.packet_id {
            let publishing = Publishing { number, write };
            self.connection(socket).publishing.insert(id.get(), publishing);
        }
    }

    fn said(&mut self, socket: Socket, packet: &Packet<'_>) {
        let connection = self.connection(socket);
        let client_id = connection.client_id.clone();
        let is_lasting = connection.is_lasting;
        match packet {
            Packet::ConnAck(connack) if is_lasting && !connack.reason.is_error() => {
                self.sessions.entry(client_id).or_default().is_agreed = true;
            }
            Packet::SubAck(suback) => {
                let filters = connection.subscribing.remove(&suback.packet_id.get());
                if let Some(session) = self.sessions.get_mut(&client_id) {
                    let granted = filters.into_iter().flatten().zip(&suback.reasons);
                    let granted = granted.filter(|(_, reason)| !reason.is_error());
                    session.held.extend(granted.map(|(filter, _)| filter));
                }
            }
            Packet::PubAck(ack) if !ack.reason.is_error() => self.acked(socket, ack.packet_id),
            Packet::PubRec(ack) if !ack.reason.is_error() => {
                let number = connection
                    .publishing
                    .get(&ack.packet_id.get())
                    .map(|it| it.number);
                if let (Some(session), Some(number)) = (self.sessions.get_mut(&client_id), number) {
                    let is_released = false;
                    session
                        .open
                        .insert(ack.packet_id.get(), Exchange { number, is_released });
                }
                self.acked(socket, ack.packet_id);
            }
            Packet::PubComp(ack) => {
                if let Some(session) = self.sessions.get_mut(&client_id) {
                    session.open.remove(&ack.packet_id.get());
                }
            }
            Packet::Publish(publish) => {
                let number = number_of(publish.payload);
                if let (Some(session), Some(id)) = (self.sessions.get_mut(&client_id), publish.packet_id) {
                    session.delivering.insert(id.get(), number);
                }
            }
            Packet::PubRel(ack) => {
                if let Some(session) = self.sessions.get_mut(&client_id) {
                    session.advance(ack.packet_id, Owed::Released);
                }
            }
            _ => {}
        }
    }

    fn acked(&mut self, socket: Socket, id: PacketId) {
        let Some(publishing) = self.connection(socket).publishing.get(&id.get()).cloned() else {
            return;
        };
        if let Some(message) = self.messages.get_mut(&publishing.number) {
            message.is_acked = true;
        }
        if let Some((topic, place)) = publishing.write
            && let Some(writes) = self.retained.get_mut(&topic)
        {
            writes[place].is_acked = true;
        }
    }
}

impl Session {
    fn advance(&mut self, id: PacketId, owed: Owed) {
        let number = self.delivering.get(&id.get());
        if let Some(known) = number.and_then(|number| self.owed.get_mut(number)) {
            *known = owed;
        }
    }
}

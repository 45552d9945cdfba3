//! A client at its end of a wire: reads packets, acknowledges what it has to, and tells what happened.

use std::collections::BTreeMap;
use std::mem;

use cloudsignal_core::codec::{
    Ack, Decoded, Decoder, PACKET_BYTES_MAX, Packet, PacketId, Publish, ReasonCode,
};
use cloudsignal_core::{Qos, Version};

/// What must come of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expects {
    /// The credential is good: only the organization's own limits may refuse it.
    Welcome,
    /// The credential is not good there.
    Refusal,
}

/// One end of a wire.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) org: usize,
    /// Its place among the organization's clients; `None` for an intruder.
    pub(crate) slot: Option<usize>,
    pub(crate) version: Version,
    pub(crate) expects: Expects,
    pub(crate) is_answered: bool,
    pub(crate) is_welcome: bool,
    /// It logged in with a token by the authentication method, so it may show another one.
    pub(crate) is_by_method: bool,
    /// Whether the token that it has shown by AUTH is its own.
    pub(crate) shown: Option<Expects>,
    is_lazy: bool,
    inbox: Vec<u8>,
    decoder: Decoder,
    topics: BTreeMap<u16, String>,
    /// Acknowledgements that it owes.
    held: Vec<Vec<u8>>,
    last_packet_id: u16,
}

/// What a client noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The answer to CONNECT.
    Answer { reason: ReasonCode, has_session: bool },
    /// A message of this topic and payload.
    Message {
        topic: String,
        payload: Vec<u8>,
        qos: Qos,
        is_retained: bool,
    },
    /// What became of something that it sent.
    Told(ReasonCode),
    /// It may go on with the token that it showed by AUTH.
    Renewed,
    /// Filters that were granted, and those that were refused.
    Subscribed { granted: u64, refused: Vec<ReasonCode> },
    /// Something that cannot be read.
    Unreadable,
}

impl Client {
    pub(crate) fn new(
        org: usize,
        slot: Option<usize>,
        version: Version,
        is_lazy: bool,
        expects: Expects,
    ) -> Self {
        Self {
            org,
            slot,
            version,
            expects,
            is_answered: false,
            is_welcome: false,
            is_by_method: false,
            shown: None,
            is_lazy,
            inbox: Vec::new(),
            decoder: Decoder::with_version(version, PACKET_BYTES_MAX),
            topics: BTreeMap::new(),
            held: Vec::new(),
            last_packet_id: 0,
        }
    }

    /// A packet identifier that is free: what has one is answered before anything else happens.
    pub(crate) const fn packet_id(&mut self) -> PacketId {
        self.last_packet_id = self.last_packet_id % 60_000 + 1;
        PacketId::new(self.last_packet_id).expect("invariant: at least 1")
    }

    /// Everything that it owes.
    pub(crate) fn acknowledge(&mut self) -> Vec<u8> {
        self.held.drain(..).flatten().collect()
    }

    /// Reads what came; answers what it noticed, and what it sends because of that.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> (Vec<News>, Vec<u8>) {
        let mut inbox = mem::take(&mut self.inbox);
        inbox.extend_from_slice(bytes);
        let (mut news, mut replies, mut at) = (Vec::new(), Vec::new(), 0);
        loop {
            let mut decoder = self.decoder;
            match decoder.decode(&inbox[at..]) {
                Ok(Decoded::Packet { packet, bytes }) => {
                    self.take(&packet, &mut news, &mut replies);
                    at += bytes;
                }
                Ok(Decoded::Incomplete { .. }) => break,
                Err(_unreadable) => {
                    news.push(News::Unreadable);
                    at = inbox.len();
                    break;
                }
            }
        }
        inbox.drain(..at);
        self.inbox = inbox;
        (news, replies)
    }

    fn take(&mut self, packet: &Packet<'_>, news: &mut Vec<News>, replies: &mut Vec<u8>) {
        match packet {
            Packet::ConnAck(answer) => {
                self.is_answered = true;
                self.is_welcome = !answer.reason.is_error();
                news.push(News::Answer {
                    reason: answer.reason,
                    has_session: answer.session_present,
                });
            }
            Packet::Publish(publish) => self.take_message(publish, news, replies),
            Packet::PubRec(ack) => {
                if ack.reason.is_error() {
                    news.push(News::Told(ack.reason));
                } else {
                    self.reply(&Packet::PubRel(accept(ack.packet_id)), replies);
                }
            }
            Packet::PubRel(ack) => self.owe(&Packet::PubComp(accept(ack.packet_id)), replies),
            Packet::PubAck(ack) | Packet::PubComp(ack) => news.push(News::Told(ack.reason)),
            Packet::SubAck(ack) => {
                let refused: Vec<_> = ack.reasons.iter().copied().filter(|it| it.is_error()).collect();
                let granted = (ack.reasons.len() - refused.len()) as u64;
                news.push(News::Subscribed { granted, refused });
            }
            Packet::Disconnect(goodbye) => news.push(News::Told(goodbye.reason)),
            Packet::Auth(_) => news.push(News::Renewed),
            Packet::UnsubAck(_) | Packet::PingResp => {}
            Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
                news.push(News::Unreadable);
            }
        }
    }

    fn take_message(&mut self, publish: &Publish<'_>, news: &mut Vec<News>, replies: &mut Vec<u8>) {
        let alias = publish.properties.topic_alias.map(PacketId::get);
        let topic = match (publish.topic, alias) {
            (Some(topic), Some(alias)) => {
                self.topics.insert(alias, topic.as_str().to_owned());
                topic.as_str().to_owned()
            }
            (Some(topic), None) => topic.as_str().to_owned(),
            (None, alias) => match alias.and_then(|alias| self.topics.get(&alias)) {
                Some(topic) => topic.clone(),
                None => return news.push(News::Unreadable),
            },
        };
        news.push(News::Message {
            topic,
            payload: publish.payload.to_vec(),
            qos: publish.qos,
            is_retained: publish.retain,
        });
        match (publish.qos, publish.packet_id) {
            (Qos::AtLeastOnce, Some(id)) => self.owe(&Packet::PubAck(accept(id)), replies),
            (Qos::ExactlyOnce, Some(id)) => self.owe(&Packet::PubRec(accept(id)), replies),
            (Qos::AtMostOnce | Qos::AtLeastOnce | Qos::ExactlyOnce, _) => {}
        }
    }

    fn owe(&mut self, packet: &Packet<'_>, replies: &mut Vec<u8>) {
        if self.is_lazy {
            let mut held = Vec::new();
            self.reply(packet, &mut held);
            self.held.push(held);
        } else {
            self.reply(packet, replies);
        }
    }

    fn reply(&self, packet: &Packet<'_>, replies: &mut Vec<u8>) {
        packet
            .encode(self.version, replies)
            .expect("invariant: an acknowledgement can be written");
    }
}

const fn accept(id: PacketId) -> Ack<'static> {
    Ack::new(id, ReasonCode::Success)
}

//! One connection, from dialing to its end.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::frame::Form;
use super::options::Options;
use super::output::{Output, Sink, WireId};
use super::pulse::Pulse;
use crate::codec::{ConnAck, Decoder, Disconnect, PACKET_BYTES_MAX, Publish};
use crate::time::{Duration, Instant};
use crate::topic::{TopicName, TopicNameBuf};
use crate::{Qos, Version};

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody has answered the dialing.
    Dialing,
    /// It is open; CONNECT waits for a token.
    Open,
    /// CONNECT is sent.
    Greeting,
    /// CONNACK has come.
    Live,
}

/// How far a renewal of the token by AUTH is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// CONNECT named no method: there is no AUTH.
    Impossible,
    Possible,
    /// The server was asked; it answers before this moment.
    Asked(Instant),
}

/// What the server has said in CONNACK.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) receive_max: u16,
    pub(super) packet_bytes_max: u32,
    pub(super) qos_max: Qos,
    pub(super) has_retain: bool,
    pub(super) has_subscription_ids: bool,
    /// Messages are numbered: the highest number that the server has given in this session.
    pub(super) session_at: Option<u64>,
    pub(super) topic_alias_max: u16,
}

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) id: WireId,
    pub(super) stage: Stage,
    pub(super) version: Version,
    pub(super) decoder: Decoder,
    /// The beginning of a packet that is not whole.
    pub(super) inbox: Vec<u8>,
    /// What is to be sent at the end of this call.
    pub(super) out: Vec<u8>,
    /// When dialing and greeting have taken too long; `None` while a token is awaited.
    pub(super) deadline: Option<Instant>,
    pub(super) live_since: Instant,
    pub(super) renewal: Renewal,
    pub(super) pulse: Pulse,
    pub(super) terms: Terms,
    pub(super) aliases_in: Vec<Option<TopicNameBuf>>,
    pub(super) aliases_out: Vec<Box<str>>,
}

impl Wire {
    pub(super) fn new(id: WireId, version: Version, options: &Options, now: Instant) -> Self {
        Self {
            id,
            stage: Stage::Dialing,
            version,
            decoder: Decoder::with_version(version, options.packet_bytes_max),
            inbox: Vec::new(),
            out: Vec::new(),
            deadline: Some(now.after(options.patience.connect)),
            live_since: now,
            renewal: Renewal::Impossible,
            pulse: Pulse::new(Duration::ZERO, now),
            terms: Terms::unknown(),
            aliases_in: Vec::new(),
            aliases_out: Vec::new(),
        }
    }

    pub(super) const fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live)
    }

    pub(super) const fn form(&self) -> Form {
        Form {
            version: self.version,
            is_sequenced: self.terms.session_at.is_some(),
        }
    }

    /// Adds PINGREQ to what is sent at the end of this call.
    pub(super) fn ping(&mut self) {
        self.out.extend_from_slice(&PINGREQ);
    }

    /// Adds DISCONNECT to what is sent at the end of this call.
    pub(super) fn goodbye(&mut self, packet: &Disconnect<'_>) {
        // Our own packets obey the rules; a server without a word sees the connection end.
        let _ = packet.encode(self.version, &mut self.out);
    }

    /// When this connection needs attention.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        if !self.is_live() {
            return self.deadline;
        }
        let renewal = match self.renewal {
            Renewal::Asked(until) => Some(until),
            Renewal::Impossible | Renewal::Possible => None,
        };
        renewal.into_iter().chain(self.pulse.wakes_at()).min()
    }

    /// Hands out what has gathered.
    pub(super) fn flush(&mut self, now: Instant, sink: &mut dyn Sink) {
        if self.out.is_empty() {
            return;
        }
        self.pulse.sent(now);
        sink.output(Output::Send {
            wire: self.id,
            bytes: &self.out,
        });
        self.out.clear();
        if self.out.capacity() > OUT_KEPT {
            self.out = Vec::new();
        }
    }

    /// The topic of a PUBLISH, which may be abbreviated [MQTT-3.3.2-12]. `None`: the server broke the rules.
    pub(super) fn resolve<'a>(
        aliases: &'a mut Vec<Option<TopicNameBuf>>,
        alias_max: u16,
        publish: &Publish<'a>,
    ) -> Option<TopicName<'a>> {
        let Some(alias) = publish.properties.topic_alias else {
            return publish.topic;
        };
        if alias.get() > alias_max {
            return None; // [MQTT-3.3.2-8]
        }
        let index = usize::from(alias.get()) - 1;
        if aliases.len() <= index {
            aliases.resize(index + 1, None);
        }
        match publish.topic {
            Some(topic) => {
                aliases[index] = Some(topic.to_owned());
                Some(topic)
            }
            None => aliases[index].as_ref().map(TopicNameBuf::as_ref),
        }
    }

    /// The abbreviation of a topic towards the server, and whether the server knows it already.
    pub(super) fn abbreviate(&mut self, topic: &str) -> Option<(core::num::NonZeroU16, bool)> {
        let known = self.aliases_out.iter().position(|it| **it == *topic);
        let index = match known {
            Some(index) => index,
            None if self.aliases_out.len() < usize::from(self.terms.topic_alias_max) => {
                self.aliases_out.push(String::from(topic).into());
                self.aliases_out.len() - 1
            }
            None => return None,
        };
        let alias = core::num::NonZeroU16::new(u16::try_from(index + 1).ok()?)?;
        Some((alias, known.is_some()))
    }

    /// The packet that would have introduced the last abbreviation was not sent.
    pub(super) fn forget_abbreviation(&mut self, was_new: bool) {
        if was_new {
            self.aliases_out.pop();
        }
    }
}

/// A packet without a body (section 3.12).
const PINGREQ: [u8; 2] = [0xC0, 0];
/// A larger buffer than this is given back after it was sent, bytes.
const OUT_KEPT: usize = 64 << 10;

impl Terms {
    const fn unknown() -> Self {
        Self {
            receive_max: 0,
            packet_bytes_max: PACKET_BYTES_MAX,
            qos_max: Qos::ExactlyOnce,
            has_retain: true,
            has_subscription_ids: false,
            session_at: None,
            topic_alias_max: 0,
        }
    }

    pub(super) fn read(connack: &ConnAck<'_>, version: Version, options: &Options) -> Self {
        Self {
            receive_max: connack.receive_max.map_or(u16::MAX, core::num::NonZeroU16::get),
            packet_bytes_max: connack.packet_bytes_max.unwrap_or(PACKET_BYTES_MAX),
            qos_max: connack.qos_max.unwrap_or(Qos::ExactlyOnce),
            has_retain: connack.retain_available.unwrap_or(true),
            has_subscription_ids: version.is_v5() && connack.subscription_ids_available.unwrap_or(true),
            session_at: connack.user_properties.sequence().ok().flatten(),
            topic_alias_max: connack.topic_alias_max.unwrap_or(0).min(options.topic_alias_max),
        }
    }
}

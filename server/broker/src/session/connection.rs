//! What lives with a connection: what was negotiated, and replies that wait for the store.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU16;

use cloudsignal_core::codec::{Disconnect, EncodeError, PublishLayout, ReasonCode};
use cloudsignal_core::topic::TopicNameBuf;
use cloudsignal_core::{Duration, Instant, Version};

use super::{Seldom, Will};
use crate::authz::LastPermit;
use crate::identity::Identity;
use crate::message::Message;
use crate::org::auth::AuthState;
use crate::refusals::Refusals;
use crate::sink::{CloseCause, ConnId, Sink, Ticket};
use crate::turn::{Desk, Turn};

/// An open connection of a session.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    pub(crate) version: Version,
    /// That of its session, ready for changes.
    pub(crate) client_id: Arc<str>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) auth: AuthState,
    /// Whether the client wants reason strings and user properties on everything.
    pub(crate) problem_info: bool,
    pub(crate) will: Option<Box<Will>>,
    /// One and a half keep alive intervals, in microseconds; 0 when there is none. [MQTT-3.1.2-22]
    pub(crate) silence_max_micros: u64,
    /// When it was let in.
    pub(crate) connected_at: Instant,
    pub(crate) clean_start: bool,
    /// Whether QoS 1 and 2 messages carry their number, in both directions.
    pub(crate) is_numbered: bool,
    pub(crate) traffic: Traffic,
    /// When the last packet came, or when nobody listened.
    pub(crate) heard_at: Instant,
    /// When the keep alive timer fires; [`Instant::MAX`] when it is not armed.
    pub(crate) keep_alive_at: Instant,
    /// When the resume timer fires; [`Instant::MAX`] when it is not armed.
    pub(crate) resume_at: Instant,
    /// When the credential timer fires; [`Instant::MAX`] when it is not armed.
    pub(crate) ends_at: Instant,

    // From the client.
    /// The Receive Maximum it was told.
    pub(crate) receive_max: u16,
    /// The Topic Alias Maximum it was told.
    pub(crate) alias_max: u16,
    pub(crate) aliases_in: Seldom<Vec<Option<TopicNameBuf>>>,
    /// QoS 1 and 2 publishes of this connection that we have not finally acknowledged.
    pub(crate) receiving: u16,
    pub(crate) last_permit: LastPermit,

    // Towards the client.
    /// Its Maximum Packet Size, in bytes.
    pub(crate) packet_bytes_max: usize,
    /// QoS 1 and 2 publishes that may still be sent before one is acknowledged.
    pub(crate) quota: u16,
    pub(crate) aliases_out: AliasesOut,
    /// Whether the output is as full as it may be: messages wait in the session's queue.
    pub(crate) output_full: bool,
    /// Whether CONNACK still waits for the store: nothing may overtake it.
    pub(crate) opening: bool,
    /// Whether a reply was due that is larger than the client accepts: the connection has to end.
    pub(crate) outgrown: bool,
    /// Entries of the window that this connection has to send again.
    pub(crate) unsent: usize,
    /// Whether its messages wait for the organization's delivery quota.
    pub(crate) is_starved: bool,
    /// Publishes of it that a rate refused.
    pub(crate) refusals: Refusals,
    /// The last ticket that something of it waits for.
    pub(crate) awaits: Ticket,
    held: Seldom<VecDeque<Held>>,
}

/// PUBLISH packets of one connection. It only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// PUBLISH packets from the client.
    pub messages_in: u64,
    /// Their payload bytes.
    pub bytes_in: u64,
    /// PUBLISH packets to the client; a retransmission counts again.
    pub messages_out: u64,
    /// Their payload bytes.
    pub bytes_out: u64,
}

impl Traffic {
    pub(crate) const fn received(&mut self, payload_bytes: usize) {
        self.messages_in += 1;
        self.bytes_in += payload_bytes as u64;
    }

    pub(crate) const fn sent(&mut self, payload_bytes: usize) {
        self.messages_out += 1;
        self.bytes_out += payload_bytes as u64;
    }
}

/// Replies that wait for the store, already encoded.
#[derive(Debug)]
struct Held {
    ticket: Ticket,
    bytes: Vec<u8>,
    /// How many publishes these replies finally acknowledge.
    completes: u16,
}

/// What a reply means for the publishes that we are receiving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completes {
    /// Nothing: not the end of a publish.
    Nothing,
    /// It ends one.
    Publish,
}

impl Connection {
    pub(crate) fn new(
        id: ConnId,
        version: Version,
        client_id: Arc<str>,
        identity: Arc<Identity>,
        now: Instant,
    ) -> Self {
        Self {
            id,
            version,
            client_id,
            identity,
            auth: AuthState::Without,
            problem_info: true,
            will: None,
            silence_max_micros: 0,
            connected_at: now,
            clean_start: false,
            is_numbered: false,
            traffic: Traffic::default(),
            heard_at: now,
            keep_alive_at: Instant::MAX,
            resume_at: Instant::MAX,
            ends_at: Instant::MAX,
            receive_max: u16::MAX,
            alias_max: 0,
            aliases_in: Seldom::new(),
            receiving: 0,
            last_permit: LastPermit::default(),
            packet_bytes_max: usize::MAX,
            quota: u16::MAX,
            aliases_out: AliasesOut::default(),
            output_full: false,
            opening: false,
            outgrown: false,
            unsent: 0,
            is_starved: false,
            refusals: Refusals::default(),
            awaits: Ticket(0),
            held: Seldom::new(),
        }
    }

    /// When the client has been silent for too long, if it stays silent.
    pub(crate) fn silent_at(&self) -> Instant {
        match self.silence_max_micros {
            0 => Instant::MAX,
            micros => self.heard_at.after(Duration::from_micros(micros)),
        }
    }

    /// Whether a message may be sent now.
    pub(crate) const fn is_writable(&self) -> bool {
        !self.output_full && !self.opening
    }

    /// Sends the packet that `encode` appends, or holds it until what the packet being handled
    /// changed is stored. Replies leave in the order of the packets they answer. [MQTT-4.6.0-2]
    pub(crate) fn reply<S: Sink>(
        &mut self,
        turn: &mut Turn<'_, S>,
        completes: Completes,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) {
        let start = turn.desk.scratch.len();
        encode(&mut turn.desk.scratch).expect("invariant: our replies fit a packet");
        if turn.desk.scratch.len() - start > self.packet_bytes_max {
            self.outgrown = true; // [MQTT-3.1.2-24]
        } else if turn.desk.changed {
            self.hold(turn.desk.ticket, &turn.desk.scratch[start..], completes);
            turn.desk.wait(self);
        } else if let Some(last) = self.held.back() {
            self.hold(last.ticket, &turn.desk.scratch[start..], completes);
        } else {
            self.complete(u16::from(completes == Completes::Publish));
            self.write(
                turn.sink,
                &turn.desk.scratch[start..],
                turn.desk.limits.output_bytes_max,
            );
        }
        turn.desk.scratch.truncate(start);
    }

    /// PINGRESP has no order among other packets: it overtakes what waits for the store, except CONNACK. However long
    /// that takes, the client hears that its connection works.
    pub(crate) fn answer_ping<S: Sink>(&mut self, turn: &mut Turn<'_, S>, bytes: &[u8]) {
        match self.held.back().filter(|_| self.opening) {
            Some(last) => self.hold(last.ticket, bytes, Completes::Nothing),
            None => self.write(turn.sink, bytes, turn.desk.limits.output_bytes_max),
        }
    }

    /// Replies from here on wait until that is stored.
    pub(crate) fn hold_until(&mut self, desk: &mut Desk, ticket: Ticket) {
        if self.held.back().is_none_or(|last| last.ticket < ticket) {
            self.hold(ticket, &[], Completes::Nothing);
            desk.wait_for(ticket, self);
        }
    }

    fn hold(&mut self, ticket: Ticket, bytes: &[u8], completes: Completes) {
        let completes = u16::from(completes == Completes::Publish);
        match self.held.back_mut().filter(|last| last.ticket == ticket) {
            Some(last) => {
                last.bytes.extend_from_slice(bytes);
                last.completes += completes;
            }
            None => self.held.push_back(Held {
                ticket,
                bytes: bytes.into(),
                completes,
            }),
        }
    }

    /// Sends the replies that waited for `stored` or less.
    pub(crate) fn release<S: Sink>(&mut self, turn: &mut Turn<'_, S>, stored: Ticket) {
        let is_stored = |held: &mut Held| held.ticket <= stored;
        while let Some(held) = self.held.existing().and_then(|it| it.pop_front_if(is_stored)) {
            self.opening = false;
            self.complete(held.completes);
            self.write(turn.sink, &held.bytes, turn.desk.limits.output_bytes_max);
        }
    }

    pub(crate) const fn complete(&mut self, publishes: u16) {
        self.receiving = self.receiving.saturating_sub(publishes);
    }

    fn write<S: Sink>(&mut self, sink: &mut S, bytes: &[u8], output_bytes_max: usize) {
        self.output_full |= sink.send(self.id, bytes) >= output_bytes_max;
    }

    /// Sends a PUBLISH that lies in the scratch buffer, its payload perhaps left out.
    pub(crate) fn send_publish<S: Sink>(
        &mut self,
        turn: &mut Turn<'_, S>,
        layout: PublishLayout,
        payload: Option<&Arc<Message>>,
    ) {
        let bytes = &turn.desk.scratch[layout.start..layout.end];
        let waiting = match payload {
            Some(message) => turn.sink.send_shared(self.id, bytes, message),
            None => turn.sink.send(self.id, bytes),
        };
        self.output_full |= waiting >= turn.desk.limits.output_bytes_max;
    }

    /// Says goodbye as far as the version allows, and closes.
    pub(crate) fn close<S: Sink>(&self, turn: &mut Turn<'_, S>, reason: ReasonCode, why: &str) {
        // [MQTT-3.14.0-1]: not before CONNACK.
        if self.version.is_v5() && !self.opening {
            let why = (self.problem_info && !why.is_empty()).then_some(why);
            if !self.say_goodbye(turn, reason, why) {
                self.say_goodbye(turn, reason, None); // [MQTT-3.14.2-3]
            }
        }
        turn.sink.close(self.id, CloseCause::Server(reason));
    }

    /// Answers false when DISCONNECT would be larger than the client accepts.
    fn say_goodbye<S: Sink>(&self, turn: &mut Turn<'_, S>, reason: ReasonCode, why: Option<&str>) -> bool {
        let start = turn.desk.scratch.len();
        let mut packet = Disconnect::new(reason);
        packet.reason_string = why;
        packet
            .encode(self.version, &mut turn.desk.scratch)
            .expect("invariant: our reasons are short");
        let fits = turn.desk.scratch.len() - start <= self.packet_bytes_max;
        if fits {
            turn.sink.send(self.id, &turn.desk.scratch[start..]);
        }
        turn.desk.scratch.truncate(start);
        fits
    }
}

/// Topic aliases that we set: the first topics that come, for as long as the connection lives.
#[derive(Debug, Default)]
pub(crate) struct AliasesOut {
    max: u16,
    topics: Seldom<Vec<Box<str>>>,
}

/// What an alias does in one PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AliasUse {
    /// There is none for this topic.
    None,
    /// The packet sets it: it carries topic and alias.
    Set(NonZeroU16),
    /// It stands for the topic.
    Known(NonZeroU16),
}

/// An alias takes three bytes of its own: a topic that is no longer than them gains nothing.
const ALIASED_TOPIC_BYTES_MIN: usize = 4;

impl AliasesOut {
    pub(crate) fn new(max: u16) -> Self {
        Self {
            max,
            topics: Seldom::new(),
        }
    }

    pub(crate) const fn is_off(&self) -> bool {
        self.max == 0
    }

    /// What to do for `topic`; [`AliasesOut::keep`] has to follow once a `Set` was sent.
    pub(crate) fn find(&self, topic: &str) -> AliasUse {
        let number = |at: usize| u16::try_from(at + 1).ok().and_then(NonZeroU16::new);
        if self.max == 0 || topic.len() < ALIASED_TOPIC_BYTES_MIN {
            return AliasUse::None;
        }
        if let Some(at) = self.topics.iter().position(|known| **known == *topic) {
            return number(at).map_or(AliasUse::None, AliasUse::Known);
        }
        if self.topics.len() >= usize::from(self.max) {
            return AliasUse::None;
        }
        number(self.topics.len()).map_or(AliasUse::None, AliasUse::Set)
    }

    pub(crate) fn keep(&mut self, topic: &str) {
        self.topics.push(topic.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_fits_a_class_of_the_allocator() {
        let bytes = size_of::<Connection>();
        assert!(bytes <= 256, "{bytes} bytes");
    }

    #[test]
    fn an_alias_is_set_where_it_saves_bytes_and_while_there_is_room() {
        let first = NonZeroU16::MIN;
        let mut aliases = AliasesOut::new(1);
        assert_eq!(aliases.find("abc"), AliasUse::None);
        assert_eq!(aliases.find("abcd"), AliasUse::Set(first));
        aliases.keep("abcd");
        assert_eq!(aliases.find("abcd"), AliasUse::Known(first));
        assert_eq!(aliases.find("efgh"), AliasUse::None);
    }
}

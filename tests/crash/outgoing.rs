//! A publish that a client has under way, over as many connections as it takes.

use cloudsignal_core::TopicName;
use cloudsignal_core::codec::{Ack, Packet, PacketId, Publish, ReasonCode};

use crate::connection::Connection;
use crate::message::Name;
use crate::plan::{Plan, StreamKind};

/// A publish that is under way.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) id: PacketId,
    pub(crate) name: Name,
    pub(crate) payload: Vec<u8>,
    pub(crate) step: Step,
    /// How often this step was taken, on this connection and before.
    pub(crate) turn: Turn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Publish,
    Release,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// May be held back.
    First,
    /// On a connection before this one: it is due at once.
    Again,
    /// Sent on this connection; the answer is awaited.
    Taken,
}

impl Outgoing {
    /// PUBREL may be held back; what was on its way before may not.
    pub(crate) fn may_wait(&self) -> bool {
        self.step == Step::Release && self.turn == Turn::First
    }

    pub(crate) fn lose_connection(&mut self) {
        self.turn = Turn::Again;
    }

    pub(crate) fn send(&mut self, plan: &Plan, connection: &mut Connection) {
        let stream = &plan.streams[self.name.stream];
        match self.step {
            Step::Publish => {
                let topic = TopicName::parse(&stream.topic).expect("a topic of ours");
                let mut publish = Publish::new(topic, &self.payload);
                publish.qos = stream.qos;
                publish.packet_id = Some(self.id);
                publish.retain = stream.kind == StreamKind::Retained;
                publish.dup = self.turn == Turn::Again;
                connection.send(&Packet::Publish(publish));
            }
            Step::Release => connection.send(&Packet::PubRel(Ack::new(self.id, ReasonCode::Success))),
        }
        self.turn = Turn::Taken;
    }
}

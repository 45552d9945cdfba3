//! What a client remembers over its connections, and over the end of the broker: what it has under way in both
//! directions, and what it has asked for. It follows the protocol to the letter, so that what arrives twice or never is
//! the broker's doing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cloudsignal_core::codec::{
    Ack, AckKind, Packet, PacketId, ReasonCode, Subscribe, SubscribeFilter, Unsubscribe,
};
use cloudsignal_core::{Qos, TopicFilter};

use crate::books::{Ask, Presence};
use crate::connection::{Connection, Got, Occasion, Retain};
use crate::ledger::Ledger;
use crate::message::{self, Name};
use crate::outgoing::{Outgoing, Step, Turn};
use crate::plan::Plan;
use crate::retained::Value;

/// The memory of one member.
#[derive(Debug)]
pub(crate) struct Session {
    member: usize,
    plan: Arc<Plan>,
    ledger: Ledger,
    last_id: u16,
    outgoing: VecDeque<Outgoing>,
    /// QoS 2 messages for which PUBREL has not come.
    received: BTreeMap<PacketId, Name>,
    /// What each packet id has come with last.
    seen: BTreeMap<PacketId, Name>,
    /// Acknowledgements that are not sent yet; they do not outlive the connection.
    acks: VecDeque<(AckKind, Ack<'static>)>,
    interests: BTreeMap<usize, Interest>,
}

/// How a subscription stands with the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interest {
    Wanted(Ask),
    Asked(Ask, PacketId),
    Settled(Ask),
}

impl Session {
    pub(crate) fn new(member: usize, plan: &Arc<Plan>, ledger: &Ledger) -> Self {
        let own = plan.members[member].subscriptions.iter();
        Self {
            member,
            plan: Arc::clone(plan),
            ledger: ledger.clone(),
            last_id: 0,
            outgoing: VecDeque::new(),
            received: BTreeMap::new(),
            seen: BTreeMap::new(),
            acks: VecDeque::new(),
            interests: own.map(|&it| (it, Interest::Wanted(Ask::Subscribe))).collect(),
        }
    }

    /// A connection has begun.
    pub(crate) fn handle_connected(&mut self, present: Presence) {
        self.ledger.with(|books| books.connected(self.member, present));
        self.acks.clear();
        match present {
            // What was not answered is sent again, in its order, with the same packet ids [MQTT-4.4.0-1].
            Presence::Present => self.outgoing.iter_mut().for_each(Outgoing::lose_connection),
            Presence::Absent => self.forget(),
        }
        for interest in self.interests.values_mut() {
            if let Interest::Asked(ask, _) = *interest {
                *interest = Interest::Wanted(ask);
            }
        }
    }

    /// The broker knows nothing of this session, so the client must not either [MQTT-3.2.2-5].
    fn forget(&mut self) {
        let open = self.outgoing.drain(..).filter(|it| it.step == Step::Publish);
        let abandoned = open.count() as u64;
        self.ledger.with(|books| books.tally.abandoned += abandoned);
        self.received.clear();
        self.seen.clear();
        for interest in self.interests.values_mut() {
            let is_wanted = !matches!(
                interest,
                Interest::Asked(Ask::Unsubscribe, _) | Interest::Settled(Ask::Unsubscribe)
            );
            if is_wanted {
                *interest = Interest::Wanted(Ask::Subscribe);
            }
        }
    }

    /// Sends what is due. `held_max` first steps of answers may wait.
    pub(crate) fn send_due(&mut self, held_max: usize, connection: &mut Connection) {
        let mut waiting = self.outgoing.iter().filter(|it| it.may_wait()).count();
        for outgoing in &mut self.outgoing {
            let is_due = match outgoing.turn {
                Turn::Taken => false,
                Turn::Again => true,
                Turn::First => waiting > held_max,
            };
            if outgoing.may_wait() {
                waiting -= usize::from(is_due);
            }
            if is_due {
                outgoing.send(&self.plan, connection);
            }
        }
        while self.acks.len() > held_max {
            let Some((kind, ack)) = self.acks.pop_front() else {
                return;
            };
            connection.send(&packet_of(kind, ack));
        }
        self.send_asks(connection);
    }

    fn send_asks(&mut self, connection: &mut Connection) {
        let wanted: Vec<_> = self
            .interests
            .iter()
            .filter_map(|(&number, interest)| match interest {
                Interest::Wanted(ask) => Some((number, *ask)),
                Interest::Asked(..) | Interest::Settled(_) => None,
            })
            .collect();
        for (number, ask) in wanted {
            let id = self.free_id();
            let plan = &self.plan.subscriptions[number];
            let filter = TopicFilter::parse(&plan.filter).expect("a filter of ours");
            self.ledger.with(|books| books.asking(number, ask));
            connection.send(&match ask {
                Ask::Subscribe => {
                    Packet::Subscribe(Subscribe::new(id, vec![SubscribeFilter::new(filter, plan.qos)]))
                }
                Ask::Unsubscribe => Packet::Unsubscribe(Unsubscribe::new(id, vec![Ok(filter)])),
            });
            self.interests.insert(number, Interest::Asked(ask, id));
        }
    }

    /// Publishes under way.
    pub(crate) fn outgoing(&self) -> usize {
        self.outgoing.len()
    }

    /// Sends the next message of a stream.
    pub(crate) fn publish(
        &mut self,
        stream: usize,
        value: Value,
        padding: usize,
        connection: &mut Connection,
    ) {
        let number = self.ledger.with(|books| books.sent(stream, value));
        let name = Name { stream, number };
        let mut outgoing = Outgoing {
            id: self.free_id(),
            name,
            payload: match value {
                Value::Number => message::payload(name, padding),
                Value::Clear => Vec::new(),
            },
            step: Step::Publish,
            turn: Turn::First,
        };
        outgoing.send(&self.plan, connection);
        self.outgoing.push_back(outgoing);
    }

    /// Whether every publish is answered, every answer given, and every wish granted.
    pub(crate) fn is_at_rest(&self) -> bool {
        let settled = |it: &Interest| *it == Interest::Settled(Ask::Subscribe);
        self.outgoing.is_empty() && self.acks.is_empty() && self.interests.values().all(settled)
    }

    /// Ends a subscription that stands, or makes one again that was ended; otherwise does nothing.
    pub(crate) fn toggle(&mut self, subscription: usize, ask: Ask) {
        let interest = self.interests.get_mut(&subscription);
        let interest = interest.expect("invariant: one of its own subscriptions");
        match (*interest, ask) {
            (Interest::Settled(Ask::Subscribe), Ask::Unsubscribe)
            | (Interest::Settled(Ask::Unsubscribe), Ask::Subscribe) => *interest = Interest::Wanted(ask),
            (Interest::Wanted(_) | Interest::Asked(..) | Interest::Settled(_), _) => {}
        }
    }

    /// Makes a subscription again that should be there.
    pub(crate) fn heal(&mut self, subscription: usize) {
        self.interests
            .insert(subscription, Interest::Wanted(Ask::Subscribe));
    }

    /// What it waits for, in words.
    pub(crate) fn doing(&self) -> String {
        format!(
            "{} publishes open, {} acknowledgements held, {} messages unreleased, subscriptions {:?}",
            self.outgoing.len(),
            self.acks.len(),
            self.received.len(),
            self.interests
        )
    }

    /// A packet has come.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn handle(&mut self, got: Got) -> Result<(), String> {
        match got {
            Got::Publish {
                qos,
                occasion,
                retain,
                topic,
                payload,
                packet_id,
            } => {
                self.check_occasion(qos, occasion, &payload, packet_id)?;
                self.handle_publish(qos, retain, &topic, &payload, packet_id)
            }
            Got::Ack(AckKind::PubRel, id, _) => {
                let known = self.received.remove(&id).is_some();
                let reason = if known {
                    ReasonCode::Success
                } else {
                    ReasonCode::PacketIdentifierNotFound
                };
                self.acks.push_back((AckKind::PubComp, Ack::new(id, reason)));
                Ok(())
            }
            Got::Ack(kind, id, reason) => {
                self.handle_ack(kind, id, reason);
                Ok(())
            }
            Got::SubAck(id, Some(reason)) if !reason.is_error() => self.handle_answer(id, Ask::Subscribe),
            Got::UnsubAck(id) => self.handle_answer(id, Ask::Unsubscribe),
            Got::PingResp | Got::Disconnect(_) => Ok(()),
            Got::ConnAck(_) | Got::SubAck(..) | Got::Other(_) => Err(format!("{got:?}")),
        }
    }

    /// What has come under a packet id in this session carries DUP when it comes under it again [MQTT-3.3.1-1]. What has
    /// never come may carry it: the broker cannot know whether it did.
    ///
    /// At QoS 2 that is a fault. At QoS 1 it is counted: a broker that was killed may have sent what it had stored, but not
    /// that it sent it.
    fn check_occasion(
        &mut self,
        qos: Qos,
        occasion: Occasion,
        payload: &[u8],
        id: Option<PacketId>,
    ) -> Result<(), String> {
        let (Some(id), Some(name)) = (id, message::read(payload)) else {
            return Ok(());
        };
        let is_repeated = self.seen.insert(id, name) == Some(name);
        match (qos, occasion) {
            (Qos::ExactlyOnce, Occasion::First) if is_repeated => {
                Err(format!("{name:?} again under packet id {id}, without DUP"))
            }
            (Qos::AtLeastOnce, Occasion::First) if is_repeated => {
                self.ledger.with(|books| books.tally.unmarked += 1);
                Ok(())
            }
            (Qos::AtMostOnce | Qos::AtLeastOnce | Qos::ExactlyOnce, Occasion::First | Occasion::Again) => {
                Ok(())
            }
        }
    }

    fn handle_publish(
        &mut self,
        qos: Qos,
        retain: Retain,
        topic: &str,
        payload: &[u8],
        id: Option<PacketId>,
    ) -> Result<(), String> {
        let name = message::read(payload);
        let is_whole = name.is_some_and(|it| {
            self.plan
                .streams
                .get(it.stream)
                .is_some_and(|it| it.topic == topic)
        });
        let Some(name) = name.filter(|_| is_whole && retain == Retain::New) else {
            let text = String::from_utf8_lossy(payload);
            return Err(format!(
                "a message that nobody sent so: {retain:?} {topic:?} {text:?}"
            ));
        };
        match (qos, id) {
            (Qos::AtLeastOnce, Some(id)) => {
                self.ledger.with(|books| books.arrived(self.member, name));
                self.acks
                    .push_back((AckKind::PubAck, Ack::new(id, ReasonCode::Success)));
                Ok(())
            }
            (Qos::ExactlyOnce, Some(id)) => {
                let before = self.received.insert(id, name);
                self.acks
                    .push_back((AckKind::PubRec, Ack::new(id, ReasonCode::Success)));
                match before {
                    None => self.ledger.with(|books| books.arrived(self.member, name)),
                    // The same again, until PUBREL: not to be delivered twice [MQTT-4.3.3-10].
                    Some(before) if before == name => {}
                    Some(before) => {
                        self.received.insert(id, before);
                        return Err(format!(
                            "packet id {id} for {name:?} while it stands for {before:?}"
                        ));
                    }
                }
                Ok(())
            }
            (Qos::AtMostOnce, _) | (Qos::AtLeastOnce | Qos::ExactlyOnce, None) => {
                Err(format!("{name:?} at {qos:?}"))
            }
        }
    }

    fn handle_ack(&mut self, kind: AckKind, id: PacketId, reason: ReasonCode) {
        let Some(place) = self.outgoing.iter().position(|it| it.id == id) else {
            if kind == AckKind::PubRec {
                let ack = Ack::new(id, ReasonCode::PacketIdentifierNotFound);
                self.acks.push_back((AckKind::PubRel, ack));
            }
            return;
        };
        let outgoing = &mut self.outgoing[place];
        let name = outgoing.name;
        match (kind, outgoing.step, reason.is_error()) {
            (AckKind::PubAck | AckKind::PubRec, Step::Publish, true) => {
                self.ledger.with(|books| books.refused(name));
                self.outgoing.remove(place);
            }
            (AckKind::PubAck, Step::Publish, false) => {
                self.ledger.with(|books| books.acked(name));
                self.outgoing.remove(place);
            }
            (AckKind::PubRec, Step::Publish, false) => {
                self.ledger.with(|books| books.acked(name));
                (outgoing.step, outgoing.turn) = (Step::Release, Turn::First);
            }
            (AckKind::PubRec, Step::Release, _) => outgoing.turn = Turn::Again,
            (AckKind::PubComp, Step::Release, _) => {
                self.ledger.with(|books| books.completed(name));
                self.outgoing.remove(place);
            }
            (AckKind::PubAck | AckKind::PubComp | AckKind::PubRel, Step::Publish | Step::Release, _) => {}
        }
    }

    fn handle_answer(&mut self, id: PacketId, ask: Ask) -> Result<(), String> {
        let asked = self.interests.iter_mut();
        let found = asked
            .map(|(&number, it)| (number, it))
            .find(|(_, it)| **it == Interest::Asked(ask, id));
        let Some((number, interest)) = found else {
            return Err(format!("an answer to nothing: {ask:?} {id}"));
        };
        *interest = Interest::Settled(ask);
        self.ledger.with(|books| books.answered(self.member, number, ask));
        Ok(())
    }

    fn free_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            let Some(id) = PacketId::new(self.last_id) else {
                continue;
            };
            let asked = |it: &Interest| matches!(it, Interest::Asked(_, asked) if *asked == id);
            if self.outgoing.iter().all(|it| it.id != id) && !self.interests.values().any(asked) {
                return id;
            }
        }
    }
}

fn packet_of(kind: AckKind, ack: Ack<'static>) -> Packet<'static> {
    match kind {
        AckKind::PubAck => Packet::PubAck(ack),
        AckKind::PubRec => Packet::PubRec(ack),
        AckKind::PubRel => Packet::PubRel(ack),
        AckKind::PubComp => Packet::PubComp(ack),
    }
}

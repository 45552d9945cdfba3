//! Messages that arrive: which are new, and what the server is told about them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::journal::Journal;
use super::message::DeliveryId;
use super::output::{Key, Sink, Ticket};
use super::record;
use crate::codec::{Ack, AckKind};
use crate::{PacketId, Qos, ReasonCode, Version};

/// A message that is handed out and whose acknowledgement is not sent.
#[derive(Debug)]
struct Pending {
    packet_id: PacketId,
    qos: Qos,
    sequence: Option<u64>,
    stage: Stage,
    /// It came on this connection: the server can be answered.
    is_here: bool,
    /// It was handed out under an earlier name, or by an earlier process: nobody knows this one.
    is_repetition: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The application has it.
    HandedOut,
    /// The application is done with it; the server hears of it in turn.
    Done,
    /// QoS 2: the server hears of it when the store knows.
    Keeping(Ticket),
    /// The server will not speak of it again. It leaves when it comes to the front.
    Gone,
}

/// What to do with a message that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Hand it out.
    New(DeliveryId),
    /// It was handed out before.
    Again,
    /// The server has sent more than it may.
    TooMany,
}

/// What a QoS 1 or 2 PUBLISH says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) packet_id: PacketId,
    pub(super) qos: Qos,
    pub(super) dup: bool,
    pub(super) sequence: Option<u64>,
}

/// A QoS 2 message that is released and whose identifier is being forgotten.
#[derive(Debug)]
struct Completing {
    id: PacketId,
    ticket: Ticket,
    /// PUBREL came on this connection.
    is_here: bool,
}

#[derive(Debug)]
pub(super) struct Inbound {
    /// In the order of arrival, which is the order in which they are acknowledged [MQTT-4.6.0-2].
    pending: VecDeque<Pending>,
    /// How many of them came on this connection.
    here: usize,
    /// Something new has come on this connection.
    has_caught_up: bool,
    /// The name of the first of them.
    first: u64,
    /// QoS 2 messages that are acknowledged and not released, sorted.
    received: Vec<PacketId>,
    completing: VecDeque<Completing>,
    /// The highest sequence that was handed out in this session.
    handed_out: u64,
    /// The highest sequence up to which the store knows that the application is done with all.
    marked: u64,
    /// An earlier process had this session.
    has_predecessor: bool,
}

impl Inbound {
    pub(super) const fn new() -> Self {
        Self {
            pending: VecDeque::new(),
            here: 0,
            has_caught_up: false,
            first: 1,
            received: Vec::new(),
            completing: VecDeque::new(),
            handed_out: 0,
            marked: 0,
            has_predecessor: false,
        }
    }

    /// An earlier process had this session: what it was given and had not acknowledged comes again.
    pub(super) const fn restore_session(&mut self) {
        self.has_predecessor = true;
    }

    /// Whether an earlier process may have handed out what the server sends again. What this one has handed out it knows
    /// at QoS 2.
    pub(super) const fn has_predecessor(&self) -> bool {
        self.has_predecessor
    }

    pub(super) const fn restore_mark(&mut self, sequence: u64) {
        self.handed_out = sequence;
        self.marked = sequence;
    }

    /// Whether the server, which has numbered messages of its session up to `at`, may mean the session that these are
    /// from. If not, the answer that said so was lost: it is a later session, and what was handed out says nothing of it.
    pub(super) const fn is_behind(&self, at: u64) -> bool {
        self.handed_out <= at
    }

    pub(super) fn restore_received(&mut self, id: PacketId) -> bool {
        match self.received.binary_search(&id) {
            Ok(_) => false,
            Err(at) => {
                self.received.insert(at, id);
                true
            }
        }
    }

    /// A connection has ended: the server will send again what was not acknowledged on it [MQTT-4.4.0-1].
    pub(super) fn rewind(&mut self) {
        self.here = 0;
        self.has_caught_up = false;
        for pending in &mut self.pending {
            pending.is_here = false;
        }
        for completing in &mut self.completing {
            completing.is_here = false;
        }
    }

    /// The server has no session: it will never speak of what it sent in it.
    pub(super) fn forget_session(&mut self, journal: &mut Journal, sink: &mut dyn Sink) {
        self.has_predecessor = false;
        self.first += self.pending.len() as u64;
        self.pending.clear();
        self.here = 0;
        for id in self.received.drain(..) {
            journal.delete(Key::Received(id.get()), sink);
        }
        self.completing.clear();
        self.handed_out = 0;
        if core::mem::take(&mut self.marked) > 0 {
            journal.delete(Key::Mark, sink);
        }
    }

    /// A QoS 1 or 2 PUBLISH.
    pub(super) fn on_publish(&mut self, header: Header, receive_max: u16) -> Arrival {
        let is_same = |it: &Pending| match (header.sequence, it.sequence) {
            (Some(sequence), Some(its)) => sequence == its,
            _ => it.packet_id == header.packet_id,
        };
        let is_known = |it: &Pending| it.qos == header.qos && it.stage != Stage::Gone && is_same(it);
        let is_received = || self.received.binary_search(&header.packet_id).is_ok();
        let was_handed_out = header
            .sequence
            .is_some_and(|sequence| sequence <= self.handed_out);
        if was_handed_out || header.qos == Qos::ExactlyOnce && is_received() {
            let known = self.pending.iter().position(is_known);
            return self.again(known, header, receive_max); // [MQTT-4.3.3-10]
        }
        // At QoS 1 an identifier proves nothing: a server that crashed may have given it to another message, and
        // to hand one out twice is better than to lose one.
        if header.dup && header.sequence.is_none() && header.qos == Qos::ExactlyOnce {
            let known = self.pending.iter().position(is_known);
            if known.is_some() {
                return self.again(known, header, receive_max);
            }
        }
        if self.here >= usize::from(receive_max) {
            return Arrival::TooMany;
        }
        if !self.has_caught_up {
            self.give_up_missing();
        }
        self.handed_out = header.sequence.unwrap_or(self.handed_out);
        Arrival::New(self.push(header, Stage::HandedOut))
    }

    fn push(&mut self, header: Header, stage: Stage) -> DeliveryId {
        let delivery = DeliveryId(self.first + self.pending.len() as u64);
        self.pending.push_back(Pending {
            packet_id: header.packet_id,
            qos: header.qos,
            sequence: header.sequence,
            stage,
            is_here: true,
            is_repetition: stage == Stage::Done,
        });
        self.here += 1;
        delivery
    }

    /// One that was handed out: its acknowledgement, now or later, goes out under this identifier.
    fn again(&mut self, known: Option<usize>, header: Header, receive_max: u16) -> Arrival {
        if let Some(known) = known.and_then(|index| self.pending.get_mut(index)) {
            known.packet_id = header.packet_id;
            self.here += usize::from(!known.is_here);
            known.is_here = true;
        } else if self.here >= usize::from(receive_max) {
            return Arrival::TooMany;
        } else {
            // The application is done with it; only the server has not heard.
            self.push(header, Stage::Done);
        }
        Arrival::Again
    }

    /// Something new has come, and what the server had to send again comes before that [MQTT-4.6.0-1]: QoS 1
    /// messages of earlier connections that it did not send again it never will.
    fn give_up_missing(&mut self) {
        self.has_caught_up = true;
        for pending in self
            .pending
            .iter_mut()
            .filter(|it| !it.is_here && it.qos == Qos::AtLeastOnce)
        {
            pending.stage = Stage::Gone;
        }
    }

    /// A message that the application has, or is to have, and is not done with.
    fn awaited(&mut self, delivery: DeliveryId) -> Option<&mut Pending> {
        let index = usize::try_from(delivery.0.checked_sub(self.first)?).ok()?;
        let pending = self.pending.get_mut(index)?;
        (pending.stage == Stage::HandedOut).then_some(pending)
    }

    pub(super) fn is_awaited(&mut self, delivery: DeliveryId) -> bool {
        self.awaited(delivery).is_some()
    }

    /// The application is done with a message. Answers whether it was waiting for that.
    pub(super) fn acknowledge(&mut self, delivery: DeliveryId) -> bool {
        let awaited = self.awaited(delivery);
        awaited.map(|pending| pending.stage = Stage::Done).is_some()
    }

    /// Tells the server of what is done, in order, as far as that goes.
    pub(super) fn settle(
        &mut self,
        version: Version,
        out: &mut Vec<u8>,
        journal: &mut Journal,
        sink: &mut dyn Sink,
    ) {
        self.complete(version, out, journal);
        self.keep(journal, sink);
        let mut at = 0;
        while let Some(pending) = self.pending.get_mut(at) {
            at += 1;
            let id = pending.packet_id;
            // What the server has not sent again yet stands behind what it has, and that it awaits.
            if !pending.is_here && !self.has_caught_up {
                continue;
            }
            match pending.stage {
                Stage::HandedOut => break,
                Stage::Gone => continue,
                Stage::Done => answer(AckKind::PubAck, id, version, out),
                Stage::Keeping(ticket) if !journal.is_stored(ticket) => break,
                Stage::Keeping(_) => {
                    if pending.is_here {
                        answer(AckKind::PubRec, id, version, out);
                    }
                    if let Err(at) = self.received.binary_search(&id) {
                        self.received.insert(at, id);
                    }
                }
            }
            pending.stage = Stage::Gone;
            self.here -= usize::from(core::mem::replace(&mut pending.is_here, false));
        }
        self.trim();
    }

    /// What is done with is remembered, also where the server cannot hear of it yet.
    pub(super) fn keep(&mut self, journal: &mut Journal, sink: &mut dyn Sink) {
        self.keep_received(journal, sink);
        let done = self.pending.iter().take_while(|it| it.stage != Stage::HandedOut);
        let marked = done.filter_map(|it| it.sequence).max().unwrap_or(0);
        if marked > self.marked {
            self.marked = marked;
            journal.put(Key::Mark, sink, |out| record::mark(marked, out));
        }
    }

    /// QoS 2 messages that are done with are kept before anybody hears of it, all of them at once.
    fn keep_received(&mut self, journal: &mut Journal, sink: &mut dyn Sink) {
        let is_due = |it: &&mut Pending| it.qos == Qos::ExactlyOnce && it.stage == Stage::Done;
        for pending in self.pending.iter_mut().filter(is_due) {
            let key = Key::Received(pending.packet_id.get());
            pending.stage = Stage::Keeping(journal.put(key, sink, record::received));
        }
    }

    /// Lets go of what is over: at the front, and at the back what nobody can name.
    fn trim(&mut self) {
        let is_over = |it: &Pending| it.stage == Stage::Gone;
        while self.pending.front().is_some_and(is_over) {
            self.pending.pop_front();
            self.first += 1;
        }
        let is_nameless = |it: &Pending| is_over(it) && it.is_repetition;
        while self.pending.back().is_some_and(is_nameless) {
            self.pending.pop_back();
        }
    }

    /// PUBREL: the server will not send that message again. It hears so when the store has forgotten the identifier:
    /// a later process that still knew it would take another message for this one.
    pub(super) fn on_release(
        &mut self,
        id: PacketId,
        version: Version,
        out: &mut Vec<u8>,
        journal: &mut Journal,
        sink: &mut dyn Sink,
    ) {
        if let Ok(at) = self.received.binary_search(&id) {
            self.received.remove(at);
            let ticket = journal.delete(Key::Received(id.get()), sink);
            self.completing.push_back(Completing {
                id,
                ticket,
                is_here: true,
            });
            self.complete(version, out, journal);
        } else if let Some(known) = self.completing.iter_mut().find(|it| it.id == id) {
            known.is_here = true;
        } else {
            let unknown = Ack::new(id, ReasonCode::PacketIdentifierNotFound);
            let _ = unknown.encode(AckKind::PubComp, version, out);
        }
    }

    fn complete(&mut self, version: Version, out: &mut Vec<u8>, journal: &Journal) {
        while let Some(first) = self.completing.front().filter(|it| journal.is_stored(it.ticket)) {
            if first.is_here {
                answer(AckKind::PubComp, first.id, version, out);
            }
            self.completing.pop_front();
        }
    }
}

fn answer(kind: AckKind, id: PacketId, version: Version, out: &mut Vec<u8>) {
    // Success is allowed in each of them.
    let _ = Ack::new(id, ReasonCode::Success).encode(kind, version, out);
}

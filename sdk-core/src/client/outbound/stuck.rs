//! A message over which one connection after the other ends.
//!
//! Before MQTT 5 a server has no words for "too large" or "not allowed": it ends the connection, the client makes another
//! one and sends the message again, for ever. To the client that looks like a network that breaks whenever something is
//! sent, and so does a proxy that takes no large messages; on the next network the same message may pass. No count of
//! attempts tells these apart, and a message that is thrown away because of one is lost. So the client finds out which
//! message it is, says so, and goes on trying; the application may give it up.

use super::{Outbound, Stage};
use crate::Qos;
use crate::client::journal::Journal;
use crate::client::message::{Outcome, PublishId};
use crate::client::output::{Output, Sink};
use crate::client::packet_ids::PacketIds;
use crate::client::state::Warning;

/// So many connections in a row end without any answer to a message before the oldest of these is sent alone: what comes
/// right behind a message can take its answer with it.
const TOGETHER_MAX: u8 = 3;
/// And so many over that one alone before it is named.
const ALONE_MAX: u8 = 3;

/// What the last connections ended over.
#[derive(Debug)]
pub(super) struct Stuck {
    /// The oldest message on its way when the last connection ended.
    order: u64,
    /// How many connections in a row ended over it, without an answer to any message.
    losses: u8,
    /// The one that was on its way on the connection that has just ended.
    left: Option<u64>,
    /// Whether that connection had answered any message.
    has_answered: bool,
}

impl Stuck {
    pub(super) const fn new() -> Self {
        Self {
            order: 0,
            losses: 0,
            left: None,
            has_answered: false,
        }
    }

    /// The server has answered a message.
    pub(super) const fn answered(&mut self) {
        self.losses = 0;
        self.has_answered = true;
    }

    /// Messages are sent one at a time.
    pub(super) const fn is_alone(&self) -> bool {
        self.losses >= TOGETHER_MAX
    }

    /// A connection has ended while this one was the oldest on its way.
    pub(super) fn ended(&mut self, oldest: Option<u64>) {
        let has_answered = core::mem::take(&mut self.has_answered);
        self.left = oldest.filter(|_| !has_answered);
    }
}

impl Outbound {
    /// The connection was lost, and nobody here has ended it.
    pub(in crate::client) fn note_loss(&mut self, sink: &mut dyn Sink) {
        let Some(order) = self.stuck.left.take() else {
            return;
        };
        let stuck = &mut self.stuck;
        let is_same = core::mem::replace(&mut stuck.order, order) == order;
        stuck.losses = if is_same {
            stuck.losses.saturating_add(1)
        } else {
            1
        };
        if stuck.losses != TOGETHER_MAX + ALONE_MAX {
            return;
        }
        if let Ok(index) = self.entries.binary_search_by_key(&order, |entry| entry.order) {
            let bytes = self.entries[index].frame.bytes.len();
            let id = PublishId(order);
            sink.output(Output::Warning(Warning::Stuck { id, bytes }));
        }
    }

    /// Answers whether there was such a message.
    pub(in crate::client) fn give_up(
        &mut self,
        id: PublishId,
        ids: &mut PacketIds,
        journal: &mut Journal,
        sink: &mut dyn Sink,
    ) -> bool {
        let Ok(index) = self.entries.binary_search_by_key(&id.0, |entry| entry.order) else {
            return false;
        };
        let entry = &self.entries[index];
        // At QoS 2 the server may know the packet id: another message under it would be taken for this one.
        let may_go = entry.frame.qos() == Qos::AtLeastOnce && matches!(entry.stage, Stage::Unanswered(_));
        if may_go {
            self.finish(index, Outcome::Indeterminate, ids, journal, sink);
            self.stuck = Stuck::new();
            self.trim();
        }
        may_go
    }
}

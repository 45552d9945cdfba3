//! Turns and tickets: what an organization wants to be stored, in groups, and what waits until each one is.

use cloudsignal_broker::Ticket;
use cloudsignal_broker::change::Change;

use crate::faults::Fault;
use crate::host::{Called, Host, Links};
use crate::reading::Reading;
use crate::recorder::Recorder;
use crate::scene::Scene;

impl Host {
    /// The ticket that a reply to this call waits for. Nothing is promised about messages that left a queue.
    pub(crate) fn ticket(&self, called: &Called) -> Option<u64> {
        called
            .changes()
            .find(|change| is_promise(change))
            .map(|_| self.open_ticket)
    }

    /// As [`Host::ticket`], for a reply that does not wait for the session itself.
    pub(crate) fn ticket_beside_session(&self, called: &Called) -> Option<u64> {
        let promises = |change: &&Change| is_promise(change) && !matches!(change, Change::Session { .. });
        called.changes().find(promises).map(|_| self.open_ticket)
    }

    pub(crate) fn keep_change(&mut self, change: Change, scene: &mut Scene) {
        match &change {
            Change::Queued {
                session,
                order,
                message,
                packet_id,
                terms,
            } => {
                let number = scene.number_of(message.payload());
                scene.log.note(format_args!(
                    "org {}: queued for {}: {number:?}, {}, order {order}, packet id {packet_id:?}",
                    self.number,
                    session.client_id,
                    message.number()
                ));
                let key = self
                    .model
                    .sessions
                    .get(&*session.client_id)
                    .map(|session| session.key);
                if let (Some(key), Some(number), Some(_)) = (key, number, packet_id.filter(|_| terms.retain))
                {
                    let topic = message.topic().as_str();
                    let ends = self.model.retained_ends(topic, number);
                    self.ledger.step_begun(key, topic, number, &ends);
                }
            }
            Change::Settled { session, order, .. } => scene.log.note(format_args!(
                "org {}: settled for {}: order {order}",
                self.number, session.client_id
            )),
            Change::SessionEnded { session } => scene.log.note(format_args!(
                "org {}: the session of {} ended",
                self.number, session.client_id
            )),
            Change::Session { .. }
            | Change::Subscribed { .. }
            | Change::Unsubscribed { .. }
            | Change::Will { .. }
            | Change::WillGone { .. }
            | Change::Sent { .. }
            | Change::Released { .. }
            | Change::Received { .. }
            | Change::Completed { .. }
            | Change::Numbered { .. }
            | Change::Retained { .. }
            | Change::RetainedCleared { .. } => {}
        }
        self.turn.push(change);
    }

    /// A turn ends.
    pub(crate) fn seal(&mut self, scene: &mut Scene) {
        let sealed = self.org.seal();
        let is_right = match sealed {
            Some(ticket) => ticket.0 == self.open_ticket && !self.turn.is_empty(),
            None => self.turn.is_empty(),
        };
        scene.verdict.require(is_right, || {
            format!(
                "tickets: {sealed:?} was sealed, due is {} with {} changes",
                self.open_ticket,
                self.turn.len()
            )
        });
        if sealed.is_some() {
            self.sealed
                .push_back((self.open_ticket, std::mem::take(&mut self.turn)));
            if let Some(survival) = &mut self.survival {
                survival.sealed(self.open_ticket, &self.model, &self.ledger.windows);
            }
            self.open_ticket += 1;
        }
    }

    /// The process has died: what was under way to the store is lost, and tickets begin anew.
    pub(crate) fn forget_turn(&mut self) {
        self.turn.clear();
        self.sealed.clear();
        (self.open_ticket, self.stored) = (1, 0);
        self.conns.clear();
        self.asked.clear();
        self.reading = Reading::default();
        self.recorder = Recorder::default();
        self.before.clear();
        self.sent_at.clear();
    }

    /// The store has caught up with some of the groups, at most `groups`.
    pub(crate) fn store(&mut self, groups: usize, links: &mut Links, scene: &mut Scene) {
        for _ in 0..groups {
            let Some((ticket, changes)) = self.sealed.pop_front() else {
                break;
            };
            for change in &changes {
                self.shelf.apply(change, scene);
                self.write(change, scene);
            }
            self.stored = ticket;
            if let Some(survival) = &mut self.survival {
                survival.stored(ticket);
            }
        }
        let mut stored = self.stored;
        if scene.fault == Some(Fault::StoredTooEarly) && scene.random.chance(20) {
            stored = self.open_ticket - 1;
        }
        scene
            .log
            .note(format_args!("org {}: stored up to {stored}", self.number));
        let now = scene.now;
        let called = self.call(|org, sink| org.handle_stored(Ticket(stored), now, sink));
        self.finish(called, links, scene);
    }
}

/// Whether somebody may be told only once the change is stored.
const fn is_promise(change: &Change) -> bool {
    match change {
        Change::Settled { .. } | Change::Sent { .. } | Change::Will { .. } | Change::WillGone { .. } => false,
        // When its connection ends, nobody is told.
        Change::Session { ends_at, .. } => ends_at.is_none(),
        Change::Subscribed { owes_retained, .. } => *owes_retained,
        Change::SessionEnded { .. }
        | Change::Unsubscribed { .. }
        | Change::Queued { .. }
        | Change::Released { .. }
        | Change::Received { .. }
        | Change::Completed { .. }
        | Change::Numbered { .. }
        | Change::Retained { .. }
        | Change::RetainedCleared { .. } => true,
    }
}

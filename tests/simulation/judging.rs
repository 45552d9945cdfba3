//! What a call must have done, and what must be so after each one.

use std::collections::{BTreeMap, BTreeSet};

use cloudsignal_broker::CloseCause;
use cloudsignal_broker::change::Change;
use cloudsignal_broker::sink::DropReason;
use cloudsignal_core::TopicName;
use cloudsignal_core::codec::ReasonCode;

use crate::host::{Called, Host};
use crate::model::session::Session;
use crate::recorder::Effect;
use crate::scene::Scene;
use crate::settings::TOPICS;

impl Host {
    /// Where a topic may have lost its retained message, no subscription waits for one.
    pub(crate) fn forget_lost_retained(&mut self) {
        for (topic, kept) in &self.model.retained {
            if kept.now.contains(&None) {
                self.ledger.forget_retained(topic);
            }
        }
    }

    /// When the broker counted a message that found a full queue, it was one of those that this call routed, or one
    /// that was handed over in a shared group. At the end no more may be missing than were counted.
    pub(crate) fn note_full_queues(&mut self, called: &Called) {
        if !called.has_dropped(&self.org, DropReason::QueueFull) {
            return;
        }
        for due in &mut self.ledger.dues[called.first_due..] {
            due.may_be_dropped = true;
        }
        for due in &mut self.ledger.groups {
            due.may_be_dropped = true;
        }
    }

    /// What is owed to a session that outlives its connection must have been given to the store.
    pub(crate) fn check_queued(&self, called: &Called, scene: &mut Scene) {
        let queued: BTreeSet<(&str, Option<usize>)> = called
            .changes()
            .filter_map(|change| {
                let Change::Queued { session, message, .. } = change else {
                    return None;
                };
                Some((&*session.client_id, scene.number_of(message.payload())))
            })
            .collect();
        for due in &self.ledger.dues[called.first_due..] {
            let session = self.model.by_key(due.session).filter(|s| s.is_persistent());
            let Some(session) = session.filter(|_| due.is_owed && !due.may_be_dropped) else {
                continue;
            };
            let is_queued = queued.contains(&(session.who.client_id.as_str(), Some(due.number)));
            scene
                .verdict
                .require(is_queued, || format!("changes: nothing was stored for {due:?}"));
        }
        for due in &self.ledger.groups[called.first_group..] {
            let mut members = called
                .before
                .values()
                .filter(|session| session.subscriptions.contains_key(&due.filter));
            let needs_store = due.is_owed && !due.may_be_dropped && members.all(Session::is_persistent);
            let is_queued = queued.iter().any(|(_, number)| *number == Some(due.number));
            scene.verdict.require(!needs_store || is_queued, || {
                format!("changes: nothing was stored for {due:?}")
            });
        }
    }

    pub(crate) fn check_closes(&self, called: &Called, scene: &mut Scene) {
        let mut observed: Vec<_> = called
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Close(conn, cause) => Some((*conn, *cause)),
                Effect::Send(..)
                | Effect::Verify(..)
                | Effect::Store(_)
                | Effect::Fetch(_)
                | Effect::Connected { .. } => None,
            })
            .collect();
        let mut expected = self.model.events.closes.clone();
        for (conn, cause) in &mut expected {
            // When both are due, the broker may name either.
            let either = self.model.events.either.contains(conn);
            let ended = CloseCause::Server(ReasonCode::MaximumConnectTime);
            if either && observed.contains(&(*conn, ended)) {
                *cause = ended;
            }
        }
        observed.sort_by_key(|(conn, _)| *conn);
        expected.sort_by_key(|(conn, _)| *conn);
        scene.verdict.require(observed == expected, || {
            format!("closes: {observed:?} were closed, due were {expected:?}")
        });
    }

    /// The sessions are those that the model has.
    pub(crate) fn check_sessions(&self, scene: &mut Scene) {
        let actual: BTreeMap<_, _> = self
            .org
            .sessions()
            .map(|view| {
                let facts = (view.connected, view.expiry_secs, view.subscriptions);
                (view.client_id, facts)
            })
            .collect();
        let expected: BTreeMap<_, _> = self
            .model
            .sessions
            .iter()
            .map(|(client_id, session)| {
                let facts = (
                    session.conn.is_some(),
                    session.expiry_secs,
                    session.subscriptions.len(),
                );
                (client_id.as_str(), facts)
            })
            .collect();
        scene.verdict.require(actual == expected, || {
            format!("sessions: they are {actual:?}, due are {expected:?}")
        });
    }

    /// The retained messages are the last accepted ones.
    pub(crate) fn check_retained(&mut self, scene: &mut Scene) {
        for topic in TOPICS {
            let name = TopicName::parse(topic).expect("invariant: a topic of the run");
            let actual = self
                .org
                .retained(name)
                .and_then(|message| scene.number_of(message.payload()));
            let may_be = self.model.may_be_retained(topic);
            let found = may_be.iter().find(|keep| keep.map(|keep| keep.number) == actual);
            let Some(found) = found else {
                return scene
                    .verdict
                    .fail(|| format!("retained: {topic} has {actual:?}, due is {may_be:?}"));
            };
            if let Some(kept) = self.model.retained.get_mut(*topic) {
                kept.now = vec![*found];
            }
        }
    }
}

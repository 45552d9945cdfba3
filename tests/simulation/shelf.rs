//! What is stored: the changes of every group that was stored, applied in order. It is what a restart would find.

use std::collections::{BTreeMap, BTreeSet};

use cloudsignal_broker::change::Change;

use crate::model::Model;
use crate::scene::Scene;

/// The stored state of one organization.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    sessions: BTreeMap<String, Stored>,
    /// The number of the retained message of each topic.
    retained: BTreeMap<String, Option<usize>>,
}

#[derive(Debug, Default)]
struct Stored {
    principal: String,
    expiry_secs: u32,
    subscriptions: BTreeMap<String, (u8, Option<u32>)>,
    /// By their order.
    queued: BTreeSet<u64>,
    released: BTreeSet<u64>,
    received: BTreeSet<u16>,
}

impl Shelf {
    pub(crate) fn apply(&mut self, change: &Change, scene: &mut Scene) {
        match change {
            Change::Session {
                session,
                identity,
                expiry_secs,
                ends_at: _,
            } => {
                let stored = self.sessions.entry(session.client_id.to_string()).or_default();
                stored.principal = identity.principal.to_string();
                stored.expiry_secs = *expiry_secs;
            }
            Change::SessionEnded { session } => {
                self.sessions.remove(&*session.client_id);
            }
            Change::Retained { message } => {
                let number = scene.number_of(message.payload());
                self.retained.insert(message.topic().as_str().to_owned(), number);
            }
            Change::RetainedCleared { topic } => {
                self.retained.remove(&**topic);
            }
            Change::Will { session, .. }
            | Change::WillGone { session, .. }
            | Change::Subscribed { session, .. }
            | Change::Unsubscribed { session, .. }
            | Change::Queued { session, .. }
            | Change::Sent { session, .. }
            | Change::Settled { session, .. }
            | Change::Released { session, .. }
            | Change::Received { session, .. }
            | Change::Numbered { session, .. }
            | Change::Completed { session, .. } => match self.sessions.get_mut(&*session.client_id) {
                Some(stored) => stored.apply(change),
                None => scene
                    .verdict
                    .fail(|| format!("changes: {change:?} of a session that is not stored")),
            },
        }
    }

    /// Everything is stored: it must be what a client could rely on after a restart.
    pub(crate) fn check(&self, model: &Model, scene: &mut Scene) {
        for (client_id, session) in &model.sessions {
            if !session.is_persistent() {
                continue;
            }
            let Some(stored) = self.sessions.get(client_id) else {
                scene
                    .verdict
                    .fail(|| format!("changes: the session of {client_id} is not stored"));
                continue;
            };
            let is_same = stored.expiry_secs == session.expiry_secs
                && *stored.principal == *session.who.identity.principal
                && stored.received == session.received
                && stored.has_subscriptions_of(session);
            scene.verdict.require(is_same, || {
                format!("changes: stored is {stored:?}, but the session is {session:?}")
            });
        }
        let ghost = self
            .sessions
            .keys()
            .find(|client_id| !model.sessions.contains_key(*client_id));
        scene.verdict.require(ghost.is_none(), || {
            format!("changes: {ghost:?} is stored, but its session has ended")
        });
        let topics: BTreeSet<_> = self.retained.keys().chain(model.retained.keys()).collect();
        for topic in topics {
            let stored = self.retained.get(topic).copied().flatten();
            let may_be = model.may_be_retained(topic);
            let is_same = may_be.iter().any(|keep| keep.map(|keep| keep.number) == stored);
            scene.verdict.require(is_same, || {
                format!("changes: of {topic}, {stored:?} is stored, but {may_be:?} is retained")
            });
        }
    }

    /// Everybody has acknowledged everything: nothing may be left in a stored queue.
    pub(crate) fn check_settled(&self, scene: &mut Scene) {
        // A session that will not outlive its connection is not worth writing down.
        for (client_id, stored) in self.sessions.iter().filter(|(_, stored)| stored.expiry_secs > 0) {
            let is_empty = stored.queued.is_empty() && stored.released.is_empty();
            scene.verdict.require(is_empty, || {
                format!("changes: {client_id} acknowledged everything, but stored is {stored:?}")
            });
        }
    }
}

impl Stored {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Subscribed {
                filter,
                options,
                subscription_id,
                ..
            } => {
                self.subscriptions
                    .insert(filter.to_string(), (*options, *subscription_id));
            }
            Change::Unsubscribed { filter, .. } => {
                self.subscriptions.remove(&**filter);
            }
            Change::Queued { order, .. } => {
                self.queued.insert(*order);
            }
            Change::Released { order, .. } => {
                self.released.insert(*order);
            }
            Change::Settled { order, .. } => {
                self.queued.remove(order);
                self.released.remove(order);
            }
            Change::Received { packet_id, .. } => {
                self.received.insert(*packet_id);
            }
            Change::Completed { packet_id, .. } => {
                self.received.remove(packet_id);
            }
            Change::Session { .. }
            | Change::SessionEnded { .. }
            | Change::Will { .. }
            | Change::WillGone { .. }
            | Change::Sent { .. }
            | Change::Numbered { .. }
            | Change::Retained { .. }
            | Change::RetainedCleared { .. } => {}
        }
    }

    fn has_subscriptions_of(&self, session: &crate::model::session::Session) -> bool {
        let expected: BTreeMap<_, _> = session
            .subscriptions
            .iter()
            .map(|(filter, subscription)| {
                let options = subscription.qos.bits()
                    | u8::from(subscription.no_local) << 2
                    | u8::from(subscription.retain_as_published) << 3;
                (filter.as_str(), (options, subscription.id))
            })
            .collect();
        // Retain handling, in bits 4 and 5, is about the moment of the SUBSCRIBE only.
        let stored: BTreeMap<_, _> = self
            .subscriptions
            .iter()
            .map(|(filter, (options, id))| (filter.as_str(), (options & 0b1111, *id)))
            .collect();
        stored == expected
    }
}

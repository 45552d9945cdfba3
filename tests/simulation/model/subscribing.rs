//! SUBSCRIBE and UNSUBSCRIBE.

use cloudsignal_broker::ConnId;
use cloudsignal_core::codec::{ReasonCode, RetainHandling, Subscribe, Unsubscribe};
use cloudsignal_core::{Qos, TopicName};

use super::session::Subscription;
use super::{Model, SessionKey};
use crate::ledger::handout::Handout;

/// What a SUBSCRIBE must have done.
#[derive(Debug, Default)]
pub(crate) struct Subscribed {
    /// What SUBACK must say.
    pub(crate) reasons: Vec<ReasonCode>,
    /// Filters that the store must have been told of.
    pub(crate) stored: Vec<String>,
    /// Retained messages that are due now.
    pub(crate) handouts: Vec<Handout>,
    /// Filters that were replaced or are new, so that an earlier walk through the retained messages ended.
    pub(crate) restarted: Vec<String>,
}

impl Model {
    pub(crate) fn subscribe(&mut self, conn: ConnId, subscribe: &Subscribe<'_>) -> Subscribed {
        let mut done = Subscribed::default();
        for (at, wanted) in subscribe.filters.iter().enumerate() {
            let subscriptions_max = self.limits.subscriptions_max as usize;
            let org_has_room = wanted
                .filter
                .is_ok_and(|filter| self.has_room_for(filter.as_str()));
            let policy = &self.policy;
            let session = self
                .sessions
                .values_mut()
                .find(|session| session.conn.as_ref().is_some_and(|open| open.id == conn))
                .expect("invariant: asked for an open connection");
            let Ok(filter) = wanted.filter else {
                done.reasons.push(ReasonCode::TopicFilterInvalid);
                continue;
            };
            let is_new = !session.subscriptions.contains_key(filter.as_str());
            let is_full = is_new && (session.subscriptions.len() >= subscriptions_max || !org_has_room);
            let granted = session.who.may_subscribe(policy, filter, wanted.qos);
            let Some(qos) = granted.filter(|_| !is_full && at < subscriptions_max) else {
                let is_denied = granted.is_none() && at < subscriptions_max;
                done.reasons.push(if is_denied {
                    ReasonCode::NotAuthorized
                } else {
                    ReasonCode::QuotaExceeded
                });
                continue;
            };
            let subscription = Subscription {
                qos,
                no_local: wanted.no_local,
                retain_as_published: wanted.retain_as_published,
                id: subscribe.subscription_id,
            };
            session
                .subscriptions
                .insert(filter.as_str().to_owned(), subscription);
            let (key, is_persistent) = (session.key, session.is_persistent());
            done.reasons.push(qos.into());
            if is_persistent {
                done.stored.push(filter.as_str().to_owned());
            }
            if filter.share().is_some() {
                self.members.insert((filter.as_str().to_owned(), key));
                continue;
            }
            let wants = match wanted.retain_handling {
                RetainHandling::SendAtSubscribe => true,
                RetainHandling::SendIfNew => is_new,
                RetainHandling::DoNotSend => false,
            };
            if wants {
                // The same filter twice in one packet: the last one counts.
                done.handouts.retain(|handout| handout.filter != filter.as_str());
                done.restarted.push(filter.as_str().to_owned());
                done.handouts
                    .push(self.handout(key, filter, qos, subscribe.subscription_id));
            }
        }
        done
    }

    fn handout(
        &self,
        session: SessionKey,
        filter: cloudsignal_core::TopicFilter<'_>,
        qos: Qos,
        id: Option<u32>,
    ) -> Handout {
        let due = self
            .retained
            .iter()
            .filter(|(topic, _)| filter.matches(TopicName::parse(topic).expect("invariant: a topic")))
            .filter_map(|(topic, kept)| match kept.now.as_slice() {
                [Some(keep)] => Some((topic.clone(), *keep)),
                _ => None,
            })
            .collect();
        Handout::new(session, filter.as_str(), qos, id, due)
    }

    /// What UNSUBACK must say, and the filters that the store must have been told of.
    pub(crate) fn unsubscribe(
        &mut self,
        conn: ConnId,
        unsubscribe: &Unsubscribe<'_>,
    ) -> (Vec<ReasonCode>, Vec<String>) {
        let session = self
            .session_of_mut(conn)
            .expect("invariant: asked for an open connection");
        let mut gone = Vec::new();
        let reasons = unsubscribe
            .filters
            .iter()
            .map(|filter| match filter {
                Err(_) => ReasonCode::TopicFilterInvalid,
                Ok(filter) if session.subscriptions.remove(filter.as_str()).is_some() => {
                    gone.push(filter.as_str().to_owned());
                    ReasonCode::Success
                }
                Ok(_) => ReasonCode::NoSubscriptionExisted,
            })
            .collect();
        (reasons, gone)
    }
}

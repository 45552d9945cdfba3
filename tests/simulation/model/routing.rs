//! Who gets a message: everybody whose filter matches and whom the policy allows, found by asking everybody.

use std::collections::{BTreeMap, BTreeSet};

use cloudsignal_core::{Instant, Qos};

use super::session::Session;
use super::{Model, SessionKey};
use crate::ledger::direct::Due;
use crate::ledger::group::GroupDue;
use crate::ledger::{Accepted, Ledger, Tag};
use crate::scene::Publication;

/// Bytes that a packet has at most beside its topic and payload.
const OVERHEAD_BYTES_MAX: usize = 110;

/// A message that was accepted.
#[derive(Debug)]
pub(crate) struct Passing<'a> {
    pub(crate) number: usize,
    pub(crate) publication: &'a Publication,
    pub(crate) publisher: SessionKey,
    /// Its place among all accepted messages.
    pub(crate) index: u64,
    pub(crate) now: Instant,
    /// Whether it was accepted beyond doubt.
    pub(crate) is_certain: bool,
    /// The sessions as they were before the call; the model has them as they are after it.
    pub(crate) before: &'a BTreeMap<String, Session>,
}

impl Model {
    /// Enters into the ledger who is owed the message. Answers whether anybody may get it.
    pub(crate) fn route(&mut self, passing: &Passing<'_>, ledger: &mut Ledger) -> bool {
        let expires_at = expires_at(passing);
        let accepted = Accepted {
            index: passing.index,
            expires_at,
        };
        ledger.accepted.insert(passing.number, accepted);
        let mut anybody = false;
        for session in passing.before.values() {
            let Some(due) = self.due(session, passing, expires_at) else {
                continue;
            };
            anybody = true;
            ledger.owe(due);
        }
        let filters: BTreeSet<&str> = passing
            .before
            .values()
            .flat_map(|session| session.matching_shared(&passing.publication.topic))
            .map(|(filter, _)| filter)
            .collect();
        for filter in filters {
            let Some(due) = self.group_due(filter, passing, expires_at) else {
                continue;
            };
            anybody = true;
            ledger.owe_group(due);
        }
        anybody
    }

    fn due(&self, session: &Session, passing: &Passing<'_>, expires_at: Instant) -> Option<Due> {
        let publication = passing.publication;
        let is_own = session.key == passing.publisher;
        let matching: Vec<_> = session
            .matching(&publication.topic)
            .filter(|subscription| !(is_own && subscription.no_local))
            .collect();
        let granted = matching.iter().map(|subscription| subscription.qos).max()?;
        if !session.may_receive(&self.policy, &publication.topic) {
            return None;
        }
        let qos = publication.qos.min(granted);
        if qos == Qos::AtMostOnce && session.conn.is_none() {
            return None;
        }
        let mut ids: Vec<u32> = matching
            .iter()
            .filter_map(|subscription| subscription.id)
            .collect();
        ids.sort_unstable();
        let stands = self.by_key(session.key).is_some();
        let has_payload = !publication.payload.is_empty();
        Some(Due {
            session: session.key,
            tag: Tag::of(passing.number, publication),
            number: passing.number,
            topic: publication.topic.clone(),
            index: passing.index,
            qos,
            retain: publication.retain
                && matching
                    .iter()
                    .any(|subscription| subscription.retain_as_published),
            ids,
            expires_at,
            is_owed: passing.is_certain
                && stands
                && has_payload
                && qos > Qos::AtMostOnce
                && fits(session, publication),
            ticket: 0,
            may_be_dropped: false,
            sent: false,
            has_left: false,
            done: None,
            is_void: false,
            received: 0,
        })
    }

    fn group_due(&self, filter: &str, passing: &Passing<'_>, expires_at: Instant) -> Option<GroupDue> {
        let publication = passing.publication;
        let members: Vec<_> = passing
            .before
            .values()
            .filter_map(|session| Some((session, session.subscriptions.get(filter)?)))
            .collect();
        let may_get = |(session, subscription): &(&Session, &super::session::Subscription)| {
            let is_there = session.conn.is_some() || publication.qos.min(subscription.qos) > Qos::AtMostOnce;
            is_there && session.may_receive(&self.policy, &publication.topic)
        };
        if !members.iter().any(may_get) {
            return None;
        }
        let all_sound = members.iter().all(|(session, subscription)| {
            let stands = self.by_key(session.key).is_some();
            let may_receive = session.may_receive(&self.policy, &publication.topic);
            stands && may_receive && subscription.qos > Qos::AtMostOnce && fits(session, publication)
        });
        let is_reliable = publication.qos > Qos::AtMostOnce && !publication.payload.is_empty();
        Some(GroupDue {
            filter: filter.to_owned(),
            tag: Tag::of(passing.number, publication),
            number: passing.number,
            topic: publication.topic.clone(),
            qos: publication.qos,
            retain: publication.retain,
            expires_at,
            is_owed: passing.is_certain && is_reliable && all_sound,
            may_be_dropped: false,
            ticket: 0,
            is_void: false,
            holders: Vec::new(),
            may_repeat: false,
            received: 0,
        })
    }
}

fn expires_at(passing: &Passing<'_>) -> Instant {
    passing
        .publication
        .expiry_secs
        .map_or(Instant::MAX, |secs| passing.now.after_secs(secs))
}

/// Whether the message is small enough for the client beyond doubt.
pub(crate) fn fits(session: &Session, publication: &Publication) -> bool {
    let bytes = publication.topic.len() + publication.payload.len() + OVERHEAD_BYTES_MAX;
    session.packet_bytes_max.is_none_or(|max| bytes <= max as usize)
}

//! SUBSCRIBE and UNSUBSCRIBE: permission, the tree, shared groups, and the retained messages to hand out.

use alloc::vec::Vec;
use core::num::NonZeroU32;

use cloudsignal_core::codec::{
    ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe,
};
use cloudsignal_core::{Instant, TopicFilter};

use super::Org;
use super::packet::Fault;
use crate::authz::{Denied, Grants, SubscribePermit};
use crate::change::{Change, Storage};
use crate::quota::Quota;
use crate::router::{Direct, Member, Scan};
use crate::session::Subscription;
use crate::session::connection::Completes;
use crate::sink::{Report, Sink};
use crate::turn::{Desk, Turn};

impl Org {
    pub(super) fn on_subscribe(
        &mut self,
        place: u32,
        subscribe: &Subscribe<'_>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        let id = subscribe.subscription_id.and_then(NonZeroU32::new);
        let reasons: Vec<ReasonCode> = subscribe
            .filters
            .iter()
            .enumerate()
            .map(|(at, wanted)| {
                // One packet is no way around the bound.
                if at >= self.desk.limits.subscriptions_max as usize {
                    return ReasonCode::QuotaExceeded;
                }
                self.subscribe_one(place, wanted, id, now, sink)
                    .unwrap_or_else(|refused| refused)
            })
            .collect();
        let Some(conn) = self.sessions[place as usize].conn.as_deref_mut() else {
            return Ok(());
        };
        let version = conn.version;
        let suback = SubAck::new(subscribe.packet_id, reasons); // [MQTT-3.8.4-1] [MQTT-3.8.4-6]
        let mut turn = Turn {
            desk: &mut self.desk,
            now,
            sink: &mut *sink,
        };
        conn.reply(&mut turn, Completes::Nothing, |out| suback.encode(version, out));
        self.pump(place, now, sink);
        Ok(())
    }

    /// Answers what was granted, or why not.
    fn subscribe_one(
        &mut self,
        place: u32,
        wanted: &SubscribeFilter<'_>,
        id: Option<NonZeroU32>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<ReasonCode, ReasonCode> {
        let filter = wanted.filter.map_err(|_| ReasonCode::TopicFilterInvalid)?;
        if filter.level_count() > self.desk.limits.topic_levels_max {
            return Err(ReasonCode::TopicFilterInvalid);
        }
        let permit = self
            .permit_subscribe(place, wanted, filter, sink)
            .map_err(Denied::reason)?;
        if self.desk.storage == Storage::Failing && self.sessions[place as usize].is_persistent() {
            return Err(ReasonCode::QuotaExceeded);
        }
        let session = &mut self.sessions[place as usize];
        let is_new = !session.subscriptions.contains(filter);
        let filter_bytes = session.subscriptions.filter_bytes() + filter.as_str().len();
        let has_room = session.subscriptions.len() < self.desk.limits.subscriptions_max as usize
            && filter_bytes <= self.desk.limits.filter_bytes_max;
        let wildcard = has_wildcard(filter);
        let exceeded = if has_room {
            self.desk.subscriptions_exceeded(wildcard)
        } else {
            Some(Quota::SessionSubscriptions)
        };
        if let Some(quota) = exceeded.filter(|_| is_new) {
            let mut turn = Turn {
                desk: &mut self.desk,
                now,
                sink,
            };
            turn.exceeded(quota, session.subscriptions.client_id());
            return Err(ReasonCode::QuotaExceeded);
        }
        self.add_subscription(place, &Subscription::granted(filter, id, wanted, &permit));
        self.start_sys(filter, now);

        let session = &mut self.sessions[place as usize];
        let wants_retained = match wanted.retain_handling {
            RetainHandling::SendAtSubscribe => true, // [MQTT-3.3.1-9]
            RetainHandling::SendIfNew => is_new,     // [MQTT-3.3.1-10]
            RetainHandling::DoNotSend => false,      // [MQTT-3.3.1-11]
        };
        if wants_retained && filter.share().is_none() {
            session.scans.retain(|scan| scan.filter() != filter);
            session
                .scans
                .push_back(Scan::new(filter, permit.qos(), id, permit.covered()));
        }
        if let Some(subscription) = session
            .subscriptions
            .get(filter)
            .filter(|_| session.is_persistent())
        {
            let change = session.subscribed(&subscription);
            Turn {
                desk: &mut self.desk,
                now,
                sink,
            }
            .store(change);
        }
        Ok(permit.qos().into())
    }

    fn permit_subscribe(
        &mut self,
        place: u32,
        wanted: &SubscribeFilter<'_>,
        filter: TopicFilter<'_>,
        sink: &mut impl Sink,
    ) -> Result<SubscribePermit, Denied> {
        let session = &self.sessions[place as usize];
        let permit = session.grants(&self.policy).permit_subscribe(filter, wanted.qos);
        if permit.is_err() {
            self.desk.counters.denied += 1;
            let topic = filter.as_str();
            sink.report(Report::Denied {
                client_id: session.subscriptions.client_id(),
                action: "subscribe",
                topic,
            });
        }
        permit
    }

    /// The session has this subscription from here on, in place of the one to the same filter.
    pub(super) fn add_subscription(&mut self, place: u32, subscription: &Subscription<'_>) {
        let filter = subscription.filter;
        let subscriptions = &mut self.sessions[place as usize].subscriptions;
        if !subscriptions.contains(filter) {
            self.desk.counters.subscriptions_now += 1;
            self.desk.counters.wildcard_subscriptions_now += u64::from(has_wildcard(filter));
        }
        self.cache.forget();
        if filter.share().is_some() {
            if let Some(new) = self.groups.join(filter, subscription.member(place)) {
                self.trie.add_group(filter, new);
            }
        } else {
            self.trie.subscribe(filter, subscription.direct(place));
        }
        subscriptions.put(subscription);
    }

    /// Takes a subscription out of the tree or its shared group.
    pub(super) fn leave(&mut self, place: u32, filter: TopicFilter<'_>) {
        self.cache.forget();
        if filter.share().is_some() {
            if let Some(gone) = self.groups.leave(filter, place) {
                self.trie.remove_group(filter, gone);
            }
        } else {
            self.trie.unsubscribe(filter, place);
        }
    }

    pub(super) fn on_unsubscribe(
        &mut self,
        place: u32,
        unsubscribe: &Unsubscribe<'_>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        let reasons: Vec<ReasonCode> = unsubscribe
            .filters
            .iter()
            .map(|filter| match filter {
                Ok(filter) => self.unsubscribe_one(place, *filter, now, sink),
                Err(_) => ReasonCode::TopicFilterInvalid,
            })
            .collect();
        let Some(conn) = self.sessions[place as usize].conn.as_deref_mut() else {
            return Ok(());
        };
        let version = conn.version;
        let unsuback = UnsubAck::new(unsubscribe.packet_id, reasons); // [MQTT-3.10.4-4] [MQTT-3.11.3-1]
        let mut turn = Turn {
            desk: &mut self.desk,
            now,
            sink,
        };
        conn.reply(&mut turn, Completes::Nothing, |out| unsuback.encode(version, out));
        Ok(())
    }

    fn unsubscribe_one(
        &mut self,
        place: u32,
        filter: TopicFilter<'_>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> ReasonCode {
        if self.refuses_unsubscribe(place, filter) {
            return ReasonCode::ImplementationSpecific;
        }
        let session = &mut self.sessions[place as usize];
        if !session.subscriptions.remove(filter) {
            return ReasonCode::NoSubscriptionExisted;
        }
        self.desk.counters.subscriptions_now -= 1;
        self.desk.counters.wildcard_subscriptions_now -= u64::from(has_wildcard(filter));
        if let Some(scans) = session.scans.existing() {
            scans.retain(|scan| scan.filter() != filter);
        }
        if session.is_persistent() {
            let change = Change::Unsubscribed {
                session: session.name(),
                filter: filter.as_str().into(),
            };
            Turn {
                desk: &mut self.desk,
                now,
                sink,
            }
            .store(change);
        }
        self.leave(place, filter); // [MQTT-3.10.4-2]
        ReasonCode::Success
    }

    /// The permissions of a session were compiled anew: subscriptions keep what is still allowed.
    pub(super) fn refresh_permits(&mut self, place: u32) {
        let Self {
            sessions,
            trie,
            groups,
            cache,
            policy,
            ..
        } = self;
        let session = &mut sessions[place as usize];
        let identity = &session.identity;
        let mut is_stale = false;
        session.subscriptions.cover(|client_id, subscription| {
            let grants = Grants::new(policy, identity, client_id);
            let filter = subscription.filter;
            // Without a permit nothing is covered: every delivery is asked about, and mostly refused.
            let covered = grants
                .permit_subscribe(filter, subscription.qos())
                .is_ok_and(|permit| permit.covered());
            is_stale |= !(covered && subscription.covered);
            let now = subscription.with_covered(covered);
            if covered != subscription.covered && filter.share().is_some() {
                groups.join(filter, now.member(place));
            } else if covered != subscription.covered {
                trie.subscribe(filter, now.direct(place));
            }
            covered
        });
        for scan in session.scans.existing().into_iter().flatten() {
            scan.covered = false;
        }
        if is_stale {
            cache.forget();
        }
    }
}

impl Desk {
    /// The bound that one more subscription would break.
    fn subscriptions_exceeded(&self, wildcard: bool) -> Option<Quota> {
        let (limits, counters) = (&self.limits, &self.counters);
        if counters.subscriptions_now >= u64::from(limits.all_subscriptions_max) {
            return Some(Quota::AllSubscriptions);
        }
        let wildcards_max = u64::from(limits.wildcard_subscriptions_max);
        (wildcard && counters.wildcard_subscriptions_now >= wildcards_max)
            .then_some(Quota::WildcardSubscriptions)
    }
}

/// Whether the filter matches more than one topic: in a valid filter these characters are nothing else.
pub(super) fn has_wildcard(filter: TopicFilter<'_>) -> bool {
    filter.as_str().contains(['+', '#'])
}

impl Subscription<'_> {
    /// As the tree knows it.
    fn direct(&self, session: u32) -> Direct {
        Direct {
            session,
            id: self.id,
            qos: self.qos(),
            no_local: self.no_local(),
            retain_as_published: self.retain_as_published(),
            covered: self.covered,
        }
    }

    /// As its shared group knows it.
    fn member(&self, session: u32) -> Member {
        Member {
            session,
            id: self.id,
            qos: self.qos(),
            retain_as_published: self.retain_as_published(),
            covered: self.covered,
        }
    }
}

//! Messages that reach an organization: which of them must be accepted, and what publishers must be told.

use cloudsignal_broker::ConnId;
use cloudsignal_broker::change::Change;
use cloudsignal_broker::sink::DropReason;
use cloudsignal_core::codec::{Publish, ReasonCode};
use cloudsignal_core::{Duration, Instant, Qos};

use crate::host::{Called, Host};
use crate::link::{Reply, Told};
use crate::model::routing::Passing;
use crate::scene::Scene;

impl Host {
    pub(crate) fn publish(
        &mut self,
        conn: ConnId,
        publish: &Publish<'_>,
        number: usize,
        called: &Called,
        scene: &mut Scene,
    ) -> Option<Reply> {
        let publication = scene.publications[number].clone();
        let packet_id = publish.packet_id.map_or(0, std::num::NonZeroU16::get);
        let reply = |told| match publish.qos {
            Qos::AtMostOnce => None,
            Qos::AtLeastOnce => Some(Reply::PubAck(packet_id, told)),
            Qos::ExactlyOnce => Some(Reply::PubRec(packet_id, told)),
        };
        let session = self.model.session_of_mut(conn).expect("invariant: it is open");
        if publish.qos == Qos::ExactlyOnce && session.received.contains(&packet_id) {
            return reply(Told::Yes); // It was routed when it came first. [MQTT-4.3.3-10]
        }
        let (key, is_persistent) = (session.key, session.is_persistent());
        let is_v5 = session.conn.as_ref().is_some_and(|open| open.is_v5);
        let told = self.accept(key, number, &publication, called, scene);
        let is_flood = self.note_refusal(conn, called, scene);
        let is_refused = matches!(told, Told::No(_)) && is_v5;
        if publish.qos == Qos::ExactlyOnce && !is_refused {
            let session = self.model.session_of_mut(conn).expect("invariant: it is open");
            session.received.insert(packet_id);
            let is_told = called
                .changes()
                .any(|change| matches!(change, Change::Received { packet_id: id, .. } if *id == packet_id));
            scene.verdict.require(is_told || !is_persistent, || {
                format!("changes: nothing was stored for the QoS 2 publish {packet_id} of session {key:x}")
            });
        }
        if is_flood {
            self.model.close(conn, ReasonCode::MessageRateTooHigh, scene.now);
        }
        reply(told)
    }

    /// Whether the client goes on and on publishing what a rate refuses.
    fn note_refusal(&mut self, conn: ConnId, called: &Called, scene: &Scene) -> bool {
        if !called.has_dropped(&self.org, DropReason::PublishQuota) {
            return false;
        }
        let per_sec_max = self.model.limits.refused_publishes_per_sec;
        let session = self.model.session_of_mut(conn);
        let open = session.and_then(|session| session.conn.as_mut());
        open.is_some_and(|open| open.refuse(per_sec_max, scene.now))
    }

    /// Permission, quota, retained store, subscribers. Answers what the publisher must be told.
    fn accept(
        &mut self,
        publisher: u64,
        number: usize,
        publication: &crate::scene::Publication,
        called: &Called,
        scene: &mut Scene,
    ) -> Told {
        let session = self.model.by_key(publisher).expect("invariant: it publishes");
        let (topic, retain) = (&publication.topic, publication.retain);
        if !session
            .who
            .may_publish(&self.model.policy, topic, publication.qos, retain)
        {
            return Told::No(ReasonCode::NotAuthorized);
        }
        let limits = &self.model.limits;
        let is_large = publication.payload.len() > limits.payload_bytes_max as usize;
        if is_large || self.model.fan_out(publisher, topic) > limits.fan_out_max as usize {
            return Told::No(ReasonCode::QuotaExceeded);
        }
        if called.has_dropped(&self.org, DropReason::PublishQuota) {
            let has_rate = limits.publish_messages_per_sec > 0 || limits.publish_bytes_per_sec > 0;
            let month = limits.publish_messages_per_month;
            let has_quota = has_rate || (month > 0 && self.month_at_most >= month);
            scene.verdict.require(has_quota, || {
                "quota: a publish was refused without one".to_owned()
            });
            return Told::No(ReasonCode::QuotaExceeded);
        }
        self.note_quota(scene);
        if called.has_dropped(&self.org, DropReason::RetainedFull) {
            let is_near = self.is_retained_bounded();
            scene.verdict.require(is_near && retain, || {
                "quota: the retained store is not full".to_owned()
            });
            return Told::No(ReasonCode::QuotaExceeded);
        }
        let passing = Passing {
            number,
            publication,
            publisher,
            index: self.model.next_index(),
            now: scene.now,
            is_certain: true,
            before: &called.before,
        };
        let found = self.model.route(&passing, &mut self.ledger);
        if retain {
            self.check_retained_stored(&passing, called, scene);
            self.keep(&passing, true);
        }
        if found { Told::Yes } else { Told::Nobody }
    }

    fn check_retained_stored(&self, passing: &Passing<'_>, called: &Called, scene: &mut Scene) {
        let topic = passing.publication.topic.as_str();
        let may_be = self.model.may_be_retained(topic);
        let is_told = called.changes().any(|change| match change {
            Change::Retained { message } => {
                message.topic().as_str() == topic && !passing.publication.payload.is_empty()
            }
            Change::RetainedCleared { topic: cleared } => {
                **cleared == *topic && passing.publication.payload.is_empty()
            }
            _ => false,
        });
        let clears_nothing = passing.publication.payload.is_empty() && may_be == [None];
        scene.verdict.require(is_told || clears_nothing, || {
            format!("changes: nothing was stored for the retained message of {topic}")
        });
    }

    pub(crate) fn publish_wills(&mut self, called: &Called, scene: &mut Scene) {
        let wills = std::mem::take(&mut self.model.events.wills);
        let published = self.org.counters().wills - called.counted.wills;
        scene.verdict.require(published == wills.len() as u64, || {
            let due: Vec<_> = wills.iter().map(|(session, will)| (session.key, *will)).collect();
            format!("wills: {published} were published, due are {due:?}")
        });
        self.month_at_most += wills.len() as u64;
        // No rate refuses a will, but it may be for too many. Wills of one call may come in any order.
        let reaches_too_many = called.has_dropped(&self.org, DropReason::FanOut);
        let index = self.model.next_index();
        for (session, will) in wills {
            let publication = scene.publications[will.number].clone();
            let (topic, qos, retain) = (&publication.topic, publication.qos, publication.retain);
            if !session.who.may_publish(&self.model.policy, topic, qos, retain) {
                continue;
            }
            let store_is_near = retain && self.is_retained_bounded();
            let passing = Passing {
                number: will.number,
                publication: &publication,
                publisher: session.key,
                index,
                now: scene.now,
                is_certain: !reaches_too_many && !store_is_near,
                before: &called.before,
            };
            self.model.route(&passing, &mut self.ledger);
            if retain {
                self.keep(&passing, false);
            }
        }
    }

    /// Whether the retained store may be full.
    pub(crate) fn is_retained_bounded(&self) -> bool {
        let limits = &self.model.limits;
        limits.retained_messages_max < 1_000 || limits.retained_bytes_max < 1_000_000
    }

    /// One more publish was accepted: in no second more than what a second brings and what was saved.
    pub(crate) fn note_quota(&mut self, scene: &mut Scene) {
        self.accepted_at.push_back(scene.now);
        let is_old = |at: &mut Instant| scene.now.since(*at) >= Duration::from_secs(1);
        while self.accepted_at.pop_front_if(is_old).is_some() {}
        let (count, rate) = (
            self.accepted_at.len(),
            self.model.limits.publish_messages_per_sec as usize,
        );
        scene.verdict.require(rate == 0 || count <= 2 * rate, || {
            format!("quota: {count} publishes were accepted within a second at {rate} per second")
        });
        (self.accepted, self.month_at_most) = (self.accepted + 1, self.month_at_most + 1);
        let (accepted, month) = (self.accepted, self.model.limits.publish_messages_per_month);
        scene.verdict.require(month == 0 || accepted <= month, || {
            format!("quota: {accepted} publishes were accepted at {month} a month")
        });
    }

    /// One more message was sent for the first time: in no second more than what a second brings and what was saved.
    pub(crate) fn note_delivery(&mut self, scene: &mut Scene) {
        self.sent_at.push_back(scene.now);
        let is_old = |at: &mut Instant| scene.now.since(*at) >= Duration::from_secs(1);
        while self.sent_at.pop_front_if(is_old).is_some() {}
        let (count, rate) = (
            self.sent_at.len(),
            self.model.limits.deliver_messages_per_sec as usize,
        );
        scene.verdict.require(rate == 0 || count <= 2 * rate, || {
            format!("quota: {count} messages were sent within a second at {rate} per second")
        });
    }

    /// The bounds were set anew, and with them what was saved.
    pub(crate) fn forget_quota(&mut self) {
        self.accepted_at.clear();
        self.sent_at.clear();
    }

    /// The message is the retained one of its topic, or clears it.
    pub(crate) fn keep(&mut self, passing: &Passing<'_>, is_certain: bool) {
        let accepted = self.ledger.accepted[&passing.number];
        let keep = (!passing.publication.payload.is_empty()).then_some(crate::model::Keep {
            number: passing.number,
            index: accepted.index,
            expires_at: accepted.expires_at,
        });
        let topic = &passing.publication.topic;
        let before = self.model.may_be_retained(topic);
        if before.iter().flatten().any(|keep| keep.expires_at <= passing.now) {
            self.ledger.forget_retained(topic);
        }
        self.ledger
            .forget_large_retained(passing.publication, &self.model);
        self.model.retain(topic, keep, is_certain);
    }
}

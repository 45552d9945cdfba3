//! The path of one PUBLISH. [`Org::on_publish`] reads as its stations: session, permission, quota,
//! retained store, router, acknowledgement.

use alloc::sync::Arc;
use alloc::vec::Vec;

use cloudsignal_core::codec::{Ack, AckKind, PacketId, Publish, ReasonCode, UserProperties};
use cloudsignal_core::{Instant, Qos, TopicName};

use super::alias::Alias;
use super::packet::Fault;
use super::stopped::Stopped;
use super::{Org, numbering};
use crate::authz::{Denied, Grants, PublishPermit};
use crate::change::Change;
use crate::message::{Message, Publication};
use crate::quota::Quota;
use crate::session::Connection;
use crate::session::connection::Completes;
use crate::sink::{DropReason, Report, Sink};
use crate::turn::{Desk, Turn};
use crate::wire::Wire;

/// How a message stands towards the rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// They may refuse it.
    Ordinary,
    /// It is counted and never refused: its client is gone and cannot publish it again.
    Will,
}

impl Org {
    pub(super) fn on_publish(
        &mut self,
        place: u32,
        publish: &Publish<'_>,
        frame: &[u8],
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        let session = &mut self.sessions[place as usize];
        let Some(conn) = session.conn.as_deref_mut() else {
            return Ok(());
        };
        self.desk.counters.messages_received[usize::from(publish.qos.bits())] += 1;
        self.desk.counters.bytes_received += publish.payload.len() as u64;
        conn.traffic.received(publish.payload.len());
        if !publish.properties.subscription_ids.is_empty() {
            return Err(Fault::protocol("a subscription identifier from a client")); // [MQTT-3.3.4-6]
        }
        let mut others = Vec::new();
        let sequence = numbering::number_of(conn, publish, &mut others)?;
        let alias = Alias::resolve(conn, publish)?;
        if let Some(packet_id) = publish.packet_id {
            let is_begun = publish.qos == Qos::ExactlyOnce && session.received.contains(&packet_id.get());
            if !is_begun {
                conn.begin_receiving()?;
            }
            if is_begun || numbering::has_taken(session.numbering.as_deref(), sequence) {
                // It was routed when it came first. [MQTT-4.3.3-10]
                alias.put_back(conn);
                self.answer_again(place, publish, packet_id, now, sink);
                return Ok(());
            }
        }
        let Some(topic) = publish.topic.or_else(|| alias.topic()) else {
            return Err(Fault::protocol(
                "a PUBLISH without a topic and without a known topic alias",
            ));
        };
        let mut publication = publication_of(publish, topic, session.serial, now);
        if sequence.is_none() {
            publication.wire = Wire::of(publish, conn.version, frame);
        } else {
            publication.properties.user_properties =
                UserProperties::from_wire(&others).expect("invariant: decoded and written again");
            publication.is_numbered = true;
        }
        let passed = self.publish_as(place, &publication, Standing::Ordinary, now, sink);
        if let Some(conn) = self.sessions[place as usize].conn.as_deref_mut() {
            alias.put_back(conn);
        }
        let told = match passed {
            Ok(0) => Some(ReasonCode::NoMatchingSubscribers),
            Ok(_) => Some(ReasonCode::Success),
            Err(stopped) => self.told_of(place, stopped),
        };
        if let (Some(packet_id), Some(told)) = (publish.packet_id, told) {
            if let Some(sequence) = sequence {
                self.note_number(place, packet_id, sequence, told, now, sink);
            }
            self.acknowledge(place, publish, packet_id, told, now, sink);
        }
        self.end_flood(place, now, sink)
    }

    /// A client that goes on and on publishing what a rate refuses is sent away.
    fn end_flood(&mut self, place: u32, now: Instant, sink: &mut impl Sink) -> Result<(), Fault> {
        let session = &mut self.sessions[place as usize];
        let is_flood = |conn: &Connection| conn.refusals.is_exceeded();
        if !session.conn.as_deref().is_some_and(is_flood) {
            return Ok(());
        }
        let mut turn = Turn {
            desk: &mut self.desk,
            now,
            sink,
        };
        turn.exceeded(Quota::RefusedPublishes, session.subscriptions.client_id());
        Err(Fault {
            reason: ReasonCode::MessageRateTooHigh,
            what: "it goes on publishing what a quota refuses",
        })
    }

    /// Publishes under the permissions of a session. Answers how many sessions got the message.
    pub(super) fn publish_as(
        &mut self,
        place: u32,
        publication: &Publication<'_>,
        standing: Standing,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<usize, Stopped> {
        let passed = self.pass(place, publication, standing, now, sink);
        if let Err(stopped) = passed {
            self.count_stopped(place, stopped, now, sink);
        }
        passed
    }

    fn count_stopped(&mut self, place: u32, stopped: Stopped, now: Instant, sink: &mut impl Sink) {
        let session = &mut self.sessions[place as usize];
        let per_sec_max = self.desk.limits.refused_publishes_per_sec;
        let conn = session.conn.as_deref_mut();
        if let Some(conn) = conn.filter(|_| stopped.dropped == DropReason::PublishQuota) {
            conn.refusals.add(per_sec_max, now);
            if let Some(until) = conn.refusals.rest_until(now) {
                sink.rest(conn.id, until);
            }
        }
        let turn = Turn {
            desk: &mut self.desk,
            now,
            sink,
        };
        stopped.count(turn, session.subscriptions.client_id());
    }

    /// Permission, quota, retained store, router. Answers how many sessions got the message.
    fn pass(
        &mut self,
        place: u32,
        publication: &Publication<'_>,
        standing: Standing,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<usize, Stopped> {
        self.check_levels(publication)?;
        let permit = self.permit(place, publication, sink)?;
        if standing == Standing::Ordinary {
            self.check_exchange(place, publication)?;
        }
        self.pass_permitted(&permit, publication, standing, now, sink)
    }

    pub(super) fn check_levels(&self, publication: &Publication<'_>) -> Result<(), Stopped> {
        if publication.topic.level_count() > self.desk.limits.topic_levels_max {
            return Err(Stopped::without_quota(
                ReasonCode::TopicNameInvalid,
                DropReason::PublishDenied,
            ));
        }
        Ok(())
    }

    /// Quotas, retained store, router. Answers how many sessions got the message.
    pub(super) fn pass_permitted(
        &mut self,
        permit: &PublishPermit<'_>,
        publication: &Publication<'_>,
        standing: Standing,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<usize, Stopped> {
        self.check_payload(publication)?;
        self.check_fan_out(permit, publication)?;
        if standing == Standing::Ordinary {
            self.check_storage(permit, publication)?;
        }
        let bytes = publication.payload.len() as u64;
        let Desk {
            limits,
            meter,
            counters,
            ..
        } = &mut self.desk;
        match standing {
            Standing::Ordinary => meter
                .publish(limits, bytes, now)
                .map_err(|quota| Stopped::by(quota, DropReason::PublishQuota))?,
            Standing::Will => meter.publish_anyway(bytes, now),
        }
        counters.messages_published += 1;
        counters.bytes_published += bytes;
        self.retain_and_route(permit, publication, now, sink)
    }

    fn check_payload(&self, publication: &Publication<'_>) -> Result<(), Stopped> {
        if publication.payload.len() > self.desk.limits.payload_bytes_max as usize {
            return Err(Stopped::by(Quota::PayloadBytes, DropReason::PayloadTooLarge));
        }
        if !says_the_truth(publication.properties.payload_format, publication.payload) {
            return Err(Stopped::without_quota(
                ReasonCode::PayloadFormatInvalid,
                DropReason::PayloadFormat,
            ));
        }
        Ok(())
    }

    /// Counts everybody whom the message would reach. Nobody is looked for as long as all subscriptions together
    /// are not too many.
    fn check_fan_out(
        &mut self,
        permit: &PublishPermit<'_>,
        publication: &Publication<'_>,
    ) -> Result<(), Stopped> {
        let fan_out_max = self.desk.limits.fan_out_max;
        if self.desk.counters.subscriptions_now <= u64::from(fan_out_max) {
            return Ok(());
        }
        let Self {
            trie,
            cache,
            groups,
            sessions,
            policy,
            ..
        } = self;
        let topic = permit.topic();
        let matches = cache.lookup(trie, groups, topic, |place| {
            sessions[place as usize].grants(policy).allows_delivery(topic)
        });
        // With and without No Local, a session is there twice, and its own messages go one of the two ways.
        let direct = matches.sessions.iter().filter(|found| {
            let is_own = sessions[found.session as usize].serial == publication.publisher;
            found.audience.includes(is_own)
        });
        if direct.count() + matches.groups.len() > fan_out_max as usize {
            return Err(Stopped::by(Quota::FanOut, DropReason::FanOut));
        }
        Ok(())
    }

    fn permit<'t>(
        &mut self,
        place: u32,
        publication: &Publication<'t>,
        sink: &mut impl Sink,
    ) -> Result<PublishPermit<'t>, Denied> {
        let session = &mut self.sessions[place as usize];
        let (topic, qos, retain) = (publication.topic, publication.qos, publication.retain);
        let (policy, identity, subscriptions) = (&self.policy, &session.identity, &session.subscriptions);
        let grants = || Grants::new(policy, identity, subscriptions.client_id());
        let permit = match session.conn.as_deref_mut() {
            Some(conn) => conn.last_permit.permit_publish(grants, topic, qos, retain),
            None => grants().permit_publish(topic, qos, retain),
        };
        if permit.is_err() {
            self.desk.counters.denied += 1;
            sink.report(Report::Denied {
                client_id: session.subscriptions.client_id(),
                action: "publish",
                topic: topic.as_str(),
            });
        }
        permit
    }

    fn retain_and_route(
        &mut self,
        permit: &PublishPermit<'_>,
        publication: &Publication<'_>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<usize, Stopped> {
        if !publication.retain {
            return Ok(self.route(permit, publication, None, now, sink));
        }
        let kept = publication.keep(self.desk.next_message());
        self.retain(permit, &kept, now, sink)?;
        Ok(self.route(permit, publication, Some(&kept), now, sink))
    }

    /// Keeps the message for subscribers to come, or with an empty payload forgets the one that is kept.
    fn retain(
        &mut self,
        permit: &PublishPermit<'_>,
        message: &Arc<Message>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<(), Stopped> {
        let Self { retained, desk, .. } = self;
        if message.payload().is_empty() {
            // [MQTT-3.3.1-6] [MQTT-3.3.1-7]
            if retained.clear(permit.topic()) {
                let topic = permit.topic().as_str().into();
                Turn { desk, now, sink }.store(Change::RetainedCleared { topic });
            }
        } else {
            // [MQTT-3.3.1-5]
            let (messages_max, bytes_max) =
                (desk.limits.retained_messages_max, desk.limits.retained_bytes_max);
            retained
                .set(Arc::clone(message), messages_max, bytes_max)
                .map_err(|full| Stopped::by(full.quota(), DropReason::RetainedFull))?;
            Turn { desk, now, sink }.store(Change::Retained {
                message: Arc::clone(message),
            });
        }
        self.count_retained();
        Ok(())
    }

    pub(super) fn count_retained(&mut self) {
        self.desk.counters.retained_messages_now = self.retained.len() as u64;
        self.desk.counters.retained_bytes_now = self.retained.bytes() as u64;
    }

    /// PUBACK or PUBREC. Clients before v5 have no code for "no": they are acknowledged all the same.
    pub(super) fn acknowledge(
        &mut self,
        place: u32,
        publish: &Publish<'_>,
        packet_id: PacketId,
        told: ReasonCode,
        now: Instant,
        sink: &mut impl Sink,
    ) {
        let Self { sessions, desk, .. } = self;
        let session = &mut sessions[place as usize];
        let mut turn = Turn { desk, now, sink };
        let Some(conn) = session.conn.as_deref() else {
            return;
        };
        let is_refused = told.is_error() && conn.version.is_v5();
        let (kind, completes) = match publish.qos {
            Qos::ExactlyOnce if is_refused => (AckKind::PubRec, Completes::Publish),
            Qos::ExactlyOnce => (AckKind::PubRec, Completes::Nothing),
            Qos::AtMostOnce | Qos::AtLeastOnce => (AckKind::PubAck, Completes::Publish),
        };
        // [MQTT-4.3.3-9]: from here on the packet id stands for a message that was routed.
        let is_new =
            publish.qos == Qos::ExactlyOnce && !is_refused && session.received.insert(packet_id.get());
        if is_new && session.is_persistent() {
            turn.store(Change::Received {
                session: session.name(),
                packet_id: packet_id.get(),
            });
        }
        let Some(conn) = session.conn.as_deref_mut() else {
            return;
        };
        let version = conn.version;
        let ack = Ack::new(packet_id, told);
        conn.reply(&mut turn, completes, |out| ack.encode(kind, version, out));
    }
}

impl Connection {
    /// One more QoS 1 or 2 publish that is not finally acknowledged.
    fn begin_receiving(&mut self) -> Result<(), Fault> {
        if self.version.is_v5() && self.receiving >= self.receive_max {
            return Err(Fault {
                reason: ReasonCode::ReceiveMaximumExceeded,
                what: "more unacknowledged publishes than our Receive Maximum",
            }); // [MQTT-3.3.4-7]
        }
        self.receiving = self.receiving.saturating_add(1);
        Ok(())
    }
}

/// A publish as it goes on.
fn publication_of<'a>(
    publish: &Publish<'a>,
    topic: TopicName<'a>,
    publisher: u64,
    now: Instant,
) -> Publication<'a> {
    let mut properties = publish.properties.clone();
    properties.topic_alias = None;
    let expiry_secs = properties.message_expiry_secs.take();
    Publication {
        topic,
        payload: publish.payload,
        properties,
        qos: publish.qos,
        retain: publish.retain,
        expires_at: expiry_secs.map(|secs| now.after_secs(secs)),
        publisher,
        is_numbered: false,
        wire: None,
    }
}

/// Whether a payload that is said to be UTF-8 text is. [MQTT-3.3.2.3.2]
pub(super) fn says_the_truth(is_text: Option<bool>, payload: &[u8]) -> bool {
    is_text != Some(true) || core::str::from_utf8(payload).is_ok()
}

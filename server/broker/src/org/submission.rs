//! Messages that no connection brought: HTTP publishes. They pass the same stations as a PUBLISH.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use cloudsignal_core::codec::{PacketId, Publish, PublishProperties, ReasonCode, SubscriptionIds};
use cloudsignal_core::{Instant, Qos, TopicName, Version};

use super::Org;
use super::publish::Standing;
use super::stopped::Stopped;
use crate::authz::{Decider, Denied, Grants, LastPermit, PublishPermit};
use crate::identity::Identity;
use crate::message::Publication;
use crate::quota::Quota;
use crate::sink::{DropReason, Report, Sink, Ticket};
use crate::turn::Turn;

/// Identities whose last permits are remembered, because submitters repeat themselves.
const SUBMITTERS_MAX: usize = 16;

/// What patterns with `{client_id}` are given: there is no client, so such an allow rule says nothing.
const NO_CLIENT_ID: &str = "";

/// A message that came on another way than a connection.
#[derive(Clone, Debug)]
pub struct Submission<'a> {
    /// Where it goes.
    pub topic: TopicName<'a>,
    /// What it says.
    pub payload: &'a [u8],
    /// As in a PUBLISH; topic alias and subscription identifiers mean nothing here and are left out.
    pub properties: PublishProperties<'a>,
    /// The QoS it is delivered at, at most.
    pub qos: Qos,
    /// Whether subscribers to come get it too; with an empty payload, that they no longer do.
    pub retain: bool,
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// What PUBACK would say: Success, 0x10 no matching subscribers, 0x87 not authorized, 0x90 topic name
    /// invalid, 0x95 packet too large, 0x97 quota exceeded, 0x99 payload format invalid; and 0x88 server unavailable
    /// when it would have to be stored and the store fails: it may be submitted again later.
    pub reason: ReasonCode,
    /// How many sessions got it.
    pub reached: usize,
    /// What must be stored before the submitter is answered, as a PUBACK would wait for it.
    pub ticket: Option<Ticket>,
    /// What denied it: the name of a rule, `default`, `scope` or `$SYS`.
    pub denied_by: Option<Box<str>>,
    /// The quota that it ran into.
    pub quota: Option<Quota>,
}

/// Last permits of identities that submitted lately, the latest last.
#[derive(Debug, Default)]
pub(super) struct Submitters {
    known: VecDeque<(Identity, LastPermit)>,
    /// What denied the submission at hand.
    denied_by: Option<Box<str>>,
}

impl Submitters {
    /// The last permit of `identity`.
    fn last_permit(&mut self, identity: &Identity) -> &mut LastPermit {
        let mut known = self.known.iter();
        let at = known.position(|(known, _)| known.has_rights_of(identity));
        let entry = at.and_then(|at| self.known.remove(at));
        if entry.is_none() && self.known.len() >= SUBMITTERS_MAX {
            self.known.pop_front();
        }
        let entry = entry.unwrap_or_else(|| (identity.clone(), LastPermit::default()));
        self.known.push_back(entry);
        let (_, last) = self.known.back_mut().expect("invariant: just put there");
        last
    }

    /// The rules have changed.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }
}

impl Org {
    /// A message from `identity`, which has no connection here. Whoever submitted it is answered when
    /// [`Submitted::ticket`] is stored.
    pub fn handle_submission(
        &mut self,
        identity: &Identity,
        submission: &Submission<'_>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Submitted {
        debug_assert_eq!(
            identity.org, self.id,
            "the shell submits to the organization of the identity"
        );
        self.desk.changed = false;
        self.desk.counters.messages_received[usize::from(submission.qos.bits())] += 1;
        self.desk.counters.bytes_received += submission.payload.len() as u64;
        let passed = self.pass_submission(identity, submission, now, sink);
        let (reason, reached, quota) = match passed {
            Ok(0) => (ReasonCode::NoMatchingSubscribers, 0, None),
            Ok(reached) => (ReasonCode::Success, reached, None),
            Err(stopped) => {
                let turn = Turn {
                    desk: &mut self.desk,
                    now,
                    sink,
                };
                stopped.count(turn, NO_CLIENT_ID);
                let reason = if stopped.dropped == DropReason::StoreFailing {
                    ReasonCode::ServerUnavailable
                } else {
                    stopped.reason
                };
                (reason, 0, stopped.quota)
            }
        };
        let ticket = self.desk.changed.then_some(self.desk.ticket);
        self.desk.awaited = ticket.unwrap_or(self.desk.awaited);
        Submitted {
            reason,
            reached,
            ticket,
            denied_by: self.submitters.denied_by.take(),
            quota,
        }
    }

    fn pass_submission(
        &mut self,
        identity: &Identity,
        submission: &Submission<'_>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<usize, Stopped> {
        if !self.accepts(submission) {
            return Err(Stopped {
                reason: ReasonCode::PacketTooLarge,
                dropped: DropReason::PacketTooLarge,
                quota: Some(Quota::PacketBytes),
            });
        }
        let expiry_secs = submission.properties.message_expiry_secs;
        let publication = Publication {
            topic: submission.topic,
            payload: submission.payload,
            properties: PublishProperties {
                topic_alias: None,
                subscription_ids: SubscriptionIds::default(),
                message_expiry_secs: None,
                ..submission.properties.clone()
            },
            qos: submission.qos,
            retain: submission.retain,
            expires_at: expiry_secs.map(|secs| now.after_secs(secs)),
            publisher: 0,
            is_numbered: false,
            wire: None,
        };
        self.check_levels(&publication)?;
        let permit = self.permit_submission(identity, &publication, sink)?;
        self.pass_permitted(&permit, &publication, Standing::Ordinary, now, sink)
    }

    fn permit_submission<'t>(
        &mut self,
        identity: &Identity,
        publication: &Publication<'t>,
        sink: &mut impl Sink,
    ) -> Result<PublishPermit<'t>, Denied> {
        let grants = Grants::new(&self.policy, identity, NO_CLIENT_ID);
        let last = self.submitters.last_permit(identity);
        let permit = last.permit_publish(|| grants, publication.topic, publication.qos, publication.retain);
        if permit.is_err() {
            let (topic, qos, retain) = (publication.topic, publication.qos, publication.retain);
            let name = match grants.decide_publish(topic, qos, retain).by {
                Decider::Rule(place) => self.policy.rule_name(place).unwrap_or_default(),
                Decider::Default | Decider::FullAccess => "default",
                Decider::Scope => "scope",
                Decider::Sys => "$SYS",
            };
            self.submitters.denied_by = Some(name.into());
            self.desk.counters.denied += 1;
            sink.report(Report::Denied {
                client_id: NO_CLIENT_ID,
                action: "publish",
                topic: publication.topic.as_str(),
            });
        }
        permit
    }

    /// Whether a client could have sent it: no larger than the largest packet that we take.
    fn accepts(&self, submission: &Submission<'_>) -> bool {
        let mut packet = Publish::new(submission.topic, submission.payload);
        packet.qos = submission.qos;
        packet.packet_id = (submission.qos > Qos::AtMostOnce).then_some(PacketId::MIN);
        packet.properties = submission.properties.clone();
        let bytes_max = self.desk.limits.packet_bytes_max as usize;
        packet
            .encoded_len(Version::V5)
            .is_ok_and(|bytes| bytes <= bytes_max)
    }
}

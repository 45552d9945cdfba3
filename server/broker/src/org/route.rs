//! Who gets a message: everybody who subscribed, and one member of each shared group.

use alloc::sync::Arc;

use cloudsignal_core::{Instant, Qos, TopicName};

use super::Org;
use crate::authz::{CompiledPolicy, PublishPermit};
use crate::change::Keeping;
use crate::message::{Message, Publication};
use crate::router::shared::Fitness;
use crate::router::{GroupName, Member};
use crate::session::{Delivered, Delivery, FanOut, Session, accepts};
use crate::sink::{Sink, Ticket};
use crate::turn::{Room, Turn};

/// A message that a member of a shared group leaves behind, and who gets it.
#[derive(Debug)]
pub(super) struct LeftBehind {
    pub(super) group: Arc<GroupName>,
    pub(super) member: Member,
    pub(super) message: Arc<Message>,
    /// [`Delivery::leaves_after`]
    pub(super) leaves_after: Ticket,
}

impl Org {
    /// Hands the message to everybody who subscribed and may have it. Answers how many sessions got it.
    pub(super) fn route(
        &mut self,
        permit: &PublishPermit<'_>,
        publication: &Publication<'_>,
        kept: Option<&Arc<Message>>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> usize {
        let Self {
            trie,
            cache,
            groups,
            sessions,
            desk,
            policy,
            ..
        } = self;
        let topic = permit.topic();
        let matches = cache.lookup(trie, groups, topic, |place| {
            sessions[place as usize].grants(policy).allows_delivery(topic)
        });
        let mut turn = Turn { desk, now, sink };
        let mut fan = match kept {
            Some(message) => FanOut::of(message, publication, turn.desk, now),
            None => FanOut::new(publication, turn.desk, now),
        };
        let mut reached = 0;
        for found in &matches.sessions {
            let session = &mut sessions[found.session as usize];
            if !found.audience.includes(session.serial == publication.publisher) {
                continue; // [MQTT-3.8.3-3]
            }
            let delivery = Delivery {
                qos: publication.qos.min(found.qos),                     // [MQTT-3.8.4-8]
                retain: publication.retain && found.retain_as_published, // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
                ids: matches.ids(found),
                group: None,
                keeping: Keeping::Together,
                leaves_after: turn.desk.leaves_after(publication, session),
            };
            reached += usize::from(session.deliver(&mut turn, &mut fan, &delivery) == Delivered::Yes);
        }
        for found in &matches.groups {
            let room = turn.desk.room();
            let picked = groups.pick(found.key, |member| {
                let may_receive = found.is_open || may_receive(sessions, policy, member, topic);
                fitness(sessions, room, member, may_receive, publication, now)
            });
            let Some(member) = picked else { continue };
            let ids = member.id.map(core::num::NonZeroU32::get);
            let name = groups.name(found.key);
            let delivery = Delivery {
                leaves_after: turn
                    .desk
                    .leaves_after(publication, &sessions[member.session as usize]),
                ..shared_delivery(&member, publication, ids.as_slice(), name, Keeping::Together)
            };
            let session = &mut sessions[member.session as usize];
            reached += usize::from(session.deliver(&mut turn, &mut fan, &delivery) == Delivered::Yes);
        }
        fan.finish(turn.desk);
        reached
    }

    /// Gives messages that a member of a shared group leaves behind to other members.
    pub(super) fn hand_over(
        &mut self,
        left: impl IntoIterator<Item = LeftBehind>,
        now: Instant,
        sink: &mut impl Sink,
    ) {
        for LeftBehind {
            group,
            member,
            message,
            leaves_after,
        } in left
        {
            let mut turn = Turn {
                desk: &mut self.desk,
                now,
                sink: &mut *sink,
            };
            let publication = message.publication();
            let mut fan = FanOut::of(&message, &publication, turn.desk, now);
            let ids = member.id.map(core::num::NonZeroU32::get);
            let delivery = Delivery {
                leaves_after,
                ..shared_delivery(
                    &member,
                    &publication,
                    ids.as_slice(),
                    Some(&group),
                    Keeping::Apart,
                )
            };
            self.sessions[member.session as usize].deliver(&mut turn, &mut fan, &delivery);
            fan.finish(turn.desk);
        }
    }
}

/// How a member of a shared group gets a message. [MQTT-4.8.2-3]
fn shared_delivery<'a>(
    member: &Member,
    publication: &Publication<'_>,
    ids: &'a [u32],
    group: Option<&'a Arc<GroupName>>,
    keeping: Keeping,
) -> Delivery<'a> {
    Delivery {
        qos: publication.qos.min(member.qos),
        retain: publication.retain && member.retain_as_published,
        ids,
        group,
        keeping,
        leaves_after: Ticket(0),
    }
}

/// Whether a member of a shared group may have messages under `topic`.
pub(super) fn may_receive(
    sessions: &slab::Slab<Session>,
    policy: &CompiledPolicy,
    member: &Member,
    topic: TopicName<'_>,
) -> bool {
    let is_allowed = |session: &Session| session.grants(policy).allows_delivery(topic);
    member.covered || sessions.get(member.session as usize).is_some_and(is_allowed)
}

/// How well a member of a shared group could take a message now.
pub(super) fn fitness(
    sessions: &slab::Slab<Session>,
    room: Room,
    member: &Member,
    may_receive: bool,
    publication: &Publication<'_>,
    now: Instant,
) -> Fitness {
    let Some(session) = sessions.get(member.session as usize) else {
        return Fitness::Unfit;
    };
    if !may_receive {
        return Fitness::Unfit;
    }
    let reliable = publication.qos.min(member.qos) > Qos::AtMostOnce;
    let may_take = || session.outbound.queue.may_take(room, publication.size_about());
    let Some(conn) = session.conn.as_deref() else {
        return match (reliable, may_take()) {
            (true, true) => Fitness::Away,
            (true, false) => Fitness::Full,
            (false, _) => Fitness::Unfit,
        };
    };
    let ids = member.id.map(core::num::NonZeroU32::get);
    let delivery = shared_delivery(member, publication, ids.as_slice(), None, Keeping::Together);
    if !accepts(conn, publication, &delivery, now) {
        return Fitness::Full;
    }
    let is_free = conn.is_writable() && session.outbound.is_idle(conn);
    if is_free && (!reliable || conn.quota > 0) {
        Fitness::Ready
    } else if may_take() {
        Fitness::Busy
    } else {
        Fitness::Full
    }
}

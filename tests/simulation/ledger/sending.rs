//! A PUBLISH that the broker sends must find its entry, look as the entry says, and come in its turn.

use std::collections::BTreeSet;

use cloudsignal_core::codec::Publish;
use cloudsignal_core::{Instant, Qos};

use super::direct::Due;
use super::flagged::{Flagged, Place};
use super::group::Holder;
use super::window::InFlight;
use super::{Claim, Ledger, Tag};
use crate::model::SessionKey;
use crate::model::session::Session;
use crate::scene::{Publication, Scene};
use crate::settings::shared_filter;

/// A PUBLISH on its way out, and what the judge knows about it.
#[derive(Debug)]
pub(crate) struct Sent<'a> {
    pub(crate) session: &'a Session,
    pub(crate) link: u32,
    pub(crate) is_v5: bool,
    pub(crate) packet: &'a Publish<'a>,
    /// With a topic alias looked up.
    pub(crate) topic: &'a str,
    pub(crate) tag: Tag,
    /// Whether the policy lets the session have it now.
    pub(crate) is_allowed: bool,
    /// Whether it is what the topic's retained message may be now.
    pub(crate) is_retained_now: bool,
    /// Which sessions were ever members of which shared group.
    pub(crate) members: &'a BTreeSet<(String, SessionKey)>,
}

/// Which entries of a session come into question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// Those whose time it is.
    Good,
    /// Also those for which it is too late, which is a fault.
    Bad,
}

impl Sent<'_> {
    /// The shared subscription that it came through, where its identifier says so.
    fn shared_filter(&self) -> Option<&'static str> {
        let id = self.packet.properties.subscription_ids.iter().next()?;
        shared_filter(id)
    }

    /// Whether what the packet says about its lifetime fits a message that ends then.
    fn may_expire_at(&self, expires_at: Instant, now: Instant) -> bool {
        let left = secs_left(expires_at, now);
        // What has left once is sent again although it has expired.
        let is_in_time = left != Some(0) || self.packet.dup;
        is_in_time && (!self.is_v5 || self.packet.properties.message_expiry_secs == left)
    }
}

impl Ledger {
    /// Finds the entry, and says what is wrong.
    pub(crate) fn sent(&mut self, sent: &Sent<'_>, scene: &mut Scene) -> Claim {
        if sent.topic.starts_with("$SYS/") {
            return Claim::Broker;
        }
        let claim = if sent.packet.dup {
            self.repeated(sent, scene)
        } else {
            self.first(sent, scene)
        };
        self.check_properties(sent, &claim, scene);
        claim
    }

    fn first(&mut self, sent: &Sent<'_>, scene: &mut Scene) -> Claim {
        // What may have been sent before a crash may be sent again.
        scene.verdict.require(sent.is_allowed || sent.packet.dup, || {
            format!("not permitted: {} was sent {:?}", who(sent), sent.tag)
        });
        let claim = self
            .find_flagged(sent, Fit::Good, scene)
            .or_else(|| self.find_direct(sent, Fit::Good, scene))
            .or_else(|| self.find_flagged(sent, Fit::Bad, scene))
            .or_else(|| self.find_direct(sent, Fit::Bad, scene))
            .or_else(|| self.find_group(sent, scene));
        let Some(claim) = claim else {
            let near: Vec<_> = self
                .dues
                .iter()
                .filter(|due| due.session == sent.session.key && due.tag == sent.tag)
                .collect();
            scene.verdict.fail(|| {
                format!(
                    "delivered unasked: {} was sent {:?}, but it is owed {near:?}",
                    who(sent),
                    sent.packet
                )
            });
            return Claim::None;
        };
        self.check_order(sent, &claim, scene);
        if let Some(packet_id) = sent.packet.packet_id {
            self.open_window(sent, packet_id.get(), &claim, scene);
        }
        claim
    }

    fn find_direct(&mut self, sent: &Sent<'_>, fit: Fit, scene: &mut Scene) -> Option<Claim> {
        let direct = self.fitting_direct(sent, fit, scene);
        let at = direct.into_iter().find(|&at| !self.dues[at].is_flagged())?;
        let due = &mut self.dues[at];
        let is_known = matches!(sent.tag, Tag::Number(_));
        let hides = is_known && due.has_left && !sent.packet.dup;
        (due.sent, due.has_left) = (true, true);
        scene.verdict.require(!hides, || {
            format!(
                "sent twice: {} was sent {:?} again without DUP",
                who(sent),
                sent.tag
            )
        });
        Some(Claim::Direct(at))
    }

    /// The direct entries that may be meant, the likeliest first.
    fn fitting_direct(&self, sent: &Sent<'_>, fit: Fit, scene: &Scene) -> Vec<usize> {
        let places = self.dues_of.get(&(sent.session.key, sent.tag.clone()));
        let Some(places) = places.filter(|_| sent.shared_filter().is_none()) else {
            return Vec::new();
        };
        let order = (sent.session.key, sent.topic.to_owned(), sent.packet.qos);
        let last = self.last_sent.get(&order).copied().unwrap_or(0);
        let open = places
            .iter()
            .copied()
            .filter(|&at| self.dues[at].may_be_sent() && self.dues[at].is_like(sent.packet, sent.is_v5));
        let is_bad = |at: usize| {
            let due = &self.dues[at];
            due.index < last || !sent.may_expire_at(due.expires_at, scene.now)
        };
        // A message may have been accepted twice, and what was accepted first been dropped.
        let mut fitting: Vec<usize> = open.filter(|&at| fit == Fit::Bad || !is_bad(at)).collect();
        let is_late = |due: &Due| due.expires_at <= scene.now && !due.has_left;
        let is_other = |due: &Due| due.has_left != sent.packet.dup;
        fitting.sort_by_key(|&at| {
            let due = &self.dues[at];
            (is_bad(at), is_late(due), is_other(due), due.index)
        });
        fitting
    }

    fn find_group(&mut self, sent: &Sent<'_>, scene: &mut Scene) -> Option<Claim> {
        let places = self.groups_of.get(&sent.tag)?;
        let ended = &self.ended_links;
        let through = sent.shared_filter();
        let fits = |&at: &usize| {
            let due = &self.groups[at];
            let looks_right = sent.packet.qos <= due.qos && (due.retain || !sent.packet.retain);
            let is_it = through.is_none_or(|filter| due.filter == filter);
            !due.is_void
                && looks_right
                && is_it
                && sent.members.contains(&(due.filter.clone(), sent.session.key))
        };
        let mut candidates: Vec<usize> = places.iter().copied().filter(fits).collect();
        // An entry that may be sent comes before one that must not, which would be a fault.
        candidates.sort_by_key(|&at| {
            let due = &self.groups[at];
            let is_refused = due.refusal(|link| ended.contains(&link)).is_some();
            let is_other = !sent.may_expire_at(due.expires_at, scene.now);
            // The same message may have been accepted twice, and what came first be gone.
            let is_late = due.may_have_expired(scene.now);
            (
                is_refused,
                is_other,
                is_late,
                !due.is_owed,
                due.holder().is_some(),
            )
        });
        let at = *candidates.first()?;
        let due = &mut self.groups[at];
        // Messages without payload look all the same.
        let is_known = matches!(sent.tag, Tag::Number(_));
        if let Some(why) = due.refusal(|link| ended.contains(&link)).filter(|_| is_known) {
            let holder = due.holder();
            let handouts: Vec<_> = self
                .handouts
                .iter()
                .filter(|handout| handout.session == sent.session.key && !handout.is_over)
                .collect();
            scene.verdict.fail(|| {
                format!(
                    "shared twice: {} was sent {:?} of {} {why} ({holder:?}, {handouts:?}, {})",
                    who(sent),
                    sent.packet,
                    due.filter,
                    sent.is_retained_now
                )
            });
        }
        due.may_repeat |= sent.packet.qos == Qos::AtLeastOnce;
        due.holders.push(Holder {
            session: sent.session.key,
            link: sent.link,
            qos: sent.packet.qos,
            ticket: self.open_ticket,
            done: None,
            may_have_left: false,
        });
        Some(Claim::Group(at))
    }

    fn find_flagged(&mut self, sent: &Sent<'_>, fit: Fit, scene: &Scene) -> Option<Claim> {
        let Tag::Number(number) = sent.tag else {
            return None;
        };
        if !sent.packet.retain {
            return None;
        }
        let step = |(at, end)| (Place::Step(at, sent.topic.to_owned()), end);
        let direct = |at: usize| (Place::Due(at), self.dues[at].expires_at);
        let steps = self.fitting_steps(sent, number, fit, scene).into_iter().map(step);
        let dues = self.fitting_direct(sent, fit, scene).into_iter().map(direct);
        let (places, ends) = steps.chain(dues).unzip();
        let flagged = Flagged {
            session: sent.session.key,
            number,
            qos: sent.packet.qos,
            places,
            ends,
            received: 0,
            done: None,
        };
        self.flagged.send(flagged).map(Claim::Flagged)
    }

    /// The walks that may hand out the topic now, whether they must or the topic got its message after they began, and
    /// when the message expires.
    fn fitting_steps(
        &self,
        sent: &Sent<'_>,
        number: usize,
        fit: Fit,
        scene: &Scene,
    ) -> Vec<(usize, Instant)> {
        let Some(accepted) = self.accepted.get(&number) else {
            return Vec::new();
        };
        let ids: Vec<u32> = sent.packet.properties.subscription_ids.iter().collect();
        let is_in_time = |end: &Instant| fit == Fit::Bad || sent.may_expire_at(*end, scene.now);
        let mut fitting = Vec::new();
        for &at in self.handouts_of.get(&sent.session.key).into_iter().flatten() {
            let handout = &self.handouts[at];
            let ids_agree = !sent.is_v5 || handout.id.as_slice() == ids;
            let qos = scene.publications[number].qos.min(handout.qos);
            if sent.packet.qos != qos || !ids_agree {
                continue;
            }
            let may_give = sent.is_retained_now && handout.may_give(sent.topic, accepted.index);
            let now = may_give.then_some(accepted.expires_at);
            let ends = now.into_iter().chain(handout.begun_ends(number));
            fitting.extend(ends.filter(is_in_time).map(|end| (at, end)));
        }
        fitting
    }

    /// Messages of one topic and QoS reach a session in the order in which they were accepted. What goes through a
    /// shared group may be handed over late, and a retained message is as old as it is. [MQTT-4.6.0-5] [MQTT-4.6.0-6]
    fn check_order(&mut self, sent: &Sent<'_>, claim: &Claim, scene: &mut Scene) {
        let index = match claim {
            // With the retain flag, it may be either.
            Claim::Direct(at) if !sent.packet.retain => self.dues[*at].index,
            Claim::Direct(_) | Claim::Group(_) | Claim::Flagged(_) | Claim::Broker | Claim::None => return,
        };
        let key = (sent.session.key, sent.topic.to_owned(), sent.packet.qos);
        let last = self.last_sent.insert(key, index).unwrap_or(0);
        scene.verdict.require(last <= index, || {
            format!(
                "out of order: {} was sent {:?}, accepted as {index}, after {last} of the same topic",
                who(sent),
                sent.tag
            )
        });
    }

    fn open_window(&mut self, sent: &Sent<'_>, packet_id: u16, claim: &Claim, scene: &mut Scene) {
        let entry = InFlight {
            claim: claim.clone(),
            tag: sent.tag.clone(),
            qos: sent.packet.qos,
            link: sent.link,
            serial: 0,
            is_released: false,
            is_large: sent.session.packet_bytes_max.is_some(),
            may_be_forgotten: false,
        };
        let Some(old) = self.windows.open(sent.session.key, packet_id, entry) else {
            return;
        };
        // A shared message that went to another member, or one too large for a new connection, frees its id.
        let was_given_up = old.link != sent.link
            && (old.is_large
                || old.may_be_forgotten
                || (matches!(old.claim, Claim::Group(_)) && old.qos == Qos::AtLeastOnce));
        scene.verdict.require(was_given_up, || {
            format!(
                "packet id: {} was sent {:?} under {packet_id}, which {:?} still has",
                who(sent),
                sent.tag,
                old.tag
            )
        });
    }

    /// With DUP: only what was sent on an earlier connection and not acknowledged, in the original order.
    /// [MQTT-4.4.0-1] [MQTT-4.6.0-1]
    fn repeated(&mut self, sent: &Sent<'_>, scene: &mut Scene) -> Claim {
        let key = sent.session.key;
        let packet_id = sent.packet.packet_id.map_or(0, std::num::NonZeroU16::get);
        if self.restored.contains(&key) {
            // It may not have left when the broker died, or is sent under another packet id now.
            let entry = self.windows.get(key, packet_id);
            if entry.is_none_or(|entry| entry.may_be_forgotten) {
                return self.first(sent, scene);
            }
        }
        let Some(entry) = self.windows.get(key, packet_id) else {
            scene.verdict.fail(|| {
                format!(
                    "sent twice: {} was sent {:?} with DUP, packet id {packet_id} is free",
                    who(sent),
                    sent.tag
                )
            });
            return Claim::None;
        };
        let claim = entry.claim.clone();
        let is_same = entry.tag == sent.tag && entry.qos == sent.packet.qos;
        // After a crash what was sent at QoS 1 has another packet id, and is new to the judge.
        let may_be_late = self.restored.contains(&key);
        let is_sound = is_same && !entry.is_released && entry.link != sent.link;
        let entry = entry.clone();
        scene.verdict.require(is_sound, || {
            format!(
                "sent twice: {} was sent {:?} with DUP, packet id {packet_id} is {entry:?}",
                who(sent),
                sent.tag
            )
        });
        let in_order = self.windows.repeat(key, packet_id, sent.link);
        scene.verdict.require(in_order || may_be_late, || {
            format!(
                "out of order: {} was sent {:?} again too late",
                who(sent),
                sent.tag
            )
        });
        if let Claim::Group(at) = claim {
            let holder = self.groups[at].holder_mut();
            let holder = holder.filter(|holder| holder.session == key);
            // Messages without payload look all the same.
            let is_known = matches!(sent.tag, Tag::Number(_));
            scene.verdict.require(holder.is_some() || !is_known, || {
                format!("shared twice: {} was sent {:?} again", who(sent), sent.tag)
            });
            if let Some(holder) = holder {
                holder.link = sent.link;
                holder.may_have_left = false;
            }
        }
        claim
    }

    /// What travels with a message unaltered, and what is left of its lifetime. [MQTT-3.3.2-6]
    fn check_properties(&self, sent: &Sent<'_>, claim: &Claim, scene: &mut Scene) {
        let Tag::Number(number) = sent.tag else { return };
        // What it was accepted with; twice, perhaps, and it may be either.
        let ends: Vec<Instant> = match claim {
            Claim::Direct(_) if self.restored.contains(&sent.session.key) => {
                let same = &self.dues_of[&(sent.session.key, sent.tag.clone())];
                same.iter().map(|&at| self.dues[at].expires_at).collect()
            }
            Claim::Direct(at) => vec![self.dues[*at].expires_at],
            Claim::Group(at) => {
                let same = self.groups_of[&sent.tag].iter().map(|&other| &self.groups[other]);
                let filter = &self.groups[*at].filter;
                same.filter(|due| due.filter == *filter)
                    .map(|due| due.expires_at)
                    .collect()
            }
            Claim::Flagged(at) => self.flagged.sent[*at].ends.clone(),
            Claim::Broker | Claim::None => return,
        };
        let is_in_time = ends.iter().any(|&end| end > scene.now);
        scene.verdict.require(sent.packet.dup || is_in_time, || {
            format!("expired: {} was sent {:?} too late", who(sent), sent.tag)
        });
        let publication = &scene.publications[number];
        if sent.topic != publication.topic || sent.packet.payload != publication.payload.as_slice() {
            scene.verdict.fail(|| {
                format!(
                    "altered: {} was sent {:?} with another topic or payload",
                    who(sent),
                    sent.tag
                )
            });
        }
        if sent.is_v5 {
            let is_as_accepted =
                |&end: &Instant| is_unaltered(sent.packet, publication, secs_left(end, scene.now));
            let is_unaltered = ends.iter().any(is_as_accepted);
            scene.verdict.require(is_unaltered, || {
                format!(
                    "altered: {} was sent {:?} with {:?}",
                    who(sent),
                    sent.tag,
                    sent.packet.properties
                )
            });
        }
    }
}

/// Whole seconds that a message has left, rounded up; `None` when it never expires.
fn secs_left(expires_at: Instant, now: Instant) -> Option<u32> {
    let micros = expires_at.since(now).as_micros();
    (expires_at < Instant::MAX).then(|| u32::try_from(micros.div_ceil(1_000_000)).unwrap_or(u32::MAX))
}

fn is_unaltered(packet: &Publish<'_>, publication: &Publication, expiry_secs: Option<u32>) -> bool {
    let properties = &packet.properties;
    let notes: Vec<_> = properties
        .user_properties
        .iter()
        .filter(|(name, _)| *name != "cs-dropped")
        .collect();
    let expected: Vec<_> = publication.note.iter().map(|note| ("n", *note)).collect();
    properties.content_type == publication.content_type
        && notes == expected
        && properties.message_expiry_secs == expiry_secs
}

fn who(sent: &Sent<'_>) -> String {
    format!(
        "{} (session {:x}, link {})",
        sent.session.who.client_id, sent.session.key, sent.link
    )
}

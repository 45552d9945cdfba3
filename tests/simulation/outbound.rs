//! What the organization sends, packet by packet: every reply answers the oldest open question, nothing is said
//! before its promise is stored, and every PUBLISH has its entry in the ledger.

use cloudsignal_broker::AUTH_METHOD;
use cloudsignal_core::codec::{Ack, ConnAck, Decoded, Packet, Publish, ReasonCode};

use crate::faults::Fault;
use crate::host::Host;
use crate::ledger::Tag;
use crate::ledger::sending::Sent;
use crate::link::{Expected, Link, Reply, Told};
use crate::scene::Scene;

impl Host {
    /// Judges bytes on their way to a client. Answers false when they are to be lost on purpose.
    pub(crate) fn watch(&mut self, link: &mut Link, bytes: &[u8], scene: &mut Scene) -> bool {
        let mut read = 0;
        while let Some(rest) = bytes.get(read..).filter(|rest| !rest.is_empty()) {
            let decoded = link.tap.decoder.decode(rest);
            match decoded {
                Ok(Decoded::Packet { packet, bytes }) => {
                    read += bytes;
                    if scene.fault == Some(Fault::RetainedForgotten) && is_handout(&packet) {
                        return false;
                    }
                    self.watch_packet(link, &packet, scene);
                }
                Ok(Decoded::Incomplete { .. }) => {
                    return scene
                        .verdict
                        .fail_and(|| format!("codec: link {}: half a packet", link.number));
                }
                Err(error) => {
                    return scene
                        .verdict
                        .fail_and(|| format!("codec: link {}: the broker's bytes: {error}", link.number));
                }
            }
        }
        true
    }

    fn watch_packet(&mut self, link: &mut Link, packet: &Packet<'_>, scene: &mut Scene) {
        let number = link.number;
        let comes_first = matches!(packet, Packet::ConnAck(_));
        scene.verdict.require(comes_first != link.tap.is_welcome, || {
            format!(
                "reply: link {number}: {} before CONNACK, or a second one",
                packet.name()
            )
        });
        scene.verdict.require(link.tap.said_goodbye.is_none(), || {
            format!("reply: link {number}: {} after DISCONNECT", packet.name())
        });
        match packet {
            Packet::Publish(publish) => self.watch_publish(link, publish, scene),
            Packet::PubRel(ack) => self.watch_pubrel(link, ack, scene),
            Packet::Disconnect(disconnect) => link.tap.said_goodbye = Some(disconnect.reason),
            Packet::ConnAck(_)
            | Packet::PubAck(_)
            | Packet::PubRec(_)
            | Packet::PubComp(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::Auth(_)
            | Packet::PingResp => self.watch_reply(link, packet, scene),
            Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => scene
                .verdict
                .fail(|| format!("reply: link {number}: a broker sent {}", packet.name())),
        }
    }

    fn watch_publish(&mut self, link: &mut Link, publish: &Publish<'_>, scene: &mut Scene) {
        let ended = |key| self.before.values().find(|session| session.key == key);
        let session = link.tap.session;
        let session = session.and_then(|key| self.model.by_key(key).or_else(|| ended(key)));
        let Some(session) = session else {
            return scene
                .verdict
                .fail(|| format!("reply: link {}: a PUBLISH without a session", link.number));
        };
        let topic = match (publish.topic, publish.properties.topic_alias) {
            (Some(topic), alias) => {
                if let Some(alias) = alias {
                    link.tap.aliases.insert(alias.get(), topic.as_str().to_owned());
                }
                topic.as_str().to_owned()
            }
            (None, alias) => {
                let known = alias.and_then(|alias| link.tap.aliases.get(&alias.get()));
                known.cloned().unwrap_or_default()
            }
        };
        let number = scene.number_of(publish.payload);
        let crosses = number.is_some_and(|number| scene.publications[number].org != self.number);
        scene.verdict.require(!crosses, || {
            format!(
                "crossed organizations: org {} sent message {number:?} to link {}",
                self.number, link.number
            )
        });
        if topic.is_empty() || crosses {
            return scene
                .verdict
                .fail(|| format!("alias: link {}: a PUBLISH without a topic", link.number));
        }
        let may_be = self.model.retained.get(&topic);
        let is_retained_now = may_be.is_some_and(|kept| {
            let all = kept.now.iter().chain(&kept.before);
            all.flatten().any(|keep| Some(keep.number) == number)
        });
        let key = session.key;
        let sent = Sent {
            session,
            link: link.number,
            is_v5: link.version.is_v5(),
            packet: publish,
            topic: &topic,
            tag: number.map_or_else(|| Tag::Empty(topic.clone()), Tag::Number),
            is_allowed: session.may_receive(&self.model.policy, &topic),
            is_retained_now,
            members: &self.model.members,
        };
        let claim = self.ledger.sent(&sent, scene);
        if !publish.dup {
            self.note_delivery(scene);
        }
        scene.log.note(format_args!(
            "org {} link {}: PUBLISH {number:?} {topic} {:?} id {:?} retain {} dup {} for {claim:?}",
            self.number, link.number, publish.qos, publish.packet_id, publish.retain, publish.dup
        ));
        link.claims.push_back(claim);
        let inflight_max = usize::from(self.model.limits.inflight_max);
        let unacknowledged = self.ledger.windows.unacknowledged(key, link.number);
        scene.verdict.require(unacknowledged <= inflight_max, || {
            format!(
                "bounds: link {} has {unacknowledged} unacknowledged messages",
                link.number
            )
        });
    }

    /// PUBREL answers a PUBREC, or repeats one of an earlier connection.
    fn watch_pubrel(&mut self, link: &mut Link, ack: &Ack<'_>, scene: &mut Scene) {
        let packet_id = ack.packet_id.get();
        let asked = link.tap.releases.iter().position(|(id, _)| *id == packet_id);
        if let Some(at) = asked {
            let (_, ticket) = link.tap.releases.remove(at);
            self.check_stored(link.number, "PUBREL", ticket, scene);
            return;
        }
        let key = link.tap.session.unwrap_or_default();
        let entry = self.ledger.windows.get(key, packet_id);
        let is_repeated = entry.is_some_and(|entry| entry.is_released && entry.link != link.number);
        scene.verdict.require(is_repeated, || {
            format!("reply: link {}: PUBREL {packet_id} answers nothing", link.number)
        });
    }

    fn watch_reply(&mut self, link: &mut Link, packet: &Packet<'_>, scene: &mut Scene) {
        let number = link.number;
        let is_v5 = link.version.is_v5();
        // Only PINGRESP may overtake other replies, and not CONNACK.
        let is_pong = matches!(packet, Packet::PingResp) && link.tap.is_welcome;
        let is_due = |it: &Expected| !is_pong || matches!(it.reply, Reply::PingResp);
        let at = link.tap.expected.iter().position(is_due);
        let Some(expected) = at.and_then(|at| link.tap.expected.remove(at)) else {
            return scene
                .verdict
                .fail(|| format!("reply: link {number}: {} answers nothing", packet.name()));
        };
        self.check_stored(number, packet.name(), expected.ticket, scene);
        if let (Packet::ConnAck(connack), reply) = (packet, &expected.reply) {
            link.tap.is_welcome = true;
            let is_right = match reply {
                Reply::Welcome(welcome) => {
                    let is_present =
                        welcome.session_present && link.version != cloudsignal_core::Version::V31;
                    let repeats_method = connack.auth_method.is_some() == link.is_by_method;
                    connack.reason == ReasonCode::Success
                        && connack.session_present == is_present
                        && repeats_method
                }
                Reply::Refusal(reason) => is_refusal(connack, *reason, is_v5),
                _ => false,
            };
            scene.verdict.require(is_right, || {
                format!("reply: link {number}: {connack:?}, due is {reply:?}")
            });
            return;
        }
        let is_right = match (packet, &expected.reply) {
            (Packet::PubAck(ack), Reply::PubAck(id, told))
            | (Packet::PubRec(ack), Reply::PubRec(id, told)) => {
                ack.packet_id.get() == *id && says(ack.reason, *told, is_v5)
            }
            (Packet::PubComp(ack), Reply::PubComp(id, reason)) => {
                ack.packet_id.get() == *id && (!is_v5 || ack.reason == *reason)
            }
            (Packet::SubAck(suback), Reply::SubAck(id, reasons)) => {
                let same = suback.reasons.len() == reasons.len()
                    && suback
                        .reasons
                        .iter()
                        .zip(reasons)
                        .all(|(told, due)| told == due || (!is_v5 && told.is_error() && due.is_error()));
                suback.packet_id.get() == *id && same
            }
            (Packet::UnsubAck(unsuback), Reply::UnsubAck(id, reasons)) => {
                unsuback.packet_id.get() == *id && (!is_v5 || unsuback.reasons == *reasons)
            }
            (Packet::PingResp, Reply::PingResp) => true,
            (Packet::Auth(auth), Reply::Auth) => {
                auth.reason == ReasonCode::Success && auth.method == Some(AUTH_METHOD)
            }
            _ => false,
        };
        scene.verdict.require(is_right, || {
            format!("reply: link {number}: {packet:?}, due is {:?}", expected.reply)
        });
    }

    fn check_stored(&self, link: u32, name: &str, ticket: Option<u64>, scene: &mut Scene) {
        let is_stored = ticket.is_none_or(|ticket| ticket <= self.stored);
        scene.verdict.require(is_stored, || {
            format!(
                "acknowledged before stored: link {link}: {name} waits for {ticket:?}, stored is {}",
                self.stored
            )
        });
    }
}

fn is_handout(packet: &Packet<'_>) -> bool {
    matches!(packet, Packet::Publish(publish) if publish.retain && publish.qos == cloudsignal_core::Qos::AtMostOnce)
}

fn is_refusal(connack: &ConnAck<'_>, reason: ReasonCode, is_v5: bool) -> bool {
    !connack.session_present
        && if is_v5 {
            connack.reason == reason
        } else {
            connack.reason.connack_v3() == reason.connack_v3()
        }
}

/// Whether a reason is what a publisher must be told.
fn says(reason: ReasonCode, told: Told, is_v5: bool) -> bool {
    let accepted = [ReasonCode::Success, ReasonCode::NoMatchingSubscribers];
    match told {
        _ if !is_v5 => true,
        Told::No(due) => reason == due,
        Told::Nobody => reason == ReasonCode::NoMatchingSubscribers,
        // Who was found may have been full, or too small.
        Told::Yes => accepted.contains(&reason),
    }
}

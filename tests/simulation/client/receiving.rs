//! Everything that comes from the broker, and acknowledging it: late, and in any order that is legal.

use std::num::NonZeroU16;

use cloudsignal_broker::AUTH_METHOD;
use cloudsignal_core::codec::{Ack, ConnAck, Decoded, Packet, Publish, ReasonCode};
use cloudsignal_core::{Qos, TopicName};

use super::{AckWord, Asked, Client, Memory};
use crate::faults::Fault;
use crate::ledger::{Claim, Ledger};
use crate::link::Link;
use crate::scene::Scene;

impl Client {
    /// Bytes arrived.
    pub(crate) fn receive(&mut self, bytes: &[u8], link: &mut Link, ledger: &mut Ledger, scene: &mut Scene) {
        let Some(conn) = &mut self.conn else { return };
        let (mut inbox, mut decoder) = (std::mem::take(&mut conn.inbox), conn.decoder);
        inbox.extend_from_slice(bytes);
        let mut read = 0;
        loop {
            match decoder.decode(&inbox[read..]) {
                Ok(Decoded::Packet { packet, bytes }) => {
                    read += bytes;
                    self.packet(&packet, link, ledger, scene);
                }
                Ok(Decoded::Incomplete { .. }) => break,
                Err(error) => {
                    scene
                        .verdict
                        .fail(|| format!("codec: client {}: {error}", self.number));
                    break;
                }
            }
        }
        inbox.drain(..read);
        if let Some(conn) = &mut self.conn {
            conn.inbox = inbox;
            conn.decoder = decoder;
        }
    }

    fn packet(&mut self, packet: &Packet<'_>, link: &mut Link, ledger: &mut Ledger, scene: &mut Scene) {
        scene
            .log
            .note(format_args!("client {}: receives {}", self.number, packet.name()));
        let is_known = match packet {
            Packet::ConnAck(connack) => {
                self.welcome(connack, link, scene);
                true
            }
            Packet::Publish(publish) => self.take(publish, link, ledger, scene),
            Packet::PubAck(ack) => self.finish(ack.packet_id.get(), Qos::AtLeastOnce, false),
            Packet::PubRec(ack) => self.release(ack),
            Packet::PubComp(ack) => self.finish(ack.packet_id.get(), Qos::ExactlyOnce, true),
            Packet::PubRel(ack) => {
                self.memory.received.remove(&ack.packet_id.get());
                self.owe(AckWord::PubComp, ack.packet_id.get());
                true
            }
            Packet::SubAck(suback) => self.answered(
                suback.packet_id.get(),
                Asked::Subscribe,
                Some(suback.reasons.len()),
            ),
            Packet::UnsubAck(unsuback) => {
                let reasons = self.settings.version.is_v5().then_some(unsuback.reasons.len());
                self.answered(unsuback.packet_id.get(), Asked::Unsubscribe, reasons)
            }
            Packet::PingResp => self.conn.as_mut().is_some_and(|conn| {
                conn.pings = conn.pings.wrapping_sub(1);
                conn.pings < u32::MAX
            }),
            Packet::Auth(auth) => {
                let is_mine = auth.reason == ReasonCode::Success && auth.method == Some(AUTH_METHOD);
                self.conn.as_mut().is_some_and(|conn| {
                    conn.reauthentications = conn.reauthentications.wrapping_sub(1);
                    is_mine && conn.is_by_method && conn.reauthentications < u32::MAX
                })
            }
            Packet::Disconnect(_) => self.settings.version.is_v5(),
            Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => false,
        };
        scene.verdict.require(is_known, || {
            format!("client {}: did not expect {packet:?}", self.number)
        });
    }

    fn welcome(&mut self, connack: &ConnAck<'_>, link: &mut Link, scene: &mut Scene) {
        let Some(conn) = &mut self.conn else { return };
        let is_first = !conn.is_welcome;
        scene
            .verdict
            .require(is_first, || format!("client {}: CONNACK twice", self.number));
        if connack.reason != ReasonCode::Success {
            return;
        }
        conn.is_welcome = true;
        if self.settings.version.is_v5() {
            conn.receive_max = connack.receive_max.map_or(u16::MAX, NonZeroU16::get);
            conn.topic_alias_max = connack.topic_alias_max.unwrap_or(0);
        }
        scene
            .verdict
            .require(!(connack.session_present && conn.clean_start), || {
                format!("client {}: a session after clean start", self.number)
            });
        if let Some(assigned) = connack.assigned_client_id {
            assigned.clone_into(&mut self.name);
        }
        // When the CONNACK that told of a new session was lost, the next one says "present" about a session that
        // this memory does not belong to. MQTT gives a client no way to see it, so it is told here.
        let is_same = self.memory.session == link.tap.session;
        if connack.session_present && is_same {
            self.send_again(link, scene);
        } else {
            self.memory = Memory {
                session: link.tap.session,
                last_packet_id: self.memory.last_packet_id,
                ..Memory::default()
            };
        }
    }

    /// A message.
    fn take(
        &mut self,
        publish: &Publish<'_>,
        link: &mut Link,
        ledger: &mut Ledger,
        scene: &mut Scene,
    ) -> bool {
        let claim = link.claims.pop_front().unwrap_or(Claim::None);
        let Some(topic) = self.topic_of(publish) else {
            return false;
        };
        let number = scene.number_of(publish.payload);
        scene.log.note(format_args!(
            "client {}: takes {number:?} {topic} {:?} id {:?} dup {}",
            self.number, publish.qos, publish.packet_id, publish.dup
        ));
        let is_right = number.is_none_or(|number| scene.publications[number].topic == topic);
        let Some(packet_id) = publish.packet_id.map(NonZeroU16::get) else {
            ledger.received(&claim, true, publish.qos, scene);
            return is_right && !publish.dup;
        };
        let is_new = publish.qos == Qos::AtLeastOnce || self.memory.received.insert(packet_id);
        let loses = scene.fault == Some(Fault::MessageLost) && scene.random.chance(10);
        if !loses {
            ledger.received(&claim, is_new, publish.qos, scene);
        }
        let receive_max = usize::from(self.settings.receive_max.unwrap_or(u16::MAX));
        let Some(conn) = &mut self.conn else { return false };
        let is_free = conn.unacknowledged.insert(packet_id);
        scene.verdict.require(is_free, || {
            format!("packet id: client {} has {packet_id} in use", self.number)
        });
        scene
            .verdict
            .require(conn.unacknowledged.len() <= receive_max, || {
                format!("bounds: client {} has more than its Receive Maximum", self.number)
            });
        self.owe(
            if publish.qos == Qos::ExactlyOnce {
                AckWord::PubRec
            } else {
                AckWord::PubAck
            },
            packet_id,
        );
        is_right
    }

    /// The topic, with its alias looked up or learned.
    fn topic_of(&mut self, publish: &Publish<'_>) -> Option<String> {
        let conn = self.conn.as_mut()?;
        let topic = publish.topic.map(TopicName::as_str);
        let Some(alias) = publish.properties.topic_alias.map(NonZeroU16::get) else {
            return topic.map(str::to_owned);
        };
        if alias > self.settings.topic_alias_max {
            return None;
        }
        if let Some(topic) = topic {
            conn.aliases_in.insert(alias, topic.to_owned());
        }
        conn.aliases_in.get(&alias).cloned()
    }

    /// PUBACK or PUBCOMP: the message is delivered, and its packet id free.
    fn finish(&mut self, packet_id: u16, qos: Qos, is_released: bool) -> bool {
        let gone = self.memory.outgoing.remove(&packet_id);
        gone.is_some_and(|outgoing| outgoing.qos == qos && outgoing.is_released == is_released)
    }

    fn release(&mut self, ack: &Ack<'_>) -> bool {
        let packet_id = ack.packet_id.get();
        let Some(outgoing) = self.memory.outgoing.get_mut(&packet_id) else {
            return false;
        };
        if outgoing.qos != Qos::ExactlyOnce || outgoing.is_released {
            return false;
        }
        if ack.reason.is_error() {
            self.memory.outgoing.remove(&packet_id);
            return true;
        }
        outgoing.is_released = true;
        self.owe(AckWord::PubRel, packet_id);
        true
    }

    fn answered(&mut self, packet_id: u16, asked: Asked, reasons: Option<usize>) -> bool {
        let conn = self.conn.as_mut();
        let due = conn.and_then(|conn| conn.asked.remove(&packet_id));
        due.is_some_and(|(due, filters)| due == asked && reasons.is_none_or(|count| count == filters))
    }

    fn owe(&mut self, word: AckWord, packet_id: u16) {
        if let Some(conn) = &mut self.conn {
            conn.owed.entry(word).or_default().push_back(packet_id);
        }
    }

    /// Sends some of the acknowledgements that it owes: each kind in its order, the kinds in any. [MQTT-4.6.0-2]
    pub(crate) fn acknowledge(&mut self, link: &mut Link, most: u64, scene: &mut Scene) {
        for _ in 0..scene.random.between(1, most) {
            let Some(conn) = &mut self.conn else { return };
            let open: Vec<AckWord> = conn
                .owed
                .iter()
                .filter(|(_, queue)| !queue.is_empty())
                .map(|(word, _)| *word)
                .collect();
            if open.is_empty() {
                return;
            }
            let word = *scene.random.pick(&open);
            let queue = conn.owed.get_mut(&word).expect("invariant: just listed");
            let packet_id = queue.pop_front().expect("invariant: not empty");
            let is_last = matches!(word, AckWord::PubAck | AckWord::PubComp);
            if is_last {
                conn.unacknowledged.remove(&packet_id);
            }
            let id = NonZeroU16::new(packet_id).expect("invariant: packet ids are not 0");
            let ack = Ack::new(id, ReasonCode::Success);
            scene
                .log
                .note(format_args!("client {}: {word:?} {packet_id}", self.number));
            let packet = match word {
                AckWord::PubAck => Packet::PubAck(ack),
                AckWord::PubRec => Packet::PubRec(ack),
                AckWord::PubRel => Packet::PubRel(ack),
                AckWord::PubComp => Packet::PubComp(ack),
            };
            self.send(&packet, link);
        }
    }
}

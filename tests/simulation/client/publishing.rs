//! PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, and what is sent again on a new connection.

use std::num::NonZeroU16;

use cloudsignal_core::codec::{
    Ack, Packet, Publish, RetainHandling, Subscribe, SubscribeFilter, Unsubscribe,
};
use cloudsignal_core::{Qos, TopicFilter, TopicName};

use super::connecting::{properties, user_properties};
use super::{Asked, Client, Outgoing};
use crate::link::Link;
use crate::scene::{Publication, Scene};
use crate::settings::{SHARED_FILTERS, Settings, shared_id};

impl Client {
    /// Publishes something, as far as the broker's Receive Maximum allows.
    pub(crate) fn publish(&mut self, link: &mut Link, settings: &Settings, scene: &mut Scene) {
        let qos = *scene.random.pick(&[
            Qos::AtMostOnce,
            Qos::AtLeastOnce,
            Qos::AtLeastOnce,
            Qos::ExactlyOnce,
        ]);
        let receive_max = self.conn.as_ref().map_or(0, |conn| conn.receive_max);
        let has_room = self.memory.outgoing.len() < usize::from(receive_max.min(super::UNACKNOWLEDGED_MAX));
        let qos = if has_room { qos } else { Qos::AtMostOnce };
        self.publish_at(qos, link, settings, scene);
    }

    pub(crate) fn publish_at(&mut self, qos: Qos, link: &mut Link, settings: &Settings, scene: &mut Scene) {
        let is_v5 = self.settings.version.is_v5();
        let retain = scene.random.chance(20);
        let clears = retain && scene.random.chance(30);
        let publication = Publication {
            org: self.settings.org,
            topic: (*scene.random.pick(&settings.topics)).to_owned(),
            payload: Vec::new(),
            qos,
            retain,
            expiry_secs: (is_v5 && scene.random.chance(15)).then(|| *scene.random.pick(&[1, 5, 600])),
            content_type: (is_v5 && scene.random.chance(10)).then_some("text/plain"),
            note: (is_v5 && scene.random.chance(10)).then_some("kept"),
        };
        let bytes = settings.payload_bytes[usize::from(scene.random.chance(10))];
        let number = scene.write(publication, (!clears).then_some(bytes));
        let packet_id = (qos > Qos::AtMostOnce).then(|| self.packet_id());
        if let Some(packet_id) = packet_id {
            self.memory.last_serial += 1;
            let outgoing = Outgoing {
                number,
                qos,
                is_released: false,
                serial: self.memory.last_serial,
            };
            self.memory.outgoing.insert(packet_id.get(), outgoing);
        }
        self.send_publish(number, packet_id, false, link, scene);
    }

    fn send_publish(
        &mut self,
        number: usize,
        packet_id: Option<NonZeroU16>,
        dup: bool,
        link: &mut Link,
        scene: &mut Scene,
    ) {
        let publication = &scene.publications[number];
        let user = user_properties(publication);
        let topic = TopicName::parse(&publication.topic).expect("invariant: a topic of the run");
        let mut packet = Publish::new(topic, &publication.payload);
        packet.dup = dup;
        packet.qos = publication.qos;
        packet.retain = publication.retain;
        packet.packet_id = packet_id;
        packet.properties = properties(publication, &user);
        if let Some(conn) = self.conn.as_mut().filter(|conn| conn.topic_alias_max > 0) {
            match conn.aliases_out.get(&publication.topic) {
                Some(&alias) => {
                    packet.properties.topic_alias = NonZeroU16::new(alias);
                    packet.topic = None;
                }
                None if scene.random.chance(50) => {
                    // An alias may be given to another topic at any time.
                    let most = u64::from(conn.topic_alias_max.min(4));
                    let alias = u16::try_from(scene.random.between(1, most)).expect("invariant: small");
                    conn.aliases_out.retain(|_, other| *other != alias);
                    conn.aliases_out.insert(publication.topic.clone(), alias);
                    packet.properties.topic_alias = NonZeroU16::new(alias);
                }
                None => {}
            }
        }
        scene.log.note(format_args!(
            "client {}: PUBLISH {number} {} {:?} id {packet_id:?} dup {dup} retain {} bytes {}",
            self.number,
            publication.topic,
            publication.qos,
            publication.retain,
            publication.payload.len()
        ));
        self.send(&Packet::Publish(packet), link);
        link.published.push_back(number);
    }

    /// The session goes on: everything that is not finally acknowledged is sent again, in its order. [MQTT-4.4.0-1]
    pub(super) fn send_again(&mut self, link: &mut Link, scene: &mut Scene) {
        let mut open: Vec<_> = self
            .memory
            .outgoing
            .iter()
            .map(|(id, outgoing)| (*id, *outgoing))
            .collect();
        open.sort_by_key(|(_, outgoing)| outgoing.serial);
        for (id, outgoing) in open {
            let packet_id = NonZeroU16::new(id).expect("invariant: packet ids are not 0");
            if outgoing.is_released {
                let ack = Ack::new(packet_id, cloudsignal_core::ReasonCode::Success);
                self.send(&Packet::PubRel(ack), link);
            } else {
                self.send_publish(outgoing.number, Some(packet_id), true, link, scene);
            }
        }
    }

    pub(crate) fn subscribe(&mut self, link: &mut Link, settings: &Settings, scene: &mut Scene) {
        if self.asks_much() {
            return;
        }
        let is_v5 = self.settings.version.is_v5();
        let packet_id = self.packet_id();
        let shared = self.shared(scene);
        let texts: Vec<&str> = match shared {
            Some(filter) => vec![filter],
            None => (0..scene.random.between(1, 3))
                .map(|_| *scene.random.pick(&settings.filters))
                .collect(),
        };
        let filters = texts.iter().map(|text| wanted(text, is_v5, scene)).collect();
        let mut packet = Subscribe::new(packet_id, filters);
        if is_v5 {
            packet.subscription_id = match shared {
                Some(filter) => shared_id(filter),
                None if scene.random.chance(50) => u32::try_from(scene.random.between(1, 9)).ok(),
                None => None,
            };
        }
        scene.log.note(format_args!(
            "client {}: SUBSCRIBE {packet_id} {:?} id {:?}",
            self.number,
            packet
                .filters
                .iter()
                .map(|wanted| (wanted.filter, wanted.qos, wanted.retain_handling))
                .collect::<Vec<_>>(),
            packet.subscription_id
        ));
        let asked = (Asked::Subscribe, packet.filters.len());
        self.send(&Packet::Subscribe(packet), link);
        if let Some(conn) = &mut self.conn {
            conn.asked.insert(packet_id.get(), asked);
        }
    }

    /// The shared subscription to ask for, if it is the turn of one.
    fn shared(&self, scene: &mut Scene) -> Option<&'static str> {
        if self.settings.version.is_v5() {
            scene
                .random
                .chance(25)
                .then(|| *scene.random.pick(SHARED_FILTERS))
        } else {
            self.settings.only_shared
        }
    }

    pub(crate) fn unsubscribe(&mut self, link: &mut Link, settings: &Settings, scene: &mut Scene) {
        if self.asks_much() {
            return;
        }
        let packet_id = self.packet_id();
        let text = self
            .shared(scene)
            .unwrap_or_else(|| *scene.random.pick(&settings.filters));
        let filter = TopicFilter::parse(text).expect("invariant: a filter of the run");
        let packet = Unsubscribe::new(packet_id, vec![Ok(filter)]);
        scene.log.note(format_args!(
            "client {}: UNSUBSCRIBE {packet_id} {text}",
            self.number
        ));
        self.send(&Packet::Unsubscribe(packet), link);
        if let Some(conn) = &mut self.conn {
            conn.asked.insert(packet_id.get(), (Asked::Unsubscribe, 1));
        }
    }

    pub(crate) fn ping(&mut self, link: &mut Link) {
        self.send(&Packet::PingReq, link);
        if let Some(conn) = &mut self.conn {
            conn.pings += 1;
        }
    }
}

/// A filter with random options.
fn wanted<'a>(text: &'a str, is_v5: bool, scene: &mut Scene) -> SubscribeFilter<'a> {
    let filter = TopicFilter::parse(text).expect("invariant: a filter of the run");
    let qos = *scene
        .random
        .pick(&[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]);
    let mut wanted = SubscribeFilter::new(filter, qos);
    if is_v5 {
        wanted.no_local = filter.share().is_none() && scene.random.chance(20);
        wanted.retain_as_published = scene.random.chance(30);
        wanted.retain_handling = *scene.random.pick(&[
            RetainHandling::SendAtSubscribe,
            RetainHandling::SendIfNew,
            RetainHandling::DoNotSend,
        ]);
    }
    wanted
}

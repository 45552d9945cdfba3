//! Messages through a whole organization, from bytes to bytes. Rules are asked and rates are counted.

use cloudsignal_broker::{ConnId, Limits, Org, OrgId};
use cloudsignal_core::codec::{
    Ack, Connect, Decoded, Decoder, PACKET_BYTES_MAX, Packet, PacketId, Publish, ReasonCode, Subscribe,
    SubscribeFilter,
};
use cloudsignal_core::{Instant, Qos, TopicFilter, TopicName, Version};

use super::bench_sink::BenchSink;
use super::permits::{identity, policy};
use super::{Case, Work};

/// Messages of one call, as a socket gives them.
const BATCH: u16 = 64;
const PAYLOAD: [u8; 256] = [b'.'; 256];
const PUBLISHER: ConnId = ConnId(0);
const NOW: Instant = Instant::ZERO;

/// Filters of one session that stands by.
const FILTERS_PER_SESSION: u32 = 1_000;

const FEW: u64 = BATCH as u64;

pub(super) const CASES: &[Case] = &[
    Case::new("pair/qos-0", FEW, || publishing(&Scene::pair(Qos::AtMostOnce))),
    Case::new("pair/qos-1", FEW, || publishing(&Scene::pair(Qos::AtLeastOnce))),
    Case::new("pair/qos-2", FEW, || publishing(&Scene::pair(Qos::ExactlyOnce))),
    Case::new("fan-out/100-qos-0", 100 * FEW, || {
        publishing(&Scene::fan_out(100, Qos::AtMostOnce))
    }),
    Case::new("fan-out/100-qos-1", 100 * FEW, || {
        publishing(&Scene::fan_out(100, Qos::AtLeastOnce))
    }),
    Case::new("fan-out/1000-qos-0", 1_000 * FEW, || {
        publishing(&Scene::fan_out(1_000, Qos::AtMostOnce))
    }),
    Case::new("filters/1", FEW, || publishing(&Scene::filters(1))),
    Case::new("filters/1000", FEW, || publishing(&Scene::filters(1_000))),
    Case::new("filters/100000", FEW, || publishing(&Scene::filters(100_000))),
    Case::new("group/5-qos-0", FEW, || publishing(&Scene::group(5))),
];

/// Who is there, and what is published.
struct Scene {
    subscribers: u32,
    /// What each subscriber hears.
    filter: &'static str,
    /// Filters beside, of which each topic fits one.
    standing_by: u32,
    /// Messages of a batch that one subscriber gets.
    each_gets: u16,
    qos: Qos,
}

impl Scene {
    fn pair(qos: Qos) -> Self {
        Self::fan_out(1, qos)
    }

    fn fan_out(subscribers: u32, qos: Qos) -> Self {
        Self {
            subscribers,
            filter: "bench/ada/temperature",
            standing_by: 0,
            each_gets: BATCH,
            qos,
        }
    }

    /// Every message has a topic of its own, so that none is remembered from the batch before.
    fn filters(standing_by: u32) -> Self {
        Self {
            standing_by,
            filter: "bench/nobody",
            each_gets: 0,
            ..Self::fan_out(1, Qos::AtMostOnce)
        }
    }

    fn group(members: u32) -> Self {
        Self {
            filter: "$share/g/bench/ada/temperature",
            each_gets: 0,
            ..Self::fan_out(members, Qos::AtMostOnce)
        }
    }

    /// The whole organization, everybody connected and subscribed.
    fn org(&self, sink: &mut BenchSink) -> Org {
        let limits = Limits {
            publish_messages_per_sec: u32::MAX,
            publish_bytes_per_sec: u64::from(u32::MAX),
            deliver_messages_per_sec: u32::MAX,
            deliver_bytes_per_sec: u64::from(u32::MAX),
            receive_max: BATCH,
            sys_interval_secs: 0,
            ..Limits::default()
        };
        let mut org = Org::new(OrgId::new("org_bench"), limits, policy(), 1);
        connect(&mut org, PUBLISHER, sink);
        for conn in (1..=self.subscribers).map(ConnId) {
            connect(&mut org, conn, sink);
            subscribe(&mut org, conn, &[self.filter.to_owned()], self.qos, sink);
        }
        for session in 0..self.standing_by.div_ceil(FILTERS_PER_SESSION) {
            let conn = ConnId(self.subscribers + 1 + session);
            let first = session * FILTERS_PER_SESSION;
            let until = self.standing_by.min(first + FILTERS_PER_SESSION);
            let filters: Vec<_> = (first..until)
                .map(|n| format!("bench/device-{n}/+/state"))
                .collect();
            connect(&mut org, conn, sink);
            subscribe(&mut org, conn, &filters, self.qos, sink);
        }
        org
    }

    /// A batch as it comes from the publisher's socket. `round` is which one.
    fn write_batch(&self, round: u32, bytes: &mut Vec<u8>) {
        bytes.clear();
        for number in 0..u32::from(BATCH) {
            let topic = if self.standing_by == 0 {
                "bench/ada/temperature".to_owned()
            } else {
                let at = round * u32::from(BATCH) + number;
                format!("bench/device-{}/{at}/state", at % self.standing_by)
            };
            let mut publish = Publish::new(TopicName::parse(&topic).expect("a topic"), &PAYLOAD);
            publish.qos = self.qos;
            if self.qos != Qos::AtMostOnce {
                publish.packet_id = u16::try_from(number + 1).ok().and_then(PacketId::new);
            }
            publish.encode(Version::V5, bytes).expect("a packet");
        }
    }
}

fn connect(org: &mut Org, conn: ConnId, sink: &mut BenchSink) {
    let client_id = format!("client-{}", conn.0);
    let connect = Connect::new(Version::V5, &client_id);
    org.handle_connect(conn, &connect, identity(), NOW, sink);
}

fn subscribe(org: &mut Org, conn: ConnId, filters: &[String], qos: Qos, sink: &mut BenchSink) {
    let filter = |text| SubscribeFilter::new(TopicFilter::parse(text).expect("a filter"), qos);
    let filters = filters.iter().map(|text| filter(text)).collect();
    let subscribe = Packet::Subscribe(Subscribe::new(PacketId::MIN, filters));
    org.handle_packet(conn, &subscribe, NOW, sink);
}

/// Batches with topics of their own that are written beforehand; more than the topics that are remembered.
const ROUNDS: u32 = 80;

/// The work: a batch in, everything out, and the answers to it.
fn publishing(scene: &Scene) -> Work {
    let (subscribers, qos, each_gets) = (scene.subscribers, scene.qos, scene.each_gets);
    let mut sink = BenchSink::default();
    let mut org = scene.org(&mut sink);
    let rounds = if scene.standing_by == 0 { 1 } else { ROUNDS };
    let mut batches = vec![Vec::new(); rounds as usize];
    (0..rounds).for_each(|round| scene.write_batch(round, &mut batches[round as usize]));
    let (mut next, mut delivered) = (0, PacketId::MIN);
    Box::new(move || {
        let before: u64 = org.counters().messages_received.iter().sum();
        handle_all(&mut org, &batches[next], &mut sink);
        next = (next + 1) % batches.len();
        let after: u64 = org.counters().messages_received.iter().sum();
        assert_eq!(after - before, FEW, "the whole batch was taken");
        if qos == Qos::ExactlyOnce {
            release(&mut org, &mut sink);
        }
        if qos != Qos::AtMostOnce {
            for _ in 0..each_gets {
                (1..=subscribers)
                    .for_each(|number| acknowledge(&mut org, ConnId(number), delivered, qos, &mut sink));
                delivered = delivered.checked_add(1).unwrap_or(PacketId::MIN);
            }
            assert_eq!(org.counters().inflight_bytes_now, 0, "everything is acknowledged");
        }
        assert!(org.seal().is_none(), "nothing is stored");
    })
}

fn handle_all(org: &mut Org, bytes: &[u8], sink: &mut BenchSink) {
    let mut decoder = Decoder::with_version(Version::V5, PACKET_BYTES_MAX);
    let mut at = 0;
    while let Decoded::Packet { packet, bytes: taken } = decoder.decode(&bytes[at..]).expect("a packet") {
        org.handle_framed(PUBLISHER, &packet, &bytes[at..at + taken], NOW, sink);
        at += taken;
    }
}

/// The publisher's second half of QoS 2.
fn release(org: &mut Org, sink: &mut BenchSink) {
    for number in 1..=BATCH {
        let id = PacketId::new(number).expect("not zero");
        let release = Packet::PubRel(Ack::new(id, ReasonCode::Success));
        org.handle_packet(PUBLISHER, &release, NOW, sink);
    }
}

/// The subscriber's answers to one message.
fn acknowledge(org: &mut Org, conn: ConnId, id: PacketId, qos: Qos, sink: &mut BenchSink) {
    let ack = Ack::new(id, ReasonCode::Success);
    match qos {
        Qos::AtMostOnce => {}
        Qos::AtLeastOnce => org.handle_packet(conn, &Packet::PubAck(ack), NOW, sink),
        Qos::ExactlyOnce => {
            org.handle_packet(conn, &Packet::PubRec(ack), NOW, sink);
            let ack = Ack::new(id, ReasonCode::Success);
            org.handle_packet(conn, &Packet::PubComp(ack), NOW, sink);
        }
    }
}

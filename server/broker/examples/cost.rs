//! What a message costs inside the broker, layer by layer, without any I/O.
//!
//! ```text
//! cargo run --release -p cloudsignal-broker --example cost -- [SUBSCRIBERS] [QOS] [LAYER] [MESSAGES]
//! ```
//! `LAYER` is one of `codec` (decode and encode alone), `sessions` (everybody may do everything),
//! `acl` (and ten rules decide) and `quota` (and the organization's rates are counted). Under
//! `valgrind --tool=callgrind` the number of instructions is the same in every run, whatever else the
//! machine is doing; the difference between two layers is the price of the upper one.
#![expect(clippy::print_stdout, reason = "a measurement prints its result")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::sync::Arc;

use cloudsignal_broker::change::Change;
use cloudsignal_broker::policy::{Actions, Effect, Rule, UserPattern};
use cloudsignal_broker::{
    Access, CloseCause, ConnId, Credential, Fetch, Identity, Limits, Message, Org, OrgId, Policy, Report,
    Sink,
};
use cloudsignal_core::codec::{
    Ack, Connect, Decoded, Decoder, PACKET_BYTES_MAX, Packet, PacketId, Publish, ReasonCode, Subscribe,
    SubscribeFilter,
};
use cloudsignal_core::{Instant, Qos, TopicFilter, TopicName, Version};

const TOPIC: &str = "cost/ada/temperature";
/// Messages in one batch, as a socket would give them.
const BATCH: u16 = 64;
const PUBLISHER: ConnId = ConnId(0);

/// Output buffers that are emptied before they grow.
#[derive(Default)]
struct Outputs(Vec<Vec<u8>>);

impl Outputs {
    fn append(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        let at = conn.0 as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, Vec::new());
        }
        let out = &mut self.0[at];
        if out.len() > 1 << 16 {
            out.clear();
        }
        out.extend_from_slice(bytes);
        0
    }
}

impl Sink for Outputs {
    fn send(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        self.append(conn, bytes)
    }

    fn send_shared(&mut self, conn: ConnId, head: &[u8], message: &Arc<Message>) -> usize {
        self.append(conn, head) + self.append(conn, message.payload())
    }

    fn close(&mut self, conn: ConnId, cause: CloseCause) {
        panic!("{conn:?} was closed: {cause}");
    }

    fn verify(&mut self, conn: ConnId, _token: &[u8]) {
        panic!("{conn:?} sends no AUTH");
    }

    fn store(&mut self, _change: Change) {}

    fn fetch(&mut self, _fetch: Fetch) {}

    fn report(&mut self, _report: Report<'_>) {}
}

fn identity(access: Access) -> Identity {
    Identity {
        org: OrgId::new("org_cost"),
        username: "ada".into(),
        principal: "user/ada".into(),
        credential: Credential::Password { user: "ada".into() },
        claims: Vec::new(),
        expires_at: None,
        access,
        scope: None,
    }
}

/// Ten rules, of which the last one allows what is measured.
fn policy() -> Policy {
    let rule = |pattern: &str| Rule {
        name: "rules[]".into(),
        user: UserPattern::Any,
        pattern: pattern.into(),
        binding: None,
        actions: Actions::BOTH,
        effect: Effect::Allow,
        qos_max: None,
        retain: true,
    };
    let mut rules: Vec<Rule> = (0..9).map(|n| rule(&format!("other/{n}/#"))).collect();
    rules.push(rule("cost/{username}/#"));
    Policy {
        rules,
        ..Policy::deny_all()
    }
}

fn batch(qos: Qos) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 1..=BATCH {
        let mut packet = Publish::new(TopicName::parse(TOPIC).expect("a topic"), &[b'.'; 64]);
        packet.qos = qos;
        packet.packet_id = if qos == Qos::AtMostOnce {
            None
        } else {
            PacketId::new(number)
        };
        packet.encode(Version::V311, &mut bytes).expect("a packet");
    }
    bytes
}

/// Calls `each` for every packet of the batch.
fn decode(bytes: &[u8], mut each: impl FnMut(&Packet<'_>)) {
    let mut decoder = Decoder::with_version(Version::V311, PACKET_BYTES_MAX);
    let mut at = 0;
    while let Decoded::Packet { packet, bytes } = decoder.decode(&bytes[at..]).expect("a packet") {
        each(&packet);
        at += bytes;
    }
}

fn codec_alone(batches: u64, bytes: &[u8]) {
    let mut outputs = Outputs::default();
    let mut scratch = Vec::new();
    for _ in 0..batches {
        decode(bytes, |packet| {
            scratch.clear();
            packet.encode(Version::V311, &mut scratch).expect("a packet");
            outputs.append(ConnId(1), &scratch);
        });
    }
}

fn connected(org: &mut Org, outputs: &mut Outputs, subscribers: u32, qos: Qos, access: Access) {
    for number in 0..=subscribers {
        let client_id = format!("client-{number}");
        let connect = Connect::new(Version::V311, &client_id);
        org.handle_connect(ConnId(number), &connect, identity(access), Instant::ZERO, outputs);
        if number > 0 {
            let filter = SubscribeFilter::new(TopicFilter::parse(TOPIC).expect("a filter"), qos);
            let subscribe = Packet::Subscribe(Subscribe::new(PacketId::MIN, vec![filter]));
            org.handle_packet(ConnId(number), &subscribe, Instant::ZERO, outputs);
        }
    }
}

fn whole_path(org: &mut Org, subscribers: u32, qos: Qos, access: Access, batches: u64, bytes: &[u8]) {
    let mut outputs = Outputs::default();
    connected(org, &mut outputs, subscribers, qos, access);
    let mut packet_id = PacketId::MIN;
    for _ in 0..batches {
        decode(bytes, |packet| {
            org.handle_packet(PUBLISHER, packet, Instant::ZERO, &mut outputs);
        });
        for _ in 0..BATCH {
            if qos == Qos::AtLeastOnce {
                let ack = Packet::PubAck(Ack::new(packet_id, ReasonCode::Success));
                (1..=subscribers)
                    .for_each(|n| org.handle_packet(ConnId(n), &ack, Instant::ZERO, &mut outputs));
                packet_id = packet_id.checked_add(1).unwrap_or(PacketId::MIN);
            }
        }
        org.seal();
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| {
        args.get(at)
            .map_or(default, |text| text.parse().expect("a number"))
    };
    let subscribers = u32::try_from(number(0, 1)).expect("subscribers");
    let qos = u8::try_from(number(1, 0))
        .ok()
        .and_then(Qos::from_bits)
        .expect("QoS 0 or 1");
    let layer = args.get(2).map_or("quota", String::as_str);
    let batches = number(3, 1_000_000) / u64::from(BATCH);
    let bytes = batch(qos);

    let access = if layer == "sessions" {
        Access::Full
    } else {
        Access::Policy
    };
    let mut limits = Limits::default();
    if layer == "quota" {
        limits.publish_messages_per_sec = u32::MAX;
        limits.publish_bytes_per_sec = u64::from(u32::MAX);
    }
    let begin = std::time::Instant::now();
    if layer == "codec" {
        codec_alone(batches, &bytes);
    } else {
        let mut org = Org::new(OrgId::new("org_cost"), limits, policy(), 1);
        whole_path(&mut org, subscribers, qos, access, batches, &bytes);
    }
    let deliveries = batches * u64::from(BATCH) * u64::from(subscribers);
    let nanos = begin.elapsed().as_nanos() as f64 / deliveries as f64;
    println!("{layer}: {deliveries} deliveries, {nanos:.0} ns each");
}

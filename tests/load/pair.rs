//! One publisher and one subscriber.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;
use cloudsignal_core::codec::{
    Ack, AckKind, Connect, Packet, PacketId, Publish, ReasonCode, Subscribe, SubscribeFilter,
};
use cloudsignal_core::{Qos, TopicFilter, TopicName, Version};
use cloudsignal_tests::latencies::Latencies;
use cloudsignal_tests::link::Link;
use tokio::time::sleep_until;

use crate::{Plan, Session};

/// How long to wait for messages that are still on their way when the time is up.
const DRAIN: Duration = Duration::from_secs(5);
/// What came of a pair.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) received: u64,
    /// Messages that were lost, repeated or out of order.
    pub(crate) faults: u64,
    pub(crate) latencies: Latencies,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.faults += other.faults;
        self.latencies.add(&other.latencies);
    }
}

/// One publisher and one subscriber of the same topic.
#[derive(Debug)]
pub(crate) struct Pair {
    publisher: Link,
    subscriber: Link,
    topic: String,
    plan: Plan,
    sent: u64,
    sent_at: VecDeque<Instant>,
    unacknowledged: usize,
    tally: Tally,
}

impl Pair {
    pub(crate) async fn connect(plan: &Plan, number: usize) -> Result<Self> {
        let topic = format!("load/{number}/x");
        let mut subscriber = connect(plan, &format!("load-sub-{number}"), plan.session).await?;
        let filter = SubscribeFilter::new(TopicFilter::parse(&topic)?, plan.qos);
        let mut out = Vec::new();
        Subscribe::new(PacketId::MIN, vec![filter]).encode(Version::V311, &mut out)?;
        subscriber.write(&out).await?;
        subscriber
            .read_until(|packet| matches!(packet, Packet::SubAck(_)))
            .await?;
        Ok(Self {
            publisher: connect(plan, &format!("load-pub-{number}"), Session::Clean).await?,
            subscriber,
            topic,
            plan: plan.clone(),
            sent: 0,
            sent_at: VecDeque::new(),
            unacknowledged: 0,
            tally: Tally::default(),
        })
    }

    /// Publishes until `end`, then waits for what is still on its way.
    pub(crate) async fn run(mut self, begin: Instant, end: Instant) -> Result<Tally> {
        let mut out = Vec::new();
        loop {
            let now = Instant::now();
            let is_over = now >= end;
            if (is_over && self.sent_at.is_empty()) || now >= end + DRAIN {
                break;
            }
            let wake_at = if is_over {
                end + DRAIN
            } else {
                self.publish(begin, now, &mut out).await?.min(end)
            };
            let Self {
                publisher,
                subscriber,
                ..
            } = &mut self;
            let (mut arrived, mut acknowledged) = (Vec::new(), 0);
            tokio::select! {
                read = subscriber.read(|packet| arrived.extend(arrival(packet))) => read?,
                read = publisher.read(|packet| acknowledged += usize::from(matches!(packet, Packet::PubAck(_)))) => read?,
                () = sleep_until(wake_at.into()) => {}
            }
            self.unacknowledged -= acknowledged;
            self.receive(&arrived, &mut out).await?;
        }
        self.tally.faults += self.sent_at.len() as u64;
        Ok(self.tally)
    }

    /// Publishes what window and rate allow; answers when to look again.
    async fn publish(&mut self, begin: Instant, now: Instant, out: &mut Vec<u8>) -> Result<Instant> {
        let (mut room, mut wake_at) = (self.plan.window.saturating_sub(self.sent_at.len()), now + DRAIN);
        if self.plan.qos > Qos::AtMostOnce {
            room = room.min(self.plan.window.saturating_sub(self.unacknowledged));
        }
        if let Some(rate) = self.plan.rate {
            let due = ((now - begin).as_secs_f64() * rate) as u64;
            room = room.min(usize::try_from(due.saturating_sub(self.sent))?);
            wake_at = begin + Duration::from_secs_f64((self.sent + room as u64 + 1) as f64 / rate);
        } else if room < self.plan.window / 2 {
            // At full speed, messages go in batches: that is what saturates a broker instead of the generator.
            room = 0;
        }
        out.clear();
        for _ in 0..room {
            self.sent += 1;
            self.sent_at.push_back(now);
            let mut payload = vec![b'.'; self.plan.payload_bytes.max(8)];
            payload[..8].copy_from_slice(&self.sent.to_be_bytes());
            let mut packet = Publish::new(TopicName::parse(&self.topic)?, &payload);
            packet.qos = self.plan.qos;
            if self.plan.qos > Qos::AtMostOnce {
                self.unacknowledged += 1;
                packet.packet_id = PacketId::new(u16::try_from(1 + self.sent % 60_000)?);
            }
            packet.encode(Version::V311, out)?;
        }
        if !out.is_empty() {
            self.publisher.write(out).await?;
        }
        Ok(wake_at)
    }

    async fn receive(&mut self, arrived: &[(u64, Option<PacketId>)], out: &mut Vec<u8>) -> Result<()> {
        let now = Instant::now();
        out.clear();
        for &(number, packet_id) in arrived {
            self.tally.received += 1;
            if number != self.sent + 1 - self.sent_at.len() as u64 {
                self.tally.faults += 1;
            }
            if let Some(sent_at) = self.sent_at.pop_front() {
                self.tally.latencies.note(now - sent_at);
            }
            if let Some(packet_id) = packet_id {
                Ack::new(packet_id, ReasonCode::Success).encode(AckKind::PubAck, Version::V311, out)?;
            }
        }
        if !out.is_empty() {
            self.subscriber.write(out).await?;
        }
        Ok(())
    }
}

/// The number that a received message carries, and the packet id to acknowledge.
fn arrival(packet: &Packet<'_>) -> Option<(u64, Option<PacketId>)> {
    let Packet::Publish(publish) = packet else {
        return None;
    };
    let number = publish
        .payload
        .first_chunk()
        .copied()
        .map_or(0, u64::from_be_bytes);
    Some((number, publish.packet_id))
}

async fn connect(plan: &Plan, client_id: &str, session: Session) -> Result<Link> {
    let mut connect = Connect::new(Version::V311, client_id);
    // In this version a clean start is a clean session.
    connect.clean_start = session == Session::Clean;
    connect.username = plan.username.as_deref();
    connect.password = plan.password.as_deref().map(str::as_bytes);
    Link::connect(&plan.address, &connect).await
}

//! One publisher at QoS 1.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cloudsignal_core::codec::{Connect, Packet, PacketId, Publish};
use cloudsignal_core::{Qos, TopicName, Version};
use cloudsignal_tests::latencies::Latencies;
use cloudsignal_tests::link::Link;
use tokio::time::sleep_until;

use crate::READERS;
use crate::plan::Plan;

/// How long to wait for acknowledgements when the time is up.
const DRAIN: Duration = Duration::from_secs(30);
/// Messages that one publisher may have unacknowledged on a schedule: fewer than there are packet ids.
const BACKLOG_MAX: usize = 30_000;

/// When messages are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As soon as the window has room.
    Window,
    /// So many a second, whatever has been acknowledged.
    PerSecond(f64),
}

impl Pace {
    /// What one of several publishers does of it.
    pub(crate) const fn share(self, publishers: usize) -> Self {
        match self {
            Self::Window => Self::Window,
            Self::PerSecond(rate) => Self::PerSecond(rate / publishers as f64),
        }
    }

    /// When one of several publishers begins, after the first.
    pub(crate) fn turn(self, number: u32) -> Duration {
        match self {
            Self::Window => Duration::ZERO,
            Self::PerSecond(rate) => Duration::from_secs_f64(f64::from(number) / rate),
        }
    }
}

/// What came of a publisher.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) acknowledged: u64,
    pub(crate) latencies: Latencies,
}

#[derive(Debug)]
pub(crate) struct Publisher {
    link: Link,
    topic: String,
    payload: Vec<u8>,
    window: usize,
    pace: Pace,
    sent: u64,
    /// Packet ids that wait for their acknowledgement, and when they were due to be sent.
    waiting: VecDeque<(PacketId, Instant)>,
    done: Done,
}

impl Publisher {
    pub(crate) async fn connect(plan: &Plan, address: &str, number: usize, pace: Pace) -> Result<Self> {
        let client_id = format!("publisher-{number}");
        let connect = Connect::new(Version::V311, &client_id);
        Ok(Self {
            link: Link::connect(address, &connect).await?,
            topic: format!("stored/{}/{number}", number % READERS),
            payload: vec![b'.'; plan.payload_bytes],
            window: plan.window,
            pace,
            sent: 0,
            waiting: VecDeque::new(),
            done: Done::default(),
        })
    }

    /// Publishes until `end`, then awaits what is not acknowledged.
    pub(crate) async fn run(mut self, begin: Instant, end: Instant) -> Result<Done> {
        let mut out = Vec::new();
        loop {
            let now = Instant::now();
            if now >= end && self.waiting.is_empty() {
                return Ok(self.done);
            }
            ensure!(
                now < end + DRAIN,
                "{} messages were never acknowledged",
                self.waiting.len()
            );
            let wake_at = if now < end {
                self.publish(begin, now, &mut out).await?.min(end)
            } else {
                end + DRAIN
            };
            let Self {
                link, waiting, done, ..
            } = &mut self;
            let mut order = Ok(());
            tokio::select! {
                read = link.read(|packet| {
                    if let Packet::PubAck(ack) = packet {
                        order = acknowledge(waiting, done, ack.packet_id);
                    }
                }) => read?,
                () = sleep_until(wake_at.into()) => {}
            }
            order?;
        }
    }

    /// Publishes what is due; answers when to look again.
    async fn publish(&mut self, begin: Instant, now: Instant, out: &mut Vec<u8>) -> Result<Instant> {
        out.clear();
        let wake_at = match self.pace {
            Pace::Window => {
                while self.waiting.len() < self.window {
                    self.push(now, out)?;
                }
                now + DRAIN
            }
            Pace::PerSecond(rate) => {
                let due_at = |number: u64| begin + Duration::from_secs_f64(number as f64 / rate);
                while due_at(self.sent) <= now && self.waiting.len() < BACKLOG_MAX {
                    self.push(due_at(self.sent), out)?;
                }
                due_at(self.sent)
            }
        };
        if !out.is_empty() {
            self.link.write(out).await?;
        }
        Ok(wake_at)
    }

    fn push(&mut self, due_at: Instant, out: &mut Vec<u8>) -> Result<()> {
        self.sent += 1;
        let id = u16::try_from(1 + self.sent % 60_000)?;
        let id = PacketId::new(id).unwrap_or(PacketId::MIN);
        let mut packet = Publish::new(TopicName::parse(&self.topic)?, &self.payload);
        (packet.qos, packet.packet_id) = (Qos::AtLeastOnce, Some(id));
        packet.encode(Version::V311, out)?;
        self.waiting.push_back((id, due_at));
        Ok(())
    }
}

/// PUBACKs come in the order of their PUBLISHes. [MQTT-4.6.0-2]
fn acknowledge(
    waiting: &mut VecDeque<(PacketId, Instant)>,
    done: &mut Done,
    packet_id: PacketId,
) -> Result<()> {
    let oldest = waiting.pop_front();
    let (expected, due_at) = oldest.unwrap_or((packet_id, Instant::now()));
    ensure!(
        expected == packet_id && oldest.is_some(),
        "PUBACK {packet_id} came where {expected} was due"
    );
    done.acknowledged += 1;
    done.latencies.note(due_at.elapsed());
    Ok(())
}

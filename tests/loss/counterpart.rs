//! The other side of a client under test, and the judge of what arrives: raw MQTT 5 to the broker itself, past every
//! proxy. It publishes at QoS 2 in a lasting session, and its messages are numbered in both directions (`docs/numbering.md`),
//! so whatever breaks, the broker gets each of them once, and it knows what the broker repeats to it; what the client sees
//! twice, or never, was made between the broker and the client.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use cloudsignal_core::codec::{
    Ack, AckKind, Connect, Packet, PacketId, Publish, ReasonCode, Subscribe, SubscribeFilter, UserProperties,
};
use cloudsignal_core::{Qos, TopicFilter, TopicName, Version};
use cloudsignal_tests::link::Link;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

/// Messages of it that the broker has not completed; every broker takes so many.
const WINDOW: usize = 16;
/// How long its session lasts, seconds.
const SESSION_SECS: u32 = 86_400;
/// The name of its own count, of which there is one in its life.
const EPOCH: u64 = 1;
/// Between two attempts to reach a broker that is away.
const PAUSE: Duration = Duration::from_millis(20);
/// Numbers that wait in each direction.
const WAITING_MAX: usize = 1_024;

/// Who it is, and where.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    /// Where the broker is: this changes.
    pub(crate) broker: watch::Receiver<SocketAddr>,
    pub(crate) client_id: String,
    pub(crate) username: String,
    pub(crate) password: String,
    /// Where it publishes, and what it subscribes to.
    pub(crate) down: String,
    pub(crate) up: String,
}

/// A counterpart at work; it ends with its handle.
#[derive(Debug)]
pub(crate) struct Counterpart {
    pub(crate) publish: mpsc::Sender<u64>,
    pub(crate) heard: mpsc::Receiver<u64>,
}

/// A message on its way to the broker.
#[derive(Clone, Copy, Debug)]
struct Outgoing {
    packet_id: PacketId,
    number: u64,
    /// By which the broker knows it again.
    sequence: u64,
    phase: Phase,
}

/// What is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    PubRec,
    PubComp,
}

struct Worker {
    post: Post,
    outgoing: VecDeque<Outgoing>,
    next_packet_id: u16,
    /// The last number that it has given, and the highest that it has seen.
    sequence: u64,
    mark: u64,
    to_publish: mpsc::Receiver<u64>,
    tell: mpsc::Sender<u64>,
}

impl Counterpart {
    /// Connects and subscribes, and goes on from there by itself.
    pub(crate) async fn start(post: Post) -> Result<Self> {
        let (publish, to_publish) = mpsc::channel(WAITING_MAX);
        let (tell, heard) = mpsc::channel(WAITING_MAX);
        let mut link = connect(&post).await?;
        ensure!(!link.session_present(), "nobody was here before");
        subscribe(&mut link, &post.up).await?;
        let worker = Worker {
            post,
            outgoing: VecDeque::new(),
            next_packet_id: 1,
            sequence: 0,
            mark: 0,
            to_publish,
            tell,
        };
        tokio::spawn(worker.run(link));
        Ok(Self { publish, heard })
    }
}

async fn connect(post: &Post) -> Result<Link> {
    let mut connect = Connect::new(Version::V5, &post.client_id);
    connect.clean_start = false;
    connect.session_expiry_secs = Some(SESSION_SECS);
    let users = sequence(EPOCH);
    connect.user_properties = UserProperties::from_wire(&users)?;
    connect.username = Some(&post.username);
    connect.password = Some(post.password.as_bytes());
    let address = post.broker.borrow().to_string();
    Link::connect(&address, &connect).await
}

async fn subscribe(link: &mut Link, filter: &str) -> Result<()> {
    let filter = SubscribeFilter::new(TopicFilter::parse(filter)?, Qos::ExactlyOnce);
    let mut out = Vec::new();
    Subscribe::new(PacketId::MAX, vec![filter]).encode(Version::V5, &mut out)?;
    link.write(&out).await?;
    link.read_until(|packet| matches!(packet, Packet::SubAck(_)))
        .await
}

impl Worker {
    /// Works until nobody wants it any more.
    async fn run(mut self, mut link: Link) {
        loop {
            match self.work(&mut link).await {
                Ok(()) => return,
                Err(_lost) => link = self.come_back().await,
            }
        }
    }

    async fn come_back(&mut self) -> Link {
        loop {
            if let Ok(mut link) = connect(&self.post).await {
                assert!(link.session_present(), "the broker keeps the session");
                if self.resend(&mut link).await.is_ok() {
                    return link;
                }
            }
            // sleep: between two attempts; that the broker comes back is what is awaited
            sleep(PAUSE).await;
        }
    }

    /// What was on its way when the connection ended goes on where it was, in its order.
    async fn resend(&self, link: &mut Link) -> Result<()> {
        let mut out = Vec::new();
        for outgoing in &self.outgoing {
            match outgoing.phase {
                Phase::PubRec => self.encode(outgoing, true, &mut out)?,
                Phase::PubComp => acknowledge(outgoing.packet_id, AckKind::PubRel, &mut out)?,
            }
        }
        link.write(&out).await
    }

    fn encode(&self, outgoing: &Outgoing, dup: bool, out: &mut Vec<u8>) -> Result<()> {
        let payload = outgoing.number.to_string();
        let mut publish = Publish::new(TopicName::parse(&self.post.down)?, payload.as_bytes());
        publish.qos = Qos::ExactlyOnce;
        publish.packet_id = Some(outgoing.packet_id);
        publish.dup = dup;
        let users = sequence(outgoing.sequence);
        publish.properties.user_properties = UserProperties::from_wire(&users)?;
        publish.encode(Version::V5, out)?;
        Ok(())
    }

    /// One connection, until it ends with an error, or the work is over.
    async fn work(&mut self, link: &mut Link) -> Result<()> {
        let mut out = Vec::new();
        loop {
            let mut come: Vec<Come> = Vec::new();
            tokio::select! {
                number = self.to_publish.recv(), if self.outgoing.len() < WINDOW => {
                    let Some(number) = number else {
                        return Ok(());
                    };
                    let outgoing = self.begin(number);
                    self.encode(&outgoing, false, &mut out)?;
                }
                read = link.read(|packet| come.push(Come::of(packet))) => read?,
            }
            for come in come {
                self.take(come, &mut out).await?;
            }
            link.write(&out).await?;
            out.clear();
        }
    }

    fn begin(&mut self, number: u64) -> Outgoing {
        self.sequence += 1;
        let outgoing = Outgoing {
            sequence: self.sequence,
            packet_id: PacketId::new(self.next_packet_id).expect("it is not 0"),
            number,
            phase: Phase::PubRec,
        };
        self.next_packet_id = self.next_packet_id % PACKET_ID_MAX + 1;
        self.outgoing.push_back(outgoing);
        outgoing
    }

    async fn take(&mut self, come: Come, out: &mut Vec<u8>) -> Result<()> {
        match come {
            Come::Message {
                packet_id,
                sequence,
                number,
            } => {
                if sequence > self.mark {
                    self.mark = sequence;
                    let _over = self.tell.send(number).await;
                }
                acknowledge(packet_id, AckKind::PubAck, out)?;
            }
            Come::PubRec(packet_id) => {
                for outgoing in &mut self.outgoing {
                    if outgoing.packet_id == packet_id {
                        outgoing.phase = Phase::PubComp;
                    }
                }
                acknowledge(packet_id, AckKind::PubRel, out)?;
            }
            Come::PubComp(packet_id) => self.outgoing.retain(|it| it.packet_id != packet_id),
            Come::Nonsense(what) => bail!("the broker has sent {what}"),
        }
        Ok(())
    }
}

/// Packet ids go round; the last one was the subscription's.
const PACKET_ID_MAX: u16 = u16::MAX - 1;

fn acknowledge(packet_id: PacketId, kind: AckKind, out: &mut Vec<u8>) -> Result<()> {
    Ok(Ack::new(packet_id, ReasonCode::Success).encode(kind, Version::V5, out)?)
}

/// What matters of a packet.
enum Come {
    Message {
        packet_id: PacketId,
        sequence: u64,
        number: u64,
    },
    PubRec(PacketId),
    PubComp(PacketId),
    Nonsense(String),
}

impl Come {
    fn of(packet: &Packet<'_>) -> Self {
        match packet {
            Packet::Publish(publish) => Self::message(publish),
            Packet::PubRec(ack) => Self::PubRec(ack.packet_id),
            Packet::PubComp(ack) => Self::PubComp(ack.packet_id),
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::PubAck(_)
            | Packet::PubRel(_)
            | Packet::Subscribe(_)
            | Packet::SubAck(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingReq
            | Packet::PingResp
            | Packet::Disconnect(_)
            | Packet::Auth(_) => Self::Nonsense(format!("{packet:?}")),
        }
    }

    fn message(publish: &Publish<'_>) -> Self {
        let text = std::str::from_utf8(publish.payload).ok();
        let number = text.and_then(|text| text.parse().ok());
        let sequence = publish.properties.user_properties.sequence().ok().flatten();
        match (publish.packet_id, sequence, number) {
            (Some(packet_id), Some(sequence), Some(number)) => Self::Message {
                packet_id,
                sequence,
                number,
            },
            _ => Self::Nonsense(format!("{publish:?}")),
        }
    }
}

fn sequence(number: u64) -> Vec<u8> {
    let mut users = Vec::new();
    UserProperties::push_sequence(&mut users, number);
    users
}

//! A disk that is full, with a real limit: publishers that need it are refused, everybody else goes on, and once there is
//! room the broker stores again without a restart.

use std::net::SocketAddr;

use cloudsignal_core::Qos;
use cloudsignal_core::codec::Packet;
use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::http;
use cloudsignal_tests::random::Random;
use cloudsignal_tests::wait::DEADLINE;
use cloudsignal_tests::wire::Wire;

use crate::client::{Client, Got, ack};
use crate::small_disk::SmallDisk;

const DISK_BYTES: u64 = 32 * 1024 * 1024;
const PAYLOAD_BYTES: usize = 64 * 1024;
/// Publishers of whom the last one is refused.
const OTHERS_MAX: usize = 100;
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
/// Publishes that a publisher has under way. A broker takes more, but not without end.
const UNDER_WAY_MAX: u16 = 16;
/// More than the disk holds.
const PUBLISHES_MAX: u16 = 1_000;

/// A publisher that looks after each publish whether it was refused. It hears of that even while others wait.
struct Publisher {
    client: Client,
    acked: u16,
    refused: u16,
    sent: u16,
    dice: Random,
}

impl Publisher {
    async fn open(addr: SocketAddr, client_id: &str) -> Self {
        let (client, _) = Client::connect(addr, client_id, 0).await;
        let (acked, refused, sent) = (0, 0, 0);
        Self {
            client,
            acked,
            refused,
            sent,
            dice: Random::new(1),
        }
    }

    const fn under_way(&self) -> u16 {
        self.sent - self.acked - self.refused
    }

    async fn publish(&mut self) {
        self.sent += 1;
        let mut payload = format!("{} ", self.sent);
        // Nothing that a store could compress.
        payload.extend((0..PAYLOAD_BYTES).map(|_| char::from(*self.dice.pick(LETTERS))));
        let publish = self
            .client
            .publish("q/full", &payload, Qos::AtLeastOnce, self.sent, false);
        publish.await;
        self.look().await;
    }

    /// Awaits that everything was answered.
    async fn settle(&mut self) {
        let settled = async {
            while self.under_way() > 0 {
                self.look().await;
            }
        };
        let settled = tokio::time::timeout(DEADLINE, settled).await;
        settled.expect("what had been accepted is acknowledged once there is room");
    }

    /// It takes messages again. What was sent while it did not may still be refused.
    async fn publish_until_acked(&mut self) {
        let acked = self.acked;
        let published = async {
            while self.acked == acked {
                self.publish().await;
                self.settle().await;
            }
        };
        let published = tokio::time::timeout(DEADLINE, published).await;
        published.expect("it takes messages again");
    }

    /// PINGRESP waits for no disk: what was answered before it came first.
    async fn look(&mut self) {
        self.client.send(&Packet::PingReq).await;
        loop {
            match self.client.next().await {
                Got::Pong => return,
                Got::PubAck(_) => self.acked += 1,
                Got::Refused(_) => self.refused += 1,
                other => panic!("nothing else is due: {other:?}"),
            }
        }
    }
}

/// Whether the broker says that its store fails.
fn is_failing(broker: &Broker) -> bool {
    let metrics = http::get(broker.addr(Listener::Metrics), "/metrics");
    let metrics = metrics.expect("metrics are told").body;
    metrics.lines().any(|line| line == "cloudsignal_store_failing 1")
}

/// CONNECT of 3.1.1 with a clean session, as `old`, and its answer.
const CONNECT: &[u8] = b"\x10\x0F\0\x04MQTT\x04\x02\0\0\0\x03old";
const CONNACK: &[u8] = b"\x20\x02\0\0";
/// QoS 1 to `q/full`, packet id 9; PUBACK for it; and a ping with its answer.
const PUBLISH: &[u8] = b"\x32\x0B\0\x06q/full\0\x09!";
const PUBACK: &[u8] = b"\x40\x02\0\x09";
const PINGREQ: &[u8] = b"\xC0\0";
const PINGRESP: &[u8] = b"\xD0\0";

/// What needs no disk goes on: connections, subscriptions, messages.
async fn live(addr: SocketAddr) {
    let (mut reader, _) = Client::connect(addr, "reader", 0).await;
    reader.subscribe("live").await;
    let (mut speaker, _) = Client::connect(addr, "speaker", 0).await;
    speaker.publish("live", "hello", Qos::AtLeastOnce, 1, false).await;
    assert_eq!(speaker.next().await, Got::PubAck(1));
    let Got::Message { payload, id, .. } = reader.next().await else {
        panic!("the message comes")
    };
    assert_eq!(payload, "hello");
    reader.send(&Packet::PubAck(ack(id))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_who_needs_it_and_recovers_without_a_restart() {
    let disk = SmallDisk::mount(DISK_BYTES);
    println!("the disk is {}", disk.kind());
    let data = disk.folder().join("data");
    let broker = disk.limit(
        BrokerOptions::default()
            .with_anonymous_clients()
            .with_data_at(&data)
            .with("LIMITS_QUEUE_BYTES_MAX", 2 * DISK_BYTES),
    );
    let mut broker = broker.start();
    disk.impose(&broker);
    let addr = broker.addr(Listener::Mqtt);

    let (mut away, _) = Client::connect(addr, "away", u32::MAX).await;
    away.subscribe("q/full").await;
    drop(away);
    let mut publisher = Publisher::open(addr, "publisher").await;
    while !is_failing(&broker) {
        assert!(publisher.sent < PUBLISHES_MAX, "the disk is never full");
        publisher.publish().await;
        while publisher.under_way() >= UNDER_WAY_MAX && !is_failing(&broker) {
            publisher.look().await;
        }
    }
    // What the store may still give back, by itself, is taken from it.
    disk.fill_up();
    let acked_before = publisher.acked;
    assert!(acked_before > 0, "there was room at first");
    // Answers keep their order, so who still waits for one does not hear that it is refused.
    let mut others = Vec::new();
    while others.iter().all(|other: &Publisher| other.refused == 0) {
        assert!(others.len() < OTHERS_MAX, "nobody is refused");
        let mut other = Publisher::open(addr, &format!("other{}", others.len())).await;
        other.publish().await;
        others.push(other);
    }

    // Before v5 there is no way to say no: it is not acknowledged, and the connection lives.
    let mut old = Wire::open(addr, CONNECT, CONNACK);
    old.send(PUBLISH);
    old.send(PINGREQ);
    old.expect(PINGRESP);

    live(addr).await;

    // Room is made, and nothing else is done.
    disk.make_room(&broker);
    publisher.settle().await;
    publisher.publish_until_acked().await;
    let mut acked = publisher.acked;
    for other in &mut others {
        other.settle().await;
        acked += other.acked;
    }
    old.send(PUBLISH);
    old.expect(PUBACK);
    broker.assert_alive();
    println!("{acked_before} acknowledged before it was full, {acked} in the end");

    broker.kill();
    let broker = broker.start_again();
    let (mut away, is_there) = Client::connect(broker.addr(Listener::Mqtt), "away", u32::MAX).await;
    assert!(is_there, "the session is there");
    // The one more is of the old client.
    for _ in 0..=acked {
        let Got::Message { id, .. } = away.next().await else {
            panic!("everything that was acknowledged comes")
        };
        away.send(&Packet::PubAck(ack(id))).await;
    }
}

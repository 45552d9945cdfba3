//! What clients do while it is recorded: everything that the broker has to remember, in little.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use cloudsignal_core::Qos;
use cloudsignal_core::codec::Packet;
use cloudsignal_tests::http;
use serde_json::json;

use crate::client::{Client, Got, ack};

/// Filters of the session whose client is away, and of the one whose client answers.
const AWAY: [&str; 2] = ["q/away", "q/both"];
const HERE: [&str; 2] = ["q/here", "q/both"];
/// Pause before what was refused is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// Retained topics.
const KEPT_TOPICS: u64 = 3;
/// Publishes that are under way at once, so that one commit serves several.
const BURST: u64 = 4;
/// A retained topic is cleared instead of set, once in so many rounds.
const CLEAR_EVERY: u64 = 4;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    pub(crate) rounds: u64,
    /// Bytes of each payload.
    pub(crate) payload_bytes: usize,
}

/// Where the broker is, and the key of its first organization.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) mqtt: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) key: String,
}

struct Clients {
    site: Site,
    publisher: Client,
    here: Client,
    amount: Amount,
    number: u64,
    packet_id: u16,
}

/// The name of the n-th user that is made.
pub(crate) fn user_name(number: u64) -> String {
    format!("made{number}")
}

/// Does it, and tries again what is refused. Everything is acknowledged when this returns, except one QoS 2 exchange that
/// is left open.
pub(crate) async fn run(site: &Site, amount: Amount) {
    let mut away = connect(site, "away").await;
    let mut here = connect(site, "here").await;
    let publisher = connect(site, "publisher").await;
    for filter in AWAY {
        subscribe(&mut away, filter).await;
    }
    for filter in HERE {
        subscribe(&mut here, filter).await;
    }
    drop(away);
    let mut clients = Clients {
        site: site.clone(),
        publisher,
        here,
        amount,
        number: 0,
        packet_id: 0,
    };
    for round in 1..=amount.rounds {
        clients.round(round).await;
    }
    clients.begin_exchange("q/both").await;
}

async fn pause() {
    // sleep: the pause between two tries of what is refused
    tokio::time::sleep(TRY_AGAIN).await;
}

async fn connect(site: &Site, client_id: &str) -> Client {
    loop {
        match Client::try_connect(site.mqtt, client_id, u32::MAX).await {
            Ok((client, _)) => return client,
            Err(_) => pause().await,
        }
    }
}

async fn subscribe(client: &mut Client, filter: &str) {
    while client.try_subscribe(filter).await == Got::Refused(1) {
        pause().await;
    }
}

impl Clients {
    async fn round(&mut self, round: u64) {
        self.publish_once("q/away", Qos::AtLeastOnce).await;
        self.publish_once("q/away", Qos::ExactlyOnce).await;
        for topic in ["q/here", "q/both"] {
            self.publish_once(topic, Qos::AtLeastOnce).await;
            self.take_one().await;
            self.publish_once(topic, Qos::ExactlyOnce).await;
            self.take_one().await;
        }
        self.burst().await;
        self.set_retained(round).await;
        self.make_user(round).await;
    }

    /// Of one that was refused nobody knows whether it is there, until it is made once more.
    async fn make_user(&self, number: u64) {
        let body = json!({ "username": user_name(number) });
        let (api, key) = (self.site.http, Some(self.site.key.as_str()));
        let mut is_doubtful = false;
        loop {
            let made = http::ask(api, "POST", "/v2/users", key, Some(&body));
            match made.expect("the API answers").status {
                201 => return,
                409 if is_doubtful => return,
                503 => is_doubtful = true,
                status => panic!("user {number}: {status}"),
            }
            pause().await;
        }
    }

    fn next(&mut self) -> String {
        self.number += 1;
        let mut payload = format!("{} ", self.number);
        payload.extend(std::iter::repeat_n('x', self.amount.payload_bytes));
        payload
    }

    /// QoS 1 uses the id again that is free; a QoS 2 exchange has one of its own.
    const fn next_id(&mut self) -> u16 {
        self.packet_id += 1;
        self.packet_id
    }

    async fn publish_once(&mut self, topic: &str, qos: Qos) {
        if qos == Qos::ExactlyOnce {
            let id = self.begin_exchange(topic).await;
            self.publisher.release(id).await;
            assert_eq!(self.publisher.next().await, Got::PubComp(id));
            return;
        }
        let (payload, id) = (self.next(), self.next_id());
        self.publish_until(topic, &payload, qos, id, false, &Got::PubAck(id))
            .await;
    }

    async fn publish_until(
        &mut self,
        topic: &str,
        payload: &str,
        qos: Qos,
        id: u16,
        retain: bool,
        due: &Got,
    ) {
        loop {
            self.publisher.publish(topic, payload, qos, id, retain).await;
            match self.publisher.next().await {
                Got::Refused(_) => pause().await,
                got => return assert_eq!(got, *due),
            }
        }
    }

    async fn begin_exchange(&mut self, topic: &str) -> u16 {
        let (payload, id) = (self.next(), self.next_id());
        let due = Got::PubRec(id);
        self.publish_until(topic, &payload, Qos::ExactlyOnce, id, false, &due)
            .await;
        id
    }

    /// The client that is here gets a message and answers it.
    async fn take_one(&mut self) {
        let Got::Message { qos, id, .. } = self.here.next().await else {
            panic!("a message comes")
        };
        if qos == 1 {
            self.here.send(&Packet::PubAck(ack(id))).await;
            return;
        }
        self.here.send(&Packet::PubRec(ack(id))).await;
        assert_eq!(self.here.next().await, Got::PubRel(id));
        self.here.send(&Packet::PubComp(ack(id))).await;
    }

    async fn burst(&mut self) {
        let mut under_way = BTreeMap::new();
        for _ in 0..BURST {
            let (payload, id) = (self.next(), self.next_id());
            let publish = self
                .publisher
                .publish("q/away", &payload, Qos::AtLeastOnce, id, false);
            publish.await;
            under_way.insert(id, payload);
        }
        let mut refused = BTreeMap::new();
        while !under_way.is_empty() {
            match self.publisher.next().await {
                Got::PubAck(id) => _ = under_way.remove(&id),
                Got::Refused(id) => refused.extend(under_way.remove_entry(&id)),
                other => panic!("PUBACK is due, not {other:?}"),
            }
        }
        for (id, payload) in refused {
            let due = Got::PubAck(id);
            self.publish_until("q/away", &payload, Qos::AtLeastOnce, id, false, &due)
                .await;
        }
    }

    async fn set_retained(&mut self, round: u64) {
        let topic = format!("r/{}", round % KEPT_TOPICS);
        let (mut payload, id) = (self.next(), self.next_id());
        if round.is_multiple_of(CLEAR_EVERY) {
            payload.clear();
        }
        self.publish_until(&topic, &payload, Qos::AtLeastOnce, id, true, &Got::PubAck(id))
            .await;
    }
}

//! A broker is started on what a disk holds, and asked for everything that was promised.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use cloudsignal_core::Qos;
use cloudsignal_core::codec::Packet;
use cloudsignal_server::cli::serve::Listen;
use cloudsignal_server::config::{Config, Listeners};
use cloudsignal_server::server::{Kind, Server};
use cloudsignal_tests::broker::DEV_ORG;
use cloudsignal_tests::http;

use super::books::{Books, Message, Owed, Session, Write, matches, number_of};
use super::runtime;
use super::workload::user_name;
use crate::client::{Client, Got, ack};

/// Begins above every number of a run.
const PROBE: u64 = 1_000_000_000;
/// The last thing that a session is sent.
const MARKER: u64 = PROBE + 1;

/// What is wrong, in words.
pub(crate) type Faults = Vec<String>;

/// Starts a broker in `folder` and compares. The broker ends with its runtime, as if it were killed.
pub(crate) fn judge(folder: &Path, books: &Books, key: &str) -> Faults {
    runtime().block_on(compare(folder, books, key))
}

async fn compare(folder: &Path, books: &Books, key: &str) -> Faults {
    let server = match Server::start(config(folder)).await {
        Ok(server) => server,
        Err(error) => return vec![format!("the broker does not start: {error:#}")],
    };
    let mqtt = server.address(Kind::Mqtt).expect("it listens");
    let http = server.address(Kind::Http).expect("it listens");
    let mut judge = Judge {
        mqtt,
        books,
        faults: Faults::new(),
    };
    judge.end_exchanges().await;
    for (client_id, session) in &books.sessions {
        judge.drain(client_id, session).await;
    }
    judge.look_at_retained().await;
    judge.look_at_users(http, key);
    judge.faults
}

fn config(folder: &Path) -> Config {
    let any = Listen::At(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    Config {
        data_dir: folder.to_owned(),
        dev_anonymous: Some(DEV_ORG.to_owned()),
        worker_threads: 1,
        listen: Listeners {
            mqtt: any,
            http: any,
            mqtts: any,
            ws: Listen::Off,
            wss: Listen::Off,
            https: Listen::Off,
            metrics: Listen::Off,
        },
        ..Config::default()
    }
}

struct Judge<'a> {
    mqtt: SocketAddr,
    books: &'a Books,
    faults: Faults,
}

impl Judge<'_> {
    fn fault(&mut self, what: String) {
        self.faults.push(what);
    }

    async fn connect(&mut self, client_id: &str, session: &Session) -> Client {
        let (client, is_there) = Client::connect(self.mqtt, client_id, u32::MAX).await;
        if session.is_agreed && !is_there {
            self.fault(format!("the session of {client_id} is gone"));
        }
        client
    }

    /// Clients go on with the QoS 2 exchanges that they have not seen the end of: nothing may be routed twice.
    async fn end_exchanges(&mut self) {
        let books = self.books;
        for (client_id, session) in books.sessions.iter().filter(|(_, it)| !it.open.is_empty()) {
            let mut client = self.connect(client_id, session).await;
            for (id, exchange) in &session.open {
                let number = exchange.number;
                let topic = &books.messages[&number].topic;
                let payload = format!("{number} ");
                if !exchange.is_released {
                    let publish = client.publish(topic, &payload, Qos::ExactlyOnce, *id, false);
                    publish.await;
                    while client.next().await != Got::PubRec(*id) {}
                }
                client.release(*id).await;
                while client.next().await != Got::PubComp(*id) {}
            }
        }
    }

    async fn drain(&mut self, client_id: &str, session: &Session) {
        let mut client = self.connect(client_id, session).await;
        let marker = format!("marker/{client_id}");
        let subscribed = client.subscribe_among(&marker).await;
        let (mut prober, _) = Client::connect(self.mqtt, "prober", 0).await;
        let mut probes = 0;
        for filter in &session.held {
            let payload = PROBE.to_string();
            let probe = prober.publish(filter, &payload, Qos::AtLeastOnce, 1, false);
            probe.await;
            assert_eq!(prober.next().await, Got::PubAck(1));
            probes += 1;
        }
        prober
            .publish(&marker, &MARKER.to_string(), Qos::AtLeastOnce, 1, false)
            .await;
        assert_eq!(prober.next().await, Got::PubAck(1));
        let mut came: Vec<(u64, String)> = Vec::new();
        let mut early = subscribed.into_iter();
        loop {
            let got = match early.next() {
                Some(got) => got,
                None => client.next().await,
            };
            match got {
                Got::Message {
                    topic,
                    payload,
                    qos,
                    id,
                    ..
                } => {
                    answer(&mut client, qos, id).await;
                    match number_of(payload.as_bytes()) {
                        MARKER => break,
                        PROBE => probes -= 1,
                        number => came.push((number, topic)),
                    }
                }
                Got::PubRel(id) => client.send(&Packet::PubComp(ack(id))).await,
                _ => {}
            }
        }
        if probes > 0 {
            self.fault(format!("{client_id} has lost {probes} of {:?}", session.held));
        }
        self.compare(client_id, session, &came);
    }

    fn compare(&mut self, client_id: &str, session: &Session, came: &[(u64, String)]) {
        let books = self.books;
        let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
        for (number, topic) in came {
            let may = |message: &Message| {
                let owed = session.owed.get(number);
                let asked = session.asked.iter().any(|filter| matches(filter, &message.topic));
                message.topic == *topic && asked && owed != Some(&Owed::Released)
            };
            if !books.messages.get(number).is_some_and(may) {
                self.fault(format!(
                    "{client_id} got {number} on {topic}, which must not come"
                ));
            }
            let last = newest.insert(topic, *number);
            if last.is_some_and(|last| last >= *number) {
                self.fault(format!("{client_id} got {number} on {topic} after {last:?}"));
            }
        }
        for (number, owed) in &session.owed {
            let is_due = *owed == Owed::Due && books.messages[number].is_acked;
            if is_due && !came.iter().any(|(it, _)| it == number) {
                let (topic, qos) = (&books.messages[number].topic, books.messages[number].qos);
                self.fault(format!("{client_id} has lost {number} on {topic} ({qos:?})"));
            }
        }
    }

    async fn look_at_retained(&mut self) {
        let (mut curious, _) = Client::connect(self.mqtt, "curious", 0).await;
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        let early = curious.subscribe_among("r/#").await;
        let (mut prober, _) = Client::connect(self.mqtt, "prober", 0).await;
        prober
            .publish("r/marker", &MARKER.to_string(), Qos::AtMostOnce, 0, false)
            .await;
        let mut early = early.into_iter();
        loop {
            let got = match early.next() {
                Some(got) => got,
                None => curious.next().await,
            };
            let Got::Message {
                topic,
                payload,
                qos,
                id,
                ..
            } = got
            else {
                continue;
            };
            answer(&mut curious, qos, id).await;
            match number_of(payload.as_bytes()) {
                MARKER => break,
                number => _ = found.insert(topic, number),
            }
        }
        let books = self.books;
        for (topic, writes) in &books.retained {
            let number = found.remove(topic).unwrap_or(0);
            let acked = writes.iter().rposition(|write| write.is_acked);
            let later = &writes[acked.unwrap_or(0)..];
            let may_be = |write: &Write| write.number == number;
            if !later.iter().any(may_be) && (acked.is_some() || number > 0) {
                self.fault(format!("{topic} holds {number}, and not one of {later:?}"));
            }
        }
        if !found.is_empty() {
            self.fault(format!("nobody has retained {found:?}"));
        }
    }

    fn look_at_users(&mut self, http: SocketAddr, key: &str) {
        for number in 1..=self.books.users {
            let path = format!("/v2/users/{}", user_name(number));
            let answer = http::ask(http, "GET", &path, Some(key), None);
            match answer {
                Ok(answer) if answer.status == 200 => {}
                other => self.fault(format!("user {}: {other:?}", user_name(number))),
            }
        }
    }
}

async fn answer(client: &mut Client, qos: u8, id: u16) {
    match qos {
        1 => client.send(&Packet::PubAck(ack(id))).await,
        2 => client.send(&Packet::PubRec(ack(id))).await,
        _ => {}
    }
}

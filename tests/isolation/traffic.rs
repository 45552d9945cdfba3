//! What clients do: connect, publish, subscribe, acknowledge, leave.

use cloudsignal_broker::AUTH_METHOD;
use cloudsignal_core::codec::{
    Auth, Connect, Disconnect, Packet, Publish, PublishProperties, ReasonCode, RetainHandling, Subscribe,
    SubscribeFilter, Unsubscribe, UserProperties, Will,
};
use cloudsignal_core::{Qos, TopicFilter, TopicName, Version};

use crate::cast::{FILTERS, TOPICS, Who};
use crate::client::{Client, Expects};
use crate::judge::mark;
use crate::leaks::Leak;
use crate::world::{Operation, World};

const QOS: [Qos; 4] = [
    Qos::AtMostOnce,
    Qos::AtLeastOnce,
    Qos::AtLeastOnce,
    Qos::ExactlyOnce,
];
/// Lengths of payloads beyond the mark, bytes: copied ones and shared ones.
const PAYLOAD_BYTES: [usize; 4] = [0, 10, 90, 600];

/// A login, as it is sent.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) version: Version,
    pub(crate) client_id: &'a str,
    pub(crate) username: &'a str,
    pub(crate) password: &'a str,
    /// The password is a token, which may be shown in another way too.
    pub(crate) is_token: bool,
}

impl World {
    /// One of the things that clients do.
    pub(crate) fn act(&mut self, org: usize, operation: Operation) {
        let (mut slot, mut tries) = (self.pick_slot(org), 0);
        // Whoever is connected does more than whoever is not.
        while self.orgs[org].slots[slot].wire.is_none() && operation != Operation::Connect && tries < 5 {
            (slot, tries) = (self.pick_slot(org), tries + 1);
        }
        let Some(wire) = self.orgs[org].slots[slot].wire else {
            return self.connect(org, slot);
        };
        match operation {
            Operation::Publish => self.publish(org, wire),
            Operation::Subscribe => self.subscribe(wire),
            Operation::Unsubscribe => self.unsubscribe(wire),
            Operation::Acknowledge => {
                let owed = self.client(wire).acknowledge();
                self.bench.write(wire, &owed);
            }
            Operation::Ping => self.send(wire, &Packet::PingReq),
            Operation::ShowToken => self.show_token(org, wire),
            Operation::Connect => self.connect(org, slot),
            Operation::Disconnect => self.disconnect(wire),
            Operation::Cut => self.cut(wire),
            Operation::Manage
            | Operation::Intrude
            | Operation::Trespass
            | Operation::Ask
            | Operation::AskElsewhere
            | Operation::PublishOverHttp => unreachable!("invariant: no client does {operation:?}"),
        }
    }

    fn pick_slot(&mut self, org: usize) -> usize {
        self.random.index(self.orgs[org].slots.len())
    }

    fn client(&mut self, wire: usize) -> &mut Client {
        self.clients[wire].as_mut().expect("invariant: somebody is there")
    }

    fn send(&mut self, wire: usize, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        let version = self.client(wire).version;
        packet
            .encode(version, &mut bytes)
            .expect("invariant: small packets can be written");
        self.bench.write(wire, &bytes);
    }

    /// A client comes, perhaps to take over its own session.
    pub(crate) fn connect(&mut self, org: usize, slot: usize) {
        let who = self.orgs[org].slots[slot].who;
        if let Who::Token(token) = who {
            self.renew_if_ended(org, token);
        }
        let by = if self.leak == Some(Leak::Binding) && org == 1 {
            0
        } else {
            org
        };
        let named = if self.random.chance(50) {
            self.orgs[by].id.clone()
        } else {
            self.orgs[by].uuid.clone()
        };
        let (username, password) = self.orgs[by].login(who, &named);
        let place = &self.orgs[org].slots[slot];
        let (version, client_id, is_lazy) = (place.version, place.client_id, place.is_lazy);
        let attempt = Attempt {
            version,
            client_id,
            username: &username,
            password: &password,
            is_token: matches!(who, Who::Token(_)),
        };
        let client = Client::new(org, Some(slot), version, is_lazy, Expects::Welcome);
        let wire = self.log_in(client, &attempt);
        self.orgs[org].slots[slot].wire = Some(wire);
        self.leak_takeover(org, client_id);
    }

    /// A planted leak: a namesake in another organization is closed.
    fn leak_takeover(&mut self, org: usize, client_id: &str) {
        if !self.leaks(Leak::Takeover, 5) {
            return;
        }
        let others = self.orgs.iter().filter(|other| other.number != org);
        let namesakes = others.flat_map(|other| &other.slots);
        let wire = namesakes
            .filter(|slot| slot.client_id == client_id)
            .find_map(|slot| slot.wire);
        if let Some(client) = wire.and_then(|wire| self.clients[wire].take()) {
            self.judge.ended(client.org);
        }
    }

    /// Sends a CONNECT on a new wire.
    pub(crate) fn log_in(&mut self, mut client: Client, attempt: &Attempt<'_>) -> usize {
        let source = self.random.next();
        let wire = self.bench.plug(source);
        let org = client.org;
        let will = self.random.chance(40).then(|| {
            let topic = *self.random.pick(&TOPICS);
            let payload = format!("{}will of {}", mark(org), attempt.client_id);
            (topic, payload, *self.random.pick(&QOS), self.random.chance(30))
        });
        let mut connect = Connect::new(attempt.version, attempt.client_id);
        connect.username = Some(attempt.username);
        connect.password = Some(attempt.password.as_bytes());
        connect.clean_start = self.random.chance(30);
        let is_by_method = attempt.is_token && attempt.version == Version::V5 && self.random.chance(50);
        if is_by_method {
            connect.auth_method = Some(AUTH_METHOD);
            connect.auth_data = connect.password.take();
        }
        if attempt.version == Version::V5 {
            connect.session_expiry_secs = Some(*self.random.pick(&[0, 60, 3_600, 100_000]));
            connect.topic_alias_max = *self.random.pick(&[0, 8]);
        }
        if let Some((topic, payload, qos, retain)) = &will {
            let topic = TopicName::parse(topic).expect("invariant: a topic");
            let mut will = Will::new(topic, payload.as_bytes(), *qos, *retain);
            if attempt.version == Version::V5 {
                will.delay_secs = *self.random.pick(&[0, 0, 0, 5, 500]);
            }
            connect.will = Some(will);
            // It may be published at any time.
            self.orgs[org].sent.messages += 1;
            self.orgs[org].sent.bytes += payload.len() as u64;
        }
        self.orgs[org].sent.connects += 1;
        if self.clients.len() <= wire {
            self.clients.resize_with(wire + 1, || None);
        }
        client.is_by_method = is_by_method;
        self.clients[wire] = Some(client);
        self.asked += 1;
        self.send(wire, &Packet::Connect(Box::new(connect)));
        wire
    }

    fn publish(&mut self, org: usize, wire: usize) {
        let own = mark(org);
        let own_topic = format!("own/{own}/x");
        let topic = if self.random.chance(10) {
            own_topic.as_str()
        } else {
            *self.random.pick(&TOPICS)
        };
        let topic = TopicName::parse(topic).expect("invariant: a topic");
        let qos = *self.random.pick(&QOS);
        let retain = self.random.chance(20);
        let filling = "x".repeat(*self.random.pick(&PAYLOAD_BYTES));
        let payload = format!("{own}{:x} {filling}", self.random.next());
        let clears = retain && self.random.chance(20);
        let mut user = Vec::new();
        UserProperties::push(&mut user, "from", &own).expect("invariant: short strings");
        let client = self.client(wire);
        let is_v5 = client.version == Version::V5;
        let packet_id = (qos > Qos::AtMostOnce).then(|| client.packet_id());
        let mut packet = Publish::new(topic, if clears { b"" } else { payload.as_bytes() });
        packet.qos = qos;
        packet.retain = retain;
        packet.packet_id = packet_id;
        if is_v5 && self.random.chance(50) {
            packet.properties = PublishProperties {
                response_topic: TopicName::parse(&own_topic).ok(),
                correlation_data: Some(own.as_bytes()),
                content_type: Some(&own),
                message_expiry_secs: self.random.chance(20).then_some(20),
                user_properties: UserProperties::from_wire(&user).expect("invariant: just written"),
                ..PublishProperties::default()
            };
        }
        let sent = &mut self.orgs[org].sent;
        sent.messages += 1;
        sent.messages_at_once += 1;
        sent.bytes += packet.payload.len() as u64;
        self.tally.publishes += 1;
        self.send(wire, &Packet::Publish(packet));
    }

    fn subscribe(&mut self, wire: usize) {
        let is_v5 = self.client(wire).version == Version::V5;
        let filters = (0..self.random.between(1, 2))
            .map(|_| {
                let filter =
                    TopicFilter::parse(self.random.pick::<&str>(&FILTERS)).expect("invariant: a filter");
                let mut wanted = SubscribeFilter::new(filter, *self.random.pick(&QOS));
                if is_v5 && self.random.chance(20) {
                    wanted.retain_handling = RetainHandling::DoNotSend;
                }
                wanted
            })
            .collect();
        let packet = Subscribe::new(self.client(wire).packet_id(), filters);
        self.send(wire, &Packet::Subscribe(packet));
    }

    fn unsubscribe(&mut self, wire: usize) {
        let filter = TopicFilter::parse(self.random.pick::<&str>(&FILTERS)).expect("invariant: a filter");
        let packet_id = self.client(wire).packet_id();
        self.send(
            wire,
            &Packet::Unsubscribe(Unsubscribe::new(packet_id, vec![Ok(filter)])),
        );
    }

    /// Says goodbye, in MQTT 5 perhaps with its will.
    fn disconnect(&mut self, wire: usize) {
        let mut packet = Disconnect::default();
        if self.client(wire).version == Version::V5 && self.random.chance(30) {
            packet.reason = ReasonCode::DisconnectWithWill;
        }
        self.send(wire, &Packet::Disconnect(packet));
    }

    /// Shows a token by AUTH: its own one, or one that an organization made for the same address.
    fn show_token(&mut self, org: usize, wire: usize) {
        let client = self.clients[wire].as_ref().expect("invariant: somebody is there");
        let who = client.slot.map(|slot| self.orgs[org].slots[slot].who);
        let (true, true, Some(Who::Token(token))) = (client.is_by_method, client.is_welcome, who) else {
            return;
        };
        let (by, shown) = if self.random.chance(50) {
            (self.victim(org), Expects::Refusal)
        } else {
            (org, Expects::Welcome)
        };
        self.renew_if_ended(org, token);
        let by = if self.leak == Some(Leak::Renewal) { org } else { by };
        let data = self.orgs[by].tokens[token].password.clone();
        self.client(wire).shown = Some(shown);
        let packet = Auth {
            data: Some(data.as_bytes()),
            ..Auth::new(ReasonCode::Reauthenticate, AUTH_METHOD)
        };
        self.tally.shown += 1;
        self.send(wire, &Packet::Auth(packet));
    }

    /// Is gone without a word.
    fn cut(&mut self, wire: usize) {
        let client = self.clients[wire].take().expect("invariant: somebody is there");
        self.forget(&client, wire);
        self.bench.unplug(wire);
    }
}

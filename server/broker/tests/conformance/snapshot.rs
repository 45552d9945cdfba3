//! Random stories: what was told to the store is what the organization has, and what comes back is that again.

use cloudsignal_core::codec::{Ack, ReasonCode, Subscribe, Unsubscribe};
use cloudsignal_core::{Packet, TopicFilter};
use proptest::prelude::*;

use crate::client::{Client, MessageExt, QOS0, QOS1, QOS2, filter, id, message, will};
use crate::world::World;

/// One step of a random story.
#[derive(Clone, Copy, Debug)]
enum Step {
    Connect {
        client: usize,
        expiry_secs: u32,
        resumes: bool,
        has_will: bool,
    },
    Subscribe {
        client: usize,
        filter: usize,
        options: u8,
    },
    Unsubscribe {
        client: usize,
        filter: usize,
    },
    Publish {
        client: usize,
        topic: usize,
        qos: u8,
        retain: bool,
        is_empty: bool,
    },
    Read {
        client: usize,
        packets: usize,
    },
    Cut {
        client: usize,
    },
    Disconnect {
        client: usize,
    },
    Pass {
        secs: u32,
    },
}

const CLIENTS: [&str; 4] = ["a", "b", "c", "d"];
const TOPICS: [&str; 3] = ["x", "y", "x/z"];
const FILTERS: [&str; 4] = ["#", "x/#", "$share/g/x", "y"];

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS.len();
    let connect = (client.clone(), 0_u32..3, any::<bool>(), any::<bool>()).prop_map(
        |(client, expiry, resumes, has_will)| Step::Connect {
            client,
            expiry_secs: [0, 100, u32::MAX][expiry as usize],
            resumes,
            has_will,
        },
    );
    let subscribe =
        (client.clone(), 0..FILTERS.len(), 0_u8..16).prop_map(|(client, filter, options)| Step::Subscribe {
            client,
            filter,
            options,
        });
    let publish = (client.clone(), 0..TOPICS.len(), 0_u8..3, any::<bool>(), 0..5).prop_map(
        |(client, topic, qos, retain, empty)| Step::Publish {
            client,
            topic,
            qos,
            retain,
            is_empty: empty == 0,
        },
    );
    prop_oneof![
        3 => connect,
        3 => subscribe,
        1 => (client.clone(), 0..FILTERS.len()).prop_map(|(client, filter)| Step::Unsubscribe { client, filter }),
        8 => publish,
        5 => (client.clone(), 1_usize..6).prop_map(|(client, packets)| Step::Read { client, packets }),
        2 => client.clone().prop_map(|client| Step::Cut { client }),
        1 => client.prop_map(|client| Step::Disconnect { client }),
        1 => (1_u32..60).prop_map(|secs| Step::Pass { secs }),
    ]
}

/// The clients of a random story.
struct Story {
    world: World,
    clients: [Option<Client>; 4],
    last_packet_id: u16,
}

impl Story {
    fn new() -> Self {
        Self {
            world: World::with_limits(|limits| limits.inflight_max = 3),
            clients: [const { None }; 4],
            last_packet_id: 0,
        }
    }

    fn open(&self, client: usize) -> Option<&Client> {
        self.clients[client].as_ref().filter(|it| it.closed().is_none())
    }

    fn play(&mut self, step: Step) {
        self.last_packet_id += 1;
        match step {
            Step::Connect {
                client,
                expiry_secs,
                resumes,
                has_will,
            } => {
                let opened = self.connect(CLIENTS[client], expiry_secs, resumes, has_will);
                self.clients[client] = Some(opened);
            }
            Step::Subscribe {
                client,
                filter: at,
                options,
            } => {
                let mut wanted = filter(FILTERS[at], [QOS0, QOS1, QOS2, QOS2][usize::from(options & 3)]);
                wanted.no_local = options & 4 != 0 && !FILTERS[at].starts_with('$');
                wanted.retain_as_published = options & 8 != 0;
                let subscribe = Subscribe::new(id(self.last_packet_id), vec![wanted]);
                if let Some(client) = self.open(client) {
                    client.send(&Packet::Subscribe(subscribe));
                }
            }
            Step::Unsubscribe { client, filter: at } => {
                let filters = vec![TopicFilter::parse(FILTERS[at])];
                let unsubscribe = Unsubscribe::new(id(self.last_packet_id), filters);
                if let Some(client) = self.open(client) {
                    client.send(&Packet::Unsubscribe(unsubscribe));
                }
            }
            Step::Publish {
                client,
                topic,
                qos,
                retain,
                is_empty,
            } => {
                let payload = if is_empty { "" } else { "hello" };
                let mut publish = message(TOPICS[topic], payload);
                if qos > 0 {
                    publish = publish.at([QOS0, QOS1, QOS2][usize::from(qos)], self.last_packet_id);
                }
                publish.retain = retain;
                if let Some(client) = self.open(client) {
                    client.publish_it(publish);
                }
            }
            Step::Read { client, packets } => {
                for _ in 0..packets {
                    self.answer(client);
                }
            }
            Step::Cut { client } => {
                if let Some(client) = self.open(client) {
                    client.cut();
                }
            }
            Step::Disconnect { client } => {
                if let Some(client) = self.open(client) {
                    client.disconnect();
                }
            }
            Step::Pass { secs } => self.world.advance_secs(secs),
        }
    }

    fn connect(&self, client: &str, expiry_secs: u32, resumes: bool, has_will: bool) -> Client {
        let mut connecting = self.world.connect(client).expiry(expiry_secs);
        if resumes {
            connecting = connecting.resume();
        }
        if has_will {
            let mut will = will("x", "will");
            (will.qos, will.delay_secs) = (QOS1, 10);
            connecting = connecting.will(will);
        }
        connecting.go()
    }

    fn answer(&self, client: usize) {
        let Some(client) = self.open(client) else { return };
        let ok = |packet_id| Ack::new(packet_id, ReasonCode::Success);
        match client.read() {
            Some(Packet::Publish(publish)) => match (publish.qos, publish.packet_id) {
                (QOS1, Some(packet_id)) => client.send(&Packet::PubAck(ok(packet_id))),
                (QOS2, Some(packet_id)) => client.send(&Packet::PubRec(ok(packet_id))),
                (_, _) => {}
            },
            Some(Packet::PubRec(ack)) => client.send(&Packet::PubRel(ok(ack.packet_id))),
            Some(Packet::PubRel(ack)) => client.send(&Packet::PubComp(ok(ack.packet_id))),
            Some(_) | None => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What was told to the store is what the organization has, and what comes back is that again.
    #[test]
    fn what_is_stored_is_what_there_is_and_what_comes_back(steps in prop::collection::vec(step(), 1..120)) {
        let mut story = Story::new();
        for step in steps {
            story.play(step);
        }
        let world = &story.world;
        let there = world.snapshot();
        let mut stored = world.inner().disk.clone();
        // One that ends with the connection that it has is no longer told of.
        stored.sessions.retain(|_, session| session.expiry_secs > 0);
        prop_assert_eq!(stored.lines(false), there.lines(false));

        world.inner().disk = there.clone();
        world.crash();
        let mut due = there;
        let now = world.inner().now;
        for session in due.sessions.values_mut() {
            // Whoever was connected is away now.
            if session.ends_at.is_none() && session.expiry_secs < u32::MAX {
                session.ends_at = Some(now.after_secs(session.expiry_secs));
            }
            if let Some(will) = session.will.as_mut() {
                will.due_at.get_or_insert(now.after_secs(10));
            }
        }
        let again = world.snapshot();
        prop_assert_eq!(again.lines(true), due.lines(true));
        let stored = world.inner().disk.lines(true);
        prop_assert_eq!(stored, again.lines(true), "what has changed by the restart is stored");
    }
}

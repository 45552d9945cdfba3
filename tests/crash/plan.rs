//! What a seed decides before anything runs: who there is, what they publish, what they subscribe to, how they behave.

use cloudsignal_core::{Qos, TopicFilter, TopicName, Version};
use cloudsignal_tests::random::Random;

use crate::brokers::Api;

/// The cast of a run. Members, streams and subscriptions are named by their place in these lists.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// In front of every topic and client id, so that runs against one broker do not meet.
    pub(crate) base: String,
    pub(crate) members: Vec<MemberPlan>,
    pub(crate) streams: Vec<StreamPlan>,
    pub(crate) subscriptions: Vec<SubscriptionPlan>,
}

/// A client with a persistent session.
#[derive(Clone, Debug)]
pub(crate) struct MemberPlan {
    pub(crate) client_id: String,
    pub(crate) version: Version,
    /// Streams that it writes.
    pub(crate) streams: Vec<usize>,
    /// Subscriptions that it holds, alone or with others of its group.
    pub(crate) subscriptions: Vec<usize>,
    /// Publishes that it has under way at once.
    pub(crate) window: usize,
    /// Acknowledgements that it holds back while there is load.
    pub(crate) held_max: usize,
    /// Its own Receive Maximum, in MQTT 5.
    pub(crate) receive_max: u16,
    /// Events of everybody between two publishes.
    pub(crate) pace: u64,
    pub(crate) habit: Habit,
}

/// How a member spends its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Connected, but for moments.
    Present,
    /// Offline most of the time.
    Absent,
    /// Offline over whole cycles.
    Hermit,
}

/// One topic with one writer.
#[derive(Clone, Debug)]
pub(crate) struct StreamPlan {
    pub(crate) writer: Writer,
    pub(crate) topic: String,
    pub(crate) qos: Qos,
    pub(crate) kind: StreamKind,
}

/// Who publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    Member(usize),
    /// Whoever writes over the HTTP API.
    Api,
}

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// Messages for subscribers.
    Messages,
    /// A retained value, for whoever asks.
    Retained,
}

/// One filter of one member, or of a group.
#[derive(Clone, Debug)]
pub(crate) struct SubscriptionPlan {
    /// As it is sent, with `$share/` and the group.
    pub(crate) filter: String,
    pub(crate) qos: Qos,
    pub(crate) reach: Reach,
    /// Streams that it matches.
    pub(crate) streams: Vec<usize>,
    pub(crate) constancy: Constancy,
}

/// Whose a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Each message comes to this member.
    Own,
    /// Each message comes to one of a group.
    Group,
}

/// Whether there are shared subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    Tried,
    /// For brokers that have none.
    LeftOut,
}

/// Whether a subscription is given up and made again meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Constancy {
    /// Never.
    Constant,
    /// Again and again.
    Fickle,
}

const PUBLISHERS: usize = 6;
const TOPICS_OF_PUBLISHER: usize = 3;
const SUBSCRIBERS: usize = 8;
const GROUPS: usize = 2;
const GROUP_MEMBERS: usize = 3;
const HERMITS: usize = 2;
/// Slow enough for what waits for a hermit over some cycles to stay below what brokers queue.
const PACE_FOR_HERMITS: u64 = 400;
const RETAINED_WRITERS: usize = 2;
const RETAINED_TOPICS_OF_WRITER: usize = 4;

impl Plan {
    /// The cast that follows from `seed`; `run` tells it from other runs against the same broker.
    pub(crate) fn from_seed(seed: u64, run: &str, sharing: Sharing, api: Api) -> Self {
        let mut plan = Self {
            seed,
            base: format!("crash/{run}"),
            members: Vec::new(),
            streams: Vec::new(),
            subscriptions: Vec::new(),
        };
        let mut dice = Random::new(seed);
        for _ in 0..PUBLISHERS {
            let writer = plan.member("publisher", Habit::Present, &mut dice);
            plan.streams_of(writer, StreamKind::Messages, TOPICS_OF_PUBLISHER, &mut dice);
        }
        for _ in 0..RETAINED_WRITERS {
            let writer = plan.member("writer", Habit::Present, &mut dice);
            plan.streams_of(writer, StreamKind::Retained, RETAINED_TOPICS_OF_WRITER, &mut dice);
        }
        for number in 0..SUBSCRIBERS {
            let habit = if number % 2 == 0 {
                Habit::Present
            } else {
                Habit::Absent
            };
            let member = plan.member("subscriber", habit, &mut dice);
            plan.subscriptions_of(member, number, &mut dice);
        }
        if sharing == Sharing::Tried {
            for group in 0..GROUPS {
                plan.group(group, &mut dice);
            }
        }
        let slow = plan.member("slow", Habit::Present, &mut dice);
        plan.members[slow].pace = PACE_FOR_HERMITS;
        plan.streams_of(slow, StreamKind::Messages, 2, &mut dice);
        for _ in 0..HERMITS {
            let hermit = plan.member("hermit", Habit::Hermit, &mut dice);
            let filter = format!("{}/m/{slow}/+", plan.base);
            plan.subscription(
                filter,
                Qos::ExactlyOnce,
                Reach::Own,
                Constancy::Constant,
                &[hermit],
            );
        }
        if api == Api::Known {
            plan.messages_over_http(&mut dice);
        }
        // Both directions in one session.
        for member in 0..PUBLISHERS / 2 {
            let filter = format!("{}/m/{}/#", plan.base, PUBLISHERS - 1 - member);
            plan.subscription(
                filter,
                Qos::ExactlyOnce,
                Reach::Own,
                Constancy::Constant,
                &[member],
            );
        }
        plan
    }

    fn member(&mut self, role: &str, habit: Habit, dice: &mut Random) -> usize {
        let number = self.members.len();
        let version = *dice.pick(&[Version::V5, Version::V311]);
        self.members.push(MemberPlan {
            client_id: format!("{}/{role}-{number}", self.base).replace('/', "-"),
            version,
            streams: Vec::new(),
            subscriptions: Vec::new(),
            window: dice.between(1, 12) as usize,
            held_max: *dice.pick(&[0, 0, 2, 6]),
            receive_max: *dice.pick(&[8, 20, 100]),
            pace: 0,
            habit,
        });
        number
    }

    fn streams_of(&mut self, writer: usize, kind: StreamKind, count: usize, dice: &mut Random) {
        let room = match kind {
            StreamKind::Messages => "m",
            StreamKind::Retained => "r",
        };
        for number in 0..count {
            self.members[writer].streams.push(self.streams.len());
            self.streams.push(StreamPlan {
                writer: Writer::Member(writer),
                topic: format!("{}/{room}/{writer}/{number}", self.base),
                // Every writer has topics of both kinds.
                qos: match number {
                    0 => Qos::AtLeastOnce,
                    1 => Qos::ExactlyOnce,
                    _ => *dice.pick(&[Qos::AtLeastOnce, Qos::ExactlyOnce]),
                },
                kind,
            });
        }
    }

    /// Topics that are published to over HTTP, each with one who is there and one who is not.
    fn messages_over_http(&mut self, dice: &mut Random) {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let topic = format!("{}/m/api/{}", self.base, qos.bits());
            self.streams.push(StreamPlan {
                writer: Writer::Api,
                topic: topic.clone(),
                qos,
                kind: StreamKind::Messages,
            });
            for habit in [Habit::Present, Habit::Absent] {
                let member = self.member("subscriber", habit, dice);
                let filter = topic.clone();
                self.subscription(
                    filter,
                    Qos::ExactlyOnce,
                    Reach::Own,
                    Constancy::Constant,
                    &[member],
                );
            }
        }
    }

    /// Filters of different publishers, so that none of them overlap: what comes twice has no excuse.
    fn subscriptions_of(&mut self, member: usize, number: usize, dice: &mut Random) {
        for place in 0..2 {
            let publisher = (number + place * PUBLISHERS / 2) % PUBLISHERS;
            let topic = match dice.below(3) {
                0 => "#".to_owned(),
                1 => "+".to_owned(),
                _ => dice.below(TOPICS_OF_PUBLISHER as u64).to_string(),
            };
            let filter = format!("{}/m/{publisher}/{topic}", self.base);
            let qos = *dice.pick(&[Qos::AtLeastOnce, Qos::ExactlyOnce, Qos::ExactlyOnce]);
            let constancy = if number % 4 < 2 && place == 0 {
                Constancy::Fickle
            } else {
                Constancy::Constant
            };
            self.subscription(filter, qos, Reach::Own, constancy, &[member]);
        }
    }

    fn group(&mut self, group: usize, dice: &mut Random) {
        let filter = format!(
            "$share/g{group}/{}/m/{}/#",
            self.base,
            group * PUBLISHERS / GROUPS
        );
        let members: Vec<_> = (0..GROUP_MEMBERS)
            .map(|number| {
                let habit = if number == 0 {
                    Habit::Absent
                } else {
                    Habit::Present
                };
                self.member(&format!("group{group}"), habit, dice)
            })
            .collect();
        self.subscription(
            filter,
            Qos::ExactlyOnce,
            Reach::Group,
            Constancy::Constant,
            &members,
        );
    }

    /// Adds a subscription and finds out what it matches.
    pub(crate) fn subscription(
        &mut self,
        filter: String,
        qos: Qos,
        reach: Reach,
        constancy: Constancy,
        members: &[usize],
    ) {
        let own = match reach {
            Reach::Own => filter.as_str(),
            Reach::Group => filter.splitn(3, '/').nth(2).expect("$share/GROUP/FILTER"),
        };
        let matched = TopicFilter::parse(own).expect("a filter of ours");
        let streams = self.streams.iter().enumerate().filter(|(_, stream)| {
            let topic = TopicName::parse(&stream.topic).expect("a topic of ours");
            stream.kind == StreamKind::Messages && matched.matches(topic)
        });
        let streams: Vec<_> = streams.map(|(number, _)| number).collect();
        for member in members {
            self.members[*member].subscriptions.push(self.subscriptions.len());
        }
        self.subscriptions.push(SubscriptionPlan {
            filter,
            qos,
            reach,
            streams,
            constancy,
        });
    }

    /// The subscription by which a stream comes to a member.
    pub(crate) fn subscription_for(&self, member: usize, stream: usize) -> Option<usize> {
        let mut own = self.members[member].subscriptions.iter().copied();
        own.find(|&subscription| self.subscriptions[subscription].streams.contains(&stream))
    }

    /// Who writes a stream.
    pub(crate) fn writer_of(&self, stream: usize) -> &str {
        match self.streams[stream].writer {
            Writer::Member(member) => &self.members[member].client_id,
            Writer::Api => "the HTTP API",
        }
    }

    /// Members whose subscription this is.
    pub(crate) fn holders_of(&self, subscription: usize) -> impl Iterator<Item = usize> {
        let members = self.members.iter().enumerate();
        let holders = members.filter(move |(_, it)| it.subscriptions.contains(&subscription));
        holders.map(|(number, _)| number)
    }

    /// Members to whom a stream comes.
    pub(crate) fn readers_of(&self, stream: usize) -> impl Iterator<Item = usize> {
        (0..self.members.len()).filter(move |&member| self.subscription_for(member, stream).is_some())
    }

    /// What matches every retained value.
    pub(crate) fn retained_filter(&self) -> String {
        format!("{}/r/#", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_seed(seed: u64) -> Plan {
        Plan::from_seed(seed, "x", Sharing::Tried, Api::Known)
    }

    #[test]
    fn a_seed_decides_the_cast() {
        let (one, same) = (from_seed(7), from_seed(7));
        assert_eq!(format!("{one:?}"), format!("{same:?}"));
        assert_ne!(format!("{one:?}"), format!("{:?}", from_seed(8)));
    }

    #[test]
    fn no_member_has_two_filters_for_one_topic_and_every_filter_matches_something() {
        for seed in 0..50 {
            let plan = from_seed(seed);
            for member in &plan.members {
                let mut streams: Vec<_> = member
                    .subscriptions
                    .iter()
                    .flat_map(|&number| plan.subscriptions[number].streams.clone())
                    .collect();
                let all = streams.len();
                streams.sort_unstable();
                streams.dedup();
                assert_eq!(streams.len(), all, "seed {seed}, {member:?}");
            }
            assert!(plan.subscriptions.iter().all(|it| !it.streams.is_empty()));
        }
    }
}

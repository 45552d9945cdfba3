//! The clients of one thread: who publishes where, and who hears it.

use core::ops::Range;

/// The clients of one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cast {
    /// Number of its first publisher in the run.
    pub(super) first_publisher: u32,
    /// Number of its first subscriber among the subscribers of the run.
    pub(super) first_subscriber: u32,
    pub(super) publishers: Vec<PublisherPart>,
    pub(super) subscribers: Vec<SubscriberPart>,
    /// Groups that share messages among their members.
    pub(super) groups: usize,
}

/// What one publisher does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublisherPart {
    /// They take turns.
    pub(super) topics: Vec<String>,
    /// Subscribers that each message comes to.
    pub(super) copies: u32,
}

/// What one subscriber does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SubscriberPart {
    pub(super) filters: Vec<String>,
    /// Places of the publishers that it hears.
    pub(super) hears: Range<usize>,
    /// The group with which it shares them.
    pub(super) group: Option<usize>,
}

impl Cast {
    /// Each publisher has a topic and a subscriber of its own.
    pub(super) fn pairs(prefix: &str, pairs: Range<u32>) -> Self {
        let topics = pairs.clone().map(|pair| format!("{prefix}/{pair}"));
        let (publishers, subscribers) = topics
            .enumerate()
            .map(|(place, topic)| {
                let subscriber = SubscriberPart {
                    filters: vec![topic.clone()],
                    hears: place..place + 1,
                    group: None,
                };
                (PublisherPart::new(topic, 1), subscriber)
            })
            .unzip();
        Self {
            first_publisher: pairs.start,
            first_subscriber: pairs.start,
            publishers,
            subscribers,
            groups: 0,
        }
    }

    /// Everybody hears every publisher.
    pub(super) fn fan_out(prefix: &str, publishers: u32, subscribers: u32) -> Self {
        let topics = (0..publishers).map(|publisher| format!("{prefix}/{publisher}"));
        let hears = 0..publishers as usize;
        let subscriber = SubscriberPart {
            filters: topics.clone().collect(),
            hears,
            group: None,
        };
        Self {
            first_publisher: 0,
            first_subscriber: 0,
            publishers: topics
                .map(|topic| PublisherPart::new(topic, subscribers))
                .collect(),
            subscribers: vec![subscriber; subscribers as usize],
            groups: 0,
        }
    }

    /// Each message comes to one member of every group.
    pub(super) fn fan_in(prefix: &str, publishers: u32, groups: u32, members: u32) -> Self {
        let topics = (0..publishers).map(|publisher| format!("{prefix}/{publisher}"));
        let group = |group: u32| SubscriberPart {
            filters: vec![format!("$share/bench-{group}/{prefix}/+")],
            hears: 0..publishers as usize,
            group: Some(group as usize),
        };
        let members = (0..groups).flat_map(|number| vec![group(number); members as usize]);
        Self {
            first_publisher: 0,
            first_subscriber: 0,
            publishers: topics.map(|topic| PublisherPart::new(topic, groups)).collect(),
            subscribers: members.collect(),
            groups: groups as usize,
        }
    }

    /// The subscribers hold all of these filters with wildcards, each of them its share. The messages go to the first
    /// of them, as many as there are topics, and match one each.
    pub(super) fn wildcards(
        prefix: &str,
        publishers: u32,
        subscribers: u32,
        filters: u32,
        topics: u32,
    ) -> Self {
        let topics = topics.min(filters).max(publishers);
        let own = |publisher| (publisher..topics).step_by(publishers as usize);
        let publishing = (0..publishers).map(|publisher| PublisherPart {
            topics: own(publisher)
                .map(|device| format!("{prefix}/{device}/up/value"))
                .collect(),
            copies: 1,
        });
        let held = |subscriber| (subscriber..filters).step_by(subscribers as usize);
        let subscribing = (0..subscribers).map(|subscriber| SubscriberPart {
            filters: held(subscriber)
                .map(|device| format!("{prefix}/{device}/+/#"))
                .collect(),
            hears: 0..publishers as usize,
            group: None,
        });
        Self {
            first_publisher: 0,
            first_subscriber: 0,
            publishers: publishing.collect(),
            subscribers: subscribing.collect(),
            groups: 0,
        }
    }
}

impl PublisherPart {
    fn new(topic: String, copies: u32) -> Self {
        Self {
            topics: vec![topic],
            copies,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_pair_has_a_topic_of_its_own() {
        let cast = Cast::pairs("bench/1", 7..9);
        assert_eq!((cast.first_publisher, cast.first_subscriber), (7, 7));
        assert_eq!(cast.publishers[1].topics, ["bench/1/8"]);
        assert_eq!(cast.subscribers[1].filters, ["bench/1/8"]);
        assert_eq!(cast.subscribers[1].hears, 1..2);
    }

    #[test]
    fn a_message_of_a_fan_out_comes_to_everybody() {
        let cast = Cast::fan_out("b", 2, 3);
        assert_eq!((cast.publishers.len(), cast.subscribers.len()), (2, 3));
        assert_eq!(cast.publishers[1].copies, 3);
        assert_eq!(cast.subscribers[2].filters, ["b/0", "b/1"]);
        assert_eq!(cast.subscribers[2].hears, 0..2);
    }

    #[test]
    fn a_message_of_a_fan_in_comes_once_to_each_group() {
        let cast = Cast::fan_in("b", 10, 2, 3);
        assert_eq!(
            (cast.publishers.len(), cast.subscribers.len(), cast.groups),
            (10, 6, 2)
        );
        assert_eq!(cast.publishers[0].copies, 2);
        assert_eq!(cast.subscribers[5].filters, ["$share/bench-1/b/+"]);
        assert_eq!(cast.subscribers[5].group, Some(1));
    }

    #[test]
    fn every_topic_matches_one_filter_and_no_filter_is_held_twice() {
        let cast = Cast::wildcards("b", 3, 4, 10, 7);
        let topics: Vec<_> = cast.publishers.iter().flat_map(|it| &it.topics).collect();
        assert_eq!(topics.len(), 7);
        let filters: BTreeSet<_> = cast.subscribers.iter().flat_map(|it| &it.filters).collect();
        assert_eq!(filters.len(), 10);
        for topic in topics {
            let filter = topic.replace("/up/value", "/+/#");
            assert!(filters.contains(&filter), "{topic}");
        }
    }
}

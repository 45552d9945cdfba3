//! What a run consists of: who publishes where, and who hears it.

use core::ops::Range;

use cloudsignal_core::Qos;

use super::access::Access;
use super::options::{CommonArgs, PairsArgs, TrafficArgs};
use crate::cli::exit::{Exit, Failure};

/// Window of a publisher at QoS 0, in messages.
const WINDOW_MESSAGES: u32 = 64;
/// The same above QoS 0, where each needs an answer.
const WINDOW_MESSAGES_ACKED: u32 = 16;

/// A run with messages.
pub(super) struct Plan {
    pub(super) scenario: &'static str,
    pub(super) access: Access,
    /// Number of the run, which tells its messages from those of others.
    pub(super) run: u32,
    pub(super) qos: Qos,
    pub(super) payload_bytes: u32,
    pub(super) window: u32,
    pub(super) seconds: u32,
    pub(super) warm_up_secs: u32,
    /// The broker's process.
    pub(super) pid: Option<u32>,
    /// One for each thread.
    pub(super) casts: Vec<Cast>,
}

/// The clients of one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cast {
    /// Number of its first publisher in the run.
    pub(super) first_publisher: u32,
    /// Number of its first subscriber among the subscribers of the run.
    pub(super) first_subscriber: u32,
    pub(super) publishers: Vec<PublisherPart>,
    pub(super) subscribers: Vec<SubscriberPart>,
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
}

impl Plan {
    /// Point to point.
    pub(super) async fn pairs(args: &PairsArgs) -> Result<Self, Failure> {
        let mut plan = Self::new("pairs", &args.traffic, &args.common).await?;
        let prefix = plan.prefix(&args.common);
        let threads = args.threads.min(args.pairs);
        let shares = (0..threads).map(|thread| share(args.pairs, threads, thread));
        plan.casts = shares.map(|pairs| Cast::of_pairs(&prefix, pairs)).collect();
        Ok(plan)
    }

    async fn new(
        scenario: &'static str,
        traffic: &TrafficArgs,
        common: &CommonArgs,
    ) -> Result<Self, Failure> {
        let mut run = [0; 4];
        getrandom::fill(&mut run).map_err(|error| {
            Failure::because(
                Exit::Failed,
                format!("the system gives no random numbers: {error}"),
            )
        })?;
        let window = if traffic.qos == Qos::AtMostOnce {
            WINDOW_MESSAGES
        } else {
            WINDOW_MESSAGES_ACKED
        };
        Ok(Self {
            scenario,
            access: Access::new(&common.broker, common.broker_url.as_ref()).await?,
            run: u32::from_be_bytes(run),
            qos: traffic.qos,
            payload_bytes: traffic.payload,
            window: traffic.window.unwrap_or(window),
            seconds: traffic.seconds,
            warm_up_secs: traffic.warm_up,
            pid: common.pid,
            casts: Vec::new(),
        })
    }

    /// Begin of all topics of this run.
    fn prefix(&self, common: &CommonArgs) -> String {
        format!("{}/{:08x}", common.topic, self.run)
    }

    /// Publishers of all threads.
    pub(super) fn publishers(&self) -> usize {
        self.casts.iter().map(|cast| cast.publishers.len()).sum()
    }

    /// Subscribers of all threads.
    pub(super) fn subscribers(&self) -> usize {
        self.casts.iter().map(|cast| cast.subscribers.len()).sum()
    }
}

impl Cast {
    fn of_pairs(prefix: &str, pairs: Range<u32>) -> Self {
        let topics = pairs.clone().map(|pair| format!("{prefix}/{pair}"));
        let (publishers, subscribers) = topics
            .enumerate()
            .map(|(place, topic)| {
                let publisher = PublisherPart {
                    topics: vec![topic.clone()],
                    copies: 1,
                };
                let subscriber = SubscriberPart {
                    filters: vec![topic],
                    hears: place..place + 1,
                };
                (publisher, subscriber)
            })
            .unzip();
        Self {
            first_publisher: pairs.start,
            first_subscriber: pairs.start,
            publishers,
            subscribers,
        }
    }
}

/// What one thread of so many gets.
fn share(all: u32, threads: u32, thread: u32) -> Range<u32> {
    let until = |thread: u32| (u64::from(all) * u64::from(thread) / u64::from(threads)) as u32;
    until(thread)..until(thread + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_everything_and_nothing_twice() {
        let shares: Vec<_> = (0..3).map(|thread| share(50, 3, thread)).collect();
        assert_eq!(shares, [0..16, 16..33, 33..50]);
        assert_eq!(share(1_000_000, 64, 63).end, 1_000_000);
    }

    #[test]
    fn a_pair_has_a_topic_of_its_own() {
        let cast = Cast::of_pairs("bench/1", 7..9);
        assert_eq!((cast.first_publisher, cast.first_subscriber), (7, 7));
        assert_eq!(cast.publishers[1].topics, ["bench/1/8"]);
        assert_eq!(cast.subscribers[1].filters, ["bench/1/8"]);
        assert_eq!(cast.subscribers[1].hears, 1..2);
    }
}

//! What a run consists of: who publishes where, and who hears it.

use core::ops::Range;

use cloudsignal_core::Qos;

use super::access::Access;
use super::cast::Cast;
use super::options::{CommonArgs, FanInArgs, FanOutArgs, PairsArgs, TrafficArgs, WildcardsArgs};
use crate::cli::exit::{Exit, Failure};

/// Windows where nobody asks for one, in messages of one publisher: at QoS 0, and above it, where each needs an answer.
#[derive(Clone, Copy, Debug)]
struct Windows {
    unacked: u32,
    acked: u32,
}

const ALONE: Windows = Windows {
    unacked: 64,
    acked: 16,
};
const TO_MANY: Windows = Windows {
    unacked: 16,
    acked: 16,
};
const TOGETHER: Windows = Windows { unacked: 8, acked: 4 };
/// With a rate, what waits for its turn should not wait for others.
const AT_RATE: Windows = Windows {
    unacked: 1_024,
    acked: 16,
};

/// A run with messages.
pub(super) struct Plan {
    pub(super) scenario: &'static str,
    pub(super) access: Access,
    /// Number of the run, which tells its messages from those of others.
    pub(super) run: u32,
    pub(super) qos: Qos,
    pub(super) payload_bytes: u32,
    pub(super) window: u32,
    /// Whether the subscribers' sessions outlive their connections.
    pub(super) is_persistent: bool,
    /// Messages per second of all publishers together; without it, as fast as the windows allow.
    pub(super) rate: Option<u32>,
    pub(super) seconds: u32,
    pub(super) warm_up_secs: u32,
    /// The broker's process.
    pub(super) pid: Option<u32>,
    /// One for each thread.
    pub(super) casts: Vec<Cast>,
}

impl Plan {
    /// Point to point.
    pub(super) async fn pairs(args: &PairsArgs) -> Result<Self, Failure> {
        let threads = args.threads.min(args.pairs);
        let casts = |prefix: &str| {
            let shares = (0..threads).map(|thread| share(args.pairs, threads, thread));
            shares.map(|pairs| Cast::pairs(prefix, pairs)).collect()
        };
        Self::new("pairs", &args.traffic, &args.common, ALONE, casts).await
    }

    /// Everybody hears every publisher.
    pub(super) async fn fan_out(args: &FanOutArgs) -> Result<Self, Failure> {
        let casts = |prefix: &str| vec![Cast::fan_out(prefix, args.publishers, args.subscribers)];
        Self::new("fan-out", &args.traffic, &args.common, TO_MANY, casts).await
    }

    /// Each message comes to one member of every group.
    pub(super) async fn fan_in(args: &FanInArgs) -> Result<Self, Failure> {
        let casts = |prefix: &str| vec![Cast::fan_in(prefix, args.publishers, args.groups, args.members)];
        Self::new("fan-in", &args.traffic, &args.common, TOGETHER, casts).await
    }

    /// Many filters, of which a message matches one.
    pub(super) async fn wildcards(args: &WildcardsArgs) -> Result<Self, Failure> {
        let (publishers, subscribers) = (args.publishers, args.subscribers);
        let casts = |prefix: &str| {
            vec![Cast::wildcards(
                prefix,
                publishers,
                subscribers,
                args.filters,
                args.topics,
            )]
        };
        Self::new("wildcards", &args.traffic, &args.common, ALONE, casts).await
    }

    async fn new(
        scenario: &'static str,
        traffic: &TrafficArgs,
        common: &CommonArgs,
        windows: Windows,
        casts: impl FnOnce(&str) -> Vec<Cast>,
    ) -> Result<Self, Failure> {
        let run = run_number()?;
        let windows = if traffic.rate.is_some() { AT_RATE } else { windows };
        let window = if traffic.qos == Qos::AtMostOnce {
            windows.unacked
        } else {
            windows.acked
        };
        Ok(Self {
            scenario,
            access: Access::new(common).await?,
            run,
            qos: traffic.qos,
            payload_bytes: traffic.payload,
            window: traffic.window.unwrap_or(window),
            is_persistent: traffic.persistent,
            rate: traffic.rate,
            seconds: traffic.seconds,
            warm_up_secs: traffic.warm_up,
            pid: common.pid,
            casts: casts(&format!("{}/{run:08x}", common.topic)),
        })
    }

    /// Publishers of all threads.
    pub(super) fn publishers(&self) -> usize {
        self.casts.iter().map(|cast| cast.publishers.len()).sum()
    }

    /// Subscribers of all threads.
    pub(super) fn subscribers(&self) -> usize {
        self.casts.iter().map(|cast| cast.subscribers.len()).sum()
    }

    /// Whether a message comes to more than one subscriber.
    pub(super) fn is_to_many(&self) -> bool {
        let mut publishers = self.casts.iter().flat_map(|cast| &cast.publishers);
        publishers.any(|publisher| publisher.copies > 1)
    }

    /// What a thread with this cast sends per second, if a rate is asked for.
    pub(super) fn rate_of(&self, cast: &Cast) -> Option<f64> {
        let share = cast.publishers.len() as f64 / self.publishers() as f64;
        self.rate.map(|rate| f64::from(rate) * share)
    }
}

/// A number for a run, which tells its topics, clients and messages from those of others.
pub(super) fn run_number() -> Result<u32, Failure> {
    let mut run = [0; 4];
    let filled = getrandom::fill(&mut run);
    filled.map_err(|error| {
        let text = format!("the system gives no random numbers: {error}");
        Failure::because(Exit::Failed, text)
    })?;
    Ok(u32::from_be_bytes(run))
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
}

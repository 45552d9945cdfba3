//! What a row is: one load, and what is read off its result.

use super::contestant::Contestant;
use super::ours::Org;
use super::stage::Role;

/// One load, and what is read off its result.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) group: &'static str,
    pub(super) about: &'static str,
    /// What follows `cloudsignal bench`.
    pub(super) scenario: &'static [&'static str],
    pub(super) transport: Transport,
    pub(super) scheduling: Scheduling,
    pub(super) method: Method,
    pub(super) length: Length,
    /// Local addresses that connections leave from, for what would use up the ports of one.
    pub(super) sources: u8,
    pub(super) who: Who,
    /// Settings of our broker beside its defaults, as environment variables without `CLOUDSIGNAL_`.
    pub(super) settings: &'static [(&'static str, &'static str)],
    pub(super) metrics: &'static [Metric],
}

/// How clients reach the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Tls,
    WebSocket,
    WebSocketTls,
}

/// How the system treats broker and generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheduling {
    Ordinary,
    /// Before everybody else, if the system lets us: a latency is then not somebody else's.
    RealTime,
}

/// What a run consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// The load, once.
    Once,
    /// The same, with the system calls of the broker for each message.
    SystemCalls,
    /// A first load of this kind, then the one that counts: what a process needs only once is there already.
    Rehearsed(&'static [&'static str]),
    /// The load alone, then beside what another organization does.
    Beside(&'static Noise),
}

/// What another organization does meanwhile.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Noise {
    pub(super) org: Org,
    /// What follows `cloudsignal bench`.
    pub(super) scenario: &'static [&'static str],
    /// Connections that it has.
    pub(super) connections: usize,
}

/// What decides how long a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// `--seconds`.
    Seconds,
    /// It ends when its work is done.
    Work,
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Everybody,
    /// The others have nothing like it.
    Ours,
}

/// A figure of a result.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) heading: &'static str,
    /// Where it stands in the result, as a JSON pointer.
    pub(super) pointer: &'static str,
    pub(super) better: Better,
}

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    Lower,
    Higher,
    /// It says how the run was, not how good it was.
    Neither,
}

impl Scheduling {
    /// Whether a process of this role goes before all others. Noise never does: it would use a whole core, and the
    /// system takes a part of each second away from everybody who goes first on a core that is used up by them.
    pub(super) const fn puts_first(self, role: Role) -> bool {
        match (self, role) {
            (Self::Ordinary, _) | (Self::RealTime, Role::Noise) => false,
            (Self::RealTime, Role::Broker | Role::Generator) => true,
        }
    }
}

impl Row {
    /// Whether it has this name, or is of the group that has it.
    pub(super) fn is_named(&self, name: &str) -> bool {
        [self.name, self.group].contains(&name)
    }

    /// Whether this broker takes part.
    pub(super) const fn is_for(&self, contestant: &Contestant) -> bool {
        match self.who {
            Who::Everybody => true,
            Who::Ours => contestant.is_ours(),
        }
    }
}

pub(super) const fn metric(heading: &'static str, pointer: &'static str, better: Better) -> Metric {
    Metric {
        heading,
        pointer,
        better,
    }
}

const COST: Metric = metric("CPU-s per 1M", "/broker/cpu_seconds_per_million", Better::Lower);
const BROKER: Metric = metric("broker %", "/broker/core_percent", Better::Neither);
const GENERATOR: Metric = metric("generator %", "/generator/core_percent", Better::Neither);
const P50: Metric = metric("p50 µs", "/latency_us/p50", Better::Lower);
const P99: Metric = metric("p99 µs", "/latency_us/p99", Better::Lower);

/// A broker that has more to do than it can.
pub(super) const SATURATED: &[Metric] = &[
    COST,
    metric("delivered/s", "/per_second", Better::Higher),
    BROKER,
    GENERATOR,
];
/// A broker with a given number of messages.
pub(super) const PACED: &[Metric] = &[
    COST,
    P50,
    P99,
    metric("p99.9 µs", "/latency_us/p999", Better::Lower),
];
/// One message for very many.
pub(super) const CROWD: &[Metric] = &[
    COST,
    metric("last p50 µs", "/last_us/p50", Better::Lower),
    metric("last p99 µs", "/last_us/p99", Better::Lower),
    metric("any p50 µs", "/latency_us/p50", Better::Neither),
];
pub(super) const CALLS: &[Metric] = &[metric(
    "system calls per message",
    "/system_calls_per_message",
    Better::Lower,
)];
/// Clients that come and go.
pub(super) const CONNECT: &[Metric] = &[
    COST,
    metric("connections/s", "/per_second", Better::Higher),
    P50,
    P99,
    BROKER,
    GENERATOR,
];
/// Messages that are kept for later.
pub(super) const STORES: &[Metric] = &[
    metric(
        "fill CPU-s per 1M",
        "/fill/broker/cpu_seconds_per_million",
        Better::Lower,
    ),
    metric("filled/s", "/fill/per_second", Better::Higher),
    metric(
        "drain CPU-s per 1M",
        "/drain/broker/cpu_seconds_per_million",
        Better::Lower,
    ),
    metric("drained/s", "/drain/per_second", Better::Higher),
    metric("bytes each", "/resident_bytes_per_message", Better::Lower),
];
/// Connections that are merely there.
pub(super) const MEMORY: &[Metric] = &[
    metric("bytes each", "/bytes_per_connection", Better::Lower),
    metric("given back %", "/given_back_percent", Better::Higher),
    metric(
        "opening CPU-s per 1M",
        "/open/broker/cpu_seconds_per_million",
        Better::Lower,
    ),
    metric("holding, % of a core", "/hold/broker/core_percent", Better::Lower),
];
/// What one organization feels of another.
pub(super) const NEIGHBOUR: &[Metric] = &[
    metric("p50 alone µs", "/alone/latency_us/p50", Better::Neither),
    metric("p50 beside µs", "/latency_us/p50", Better::Lower),
    metric("p99 alone µs", "/alone/latency_us/p99", Better::Neither),
    metric("p99 beside µs", "/latency_us/p99", Better::Lower),
    metric("p99 more µs", "/p99_more_us", Better::Lower),
    metric(
        "noise published/s",
        "/noise/published_per_second",
        Better::Neither,
    ),
    metric("noise delivered/s", "/noise/per_second", Better::Neither),
    BROKER,
];

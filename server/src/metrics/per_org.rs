//! What organizations count, read when Prometheus asks. The busiest have series of their own.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use cloudsignal_broker::Quota;
use cloudsignal_broker::counters::Counters;
use cloudsignal_broker::sink::DropReason;

use crate::net::sources::Sources;
use crate::orgs::Orgs;

/// The label of all organizations without series of their own.
const OTHERS: &str = "other";

/// Reads the organizations' counters.
#[derive(Debug)]
pub(super) struct Collected {
    orgs: Arc<Orgs>,
    sources: Arc<Sources>,
    orgs_max: usize,
}

/// One number of an organization: name, meaning, whether it only rises, and where it stands.
type Single = (&'static str, &'static str, MetricType, fn(&Counters) -> u64);

const SINGLES: [Single; 19] = [
    ("org_connections", "Connections now", MetricType::Gauge, |it| {
        it.connections_now
    }),
    (
        "org_sessions",
        "Sessions now, connected or not",
        MetricType::Gauge,
        |it| it.sessions_now,
    ),
    (
        "org_subscriptions",
        "Subscriptions now",
        MetricType::Gauge,
        |it| it.subscriptions_now,
    ),
    (
        "org_wildcard_subscriptions",
        "Subscriptions with a wildcard now",
        MetricType::Gauge,
        |it| it.wildcard_subscriptions_now,
    ),
    (
        "org_inflight_bytes",
        "Bytes sent to clients and not acknowledged by them now",
        MetricType::Gauge,
        |it| it.inflight_bytes_now,
    ),
    (
        "org_published_messages",
        "Messages published that were allowed and within the quotas",
        MetricType::Counter,
        |it| it.messages_published,
    ),
    (
        "org_retained_messages",
        "Retained messages now",
        MetricType::Gauge,
        |it| it.retained_messages_now,
    ),
    (
        "org_retained_bytes",
        "Bytes of retained messages now",
        MetricType::Gauge,
        |it| it.retained_bytes_now,
    ),
    (
        "org_queue_messages",
        "Messages waiting in session queues now",
        MetricType::Gauge,
        |it| it.queue_messages_now,
    ),
    (
        "org_queue_bytes",
        "Bytes waiting in session queues now",
        MetricType::Gauge,
        |it| it.queue_bytes_now,
    ),
    ("org_connects", "CONNECTs accepted", MetricType::Counter, |it| {
        it.connects
    }),
    (
        "org_connects_refused",
        "CONNECTs refused after authentication",
        MetricType::Counter,
        |it| it.connects_refused,
    ),
    (
        "org_takeovers",
        "Sessions taken over by a new connection",
        MetricType::Counter,
        |it| it.takeovers,
    ),
    (
        "org_received_payload_bytes",
        "Payload bytes published",
        MetricType::Counter,
        |it| it.bytes_received,
    ),
    (
        "org_sent_payload_bytes",
        "Payload bytes delivered",
        MetricType::Counter,
        |it| it.bytes_sent,
    ),
    (
        "org_denied",
        "Publishes and subscriptions that were not allowed",
        MetricType::Counter,
        |it| it.denied,
    ),
    (
        "org_faults",
        "Clients that broke the protocol",
        MetricType::Counter,
        |it| it.faults,
    ),
    (
        "org_reauthentications",
        "Connections that went on with another credential",
        MetricType::Counter,
        |it| it.reauthentications,
    ),
    ("org_wills", "Wills published", MetricType::Counter, |it| it.wills),
];

/// Several numbers of an organization that one label tells apart.
struct Several {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    read: fn(&Counters) -> Vec<(&'static str, u64)>,
}

const SEVERAL: [Several; 4] = [
    Several {
        name: "org_received_messages",
        help: "PUBLISH packets received, by QoS",
        label: "qos",
        read: |it| by_qos(it.messages_received),
    },
    Several {
        name: "org_sent_messages",
        help: "PUBLISH packets sent, by QoS; a retransmission counts again",
        label: "qos",
        read: |it| by_qos(it.messages_sent),
    },
    Several {
        name: "org_dropped_messages",
        help: "Messages that did not reach a session, by reason",
        label: "reason",
        read: |it| {
            DropReason::ALL
                .iter()
                .map(|why| (why.name(), it.dropped[why.index()]))
                .collect()
        },
    },
    Several {
        name: "org_quota_exceeded",
        help: "How often clients ran into each quota",
        label: "quota",
        read: |it| {
            Quota::ALL
                .iter()
                .map(|quota| (quota.name(), it.exceeded[quota.index()]))
                .collect()
        },
    },
];

fn by_qos(counts: [u64; 3]) -> Vec<(&'static str, u64)> {
    ["0", "1", "2"].into_iter().zip(counts).collect()
}

impl Collected {
    pub(super) const fn new(orgs: Arc<Orgs>, sources: Arc<Sources>, orgs_max: usize) -> Self {
        Self {
            orgs,
            sources,
            orgs_max,
        }
    }

    fn encode_unstored(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (mut bytes, mut elided, mut failing) = (0, 0, 0);
        for cell in self.orgs.cells() {
            let unstored = cell.unstored();
            bytes += unstored.bytes as u64;
            elided += unstored.elided;
            failing += u64::from(unstored.is_failing);
        }
        let help = "Bytes that wait to be stored, or are being written, of all organizations";
        encode_gauge(encoder, "unstored_bytes", help, bytes)?;
        let help = "Organizations whose last commit could not be written";
        encode_gauge(encoder, "orgs_not_stored", help, failing)?;
        let help = "Deliveries that were acknowledged before they had to be stored";
        let kind = MetricType::Counter;
        encode_value(
            kind,
            elided,
            encoder.encode_descriptor("deliveries_elided", help, None, kind)?,
        )
    }

    /// The busiest organizations by name, and the sum of the others.
    fn counters(&self) -> Vec<(String, Counters)> {
        let cells = self.orgs.cells();
        let counters = cells
            .iter()
            .map(|cell| (cell.id().to_string(), cell.read(|org| org.counters().clone())));
        busiest(counters.collect(), self.orgs_max)
    }
}

fn busiest(mut counters: Vec<(String, Counters)>, orgs_max: usize) -> Vec<(String, Counters)> {
    let messages = |it: &Counters| it.messages_received.iter().chain(&it.messages_sent).sum::<u64>();
    counters.sort_by_key(|(_, counters)| std::cmp::Reverse(messages(counters)));
    if counters.len() > orgs_max {
        let mut others = Counters::default();
        for (_, one) in counters.split_off(orgs_max) {
            add(&mut others, &one);
        }
        counters.push((OTHERS.to_owned(), others));
    }
    counters
}

fn add(sum: &mut Counters, one: &Counters) {
    let Counters {
        connections_now,
        sessions_now,
        subscriptions_now,
        wildcard_subscriptions_now,
        retained_messages_now,
        retained_bytes_now,
        queue_bytes_now,
        queue_messages_now,
        inflight_bytes_now,
        connections_peak,
        connects,
        connects_refused,
        takeovers,
        reauthentications,
        messages_received,
        bytes_received,
        messages_published,
        bytes_published,
        messages_sent,
        bytes_sent,
        dropped,
        exceeded,
        denied,
        faults,
        wills,
    } = one;
    sum.connections_now += connections_now;
    sum.sessions_now += sessions_now;
    sum.subscriptions_now += subscriptions_now;
    sum.retained_messages_now += retained_messages_now;
    sum.retained_bytes_now += retained_bytes_now;
    sum.queue_bytes_now += queue_bytes_now;
    sum.queue_messages_now += queue_messages_now;
    sum.wildcard_subscriptions_now += wildcard_subscriptions_now;
    sum.inflight_bytes_now += inflight_bytes_now;
    sum.connections_peak += connections_peak;
    sum.messages_published += messages_published;
    sum.bytes_published += bytes_published;
    sum.connects += connects;
    sum.connects_refused += connects_refused;
    sum.takeovers += takeovers;
    sum.reauthentications += reauthentications;
    sum.bytes_received += bytes_received;
    sum.bytes_sent += bytes_sent;
    sum.denied += denied;
    sum.faults += faults;
    sum.wills += wills;
    add_each(&mut sum.messages_received, messages_received);
    add_each(&mut sum.messages_sent, messages_sent);
    add_each(&mut sum.dropped, dropped);
    add_each(&mut sum.exceeded, exceeded);
}

fn add_each(sums: &mut [u64], ones: &[u64]) {
    for (sum, one) in sums.iter_mut().zip(ones) {
        *sum += one;
    }
}

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Connections now, over all listeners";
        encode_gauge(
            &mut encoder,
            "process_connections",
            help,
            u64::from(self.sources.total()),
        )?;
        let help = "Bytes that clients which are not let in yet have sent";
        encode_gauge(&mut encoder, "opening_bytes", help, self.sources.opening_bytes())?;
        self.encode_unstored(&mut encoder)?;
        let counters = self.counters();
        for (name, help, kind, read) in SINGLES {
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for (org, counters) in &counters {
                encode_value(
                    kind,
                    read(counters),
                    metric.encode_family(&[("org", org.as_str())])?,
                )?;
            }
        }
        for several in SEVERAL {
            let kind = MetricType::Counter;
            let mut metric = encoder.encode_descriptor(several.name, several.help, None, kind)?;
            for (org, counters) in &counters {
                for (word, value) in (several.read)(counters) {
                    let labels = [("org", org.as_str()), (several.label, word)];
                    encode_value(kind, value, metric.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

fn encode_gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), fmt::Error> {
    let kind = MetricType::Gauge;
    encode_value(kind, value, encoder.encode_descriptor(name, help, None, kind)?)
}

fn encode_value(
    kind: MetricType,
    value: u64,
    encoder: prometheus_client::encoding::MetricEncoder<'_>,
) -> Result<(), fmt::Error> {
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(encoder),
        MetricType::Gauge => ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder),
        MetricType::Histogram | MetricType::Info | MetricType::Unknown => {
            unreachable!("invariant: organizations have counters and gauges")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(name: &str, messages: u64) -> (String, Counters) {
        let counters = Counters {
            messages_received: [messages, 0, 0],
            sessions_now: 1,
            dropped: [1; DropReason::ALL.len()],
            ..Counters::default()
        };
        (name.to_owned(), counters)
    }

    #[test]
    fn the_busiest_have_names_and_the_others_are_summed() {
        let counters = vec![
            counted("quiet", 1),
            counted("busy", 30),
            counted("silent", 0),
            counted("loud", 20),
        ];
        let shown = busiest(counters.clone(), 2);
        let names: Vec<_> = shown.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["busy", "loud", OTHERS]);
        let others = &shown[2].1;
        assert_eq!(
            (
                others.sessions_now,
                others.messages_received[0],
                others.dropped[0]
            ),
            (2, 1, 2)
        );
        assert_eq!(busiest(counters, 4).len(), 4, "nobody is left to sum");
    }
}

//! What Prometheus sees: every series with its name, unit and meaning.
//!
//! | file | holds |
//! |---|---|
//! | this | what the process counts itself: connections, logins, bytes on the wire |
//! | [`per_org`] | what organizations count, read when Prometheus asks |
//!
//! Nothing here costs a message anything: the shell counts per read and per write, organizations count in plain
//! numbers under their own lock.

mod per_org;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use cloudsignal_core::codec::ReasonCode;

use crate::authn::Refusal;
use crate::net::sources;
use crate::net::sources::Sources;
use crate::net::transport::Transport;
use crate::orgs::Orgs;
use crate::store::Meters;

/// Every series of the process.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    transports: [Arc<TransportMetrics>; 4],
    accepted: Family<ListenerLabel, Counter>,
    turned_away: Family<TurnedAwayLabel, Counter>,
    tls_handshakes: Family<OutcomeLabel, Counter>,
    connects: Family<ReasonLabel, Counter>,
    logins: Family<LoginLabel, Counter>,
    login_seconds: Histogram,
    turn_seconds: Histogram,
    http_requests: Family<StatusLabel, Counter>,
}

/// Series of one kind of transport.
#[derive(Debug, Default)]
pub(crate) struct TransportMetrics {
    open: Gauge,
    received_bytes: Counter,
    sent_bytes: Counter,
    stalled: Counter,
    timed_out: Counter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransportLabel {
    transport: TransportName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the label's values")]
enum TransportName {
    tcp,
    tls,
    ws,
    wss,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabel {
    listener: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TurnedAwayLabel {
    why: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    code: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoginLabel {
    outcome: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: u16,
}

/// Why a connection that was accepted never came to speak MQTT or HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// A limit on the number of connections.
    Limit(sources::Refusal),
    /// `connections.opening_bytes_max`.
    OpeningBytes,
    /// It did not come from a trusted proxy, or without a PROXY header.
    Proxy,
    /// The TLS handshake failed or took too long.
    Tls,
}

impl TurnedAway {
    const fn name(self) -> &'static str {
        match self {
            Self::Limit(sources::Refusal::Total) => "total_max",
            Self::Limit(sources::Refusal::PerSource) => "per_source_max",
            Self::OpeningBytes => "opening_bytes_max",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
        }
    }
}

impl Metrics {
    /// All series, at zero. Organizations beyond the `orgs_max` busiest are summed.
    pub(crate) fn new(orgs: &Arc<Orgs>, sources: &Arc<Sources>, orgs_max: u32) -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("cloudsignal"),
            transports: Default::default(),
            accepted: Family::default(),
            turned_away: Family::default(),
            tls_handshakes: Family::default(),
            connects: Family::default(),
            logins: Family::default(),
            login_seconds: Histogram::new(exponential_buckets(0.000_1, 4.0, 10)),
            turn_seconds: Histogram::new(exponential_buckets(0.000_001, 4.0, 12)),
            http_requests: Family::default(),
        };
        metrics.register_process();
        metrics.register_transports();
        metrics.register_logins();
        metrics.register_store(orgs.meters());
        let orgs_max = orgs_max as usize;
        let collector = per_org::Collected::new(Arc::clone(orgs), Arc::clone(sources), orgs_max);
        metrics.registry.register_collector(Box::new(collector));
        Arc::new(metrics)
    }

    fn register_process(&mut self) {
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        self.registry.register("build", "The broker that runs", build);
        let (accepted, turned_away) = (self.accepted.clone(), self.turned_away.clone());
        self.registry.register(
            "connections_accepted",
            "Connections that were accepted, by listener",
            accepted,
        );
        self.registry.register(
            "connections_turned_away",
            "Accepted connections that were closed before they could speak, by reason",
            turned_away,
        );
        self.registry.register(
            "tls_handshakes",
            "TLS handshakes, by outcome",
            self.tls_handshakes.clone(),
        );
        self.registry.register(
            "http_requests",
            "HTTP requests, by status",
            self.http_requests.clone(),
        );
        self.registry.register_with_unit(
            "turn",
            "Time from a read to the end of the organization's turn with it; one turn in 64 is timed",
            Unit::Seconds,
            self.turn_seconds.clone(),
        );
    }

    fn register_store(&mut self, meters: &Meters) {
        let registry = &mut self.registry;
        let help = "Commits that were stored";
        registry.register("store_commits", help, meters.commits.clone());
        let help = "Groups of commits that were written with one sync";
        registry.register("store_groups", help, meters.groups.clone());
        let help = "Entries, records and removals that were stored";
        registry.register("store_records", help, meters.records.clone());
        let help = "Bytes of keys and values that were stored";
        registry.register_with_unit("store_written", help, Unit::Bytes, meters.bytes.clone());
        let help = "Time to write a group, its sync included";
        registry.register_with_unit("store_group", help, Unit::Seconds, meters.group_seconds.clone());
        let help = "The longest time to write a group since the start";
        registry.register_with_unit(
            "store_group_max",
            help,
            Unit::Seconds,
            meters.group_seconds_max.clone(),
        );
        let help = "Times that sorted files of the store were merged";
        registry.register("store_compactions", help, meters.compactions.clone());
        let help = "Groups that could not be written";
        registry.register("store_failures", help, meters.failures.clone());
        let help = "1 while the store cannot write, 0 otherwise";
        registry.register("store_failing", help, meters.failing.clone());
        let help = "Single writes that the store can never take, and that were given up";
        registry.register("store_refused", help, meters.refused.clone());
        let help = "Stored entries that could not be used when they were read back, and were put aside";
        registry.register("store_quarantined", help, meters.quarantined.clone());
        let help = "Files of the store that were damaged, and were put aside";
        registry.register("store_damaged_files", help, meters.damaged_files.clone());
    }

    fn register_transports(&mut self) {
        let names = [
            TransportName::tcp,
            TransportName::tls,
            TransportName::ws,
            TransportName::wss,
        ];
        let open: Family<TransportLabel, Gauge> = Family::default();
        let [received, sent, stalled, timed_out]: [Family<TransportLabel, Counter>; 4] = Default::default();
        self.transports = names.map(|transport| {
            let label = TransportLabel { transport };
            Arc::new(TransportMetrics {
                open: open.get_or_create(&label).clone(),
                received_bytes: received.get_or_create(&label).clone(),
                sent_bytes: sent.get_or_create(&label).clone(),
                stalled: stalled.get_or_create(&label).clone(),
                timed_out: timed_out.get_or_create(&label).clone(),
            })
        });
        let registry = &mut self.registry;
        registry.register(
            "connections",
            "MQTT connections now, let in or not, by transport",
            open,
        );
        let help = "Bytes received on MQTT connections, WebSocket frames included, by transport";
        registry.register_with_unit("received", help, Unit::Bytes, received);
        let help = "Bytes of MQTT packets sent, by transport";
        registry.register_with_unit("sent", help, Unit::Bytes, sent);
        registry.register(
            "connections_stalled",
            "Connections closed because they took no output",
            stalled,
        );
        registry.register(
            "connects_timed_out",
            "Connections closed because no CONNECT came in time",
            timed_out,
        );
    }

    fn register_logins(&mut self) {
        self.registry.register(
            "connects_refused",
            "CONNECTs answered with a refusal, by code",
            self.connects.clone(),
        );
        self.registry.register(
            "logins",
            "Logins that were checked, by outcome",
            self.logins.clone(),
        );
        self.registry.register_with_unit(
            "login",
            "Time to check a login",
            Unit::Seconds,
            self.login_seconds.clone(),
        );
    }

    /// The series of a connection's transport.
    pub(crate) fn transport(&self, transport: &Transport, is_websocket: bool) -> Arc<TransportMetrics> {
        let index = match (transport, is_websocket) {
            (Transport::Tcp(_) | Transport::Pipe(_), false) => 0,
            (Transport::Tls(_), false) => 1,
            (Transport::Tcp(_) | Transport::Pipe(_), true) => 2,
            (Transport::Tls(_), true) => 3,
        };
        Arc::clone(&self.transports[index])
    }

    pub(crate) fn accepted(&self, listener: &'static str) {
        self.accepted.get_or_create(&ListenerLabel { listener }).inc();
    }

    pub(crate) fn turned_away(&self, why: TurnedAway) {
        self.turned_away
            .get_or_create(&TurnedAwayLabel { why: why.name() })
            .inc();
    }

    pub(crate) fn tls_handshake(&self, outcome: &'static str) {
        self.tls_handshakes.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// A CONNECT was refused, by authentication or by the organization.
    pub(crate) fn connect_refused(&self, reason: ReasonCode) {
        let code = format!("{:#04x}", reason.byte());
        self.connects.get_or_create(&ReasonLabel { code }).inc();
    }

    pub(crate) fn authenticated(&self, refusal: Option<Refusal>, took: Duration) {
        let outcome = refusal.map_or("ok", Refusal::name);
        self.logins.get_or_create(&LoginLabel { outcome }).inc();
        self.login_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn turn_took(&self, took: Duration) {
        self.turn_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn http_answered(&self, status: u16) {
        self.http_requests.get_or_create(&StatusLabel { status }).inc();
    }

    /// Everything in the text form that Prometheus reads (OpenMetrics 1.0).
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl TransportMetrics {
    pub(crate) fn opened(&self) {
        self.open.inc();
    }

    pub(crate) fn closed(&self) {
        self.open.dec();
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.received_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.sent_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn stalled(&self) {
        self.stalled.inc();
    }

    pub(crate) fn timed_out(&self) {
        self.timed_out.inc();
    }
}

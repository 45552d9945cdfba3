//! Connections without messages: how many can be opened each second, and what one costs that is merely there.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::{FuturesUnordered, iter};
use serde::Serialize;
use tokio::task::unconstrained;
use tokio::time::{sleep, timeout};

use super::access::{Access, subscribe};
use super::actor::Actor;
use super::cast::SubscriberPart;
use super::floor::Floor;
use super::latencies::Latencies;
use super::link::Link;
use super::options::{CommonArgs, ConnectRateArgs, IdleArgs};
use super::phase::{Meter, Phase};
use super::plan::run_number;
use super::report::{LatencyReport, grouped, print, transport, version, write_phase};
use super::run::has_files;
use super::subscriber::Subscriber;
use super::worker::{GOODBYE_SECS_MAX, OPENING_CONNECTIONS_MAX, first_failure};
use crate::cli::exit::Failure;

/// What came of `connect`; its JSON is documented in `docs/bench.md`.
#[derive(Debug, Serialize)]
struct ConnectReport {
    scenario: &'static str,
    url: String,
    transport: &'static str,
    mqtt: &'static str,
    at_once: u32,
    connections: u64,
    #[serde(flatten)]
    phase: Phase,
    latency_us: LatencyReport,
}

/// What came of `idle`; its JSON is documented in `docs/bench.md`.
#[derive(Debug, Serialize)]
struct IdleReport {
    scenario: &'static str,
    url: String,
    transport: &'static str,
    mqtt: &'static str,
    connections: u32,
    subscriptions: u32,
    /// Opening them.
    open: Phase,
    /// While they were merely there.
    hold: Phase,
    resident_bytes_before: Option<u64>,
    resident_bytes_open: Option<u64>,
    /// Some time after they had left.
    resident_bytes_after: Option<u64>,
    bytes_per_connection: Option<f64>,
    /// How much of what they had cost is free again.
    given_back_percent: Option<f64>,
}

/// Opens connections and closes them at once, again and again.
pub(super) async fn connect(args: ConnectRateArgs) -> Result<(), Failure> {
    has_files(args.at_once as usize)?;
    let (access, run) = (Access::new(&args.common).await?, run_number()?);
    let meter = Meter::new(args.common.pid);
    let (opened, latencies) = (Cell::new(0_u64), RefCell::new(Latencies::default()));
    let open = async |number: u32| -> Failure {
        loop {
            let begin = meter.clock.now();
            let client_id = format!("bench-{run:08x}-c{}-{number}", opened.get() % 1_000_000);
            let connection = match access.open(number + 1, &client_id, |_| {}).await {
                Ok(connection) => connection,
                Err(failure) => return failure,
            };
            latencies.borrow_mut().note(meter.clock.now().since(begin));
            opened.set(opened.get() + 1);
            // It is counted; how it ends no longer matters.
            let _ = connection.close().await;
        }
    };
    let mut openers = FuturesUnordered::from_iter((0..args.at_once).map(open));
    let measured = async {
        sleep(Duration::from_secs(args.warm_up.into())).await;
        let (begun, before) = (meter.begin()?, opened.get());
        latencies.borrow_mut().clear();
        sleep(Duration::from_secs(args.seconds.into())).await;
        begun.end(opened.get() - before)
    };
    let phase = unconstrained(async {
        tokio::select! {
            biased;
            Some(failure) = openers.next() => Err(failure),
            phase = measured => phase,
        }
    })
    .await?;
    drop(openers);
    let report = ConnectReport {
        scenario: "connect",
        url: access.url().to_string(),
        transport: transport(access.url().scheme),
        mqtt: version(access.version()),
        at_once: args.at_once,
        connections: phase.count,
        phase,
        latency_us: LatencyReport::new(latencies.into_inner()),
    };
    print(&report, args.common.json, |out| report.write(out))
}

/// Opens connections, holds them for a while, and lets them go.
pub(super) async fn idle(args: IdleArgs) -> Result<(), Failure> {
    has_files(args.connections as usize)?;
    let (access, meter) = (Access::new(&args.common).await?, Meter::new(args.common.pid));
    let crowd = Crowd::new(&args, &access, &meter)?;
    let before = meter.resident_bytes()?;
    let floor = Floor::new(meter.clock.clone(), crowd.run, 0, Vec::new(), 0, Arc::default());
    let begun = meter.begin()?;
    let mut actors: FuturesUnordered<_> = crowd.open(&floor).await?.into_iter().collect();
    let open = begun.end(args.connections.into())?;
    let pause = || sleep(Duration::from_secs(args.seconds.into()));
    let begun = meter.begin()?;
    tokio::select! {
        biased;
        failure = first_failure(&mut actors) => return Err(failure),
        () = pause() => {}
    }
    let hold = begun.end(args.connections.into())?;
    let during = meter.resident_bytes()?;
    let goodbyes = FuturesUnordered::from_iter(actors.into_iter().map(|actor| actor.into_link().close()));
    let _ = timeout(
        Duration::from_secs(GOODBYE_SECS_MAX),
        goodbyes.collect::<Vec<()>>(),
    )
    .await;
    // The broker may take its time to give memory back; how much of it is part of the question.
    pause().await;
    let after = meter.resident_bytes()?;
    let cost = before
        .zip(during)
        .map(|(before, during)| during.saturating_sub(before) as f64);
    let free = during
        .zip(after)
        .map(|(during, after)| during.saturating_sub(after) as f64);
    let report = IdleReport {
        scenario: "idle",
        url: access.url().to_string(),
        transport: transport(access.url().scheme),
        mqtt: version(access.version()),
        connections: args.connections,
        subscriptions: args.subscriptions,
        open,
        hold,
        resident_bytes_before: before,
        resident_bytes_open: during,
        resident_bytes_after: after,
        bytes_per_connection: cost.map(|cost| cost / f64::from(args.connections)),
        given_back_percent: cost
            .zip(free)
            .filter(|(cost, _)| *cost > 0.0)
            .map(|(cost, free)| 100.0 * free / cost),
    };
    print(&report, args.common.json, |out| report.write(out))
}

/// The connections of `idle`.
struct Crowd<'a> {
    args: &'a IdleArgs,
    access: &'a Access,
    run: u32,
    prefix: String,
}

impl<'a> Crowd<'a> {
    fn new(args: &'a IdleArgs, access: &'a Access, meter: &Meter) -> Result<Self, Failure> {
        let CommonArgs { topic, .. } = &args.common;
        let run = run_number()?;
        // A process that is not there must be known before the connections are.
        meter.resident_bytes()?;
        Ok(Self {
            args,
            access,
            run,
            prefix: format!("{topic}/{run:08x}"),
        })
    }

    async fn open<'f>(&self, floor: &'f Floor) -> Result<Vec<Actor<'f>>, Failure> {
        let numbers = iter((0..self.args.connections).map(|number| self.open_one(floor, number)));
        let mut opening = numbers.buffer_unordered(OPENING_CONNECTIONS_MAX);
        let mut actors = Vec::with_capacity(self.args.connections as usize);
        while let Some(actor) = opening.next().await {
            actors.push(actor?);
        }
        Ok(actors)
    }

    async fn open_one<'f>(&self, floor: &'f Floor, number: u32) -> Result<Actor<'f>, Failure> {
        let client_id = format!("bench-{:08x}-i{number}", self.run);
        let mut connection = self.access.open(number + 1, &client_id, |_| {}).await?;
        let filters = (0..self.args.subscriptions).map(|filter| format!("{}/{number}/{filter}", self.prefix));
        let part = SubscriberPart {
            filters: filters.collect(),
            hears: 0..0,
            group: None,
        };
        subscribe(&mut connection, &part.filters, self.args.qos).await?;
        let link = Link::new(connection, self.access.version());
        Ok(Actor::Subscriber(Subscriber::new(link, floor, &part)))
    }
}

impl ConnectReport {
    fn write(&self, out: &mut String) -> core::fmt::Result {
        use core::fmt::Write as _;

        let Self {
            url, mqtt, at_once, ..
        } = self;
        writeln!(out, "connect at {url}: MQTT {mqtt}, {at_once} at once")?;
        write_phase(out, "opened", &self.phase, "connections")?;
        self.latency_us.write("latency", out)
    }
}

impl IdleReport {
    fn write(&self, out: &mut String) -> core::fmt::Result {
        use core::fmt::Write as _;

        let Self {
            url,
            mqtt,
            connections,
            subscriptions,
            ..
        } = self;
        writeln!(
            out,
            "idle at {url}: MQTT {mqtt}, {connections} connections, {subscriptions} subscriptions each"
        )?;
        write_phase(out, "opened", &self.open, "connections")?;
        if let Some(broker) = &self.hold.broker {
            writeln!(out, "  held       {:.1} % of a core", broker.spent.core_percent)?;
        }
        let (Some(bytes), Some(percent)) = (self.bytes_per_connection, self.given_back_percent) else {
            return Ok(());
        };
        writeln!(
            out,
            "  memory     {} bytes each, {percent:.0} % given back",
            grouped(bytes as u64)
        )
    }
}

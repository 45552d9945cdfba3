//! What a broker keeps for later: retained messages, and messages for a client that is away.

use core::time::Duration;
use std::sync::Arc;

use cloudsignal_core::codec::{PacketId, Subscribe, SubscribeFilter};
use cloudsignal_core::topic::TopicFilter;
use cloudsignal_core::{Packet, Qos};
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use tokio::task::unconstrained;
use tokio::time::{MissedTickBehavior, interval};

use super::access::{Access, subscribe};
use super::actor::Actor;
use super::collector::{Collected, Collection, collect};
use super::floor::Floor;
use super::lane::Lane;
use super::link::Link;
use super::options::{QueueArgs, RetainedArgs, StockArgs};
use super::phase::{Meter, Phase};
use super::plan::run_number;
use super::publisher::Publisher;
use super::report::{print, transport, verdict, version, write_phase};
use super::template::Template;
use super::worker::{SESSION_EXPIRY_SECS, first_failure};
use crate::cli::exit::{Exit, Failure};

/// How long a broker may take to accept another message, in seconds.
const PATIENCE_SECS: u64 = 10;

/// What came of it; its JSON is documented in `docs/bench.md`.
#[derive(Debug, Serialize)]
struct Report {
    scenario: &'static str,
    url: String,
    transport: &'static str,
    mqtt: &'static str,
    qos: u8,
    payload_bytes: u32,
    window: u32,
    messages: u64,
    /// Publishing them.
    fill: Phase,
    /// Getting them back.
    drain: Phase,
    lost: u64,
    repeated: u64,
    out_of_order: u64,
    foreign: u64,
    resident_bytes_before: Option<u64>,
    resident_bytes_per_message: Option<f64>,
}

/// One run.
struct Stock<'a> {
    scenario: &'static str,
    args: &'a StockArgs,
    access: Access,
    run: u32,
    /// Begin of all topics of the run.
    prefix: String,
    meter: Meter,
    resident_bytes_before: Option<u64>,
}

/// Sets retained messages, each on a topic of its own, and gets all of them by one subscription.
pub(super) async fn retained(args: RetainedArgs) -> Result<(), Failure> {
    let stock = Stock::new("retained", &args.stock).await?;
    let templates = |payload_bytes| stock.templates(payload_bytes);
    let fill = stock
        .publish("p", templates(args.stock.payload)?, args.stock.qos)
        .await?;
    let (drain, collected) = stock.fetch().await?;
    stock.publish("c", templates(0)?, Qos::AtMostOnce).await?;
    stock.tell(
        fill,
        drain,
        Collected {
            out_of_order: 0,
            ..collected
        },
    )
}

/// Publishes for a client that is away, which then comes back.
pub(super) async fn queue(args: QueueArgs) -> Result<(), Failure> {
    if args.stock.qos == Qos::AtMostOnce {
        return Err(Failure::because(
            Exit::Usage,
            "what is published with QoS 0 is kept for nobody: --qos 1",
        ));
    }
    let stock = Stock::new("queue", &args.stock).await?;
    stock.leave_session().await?;
    let template = Template::new(
        &stock.topic(0),
        args.stock.qos,
        args.stock.payload as usize,
        stock.access.version(),
    )?;
    let fill = stock.publish("p", vec![template], args.stock.qos).await?;
    let (drain, collected) = stock.come_back().await?;
    stock.tell(fill, drain, collected)
}

impl<'a> Stock<'a> {
    async fn new(scenario: &'static str, args: &'a StockArgs) -> Result<Self, Failure> {
        let run = run_number()?;
        let meter = Meter::new(args.common.pid);
        Ok(Self {
            scenario,
            args,
            access: Access::new(&args.common).await?,
            run,
            prefix: format!("{}/{run:08x}", args.common.topic),
            resident_bytes_before: meter.resident_bytes()?,
            meter,
        })
    }

    fn topic(&self, number: u32) -> String {
        format!("{}/{number}", self.prefix)
    }

    fn client_id(&self, kind: &str) -> String {
        format!("bench-{:08x}-{kind}", self.run)
    }

    /// A retained message for each topic; without a payload it clears the topic.
    fn templates(&self, payload_bytes: u32) -> Result<Vec<Template>, Failure> {
        let qos = if payload_bytes == 0 {
            Qos::AtMostOnce
        } else {
            self.args.qos
        };
        let version = self.access.version();
        let template = |number| Template::retained(&self.topic(number), qos, payload_bytes as usize, version);
        (0..self.args.messages).map(template).collect()
    }

    /// Publishes the messages, and measures until the broker has answered for all of them.
    async fn publish(&self, kind: &str, templates: Vec<Template>, qos: Qos) -> Result<Phase, Failure> {
        let connection = self.access.open(1, &self.client_id(kind), |_| {}).await?;
        let window = self.args.window.min(connection.welcome().receive_max.into());
        let is_acked = qos > Qos::AtMostOnce;
        let lane = Lane::new(window, window.div_ceil(2), 0, is_acked);
        let floor = Floor::new(
            self.meter.clock.clone(),
            self.run,
            0,
            vec![lane],
            0,
            Arc::default(),
        );
        let link = Link::new(connection, self.access.version());
        let publisher = Publisher::new(link, &floor, 0, templates).only(self.args.messages.into());
        let mut actors = FuturesUnordered::from_iter([Actor::Publisher(publisher)]);
        let begun = self.meter.begin()?;
        unconstrained(async {
            tokio::select! {
                biased;
                failure = first_failure(&mut actors) => Err(failure),
                () = floor.drained() => Ok(()),
                sent = stopped(&floor) => Err(Failure::because(
                    Exit::TimedOut,
                    format!("the broker takes no more messages: {sent} of {} were sent", self.args.messages),
                )),
            }
        })
        .await?;
        let phase = begun.end(self.args.messages.into())?;
        for actor in actors {
            actor.into_link().close().await;
        }
        Ok(phase)
    }

    /// Gets everything by a new subscription.
    async fn fetch(&self) -> Result<(Phase, Collected), Failure> {
        let connection = self.access.open(2, &self.client_id("s"), |_| {}).await?;
        let mut link = Link::new(connection, self.access.version());
        let filter = format!("{}/#", self.prefix);
        let filter = TopicFilter::parse(&filter).map_err(|error| Failure::because(Exit::Failed, error))?;
        let subscribe = Subscribe::new(PacketId::MIN, vec![SubscribeFilter::new(filter, self.args.qos)]);
        let begun = self.meter.begin()?;
        let request = Packet::Subscribe(subscribe).encode(self.access.version(), &mut link.outbox().bytes);
        request.map_err(|error| Failure::new(Exit::Failed, error))?;
        let collected = self.collect(&mut link).await?;
        let phase = begun.end_at(collected.last_at, collected.received)?;
        link.close().await;
        Ok((phase, collected))
    }

    async fn collect(&self, link: &mut Link) -> Result<Collected, Failure> {
        let collection = Collection::new(self.run, self.args.messages.into());
        unconstrained(collect(link, collection, &self.meter.clock)).await
    }

    /// Makes a session with a subscription, and leaves.
    async fn leave_session(&self) -> Result<(), Failure> {
        let client_id = self.client_id("q");
        let opened = self.access.open(2, &client_id, |connect| {
            connect.clean_start = false;
            connect.session_expiry_secs = Some(SESSION_EXPIRY_SECS);
        });
        let mut connection = opened.await?;
        subscribe(&mut connection, &[self.topic(0)], self.args.qos).await?;
        connection.close().await
    }

    /// Goes on with the session, gets everything, and ends the session.
    async fn come_back(&self) -> Result<(Phase, Collected), Failure> {
        let (begun, client_id) = (self.meter.begin()?, self.client_id("q"));
        let opened = self.access.open(2, &client_id, |connect| {
            connect.clean_start = false;
        });
        let connection = opened.await?;
        if !connection.welcome().session_present {
            return Err(Failure::because(
                Exit::Refused,
                "the broker has not kept the session",
            ));
        }
        let mut link = Link::new(connection, self.access.version());
        let collected = self.collect(&mut link).await?;
        let phase = begun.end_at(collected.last_at, collected.received)?;
        link.close().await;
        // MQTT 3.1.1 ends a session only by a clean one.
        self.access
            .open(2, &self.client_id("q"), |_| {})
            .await?
            .close()
            .await?;
        Ok((phase, collected))
    }

    fn tell(&self, fill: Phase, drain: Phase, collected: Collected) -> Result<(), Failure> {
        let messages = u64::from(self.args.messages);
        let grown = fill.broker.zip(self.resident_bytes_before);
        let grown = grown.map(|(broker, before)| broker.resident_bytes.saturating_sub(before));
        let report = Report {
            scenario: self.scenario,
            url: self.access.url().to_string(),
            transport: transport(self.access.url().scheme),
            mqtt: version(self.access.version()),
            qos: self.args.qos.bits(),
            payload_bytes: self.args.payload,
            window: self.args.window,
            messages,
            fill,
            drain,
            lost: messages - collected.received,
            repeated: collected.repeated,
            out_of_order: collected.out_of_order,
            foreign: collected.foreign,
            resident_bytes_before: self.resident_bytes_before,
            resident_bytes_per_message: grown.map(|bytes| bytes as f64 / messages as f64),
        };
        print(&report, self.args.common.json, |out| report.write(out))?;
        verdict(
            [report.lost, report.repeated, report.out_of_order, report.foreign],
            "",
        )
    }
}

impl Report {
    fn write(&self, out: &mut String) -> core::fmt::Result {
        use core::fmt::Write as _;

        let Self {
            scenario,
            url,
            mqtt,
            qos,
            payload_bytes,
            ..
        } = self;
        writeln!(
            out,
            "{scenario} at {url}: MQTT {mqtt}, QoS {qos}, {payload_bytes} bytes"
        )?;
        write_phase(out, "fill", &self.fill, "messages")?;
        write_phase(out, "drain", &self.drain, "messages")?;
        if let Some(bytes) = self.resident_bytes_per_message {
            writeln!(out, "  memory     {bytes:.0} bytes for each message that waits")?;
        }
        let Self {
            lost,
            repeated,
            out_of_order,
            ..
        } = self;
        writeln!(
            out,
            "  faults     {lost} lost, {repeated} repeated, {out_of_order} out of order"
        )
    }
}

/// Ends when nothing was taken for a while; tells how many messages had been sent.
async fn stopped(floor: &Floor) -> u64 {
    let (mut ticks, mut before) = (interval(Duration::from_secs(PATIENCE_SECS)), None);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = floor.published();
        if before == Some(now) {
            return now;
        }
        before = Some(now);
    }
}

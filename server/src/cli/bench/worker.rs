//! One thread of a run: it connects its clients, lets them loose, measures, and waits for what is on its way.

use core::convert::Infallible;
use core::sync::atomic::AtomicU64;
use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use cloudsignal_core::Qos;
use futures_util::StreamExt as _;
use futures_util::stream::{FuturesUnordered, iter};
use tokio::sync::oneshot;
use tokio::task::unconstrained;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::access::subscribe;
use super::actor::Actor;
use super::alarm::Alarm;
use super::cast::{Cast, PublisherPart, SubscriberPart};
use super::floor::{Floor, Score};
use super::lane::Lane;
use super::latencies::Latencies;
use super::link::Link;
use super::plan::Plan;
use super::publisher::Publisher;
use super::schedule::Schedule;
use super::subscriber::Subscriber;
use super::template::Template;
use super::usage::Usage;
use crate::cli::exit::{Exit, Failure};
use crate::clock::Clock;

/// Connections of one thread that are being opened at once.
pub(super) const OPENING_CONNECTIONS_MAX: usize = 32;

/// How long messages on their way are waited for at the end, in seconds.
const DRAIN_SECS_MAX: u64 = 5;

/// How long a publisher waits for deliveries while nothing moves, in seconds. At QoS 0 a broker may drop messages; the
/// rest of the run must not wait for them.
const PATIENCE_SECS: u64 = 2;

/// How long a session is kept after a run that failed, in seconds.
pub(super) const SESSION_EXPIRY_SECS: u32 = 3_600;

/// How long all connections of a thread may take to say goodbye, in seconds.
pub(super) const GOODBYE_SECS_MAX: u64 = 5;

/// A thread's part of the run.
pub(super) struct Worker {
    pub(super) plan: Arc<Plan>,
    /// Which of the casts is ours. The first one also asks what the processes used.
    pub(super) thread: usize,
    pub(super) clock: Clock,
    /// Messages delivered so far.
    pub(super) progress: Arc<AtomicU64>,
    pub(super) news: SyncSender<News>,
    /// Comes when all threads have connected.
    pub(super) start: oneshot::Receiver<()>,
}

/// What a thread says.
pub(super) enum News {
    /// All its clients are connected and subscribed.
    Ready,
    /// It has finished.
    Done(Box<Result<Outcome, Failure>>),
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Deliveries that had to come, from begin to end.
    pub(super) expected: u64,
    /// Everything that came, from begin to end.
    pub(super) score: Score,
    /// Deliveries while it was measured.
    pub(super) messages: u64,
    /// Messages sent while it was measured.
    pub(super) published: u64,
    /// How long that was.
    pub(super) measured: Duration,
    /// Latencies of that time, and those of the last delivery of each message.
    pub(super) latencies: Latencies,
    pub(super) lasts: Latencies,
    /// What the broker and we had used at its begin and end.
    pub(super) broker: Option<(Usage, Usage)>,
    pub(super) generator: Option<(Usage, Usage)>,
}

impl Worker {
    /// Runs from the first connection to the last.
    pub(super) async fn run(mut self) -> Result<Outcome, Failure> {
        let floor = self.floor();
        let mut actors: FuturesUnordered<_> = self.connect(&floor).await?.into_iter().collect();
        // The end of the command is the only reason why nobody hears it, or no start comes.
        let _ = self.news.send(News::Ready);
        if (&mut self.start).await.is_err() {
            return Err(Failure::because(Exit::Failed, "the run was called off"));
        }
        let conductor = Conductor {
            floor: &floor,
            plan: &self.plan,
            cast: self.cast(),
            pid: self.plan.pid.filter(|_| self.thread == 0),
            is_first: self.thread == 0,
        };
        let rate = self.plan.rate_of(self.cast());
        let schedule = rate.map(|rate| Schedule::new(rate, floor.lanes.len(), floor.now()));
        floor.schedule.set(schedule);
        let outcome = unconstrained(async {
            tokio::select! {
                biased;
                failure = first_failure(&mut actors) => Err(failure),
                outcome = conductor.conduct() => outcome,
                failure = conductor.beat(schedule) => Err(failure),
                () = conductor.watch() => Err(Failure::because(Exit::Failed, "the watch ended")),
            }
        })
        .await?;
        let goodbyes = FuturesUnordered::from_iter(actors.into_iter().map(|actor| actor.into_link().close()));
        let _ = timeout(
            Duration::from_secs(GOODBYE_SECS_MAX),
            goodbyes.collect::<Vec<()>>(),
        )
        .await;
        if self.plan.is_persistent {
            self.end_sessions().await?;
        }
        Ok(outcome)
    }

    fn cast(&self) -> &Cast {
        &self.plan.casts[self.thread]
    }

    fn floor(&self) -> Floor {
        let (plan, cast) = (&self.plan, self.cast());
        // At full speed half a window leaves at once; at a rate each message alone.
        let batch = plan.rate.map_or(plan.window.div_ceil(2), |_| 1);
        let is_acked = plan.qos > Qos::AtMostOnce;
        let lanes = cast
            .publishers
            .iter()
            .map(|publisher| Lane::new(plan.window, batch, publisher.copies, is_acked));
        Floor::new(
            self.clock.clone(),
            plan.run,
            cast.first_publisher,
            lanes.collect(),
            cast.groups,
            Arc::clone(&self.progress),
        )
    }

    /// Subscribers first: nothing is published before all of them are there.
    async fn connect<'f>(&self, floor: &'f Floor) -> Result<Vec<Actor<'f>>, Failure> {
        let cast = self.cast();
        let subscribers = cast.subscribers.iter().enumerate();
        let subscribers = iter(subscribers.map(|(place, part)| self.subscriber(floor, place, part)));
        let mut opening = subscribers.buffer_unordered(OPENING_CONNECTIONS_MAX);
        let mut actors = Vec::new();
        while let Some(actor) = opening.next().await {
            actors.push(actor?);
        }
        let publishers = cast.publishers.iter().enumerate();
        let publishers = iter(publishers.map(|(place, part)| self.publisher(floor, place, part)));
        let mut opening = publishers.buffer_unordered(OPENING_CONNECTIONS_MAX);
        while let Some(actor) = opening.next().await {
            actors.push(actor?);
        }
        Ok(actors)
    }

    async fn subscriber<'f>(
        &self,
        floor: &'f Floor,
        place: usize,
        part: &SubscriberPart,
    ) -> Result<Actor<'f>, Failure> {
        let (count, client_id) = self.subscriber_named(place);
        let access = &self.plan.access;
        let opened = access.open(count, &client_id, |connect| {
            if self.plan.is_persistent {
                connect.clean_start = false;
                connect.session_expiry_secs = Some(SESSION_EXPIRY_SECS);
            }
        });
        let mut connection = opened.await?;
        subscribe(&mut connection, &part.filters, self.plan.qos).await?;
        let link = Link::new(connection, access.version());
        Ok(Actor::Subscriber(Subscriber::new(link, floor, part)))
    }

    /// The number among the clients, and the client identifier, of the subscriber at this place.
    fn subscriber_named(&self, place: usize) -> (u32, String) {
        let number = self.cast().first_subscriber + place as u32;
        let client_id = format!("bench-{:08x}-s{number}", self.plan.run);
        (self.plan.publishers() as u32 + number + 1, client_id)
    }

    /// Ends sessions that would outlive the run, in the one way that every version knows.
    async fn end_sessions(&self) -> Result<(), Failure> {
        let ending = iter((0..self.cast().subscribers.len()).map(async |place| {
            let (count, client_id) = self.subscriber_named(place);
            let connection = self.plan.access.open(count, &client_id, |_| {}).await?;
            connection.close().await
        }));
        let mut ending = ending.buffer_unordered(OPENING_CONNECTIONS_MAX);
        while let Some(ended) = ending.next().await {
            ended?;
        }
        Ok(())
    }

    async fn publisher<'f>(
        &self,
        floor: &'f Floor,
        place: usize,
        part: &PublisherPart,
    ) -> Result<Actor<'f>, Failure> {
        let (plan, access) = (&self.plan, &self.plan.access);
        let number = floor.first_publisher + place as u32;
        let client_id = format!("bench-{:08x}-p{number}", plan.run);
        let connection = access.open(number + 1, &client_id, |_| {}).await?;
        let welcome = connection.welcome();
        let template =
            |topic: &String| Template::new(topic, plan.qos, plan.payload_bytes as usize, access.version());
        let templates = part.topics.iter().map(template).collect::<Result<Vec<_>, _>>()?;
        let bytes = templates.iter().map(Template::bytes).max().unwrap_or_default();
        if bytes as u64 > u64::from(welcome.packet_bytes_max) {
            let max = welcome.packet_bytes_max;
            let text =
                format!("the broker takes packets of at most {max} bytes; ask for less with --payload");
            return Err(Failure::because(Exit::Refused, text));
        }
        if plan.qos > Qos::AtMostOnce && plan.window > u32::from(welcome.receive_max) {
            let max = welcome.receive_max;
            let text = format!("the broker takes at most {max} messages at once; ask for less with --window");
            return Err(Failure::because(Exit::Refused, text));
        }
        let link = Link::new(connection, access.version());
        Ok(Actor::Publisher(Publisher::new(link, floor, place, templates)))
    }
}

/// Waits until a client fails.
pub(super) async fn first_failure(actors: &mut FuturesUnordered<Actor<'_>>) -> Failure {
    match actors.next().await {
        Some(Err(failure)) => failure,
        Some(Ok(never)) => {
            let never: Infallible = never;
            match never {}
        }
        None => core::future::pending().await,
    }
}

/// Says when what is counted.
struct Conductor<'a> {
    floor: &'a Floor,
    plan: &'a Plan,
    cast: &'a Cast,
    /// The broker's process, if it is ours to ask.
    pid: Option<u32>,
    is_first: bool,
}

impl Conductor<'_> {
    async fn conduct(&self) -> Result<Outcome, Failure> {
        let floor = self.floor;
        sleep(Duration::from_secs(self.plan.warm_up_secs.into())).await;
        let (broker, generator) = self.usage()?;
        let before = {
            let mut score = floor.score.borrow_mut();
            score.latencies.clear();
            score.lasts.clear();
            score.delivered
        };
        let (begin, published_before) = (floor.now(), floor.published());
        sleep(Duration::from_secs(self.plan.seconds.into())).await;
        let measured = floor.now().since(begin);
        let published = floor.published() - published_before;
        let Score {
            delivered,
            latencies,
            lasts,
            ..
        } = floor.score.borrow().clone();
        let (broker_after, generator_after) = self.usage()?;
        // What has not come by then counts as lost.
        floor.close();
        let _ = timeout(Duration::from_secs(DRAIN_SECS_MAX), floor.drained()).await;
        let parts = floor.lanes.iter().zip(&self.cast.publishers);
        Ok(Outcome {
            expected: parts
                .map(|(lane, part)| lane.sent() * u64::from(part.copies))
                .sum(),
            score: floor.score.borrow().clone(),
            messages: delivered - before,
            published,
            measured,
            latencies,
            lasts,
            broker: broker.zip(broker_after),
            generator: generator.zip(generator_after),
        })
    }

    /// Wakes publishers when a message of theirs is due.
    async fn beat(&self, schedule: Option<Schedule>) -> Failure {
        let no_timer = |error| Failure::because(Exit::Failed, format!("the system gives no timer: {error}"));
        let (Some(schedule), lanes) = (schedule, &self.floor.lanes) else {
            return core::future::pending().await;
        };
        let mut alarm = match Alarm::new() {
            Ok(alarm) => alarm,
            Err(error) => return no_timer(error),
        };
        let mut woken = 0;
        loop {
            let now = self.floor.now();
            let next = schedule.turn_after(now);
            // Who has missed several turns needs to be woken only once.
            for turn in next.saturating_sub(lanes.len() as u64).max(woken)..next {
                lanes[schedule.place_of(turn)].wake();
            }
            woken = next;
            if let Err(error) = alarm.sleep(schedule.turn_at(next).since(now)).await {
                return no_timer(error);
            }
        }
    }

    fn usage(&self) -> Result<(Option<Usage>, Option<Usage>), Failure> {
        let broker = self.pid.map(Usage::of).transpose()?;
        Ok((broker, self.is_first.then(Usage::own).flatten()))
    }

    /// Lets publishers go on that wait for what will not come.
    async fn watch(&self) {
        let mut ticks = interval(Duration::from_secs(PATIENCE_SECS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sent_before: Vec<_> = vec![None; self.floor.lanes.len()];
        loop {
            ticks.tick().await;
            for (lane, before) in self.floor.lanes.iter().zip(&mut sent_before) {
                if *before == Some(lane.sent()) && !lane.has_room() && !self.floor.is_closing() {
                    lane.give_up();
                }
                *before = Some(lane.sent());
            }
        }
    }
}

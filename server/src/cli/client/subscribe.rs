//! `cloudsignal sub`: prints messages as they arrive.

use core::num::NonZeroU64;
use core::pin::pin;
use std::collections::BTreeSet;

use clap::Args;
use tokio::time::{Duration, sleep};

use cloudsignal_core::codec::{
    AckKind, PacketId, ReasonCode, RetainHandling, Subscribe, SubscribeFilter, UserProperties,
};
use cloudsignal_core::topic::TopicFilter;
use cloudsignal_core::{Packet, Qos};

use super::connection::{Connection, Event, Wake, with_text};
use super::interrupted;
use super::message::Message;
use super::options::{ConnectArgs, name_value, qos};
use crate::cli::exit::{EXIT_CODES, Exit, Failure};
use crate::cli::output::{Output, remark};

/// What was typed after `cloudsignal sub`.
#[derive(Args, Clone, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct SubArgs {
    /// Filter to subscribe to, with + for one level and # for the rest; may be repeated
    #[arg(short, long = "topic", value_name = "FILTER", required = true, value_parser = topic_filter)]
    pub topics: Vec<String>,

    /// Highest quality of service wanted
    #[arg(short, long, value_name = "0|1|2", default_value = "0", value_parser = qos)]
    pub qos: Qos,

    /// One JSON object a line: topic, qos, retain, payload (payload_base64 when it is not UTF-8), properties
    #[arg(long, conflicts_with = "verbose")]
    pub json: bool,

    /// Print the topic before each message
    #[arg(short, long)]
    pub verbose: bool,

    /// End after this many messages
    #[arg(short = 'C', long, value_name = "N")]
    pub count: Option<NonZeroU64>,

    /// End after this many seconds; with --count unfinished, that is a failure
    #[arg(short = 'W', long, value_name = "SECS")]
    pub wait: Option<u32>,

    /// Only messages that are published from now on, no retained ones
    #[arg(long, conflicts_with = "v311")]
    pub no_retained: bool,

    /// Show the retain flag as it was published
    #[arg(long, conflicts_with = "v311")]
    pub retain_as_published: bool,

    /// Nothing that this connection published itself
    #[arg(long, conflicts_with = "v311")]
    pub no_local: bool,

    /// A user property of the SUBSCRIBE; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_value, conflicts_with = "v311")]
    pub user_property: Vec<(String, String)>,

    /// Go on with the session of this client id, and leave it behind at the end
    #[arg(long, requires = "client_id")]
    pub resume: bool,

    /// Seconds the broker keeps that session; MQTT 3.1.1 leaves it to the broker
    #[arg(long, value_name = "SECS", default_value = "86400", requires = "resume")]
    pub session_expiry: u32,

    /// Say nothing about subscriptions
    #[arg(long)]
    pub quiet: bool,

    /// The connection
    #[command(flatten)]
    pub connect: ConnectArgs,
}

const EXAMPLES: &str = "\
Examples:
  cloudsignal sub -t 'rooms/+/light' -v
  cloudsignal sub --url wss://localhost:18885 --ca data/tls/ca.pem -u alice@org_k7xm4pqr2n5t \\
        --password-file alice.txt -t 'rooms/#' --json | jq .payload
  cloudsignal sub -t answers/42 -C 1 -W 10
        waits for one message, at most 10 seconds
  cloudsignal sub -t '$share/workers/jobs' -q 1
        takes its share of the jobs
  cloudsignal sub -t 'orders/#' -q 1 -i warehouse-7 --resume
        misses nothing between two runs
It does not connect again by itself: what starts it again can tell from the exit code why it ended.";

/// QoS 2 messages received and not yet released by the broker: more than a packet id can number is impossible.
const UNRELEASED_MESSAGES_MAX: usize = 65_535;

/// Runs the command.
pub(crate) async fn subscribe(args: SubArgs) -> Result<(), Failure> {
    let connection = Connection::open(&args.connect, |connect| {
        connect.clean_start = !args.resume;
        connect.session_expiry_secs = args.resume.then_some(args.session_expiry);
    })
    .await?;
    if args.resume && !args.quiet {
        let found = connection.welcome().session_present;
        let text = if found {
            "the session goes on"
        } else {
            "a new session begins"
        };
        remark(format_args!("{text}"));
    }
    let mut subscriber = Subscriber {
        connection,
        output: Output::stdout(),
        unreleased: BTreeSet::new(),
        printed: 0,
    };
    subscriber.subscribe(&args)?;
    subscriber.connection.flush().await?;
    let ended = subscriber.run(&args).await?;
    subscriber.connection.close().await?;
    match ended {
        Ended::Counted | Ended::Interrupted => Ok(()),
        Ended::Waited if args.count.is_none() => Ok(()),
        Ended::Waited => Err(Failure::because(
            Exit::TimedOut,
            "the messages did not come in time",
        )),
    }
}

/// Why a subscriber stops.
enum Ended {
    /// `--count` messages came.
    Counted,
    /// `--wait` seconds passed.
    Waited,
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

struct Subscriber {
    connection: Connection,
    output: Output,
    /// QoS 2 messages that were printed, and that the broker may send again until it has released them.
    unreleased: BTreeSet<PacketId>,
    printed: u64,
}

impl Subscriber {
    fn subscribe(&mut self, args: &SubArgs) -> Result<(), Failure> {
        let retain_handling = match (args.no_retained, args.resume) {
            (true, _) => RetainHandling::DoNotSend,
            (false, true) => RetainHandling::SendIfNew,
            (false, false) => RetainHandling::SendAtSubscribe,
        };
        let filters = args.topics.iter().map(|text| SubscribeFilter {
            filter: TopicFilter::parse(text),
            qos: args.qos,
            no_local: args.no_local,
            retain_as_published: args.retain_as_published,
            retain_handling,
        });
        let filters = filters.collect();
        let mut wire = Vec::new();
        let mut subscribe = Subscribe::new(PacketId::MIN, filters);
        for (name, value) in &args.user_property {
            let pushed = UserProperties::push(&mut wire, name, value);
            pushed.map_err(|error| Failure::new(Exit::Failed, error))?;
        }
        subscribe.user_properties =
            UserProperties::from_wire(&wire).map_err(|error| Failure::new(Exit::Failed, error))?;
        self.connection.send(&Packet::Subscribe(subscribe))
    }

    /// Prints messages until there is a reason to stop.
    async fn run(&mut self, args: &SubArgs) -> Result<Ended, Failure> {
        let mut patience = pin!(async {
            match args.wait {
                Some(secs) => sleep(Duration::from_secs(secs.into())).await,
                None => core::future::pending().await,
            }
        });
        let mut interrupted = pin!(interrupted());
        loop {
            let wake = tokio::select! {
                biased;
                () = &mut interrupted => return Ok(Ended::Interrupted),
                wake = self.connection.next() => wake?,
                () = &mut patience => return Ok(Ended::Waited),
            };
            match wake {
                Wake::Tick => self.connection.on_tick().await?,
                Wake::Event(event) => self.on_event(event, args)?,
            }
            let counted = args.count.is_some_and(|count| self.printed >= count.get());
            if counted || !self.connection.has_more() {
                self.output.flush()?;
                self.connection.flush().await?;
            }
            if counted {
                return Ok(Ended::Counted);
            }
        }
    }

    fn on_event(&mut self, event: Event, args: &SubArgs) -> Result<(), Failure> {
        match event {
            Event::Message(message) => self.on_message(&message, args),
            Event::Subscribed { reasons, text } => on_subscribed(&reasons, &text, args),
            Event::Ack {
                kind: AckKind::PubRel,
                packet_id,
                ..
            } => {
                self.unreleased.remove(&packet_id);
                self.connection.send_ack(AckKind::PubComp, packet_id)
            }
            Event::Ack {
                kind: AckKind::PubAck | AckKind::PubRec | AckKind::PubComp,
                ..
            }
            | Event::Pong => Ok(()),
        }
    }

    fn on_message(&mut self, message: &Message, args: &SubArgs) -> Result<(), Failure> {
        match (message.qos, message.packet_id) {
            (Qos::AtLeastOnce, Some(id)) => {
                self.print(message, args)?;
                self.connection.send_ack(AckKind::PubAck, id)
            }
            (Qos::ExactlyOnce, Some(id)) => {
                debug_assert!(self.unreleased.len() <= UNRELEASED_MESSAGES_MAX);
                if self.unreleased.insert(id) {
                    self.print(message, args)?;
                }
                self.connection.send_ack(AckKind::PubRec, id)
            }
            (Qos::AtMostOnce | Qos::AtLeastOnce | Qos::ExactlyOnce, _) => self.print(message, args),
        }
    }

    fn print(&mut self, message: &Message, args: &SubArgs) -> Result<(), Failure> {
        self.printed += 1;
        if args.json {
            return self.output.line(message.to_json().as_bytes());
        }
        if args.verbose {
            self.output.write(message.topic.as_bytes())?;
            self.output.write(b" ")?;
        }
        self.output.line(&message.payload)
    }
}

/// Tells which filters were granted; refused ones end the command.
fn on_subscribed(reasons: &[ReasonCode], text: &str, args: &SubArgs) -> Result<(), Failure> {
    let refused: Vec<_> = args
        .topics
        .iter()
        .zip(reasons)
        .filter(|(_, reason)| reason.is_error())
        .collect();
    if let Some((topic, reason)) = refused.first() {
        let reason = with_text(**reason, Some(text));
        let text = format!("the broker refused the subscription to {topic}: {reason}");
        return Err(Failure::because(Exit::Refused, text));
    }
    if !args.quiet {
        for (topic, reason) in args.topics.iter().zip(reasons) {
            remark(format_args!("subscribed to {topic} with QoS {}", reason.byte()));
        }
    }
    Ok(())
}

fn topic_filter(text: &str) -> Result<String, String> {
    TopicFilter::parse(text)
        .map(|filter| filter.as_str().to_owned())
        .map_err(|error| format!("it {error}"))
}

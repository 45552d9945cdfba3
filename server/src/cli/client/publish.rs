//! `cloudsignal pub`: sends messages and waits until the broker has taken them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{ArgGroup, Args};

use cloudsignal_core::Qos;
use cloudsignal_core::codec::{AckKind, PacketId, ReasonCode};

use super::connection::{Connection, Event, Wake};
use super::input::{Input, whole};
use super::message::{Message, Properties};
use super::options::{ConnectArgs, name_value, qos, topic_name};
use crate::cli::exit::{EXIT_CODES, Exit, Failure};

/// What was typed after `cloudsignal pub`.
#[derive(Args, Clone, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
#[command(group = ArgGroup::new("source").required(true).args(["message", "lines", "file", "empty", "json"]))]
pub struct PubArgs {
    /// Topic to publish to
    #[arg(short, long, value_parser = topic_name, required_unless_present = "json", conflicts_with = "json")]
    pub topic: Option<String>,

    /// The message
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,

    /// One message for each line of standard input
    #[arg(short, long)]
    pub lines: bool,

    /// The message is the content of a file, or of standard input for `-`
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// An empty message; with --retain it clears the topic's last message
    #[arg(short = 'n', long)]
    pub empty: bool,

    /// One message for each line of standard input, in the form that `sub --json` prints
    #[arg(long)]
    pub json: bool,

    /// Quality of service: 0 sent once, 1 at least once, 2 exactly once
    #[arg(short, long, value_name = "0|1|2", default_value = "0", value_parser = qos)]
    pub qos: Qos,

    /// Keep the message as the topic's last one, for those who subscribe later
    #[arg(short, long)]
    pub retain: bool,

    /// Properties of the messages
    #[command(flatten)]
    pub properties: PropertyArgs,

    /// The connection
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// Properties of MQTT 5.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Properties (MQTT 5)")]
pub struct PropertyArgs {
    /// A user property; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_value, conflicts_with_all = ["v311", "json"])]
    pub user_property: Vec<(String, String)>,

    /// Seconds after which nobody needs the message any more
    #[arg(long, value_name = "SECS", conflicts_with_all = ["v311", "json"])]
    pub expiry: Option<u32>,

    /// What the payload is, such as application/json
    #[arg(long, value_name = "TYPE", conflicts_with_all = ["v311", "json"])]
    pub content_type: Option<String>,

    /// Where an answer is expected
    #[arg(long, value_name = "TOPIC", value_parser = topic_name, conflicts_with_all = ["v311", "json"])]
    pub response_topic: Option<String>,

    /// What the answer must repeat
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["v311", "json"])]
    pub correlation_data: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  cloudsignal pub -t rooms/1/light -m on
  cloudsignal pub --url mqtts://localhost:8883 --ca data/tls/ca.pem -u alice@org_k7xm4pqr2n5t \\
        --password-file alice.txt -t rooms/1/light -m on -q 1 --retain
  tail -f app.log | cloudsignal pub -t logs/app -l
        one message a line, until the pipe ends
  cloudsignal pub -t rooms/1/plan --file plan.png --content-type image/png
  cloudsignal pub -t rooms/1/light --empty --retain
        clears the retained message
  cloudsignal sub -t 'rooms/#' --json | cloudsignal pub --json --url mqtt://other.example
        copies messages with all they carry";

/// Messages sent and not yet acknowledged, whatever the broker would allow.
const UNACKED_MESSAGES_MAX: usize = 1_000;

/// Bytes gathered before they leave in one write.
const BATCH_BYTES: usize = 64 * 1_024;

/// Runs the command.
pub(crate) async fn publish(args: PubArgs) -> Result<(), Failure> {
    let input = args.input()?;
    let connection = Connection::open(&args.connect, |_| {}).await?;
    let welcome = connection.welcome();
    if args.retain && !welcome.retain_available {
        return Err(Failure::because(
            Exit::Refused,
            "the broker keeps no retained messages",
        ));
    }
    let window_max = UNACKED_MESSAGES_MAX.min(welcome.receive_max.into());
    let mut publisher = Publisher {
        connection,
        unacked: BTreeMap::new(),
        window_max,
        last_id: 0,
        refused: 0,
    };
    publisher.send_all(input, &args).await?;
    publisher.connection.close().await?;
    match publisher.refused {
        0 => Ok(()),
        1 => Err(Failure::because(Exit::Refused, "the broker refused a message")),
        count => Err(Failure::because(
            Exit::Refused,
            format!("the broker refused {count} messages"),
        )),
    }
}

impl PubArgs {
    fn input(&self) -> anyhow::Result<Input> {
        if self.lines || self.json {
            return Ok(Input::lines_of_stdin());
        }
        Ok(Input::one(match (&self.message, &self.file) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(path)) => whole(path)?,
            (None, None) => Vec::new(),
        }))
    }

    /// The message that a payload, or a line of JSON, stands for.
    fn message(&self, payload: Vec<u8>) -> anyhow::Result<Message> {
        if self.json {
            let line = String::from_utf8(payload).context("a line is not UTF-8")?;
            return Message::from_json(&line)
                .map_err(|error| anyhow::anyhow!("{error}\nin the line: {line}"));
        }
        Ok(Message {
            topic: self.topic.clone().unwrap_or_default(),
            payload,
            qos: self.qos,
            retain: self.retain,
            properties: self.properties.properties(),
            ..Message::default()
        })
    }
}

impl PropertyArgs {
    fn properties(&self) -> Properties {
        Properties {
            message_expiry_interval: self.expiry,
            content_type: self.content_type.clone(),
            response_topic: self.response_topic.clone(),
            correlation_data_base64: self.correlation_data.as_deref().map(Properties::encode_data),
            user_properties: self.user_property.clone(),
            ..Properties::default()
        }
    }
}

/// How far a QoS 1 or 2 message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unacked {
    /// Sent; PUBACK is awaited.
    AtLeastOnce,
    /// Sent; PUBREC is awaited.
    Received,
    /// Released; PUBCOMP is awaited.
    Complete,
}

struct Publisher {
    connection: Connection,
    /// Never more than `window_max`.
    unacked: BTreeMap<PacketId, Unacked>,
    window_max: usize,
    last_id: u16,
    refused: u64,
}

impl Publisher {
    /// Sends until the input ends and everything is acknowledged.
    async fn send_all(&mut self, mut input: Input, args: &PubArgs) -> Result<(), Failure> {
        let mut ended = false;
        while !ended || !self.unacked.is_empty() {
            let has_room = self.unacked.len() < self.window_max;
            tokio::select! {
                biased;
                wake = self.connection.next() => self.on_wake(wake?).await?,
                payload = input.next(), if !ended && has_room => {
                    match payload.context("cannot read standard input")? {
                        Some(payload) => self.send(&args.message(payload)?)?,
                        None => ended = true,
                    }
                }
            }
            let more_at_once = !ended && input.has_more() && self.unacked.len() < self.window_max;
            if !more_at_once || self.connection.waiting_bytes() >= BATCH_BYTES {
                self.connection.flush().await?;
            }
        }
        Ok(())
    }

    fn send(&mut self, message: &Message) -> Result<(), Failure> {
        let state = match message.qos {
            Qos::AtMostOnce => None,
            Qos::AtLeastOnce => Some(Unacked::AtLeastOnce),
            Qos::ExactlyOnce => Some(Unacked::Received),
        };
        let qos_max = self.connection.welcome().qos_max;
        if message.qos > qos_max {
            let text = format!("the broker takes QoS {} at most", qos_max.bits());
            return Err(Failure::because(Exit::Refused, text));
        }
        let packet_id = state.map(|_| self.free_id());
        let connection = &mut self.connection;
        let sent = message.with_packet(packet_id, |packet| connection.send(packet));
        sent.map_err(|text| Failure::because(Exit::Failed, text))??;
        if let (Some(packet_id), Some(state)) = (packet_id, state) {
            self.unacked.insert(packet_id, state);
        }
        Ok(())
    }

    /// An identifier that no unacknowledged message has. There is one: the window is smaller than their number.
    fn free_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(id) = PacketId::new(self.last_id)
                && !self.unacked.contains_key(&id)
            {
                return id;
            }
        }
    }

    async fn on_wake(&mut self, wake: Wake) -> Result<(), Failure> {
        match wake {
            Wake::Tick => self.connection.on_tick().await,
            Wake::Event(Event::Ack {
                kind,
                packet_id,
                reason,
                text,
            }) => self.on_ack(kind, packet_id, reason, &text),
            // Nothing was subscribed to, so nothing else is awaited.
            Wake::Event(Event::Message(_) | Event::Subscribed { .. } | Event::Pong) => Ok(()),
        }
    }

    fn on_ack(&mut self, kind: AckKind, id: PacketId, reason: ReasonCode, text: &str) -> Result<(), Failure> {
        match (kind, self.unacked.get(&id)) {
            (AckKind::PubAck, Some(Unacked::AtLeastOnce)) | (AckKind::PubComp, Some(Unacked::Complete)) => {
                self.unacked.remove(&id);
            }
            (AckKind::PubRec, Some(Unacked::Received)) if reason.is_error() => {
                self.unacked.remove(&id);
            }
            (AckKind::PubRec, Some(Unacked::Received)) => {
                self.unacked.insert(id, Unacked::Complete);
                self.connection.send_ack(AckKind::PubRel, id)?;
            }
            (AckKind::PubAck | AckKind::PubRec | AckKind::PubRel | AckKind::PubComp, _) => {
                let text = format!("the broker acknowledged message {id}, which does not wait for it");
                return Err(Failure::because(Exit::Lost, text));
            }
        }
        if reason.is_error() {
            self.refused += 1;
            crate::cli::output::remark(format_args!("refused: {text}"));
        }
        Ok(())
    }
}

//! Every knob of a client, with its unit, default and bound.

use alloc::boxed::Box;
use core::fmt;

use crate::codec::PublishProperties;
use crate::time::Duration;
use crate::topic::TopicNameBuf;
use crate::{Qos, Version};

/// How a client behaves. The defaults lose nothing: the session outlives the connection for a day, what is
/// published offline waits, and a lost connection is made again.
#[derive(Clone, Debug)]
pub struct Options {
    /// Client identifier. `None` (the default): one is made, and the store keeps it.
    pub client_id: Option<Box<str>>,
    /// Which protocol is spoken. Default: MQTT 5, and 3.1.1 with a server that refuses it.
    pub protocol: Protocol,
    /// Who the client says it is. Default: nobody.
    pub login: Login,
    /// What the server publishes for a client that is gone without saying goodbye. Default: nothing.
    pub will: Option<WillMessage>,
    /// How long the session outlives a connection, seconds; `0` ends it with the connection, `u32::MAX`
    /// never. Default: a day.
    pub session_expiry_secs: u32,
    /// Something is sent at least this often, seconds; `0` switches it off. Default: 30.
    pub keep_alive_secs: u16,
    /// How many received QoS 1 and 2 messages may be unacknowledged at once. At least 1. Default: 256.
    pub receive_max: u16,
    /// How many published QoS 1 and 2 messages may be unacknowledged at once; the server may want fewer.
    /// At least 1. Default: 256.
    pub inflight_max: u16,
    /// Largest packet that is accepted, bytes. Default: 16 MiB.
    pub packet_bytes_max: u32,
    /// How many topics each side may abbreviate on a connection; `0` for none. Default: 32.
    pub topic_alias_max: u16,
    /// How many messages may wait to be sent or acknowledged. Default: 10 000.
    pub queue_messages_max: usize,
    /// How many bytes they may have together. Default: 16 MiB.
    pub queue_bytes_max: usize,
    /// How many questions may wait for their answer. Default: 1 000.
    pub requests_max: usize,
    /// When a received message is acknowledged. Default: when it is handed out.
    pub acknowledge: Acknowledge,
    /// What the store behind [`Output::Put`](super::Output::Put) survives. Default: nothing.
    pub storage: Storage,
    /// When to try again. See [`Reconnect`].
    pub reconnect: Reconnect,
    /// When to give up waiting. See [`Patience`].
    pub patience: Patience,
}

/// Which version of MQTT is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT 5, and MQTT 3.1.1 once a server has refused 5.
    #[default]
    Best,
    /// This one only.
    Only(Version),
}

/// How the client logs in.
#[derive(Clone, Default)]
pub enum Login {
    /// Not at all.
    #[default]
    Anonymous,
    /// By what does not change.
    Password {
        /// User name.
        username: Box<str>,
        /// Password.
        password: Box<[u8]>,
    },
    /// By a short-lived token, which [`Output::AskToken`](super::Output::AskToken) asks for.
    Token,
}

impl fmt::Debug for Login {
    /// Never the password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Password { .. } => "Password",
            Self::Token => "Token",
        })
    }
}

/// The will of a client.
#[derive(Clone, Debug)]
pub struct WillMessage {
    /// Where it is published.
    pub topic: TopicNameBuf,
    /// The message.
    pub payload: Box<[u8]>,
    /// Its QoS.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// How long the server waits before it publishes, seconds. MQTT 5 only.
    pub delay_secs: u32,
}

impl WillMessage {
    pub(super) fn as_packet(&self) -> crate::codec::Will<'_> {
        crate::codec::Will {
            topic: self.topic.as_ref(),
            payload: &self.payload,
            qos: self.qos,
            retain: self.retain,
            delay_secs: self.delay_secs,
            properties: PublishProperties::default(),
        }
    }
}

/// When a received QoS 1 or 2 message is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// As soon as it is handed out.
    #[default]
    OnDelivery,
    /// When [`Client::acknowledge`](super::Client::acknowledge) says so. What is never acknowledged keeps its
    /// place in [`Options::receive_max`], so a slow reader slows the server.
    ByCaller,
}

/// What the store of a client survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// There is none: everything ends with the process.
    #[default]
    Volatile,
    /// The end of the process. Records are handed out by [`Output::Put`](super::Output::Put) and
    /// [`Output::Delete`](super::Output::Delete), and given back by [`Client::restore`](super::Client::restore).
    Durable,
}

/// When a lost connection is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The first pause lasts at most this long. Default: 500 ms.
    pub first: Duration,
    /// No pause lasts longer. Default: 30 s.
    pub most: Duration,
    /// Losing a connection to the network that held this long after CONNACK is no failure: the pauses do not grow. And for
    /// each such time that it held, a failure before it is forgotten. Default: 200 ms.
    pub held: Duration,
    /// A connection that held this long proves the token and the server: both may be refused again before the client
    /// gives up. Default: 10 s.
    pub steady: Duration,
}

/// How long the client waits for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From dialing until CONNACK, without the time that a token takes. Default: 20 s.
    pub connect: Duration,
    /// For an answer to AskToken. Default: 30 s.
    pub token: Duration,
    /// For any byte after PINGREQ. Default: 10 s.
    pub ping: Duration,
    /// The same after a wake-up, when the connection is probably dead. Default: 2 s.
    pub probe: Duration,
    /// For the server's answer to a new token, before another connection takes over. Default: 10 s.
    pub renewal: Duration,
    /// A subscription of an earlier process that nobody has asked for again after this time with the server
    /// is ended, and messages of its session that nobody wants are let go. Default: 60 s.
    pub unclaimed: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            client_id: None,
            protocol: Protocol::Best,
            login: Login::Anonymous,
            will: None,
            session_expiry_secs: 86_400,
            keep_alive_secs: 30,
            receive_max: 256,
            inflight_max: 256,
            packet_bytes_max: 16 << 20,
            topic_alias_max: 32,
            queue_messages_max: 10_000,
            queue_bytes_max: 16 << 20,
            requests_max: 1_000,
            acknowledge: Acknowledge::OnDelivery,
            storage: Storage::Volatile,
            reconnect: Reconnect::default(),
            patience: Patience::default(),
        }
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            most: Duration::from_secs(30),
            held: Duration::from_millis(200),
            steady: Duration::from_secs(10),
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            token: Duration::from_secs(30),
            ping: Duration::from_secs(10),
            probe: Duration::from_secs(2),
            renewal: Duration::from_secs(10),
            unclaimed: Duration::from_secs(60),
        }
    }
}

//! How a client is made.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::spawn_blocking;

use cloudsignal_core::client::{
    self as core, Key, Login, Options, Patience, Protocol, PublishId, Reconnect, Storage, WillMessage,
};
use cloudsignal_core::{Qos, TopicNameBuf, Version};

use crate::client::{Client, Handle};
use crate::clock::Clock;
use crate::driver::{COMMANDS_MAX, Driver, PUBLISHES_MAX, Parts, Route};
use crate::endpoint::Endpoint;
use crate::error::ConnectError;
use crate::mail::Mail;
use crate::state::{EVENTS_MAX, State};
use crate::store::{MemoryStore, Store};
use crate::token::{AnyProvider, TokenProvider};
use crate::transport::{Identity, Pem, TlsConnector, Trust, client_config};

/// A client that is about to be made: see [`Client::builder`]. What is not said has the defaults of the machine, which
/// lose nothing: the session outlives a connection for a day, and what is published offline waits.
#[must_use = "nothing happens until `connect` or `start`"]
pub struct Builder {
    url: String,
    options: Options,
    will: Option<Will>,
    trust: Trust,
    identity: Option<Identity>,
    provider: Option<Arc<dyn AnyProvider>>,
    store: Box<dyn Store>,
}

/// What the server publishes for a client that is gone without a goodbye.
#[derive(Clone, Debug)]
struct Will {
    topic: Box<str>,
    payload: Box<[u8]>,
    qos: Qos,
    retain: bool,
    delay: Duration,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Builder")
            .field("options", &self.options)
            .field("trust", &self.trust)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            options: Options {
                acknowledge: core::Acknowledge::ByCaller,
                ..Options::default()
            },
            will: None,
            trust: Trust::Platform,
            identity: None,
            provider: None,
            store: Box::new(MemoryStore),
        }
    }

    /// Who the client is for the server. Default: a random identifier, which the store keeps.
    pub fn client_id(mut self, client_id: impl Into<Box<str>>) -> Self {
        self.options.client_id = Some(client_id.into());
        self
    }

    /// Logs in with what does not change.
    pub fn password(mut self, username: impl Into<Box<str>>, password: impl Into<Vec<u8>>) -> Self {
        self.options.login = Login::Password {
            username: username.into(),
            password: password.into().into(),
        };
        self
    }

    /// Logs in with tokens, which are renewed before they end, without a gap.
    pub fn token_provider(mut self, provider: impl TokenProvider) -> Self {
        self.options.login = Login::Token;
        self.provider = Some(Arc::new(provider));
        self
    }

    /// Trusts servers with a certificate that one of these has signed, and no others; a file in PEM. Default: whom the
    /// system trusts.
    pub fn ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.trust = Trust::Only(Pem::File(file.into()));
        self
    }

    /// The same with the text of such a file.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.trust = Trust::Only(Pem::Text(pem.into()));
        self
    }

    /// Whom the system trusts, for where this library cannot ask it: certificates in DER. Those that it cannot read are left
    /// out.
    pub fn system_roots(mut self, roots: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.trust = Trust::told(roots);
        self
    }

    /// Shows the server a certificate; files in PEM.
    pub fn certificate_files(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some(Identity {
            chain: Pem::File(chain.into()),
            key: Pem::File(key.into()),
        });
        self
    }

    /// The same with the texts of such files.
    pub fn certificate_pem(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some(Identity {
            chain: Pem::Text(chain.into()),
            key: Pem::Text(key.into()),
        });
        self
    }

    /// Keeps identity, queue and subscriptions. Default: [`MemoryStore`], which keeps nothing beyond the process.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Box::new(store);
        self
    }

    /// What the server publishes when this client is gone without a goodbye: `delay` after that, if it has not come back.
    /// The delay needs MQTT 5.
    pub fn will(
        mut self,
        topic: impl Into<Box<str>>,
        payload: impl Into<Vec<u8>>,
        qos: Qos,
        delay: Duration,
    ) -> Self {
        self.will = Some(Will {
            topic: topic.into(),
            payload: payload.into().into(),
            qos,
            retain: false,
            delay,
        });
        self
    }

    /// The server keeps the [`will`](Self::will) for later subscribers, once it is published.
    pub fn retain_will(mut self) -> Self {
        if let Some(will) = &mut self.will {
            will.retain = true;
        }
        self
    }

    /// Speaks this version only. Default: MQTT 5, and 3.1.1 with a server that refuses it.
    pub const fn version(mut self, version: Version) -> Self {
        self.options.protocol = Protocol::Only(version);
        self
    }

    /// How long the session outlives a connection, to the second; zero ends it with the connection. Default: a day.
    pub fn session_expiry(mut self, expiry: Duration) -> Self {
        self.options.session_expiry_secs = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
        self
    }

    /// Something is sent at least this often, to the second; zero switches it off. Default: 30 s.
    pub fn keep_alive(mut self, keep_alive: Duration) -> Self {
        self.options.keep_alive_secs = u16::try_from(keep_alive.as_secs()).unwrap_or(u16::MAX);
        self
    }

    /// How many received QoS 1 and 2 messages may be unacknowledged at once, at least 1. Default: 256.
    pub fn receive_max(mut self, messages: u16) -> Self {
        self.options.receive_max = messages.max(1);
        self
    }

    /// How many published QoS 1 and 2 messages may be unanswered at once, at least 1; the server may want fewer.
    /// Default: 256.
    pub fn inflight_max(mut self, messages: u16) -> Self {
        self.options.inflight_max = messages.max(1);
        self
    }

    /// How many messages, and how many bytes of them, may wait to be sent or answered. Default: 10 000, and 16 MiB.
    pub const fn queue_max(mut self, messages: usize, bytes: usize) -> Self {
        self.options.queue_messages_max = messages;
        self.options.queue_bytes_max = bytes;
        self
    }

    /// Largest packet that is accepted, bytes. Default: 16 MiB.
    pub const fn packet_bytes_max(mut self, bytes: u32) -> Self {
        self.options.packet_bytes_max = bytes;
        self
    }

    /// When lost connections are made again.
    pub const fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.options.reconnect = reconnect;
        self
    }

    /// How long the client waits for others.
    pub const fn patience(mut self, patience: Patience) -> Self {
        self.options.patience = patience;
        self
    }

    /// Makes the client, and waits until the server has accepted it; as long as that takes, unless it is refused.
    ///
    /// # Errors
    /// When something that was said makes no sense, the store cannot be read, or the server refuses the client.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let client = self.start().await?;
        client.connected().await?;
        Ok(client)
    }

    /// The same without waiting for the server: it can be used at once.
    ///
    /// # Errors
    /// When something that was said makes no sense, or the store cannot be read.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub async fn start(mut self) -> Result<Client, ConnectError> {
        self.options.will = self.will.take().map(Will::check).transpose()?;
        let endpoint = Arc::new(Endpoint::parse(&self.url)?);
        let clock = Clock::start();
        let Self {
            options,
            trust,
            identity,
            provider,
            store,
            ..
        } = self;
        let opening = move || -> Result<_, ConnectError> {
            let tls = client_config(&trust, identity.as_ref())?;
            Ok((tls, open(options, store, clock)?))
        };
        let opened = spawn_blocking(opening).await;
        let (tls, opened) = opened.map_err(|error| ConnectError::Store(std::io::Error::other(error)))??;
        let route = Route {
            endpoint,
            tls: TlsConnector::from(tls),
        };
        Ok(begin(opened, route, clock, provider))
    }
}

impl Will {
    fn check(self) -> Result<WillMessage, ConnectError> {
        Ok(WillMessage {
            topic: TopicNameBuf::parse(self.topic).map_err(ConnectError::WillTopic)?,
            payload: self.payload,
            qos: self.qos,
            retain: self.retain,
            delay_secs: u32::try_from(self.delay.as_secs()).unwrap_or(u32::MAX),
        })
    }
}

/// A machine that knows what its store knows.
struct Opened {
    machine: core::Client,
    store: Option<Box<dyn Store>>,
    left: Vec<PublishId>,
}

fn open(mut options: Options, mut store: Box<dyn Store>, clock: Clock) -> Result<Opened, ConnectError> {
    let is_durable = store.is_durable();
    if is_durable {
        options.storage = Storage::Durable;
    }
    let seed = getrandom::u64().map_err(|error| ConnectError::Store(error.into()))?;
    let mut machine = core::Client::new(options, seed, clock.now(), Clock::unix_micros());
    let mut left = Vec::new();
    for (name, record) in store.load().map_err(ConnectError::Store)? {
        let damaged = |problem: &dyn std::fmt::Display| {
            let text = format!("record {:?}: {problem}", name.as_bytes());
            ConnectError::Store(std::io::Error::new(std::io::ErrorKind::InvalidData, text))
        };
        let key = name.key().ok_or_else(|| damaged(&"nobody knows this name"))?;
        machine.restore(key, &record).map_err(|error| damaged(&error))?;
        if let Key::Outgoing(order) = key {
            left.push(PublishId(order));
        }
    }
    Ok(Opened {
        machine,
        store: is_durable.then_some(store),
        left,
    })
}

fn begin(opened: Opened, route: Route, clock: Clock, provider: Option<Arc<dyn AnyProvider>>) -> Client {
    let (command_sender, commands) = mpsc::channel(COMMANDS_MAX);
    let (publish_sender, publishes) = mpsc::channel(PUBLISHES_MAX);
    let (state_sender, states) = watch::channel(State::Connecting);
    let (events, _) = broadcast::channel(EVENTS_MAX);
    let parts = Parts {
        machine: opened.machine,
        clock,
        route,
        store: opened.store,
        left: opened.left,
        mail: Arc::new(Mail::default()),
        commands,
        publishes,
        states: state_sender,
        events: events.clone(),
    };
    let driver = Driver::begin(parts, provider);
    let handle = Handle {
        client_id: driver.client_id().into(),
        commands: command_sender,
        publishes: publish_sender,
        states,
        events: events.downgrade(),
    };
    tokio::spawn(driver.run());
    Client::new(handle)
}

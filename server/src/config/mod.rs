//! Everything an operator can set: a TOML file, the environment and flags become one checked [`Config`].
//!
//! | file | holds |
//! |---|---|
//! | [`keys`] | every key: name, unit, bounds, what it means; defaults are [`Config::default`] |
//! | [`layers`] | file, environment and flags, in rising order, as texts with an origin |
//! | [`value`] | from text to a checked value |
//! | `contradictions`, [`error`] | what is refused, and how it is said |
//! | [`document`] | the commented default file, written from the keys |
//!
//! A key `section.name` is `name` under `[section]` in the file and `CLOUDSIGNAL_SECTION_NAME` in the
//! environment. An unknown key or a value out of its bounds is refused at the start by name.

mod contradictions;
pub mod document;
pub mod error;
pub mod keys;
pub mod layers;
pub mod value;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cloudsignal_broker::Limits;

use crate::accounts::Allowance;
use crate::cli::serve::{DATA_DIR_DEFAULT, Listen, ServeArgs};
use crate::durable::Level;
use crate::identity::IdentityOptions;
use crate::identity::endpoint::Reach;
use crate::identity::key_cache::KeyTimes;
use crate::store::DataLoss;

pub use error::{ConfigError, ConfigErrors};
pub use value::IpPrefix;

/// What `cloudsignal serve` runs with. Bounds and meanings stand in [`keys`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Folder for everything that is kept.
    pub data_dir: PathBuf,
    /// Whether to start though damage costs accounts, or everything of one kind. Said on the command line only: at one
    /// start, not at all.
    pub data_loss: DataLoss,
    /// Threads that run connections; 0 for one per core.
    pub worker_threads: usize,
    /// The organization that clients without a login may enter on the plain loopback listener.
    pub dev_anonymous: Option<String>,
    /// Where clients are awaited.
    pub listen: Listeners,
    /// Proxies that tell who their client is.
    pub proxy: Proxies,
    /// Certificates.
    pub tls: Tls,
    /// WebSocket.
    pub websocket: WebSocket,
    /// Bounds of the process's connections.
    pub connections: Connections,
    /// Identity providers.
    pub identity: Identity,
    /// Bounds of an organization for which nothing else was set.
    pub limits: Limits,
    /// The HTTP API.
    pub http: Http,
    /// Bounds of an organization's calls of the HTTP API, for which nothing else was set.
    pub api: ApiCalls,
    /// What is written to standard error.
    pub log: Log,
    /// What Prometheus sees.
    pub metrics: Metrics,
    /// What acknowledgements survive.
    pub durability: Durability,
    /// How the process ends.
    pub shutdown: Shutdown,
}

/// Addresses of the listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// MQTT without encryption.
    pub mqtt: Listen,
    /// MQTT over TLS.
    pub mqtts: Listen,
    /// MQTT over WebSocket, any path, without encryption.
    pub ws: Listen,
    /// MQTT over WebSocket, any path, with TLS.
    pub wss: Listen,
    /// HTTP API, and WebSocket at `/mqtt`, without encryption.
    pub http: Listen,
    /// HTTP API, and WebSocket at `/mqtt`, with TLS.
    pub https: Listen,
    /// Metrics and health.
    pub metrics: Listen,
}

/// Proxies that send the PROXY protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Names of the listeners on which every connection must begin with a PROXY header.
    pub listeners: Vec<String>,
    /// Who may connect to those listeners.
    pub trusted: Vec<IpPrefix>,
}

/// Certificates of the encrypted listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificate chain, PEM. `None`: the one that the first start makes in the data folder.
    pub cert_file: Option<PathBuf>,
    /// Private key, PEM. `None`: as above.
    pub key_file: Option<PathBuf>,
    /// Certificates that may sign client certificates, PEM.
    pub client_ca_file: Option<PathBuf>,
    /// What is asked of clients.
    pub client_cert: ClientCert,
    /// Oldest protocol version.
    pub version_min: TlsVersion,
    /// Seconds between two looks at the files; 0 leaves it to SIGHUP.
    pub reload_secs: u32,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCert {
    /// None is asked for.
    Off,
    /// One is checked if it is shown.
    Accept,
    /// Without one the handshake fails.
    Require,
}

/// Oldest TLS version that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSocket {
    /// Origins that browsers may connect from; empty for every one.
    pub origins: Vec<String>,
}

/// Bounds of the process's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Connections at once, over all listeners.
    pub total_max: u32,
    /// Connections at once from one IPv4 address or one IPv6 /64; 0 for no limit.
    pub per_source_max: u32,
    /// Bytes of the largest CONNECT packet.
    pub connect_bytes_max: u32,
    /// Bytes that all clients together may have sent before they are let in.
    pub opening_bytes_max: u64,
    /// Seconds for a PROXY header and the TLS handshake.
    pub handshake_secs: u32,
    /// Seconds for the header of an HTTP request, and so for a WebSocket upgrade.
    pub upgrade_secs: u32,
    /// Seconds from the open transport to a whole CONNECT.
    pub connect_secs: u32,
    /// Seconds that waiting output may stand still.
    pub stalled_secs: u32,
    /// Connections the system may hold until we accept them.
    pub backlog: u32,
}

/// Identity providers: how far they are trusted and when they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Which hosts are asked.
    pub hosts: Reach,
    /// Seconds that a provider's clock may differ from ours.
    pub clock_skew_secs: u32,
    /// Seconds for which a provider's keys are used without asking.
    pub keys_fresh_secs: u32,
    /// Seconds after which keys are not used if the provider cannot be asked.
    pub keys_age_secs_max: u32,
    /// Seconds between two fetches of the same keys.
    pub keys_refetch_secs_min: u32,
    /// Milliseconds that one answer may take.
    pub fetch_millis_max: u32,
}

/// The HTTP API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http {
    /// Who may make organizations.
    pub sign_up: SignUp,
}

/// Who may make organizations over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUp {
    /// Whoever has the administration token.
    Operator,
    /// Everybody.
    Open,
}

/// What is written to standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Filter as `tracing` reads it: `info`, or `info,cloudsignal_server::net=debug`.
    pub level: String,
    /// Shape of a line.
    pub format: LogFormat,
    /// Level of the lines about single connections.
    pub connections: ConnectionLog,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object per line.
    Json,
}

/// Level of the lines about single connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionLog {
    /// INFO: a broker with few clients.
    Info,
    /// DEBUG: a broker with many.
    Debug,
}

/// What Prometheus sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Organizations with series of their own; the others are summed as `other`.
    pub orgs_max: u32,
}

/// What acknowledgements survive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durability {
    /// What an acknowledgement of something that must not be lost survives.
    pub level: Level,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Milliseconds over which clients are sent away.
    pub spread_millis: u32,
    /// Seconds until what is left is cut off.
    pub deadline_secs: u32,
}

impl Config {
    /// Reads the file that `args` name, the environment and `args` themselves, in rising order.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key, value and origin.
    pub fn load(args: &ServeArgs) -> Result<Self, ConfigErrors> {
        let mut config = layers::load(args, std::env::vars_os())?;
        if args.accept_data_loss {
            config.data_loss = DataLoss::Accepted;
        }
        Ok(config)
    }

    /// The defaults, with every listener on a free port of the loopback interface: for tests.
    #[must_use]
    pub fn loopback(data_dir: PathBuf) -> Self {
        let free = Listen::At(SocketAddr::from(([127, 0, 0, 1], 0)));
        Self {
            data_dir,
            listen: Listeners {
                mqtt: free,
                mqtts: free,
                ws: free,
                wss: free,
                http: free,
                https: free,
                metrics: free,
            },
            ..Self::default()
        }
    }
}

/// Bounds of an organization's calls of the HTTP API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiCalls {
    /// Calls per second with all its keys together; 0 for no limit. Two seconds' worth may come at once; beyond it the
    /// answer is 429.
    pub calls_per_sec: u32,
    /// Calls per second with one key; 0 for no limit. As above.
    pub key_calls_per_sec: u32,
    /// Messages per second that one key or token publishes over HTTP; 0 for no limit. Beyond it the answer is 429.
    pub key_publishes_per_sec: u32,
    /// Messages that one key or token may publish in one go after a pause; 0 for none at all.
    pub key_publish_burst: u32,
}

impl Default for ApiCalls {
    fn default() -> Self {
        Self {
            calls_per_sec: 0,
            key_calls_per_sec: 0,
            key_publishes_per_sec: 100,
            key_publish_burst: 200,
        }
    }
}

impl Config {
    /// What the server allows an organization for which nothing else was set.
    #[must_use]
    pub fn allowance(&self) -> Allowance {
        Allowance {
            limits: self.limits.clone(),
            api_calls_per_sec: self.api.calls_per_sec,
            api_key_calls_per_sec: self.api.key_calls_per_sec,
            api_key_publishes_per_sec: self.api.key_publishes_per_sec,
            api_key_publish_burst: self.api.key_publish_burst,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from(DATA_DIR_DEFAULT),
            data_loss: DataLoss::Refused,
            worker_threads: 0,
            dev_anonymous: None,
            listen: Listeners::default(),
            proxy: Proxies::default(),
            tls: Tls::default(),
            websocket: WebSocket::default(),
            connections: Connections::default(),
            identity: Identity::default(),
            limits: Limits::default(),
            http: Http {
                sign_up: SignUp::Operator,
            },
            api: ApiCalls::default(),
            log: Log::default(),
            metrics: Metrics { orgs_max: 100 },
            durability: Durability { level: Level::Disk },
            shutdown: Shutdown {
                spread_millis: 1_000,
                deadline_secs: 10,
            },
        }
    }
}

impl Default for Listeners {
    fn default() -> Self {
        let everywhere = |port| Listen::At(SocketAddr::from(([0, 0, 0, 0], port)));
        let loopback = |port| Listen::At(SocketAddr::from(([127, 0, 0, 1], port)));
        Self {
            mqtt: loopback(1883),
            mqtts: everywhere(8883),
            ws: Listen::Off,
            wss: everywhere(18885),
            http: loopback(18080),
            https: everywhere(8443),
            metrics: loopback(9464),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            cert_file: None,
            key_file: None,
            client_ca_file: None,
            client_cert: ClientCert::Off,
            version_min: TlsVersion::Tls12,
            reload_secs: 5,
        }
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            total_max: 100_000,
            per_source_max: 4_096,
            connect_bytes_max: 64 * 1_024,
            opening_bytes_max: 64 * 1_048_576,
            handshake_secs: 10,
            upgrade_secs: 10,
            connect_secs: 10,
            stalled_secs: 60,
            backlog: 4_096,
        }
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            hosts: Reach::Public,
            clock_skew_secs: 60,
            keys_fresh_secs: 600,
            keys_age_secs_max: 3_600,
            keys_refetch_secs_min: 30,
            fetch_millis_max: 5_000,
        }
    }
}

impl From<&Identity> for IdentityOptions {
    fn from(config: &Identity) -> Self {
        let secs = |secs: u32| Duration::from_secs(u64::from(secs));
        Self {
            reach: config.hosts,
            skew: secs(config.clock_skew_secs),
            fetch_time: Duration::from_millis(u64::from(config.fetch_millis_max)),
            keys: KeyTimes {
                fresh: secs(config.keys_fresh_secs),
                age_max: secs(config.keys_age_secs_max),
                refetch_min: secs(config.keys_refetch_secs_min),
            },
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
            connections: ConnectionLog::Info,
        }
    }
}

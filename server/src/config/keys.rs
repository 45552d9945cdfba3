//! Every key an operator can set.

use crate::config::value::{IpPrefix, Kind, TEXT_BYTES_MAX, Value};
use crate::config::{ClientCert, Config, ConnectionLog, LogFormat, SignUp, TlsVersion};
use crate::durable::Level;
use crate::identity::endpoint::Reach;

/// One setting.
#[derive(Clone, Copy)]
pub struct Key {
    /// `section.name`, or a bare name.
    pub name: &'static str,
    /// What it means, in one or two sentences.
    pub doc: &'static str,
    /// Unit of a number, empty where the name says it all.
    pub unit: &'static str,
    /// What is accepted.
    pub kind: Kind,
    /// Reads it, so that the default is written down once, in [`Config::default`].
    pub read: fn(&Config) -> Value,
    /// Writes a value that `kind` has accepted.
    pub write: fn(&mut Config, Value),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// `CLOUDSIGNAL_LISTEN_MQTT` for `listen.mqtt`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("CLOUDSIGNAL_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// The section in the file, empty for the top.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(section, _)| section)
    }

    /// The name within its section.
    #[must_use]
    pub fn short_name(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, name)| name)
    }
}

/// Every key, section by section.
pub fn all() -> impl Iterator<Item = &'static Key> {
    [CONNECTING, limits::KEYS, RUNNING].into_iter().flatten()
}

/// The key with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    all().find(|key| key.name == name)
}

const MIB: u64 = 1_048_576;
const GIB: u64 = 1_024 * MIB;

/// A number: name, field, unit, bounds, doc.
macro_rules! number {
    ($name:literal, $($field:ident).+, $unit:literal, $min:expr, $max:expr, $doc:literal) => {
        Key {
            name: $name,
            doc: $doc,
            unit: $unit,
            kind: Kind::Integer { min: $min, max: $max },
            read: |config| {
                Value::Integer(config.$($field).+.try_into().expect("invariant: numbers fit 64 bits"))
            },
            write: |config, value| {
                config.$($field).+ = value.integer().try_into().expect("invariant: bounds fit the field")
            },
        }
    };
}

/// An address: name, field, doc.
macro_rules! listen {
    ($name:literal, $($field:ident).+, $doc:literal) => {
        Key {
            name: $name,
            doc: $doc,
            unit: "",
            kind: Kind::Listen,
            read: |config| Value::Listen(config.$($field).+),
            write: |config, value| config.$($field).+ = value.listen(),
        }
    };
}

/// A file: name, field, doc.
macro_rules! path {
    ($name:literal, $($field:ident).+, $doc:literal) => {
        Key {
            name: $name,
            doc: $doc,
            unit: "",
            kind: Kind::Path,
            read: |config| Value::Path(config.$($field).+.clone()),
            write: |config, value| config.$($field).+ = value.path(),
        }
    };
}

/// One of some words: name, field, word and variant pairs, doc.
macro_rules! choice {
    ($name:literal, $($field:ident).+, [$($word:literal => $variant:path),+], $doc:literal) => {
        Key {
            name: $name,
            doc: $doc,
            unit: "",
            kind: Kind::Choice(&[$($word),+]),
            read: |config| Value::Text(match config.$($field).+ { $($variant => $word),+ }.to_owned()),
            write: |config, value| {
                config.$($field).+ = match value.text().as_str() {
                    $($word => $variant,)+
                    other => unreachable!("invariant: one of the words was checked, not {other:?}"),
                }
            },
        }
    };
}

/// Several texts: name, field (a list of what `parse` makes), check, doc.
macro_rules! list {
    ($name:literal, $($field:ident).+, $check:expr, $doc:literal) => {
        Key {
            name: $name,
            doc: $doc,
            unit: "",
            kind: Kind::List($check),
            read: |config| Value::List(config.$($field).+.iter().map(ToString::to_string).collect()),
            write: |config, value| {
                let items = value.list();
                let parsed = items.iter().map(|item| item.parse().expect("invariant: checked"));
                config.$($field).+ = parsed.collect();
            },
        }
    };
}

// After the macros, which it uses.
mod limits;

/// Where clients come in, and who they are.
static CONNECTING: &[Key] = &[
    Key {
        name: "data_dir",
        doc: "Folder for certificates, accounts and everything else that is kept.",
        unit: "",
        kind: Kind::Path,
        read: |config| Value::Path(Some(config.data_dir.clone())),
        write: |config, value| {
            config.data_dir = value.path().unwrap_or_else(|| Config::default().data_dir);
        },
    },
    number!(
        "worker_threads",
        worker_threads,
        "threads",
        0,
        1_024,
        "Threads that run connections; 0 for one per core."
    ),
    Key {
        name: "dev_anonymous",
        doc: "Lets clients without a login into this organization, on listen.mqtt only, which must be on loopback: \
              for test suites. Empty: nobody.",
        unit: "",
        kind: Kind::Text,
        read: |config| Value::Text(config.dev_anonymous.clone().unwrap_or_default()),
        write: |config, value| {
            config.dev_anonymous = Some(value.text()).filter(|org| !org.is_empty());
        },
    },
    listen!("listen.mqtt", listen.mqtt, "MQTT without encryption."),
    listen!("listen.mqtts", listen.mqtts, "MQTT over TLS."),
    listen!(
        "listen.ws",
        listen.ws,
        "MQTT over WebSocket without encryption, any path."
    ),
    listen!(
        "listen.wss",
        listen.wss,
        "MQTT over WebSocket with TLS, any path."
    ),
    listen!(
        "listen.http",
        listen.http,
        "HTTP API without encryption, and MQTT over WebSocket at /mqtt."
    ),
    listen!(
        "listen.https",
        listen.https,
        "HTTP API with TLS, and MQTT over WebSocket at /mqtt."
    ),
    listen!(
        "listen.metrics",
        listen.metrics,
        "Prometheus metrics at /metrics, and /healthz and /readyz."
    ),
    list!(
        "proxy.listeners",
        proxy.listeners,
        check_listener,
        "Listeners (mqtt, mqtts, ws, wss, http, https) whose connections all begin with a PROXY protocol header, \
         version 1 or 2. They accept connections from proxy.trusted only."
    ),
    list!(
        "proxy.trusted",
        proxy.trusted,
        |item| item
            .parse::<IpPrefix>()
            .map(|_| ())
            .map_err(|error| error.to_string()),
        "Addresses and networks of the proxies."
    ),
    path!(
        "tls.cert_file",
        tls.cert_file,
        "Certificate chain, PEM. Empty: the certificate that the first start makes in data_dir."
    ),
    path!(
        "tls.key_file",
        tls.key_file,
        "Private key of the certificate, PEM."
    ),
    path!(
        "tls.client_ca_file",
        tls.client_ca_file,
        "Certificates that may sign client certificates, PEM."
    ),
    choice!(
        "tls.client_cert",
        tls.client_cert,
        ["off" => ClientCert::Off, "accept" => ClientCert::Accept, "require" => ClientCert::Require],
        "Whether clients of mqtts and wss show a certificate signed by tls.client_ca_file."
    ),
    choice!(
        "tls.version_min",
        tls.version_min,
        ["1.2" => TlsVersion::Tls12, "1.3" => TlsVersion::Tls13],
        "Oldest TLS version."
    ),
    number!(
        "tls.reload_secs",
        tls.reload_secs,
        "seconds",
        0,
        86_400,
        "How often the files are looked at for a change; 0: only on SIGHUP. Connected clients stay."
    ),
    list!(
        "websocket.origins",
        websocket.origins,
        check_origin,
        "Origins that browsers may connect from, such as https://app.example.com. Empty: every origin. \
         Clients that send no Origin header are always let in."
    ),
    number!(
        "connections.total_max",
        connections.total_max,
        "connections",
        1,
        10_000_000,
        "Connections at once, over all listeners. One more is closed at once. An idle client with its session takes \
         about 2 KB, 4 KB over WebSocket, and 8 KB more with TLS."
    ),
    number!(
        "connections.per_source_max",
        connections.per_source_max,
        "connections",
        0,
        10_000_000,
        "Connections at once from one IPv4 address or one IPv6 /64; 0: no limit. Loopback is not counted."
    ),
    number!(
        "connections.connect_bytes_max",
        connections.connect_bytes_max,
        "bytes",
        1_024,
        16 * MIB,
        "Largest CONNECT packet, and largest WebSocket frame before it."
    ),
    number!(
        "connections.opening_bytes_max",
        connections.opening_bytes_max,
        "bytes",
        MIB,
        64 * GIB,
        "What all clients that are not yet let in may have sent. One that goes beyond is closed."
    ),
    number!(
        "connections.handshake_secs",
        connections.handshake_secs,
        "seconds",
        1,
        300,
        "Time for the PROXY header and the TLS handshake."
    ),
    number!(
        "connections.upgrade_secs",
        connections.upgrade_secs,
        "seconds",
        1,
        300,
        "Time for the header of an HTTP request, and so for a WebSocket upgrade."
    ),
    number!(
        "connections.connect_secs",
        connections.connect_secs,
        "seconds",
        1,
        300,
        "Time from the open transport to a whole CONNECT packet."
    ),
    number!(
        "connections.stalled_secs",
        connections.stalled_secs,
        "seconds",
        1,
        86_400,
        "A client that takes nothing for so long while output waits for it is closed."
    ),
    number!(
        "connections.backlog",
        connections.backlog,
        "connections",
        1,
        65_535,
        "Connections that the system holds until the broker accepts them."
    ),
    choice!(
        "identity.hosts",
        identity.hosts,
        ["public" => Reach::Public, "private" => Reach::Private, "development" => Reach::Development],
        "Hosts that identity providers may have: HTTPS with public addresses; private: with any address; development: \
         also HTTP on loopback."
    ),
    number!(
        "identity.clock_skew_secs",
        identity.clock_skew_secs,
        "seconds",
        0,
        300,
        "How far the clock of an identity provider may be from ours."
    ),
    number!(
        "identity.keys_fresh_secs",
        identity.keys_fresh_secs,
        "seconds",
        0,
        86_400,
        "Time for which fetched keys of an identity provider are used without asking again."
    ),
    number!(
        "identity.keys_age_secs_max",
        identity.keys_age_secs_max,
        "seconds",
        1,
        604_800,
        "Time after which fetched keys are not used any more, if the identity provider cannot be asked. Logins are \
         then refused for the time being."
    ),
    number!(
        "identity.keys_refetch_secs_min",
        identity.keys_refetch_secs_min,
        "seconds",
        0,
        3_600,
        "Time between two fetches of the same keys, however many tokens name a key that is not there."
    ),
    number!(
        "identity.fetch_millis_max",
        identity.fetch_millis_max,
        "milliseconds",
        100,
        60_000,
        "Time for one whole answer of an identity provider."
    ),
];

/// The HTTP API, what is told and kept, and the end of the process.
static RUNNING: &[Key] = &[
    choice!(
        "http.sign_up",
        http.sign_up,
        ["operator" => SignUp::Operator, "open" => SignUp::Open],
        "Who may make organizations at POST /v2/signup: whoever has the administration token, or everybody."
    ),
    number!(
        "api.calls_per_sec",
        api.calls_per_sec,
        "calls per second",
        0,
        0xFFFF_FFFF,
        "HTTP API calls with all keys of one organization together; beyond it the answer is 429; 0: no limit."
    ),
    number!(
        "api.key_calls_per_sec",
        api.key_calls_per_sec,
        "calls per second",
        0,
        0xFFFF_FFFF,
        "HTTP API calls with one key; beyond it the answer is 429; 0: no limit."
    ),
    number!(
        "api.key_publishes_per_sec",
        api.key_publishes_per_sec,
        "messages per second",
        0,
        0xFFFF_FFFF,
        "Messages that one key or token publishes over HTTP; beyond it the answer is 429; 0: no limit."
    ),
    number!(
        "api.key_publish_burst",
        api.key_publish_burst,
        "messages",
        0,
        0xFFFF_FFFF,
        "Messages that one key or token may publish over HTTP in one go after a pause; 0: none at all."
    ),
    Key {
        name: "log.level",
        doc: "What is logged: a level, or targets with levels such as info,cloudsignal_server::net=debug. \
              The variable RUST_LOG, if set, wins.",
        unit: "",
        kind: Kind::Text,
        read: |config| Value::Text(config.log.level.clone()),
        write: |config, value| config.log.level = value.text(),
    },
    choice!(
        "log.format",
        log.format,
        ["text" => LogFormat::Text, "json" => LogFormat::Json],
        "Shape of a log line."
    ),
    choice!(
        "log.connections",
        log.connections,
        ["info" => ConnectionLog::Info, "debug" => ConnectionLog::Debug],
        "Level of the lines about single connections; debug is for brokers with many."
    ),
    number!(
        "metrics.orgs_max",
        metrics.orgs_max,
        "organizations",
        0,
        10_000,
        "Organizations with series of their own, the busiest first. The others are summed as \"other\"."
    ),
    choice!(
        "durability.level",
        durability.level,
        ["disk" => Level::Disk, "os" => Level::Os, "memory" => Level::Memory],
        "What an acknowledgement to or for a persistent session survives: disk, the loss of power; os, the end of \
         the process; memory, nothing, and nothing is stored."
    ),
    number!(
        "shutdown.spread_millis",
        shutdown.spread_millis,
        "milliseconds",
        0,
        600_000,
        "Time over which clients are sent away, so that they do not all come back at once."
    ),
    number!(
        "shutdown.deadline_secs",
        shutdown.deadline_secs,
        "seconds",
        1,
        3_600,
        "Time after which whatever is left is cut off."
    ),
];
/// Names that `proxy.listeners` may hold.
pub const PROXY_LISTENERS: [&str; 6] = ["mqtt", "mqtts", "ws", "wss", "http", "https"];

fn check_listener(item: &str) -> Result<(), String> {
    let known = PROXY_LISTENERS.contains(&item);
    known
        .then_some(())
        .ok_or_else(|| format!("is none of {}", PROXY_LISTENERS.join(", ")))
}

fn check_origin(item: &str) -> Result<(), String> {
    let host = item
        .strip_prefix("https://")
        .or_else(|| item.strip_prefix("http://"));
    let whole = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', ' ', '*']));
    if whole && item.len() <= TEXT_BYTES_MAX {
        Ok(())
    } else {
        Err("is not an origin such as https://app.example.com, without a path".to_owned())
    }
}

#[cfg(test)]
mod tests;

//! How a client is made.

use std::sync::Arc;
use std::time::Duration;

use cloudsignal::{Builder, Client, FileStore, Reconnect};

use crate::error::ClientError;
use crate::message::QosLevel;
use crate::secret::Secret;

/// How a client behaves. What is `None` has the default that is named; together they lose nothing: the session outlives
/// a connection for a day, what is published offline waits, and a lost connection is made again.
#[derive(Clone, Debug, uniffi::Record)]
pub struct ClientOptions {
    /// `mqtts://host:port`, `wss://host:port/path`, `mqtt://host`, or `ws://host`. Where nothing else is said the ports are
    /// 8883, 443, 1883 and 80, and the path is `/mqtt`.
    pub url: String,
    /// Who the client says it is. Default: nobody.
    #[uniffi(default = None)]
    pub login: Option<Login>,
    /// Client identifier. Default: a random one, which the store keeps.
    #[uniffi(default = None)]
    pub client_id: Option<String>,
    /// Trusts brokers with a certificate that one of these has signed, and no others; PEM. Default: whom the system
    /// trusts.
    #[uniffi(default = None)]
    pub ca_pem: Option<Vec<u8>>,
    /// Whom the system trusts, certificates in DER, where the library cannot ask the system itself; those that cannot be
    /// read are left out. Of no effect beside `ca_pem`. Default: the library asks.
    #[uniffi(default = None)]
    pub system_roots_der: Option<Vec<Vec<u8>>>,
    /// The certificate by which the broker knows the client. Default: none.
    #[uniffi(default = None)]
    pub certificate: Option<ClientCertificate>,
    /// A folder that keeps identity, queue and subscriptions; it belongs to one client at a time. Default: nothing
    /// survives the process, unless a store is given besides.
    #[uniffi(default = None)]
    pub store_folder: Option<String>,
    /// Speaks this version only. Default: MQTT 5, and 3.1.1 with a broker that refuses it.
    #[uniffi(default = None)]
    pub protocol_version: Option<ProtocolVersion>,
    /// What the broker publishes when this client is gone without a goodbye. Default: nothing.
    #[uniffi(default = None)]
    pub will: Option<Will>,
    /// How long the session outlives a connection, seconds; 0 ends it with the connection. Default: 86 400.
    #[uniffi(default = None)]
    pub session_expiry_secs: Option<u32>,
    /// Something is sent at least this often, seconds; 0 switches it off. Default: 30.
    #[uniffi(default = None)]
    pub keep_alive_secs: Option<u16>,
    /// How many received QoS 1 and 2 messages may be unacknowledged at once, at least 1. Default: 256.
    #[uniffi(default = None)]
    pub receive_max: Option<u16>,
    /// How many published QoS 1 and 2 messages may be unanswered at once, at least 1; the broker may want fewer.
    /// Default: 256.
    #[uniffi(default = None)]
    pub inflight_max: Option<u16>,
    /// How many published messages may wait to be sent or answered. Default: 10 000.
    #[uniffi(default = None)]
    pub queue_messages_max: Option<u32>,
    /// How many bytes they may have together. Default: 16 MiB.
    #[uniffi(default = None)]
    pub queue_bytes_max: Option<u64>,
    /// Largest packet that is accepted, bytes. Default: 16 MiB.
    #[uniffi(default = None)]
    pub packet_bytes_max: Option<u32>,
    /// The first pause after a lost connection lasts at most this long, milliseconds. Default: 500.
    #[uniffi(default = None)]
    pub reconnect_first_ms: Option<u64>,
    /// No pause lasts longer, milliseconds. Default: 30 000.
    #[uniffi(default = None)]
    pub reconnect_max_ms: Option<u64>,
}

/// How the client logs in.
#[derive(Clone, Debug, uniffi::Enum)]
pub enum Login {
    /// By what does not change.
    Password {
        /// User name.
        username: String,
        /// Password.
        password: Arc<Secret>,
    },
    /// By tokens, which the event `TokenWanted` asks for, and which are renewed before they end.
    Tokens,
}

/// What the client logs in with, for a while.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Token {
    /// User name. Default: the token says who it is for.
    #[uniffi(default = None)]
    pub username: Option<String>,
    /// The token.
    pub password: Arc<Secret>,
    /// How long it is valid from now on, milliseconds: it is renewed before. Default: for ever, as far as anybody knows.
    #[uniffi(default = None)]
    pub lifetime_ms: Option<u64>,
}

impl From<Token> for cloudsignal::Token {
    fn from(token: Token) -> Self {
        let mut made = Self::new(token.password.to_bytes());
        if let Some(username) = token.username {
            made = made.username(username);
        }
        match token.lifetime_ms {
            Some(ms) => made.lifetime(Duration::from_millis(ms)),
            None => made,
        }
    }
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum TokenFailure {
    /// Whoever issues tokens will not issue one, however often it is asked: the client is closed.
    Refused,
    /// It could not be asked, or failed; it is asked again later.
    Failed,
}

/// A certificate and its key, both in PEM.
#[derive(Clone, Debug, uniffi::Record)]
pub struct ClientCertificate {
    /// The certificate, and those between it and the authority.
    pub chain_pem: Vec<u8>,
    /// The private key.
    pub key_pem: Arc<Secret>,
}

/// A version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ProtocolVersion {
    /// MQTT 5.
    V5,
    /// MQTT 3.1.1.
    V311,
}

/// What the broker publishes for a client that is gone without a goodbye.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Will {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// How hard to try.
    pub qos: QosLevel,
    /// Whether the broker keeps it for later subscribers.
    #[uniffi(default = false)]
    pub retain: bool,
    /// How long it waits for the client to come back, seconds. MQTT 5 only. Default: 0.
    #[uniffi(default = 0)]
    pub delay_secs: u32,
}

impl ClientOptions {
    /// What is said here, as far as no other object is needed for it. Opens the store's folder, so it blocks.
    pub(crate) fn builder(self) -> Result<Builder, ClientError> {
        let mut builder = self.limit(Client::builder(self.url.as_str()));
        if let Some(Login::Password { username, password }) = self.login {
            builder = builder.password(username, password.to_bytes());
        }
        if let Some(client_id) = self.client_id {
            builder = builder.client_id(client_id);
        }
        if let Some(roots) = self.system_roots_der {
            builder = builder.system_roots(roots);
        }
        if let Some(pem) = self.ca_pem {
            builder = builder.ca_pem(pem);
        }
        if let Some(certificate) = self.certificate {
            builder = builder.certificate_pem(certificate.chain_pem, certificate.key_pem.to_bytes());
        }
        if let Some(folder) = self.store_folder {
            let store = FileStore::open(folder).map_err(|error| ClientError::Storage {
                detail: format!("the store: {error}"),
            })?;
            builder = builder.store(store);
        }
        match self.protocol_version {
            None => {}
            Some(ProtocolVersion::V5) => builder = builder.version(cloudsignal::Version::V5),
            Some(ProtocolVersion::V311) => builder = builder.version(cloudsignal::Version::V311),
        }
        if let Some(will) = self.will {
            builder = will.tell(builder);
        }
        Ok(builder)
    }

    /// Every limit.
    fn limit(&self, mut builder: Builder) -> Builder {
        if let Some(secs) = self.session_expiry_secs {
            builder = builder.session_expiry(Duration::from_secs(secs.into()));
        }
        if let Some(secs) = self.keep_alive_secs {
            builder = builder.keep_alive(Duration::from_secs(secs.into()));
        }
        if let Some(messages) = self.receive_max {
            builder = builder.receive_max(messages);
        }
        if let Some(messages) = self.inflight_max {
            builder = builder.inflight_max(messages);
        }
        if self.queue_messages_max.is_some() || self.queue_bytes_max.is_some() {
            let default = cloudsignal_core::client::Options::default();
            let messages = self.queue_messages_max.map(|messages| messages as usize);
            let bytes = self
                .queue_bytes_max
                .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
            builder = builder.queue_max(
                messages.unwrap_or(default.queue_messages_max),
                bytes.unwrap_or(default.queue_bytes_max),
            );
        }
        if let Some(bytes) = self.packet_bytes_max {
            builder = builder.packet_bytes_max(bytes);
        }
        builder.reconnect(self.reconnect())
    }

    fn reconnect(&self) -> Reconnect {
        let mut reconnect = Reconnect::default();
        if let Some(ms) = self.reconnect_first_ms {
            reconnect.first = Duration::from_millis(ms);
        }
        if let Some(ms) = self.reconnect_max_ms {
            reconnect.most = Duration::from_millis(ms);
        }
        reconnect
    }
}

impl Will {
    fn tell(self, builder: Builder) -> Builder {
        let delay = Duration::from_secs(self.delay_secs.into());
        let builder = builder.will(self.topic, self.payload, self.qos.into(), delay);
        if self.retain {
            builder.retain_will()
        } else {
            builder
        }
    }
}

//! Where a connection comes from, as operators see it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::net::transport::Transport;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The client's address; behind a proxy that says so, the one it names.
    pub(crate) addr: SocketAddr,
    pub(crate) carrier: Carrier,
}

#[cfg(test)]
impl Origin {
    /// For connections that come from nowhere.
    pub(crate) const fn unknown() -> Self {
        Self {
            addr: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0),
            carrier: Carrier::Tcp,
        }
    }
}

/// What carries the MQTT bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Carrier {
    /// TCP without encryption.
    Tcp,
    /// TLS.
    Tls,
    /// WebSocket without encryption.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Carrier {
    pub(crate) const fn of(transport: &Transport, is_framed: bool) -> Self {
        match (transport, is_framed) {
            (Transport::Tcp(_) | Transport::Pipe(_), false) => Self::Tcp,
            (Transport::Tcp(_) | Transport::Pipe(_), true) => Self::Ws,
            (Transport::Tls(_), false) => Self::Tls,
            (Transport::Tls(_), true) => Self::Wss,
        }
    }

    /// Whether it can be read on the way.
    pub(crate) const fn is_encrypted(self) -> bool {
        match self {
            Self::Tcp | Self::Ws => false,
            Self::Tls | Self::Wss => true,
        }
    }
}

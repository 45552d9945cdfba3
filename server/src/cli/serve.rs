//! `cloudsignal serve`: the flags, as typed. The configuration file and the environment are read elsewhere.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::str::FromStr;
use std::path::PathBuf;

use clap::Args;

/// Where the broker keeps everything when nobody says otherwise, relative to the working directory.
pub const DATA_DIR_DEFAULT: &str = "data";

/// What was typed after `cloudsignal serve`. `None` leaves the question to the environment, the file, the default.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    /// Configuration file (TOML); flags win over the environment, which wins over the file
    #[arg(long, value_name = "FILE", env = "CLOUDSIGNAL_CONFIG")]
    pub config: Option<PathBuf>,

    /// Folder for certificates, accounts and everything else that is kept [default: data]
    #[arg(long, value_name = "DIR", env = "CLOUDSIGNAL_DATA_DIR")]
    pub data_dir: Option<PathBuf>,

    /// MQTT without encryption [default: 127.0.0.1:1883]
    #[arg(long, value_name = "ADDR", help_heading = LISTENERS)]
    pub listen_mqtt: Option<Listen>,

    /// MQTT over TLS [default: 0.0.0.0:8883]
    #[arg(long, value_name = "ADDR", help_heading = LISTENERS)]
    pub listen_mqtts: Option<Listen>,

    /// MQTT over WebSocket without encryption [default: off; the plain HTTP listener also answers at /mqtt]
    #[arg(long, value_name = "ADDR", help_heading = LISTENERS)]
    pub listen_ws: Option<Listen>,

    /// MQTT over WebSocket with TLS [default: 0.0.0.0:18885]
    #[arg(long, value_name = "ADDR", help_heading = LISTENERS)]
    pub listen_wss: Option<Listen>,

    /// HTTP API without encryption, and WebSocket at /mqtt [default: 127.0.0.1:18080]
    #[arg(long, value_name = "ADDR", help_heading = LISTENERS)]
    pub listen_http: Option<Listen>,

    /// HTTP API with TLS, and WebSocket at /mqtt [default: 0.0.0.0:8443]
    #[arg(long, value_name = "ADDR", help_heading = LISTENERS)]
    pub listen_https: Option<Listen>,

    /// Prometheus metrics, /healthz and /readyz [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR", help_heading = LISTENERS)]
    pub listen_metrics: Option<Listen>,

    /// Let clients without a login into this organization, on the plain loopback listener only; for test suites
    #[arg(long, value_name = "ORG")]
    pub dev_anonymous: Option<String>,

    /// Start though a damaged store has lost accounts, or everything of one kind: what is damaged is put aside
    #[arg(long)]
    pub accept_data_loss: bool,
}

/// A listener's address, or `off`.
///
/// Written as `127.0.0.1:1883`, `[::1]:1883`, `localhost:1883`, `:1883` (every IPv4 interface) or `off`.
/// Port 0 lets the system choose a free port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// The listener is closed.
    Off,
    /// The listener is open on this address.
    At(SocketAddr),
}

impl Listen {
    /// The address, or `None` for `off`.
    #[must_use]
    pub const fn addr(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(addr) => Some(addr),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(addr) => addr.fmt(f),
        }
    }
}

/// Why a text names no listener.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write it as 127.0.0.1:1883, [::1]:1883, localhost:1883, :1883 (every interface) or off")]
pub struct ListenError;

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        if text == "off" {
            return Ok(Self::Off);
        }
        if let Ok(addr) = text.parse() {
            return Ok(Self::At(addr));
        }
        let (host, port) = text.split_once(':').ok_or(ListenError)?;
        let ip = match host {
            "" => Ipv4Addr::UNSPECIFIED,
            "localhost" => Ipv4Addr::LOCALHOST,
            _ => return Err(ListenError),
        };
        let port = port.parse().map_err(|_| ListenError)?;
        Ok(Self::At(SocketAddr::new(IpAddr::V4(ip), port)))
    }
}

const LISTENERS: &str = "Listeners (ADDR is IP:PORT, or `off`)";

const EXAMPLES: &str = "\
Examples:
  cloudsignal serve
        first start: makes ./data with a certificate, an organization, a user and a key, and prints them once
  cloudsignal serve --config cloudsignal.toml
  cloudsignal serve --data-dir ./data --listen-mqtt off --listen-http off
        encrypted listeners only
  cloudsignal serve --listen-mqtt 127.0.0.1:1883 --dev-anonymous org_k7xm4pqr2n5t
        for conformance suites, whose clients have no login";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_an_address_or_off() {
        let at = |text: &str| Listen::At(text.parse().unwrap());
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert_eq!("127.0.0.1:1883".parse(), Ok(at("127.0.0.1:1883")));
        assert_eq!("[::1]:0".parse(), Ok(at("[::1]:0")));
        assert_eq!("localhost:8883".parse(), Ok(at("127.0.0.1:8883")));
        assert_eq!(":8883".parse(), Ok(at("0.0.0.0:8883")));
        for wrong in [
            "",
            "on",
            "1883",
            "example.com:1883",
            "127.0.0.1",
            "localhost:70000",
            "::1",
        ] {
            let read: Result<Listen, _> = wrong.parse();
            assert!(read.is_err(), "{wrong:?} was read as {read:?}");
        }
    }

    #[test]
    fn a_listener_prints_as_it_is_written() {
        for text in ["off", "127.0.0.1:1883", "[::1]:8883"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
    }
}

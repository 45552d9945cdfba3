//! Where a broker is: `mqtts://host:8883`.

use core::fmt;
use core::str::FromStr;

/// How bytes travel to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// TCP.
    Mqtt,
    /// TLS.
    Mqtts,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Scheme {
    /// The names people write, ours first.
    const NAMES: [(&'static str, Self); 7] = [
        ("mqtt", Self::Mqtt),
        ("mqtts", Self::Mqtts),
        ("ws", Self::Ws),
        ("wss", Self::Wss),
        ("tcp", Self::Mqtt),
        ("ssl", Self::Mqtts),
        ("tls", Self::Mqtts),
    ];

    fn parse(name: &str) -> Option<Self> {
        let found = Self::NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, scheme)| *scheme)
    }

    /// The port registered for it.
    const fn port(self) -> u16 {
        match self {
            Self::Mqtt => 1883,
            Self::Mqtts => 8883,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    /// Whether MQTT travels inside WebSocket frames.
    #[must_use]
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// A broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    /// How to get there.
    pub scheme: Scheme,
    /// Name or address, without the brackets of IPv6.
    pub host: String,
    /// Port; the scheme's own when none was written.
    pub port: u16,
    /// Path of a WebSocket, beginning with `/`.
    pub path: String,
}

/// Why a text is no broker's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerUrlError {
    /// The scheme is missing or unknown.
    #[error("begin with mqtt://, mqtts://, ws:// or wss://")]
    Scheme,
    /// A login stands in the address, where a list of processes shows it.
    #[error("give the login with -u and --password-file, not in the address")]
    Login,
    /// The host is missing.
    #[error("the host is missing: write mqtts://host:8883")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// A path without a WebSocket.
    #[error("only ws:// and wss:// have a path")]
    Path,
}

impl FromStr for BrokerUrl {
    type Err = BrokerUrlError;

    fn from_str(text: &str) -> Result<Self, BrokerUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(BrokerUrlError::Scheme)?;
        let scheme = Scheme::parse(scheme).ok_or(BrokerUrlError::Scheme)?;
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, format!("/{path}")),
            None => (rest, "/".to_owned()),
        };
        if authority.contains('@') {
            return Err(BrokerUrlError::Login);
        }
        if path != "/" && !scheme.is_websocket() {
            return Err(BrokerUrlError::Path);
        }
        let (host, port) = split_port(authority)?;
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(BrokerUrlError::Host);
        }
        let port = match port {
            Some(port) => parse_port(port)?,
            None => scheme.port(),
        };
        let host = host.to_owned();
        Ok(Self {
            scheme,
            host,
            port,
            path,
        })
    }
}

/// `host:port`, `host`, `[::1]:port` or `[::1]`.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), BrokerUrlError> {
    let Some(bracketed) = authority.strip_prefix('[') else {
        return Ok(match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        });
    };
    let (host, rest) = bracketed.split_once(']').ok_or(BrokerUrlError::Host)?;
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(BrokerUrlError::Port),
    }
}

fn parse_port(port: &str) -> Result<u16, BrokerUrlError> {
    port.parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or(BrokerUrlError::Port)
}

impl BrokerUrl {
    /// `host:port`, with the brackets of IPv6.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = &Scheme::NAMES;
        let name = names
            .iter()
            .find(|(_, scheme)| *scheme == self.scheme)
            .map_or("mqtt", |(name, _)| name);
        let path = if self.scheme.is_websocket() {
            self.path.as_str()
        } else {
            ""
        };
        write!(out, "{name}://{}{path}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, BrokerUrlError> {
        text.parse().map(|url: BrokerUrl| url.to_string())
    }

    #[test]
    fn an_address_has_the_port_of_its_scheme() {
        assert_eq!(read("mqtt://localhost"), Ok("mqtt://localhost:1883".to_owned()));
        assert_eq!(
            read("mqtts://b.example/"),
            Ok("mqtts://b.example:8883".to_owned())
        );
        assert_eq!(read("SSL://b.example:1"), Ok("mqtts://b.example:1".to_owned()));
        assert_eq!(read("ws://b.example"), Ok("ws://b.example:80/".to_owned()));
        assert_eq!(
            read("wss://b.example:18885/mqtt?x=1"),
            Ok("wss://b.example:18885/mqtt?x=1".to_owned())
        );
        assert_eq!(read("mqtt://[::1]:1884"), Ok("mqtt://[::1]:1884".to_owned()));
        assert_eq!(read("mqtt://[::1]"), Ok("mqtt://[::1]:1883".to_owned()));
    }

    #[test]
    fn a_wrong_address_says_what_to_change() {
        assert_eq!(read("localhost:1883"), Err(BrokerUrlError::Scheme));
        assert_eq!(read("http://localhost"), Err(BrokerUrlError::Scheme));
        assert_eq!(read("mqtt://me:secret@host"), Err(BrokerUrlError::Login));
        assert_eq!(read("mqtt://"), Err(BrokerUrlError::Host));
        assert_eq!(read("mqtt://:1883"), Err(BrokerUrlError::Host));
        assert_eq!(read("mqtt://[::1"), Err(BrokerUrlError::Host));
        assert_eq!(read("mqtt://host:0"), Err(BrokerUrlError::Port));
        assert_eq!(read("mqtt://host:99999"), Err(BrokerUrlError::Port));
        assert_eq!(read("mqtt://host/path"), Err(BrokerUrlError::Path));
    }
}

//! Where a server is: the URL that an application gives, and the words by which a server sends a client elsewhere.

use hyper::http::Uri;
use hyper::http::uri::Authority;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// MQTT over TCP.
    Mqtt,
    /// MQTT over TLS.
    Mqtts,
    /// MQTT over WebSocket.
    Ws,
    /// MQTT over WebSocket over TLS.
    Wss,
}

impl Scheme {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "mqtt" => Some(Self::Mqtt),
            "mqtts" => Some(Self::Mqtts),
            "ws" => Some(Self::Ws),
            "wss" => Some(Self::Wss),
            _ => None,
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Mqtt => 1_883,
            Self::Mqtts => 8_883,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    pub(crate) const fn has_tls(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) scheme: Scheme,
    /// A name, or an address without brackets.
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    /// Where the WebSocket is.
    pub(crate) path: Box<str>,
}

/// Why a text is not the URL of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is no URL at all, or names no host.
    #[error("the server's URL is not of the form mqtts://host:port")]
    Malformed,
    /// Its scheme is none of the four.
    #[error("the server's URL begins with none of mqtts://, wss://, mqtt:// and ws://")]
    Scheme,
    /// It holds a user name or a password, which would end up in logs.
    #[error("the server's URL holds a login: give it by `password` or `token_provider`")]
    Login,
}

/// Where WebSockets are when a URL does not say.
const DEFAULT_PATH: &str = "/mqtt";

impl Endpoint {
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        let uri: Uri = url.parse().map_err(|_| UrlError::Malformed)?;
        let scheme = uri.scheme_str().ok_or(UrlError::Malformed)?;
        let scheme = Scheme::parse(scheme).ok_or(UrlError::Scheme)?;
        let authority = uri.authority().ok_or(UrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::Login);
        }
        let path = uri.path_and_query().map_or("/", |it| it.as_str());
        let path = if path == "/" { DEFAULT_PATH } else { path };
        Self::at(scheme, authority, path).ok_or(UrlError::Malformed)
    }

    fn at(scheme: Scheme, authority: &Authority, path: &str) -> Option<Self> {
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .map_or(host, |inner| inner.trim_end_matches(']'));
        if host.is_empty() {
            return None;
        }
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str() == authority.host() => scheme.default_port(),
            None => return None, // What stands after the colon is no port.
        };
        Some(Self {
            scheme,
            host: host.into(),
            port,
            path: path.into(),
        })
    }

    /// Where a server sends the client: the first of a list of references that can be used, which are whole URLs, or
    /// hosts with or without a port [MQTT 5, section 4.11].
    pub(crate) fn referred(&self, references: &str) -> Option<Self> {
        references.split(' ').find_map(|reference| {
            if reference.contains("://") {
                let other = Self::parse(reference).ok()?;
                // A server does not talk a client out of TLS.
                return (other.scheme.has_tls() || !self.scheme.has_tls()).then_some(other);
            }
            let authority: Authority = reference.parse().ok()?;
            if authority.as_str().contains('@') {
                return None;
            }
            let default = self.scheme.default_port();
            let mut other = Self::at(self.scheme, &authority, &self.path)?;
            if authority.port().is_none() && self.port != default {
                other.port = self.port;
            }
            Some(other)
        })
    }

    /// Host and port, for `Host:` and for resolvers.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> (Scheme, String, String) {
        let endpoint = Endpoint::parse(url).unwrap();
        (endpoint.scheme, endpoint.authority(), endpoint.path.into())
    }

    #[test]
    fn a_url_says_where_and_the_scheme_says_the_rest() {
        for (url, scheme, authority, path) in [
            ("mqtt://a", Scheme::Mqtt, "a:1883", "/mqtt"),
            ("mqtts://a.example", Scheme::Mqtts, "a.example:8883", "/mqtt"),
            ("mqtts://a:18883/", Scheme::Mqtts, "a:18883", "/mqtt"),
            ("ws://a", Scheme::Ws, "a:80", "/mqtt"),
            ("wss://a/b/c?d=e", Scheme::Wss, "a:443", "/b/c?d=e"),
            ("wss://[::1]:18885", Scheme::Wss, "[::1]:18885", "/mqtt"),
        ] {
            assert_eq!(
                parsed(url),
                (scheme, authority.to_owned(), path.to_owned()),
                "{url}"
            );
        }
        assert_eq!(&*Endpoint::parse("mqtt://[::1]").unwrap().host, "::1");
    }

    #[test]
    fn what_is_no_url_of_a_server_is_refused() {
        for (url, error) in [
            ("", UrlError::Malformed),
            ("a.example", UrlError::Malformed),
            ("a.example:1883", UrlError::Malformed),
            ("mqtt://a:99999", UrlError::Malformed),
            ("http://a", UrlError::Scheme),
            ("tcp://a:1883", UrlError::Scheme),
            ("mqtt://me:secret@a", UrlError::Login),
        ] {
            assert_eq!(Endpoint::parse(url), Err(error), "{url}");
        }
    }

    #[test]
    fn a_server_sends_a_client_to_the_first_place_that_can_be_reached() {
        let here = Endpoint::parse("mqtts://a:18883").unwrap();
        let there = |words: &str| here.referred(words).map(|there| there.authority());
        assert_eq!(there("b"), Some("b:18883".into()));
        assert_eq!(there("b:1"), Some("b:1".into()));
        assert_eq!(there("mqtt://b mqtts://c:2"), Some("c:2".into()));
        assert_eq!(there("[::2]:3"), Some("[::2]:3".into()));
        assert_eq!(there("me@b"), None);
        assert_eq!(there(""), None);
    }
}

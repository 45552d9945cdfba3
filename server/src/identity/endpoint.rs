//! Where a provider's documents are, and whether we ask there.
//!
//! Members of an organization write these URLs, and the server asks them from inside its own network. So
//! there is a rule for hosts, applied to the addresses that a name resolves to, at each fetch.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::Uri;
use serde::{Deserialize, Serialize};

use super::limits::SETTING_BYTES_MAX;

/// Which hosts providers' documents may be fetched from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// HTTPS, public addresses only.
    #[default]
    Public,
    /// HTTPS, any address: for providers inside the operator's own network.
    Private,
    /// As `Private`, and plain HTTP on loopback: for tests and development.
    Development,
}

/// Whether bytes are encrypted on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// A URL of a document: `https://host/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub(super) scheme: Scheme,
    /// Without the brackets of IPv6.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

impl Endpoint {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn parse(text: &str, reach: Reach) -> Result<Self, &'static str> {
        if text.len() > SETTING_BYTES_MAX {
            return Err("is too long");
        }
        // The library drops what follows `#`.
        if text.contains('#') {
            return Err("must have no fragment");
        }
        let uri: Uri = text.parse().map_err(|_| "is no URL")?;
        let scheme = match uri.scheme_str() {
            Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            Some(_) | None => return Err("must begin with https://"),
        };
        let authority = uri.authority().ok_or("has no host")?;
        if authority.as_str().contains('@') {
            return Err("must hold no login");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err("has no host");
        }
        let port = match (authority.port_u16(), scheme) {
            (Some(port), _) => port,
            // Something is written there, but it is no port.
            (None, _) if authority.as_str() != authority.host() => return Err("has no usable port"),
            (None, Scheme::Https) => 443,
            (None, Scheme::Http) => 80,
        };
        let endpoint = Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port,
            path: uri.path_and_query().map_or("/", |path| path.as_str()).into(),
        };
        endpoint.check_scheme(reach)?;
        // A host written as an address can be judged now; a name is judged by what it resolves to.
        if let Ok(ip) = endpoint.host.parse::<IpAddr>()
            && !reach.allows(ip)
        {
            return Err("is not a public host, and this server asks no others");
        }
        Ok(endpoint)
    }

    fn check_scheme(&self, reach: Reach) -> Result<(), &'static str> {
        let is_loopback = self.host == "localhost"
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.to_canonical().is_loopback());
        match (self.scheme, reach) {
            (Scheme::Https, _) => Ok(()),
            (Scheme::Http, Reach::Development) if is_loopback => Ok(()),
            (Scheme::Http, Reach::Development | Reach::Private | Reach::Public) => {
                Err("must begin with https://")
            }
        }
    }

    /// What the `Host` header says.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match (self.scheme, self.port) {
            (Scheme::Https, 443) | (Scheme::Http, 80) => host,
            (Scheme::Https | Scheme::Http, port) => format!("{host}:{port}"),
        }
    }
}

impl Reach {
    /// Whether an address may be asked.
    #[must_use]
    pub fn allows(self, ip: IpAddr) -> bool {
        match self {
            Self::Public => match ip.to_canonical() {
                IpAddr::V4(ip) => is_public_v4(ip),
                IpAddr::V6(ip) => is_public_v6(ip),
            },
            Self::Private | Self::Development => true,
        }
    }
}

/// The special-purpose registries of IANA, without what is reachable for everybody.
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = ip.is_unspecified()
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b)) // shared by carriers
        || (a == 192 && b == 0 && c == 0) // protocol assignments
        || (a == 198 && (18..20).contains(&b)) // benchmarks
        || a >= 240; // reserved, broadcast
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, ..] = ip.segments();
    // Global unicast is 2000::/3; of it, not documentation, benchmarks, Teredo and other tunnels.
    let is_tunnel = a == 0x2002 || (a == 0x2001 && b < 0x0200);
    let is_documentation = (a == 0x2001 && b == 0x0db8) || (a == 0x3fff && b < 0x1000);
    let is_nat64 = a == 0x0064 && b == 0xff9b && c == 0;
    (a & 0xe000) == 0x2000 && !is_tunnel && !is_documentation && !is_nat64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_into_its_parts() {
        let url = Endpoint::parse("https://Login.Example.com/a/b?c=d", Reach::Public).unwrap();
        assert_eq!(url.host, "login.example.com");
        assert_eq!((url.port, url.path.as_str()), (443, "/a/b?c=d"));
        assert_eq!(url.authority(), "login.example.com");
        let url = Endpoint::parse("https://[2606:4700::1]:8443", Reach::Public).unwrap();
        assert_eq!((url.host.as_str(), url.port), ("2606:4700::1", 8443));
        assert_eq!(url.authority(), "[2606:4700::1]:8443");
        assert_eq!(url.path, "/");
    }

    #[test]
    fn what_is_no_https_url_of_a_host_is_refused() {
        for text in [
            "",
            "example.com",
            "/path",
            "http://example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://",
            "https://me:secret@example.com/",
            "https://example.com/#x",
            "https://exa mple.com/",
            "https://example.com:99999/",
        ] {
            assert!(Endpoint::parse(text, Reach::Private).is_err(), "{text}");
        }
        let long = format!("https://example.com/{}", "a".repeat(SETTING_BYTES_MAX));
        assert!(Endpoint::parse(&long, Reach::Public).is_err());
    }

    #[test]
    fn plain_http_is_for_loopback_in_development() {
        for text in ["http://127.0.0.1:1/", "http://localhost:1/", "http://[::1]:1/"] {
            assert!(Endpoint::parse(text, Reach::Development).is_ok(), "{text}");
            assert!(Endpoint::parse(text, Reach::Private).is_err(), "{text}");
        }
        assert!(Endpoint::parse("http://10.0.0.1/", Reach::Development).is_err());
    }

    #[test]
    fn hosts_inside_are_not_asked() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "2001:db8::1",
            "2002:a00:1::",
            "64:ff9b::a00:1",
        ] {
            let ip: IpAddr = text.parse().unwrap();
            assert!(!Reach::Public.allows(ip), "{text}");
            assert!(Reach::Private.allows(ip), "{text}");
        }
        for text in ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450::1"] {
            assert!(Reach::Public.allows(text.parse().unwrap()), "{text}");
        }
        assert!(Endpoint::parse("https://169.254.169.254/latest", Reach::Public).is_err());
        assert!(Endpoint::parse("https://192.168.0.1/", Reach::Private).is_ok());
    }
}

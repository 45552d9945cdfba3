//! From text to a checked value.
//!
//! The file, the environment and flags all arrive as [`Raw`]; a key's [`Kind`] says what is accepted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use crate::cli::serve::Listen;

/// Characters of a text that is not a path.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// Entries of a list.
pub const LIST_ITEMS_MAX: usize = 1_000;

/// What a layer said, before anybody checked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    /// A TOML integer.
    Integer(i64),
    /// A TOML string, an environment variable or a flag: numbers and lists are read from it as well.
    Text(String),
    /// A TOML array of strings.
    List(Vec<String>),
    /// Something that no key takes, such as a TOML date; its TOML form.
    Other(String),
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(items) => write!(f, "{items:?}"),
            Self::Other(toml) => f.write_str(toml),
        }
    }
}

/// What a key accepts.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number within bounds.
    Integer {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text; empty for "not set".
    Text,
    /// A file or folder; empty for "not set".
    Path,
    /// An address or `off`.
    Listen,
    /// Several texts: a TOML array, or separated by commas.
    List(fn(&str) -> Result<(), String>),
}

/// A value that its kind has accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// For [`Kind::Integer`].
    Integer(u64),
    /// For [`Kind::Choice`] and [`Kind::Text`].
    Text(String),
    /// For [`Kind::Path`].
    Path(Option<PathBuf>),
    /// For [`Kind::Listen`].
    Listen(Listen),
    /// For [`Kind::List`].
    List(Vec<String>),
}

/// Taking a value out again. A key reads only what its own kind has accepted.
impl Value {
    pub(super) fn integer(self) -> u64 {
        let Self::Integer(number) = self else {
            unreachable!("invariant: a number was checked, not {self:?}")
        };
        number
    }

    pub(super) fn text(self) -> String {
        let Self::Text(text) = self else {
            unreachable!("invariant: a text was checked, not {self:?}")
        };
        text
    }

    pub(super) fn path(self) -> Option<PathBuf> {
        let Self::Path(path) = self else {
            unreachable!("invariant: a path was checked, not {self:?}")
        };
        path
    }

    pub(super) fn listen(self) -> Listen {
        let Self::Listen(listen) = self else {
            unreachable!("invariant: an address was checked, not {self:?}")
        };
        listen
    }

    pub(super) fn list(self) -> Vec<String> {
        let Self::List(items) = self else {
            unreachable!("invariant: a list was checked, not {self:?}")
        };
        items
    }
}

impl fmt::Display for Value {
    /// As TOML.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| toml::Value::String(text.to_owned());
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Text(text) => quoted(text).fmt(f),
            Self::Path(path) => quoted(&path.clone().unwrap_or_default().to_string_lossy()).fmt(f),
            Self::Listen(listen) => quoted(&listen.to_string()).fmt(f),
            Self::List(items) => toml::Value::from(items.clone()).fmt(f),
        }
    }
}

impl Kind {
    /// Checks what a layer said.
    ///
    /// # Errors
    /// What is accepted instead.
    pub fn check(self, raw: &Raw) -> Result<Value, String> {
        match self {
            Self::Integer { min, max } => integer(raw)
                .filter(|number| (min..=max).contains(number))
                .map(Value::Integer)
                .ok_or_else(|| format!("must be {self}")),
            Self::Choice(words) => match raw {
                Raw::Text(text) if words.contains(&text.as_str()) => Ok(Value::Text(text.clone())),
                Raw::Integer(_) | Raw::Text(_) | Raw::List(_) | Raw::Other(_) => {
                    Err(format!("must be {self}"))
                }
            },
            Self::Text => match raw {
                Raw::Text(text) if text.len() <= TEXT_BYTES_MAX => Ok(Value::Text(text.clone())),
                Raw::Integer(_) | Raw::Text(_) | Raw::List(_) | Raw::Other(_) => {
                    Err(format!("must be {self}"))
                }
            },
            Self::Path => match raw {
                Raw::Text(text) => Ok(Value::Path((!text.is_empty()).then(|| PathBuf::from(text)))),
                Raw::Integer(_) | Raw::List(_) | Raw::Other(_) => Err(format!("must be {self}")),
            },
            Self::Listen => match raw {
                Raw::Text(text) => text
                    .parse()
                    .map(Value::Listen)
                    .map_err(|error| format!("{error}")),
                Raw::Integer(_) | Raw::List(_) | Raw::Other(_) => Err(format!("must be {self}")),
            },
            Self::List(check_item) => list(raw, check_item),
        }
    }
}

fn integer(raw: &Raw) -> Option<u64> {
    match raw {
        Raw::Integer(number) => u64::try_from(*number).ok(),
        Raw::Text(text) => text.replace('_', "").parse().ok(),
        Raw::List(_) | Raw::Other(_) => None,
    }
}

fn list(raw: &Raw, check_item: fn(&str) -> Result<(), String>) -> Result<Value, String> {
    let items: Vec<String> = match raw {
        Raw::Text(text) => text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect(),
        Raw::List(items) => items.clone(),
        Raw::Integer(_) | Raw::Other(_) => return Err("must be a list of texts".to_owned()),
    };
    if items.len() > LIST_ITEMS_MAX {
        return Err(format!("must have at most {LIST_ITEMS_MAX} entries"));
    }
    for item in &items {
        check_item(item).map_err(|problem| format!("entry {item:?} {problem}"))?;
    }
    Ok(Value::List(items))
}

impl fmt::Display for Kind {
    /// What is accepted: `1 to 60`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Self::Text => write!(f, "a text of at most {TEXT_BYTES_MAX} bytes"),
            Self::Path => f.write_str("a path"),
            Self::Listen => f.write_str("an address with port, or off"),
            Self::List(_) => write!(f, "a list of at most {LIST_ITEMS_MAX} texts"),
        }
    }
}

/// An address or a network: `10.1.2.3`, `10.0.0.0/8`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpPrefix {
    addr: IpAddr,
    bits: u8,
}

/// Why a text is no [`IpPrefix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is neither an address such as 10.1.2.3 nor a network such as 10.0.0.0/8")]
pub struct IpPrefixError;

impl IpPrefix {
    /// Whether the network holds `addr`. An IPv4 address in IPv6 dress counts as IPv4.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        match (self.addr, addr.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(addr)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                (net.to_bits() ^ addr.to_bits()) & mask == 0
            }
            (IpAddr::V6(net), IpAddr::V6(addr)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                (net.to_bits() ^ addr.to_bits()) & mask == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whom a connection limit counts together: an IPv4 address, or the /64 of an IPv6 address.
    #[must_use]
    pub fn of_source(addr: IpAddr) -> Self {
        match addr.to_canonical() {
            IpAddr::V4(addr) => Self {
                addr: IpAddr::V4(addr),
                bits: Ipv4Addr::BITS as u8,
            },
            IpAddr::V6(addr) => {
                let network = addr.to_bits() >> 64 << 64;
                Self {
                    addr: IpAddr::V6(Ipv6Addr::from_bits(network)),
                    bits: 64,
                }
            }
        }
    }
}

impl FromStr for IpPrefix {
    type Err = IpPrefixError;

    fn from_str(text: &str) -> Result<Self, IpPrefixError> {
        let (addr, bits) = match text.split_once('/') {
            Some((addr, bits)) => (addr, Some(bits.parse::<u8>().map_err(|_| IpPrefixError)?)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| IpPrefixError)?;
        let bits_max = if addr.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(bits_max);
        if bits > bits_max {
            return Err(IpPrefixError);
        }
        Ok(Self { addr, bits })
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_from_numbers_and_texts_and_kept_within_bounds() {
        let kind = Kind::Integer { min: 2, max: 4_000 };
        assert_eq!(kind.check(&Raw::Integer(2)), Ok(Value::Integer(2)));
        assert_eq!(kind.check(&Raw::Text("4_000".into())), Ok(Value::Integer(4_000)));
        for wrong in [
            Raw::Integer(1),
            Raw::Integer(-1),
            Raw::Integer(4_001),
            Raw::Text("many".into()),
            Raw::Text(String::new()),
            Raw::Other("2.5".into()),
        ] {
            let error = kind.check(&wrong).unwrap_err();
            assert_eq!(error, "must be a whole number from 2 to 4000", "{wrong}");
        }
    }

    #[test]
    fn a_list_is_an_array_or_a_text_with_commas() {
        let kind = Kind::List(|item| (item != "bad").then_some(()).ok_or_else(|| "is bad".to_owned()));
        let wanted = Ok(Value::List(vec!["a".into(), "b".into()]));
        assert_eq!(kind.check(&Raw::List(vec!["a".into(), "b".into()])), wanted);
        assert_eq!(kind.check(&Raw::Text(" a, b ,".into())), wanted);
        assert_eq!(kind.check(&Raw::Text(String::new())), Ok(Value::List(Vec::new())));
        assert_eq!(
            kind.check(&Raw::Text("a,bad".into())),
            Err("entry \"bad\" is bad".into())
        );
        let long = vec!["a".to_owned(); LIST_ITEMS_MAX + 1];
        assert!(kind.check(&Raw::List(long)).is_err());
    }

    #[test]
    fn a_network_holds_its_addresses() {
        let holds = |net: &str, addr: &str| net.parse::<IpPrefix>().unwrap().contains(addr.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1"));
        assert!(holds("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "11.0.0.1"));
        assert!(!holds("0.0.0.0/0", "::1"));
        assert!(holds("::/0", "::1"));
        assert!(holds("192.0.2.7", "192.0.2.7"));
        assert!(!holds("192.0.2.7", "192.0.2.6"));
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "host"] {
            assert!(wrong.parse::<IpPrefix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sources_of_one_site_are_counted_together() {
        let source = |addr: &str| IpPrefix::of_source(addr.parse().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }
}

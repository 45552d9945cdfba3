//! MQTT 5 properties (section 2.2.2).
//!
//! Each packet lists in its own file which properties it may carry: its `match` over the identifiers is the
//! check. Here is what all of them share: identifiers, names and types, the rule "at most once", and the two
//! properties that may come several times.

mod explanation;
mod reader;
mod sequence;
mod subscription_ids;
mod user;
pub(super) mod writer;

pub(super) use explanation::Explanation;
pub(super) use reader::PropertyReader;
pub use sequence::{BadSequence, SEQUENCE_DIGITS, SEQUENCE_PROPERTY};
pub use subscription_ids::SubscriptionIds;
pub(super) use subscription_ids::write_one as write_subscription_id;
pub use user::UserProperties;

use super::reader::Varint;

/// Property identifiers (table 2-4). All are below 128, so one byte holds any.
pub(super) mod id {
    pub(crate) const PAYLOAD_FORMAT: u8 = 0x01;
    pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_ID: u8 = 0x0B;
    pub(crate) const SESSION_EXPIRY: u8 = 0x11;
    pub(crate) const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const AUTH_METHOD: u8 = 0x15;
    pub(crate) const AUTH_DATA: u8 = 0x16;
    pub(crate) const REQUEST_PROBLEM_INFO: u8 = 0x17;
    pub(crate) const WILL_DELAY: u8 = 0x18;
    pub(crate) const REQUEST_RESPONSE_INFO: u8 = 0x19;
    pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
    pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
    pub(crate) const REASON_STRING: u8 = 0x1F;
    pub(crate) const RECEIVE_MAX: u8 = 0x21;
    pub(crate) const TOPIC_ALIAS_MAX: u8 = 0x22;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const QOS_MAX: u8 = 0x24;
    pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(crate) const USER_PROPERTY: u8 = 0x26;
    pub(crate) const PACKET_BYTES_MAX: u8 = 0x27;
    pub(crate) const WILDCARD_AVAILABLE: u8 = 0x28;
    pub(crate) const SUBSCRIPTION_IDS_AVAILABLE: u8 = 0x29;
    pub(crate) const SHARED_AVAILABLE: u8 = 0x2A;
}

/// How the value of a property is encoded.
#[derive(Clone, Copy)]
enum Kind {
    Byte,
    TwoBytes,
    FourBytes,
    Varint,
    /// A string or binary data.
    Counted,
    /// A user property.
    Pair,
}

/// Name and type of a property (table 2-4), or `None` for an identifier that means nothing.
const fn property(id: u8) -> Option<(&'static str, Kind)> {
    Some(match id {
        id::PAYLOAD_FORMAT => ("payload format indicator", Kind::Byte),
        id::MESSAGE_EXPIRY => ("message expiry interval", Kind::FourBytes),
        id::CONTENT_TYPE => ("content type", Kind::Counted),
        id::RESPONSE_TOPIC => ("response topic", Kind::Counted),
        id::CORRELATION_DATA => ("correlation data", Kind::Counted),
        id::SUBSCRIPTION_ID => ("subscription identifier", Kind::Varint),
        id::SESSION_EXPIRY => ("session expiry interval", Kind::FourBytes),
        id::ASSIGNED_CLIENT_ID => ("assigned client identifier", Kind::Counted),
        id::SERVER_KEEP_ALIVE => ("server keep alive", Kind::TwoBytes),
        id::AUTH_METHOD => ("authentication method", Kind::Counted),
        id::AUTH_DATA => ("authentication data", Kind::Counted),
        id::REQUEST_PROBLEM_INFO => ("request problem information", Kind::Byte),
        id::WILL_DELAY => ("will delay interval", Kind::FourBytes),
        id::REQUEST_RESPONSE_INFO => ("request response information", Kind::Byte),
        id::RESPONSE_INFORMATION => ("response information", Kind::Counted),
        id::SERVER_REFERENCE => ("server reference", Kind::Counted),
        id::REASON_STRING => ("reason string", Kind::Counted),
        id::RECEIVE_MAX => ("receive maximum", Kind::TwoBytes),
        id::TOPIC_ALIAS_MAX => ("topic alias maximum", Kind::TwoBytes),
        id::TOPIC_ALIAS => ("topic alias", Kind::TwoBytes),
        id::QOS_MAX => ("maximum QoS", Kind::Byte),
        id::RETAIN_AVAILABLE => ("retain available", Kind::Byte),
        id::USER_PROPERTY => ("user property", Kind::Pair),
        id::PACKET_BYTES_MAX => ("maximum packet size", Kind::FourBytes),
        id::WILDCARD_AVAILABLE => ("wildcard subscription available", Kind::Byte),
        id::SUBSCRIPTION_IDS_AVAILABLE => ("subscription identifiers available", Kind::Byte),
        id::SHARED_AVAILABLE => ("shared subscription available", Kind::Byte),
        _ => return None,
    })
}

/// The name of a property, for people.
pub(super) const fn property_name(id: u8) -> &'static str {
    match property(id) {
        Some((name, _)) => name,
        None => "unknown property",
    }
}

/// Walks over encoded properties as `(identifier, encoded value)`; ends early where they are not valid.
#[derive(Clone)]
struct Encoded<'a>(&'a [u8]);

impl<'a> Iterator for Encoded<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&id, rest) = self.0.split_first()?;
        let (value, rest) = rest.split_at_checked(value_len(id, rest)?)?;
        self.0 = rest;
        Some((id, value))
    }
}

/// How many bytes the value at the front of `bytes` takes.
fn value_len(id: u8, bytes: &[u8]) -> Option<usize> {
    let (_, kind) = property(id)?;
    Some(match kind {
        Kind::Byte => 1,
        Kind::TwoBytes => 2,
        Kind::FourBytes => 4,
        Kind::Varint => match Varint::read(bytes) {
            Varint::Value { bytes, .. } => bytes,
            Varint::Short | Varint::TooLong => return None,
        },
        Kind::Counted => counted(bytes)?.0.len() + 2,
        Kind::Pair => {
            let (name, rest) = counted(bytes)?;
            let (value, _) = counted(rest)?;
            name.len() + value.len() + 4
        }
    })
}

/// Splits a field with a two-byte length from what follows it.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {

    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;

    /// The shortest value of each kind, but with a varint of two bytes.
    fn sample(kind: Kind) -> &'static [u8] {
        match kind {
            Kind::Byte => &[1],
            Kind::TwoBytes => &[0, 1],
            Kind::FourBytes => &[0, 0, 0, 1],
            Kind::Varint => &[0x80, 1],
            Kind::Counted => &[0, 2, b'a', b'b'],
            Kind::Pair => &[0, 1, b'k', 0, 1, b'v'],
        }
    }

    #[test]
    fn every_property_can_be_stepped_over() {
        let table: Vec<_> = (0..=255).filter_map(|id| Some((id, property(id)?))).collect();
        assert_eq!(table.len(), 27, "table 2-4 has 27 rows");
        let names: BTreeSet<_> = table.iter().map(|(id, _)| property_name(*id)).collect();
        assert_eq!(names.len(), 27);
        assert_eq!(property_name(0x7F), "unknown property");
        let mut wire = Vec::new();
        for (id, (_, kind)) in &table {
            wire.push(*id);
            wire.extend_from_slice(sample(*kind));
        }
        let expected = table.iter().map(|(id, (_, kind))| (*id, sample(*kind)));
        assert!(Encoded(&wire).eq(expected));
    }

    #[test]
    fn stepping_ends_where_nothing_valid_follows() {
        for broken in [
            &[0x7F, 0][..],
            &[0x02, 0, 0],
            &[0x03, 0, 2, b'a'],
            &[0x0B, 0x80],
            &[0x26, 0, 0, 0],
        ] {
            assert_eq!(Encoded(broken).next(), None, "{broken:?}");
        }
    }
}

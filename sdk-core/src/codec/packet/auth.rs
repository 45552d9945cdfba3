//! AUTH: a step of an authentication exchange, MQTT 5 only (section 3.15).

use alloc::vec::Vec;
use core::fmt;

use super::PacketType;
use crate::Version;
use crate::codec::property::{PropertyReader, id, writer as property};
use crate::codec::reader::Reader;
use crate::codec::writer::{self, Fields, Properties, Sink};
use crate::codec::{DecodeError, EncodeError, ProtocolFault, ReasonCode, UserProperties};

/// AUTH.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, continue, or begin again.
    pub reason: ReasonCode,
    /// The method of the exchange. Absent only when nothing else is there either.
    pub method: Option<&'a str>,
    /// Data of that method.
    pub data: Option<&'a [u8]>,
    /// For the reader of a log.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Auth<'a> {
    /// A step of the exchange named `method`.
    #[must_use]
    pub fn new(reason: ReasonCode, method: &'a str) -> Self {
        Self {
            reason,
            method: Some(method),
            ..Self::default()
        }
    }

    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// Why it cannot be expressed (always before MQTT 5); `out` is then as it was.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::packet(PacketType::Auth.first_byte(), self, version, out)
    }

    pub(in crate::codec) fn decode(packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut auth = Self::default();
        if packet.is_empty() {
            return Ok(auth); // Success without properties (section 3.15.2.1).
        }
        let offset = packet.offset();
        auth.reason = packet.reason()?;
        let mut properties = PropertyReader::open(packet)?;
        while let Some(id) = properties.next_id()? {
            match id {
                id::AUTH_METHOD => auth.method = Some(properties.text()?),
                id::AUTH_DATA => auth.data = Some(properties.binary()?),
                id::REASON_STRING => auth.reason_string = Some(properties.text()?),
                id::USER_PROPERTY => properties.user_property()?,
                _ => return Err(properties.refuse()),
            }
        }
        auth.user_properties = properties.user_properties();
        if auth.lacks_method() {
            return Err(packet.protocol_at(offset, ProtocolFault::NoAuthMethod));
        }
        Ok(auth)
    }

    /// The method must be named (section 3.15.2.2.2), except in the form without any content.
    fn lacks_method(&self) -> bool {
        self.method.is_none() && *self != Self::default()
    }
}

impl Fields for Auth<'_> {
    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        if !version.is_v5() {
            return Err(EncodeError::NotInThisVersion("AUTH"));
        }
        let (packet, reason) = (PacketType::Auth, self.reason);
        if !reason.allowed_in(packet) {
            return Err(EncodeError::ReasonNotAllowed { packet, reason });
        }
        if self.lacks_method() {
            return Err(EncodeError::BreaksRule("AUTH names its authentication method"));
        }
        if self.method.is_none() {
            return Ok(());
        }
        sink.u8(reason.byte());
        writer::property_block(sink, self)
    }
}

impl Properties for Auth<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        property::text(sink, id::AUTH_METHOD, self.method)?;
        property::binary(sink, id::AUTH_DATA, self.data)?;
        property::text(sink, id::REASON_STRING, self.reason_string)?;
        self.user_properties.write(sink);
        Ok(())
    }
}

impl fmt::Debug for Auth<'_> {
    /// Says that authentication data is there, never what it is.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Auth")
            .field("reason", &self.reason)
            .field("method", &self.method)
            .field("data", &self.data.map(|_| format_args!("***")))
            .field("reason_string", &self.reason_string)
            .field("user_properties", &self.user_properties)
            .finish()
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::codec::tests::{V3, assert_wire, decode, malformed, protocol};
    use crate::codec::{Malformed, Packet};

    #[test]
    fn steps_of_an_exchange() {
        assert_wire(Version::V5, &[0xF0, 0], &Packet::Auth(Auth::default()));
        assert_eq!(
            decode(Version::V5, &[0xF0, 2, 0, 0]),
            Ok(Packet::Auth(Auth::default()))
        );
        let again = Auth::new(ReasonCode::Reauthenticate, "m");
        assert_wire(
            Version::V5,
            &[0xF0, 6, 0x19, 4, 0x15, 0, 1, b'm'],
            &Packet::Auth(again),
        );
        let mut user = Vec::new();
        UserProperties::push(&mut user, "k", "v").unwrap();
        let full = Auth {
            data: Some(&[7]),
            reason_string: Some("s"),
            user_properties: UserProperties::from_wire(&user).unwrap(),
            ..Auth::new(ReasonCode::ContinueAuthentication, "m")
        };
        let properties: &[&[u8]] = &[
            &[0x15, 0, 1, b'm'],             // authentication method
            &[0x16, 0, 1, 7],                // authentication data
            &[0x1F, 0, 1, b's'],             // reason string
            &[0x26, 0, 1, b'k', 0, 1, b'v'], // user property
        ];
        let bytes = [&[0xF0, 21, 0x18, 19], &properties.concat()[..]].concat();
        assert_wire(Version::V5, &bytes, &Packet::Auth(full));
    }

    #[test]
    fn it_does_not_exist_before_mqtt_5() {
        for version in V3 {
            assert_eq!(
                decode(version, &[0xF0, 0]),
                Err(DecodeError::UnknownPacketType { bits: 15 })
            );
            let mut out = std::vec![1];
            let refused = Auth::default().encode(version, &mut out);
            assert_eq!(refused, Err(EncodeError::NotInThisVersion("AUTH")));
            assert_eq!(out, [1]);
        }
    }

    #[test]
    fn the_method_is_named() {
        let refused = (2, ProtocolFault::NoAuthMethod);
        assert_eq!(protocol(Version::V5, &[0xF0, 2, 0x18, 0]), refused);
        assert_eq!(protocol(Version::V5, &[0xF0, 5, 0, 3, 0x16, 0, 0]), refused);
        let nameless = Auth {
            reason: ReasonCode::Reauthenticate,
            ..Auth::default()
        };
        assert!(matches!(
            nameless.encode(Version::V5, &mut Vec::new()),
            Err(EncodeError::BreaksRule(_))
        ));
    }

    #[test]
    fn every_field_is_checked() {
        // [MQTT-3.15.2-1]
        assert_eq!(
            malformed(Version::V5, &[0xF0, 2, 0x87, 0]),
            (2, Malformed::ReasonCode { byte: 0x87 })
        );
        assert_eq!(
            malformed(Version::V5, &[0xF0, 1, 0x18]),
            (3, Malformed::Truncated)
        );
        let foreign = [0xF0, 5, 0x18, 3, 0x1C, 0, 0];
        assert_eq!(
            malformed(Version::V5, &foreign),
            (4, Malformed::PropertyNotAllowed { id: 0x1C })
        );
        let reason = ReasonCode::NotAuthorized;
        let refused = Auth::new(reason, "m").encode(Version::V5, &mut Vec::new());
        assert_eq!(
            refused,
            Err(EncodeError::ReasonNotAllowed {
                packet: PacketType::Auth,
                reason
            })
        );
    }

    #[test]
    fn secrets_are_not_printed() {
        let auth = Auth {
            data: Some(b"hunter2"),
            ..Auth::new(ReasonCode::Reauthenticate, "m")
        };
        let text = std::format!("{auth:?}");
        assert!(
            text.contains("data: Some(***)") && !text.contains("104, 117"),
            "{text}"
        );
    }
}

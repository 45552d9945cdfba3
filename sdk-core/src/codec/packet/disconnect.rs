//! DISCONNECT: the last packet of a connection (section 3.14).

use alloc::vec::Vec;

use super::PacketType;
use crate::Version;
use crate::codec::property::{PropertyReader, id, writer as property};
use crate::codec::reader::Reader;
use crate::codec::writer::{self, Count, Fields, Properties, Sink};
use crate::codec::{DecodeError, EncodeError, ReasonCode, UserProperties};

/// DISCONNECT. Before MQTT 5 it has no content, and only clients send it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why. The default is a normal disconnection.
    pub reason: ReasonCode,
    /// A new session expiry; only from a client.
    pub session_expiry_secs: Option<u32>,
    /// For the reader of a log.
    pub reason_string: Option<&'a str>,
    /// Another server to use; only from a server.
    pub server_reference: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Disconnect<'a> {
    /// A DISCONNECT with this reason and nothing else.
    #[must_use]
    pub fn new(reason: ReasonCode) -> Self {
        Self {
            reason,
            ..Self::default()
        }
    }

    /// Appends the packet to `out`. What `version` lacks is left out.
    ///
    /// # Errors
    /// Why it cannot be expressed; `out` is then as it was.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::packet(PacketType::Disconnect.first_byte(), self, version, out)
    }

    pub(in crate::codec) fn decode(version: Version, packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut disconnect = Self::default();
        if !version.is_v5() || packet.is_empty() {
            return Ok(disconnect);
        }
        disconnect.reason = packet.reason()?;
        if packet.is_empty() {
            return Ok(disconnect); // No property length means no properties (section 3.14.2.2.1).
        }
        let mut properties = PropertyReader::open(packet)?;
        while let Some(id) = properties.next_id()? {
            match id {
                id::SESSION_EXPIRY => disconnect.session_expiry_secs = Some(properties.u32()?),
                id::REASON_STRING => disconnect.reason_string = Some(properties.text()?),
                id::SERVER_REFERENCE => disconnect.server_reference = Some(properties.text()?),
                id::USER_PROPERTY => properties.user_property()?,
                _ => return Err(properties.refuse()),
            }
        }
        disconnect.user_properties = properties.user_properties();
        Ok(disconnect)
    }
}

impl Fields for Disconnect<'_> {
    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        if !version.is_v5() {
            return Ok(());
        }
        let (packet, reason) = (PacketType::Disconnect, self.reason);
        if !reason.allowed_in(packet) {
            return Err(EncodeError::ReasonNotAllowed { packet, reason });
        }
        let mut properties = Count::default();
        self.write_properties(&mut properties)?;
        if properties.0 > 0 {
            sink.u8(reason.byte());
            writer::property_block(sink, self)?;
        } else if reason != ReasonCode::Success {
            sink.u8(reason.byte());
        }
        Ok(())
    }
}

impl Properties for Disconnect<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        property::u32(sink, id::SESSION_EXPIRY, self.session_expiry_secs);
        property::text(sink, id::SERVER_REFERENCE, self.server_reference)?;
        property::text(sink, id::REASON_STRING, self.reason_string)?;
        self.user_properties.write(sink);
        Ok(())
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::codec::tests::{V3, VERSIONS, assert_wire, decode, encode, malformed, protocol};
    use crate::codec::{Malformed, Packet, ProtocolFault};

    #[test]
    fn a_normal_disconnection_is_two_bytes() {
        for version in VERSIONS {
            assert_wire(version, &[0xE0, 0], &Packet::Disconnect(Disconnect::default()));
        }
        for longer in [&[0xE0, 1, 0][..], &[0xE0, 2, 0, 0]] {
            assert_eq!(
                decode(Version::V5, longer),
                Ok(Packet::Disconnect(Disconnect::default()))
            );
        }
    }

    #[test]
    fn a_reason_stands_alone_or_before_properties() {
        let taken_over = Disconnect::new(ReasonCode::SessionTakenOver);
        assert_wire(
            Version::V5,
            &[0xE0, 1, 0x8E],
            &Packet::Disconnect(taken_over.clone()),
        );
        let mut user = Vec::new();
        UserProperties::push(&mut user, "k", "v").unwrap();
        let full = Disconnect {
            session_expiry_secs: Some(1),
            reason_string: Some("s"),
            server_reference: Some("h"),
            user_properties: UserProperties::from_wire(&user).unwrap(),
            ..taken_over.clone()
        };
        let properties: &[&[u8]] = &[
            &[0x11, 0, 0, 0, 1],             // session expiry interval
            &[0x1C, 0, 1, b'h'],             // server reference
            &[0x1F, 0, 1, b's'],             // reason string
            &[0x26, 0, 1, b'k', 0, 1, b'v'], // user property
        ];
        let bytes = [&[0xE0, 22, 0x8E, 20], &properties.concat()[..]].concat();
        assert_wire(Version::V5, &bytes, &Packet::Disconnect(full));
        for version in V3 {
            assert_eq!(
                encode(version, &Packet::Disconnect(taken_over.clone())),
                [0xE0, 0]
            );
            let refused = malformed(version, &[0xE0, 1, 0]);
            assert_eq!(refused, (2, Malformed::TrailingBytes { bytes: 1 }));
        }
    }

    #[test]
    fn every_field_is_checked() {
        // [MQTT-3.14.2-1]
        assert_eq!(
            malformed(Version::V5, &[0xE0, 1, 0x86]),
            (2, Malformed::ReasonCode { byte: 0x86 })
        );
        let foreign = [0xE0, 5, 0, 3, 0x21, 0, 1];
        assert_eq!(
            malformed(Version::V5, &foreign),
            (4, Malformed::PropertyNotAllowed { id: 0x21 })
        );
        let twice = [0xE0, 8, 0, 6, 0x1C, 0, 0, 0x1C, 0, 0];
        assert_eq!(
            protocol(Version::V5, &twice),
            (7, ProtocolFault::DuplicateProperty { id: 0x1C })
        );
        let reason = ReasonCode::Banned;
        let refused = Disconnect::new(reason).encode(Version::V5, &mut Vec::new());
        assert_eq!(
            refused,
            Err(EncodeError::ReasonNotAllowed {
                packet: PacketType::Disconnect,
                reason
            })
        );
    }
}

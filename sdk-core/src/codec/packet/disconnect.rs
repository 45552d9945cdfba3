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
    /// A new session expiry; only from a client [MQTT-3.14.2-2].
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

    pub(super) fn decode(version: Version, packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
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

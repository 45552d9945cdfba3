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

    pub(super) fn decode(packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
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

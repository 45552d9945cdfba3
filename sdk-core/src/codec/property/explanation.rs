//! The two properties that every answer may carry for people: reason string and user properties.

use super::{PropertyReader, UserProperties, id, writer};
use crate::codec::reader::Reader;
use crate::codec::writer::{Properties, Sink};
use crate::codec::{DecodeError, EncodeError};

/// The property block of PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK.
pub(in crate::codec) struct Explanation<'a> {
    pub(in crate::codec) reason_string: Option<&'a str>,
    pub(in crate::codec) user_properties: UserProperties<'a>,
}

impl<'a> Explanation<'a> {
    pub(in crate::codec) fn read(packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut properties = PropertyReader::open(packet)?;
        let mut reason_string = None;
        while let Some(id) = properties.next_id()? {
            match id {
                id::REASON_STRING => reason_string = Some(properties.text()?),
                id::USER_PROPERTY => properties.user_property()?,
                _ => return Err(properties.refuse()),
            }
        }
        Ok(Self {
            reason_string,
            user_properties: properties.user_properties(),
        })
    }

    pub(in crate::codec) fn is_empty(&self) -> bool {
        self.reason_string.is_none() && self.user_properties.is_empty()
    }
}

impl Properties for Explanation<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        writer::text(sink, id::REASON_STRING, self.reason_string)?;
        self.user_properties.write(sink);
        Ok(())
    }
}

//! Writes single properties: identifier, then value. An absent one writes nothing.

use super::property_name;
use crate::codec::EncodeError;
use crate::codec::writer::Sink;

pub(in crate::codec) fn flag<S: Sink>(sink: &mut S, id: u8, value: Option<bool>) {
    byte(sink, id, value.map(u8::from));
}

pub(in crate::codec) fn byte<S: Sink>(sink: &mut S, id: u8, value: Option<u8>) {
    if let Some(value) = value {
        sink.put(&[id, value]);
    }
}

pub(in crate::codec) fn u16<S: Sink>(sink: &mut S, id: u8, value: Option<impl Into<u16>>) {
    if let Some(value) = value {
        sink.u8(id);
        sink.u16(value.into());
    }
}

pub(in crate::codec) fn u32<S: Sink>(sink: &mut S, id: u8, value: Option<impl Into<u32>>) {
    if let Some(value) = value {
        sink.u8(id);
        sink.u32(value.into());
    }
}

pub(in crate::codec) fn text<S: Sink>(sink: &mut S, id: u8, value: Option<&str>) -> Result<(), EncodeError> {
    if let Some(value) = value {
        sink.u8(id);
        sink.text(property_name(id), value)?;
    }
    Ok(())
}

pub(in crate::codec) fn binary<S: Sink>(
    sink: &mut S,
    id: u8,
    value: Option<&[u8]>,
) -> Result<(), EncodeError> {
    if let Some(value) = value {
        sink.u8(id);
        sink.binary(property_name(id), value)?;
    }
    Ok(())
}

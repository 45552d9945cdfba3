//! The mirror of the reader: the only code that puts fields on the wire.
//!
//! A packet says once how it is written, to any [`Sink`]. Encoding runs that twice: into a [`Count`] for the
//! lengths that stand before the fields (this is also where every error shows), then into the buffer.

use alloc::vec::Vec;

use super::EncodeError;
use crate::Version;

/// Largest value of a variable byte integer, and so of the remaining length.
pub(super) const VARINT_MAX: u32 = 268_435_455;

/// Where fields go.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// A variable byte integer of at most [`VARINT_MAX`] (section 1.5.5).
    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    /// Binary data behind its two-byte length (section 1.5.6).
    fn binary(&mut self, field: &'static str, value: &[u8]) -> Result<(), EncodeError> {
        let Ok(bytes) = u16::try_from(value.len()) else {
            return Err(EncodeError::StringTooLong {
                field,
                bytes: value.len(),
            });
        };
        self.u16(bytes);
        self.put(value);
        Ok(())
    }

    /// A string behind its two-byte length, without U+0000 [MQTT-1.5.4-2].
    fn text(&mut self, field: &'static str, value: &str) -> Result<(), EncodeError> {
        if value.contains('\0') {
            return Err(EncodeError::NulCharacter { field });
        }
        self.binary(field, value.as_bytes())
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn u8(&mut self, value: u8) {
        self.push(value);
    }
}

/// Counts what it is given.
#[derive(Default)]
pub(super) struct Count(pub(super) usize);

impl Sink for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// What stands after the fixed header of a packet.
pub(super) trait Fields {
    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError>;
}

/// What stands in a property block.
pub(super) trait Properties {
    fn write_properties<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError>;
}

/// Writes a property block behind its length, which is there even when it is 0 [MQTT-2.2.2-1].
pub(super) fn property_block<S: Sink>(sink: &mut S, properties: &impl Properties) -> Result<(), EncodeError> {
    let mut count = Count::default();
    properties.write_properties(&mut count)?;
    sink.varint(length(count.0)?);
    properties.write_properties(sink)
}

/// Appends a packet to `out`, or on an error nothing.
pub(super) fn packet(
    first_byte: u8,
    fields: &impl Fields,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let remaining = remaining_length(fields, version)?;
    let start = out.len();
    out.reserve(whole_len(remaining));
    header(first_byte, remaining, out);
    let written = fields.write(version, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// How many bytes [`packet`] would append.
pub(super) fn packet_len(fields: &impl Fields, version: Version) -> Result<usize, EncodeError> {
    Ok(whole_len(remaining_length(fields, version)?))
}

/// Size of a packet with this remaining length.
pub(super) const fn whole_len(remaining: u32) -> usize {
    1 + varint_len(remaining) + remaining as usize
}

/// Appends a fixed header.
pub(super) fn header(first_byte: u8, remaining: u32, out: &mut Vec<u8>) {
    out.push(first_byte);
    out.varint(remaining);
}

/// How many bytes a variable byte integer takes.
pub(super) const fn varint_len(value: u32) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// `bytes` as a length that MQTT can express.
pub(super) fn length(bytes: usize) -> Result<u32, EncodeError> {
    match u32::try_from(bytes) {
        Ok(length) if length <= VARINT_MAX => Ok(length),
        Ok(_) | Err(_) => Err(EncodeError::PacketTooLarge { bytes }),
    }
}

fn remaining_length(fields: &impl Fields, version: Version) -> Result<u32, EncodeError> {
    let mut count = Count::default();
    fields.write(version, &mut count)?;
    length(count.0)
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::codec::reader::Varint;

    #[test]
    fn variable_byte_integers_have_the_length_of_table_1_1() {
        let first_and_last = [
            (1, 0, 0x7F),
            (2, 0x80, 0x3FFF),
            (3, 0x4000, 0x1F_FFFF),
            (4, 0x20_0000, VARINT_MAX),
        ];
        for (bytes, first, last) in first_and_last {
            for value in [first, last] {
                let mut out = Vec::new();
                out.varint(value);
                assert_eq!((out.len(), varint_len(value)), (bytes, bytes), "{value}");
                let Varint::Value {
                    value: read,
                    bytes: taken,
                    minimal: true,
                } = Varint::read(&out)
                else {
                    panic!("{out:?}")
                };
                assert_eq!((read, taken), (value, bytes));
            }
        }
        assert!(length(VARINT_MAX as usize).is_ok() && length(VARINT_MAX as usize + 1).is_err());
    }
}

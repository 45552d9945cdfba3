//! A bounds-checked cursor: the only code that takes fields out of received bytes.

use super::{At, DecodeError, Malformed, PacketId, PacketType, ProtocolFault, ReasonCode};
use crate::topic::{TopicError, TopicName};

/// Reads the fields of one packet, or of one property block inside it. Every error says in which packet and
/// where.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    packet: PacketType,
    rest: &'a [u8],
    /// Where `rest` ends, in bytes from the start of the packet.
    end: u32,
}

/// What a variable byte integer at the front of some bytes is (section 1.5.5).
pub(super) enum Varint {
    /// Whole.
    Value { value: u32, bytes: usize, minimal: bool },
    /// More bytes are needed to tell.
    Short,
    /// Four bytes, and the fourth says that it goes on.
    TooLong,
}

impl Varint {
    /// Reads seven bits a byte, least significant first; the high bit says that another byte follows.
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Self {
        if let Some(&value) = bytes.first().filter(|byte| **byte < 0x80) {
            return Self::Value {
                value: u32::from(value),
                bytes: 1,
                minimal: true,
            };
        }
        Self::read_long(bytes)
    }

    fn read_long(bytes: &[u8]) -> Self {
        let mut value = 0;
        for (at, &byte) in bytes.iter().take(4).enumerate() {
            value |= u32::from(byte & 0x7F) << (7 * at);
            if byte < 0x80 {
                return Self::Value {
                    value,
                    bytes: at + 1,
                    minimal: byte != 0 || at == 0,
                };
            }
        }
        if bytes.len() < 4 {
            Self::Short
        } else {
            Self::TooLong
        }
    }
}

impl<'a> Reader<'a> {
    /// Over `rest`, which ends `end` bytes after the start of its packet.
    pub(super) const fn new(packet: PacketType, rest: &'a [u8], end: u32) -> Self {
        Self { packet, rest, end }
    }

    pub(super) const fn packet(&self) -> PacketType {
        self.packet
    }

    /// Bytes not read yet.
    pub(super) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Where the next field begins, in bytes from the start of the packet.
    pub(super) const fn offset(&self) -> u32 {
        self.end - self.rest.len() as u32
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.chunk()?;
        Ok(byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.chunk()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.chunk()?))
    }

    /// Takes a byte if it is 0: an empty property block.
    #[inline]
    pub(super) fn skip_zero(&mut self) -> bool {
        match self.rest.split_first() {
            Some((0, rest)) => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    /// A variable byte integer in its shortest form [MQTT-1.5.5-1].
    pub(super) fn varint(&mut self) -> Result<u32, DecodeError> {
        match Varint::read(self.rest) {
            Varint::Value {
                value,
                bytes,
                minimal: true,
            } => {
                self.take(bytes)?;
                Ok(value)
            }
            Varint::Value { minimal: false, .. } => Err(self.malformed(Malformed::VarintNotMinimal)),
            Varint::Short => Err(self.malformed(Malformed::Truncated)),
            Varint::TooLong => Err(self.malformed(Malformed::VarintTooLong)),
        }
    }

    /// Binary data behind a two-byte length (section 1.5.6).
    pub(super) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let field = self
            .rest
            .split_first_chunk()
            .and_then(|(length, rest)| rest.split_at_checked(usize::from(u16::from_be_bytes(*length))));
        let Some((field, rest)) = field else {
            return Err(self.malformed(Malformed::Truncated));
        };
        self.rest = rest;
        Ok(field)
    }

    /// A UTF-8 string behind a two-byte length, without U+0000 [MQTT-1.5.4-1, MQTT-1.5.4-2]. A byte order mark
    /// is part of the string [MQTT-1.5.4-3].
    pub(super) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let offset = self.offset();
        let text = self.utf8()?;
        if text.contains('\0') {
            return Err(self.malformed_at(offset, Malformed::NulCharacter));
        }
        Ok(text)
    }

    /// A topic name, or what speaks against it. `Empty` is left to the caller, who knows about aliases.
    pub(super) fn topic_name(&mut self) -> Result<Result<TopicName<'a>, TopicError>, DecodeError> {
        let offset = self.offset();
        match TopicName::parse(self.utf8()?) {
            Err(TopicError::Nul) => Err(self.malformed_at(offset, Malformed::NulCharacter)),
            parsed => Ok(parsed),
        }
    }

    pub(super) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        let offset = self.offset();
        PacketId::new(self.u16()?).ok_or_else(|| self.malformed_at(offset, Malformed::PacketIdZero))
    }

    /// A reason code that this packet type may carry.
    pub(super) fn reason(&mut self) -> Result<ReasonCode, DecodeError> {
        let offset = self.offset();
        let byte = self.u8()?;
        match ReasonCode::from_byte(byte) {
            Some(reason) if reason.allowed_in(self.packet) => Ok(reason),
            Some(_) | None => Err(self.malformed_at(offset, Malformed::ReasonCode { byte })),
        }
    }

    /// How many strings, each with `bytes_after` more bytes, are left: what a list needs room for.
    pub(super) fn count_list(&self, bytes_after: usize) -> usize {
        let mut ahead = self.clone();
        let mut count = 0;
        while ahead.binary().is_ok() && ahead.take(bytes_after).is_ok() {
            count += 1;
        }
        count
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// A reader over the next `bytes` bytes alone; this one goes on after them.
    pub(super) fn block(&mut self, bytes: u32) -> Result<Self, DecodeError> {
        let end = self.offset().saturating_add(bytes);
        let block = self.take(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        Ok(Self::new(self.packet, block, end))
    }

    /// Refuses bytes after the last field.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.malformed(Malformed::TrailingBytes {
            bytes: self.end - self.offset(),
        }))
    }

    #[cold]
    pub(super) fn malformed(&self, fault: Malformed) -> DecodeError {
        self.malformed_at(self.offset(), fault)
    }

    #[cold]
    pub(super) fn malformed_at(&self, offset: u32, fault: Malformed) -> DecodeError {
        DecodeError::Malformed(At {
            packet: self.packet,
            offset,
            fault,
        })
    }

    #[cold]
    pub(super) fn protocol_at(&self, offset: u32, fault: ProtocolFault) -> DecodeError {
        DecodeError::Protocol(At {
            packet: self.packet,
            offset,
            fault,
        })
    }

    #[cold]
    pub(super) fn bad_topic_at(&self, offset: u32, fault: TopicError) -> DecodeError {
        DecodeError::BadTopicName(At {
            packet: self.packet,
            offset,
            fault,
        })
    }

    fn utf8(&mut self) -> Result<&'a str, DecodeError> {
        let offset = self.offset();
        core::str::from_utf8(self.binary()?).map_err(|_| self.malformed_at(offset, Malformed::Utf8))
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(bytes) else {
            return Err(self.malformed(Malformed::Truncated));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((chunk, rest)) = self.rest.split_first_chunk() else {
            return Err(self.malformed(Malformed::Truncated));
        };
        self.rest = rest;
        Ok(*chunk)
    }
}

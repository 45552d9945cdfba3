//! Reads one property block.

use core::num::{NonZeroU16, NonZeroU32};
use core::ops::Range;

use super::{SubscriptionIds, UserProperties, id, property};
use crate::codec::reader::Reader;
use crate::codec::{DecodeError, Malformed, PacketType, ProtocolFault};
use crate::topic::TopicName;

/// Hands out the identifiers of a property block one by one; the caller takes each value or refuses it.
pub(in crate::codec) struct PropertyReader<'a> {
    block: &'a [u8],
    reader: Reader<'a>,
    /// Identifier of the property being read, and where it begins in the packet and in the block.
    id: u8,
    offset: u32,
    start: usize,
    /// One bit for each identifier that was there.
    seen: u64,
    /// From the first to the last of each, as parts of `block`; other properties may lie between.
    user: Range<usize>,
    subscription_ids: Range<usize>,
}

impl<'a> PropertyReader<'a> {
    /// Takes the whole block, with its length, from `packet`.
    pub(in crate::codec) fn open(packet: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let bytes = packet.varint()?;
        let reader = packet.block(bytes)?;
        Ok(Self {
            block: reader.clone().rest(),
            offset: reader.offset(),
            reader,
            id: 0,
            start: 0,
            seen: 0,
            user: 0..0,
            subscription_ids: 0..0,
        })
    }

    /// The next identifier, or `None` at the end. Refuses one that may not come again.
    pub(in crate::codec) fn next_id(&mut self) -> Result<Option<u8>, DecodeError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        self.offset = self.reader.offset();
        self.start = self.at();
        self.id = self.reader.u8()?;
        let bit = 1_u64.checked_shl(u32::from(self.id)).unwrap_or(0);
        if self.seen & bit != 0 && !self.may_repeat() {
            return Err(self.protocol(ProtocolFault::DuplicateProperty { id: self.id }));
        }
        self.seen |= bit;
        Ok(Some(self.id))
    }

    /// The answer to an identifier that this packet may not carry (section 2.2.2.2).
    #[cold]
    pub(in crate::codec) fn refuse(&self) -> DecodeError {
        let id = self.id;
        let fault = match property(id) {
            Some(_) => Malformed::PropertyNotAllowed { id },
            None => Malformed::UnknownProperty { id },
        };
        self.reader.malformed_at(self.offset, fault)
    }

    #[cold]
    pub(in crate::codec) fn protocol(&self, fault: ProtocolFault) -> DecodeError {
        self.reader.protocol_at(self.offset, fault)
    }

    /// Where the property being read begins, in bytes from the start of the packet.
    pub(in crate::codec) const fn offset(&self) -> u32 {
        self.offset
    }

    /// 0 or 1.
    pub(in crate::codec) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.reader.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(self.bad_value(u32::from(value))),
        }
    }

    pub(in crate::codec) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.reader.u16()
    }

    pub(in crate::codec) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.reader.u32()
    }

    pub(in crate::codec) fn non_zero_u16(&mut self) -> Result<NonZeroU16, DecodeError> {
        NonZeroU16::new(self.reader.u16()?).ok_or_else(|| self.bad_value(0))
    }

    pub(in crate::codec) fn non_zero_u32(&mut self) -> Result<NonZeroU32, DecodeError> {
        NonZeroU32::new(self.reader.u32()?).ok_or_else(|| self.bad_value(0))
    }

    pub(in crate::codec) fn text(&mut self) -> Result<&'a str, DecodeError> {
        self.reader.text()
    }

    pub(in crate::codec) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        self.reader.binary()
    }

    /// A topic name without wildcards [MQTT-3.3.2-14].
    pub(in crate::codec) fn response_topic(&mut self) -> Result<TopicName<'a>, DecodeError> {
        self.reader
            .topic_name()?
            .map_err(|error| self.protocol(ProtocolFault::ResponseTopic(error)))
    }

    /// 1..=268 435 455.
    pub(in crate::codec) fn subscription_id(&mut self) -> Result<u32, DecodeError> {
        match self.reader.varint()? {
            0 => Err(self.bad_value(0)),
            subscription_id => {
                let property = self.start..self.at();
                extend(&mut self.subscription_ids, property);
                Ok(subscription_id)
            }
        }
    }

    /// A user property; [`user_properties`](Self::user_properties) hands out all of them at the end.
    pub(in crate::codec) fn user_property(&mut self) -> Result<(), DecodeError> {
        self.reader.text()?;
        self.reader.text()?;
        let property = self.start..self.at();
        extend(&mut self.user, property);
        Ok(())
    }

    pub(in crate::codec) fn user_properties(&self) -> UserProperties<'a> {
        UserProperties::from_valid(&self.block[self.user.clone()])
    }

    pub(in crate::codec) fn subscription_ids(&self) -> SubscriptionIds<'a> {
        SubscriptionIds::from_valid(&self.block[self.subscription_ids.clone()])
    }

    /// How much of the block was read.
    const fn at(&self) -> usize {
        self.block.len() - self.reader.remaining()
    }

    const fn may_repeat(&self) -> bool {
        match self.id {
            id::USER_PROPERTY => true,
            id::SUBSCRIPTION_ID => matches!(self.reader.packet(), PacketType::Publish),
            _ => false,
        }
    }

    #[cold]
    pub(in crate::codec) fn bad_value(&self, value: u32) -> DecodeError {
        self.protocol(ProtocolFault::PropertyValue { id: self.id, value })
    }
}

/// Makes `run` reach to the end of `property`, or begin with it.
fn extend(run: &mut Range<usize>, property: Range<usize>) {
    *run = if run.start == run.end {
        property
    } else {
        run.start..property.end
    };
}

//! Records of the store: bytes that a later version can tell from its own.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::frame::{Form, Frame};
use super::outbound::Stage;
use crate::codec::RetainHandling;
use crate::{PacketId, Qos, Version};

/// First byte of every record.
const FORMAT: u8 = 1;

/// A record that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// A newer version of this library wrote it.
    #[error(
        "the record has format {0}, which this version does not know; use the version that wrote it, or a newer one"
    )]
    Newer(u8),
    /// It ends early, or holds what no version writes.
    #[error("the record is damaged")]
    Damaged,
    /// There is one of that name already, or its packet identifier is taken.
    #[error("the record contradicts another one")]
    Twice,
}

/// Who the client is, for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) client_id: Box<str>,
    /// Tells the numbers of this store from those of another one with the same client identifier.
    pub(super) epoch: u64,
    /// Orders below may have been used.
    pub(super) reserved: u64,
    /// Whether the server has a session of it.
    pub(super) has_session: bool,
}

impl Identity {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.reserved.to_be_bytes());
        out.push(u8::from(self.has_session));
        out.extend_from_slice(self.client_id.as_bytes());
    }

    pub(super) fn read(record: &[u8]) -> Result<Self, BadRecord> {
        let mut record = Fields::open(record)?;
        Ok(Self {
            epoch: record.u64()?,
            reserved: record.u64()?,
            has_session: record.u8()? != 0,
            client_id: record.text()?.into(),
        })
    }
}

pub(super) fn mark(sequence: u64, out: &mut Vec<u8>) {
    out.push(FORMAT);
    out.extend_from_slice(&sequence.to_be_bytes());
}

pub(super) fn read_mark(record: &[u8]) -> Result<u64, BadRecord> {
    Fields::open(record)?.u64()
}

pub(super) fn received(out: &mut Vec<u8>) {
    out.push(FORMAT);
}

pub(super) fn read_received(record: &[u8]) -> Result<(), BadRecord> {
    Fields::open(record).map(|_| ())
}

const WAITING: u8 = 0;
const NAMED: u8 = 1;
const RELEASED: u8 = 2;

pub(super) fn outgoing(
    packet_id: Option<PacketId>,
    expires_unix: Option<u64>,
    frame: &Frame,
    out: &mut Vec<u8>,
) {
    out.push(FORMAT);
    out.push(if packet_id.is_some() { NAMED } else { WAITING });
    out.extend_from_slice(&packet_id.map_or(0, PacketId::get).to_be_bytes());
    out.extend_from_slice(&expires_unix.unwrap_or(0).to_be_bytes());
    let form = frame.form();
    out.push(form.version as u8);
    out.push(u8::from(form.is_sequenced));
    out.extend_from_slice(&frame.bytes);
}

pub(super) fn released(packet_id: PacketId, out: &mut Vec<u8>) {
    out.push(FORMAT);
    out.push(RELEASED);
    out.extend_from_slice(&packet_id.get().to_be_bytes());
}

/// A message that an earlier process left.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) stage: Stage,
    /// Seconds since 1970.
    pub(super) expires_unix: Option<u64>,
    pub(super) frame: Frame,
}

pub(super) fn read_outgoing(record: &[u8]) -> Result<Outgoing, BadRecord> {
    let mut record = Fields::open(record)?;
    let stage = record.u8()?;
    let packet_id = PacketId::new(record.u16()?);
    let stage = match (stage, packet_id) {
        (WAITING, _) => Stage::Waiting,
        (NAMED, Some(id)) => Stage::Unanswered(id),
        (RELEASED, Some(id)) => Stage::Unreleased(id),
        _ => return Err(BadRecord::Damaged),
    };
    if let Stage::Unreleased(_) = stage {
        return Ok(Outgoing {
            stage,
            expires_unix: None,
            frame: Frame::released(),
        });
    }
    let expires_unix = Some(record.u64()?).filter(|at| *at > 0);
    let version = match record.u8()? {
        4 => Version::V311,
        5 => Version::V5,
        _ => return Err(BadRecord::Damaged),
    };
    let is_sequenced = record.u8()? != 0;
    let frame = Frame::restored(
        record.0,
        Form {
            version,
            is_sequenced,
        },
    )
    .ok_or(BadRecord::Damaged)?;
    Ok(Outgoing {
        stage,
        expires_unix,
        frame,
    })
}

/// What a subscription asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) filter: Box<str>,
    pub(super) qos: Qos,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    pub(super) retain_handling: RetainHandling,
}

impl Terms {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        out.push(self.qos.bits());
        out.push(u8::from(self.no_local));
        out.push(u8::from(self.retain_as_published));
        out.push(self.retain_handling as u8);
        out.extend_from_slice(self.filter.as_bytes());
    }

    pub(super) fn read(record: &[u8]) -> Result<Self, BadRecord> {
        let mut record = Fields::open(record)?;
        Ok(Self {
            qos: Qos::from_bits(record.u8()?).ok_or(BadRecord::Damaged)?,
            no_local: record.u8()? != 0,
            retain_as_published: record.u8()? != 0,
            retain_handling: match record.u8()? {
                0 => RetainHandling::SendAtSubscribe,
                1 => RetainHandling::SendIfNew,
                2 => RetainHandling::DoNotSend,
                _ => return Err(BadRecord::Damaged),
            },
            filter: record.text()?.into(),
        })
    }
}

/// What is left of a record.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn open(record: &'a [u8]) -> Result<Self, BadRecord> {
        match record.split_first() {
            Some((&FORMAT, rest)) => Ok(Self(rest)),
            Some((&newer, _)) if newer > FORMAT => Err(BadRecord::Newer(newer)),
            _ => Err(BadRecord::Damaged),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], BadRecord> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(BadRecord::Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, BadRecord> {
        self.take::<1>().map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Result<u16, BadRecord> {
        self.take().map(u16::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, BadRecord> {
        self.take().map(u64::from_be_bytes)
    }

    fn text(&self) -> Result<&'a str, BadRecord> {
        core::str::from_utf8(self.0).map_err(|_| BadRecord::Damaged)
    }
}

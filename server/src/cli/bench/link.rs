//! A connection of many: it reads into a buffer that all share, hands packets out in place, and writes in batches.

use core::pin::pin;
use core::task::{Context, Poll, ready};
use std::io;

use cloudsignal_core::codec::{
    Ack, AckKind, Decoded, Decoder, PACKET_BYTES_MAX, Packet, PacketId, ReasonCode,
};
use cloudsignal_core::{EncodeError, Version};

use crate::cli::client::{Connection, Transport, with_text};
use crate::cli::exit::{Exit, Failure};

/// A connection adds no packets while so many bytes wait to leave.
pub(super) const OUTBOX_BYTES_MAX: usize = 256 * 1_024;

/// Longer beginnings of packets stay where they are, and what follows is read behind them.
const COPIED_BYTES_MAX: usize = 4 * 1_024;

/// An open connection whose CONNECT and SUBSCRIBE are behind it.
pub(super) struct Link {
    transport: Transport,
    decoder: Decoder,
    /// The beginning of a packet that has not arrived whole.
    tail: Vec<u8>,
    /// Whether whole packets may already be there.
    is_fresh: bool,
    outbox: Outbox,
    written: usize,
    is_flushed: bool,
}

/// Packets that wait to leave.
pub(super) struct Outbox {
    pub(super) bytes: Vec<u8>,
    pub(super) version: Version,
}

impl Outbox {
    /// Adds an acknowledgement.
    pub(super) fn ack(&mut self, kind: AckKind, packet_id: PacketId) -> Result<(), EncodeError> {
        Ack::new(packet_id, ReasonCode::Success).encode(kind, self.version, &mut self.bytes)
    }

    /// Whether another packet may be added.
    pub(super) fn has_room(&self) -> bool {
        self.bytes.len() < OUTBOX_BYTES_MAX
    }
}

impl Link {
    /// Goes on with a connection.
    pub(super) fn new(connection: Connection, version: Version) -> Self {
        let (transport, tail) = connection.into_transport();
        Self {
            transport,
            decoder: Decoder::with_version(version, PACKET_BYTES_MAX),
            is_fresh: !tail.is_empty(),
            tail,
            outbox: Outbox {
                bytes: Vec::new(),
                version,
            },
            written: 0,
            is_flushed: true,
        }
    }

    /// Reads once, and hands out the packets that are whole. `scratch` is room for what arrives.
    pub(super) fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Vec<u8>,
        mut each: impl FnMut(&Packet<'_>, &mut Outbox) -> Result<(), Failure>,
    ) -> Poll<Result<(), Failure>> {
        let is_long = self.tail.len() > COPIED_BYTES_MAX;
        let inbox = if is_long {
            &mut self.tail
        } else {
            scratch.clear();
            scratch.extend_from_slice(&self.tail);
            &mut *scratch
        };
        if !core::mem::take(&mut self.is_fresh) {
            let read = pin!(self.transport.read(inbox)).poll(cx);
            match ready!(read) {
                Ok(0) => return Poll::Ready(Err(closed())),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(lost(&error))),
            }
        }
        let mut at = 0;
        loop {
            match self
                .decoder
                .decode_from_server(inbox.get(at..).unwrap_or_default())
            {
                Ok(Decoded::Incomplete { .. }) => break,
                Ok(Decoded::Packet { packet, bytes }) => {
                    refuse_goodbye(&packet)?;
                    each(&packet, &mut self.outbox)?;
                    at += bytes;
                }
                Err(error) => return Poll::Ready(Err(Failure::new(Exit::Lost, error))),
            }
        }
        if is_long {
            self.tail.drain(..at);
        } else {
            self.tail.clear();
            self.tail.extend_from_slice(scratch.get(at..).unwrap_or_default());
        }
        Poll::Ready(Ok(()))
    }

    /// Packets that wait to leave, to add to.
    pub(super) fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Sends what waits.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        while let Some(rest) = self
            .outbox
            .bytes
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match ready!(self.transport.poll_write(cx, rest)) {
                Ok(bytes) => self.written += bytes,
                Err(error) => return Poll::Ready(Err(lost(&error))),
            }
            self.is_flushed = false;
        }
        self.outbox.bytes.clear();
        self.written = 0;
        if !self.is_flushed {
            ready!(self.transport.poll_flush(cx)).map_err(|error| lost(&error))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) {
        let goodbye: &[u8] = &[0xE0, 0]; // DISCONNECT, normal, in every version.
        let is_whole = self.outbox.bytes.is_empty();
        if is_whole && self.transport.write(goodbye).await.is_ok() {
            self.transport.close().await;
        }
    }
}

/// A DISCONNECT of the broker ends everything.
fn refuse_goodbye(packet: &Packet<'_>) -> Result<(), Failure> {
    let Packet::Disconnect(goodbye) = packet else {
        return Ok(());
    };
    let text = with_text(goodbye.reason, goodbye.reason_string);
    let text = format!("the broker ended a connection: {text}");
    Err(Failure::because(Exit::Lost, text))
}

fn closed() -> Failure {
    Failure::because(Exit::Lost, "the broker closed a connection")
}

fn lost(error: &io::Error) -> Failure {
    Failure::because(Exit::Lost, format!("a connection is lost: {error}"))
}

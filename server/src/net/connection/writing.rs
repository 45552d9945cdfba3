//! What the connection has taken from its outbox and is putting on the wire.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::net::buffers;
use crate::net::outbox::Batch;
use crate::net::transport::Transport;
use crate::net::websocket;

/// Pieces of one vectored write.
const SLICES_MAX: usize = 64;

/// Bytes on their way out, in order: `head`, then the batch.
#[derive(Debug, Default)]
pub(super) struct Writing {
    /// WebSocket control frames and the header of the frame that carries the batch.
    head: Vec<u8>,
    pub(super) batch: Batch,
    /// How much of both has been written.
    at: usize,
    len: usize,
    /// Whether the transport has taken bytes that it may still hold.
    needs_flush: bool,
}

impl Writing {
    /// Whether everything was taken by the transport.
    pub(super) const fn is_done(&self) -> bool {
        self.at == self.len
    }

    /// A fresh batch stands in `batch`: it leaves as it is.
    pub(super) fn begin_plain(&mut self) {
        self.at = 0;
        self.len = self.head.len() + self.batch.len();
    }

    /// A fresh batch stands in `batch`: it leaves as one binary frame, after `control`.
    pub(super) fn begin_framed(&mut self, control: &mut Vec<u8>) {
        let batch_bytes = self.batch.len();
        if batch_bytes + control.len() > 0 {
            self.head = if control.is_empty() {
                buffers::take()
            } else {
                mem::take(control)
            };
            if batch_bytes > 0 {
                websocket::write_binary_header(batch_bytes, &mut self.head);
            }
        }
        self.begin_plain();
    }

    /// Nothing but a WebSocket close frame leaves.
    pub(super) fn begin_close(&mut self, code: CloseCode) {
        self.head = buffers::take();
        websocket::write_close(code, &mut self.head);
        self.begin_plain();
    }

    /// Writes as much as the transport takes. Answers how many bytes of the batch that was.
    pub(super) fn poll_write(
        &mut self,
        transport: &mut Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let written = if self.head.is_empty() && self.batch.shared.is_empty() {
            let rest = self.batch.bytes.get(self.at..).unwrap_or_default();
            Pin::new(transport).poll_write(cx, rest)
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.slices(&mut slices);
            Pin::new(transport).poll_write_vectored(cx, &slices[..count])
        };
        match written {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(bytes)) => Poll::Ready(Ok(self.advance(bytes))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Hands what the transport still holds to the system.
    pub(super) fn poll_flush(
        &mut self,
        transport: &mut Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.needs_flush {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(transport).poll_flush(cx);
        self.needs_flush = flushed.is_pending();
        flushed
    }

    fn advance(&mut self, bytes: usize) -> usize {
        let head_bytes = self.head.len();
        let before = self.at.max(head_bytes);
        self.at += bytes;
        self.needs_flush = true;
        let of_batch = self.at.saturating_sub(before);
        if self.is_done() {
            buffers::give(mem::take(&mut self.head));
            self.batch.clear();
            (self.at, self.len) = (0, 0);
        }
        of_batch
    }

    /// What is left, piece by piece. Answers how many pieces there are.
    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut skip = self.at;
        let mut count = 0;
        let mut push = |piece: &'a [u8]| {
            let left = piece.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(piece.len());
            if !left.is_empty() && count < SLICES_MAX {
                slices[count] = IoSlice::new(left);
                count += 1;
            }
        };
        push(&self.head);
        let mut from = 0;
        for shared in &self.batch.shared {
            push(self.batch.bytes.get(from..shared.at).unwrap_or_default());
            push(shared.message.payload());
            from = shared.at;
        }
        push(self.batch.bytes.get(from..).unwrap_or_default());
        count
    }
}

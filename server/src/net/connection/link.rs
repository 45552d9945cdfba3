//! The bytes of a connection: what came, what waits, and whether they move.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use cloudsignal_broker::CloseCause;
use cloudsignal_core::Instant;

use super::Peer;
use super::gathering::Gathering;
use super::portion::{Portion, READ_BYTES_MAX};
use super::serving::Checking;
use super::writing::Writing;
use crate::metrics::TransportMetrics;
use crate::net::inbox::{Arrived, Inbox};
use crate::net::outbox::Outbox;
use crate::net::shell::Shell;
use crate::net::transport::Transport;
use crate::net::websocket::{End, WebSocket};

/// A WebSocket connection that does not take its pongs is not read from here on.
const CONTROL_BYTES_MAX: usize = 16 * 1_024;
/// What a thread keeps for the payloads of WebSocket messages.
const PLAIN_BYTES_KEPT: usize = 256 * 1_024;

/// Everything of a connection but its stage.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) transport: Transport,
    pub(super) frames: Option<Box<Frames>>,
    pub(super) inbox: Inbox,
    pub(super) outbox: Arc<Outbox>,
    pub(super) writing: Writing,
    pub(super) peer: Peer,
    pub(super) shell: Arc<Shell>,
    pub(super) metrics: Arc<TransportMetrics>,
    /// A token of an open connection that is being checked.
    pub(super) checking: Option<Checking>,
    waker: Option<Waker>,
    pub(super) gathering: Gathering,
    /// What it reads at once.
    pub(super) portion: Portion,
    /// Work since the task was polled, as far as somebody else may mind.
    pub(super) work_in_poll: u32,
    /// Runs while the client is not read because of what it was refused.
    pub(super) resting: Option<Pin<Box<Sleep>>>,
    /// Runs while output waits that the client does not take.
    stalled: Option<Pin<Box<Sleep>>>,
    /// When output last moved.
    moved_at: Instant,
    /// Bytes that the client has not taken.
    unsent_bytes: usize,
    /// From here on a client that does not take its answers is not read.
    pub(super) output_bytes_max: u32,
    /// The decision to close was made; it is carried out once everything before it has left.
    close: Option<CloseCause>,
    /// The client will send nothing more.
    pub(super) is_at_end: bool,
}

/// The WebSocket layer of a connection that has one.
#[derive(Debug)]
pub(super) struct Frames {
    pub(super) socket: WebSocket,
    /// Pongs and the like that wait for the end of the frame on its way.
    control: Vec<u8>,
    end: Option<End>,
}

/// Memory that belongs to the thread and is lent to the connection at work on it.
pub(super) struct Scratch {
    raw: Box<[u8]>,
    plain: Vec<u8>,
    pub(super) packets: Vec<Arrived<'static>>,
    pub(super) turns: u32,
}

thread_local! {
    static SCRATCH: RefCell<Option<Box<Scratch>>> = const { RefCell::new(None) };
}

/// Whether the socket has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// Perhaps.
    More,
    /// No; the task will be woken when it has.
    Drained,
}

/// How far writing came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flushed {
    /// The transport takes no more for now.
    pub(super) is_blocked: bool,
    /// The connection is to be closed once everything has left.
    pub(super) close: Option<CloseCause>,
    /// The organization waits to hear that there is room again.
    pub(super) is_writable_due: bool,
    /// The client shows a token that is to be checked.
    pub(super) is_asked: bool,
}

impl Scratch {
    fn new() -> Box<Self> {
        Box::new(Self {
            raw: vec![0; READ_BYTES_MAX as usize].into_boxed_slice(),
            plain: Vec::new(),
            packets: Vec::new(),
            turns: 0,
        })
    }

    /// Lends the thread's memory.
    pub(super) fn lend<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        let mut scratch = SCRATCH.take().unwrap_or_else(Self::new);
        let answer = work(&mut scratch);
        if scratch.plain.capacity() > PLAIN_BYTES_KEPT {
            scratch.plain = Vec::new();
        }
        SCRATCH.set(Some(scratch));
        answer
    }
}

impl Link {
    pub(super) fn new(
        transport: Transport,
        websocket: Option<WebSocket>,
        peer: Peer,
        shell: Arc<Shell>,
    ) -> Self {
        let metrics = shell.metrics.transport(&transport, websocket.is_some());
        metrics.opened();
        let frames = websocket.map(|socket| {
            Box::new(Frames {
                socket,
                control: Vec::new(),
                end: None,
            })
        });
        Self {
            transport,
            frames,
            inbox: Inbox::new(shell.config.connections.connect_bytes_max),
            outbox: Outbox::new(),
            writing: Writing::default(),
            peer,
            metrics,
            checking: None,
            waker: None,
            gathering: Gathering::default(),
            portion: Portion::default(),
            work_in_poll: 0,
            resting: None,
            stalled: None,
            moved_at: Instant::ZERO,
            unsent_bytes: 0,
            output_bytes_max: small(shell.config.limits.output_bytes_max),
            close: None,
            is_at_end: false,
            shell,
        }
    }

    /// Takes in bytes that somebody else has read.
    pub(super) fn keep_early(&mut self, early: &[u8]) {
        match self.frames.as_deref_mut() {
            None => self.inbox.keep(early),
            Some(frames) => {
                let mut plain = Vec::new();
                frames.end = frames.socket.read(early, &mut plain, &mut frames.control);
                self.inbox.keep(&plain);
            }
        }
    }

    /// Makes sure that the outbox wakes this task.
    pub(super) fn register(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.outbox.set_waker(waker);
            self.waker = Some(waker.clone());
        }
    }

    /// A client that does not take its answers is not read, so that they stay bounded. Nor one that is leaving.
    pub(super) fn may_read(&self) -> bool {
        let control_bytes = self.frames.as_ref().map_or(0, |frames| frames.control.len());
        self.close.is_none()
            && self.unsent_bytes < self.output_bytes_max as usize
            && control_bytes < CONTROL_BYTES_MAX
    }

    /// Reads what the socket has, takes WebSocket frames off, and gives the MQTT bytes to `handle`.
    pub(super) fn read(
        &mut self,
        cx: &mut Context<'_>,
        handle: impl FnOnce(&mut Self, &[u8], &mut Vec<Arrived<'static>>, &mut u32),
    ) -> io::Result<Filled> {
        Scratch::lend(|scratch| {
            let Scratch {
                raw,
                plain,
                packets,
                turns,
            } = scratch;
            let portion = raw.get_mut(..self.portion.bytes()).unwrap_or_default();
            let (bytes, filled) = self.fill(cx, portion)?;
            if bytes == 0 {
                return Ok(filled);
            }
            self.metrics.received(bytes);
            let raw = raw.get(..bytes).unwrap_or_default();
            let bytes = match self.frames.as_deref_mut() {
                None => raw,
                Some(frames) => {
                    plain.clear();
                    frames.end = frames.socket.read(raw, plain, &mut frames.control);
                    plain.as_slice()
                }
            };
            handle(self, bytes, packets, turns);
            Ok(filled)
        })
    }

    /// Reads until the socket is empty or the buffer is full. Answers how many bytes there are.
    fn fill(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> io::Result<(usize, Filled)> {
        let mut buf = ReadBuf::new(buffer);
        let mut filled = Filled::More;
        while buf.remaining() > 0 {
            let before = buf.filled().len();
            match Pin::new(&mut self.transport).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if buf.filled().len() == before => {
                    self.is_at_end = true;
                    break;
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) if before == 0 => return Err(error),
                // What came before the error still counts.
                Poll::Ready(Err(_)) => {
                    self.is_at_end = true;
                    break;
                }
                Poll::Pending => {
                    filled = Filled::Drained;
                    break;
                }
            }
        }
        Ok((buf.filled().len(), filled))
    }

    /// Ready: the client may be read again.
    pub(super) fn poll_rested(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(rest) = &mut self.resting {
            ready!(rest.as_mut().poll(cx));
            self.resting = None;
        }
        Poll::Ready(())
    }

    /// Reads and throws away. Answers how many bytes.
    pub(super) fn discard(&mut self, cx: &mut Context<'_>) -> io::Result<(usize, Filled)> {
        Scratch::lend(|scratch| self.fill(cx, &mut scratch.raw))
    }

    /// Writes what waits, and what is appended meanwhile, until nothing waits or the transport is full.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<Flushed> {
        let mut flushed = Flushed::default();
        let mut written_bytes = 0;
        loop {
            if self.writing.is_done() {
                let looked = self.outbox.take(written_bytes, &mut self.writing.batch);
                written_bytes = 0;
                flushed.is_writable_due |= looked.is_writable_due;
                flushed.is_asked |= looked.is_asked;
                self.unsent_bytes = looked.unsent_bytes;
                self.close = looked.close;
                match self.frames.as_deref_mut() {
                    None => self.writing.begin_plain(),
                    Some(frames) => self.writing.begin_framed(&mut frames.control),
                }
                if self.writing.is_done() {
                    break;
                }
            }
            match self.writing.poll_write(&mut self.transport, cx) {
                Poll::Ready(Ok(bytes)) => {
                    written_bytes += bytes;
                    self.metrics.sent(bytes);
                    if self.stalled.is_some() {
                        self.moved_at = self.shell.clock.now();
                    }
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    let looked = self.outbox.wrote(written_bytes);
                    flushed.is_writable_due |= looked.is_writable_due;
                    flushed.is_asked |= looked.is_asked;
                    self.unsent_bytes = looked.unsent_bytes;
                    self.close = looked.close;
                    flushed.is_blocked = true;
                    flushed.close = self.close;
                    return Ok(flushed);
                }
            }
        }
        match self.writing.poll_flush(&mut self.transport, cx) {
            Poll::Ready(done) => done?,
            Poll::Pending => flushed.is_blocked = true,
        }
        flushed.close = self.close;
        if !flushed.is_blocked {
            self.stalled.take_if(|sleep| sleep.is_elapsed());
        }
        Ok(flushed)
    }

    /// Whether waiting output has stood still for too long. Asked while the transport takes no more.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = Duration::from_secs(u64::from(self.shell.config.connections.stalled_secs));
        let clock = &self.shell.clock;
        let stalled = self.stalled.get_or_insert_with(|| {
            self.moved_at = clock.now();
            Box::pin(tokio::time::sleep(limit))
        });
        while stalled.as_mut().poll(cx).is_ready() {
            let still = clock.now().since(self.moved_at);
            let Some(left) = limit.checked_sub(still).filter(|left| !left.is_zero()) else {
                tracing::debug!(peer = %self.peer.addr, bytes = self.unsent_bytes, "closed: takes no output");
                return Poll::Ready(());
            };
            // Something moved in the meantime.
            stalled.set(tokio::time::sleep(left));
        }
        Poll::Pending
    }

    /// Why no more WebSocket frames come, if none do.
    pub(super) fn frames_end(&self) -> Option<End> {
        self.frames.as_ref().and_then(|frames| frames.end)
    }

    /// The code of the close frame that a WebSocket client still has to get.
    pub(super) fn close_code(&self, cause: CloseCause) -> Option<CloseCode> {
        let frames = self.frames.as_ref()?;
        match (frames.end, cause) {
            (Some(End::ClosedByClient), _) => None,
            (Some(End::Refused(code)), _) => Some(code),
            (None, CloseCause::Server(_) | CloseCause::Refused(_)) => Some(CloseCode::Policy),
            (None, CloseCause::Client | CloseCause::ClientWithWill | CloseCause::Transport) => {
                Some(CloseCode::Normal)
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.metrics.closed();
    }
}

/// A number that takes half the room in every connection. None that is larger means anything else.
pub(super) fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

//! The buffers between the machine and JavaScript, and the header that says where they are.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use cloudsignal_core::client::{Output, Sink, WireId};
use cloudsignal_core::time::Instant;

use crate::events;
use crate::layout::HEADER_BYTES;
use crate::topics::Topics;

/// What the input holds without being asked for more, bytes.
const INPUT_BYTES: usize = 64 << 10;
/// A larger buffer than this is given back after it was used, bytes.
const KEPT_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Desk {
    /// [`HEADER_BYTES`] in words, so that they are aligned. Only JavaScript reads them.
    header: Box<[u64; HEADER_BYTES / 8]>,
    pub(crate) input: Vec<u8>,
    pub(crate) outgoing: Outgoing,
}

/// What the machine has asked for and JavaScript has not taken.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) events: Vec<u8>,
    topics: Topics,
    /// What waits to be sent, of each connection: there are two at most.
    frames: Vec<(WireId, Vec<u8>)>,
}

impl Sink for Outgoing {
    fn output(&mut self, output: Output<'_>) {
        match output {
            Output::Send { wire, bytes } => self.gather(wire, bytes),
            Output::Hangup { wire } => {
                self.collect(Some(wire));
                self.frames.retain(|(of, _)| *of != wire);
                events::write(&output, &mut self.topics, &mut self.events);
            }
            Output::Dial { .. }
            | Output::AskToken { .. }
            | Output::Put { .. }
            | Output::Delete { .. }
            | Output::Sync { .. }
            | Output::State(_)
            | Output::Connected { .. }
            | Output::Message(_)
            | Output::Stored { .. }
            | Output::Published { .. }
            | Output::Subscribed { .. }
            | Output::SubscribeRefused { .. }
            | Output::Unsubscribed { .. }
            | Output::Replied { .. }
            | Output::RequestFailed { .. }
            | Output::Warning(_) => events::write(&output, &mut self.topics, &mut self.events),
        }
    }
}

impl Outgoing {
    fn gather(&mut self, wire: WireId, bytes: &[u8]) {
        if let Some((_, frame)) = self.frames.iter_mut().find(|(of, _)| *of == wire) {
            frame.extend_from_slice(bytes);
        } else {
            self.frames.push((wire, bytes.to_vec()));
        }
    }

    /// Moves what waits to be sent, of one connection or of all, into the events.
    pub(crate) fn collect(&mut self, only: Option<WireId>) {
        for (wire, frame) in &mut self.frames {
            if only.is_none_or(|only| only == *wire) && !frame.is_empty() {
                let send = Output::Send {
                    wire: *wire,
                    bytes: frame,
                };
                events::write(&send, &mut self.topics, &mut self.events);
                frame.clear();
                frame.shrink_to(KEPT_BYTES);
            }
        }
    }

    /// A connection has ended without [`Output::Hangup`].
    pub(crate) fn forget(&mut self, wire: WireId) {
        self.frames.retain(|(of, _)| *of != wire);
    }

    fn waiting(&self) -> usize {
        self.frames.iter().map(|(_, frame)| frame.len()).sum()
    }
}

impl Desk {
    pub(crate) fn new() -> Self {
        let mut desk = Self {
            header: Box::default(),
            input: vec![0; INPUT_BYTES],
            outgoing: Outgoing {
                events: Vec::new(),
                topics: Topics::new(),
                frames: Vec::new(),
            },
        };
        desk.tell(None);
        desk
    }

    /// Where the header is; it never moves.
    pub(crate) fn header_at(&self) -> u32 {
        address(self.header.as_ptr().cast())
    }

    /// Makes room for an input.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        if bytes > self.input.len() {
            self.input = vec![0; bytes];
        }
    }

    /// At the beginning of a call: JavaScript has taken what the last one left.
    pub(crate) fn begin(&mut self) {
        self.outgoing.events.clear();
        self.outgoing.events.shrink_to(KEPT_BYTES);
    }

    /// At the end of a call.
    pub(crate) fn end(&mut self, timeout: Option<Instant>) {
        if self.input.len() > KEPT_BYTES {
            self.input = vec![0; INPUT_BYTES];
        }
        self.tell(timeout);
    }

    /// Says where everything is.
    pub(crate) fn tell(&mut self, timeout: Option<Instant>) {
        let events = &self.outgoing.events;
        *self.header = [
            pair(address(events.as_ptr()), events.len()),
            pair(address(self.input.as_ptr()), self.input.len()),
            pair(u32::try_from(self.outgoing.waiting()).unwrap_or(u32::MAX), 0),
            timeout.map_or(f64::INFINITY, millis).to_bits(),
        ];
    }

    /// The header as JavaScript sees it.
    #[cfg(test)]
    pub(crate) fn header(&self) -> &[u64] {
        &*self.header
    }
}

/// A place in linear memory, which ends at 4 GiB.
fn address(pointer: *const u8) -> u32 {
    pointer.addr() as u32
}

fn pair(low: u32, high: usize) -> u64 {
    u64::from(low) | (high as u64) << 32
}

/// A moment in milliseconds. The numbers are small enough to be exact.
pub(crate) fn millis(moment: Instant) -> f64 {
    moment.as_micros() as f64 / 1_000.0
}

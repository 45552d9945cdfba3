//! Messages that wait until a subscription is read.
//!
//! QoS 1 and 2 need no bound here: the server sends no more than may be unacknowledged, and what waits here is not
//! acknowledged. Of QoS 0 the oldest makes room for the newest, and the loss is counted.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::message::Message;
use crate::subscription::Ended;

/// How many QoS 0 messages may wait, unless the subscription says otherwise.
pub(crate) const BUFFER_MESSAGES_DEFAULT: usize = 4_096;
/// How many bytes of QoS 0 may wait.
pub(crate) const BUFFER_BYTES_MAX: usize = 16 << 20;

#[derive(Debug)]
pub(crate) struct Buffer {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    messages: VecDeque<Message>,
    /// QoS 0 among them.
    light: usize,
    light_bytes: usize,
    light_max: usize,
    dropped: u64,
    end: Option<Ended>,
    reader: Option<Waker>,
}

impl Buffer {
    pub(crate) const fn new(light_max: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                messages: VecDeque::new(),
                light: 0,
                light_bytes: 0,
                light_max,
                dropped: 0,
                end: None,
                reader: None,
            }),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message. Answers how many others it has displaced.
    pub(crate) fn push(&self, message: Message) -> u64 {
        let mut inner = self.inner();
        let mut displaced = 0;
        if !message.is_awaited() {
            inner.light += 1;
            inner.light_bytes += message.payload().len();
        }
        inner.messages.push_back(message);
        while inner.is_overfull() {
            inner.drop_oldest_light();
            displaced += 1;
        }
        inner.dropped += displaced;
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
        displaced
    }

    /// The next message; `None` when there will be none any more.
    pub(crate) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Message>> {
        let mut inner = self.inner();
        if let Some(message) = inner.messages.pop_front() {
            inner.forget(&message);
            return Poll::Ready(Some(message));
        }
        if inner.end.is_some() {
            return Poll::Ready(None);
        }
        inner.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// No message will follow. The first reason counts.
    pub(crate) fn end(&self, why: Ended) {
        let mut inner = self.inner();
        inner.end.get_or_insert(why);
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(crate) fn ended(&self) -> Option<Ended> {
        self.inner().end
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.inner().dropped
    }

    /// Lets go of everything that waits, which acknowledges it.
    pub(crate) fn clear(&self) {
        let mut inner = self.inner();
        (inner.light, inner.light_bytes) = (0, 0);
        let messages = std::mem::take(&mut inner.messages);
        drop(inner);
        drop(messages);
    }

    /// Hands everything that waits to another buffer.
    pub(crate) fn pour_into(&self, other: &Self) {
        let messages = {
            let mut inner = self.inner();
            (inner.light, inner.light_bytes) = (0, 0);
            std::mem::take(&mut inner.messages)
        };
        for message in messages {
            other.push(message);
        }
    }
}

impl Inner {
    const fn is_overfull(&self) -> bool {
        self.light > self.light_max || (self.light_bytes > BUFFER_BYTES_MAX && self.light > 1)
    }

    fn drop_oldest_light(&mut self) {
        let oldest = self.messages.iter().position(|it| !it.is_awaited());
        if let Some(message) = oldest.and_then(|at| self.messages.remove(at)) {
            self.forget(&message);
        }
    }

    fn forget(&mut self, message: &Message) {
        if !message.is_awaited() {
            self.light -= 1;
            self.light_bytes -= message.payload().len();
        }
    }
}

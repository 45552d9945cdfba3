//! Messages that wait until a subscription is read.
//!
//! QoS 1 and 2 need no bound here: the server sends no more than may be unacknowledged, and what waits here is not
//! acknowledged. Of QoS 0 the oldest makes room for the newest, and the loss is counted; so it is with messages of a
//! session that the server has lost, which it will never ask about.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::message::Message;
use crate::subscription::Ended;

/// How many QoS 0 messages may wait, unless the subscription says otherwise.
pub(crate) const BUFFER_MESSAGES_DEFAULT: usize = 4_096;
/// How many bytes of QoS 0 may wait.
pub(crate) const BUFFER_BYTES_MAX: usize = 16 << 20;

/// How many messages a reader takes at once.
const NEAR_MESSAGES_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Buffer {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    messages: VecDeque<Waiting>,
    /// Those that may be dropped.
    light: usize,
    light_bytes: usize,
    light_max: usize,
    dropped: u64,
    end: Option<Ended>,
    reader: Option<Waker>,
}

#[derive(Debug)]
struct Waiting {
    message: Message,
    /// It may be dropped to make room.
    is_light: bool,
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

    /// Adds messages, in place of others where that is needed. The reader is woken once, however many there are.
    pub(crate) fn push(&self, messages: impl IntoIterator<Item = Message>) {
        let mut inner = self.inner();
        for message in messages {
            let is_light = !message.is_awaited();
            if is_light {
                inner.light += 1;
                inner.light_bytes += message.payload().len();
            }
            inner.messages.push_back(Waiting { message, is_light });
        }
        inner.make_room();
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The server has lost the session: it does not limit any more what waits here.
    pub(crate) fn lose_session(&self) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        for waiting in inner.messages.iter_mut().filter(|it| !it.is_light) {
            waiting.is_light = true;
            inner.light += 1;
            inner.light_bytes += waiting.message.payload().len();
        }
        inner.make_room();
    }

    /// The next message; `None` when there will be none any more. Some that follow go into `near`, which is the reader's
    /// own: they come from there, without asking here.
    pub(crate) fn poll_next(&self, near: &mut VecDeque<Message>, cx: &Context<'_>) -> Poll<Option<Message>> {
        if let Some(message) = near.pop_front() {
            return Poll::Ready(Some(message));
        }
        let mut inner = self.inner();
        let few = inner.messages.len().min(NEAR_MESSAGES_MAX);
        for _ in 0..few {
            let Some(waiting) = inner.messages.pop_front() else {
                break;
            };
            inner.forget(&waiting);
            near.push_back(waiting.message);
        }
        if let Some(message) = near.pop_front() {
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
        other.push(messages.into_iter().map(|waiting| waiting.message));
    }
}

impl Inner {
    const fn is_overfull(&self) -> bool {
        self.light > self.light_max || (self.light_bytes > BUFFER_BYTES_MAX && self.light > 1)
    }

    fn make_room(&mut self) {
        while self.is_overfull() {
            let oldest = self.messages.iter().position(|it| it.is_light);
            let Some(waiting) = oldest.and_then(|at| self.messages.remove(at)) else {
                break;
            };
            self.forget(&waiting);
            self.dropped += 1;
        }
    }

    fn forget(&mut self, waiting: &Waiting) {
        if waiting.is_light {
            self.light -= 1;
            self.light_bytes -= waiting.message.payload().len();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use cloudsignal_core::Qos;
    use cloudsignal_core::client::DeliveryId;

    use super::*;
    use crate::mail::{Letters, Mail};
    use crate::message::{Acknowledge, Content, Receipt};

    fn message(payload: impl Into<Bytes>, receipt: Option<Receipt>) -> Message {
        Message::new(Arc::new(Content {
            topic: "a".into(),
            payload: payload.into(),
            qos: Qos::AtMostOnce,
            is_retained: false,
            is_duplicate: false,
            properties: None,
            receipt,
        }))
    }

    fn kept(payload: &'static str, number: u64, mail: &Arc<Mail>) -> Message {
        let receipt = Receipt::new(DeliveryId(number), Arc::clone(mail));
        message(payload, Some(receipt))
    }

    fn poll(buffer: &Buffer, near: &mut VecDeque<Message>) -> Option<String> {
        let cx = Context::from_waker(Waker::noop());
        match buffer.poll_next(near, &cx) {
            Poll::Ready(Some(message)) => Some(message.text().unwrap().to_owned()),
            Poll::Ready(None) | Poll::Pending => None,
        }
    }

    fn take_all(buffer: &Buffer) -> Vec<String> {
        let mut near = VecDeque::new();
        std::iter::from_fn(|| poll(buffer, &mut near)).collect()
    }

    fn done(mail: &Mail) -> Vec<u64> {
        let mut letters = Letters::default();
        mail.collect(&mut letters, &Context::from_waker(Waker::noop()));
        letters.done.iter().map(|delivery| delivery.0).collect()
    }

    #[test]
    fn the_oldest_light_one_makes_room_and_what_is_awaited_stays() {
        let (buffer, mail) = (Buffer::new(2), Arc::new(Mail::default()));
        buffer.push([message("0", None)]);
        buffer.push([kept("1", 1, &mail)]);
        for text in ["2", "3", "4"] {
            buffer.push([message(text, None)]);
        }
        assert_eq!(buffer.dropped(), 2);
        assert_eq!(take_all(&buffer), ["1", "3", "4"]);
        assert_eq!(done(&mail), [1], "taken and dropped");
    }

    #[test]
    fn light_ones_have_a_bound_in_bytes_but_one_always_fits() {
        let buffer = Buffer::new(usize::MAX);
        for _ in 0..3 {
            buffer.push([message(vec![b'x'; BUFFER_BYTES_MAX], None)]);
        }
        assert_eq!(buffer.dropped(), 2);
        assert_eq!(take_all(&buffer).len(), 1);
    }

    #[test]
    fn a_reader_takes_some_at_once_and_all_in_their_order() {
        let buffer = Buffer::new(usize::MAX);
        buffer.push((0..NEAR_MESSAGES_MAX + 2).map(|number| message(number.to_string(), None)));
        let mut near = VecDeque::new();
        assert_eq!(poll(&buffer, &mut near).as_deref(), Some("0"));
        assert_eq!(near.len(), NEAR_MESSAGES_MAX - 1);
        buffer.end(Ended::Unsubscribed);
        let rest: Vec<_> = std::iter::from_fn(|| poll(&buffer, &mut near)).collect();
        let expected: Vec<_> = (1..NEAR_MESSAGES_MAX + 2)
            .map(|number| number.to_string())
            .collect();
        assert_eq!(rest, expected, "and only then the end");
    }

    #[test]
    fn what_belongs_to_a_lost_session_is_light() {
        let (buffer, mail) = (Buffer::new(2), Arc::new(Mail::default()));
        for number in 0..5 {
            buffer.push([kept("x", number, &mail)]);
        }
        assert_eq!(buffer.dropped(), 0);
        buffer.lose_session();
        assert_eq!(buffer.dropped(), 3);
    }

    #[test]
    fn one_that_is_left_without_a_word_is_not_acknowledged() {
        let mail = Arc::new(Mail::default());
        drop(kept("x", 1, &mail).with(Acknowledge::Explicitly));
        kept("x", 2, &mail).with(Acknowledge::Explicitly).ack();
        let twice = kept("x", 3, &mail);
        drop(twice.clone());
        assert_eq!(done(&mail), [2]);
        drop(twice);
        assert_eq!(done(&mail), [3]);
    }
}

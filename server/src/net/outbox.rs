//! What waits to leave on one connection.
//!
//! An organization appends to it while its own lock is held; the connection takes everything at once and writes
//! it without any lock. The outbox has a lock of its own, held for a copy of a few hundred bytes, so that a write
//! to the socket never makes the organization wait.
//!
//! The connection sleeps on an empty outbox. The first append wakes it, further ones do not, and when it has
//! written what it took it looks again before it sleeps.

use std::mem;
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;

use cloudsignal_broker::{CloseCause, Message};

use crate::accounts::Secret;
use crate::net::buffers;

/// What waits to leave on one connection.
#[derive(Debug)]
pub(crate) struct Outbox(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    /// Bytes in `batch` and in what the connection has taken and not written yet.
    unsent_bytes: usize,
    /// From here on the organization holds messages back.
    full_bytes: usize,
    /// Whether the organization was told that it must hold back, and waits to hear otherwise.
    was_full: bool,
    close: Option<CloseCause>,
    /// A token that the client shows to go on with; somebody has to check it. Boxed: there mostly is none.
    question: Option<Box<Secret>>,
    /// Whether the connection has looked, found nothing, and relies on being woken.
    is_asleep: bool,
    waker: Option<Waker>,
}

/// Bytes in sending order: small packets copied one after the other, large payloads by reference.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// Rising by `at`.
    pub(crate) shared: Vec<Shared>,
}

/// A payload that goes between two bytes of a batch.
#[derive(Debug)]
pub(crate) struct Shared {
    /// How many of the batch's bytes go before it.
    pub(crate) at: usize,
    pub(crate) message: Arc<Message>,
}

/// What the connection finds when it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// Nothing more will come after what was taken.
    pub(crate) close: Option<CloseCause>,
    /// The organization waits for [`handle_writable`](cloudsignal_broker::Org::handle_writable).
    pub(crate) is_writable_due: bool,
    /// [`Outbox::take_question`] has something.
    pub(crate) is_asked: bool,
    /// Bytes that are not written yet.
    pub(crate) unsent_bytes: usize,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.shared.is_empty()
    }

    /// Bytes on the wire.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
            + self
                .shared
                .iter()
                .map(|shared| shared.message.payload().len())
                .sum::<usize>()
    }

    /// Gives the memory back.
    pub(crate) fn clear(&mut self) {
        buffers::give(mem::take(&mut self.bytes));
        self.shared = Vec::new();
    }
}

impl Outbox {
    /// An outbox whose organization holds back at `full_bytes`.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    /// Says from where on the organization holds messages back.
    pub(crate) fn set_full_bytes(&self, full_bytes: usize) {
        self.0.lock().full_bytes = full_bytes;
    }

    /// Appends bytes. Answers how many wait now, and whom to wake for them.
    pub(crate) fn send(&self, bytes: &[u8]) -> (usize, Option<Waker>) {
        let mut waiting = self.0.lock();
        waiting.append(bytes);
        waiting.appended(bytes.len())
    }

    /// Appends bytes and the payload of `message`. Answers as [`Outbox::send`] does.
    pub(crate) fn send_shared(&self, head: &[u8], message: &Arc<Message>) -> (usize, Option<Waker>) {
        let mut waiting = self.0.lock();
        waiting.append(head);
        let at = waiting.batch.bytes.len();
        let message = Arc::clone(message);
        let bytes = head.len() + message.payload().len();
        waiting.batch.shared.push(Shared { at, message });
        waiting.appended(bytes)
    }

    /// Nothing more will be appended. Answers whom to wake.
    pub(crate) fn close(&self, cause: CloseCause) -> Option<Waker> {
        let mut waiting = self.0.lock();
        waiting.close.get_or_insert(cause);
        waiting.wake()
    }

    /// The client shows a token. Answers whom to wake.
    pub(crate) fn ask(&self, token: Secret) -> Option<Waker> {
        let mut waiting = self.0.lock();
        waiting.question = Some(Box::new(token));
        waiting.wake()
    }

    /// The token that waits to be checked.
    pub(crate) fn take_question(&self) -> Option<Secret> {
        self.0.lock().question.take().map(|token| *token)
    }

    /// The connection has written `written_bytes` and moves everything that waits into `batch`, which is empty.
    /// If there is nothing, it is woken by the next append.
    pub(crate) fn take(&self, written_bytes: usize, batch: &mut Batch) -> Looked {
        debug_assert!(batch.is_empty(), "the connection has written what it took");
        let mut waiting = self.0.lock();
        let looked = waiting.wrote(written_bytes);
        waiting.is_asleep = waiting.batch.is_empty();
        mem::swap(&mut waiting.batch, batch);
        looked
    }

    /// Bytes that are not written yet.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.0.lock().unsent_bytes
    }

    /// The connection has written `written_bytes` and has more in hand.
    pub(crate) fn wrote(&self, written_bytes: usize) -> Looked {
        self.0.lock().wrote(written_bytes)
    }

    /// Whom to wake from now on.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.0.lock().waker = Some(waker.clone());
    }
}

impl Waiting {
    fn append(&mut self, bytes: &[u8]) {
        if self.batch.bytes.capacity() == 0 {
            self.batch.bytes = buffers::take();
        }
        self.batch.bytes.extend_from_slice(bytes);
    }

    fn appended(&mut self, bytes: usize) -> (usize, Option<Waker>) {
        self.unsent_bytes += bytes;
        self.was_full |= self.unsent_bytes >= self.full_bytes;
        (self.unsent_bytes, self.wake())
    }

    fn wake(&mut self) -> Option<Waker> {
        if mem::take(&mut self.is_asleep) {
            self.waker.clone()
        } else {
            None
        }
    }

    fn wrote(&mut self, bytes: usize) -> Looked {
        debug_assert!(bytes <= self.unsent_bytes, "no more is written than was appended");
        self.unsent_bytes -= bytes;
        let is_writable_due = self.was_full && self.unsent_bytes <= self.full_bytes / 2;
        self.was_full &= !is_writable_due;
        Looked {
            close: self.close,
            is_writable_due,
            is_asked: self.question.is_some(),
            unsent_bytes: self.unsent_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[test]
    fn an_outbox_fits_a_class_of_the_allocator() {
        let counts = 2 * size_of::<usize>();
        let bytes = size_of::<Outbox>() + counts;
        assert!(bytes <= 128, "{bytes} bytes");
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn outbox() -> (Arc<Outbox>, Arc<Wakes>) {
        let (outbox, wakes) = (Outbox::new(), Arc::new(Wakes::default()));
        outbox.set_full_bytes(10);
        outbox.set_waker(&Arc::clone(&wakes).into());
        (outbox, wakes)
    }

    fn send(outbox: &Outbox, bytes: &[u8]) -> usize {
        let (unsent, waker) = outbox.send(bytes);
        waker.into_iter().for_each(Waker::wake);
        unsent
    }

    #[test]
    fn a_sleeping_connection_is_woken_once() {
        let (outbox, wakes) = outbox();
        let woken = || wakes.0.load(Ordering::Relaxed);
        let mut batch = Batch::default();
        assert_eq!(send(&outbox, b"a"), 1);
        assert_eq!(woken(), 0, "it has not looked yet, so it is not asleep");
        let looked = outbox.take(0, &mut batch);
        assert_eq!((looked.close, looked.unsent_bytes), (None, 1));
        assert_eq!(batch.bytes, b"a");
        assert_eq!(send(&outbox, b"b"), 2, "what is in hand still waits");
        assert_eq!(woken(), 0, "it will look again when it has written");
        batch.clear();
        outbox.take(1, &mut batch);
        assert_eq!(batch.bytes, b"b");
        batch.clear();
        outbox.take(1, &mut batch);
        assert!(batch.is_empty());
        send(&outbox, b"c");
        send(&outbox, b"d");
        outbox.close(CloseCause::Client).into_iter().for_each(Waker::wake);
        assert_eq!(woken(), 1);
        assert_eq!(outbox.take(0, &mut batch).close, Some(CloseCause::Client));
        assert_eq!(batch.bytes, b"cd");
    }

    #[test]
    fn the_organization_hears_when_half_has_drained_after_it_was_full() {
        let (outbox, _) = outbox();
        let mut batch = Batch::default();
        assert_eq!(send(&outbox, &[0; 9]), 9);
        outbox.take(0, &mut batch);
        batch.clear();
        assert!(!outbox.take(9, &mut batch).is_writable_due, "it was never full");
        assert_eq!(send(&outbox, &[0; 12]), 12);
        outbox.take(0, &mut batch);
        assert!(!outbox.wrote(6).is_writable_due, "six of ten still wait");
        assert!(outbox.wrote(1).is_writable_due);
        let looked = outbox.wrote(1);
        assert!(!looked.is_writable_due, "once");
        assert_eq!(looked.unsent_bytes, 4);
    }

    #[test]
    fn the_first_cause_of_a_close_stays() {
        let (outbox, _) = outbox();
        outbox.close(CloseCause::Client);
        outbox.close(CloseCause::Transport);
        assert_eq!(
            outbox.take(0, &mut Batch::default()).close,
            Some(CloseCause::Client)
        );
    }
}

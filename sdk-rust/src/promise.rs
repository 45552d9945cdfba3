//! What a published message has come to: the driver tells, the caller may listen.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use cloudsignal_core::client::{Closed, Outcome};

use crate::error::PublishError;

/// How far a message is. It only goes forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// On its way.
    Sent,
    /// Safe in the store.
    Stored,
    /// Over.
    Ended(Result<Outcome, PublishError>),
}

#[derive(Debug)]
struct Shared {
    progress: Mutex<Progress>,
    listener: AtomicWaker,
}

/// Hears what becomes of many messages, each of which has a number: see
/// [`Publish::try_send_numbered`](crate::Publish::try_send_numbered). It is called by the client's own task, which waits
/// until it comes back.
pub trait OutcomeListener: Send + Sync + 'static {
    /// This message survives the end of the process. Said only when a store keeps it.
    fn stored(&self, number: u64);

    /// This message is over. Said once of every message that was accepted.
    fn ended(&self, number: u64, end: Result<Outcome, PublishError>);
}

/// The driver's end. Dropping it says that the client is closed.
#[derive(Debug)]
pub(crate) struct Promise(Hearer);

enum Hearer {
    /// Whoever holds the ticket.
    One(Arc<Shared>),
    /// Somebody who hears of many; `None` once it is over.
    Numbered(u64, Option<Arc<dyn OutcomeListener>>),
}

impl fmt::Debug for Hearer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(shared) => shared.fmt(out),
            Self::Numbered(number, _) => write!(out, "number {number}"),
        }
    }
}

/// The caller's end. Dropping it changes nothing.
#[derive(Debug)]
pub(crate) struct Awaited(Arc<Shared>);

pub(crate) fn promise() -> (Promise, Awaited) {
    let shared = Arc::new(Shared {
        progress: Mutex::new(Progress::Sent),
        listener: AtomicWaker::new(),
    });
    (Promise(Hearer::One(Arc::clone(&shared))), Awaited(shared))
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, to: Progress) {
        let mut progress = self.progress();
        if matches!(*progress, Progress::Ended(_)) {
            return;
        }
        *progress = to;
        drop(progress);
        self.listener.wake();
    }
}

impl Promise {
    pub(crate) const fn numbered(number: u64, listener: Arc<dyn OutcomeListener>) -> Self {
        Self(Hearer::Numbered(number, Some(listener)))
    }

    pub(crate) fn stored(&self) {
        match &self.0 {
            Hearer::One(shared) => shared.advance(Progress::Stored),
            Hearer::Numbered(number, listener) => {
                if let Some(listener) = listener {
                    listener.stored(*number);
                }
            }
        }
    }

    pub(crate) fn end(mut self, end: Result<Outcome, PublishError>) {
        self.tell(end);
    }

    fn tell(&mut self, end: Result<Outcome, PublishError>) {
        match &mut self.0 {
            Hearer::One(shared) => shared.advance(Progress::Ended(end)),
            Hearer::Numbered(number, listener) => {
                if let Some(listener) = listener.take() {
                    listener.ended(*number, end);
                }
            }
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.tell(Err(PublishError::Closed(Closed::ByCaller)));
    }
}

impl Awaited {
    /// Ready with the first progress that `is_enough`; the end always is.
    pub(crate) fn poll(&mut self, cx: &Context<'_>, is_enough: impl Fn(&Progress) -> bool) -> Poll<Progress> {
        self.0.listener.register(cx.waker());
        let progress = self.0.progress();
        if is_enough(&progress) || matches!(*progress, Progress::Ended(_)) {
            Poll::Ready(progress.clone())
        } else {
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use cloudsignal_core::ReasonCode;

    use super::*;

    #[tokio::test]
    async fn a_listener_hears_of_each_step_and_the_end_is_final() {
        let (promise, mut awaited) = promise();
        let listening = tokio::spawn(async move {
            let stored = poll_fn(|cx| awaited.poll(cx, |at| *at != Progress::Sent)).await;
            let end = poll_fn(|cx| awaited.poll(cx, |_| false)).await;
            (stored, end, awaited)
        });
        tokio::task::yield_now().await;
        promise.stored();
        tokio::task::yield_now().await;
        promise.end(Ok(Outcome::Acknowledged(ReasonCode::Success)));
        let (stored, end, _) = listening.await.unwrap();
        assert_eq!(stored, Progress::Stored);
        assert_eq!(
            end,
            Progress::Ended(Ok(Outcome::Acknowledged(ReasonCode::Success)))
        );
    }

    #[tokio::test]
    async fn a_promise_that_is_dropped_is_told() {
        let (promise, mut awaited) = promise();
        drop(promise);
        let end = poll_fn(|cx| awaited.poll(cx, |_| false)).await;
        assert_eq!(end, Progress::Ended(Err(PublishError::Closed(Closed::ByCaller))));
    }

    #[derive(Default)]
    struct Book(Mutex<Vec<String>>);

    impl OutcomeListener for Book {
        fn stored(&self, number: u64) {
            self.0.lock().unwrap().push(format!("{number} stored"));
        }

        fn ended(&self, number: u64, end: Result<Outcome, PublishError>) {
            self.0.lock().unwrap().push(format!("{number} {end:?}"));
        }
    }

    #[test]
    fn a_listener_of_many_hears_each_end_once() {
        let book = Arc::new(Book::default());
        let numbered = |number| Promise::numbered(number, Arc::clone(&book) as Arc<dyn OutcomeListener>);
        let first = numbered(1);
        first.stored();
        drop(numbered(2));
        first.end(Ok(Outcome::Sent));
        let heard = book.0.lock().unwrap().clone();
        assert_eq!(heard, ["1 stored", "2 Err(Closed(ByCaller))", "1 Ok(Sent)"]);
    }
}

//! What a published message has come to: the driver tells, the caller may listen.

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

/// The driver's end. Dropping it says that the client is closed.
#[derive(Debug)]
pub(crate) struct Promise(Arc<Shared>);

/// The caller's end. Dropping it changes nothing.
#[derive(Debug)]
pub(crate) struct Awaited(Arc<Shared>);

pub(crate) fn promise() -> (Promise, Awaited) {
    let shared = Arc::new(Shared {
        progress: Mutex::new(Progress::Sent),
        listener: AtomicWaker::new(),
    });
    (Promise(Arc::clone(&shared)), Awaited(shared))
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
    pub(crate) fn stored(&self) {
        self.0.advance(Progress::Stored);
    }

    pub(crate) fn end(self, end: Result<Outcome, PublishError>) {
        self.0.advance(Progress::Ended(end));
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let end = Err(PublishError::Closed(Closed::ByCaller));
        self.0.advance(Progress::Ended(end));
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
}

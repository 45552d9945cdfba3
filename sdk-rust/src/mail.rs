//! What an application leaves for the driver without waiting: acknowledgements, and subscriptions that it has dropped.
//!
//! Nothing here can be full: there is at most one letter for each message that the server may have unacknowledged, and
//! one for each subscription. So a message may be dropped anywhere, also in a handler that the driver waits for nobody in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;

use cloudsignal_core::client::{DeliveryId, SubscriptionId};

use crate::buffer::Buffer;

#[derive(Debug, Default)]
pub(crate) struct Mail {
    letters: Mutex<Letters>,
    driver: AtomicWaker,
}

#[derive(Debug, Default)]
pub(crate) struct Letters {
    /// Messages that the application is done with.
    pub(crate) done: Vec<DeliveryId>,
    /// Receivers that are gone.
    pub(crate) left: Vec<(SubscriptionId, Arc<Buffer>)>,
}

impl Letters {
    pub(crate) const fn is_empty(&self) -> bool {
        self.done.is_empty() && self.left.is_empty()
    }
}

impl Mail {
    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn done(&self, delivery: DeliveryId) {
        let mut letters = self.letters();
        let was_empty = letters.is_empty();
        letters.done.push(delivery);
        drop(letters);
        if was_empty {
            self.driver.wake();
        }
    }

    pub(crate) fn left(&self, id: SubscriptionId, buffer: Arc<Buffer>) {
        self.letters().left.push((id, buffer));
        self.driver.wake();
    }

    /// The driver takes everything into `letters`, which is empty, or is woken by the next letter.
    pub(crate) fn collect(&self, letters: &mut Letters, cx: &Context<'_>) {
        self.driver.register(cx.waker());
        std::mem::swap(&mut *self.letters(), letters);
    }
}

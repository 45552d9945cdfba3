//! Who hears what happens, and how events wait for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use cloudsignal::{Outcome, OutcomeListener, PublishError};
use tokio::sync::Notify;

use crate::event::{Ending, Event};

/// Hears everything about one client, on the client's own thread, which does nothing else meanwhile: it should put what
/// it is given where somebody will look, and come back. It may call the client, except for `join`.
#[uniffi::export(callback_interface)]
pub trait Listener: Send + Sync {
    /// This has happened, in this order: as much as has gathered, at least one event.
    fn on_events(&self, events: Vec<Event>);

    /// The client has ended, and this is the last call. Whatever has no answer by now will have none.
    fn on_closed(&self, ending: Ending);
}

/// Where events wait for the listener. There are no more of them than one turn of the client makes: messages are bounded
/// by what may be handed over ahead, outcomes by the queue, and the rest is rare.
pub(crate) struct Desk {
    listener: Box<dyn Listener>,
    waiting: Mutex<Vec<Event>>,
    arrived: Notify,
}

impl Desk {
    pub(crate) fn new(listener: Box<dyn Listener>) -> Self {
        Self {
            listener,
            waiting: Mutex::new(Vec::new()),
            arrived: Notify::new(),
        }
    }

    pub(crate) fn put(&self, event: Event) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(event);
        if waiting.len() == 1 {
            self.arrived.notify_one();
        }
    }

    /// Hands over what comes, for as long as it is polled.
    pub(crate) async fn hand_over(&self) {
        loop {
            self.arrived.notified().await;
            self.empty();
            // Whoever made these events goes on before more of them are looked for.
            tokio::task::yield_now().await;
        }
    }

    /// Hands over what is there.
    pub(crate) fn empty(&self) {
        let events = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if !events.is_empty() {
            carefully(|| self.listener.on_events(events));
        }
    }

    /// The last call.
    pub(crate) fn close(&self, ending: Ending) {
        carefully(|| self.listener.on_closed(ending));
    }
}

/// A listener that throws has heard what it was told, and harms nobody else.
fn carefully(call: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(call)).is_err() {
        tracing::error!("the listener has thrown");
    }
}

/// Tells the ends of published messages.
pub(crate) struct Outcomes(pub(crate) Arc<Desk>);

impl OutcomeListener for Outcomes {
    fn stored(&self, number: u64) {
        self.0.put(Event::PublishStored { ticket: number });
    }

    fn ended(&self, number: u64, end: Result<Outcome, PublishError>) {
        self.0.put(Event::PublishEnded {
            ticket: number,
            outcome: end.into(),
        });
    }
}

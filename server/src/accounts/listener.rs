//! Whoever acts on changes for open connections, so that a command is answered when they have felt it.

use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::directory::Directory;
use super::event::AccountEvent;
use super::limits::WAITING_COMMANDS_MAX;

/// Gets what changes, and is asked when it has acted on it.
#[derive(Debug)]
pub struct Listener {
    /// What changes from now on. See [`AccountEvent`] for who falls behind.
    pub events: broadcast::Receiver<AccountEvent>,
    /// Commands that wait: tell each when everything that came before it is acted upon.
    pub waiting: mpsc::Receiver<oneshot::Sender<()>>,
}

/// Where the listener is asked, if there is one.
pub(super) type Asked = Mutex<Option<mpsc::Sender<oneshot::Sender<()>>>>;

impl Directory {
    /// From now on commands wait for this listener. An earlier one is not asked any more.
    #[must_use]
    pub fn listen(&self) -> Listener {
        let (ask, waiting) = mpsc::channel(WAITING_COMMANDS_MAX);
        *self.0.listener.lock() = Some(ask);
        Listener {
            events: self.events(),
            waiting,
        }
    }

    /// Waits until the listener has acted on everything that was told so far. Where nobody listens, nobody has
    /// connections.
    pub(super) async fn felt(&self) {
        let listener = self.0.listener.lock().clone();
        let Some(listener) = listener else { return };
        let (tell, told) = oneshot::channel();
        if listener.send(tell).await.is_ok() {
            // It may end before, with all connections.
            let _ = told.await;
        }
    }
}

//! Who may look into the books, and who waits for something in them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::books::Books;
use crate::plan::Plan;

/// The books, shared by everybody of a run.
#[derive(Clone, Debug)]
pub(crate) struct Ledger(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    books: Mutex<Books>,
    /// Somebody may have written: for threads, and for tasks.
    turned: Condvar,
    pages: watch::Sender<()>,
}

impl Ledger {
    pub(crate) fn new(plan: &Arc<Plan>, patience: Duration) -> Self {
        Self(Arc::new(Shared {
            books: Mutex::new(Books::new(plan, patience)),
            turned: Condvar::new(),
            pages: watch::Sender::new(()),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads or writes; nobody else does meanwhile.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Books) -> T) -> T {
        let answer = act(&mut self.lock());
        self.0.turned.notify_all();
        self.0.pages.send_replace(());
        answer
    }

    /// Reads, and wakes nobody.
    pub(crate) fn look<T>(&self, read: impl FnOnce(&Books) -> T) -> T {
        read(&self.lock())
    }

    /// Changes whenever somebody has used [`Ledger::with`].
    pub(crate) fn pages(&self) -> watch::Receiver<()> {
        self.0.pages.subscribe()
    }

    /// Looks at the books again and again, until `look` answers nothing: whenever somebody has used [`Ledger::with`], and at
    /// the latest after the time that it answers.
    pub(crate) fn watch(&self, mut look: impl FnMut(&mut Books) -> Option<Duration>) {
        let mut books = self.lock();
        while let Some(wait) = look(&mut books) {
            let waited = self.0.turned.wait_timeout(books, wait);
            (books, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

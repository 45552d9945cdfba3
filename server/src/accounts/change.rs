//! How a change happens: stored together with its entry of the audit trail, then in force, then told and felt, and then
//! answered.

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, oneshot};

use super::account::Account;
use super::audit::Trail;
use super::command::CommandError;
use super::directory::{Directory, Inner};
use super::doubt::{Doubt, Witness, settle_later};
use super::event::AccountEvent;
use crate::store::{Commit, CommitError};

/// What makes a change in memory, and answers what connections have to hear.
type Apply = Box<dyn FnOnce(&Inner, &Arc<Account>) -> Vec<AccountEvent> + Send>;

/// A change on its way to the store.
pub(super) struct Change {
    apply: Apply,
    trail: Trail,
}

impl Change {
    /// It is stored: from now on it is in force. Answers whether listeners were told of it.
    pub(super) fn make(self, inner: &Inner, account: &Arc<Account>) -> bool {
        let events = (self.apply)(inner, account);
        let is_told = !events.is_empty();
        for event in events {
            // Nobody listens: nobody has connections.
            let _ = inner.events.send(event);
        }
        self.trail.log(account);
        is_told
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("trail", &self.trail)
            .finish_non_exhaustive()
    }
}

impl Directory {
    /// Stores a change of an organization, and its entry with it; then makes it in memory with `apply`,
    /// tells the listeners what `apply` answers, and waits until connections have felt it. `gate` is held until then. Who holds none waits until it is known
    /// of earlier changes whether they were stored.
    pub(super) async fn change<F>(
        &self,
        account: &Arc<Account>,
        trail: Trail,
        commit: Commit,
        gate: Option<OwnedMutexGuard<()>>,
        apply: F,
    ) -> Result<(), CommandError>
    where
        F: FnOnce(&Inner, &Arc<Account>) -> Vec<AccountEvent> + Send + 'static,
    {
        if gate.is_none() {
            self.settle(account).await?;
        }
        let (tell, told) = oneshot::channel();
        let change = Change {
            apply: Box::new(apply),
            trail: trail.clone(),
        };
        let (inner, changed, runtime) = (Arc::clone(&self.0), Arc::clone(account), Handle::current());
        trail.send_with(&self.0, account, commit, |commit| {
            let witness = Witness::of(&commit);
            let done = move |outcome: Result<_, CommitError>| {
                let outcome = match (outcome, witness) {
                    (Ok(_), _) => Ok(change.make(&inner, &changed)),
                    (Err(failed @ CommitError::Failed(_)), Some(witness)) => {
                        if changed.doubts.push(Doubt { witness, change }) {
                            runtime.spawn(settle_later(Arc::downgrade(&inner), changed));
                        }
                        Err(failed)
                    }
                    (Err(error), _) => Err(error),
                };
                drop(gate);
                // The caller went away; the change stands.
                let _ = tell.send(outcome);
            };
            self.0.store.commit(commit, Box::new(done));
        });
        match told.await {
            Ok(Ok(is_told)) => {
                if is_told {
                    self.felt().await;
                }
                Ok(())
            }
            Ok(Err(CommitError::Busy)) => Err(CommandError::Busy),
            Ok(Err(error)) => {
                tracing::error!(%error, "a change of the directory could not be stored");
                Err(CommandError::Storage)
            }
            Err(_dropped) => Err(CommandError::Storage),
        }
    }
}

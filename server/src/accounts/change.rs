//! How a change happens: stored together with its entry of the audit trail, then in force, then told.

use std::sync::Arc;

use tokio::sync::{OwnedMutexGuard, oneshot};

use super::account::Account;
use super::audit::Trail;
use super::command::CommandError;
use super::directory::{Directory, Inner};
use super::event::AccountEvent;
use crate::store::{Commit, CommitError};

impl Directory {
    /// Stores a change of an organization, and its entry with it; then makes it in memory with `apply` and
    /// tells the listeners what `apply` answers. `gate` is held until then.
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
        let (tell, told) = oneshot::channel();
        let (inner, changed) = (Arc::clone(&self.0), Arc::clone(account));
        let logged = trail.clone();
        let done = move |outcome: Result<_, CommitError>| {
            if outcome.is_ok() {
                for event in apply(&inner, &changed) {
                    // Nobody listens: nobody has connections.
                    let _ = inner.events.send(event);
                }
                logged.log(&changed);
            }
            drop(gate);
            // The caller went away; the change stands.
            let _ = tell.send(outcome);
        };
        trail.send_with(&self.0, account, commit, |commit| {
            self.0.store.commit(commit, Box::new(done));
        });
        match told.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(CommitError::Busy)) => Err(CommandError::Busy),
            Ok(Err(error)) => {
                tracing::error!(%error, "a change of the directory could not be stored");
                Err(CommandError::Storage)
            }
            Err(_dropped) => Err(CommandError::Storage),
        }
    }
}

//! How well an organization stores is changed while it is at work.
//!
//! | from | to | |
//! |---|---|---|
//! | `disk`, `os` | `os`, `disk` | with the next commit |
//! | `memory` | `disk`, `os` | what is there is stored first; acknowledgements wait for it from the first moment on |
//! | `disk`, `os` | `memory` | once no message is only in the store; then what is stored is removed |
//!
//! The directory has stored what it says before anybody acts on it. A crash in between ends as every crash of an
//! organization at level `memory`: either nothing was stored yet, or nothing is read any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Orgs;
use super::cell::OrgCell;
use crate::durable::Level;
use crate::durable::restore::RestoreError;

/// How often it is looked whether the store is needed still, and how long something that failed rests.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is said how far a beginning is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What became of a step.
enum Step {
    /// It stores as the directory says.
    Done,
    /// To be looked at again.
    Waits,
}

impl Orgs {
    /// What acknowledgements of an organization survive is to be another level.
    pub(crate) fn refresh_level(&self, cell: &Arc<OrgCell>) {
        let level = self.durability_of(cell.id()).level();
        if level == cell.level() && !level.is_kept() || level.is_kept() && cell.keep_storing(level) {
            return;
        }
        if let Some(me) = self.me.upgrade().filter(|_| cell.begins_switch()) {
            tokio::spawn(me.switch(Arc::clone(cell)));
        }
    }

    /// Until it stores as the directory says, or is no more.
    async fn switch(self: Arc<Self>, cell: Arc<OrgCell>) {
        let id = cell.id();
        let mut is_told = false;
        while self.find(id).is_some_and(|now| Arc::ptr_eq(&now, &cell)) {
            let level = self.durability_of(id).level();
            let step = match level {
                Level::Memory => self.stop(&cell, &mut is_told).await,
                Level::Disk | Level::Os if cell.keep_storing(level) => Ok(Step::Done),
                Level::Disk | Level::Os => self.begin(&cell, level).await,
            };
            match step {
                Ok(Step::Done) => {
                    cell.ends_switch();
                    let is_settled = self.durability_of(id).level() == level;
                    if is_settled || !cell.begins_switch() {
                        return;
                    }
                }
                Ok(Step::Waits) => sleep(LOOK_EVERY).await,
                Err(error) => {
                    tracing::error!(org = %id, %error, %level, "its level cannot be changed yet; it is tried again");
                    sleep(LOOK_EVERY).await;
                }
            }
        }
        cell.ends_switch();
    }

    /// From memory into the store.
    async fn begin(&self, cell: &OrgCell, level: Level) -> Result<Step, RestoreError> {
        let id = cell.id();
        if self.durability.holds_some(id).await? {
            tracing::warn!(
                org = %id,
                %level,
                "it has stored something before, which only a start reads back: it stores from the next start on"
            );
            return Ok(Step::Done);
        }
        let entries = cell.begin_storing(level);
        tracing::info!(org = %id, %level, entries, "it stores from now on, beginning with what there is");
        loop {
            let acknowledged = cell.committer().acknowledged();
            if cell.write_out() {
                tracing::info!(org = %id, %level, "everything of it is stored");
                return Ok(Step::Done);
            }
            tokio::select! {
                () = acknowledged => {}
                () = sleep(TELL_EVERY) => {
                    tracing::info!(org = %id, unstored_bytes = cell.unstored().bytes, "it is being stored");
                }
            }
        }
    }

    /// Out of the store.
    async fn stop(&self, cell: &OrgCell, is_told: &mut bool) -> Result<Step, RestoreError> {
        let id = cell.id();
        if !cell.stop_storing() {
            if !std::mem::replace(is_told, true) {
                tracing::warn!(
                    org = %id,
                    "it stores nothing any more once nobody waits for messages that only the store has; the next start \
                     removes them"
                );
            }
            return Ok(Step::Waits);
        }
        // What is under way would come back after it.
        cell.committer().rested().await;
        let entries = self.durability.erase(id).await?;
        tracing::info!(org = %id, entries, "it stores nothing any more: what was stored is removed");
        Ok(Step::Done)
    }
}

#[cfg(test)]
mod tests;

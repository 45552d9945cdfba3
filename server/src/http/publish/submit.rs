//! Into the organization, and what became of it.

use std::time::Duration;

use tokio::sync::oneshot;

use cloudsignal_broker::Identity;
use cloudsignal_broker::org::Submitted;

use super::message::OwnedMessage;
use crate::accounts::CommandError;
use crate::durable::Level;
use crate::http::{Api, ApiError};
use crate::orgs::cell::{Handover, SENDS_PER_HOLD_MAX};

/// Messages that are handed over in one hold.
const HOLD_MESSAGES_MAX: usize = 64;
/// How long a request waits while too much of its organization is unstored. Connections are not read meanwhile, either.
pub(super) const RELIEF_WAIT_MAX: Duration = Duration::from_secs(5);

/// Hands messages over in order. Answers when what they changed is stored, for those that ask for it: one outcome for
/// each, and what the organization promises.
pub(super) async fn submit(
    api: &Api,
    identity: &Identity,
    messages: &[OwnedMessage],
) -> Result<(Vec<Submitted>, Level), ApiError> {
    let orgs = &api.0.orgs;
    let Some(cell) = orgs.enter(&identity.org) else {
        return Err(if orgs.exists(&identity.org) {
            // It is being read back.
            CommandError::Storage.into()
        } else {
            ApiError::not_found("organization")
        });
    };
    // Once for all of them: a request that is told to come back has published nothing.
    let relieved = tokio::time::timeout(RELIEF_WAIT_MAX, cell.committer().relieved()).await;
    relieved.map_err(|_late| CommandError::Busy)?;
    // As it is now: a change while the messages are on their way is not promised.
    let level = cell.level();
    let mut outcomes = Vec::with_capacity(messages.len());
    let mut last: Option<oneshot::Receiver<()>> = None;
    while outcomes.len() < messages.len() {
        let now = api.0.clock.now();
        let turn = cell.hold(now, None, |org, effects| {
            let mut ticket = None;
            for message in messages.iter().skip(outcomes.len()).take(HOLD_MESSAGES_MAX) {
                let outcome = org.handle_submission(identity, &message.submission(), now, effects);
                let waits = message.durability != Some(Level::Memory);
                ticket = outcome.ticket.filter(|_| waits).or(ticket);
                outcomes.push(outcome);
                if effects.sends() >= SENDS_PER_HOLD_MAX {
                    break;
                }
            }
            (ticket.map(|ticket| effects.stored(ticket)), Handover::Fair)
        });
        // A broken organization: nothing is promised.
        last = turn.ok_or(CommandError::Storage)?.or(last);
    }
    if let Some(stored) = last {
        stored.await.map_err(|_never| CommandError::Storage)?;
    }
    Ok((outcomes, level))
}

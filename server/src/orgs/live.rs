//! What the directory decides reaches open connections at once.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use cloudsignal_broker::{Identity, OrgId};
use cloudsignal_core::Instant;
use cloudsignal_core::codec::ReasonCode;

use crate::accounts::command::CredentialFault;
use crate::accounts::{AccountEvent, Directory, Gone, LiveEffect};
use crate::clock::Clock;
use crate::orgs::Orgs;
use crate::orgs::cell::{Handover, OrgCell};

/// Listens to the directory until it is dropped.
pub(crate) async fn run(
    orgs: Arc<Orgs>,
    directory: Directory,
    mut events: broadcast::Receiver<AccountEvent>,
    clock: Clock,
) {
    loop {
        match events.recv().await {
            Ok(event) => apply(&orgs, &directory, &event, clock.now()),
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "directory events were missed; checking every connection");
                for cell in orgs.cells() {
                    refresh_policy(&cell, &directory, clock.now());
                    check_all(&cell, &directory, clock.now());
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn apply(orgs: &Orgs, directory: &Directory, event: &AccountEvent, now: Instant) {
    // An organization that nobody has entered has nothing open, and reads the directory when somebody does.
    let Some(cell) = orgs.find(&event.org) else { return };
    match event.change.effect() {
        LiveEffect::None => {}
        LiveEffect::EndCredential(credential, reason) => {
            let ended = cell.hold(now, None, |org, effects| {
                let ended = org.handle_credential_ended(&credential, reason, now, effects);
                (ended, Handover::Free)
            });
            tracing::debug!(org = %event.org, ended, "a credential ended");
        }
        LiveEffect::MoveDeadline(credential, expires_at) => {
            cell.hold(now, None, |org, _| {
                org.handle_credential_renewed(&credential, Some(expires_at));
                ((), Handover::Free)
            });
        }
        LiveEffect::NewPolicy => refresh_policy(&cell, directory, now),
        LiveEffect::EndAll(reason) => {
            cell.hold(now, None, |org, effects| {
                (org.handle_shutdown(reason, now, effects), Handover::Free)
            });
        }
        LiveEffect::CheckAll => check_all(&cell, directory, now),
    }
    forget_if_deleted(orgs, directory, &event.org);
}

/// What an organization held ends with it.
fn forget_if_deleted(orgs: &Orgs, directory: &Directory, org: &OrgId) {
    if directory.policy(org).is_none() {
        orgs.forget(org);
    }
}

fn refresh_policy(cell: &OrgCell, directory: &Directory, now: Instant) {
    let Some(policy) = directory.policy(cell.id()) else {
        return;
    };
    cell.hold(now, None, |org, effects| {
        org.handle_policy(policy, now, effects);
        ((), Handover::Free)
    });
}

/// Asks about every connection of an organization whether it may stay.
fn check_all(cell: &OrgCell, directory: &Directory, now: Instant) {
    let connected: Vec<(Box<str>, Identity)> = cell.read(|org| {
        let connected = org.sessions().filter(|session| session.connected);
        connected
            .map(|session| (session.client_id.into(), session.identity.clone()))
            .collect()
    });
    for (client_id, identity) in connected {
        match directory.standing(&identity) {
            Ok(expires_at) => move_deadline(cell, &identity, expires_at, now),
            Err(gone) => {
                cell.hold(now, None, |org, effects| {
                    (
                        org.handle_kick(&client_id, reason_of(gone), now, effects),
                        Handover::Free,
                    )
                });
            }
        }
    }
}

/// Acts on what the directory says about a connection that was bound a moment ago.
pub(crate) fn settle(
    cell: &OrgCell,
    identity: &Identity,
    standing: Result<Option<Instant>, Gone>,
    now: Instant,
) {
    match standing {
        Ok(expires_at) => move_deadline(cell, identity, expires_at, now),
        Err(gone) => {
            cell.hold(now, None, |org, effects| {
                let reason = reason_of(gone);
                let ended = org.handle_credential_ended(&identity.credential, reason, now, effects);
                (ended, Handover::Free)
            });
        }
    }
}

fn move_deadline(cell: &OrgCell, identity: &Identity, expires_at: Option<Instant>, now: Instant) {
    if expires_at != identity.expires_at {
        cell.hold(now, None, |org, _| {
            org.handle_credential_renewed(&identity.credential, expires_at);
            ((), Handover::Free)
        });
    }
}

/// What a client is told whose right to stay has ended.
const fn reason_of(gone: Gone) -> ReasonCode {
    match gone {
        Gone::Org | Gone::Credential(CredentialFault::Suspended) => ReasonCode::AdministrativeAction,
        Gone::Credential(CredentialFault::Expired) => ReasonCode::MaximumConnectTime,
        Gone::Credential(CredentialFault::Unknown | CredentialFault::Revoked) => ReasonCode::NotAuthorized,
    }
}

//! What the directory decides reaches open connections at once.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use cloudsignal_broker::{ConnId, Credential, Identity};
use cloudsignal_core::Instant;
use cloudsignal_core::codec::ReasonCode;

use crate::accounts::command::CredentialFault;
use crate::accounts::{AccountEvent, Directory, Gone, Listener, LiveEffect};
use crate::clock::Clock;
use crate::orgs::Orgs;
use crate::orgs::cell::{Handover, OrgCell};

/// Listens to the directory until it is dropped. Commands that wait are told when connections have felt them.
pub(crate) async fn run(orgs: Arc<Orgs>, directory: Directory, mut listener: Listener, clock: Clock) {
    let Listener { events, waiting } = &mut listener;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => apply(&orgs, &directory, &event, clock.now()),
                Err(RecvError::Lagged(missed)) => check_everything(&orgs, &directory, missed, clock.now()),
                Err(RecvError::Closed) => return,
            },
            Some(command) = waiting.recv() => {
                catch_up(&orgs, &directory, events, clock.now());
                // The caller went away.
                let _ = command.send(());
            }
        }
    }
}

/// Acts on what the directory has told so far.
pub(crate) fn catch_up(
    orgs: &Orgs,
    directory: &Directory,
    events: &mut broadcast::Receiver<AccountEvent>,
    now: Instant,
) {
    loop {
        match events.try_recv() {
            Ok(event) => apply(orgs, directory, &event, now),
            Err(TryRecvError::Lagged(missed)) => check_everything(orgs, directory, missed, now),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        }
    }
}

fn check_everything(orgs: &Orgs, directory: &Directory, missed: u64, now: Instant) {
    tracing::warn!(missed, "directory events were missed; checking every connection");
    for cell in orgs.cells() {
        check_all(&cell, directory, now);
        refresh_limits(orgs, &cell, now);
        orgs.refresh_level(&cell);
        if refresh_policy(&cell, directory, now).is_none() {
            orgs.forget(cell.id());
        }
    }
}

fn apply(orgs: &Orgs, directory: &Directory, event: &AccountEvent, now: Instant) {
    // Events run behind the directory: this one may be older than the organization's end.
    if !directory.has_org(&event.org) {
        if let Some(cell) = orgs.find(&event.org) {
            end_all(&cell, ReasonCode::AdministrativeAction, now);
        }
        orgs.forget(&event.org);
        return;
    }
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
        LiveEffect::NewQuotas => refresh_limits(orgs, &cell, now),
        LiveEffect::NewDurability => orgs.refresh_level(&cell),
        LiveEffect::NewPolicy => {
            refresh_policy(&cell, directory, now);
        }
        LiveEffect::EndAll(reason) => end_all(&cell, reason, now),
        LiveEffect::CheckPrincipal(principal) => {
            check_principal(&cell, directory, &principal, now);
        }
        LiveEffect::CheckAll => check_all(&cell, directory, now),
    }
}

fn end_all(cell: &OrgCell, reason: ReasonCode, now: Instant) {
    cell.hold(now, None, |org, effects| {
        (org.handle_shutdown(reason, now, effects), Handover::Free)
    });
}

fn refresh_limits(orgs: &Orgs, cell: &OrgCell, now: Instant) {
    let limits = orgs.allowance(cell.id()).limits;
    cell.hold(now, None, |org, _| {
        org.handle_limits(limits);
        ((), Handover::Free)
    });
}

/// `None`: the directory knows no such organization.
fn refresh_policy(cell: &OrgCell, directory: &Directory, now: Instant) -> Option<()> {
    let policy = directory.policy(cell.id())?;
    cell.hold(now, None, |org, effects| {
        org.handle_policy(policy, now, effects);
        ((), Handover::Free)
    });
    Some(())
}

/// Asks about every connection of an organization whether it may stay.
fn check_all(cell: &OrgCell, directory: &Directory, now: Instant) {
    let open: Vec<_> = cell.read(|org| {
        let has_login = |(_, identity): &(_, &Arc<Identity>)| identity.credential != Credential::Anonymous;
        org.connections().filter(has_login).map(held).collect()
    });
    check(cell, directory, &open, now);
}

/// Asks about every connection of a principal whether it may stay.
fn check_principal(cell: &OrgCell, directory: &Directory, principal: &str, now: Instant) {
    let open: Vec<_> = cell.read(|org| org.connections_of(principal).map(held).collect());
    check(cell, directory, &open, now);
}

fn held((conn, identity): (ConnId, &Arc<Identity>)) -> (ConnId, Arc<Identity>) {
    (conn, Arc::clone(identity))
}

fn check(cell: &OrgCell, directory: &Directory, open: &[(ConnId, Arc<Identity>)], now: Instant) {
    for (conn, identity) in open {
        settle(cell, *conn, identity, directory.standing(identity), now);
    }
}

/// Acts on what the directory says about one connection. It may be another one by now, which then stays.
pub(crate) fn settle(
    cell: &OrgCell,
    conn: ConnId,
    identity: &Identity,
    standing: Result<Option<Instant>, Gone>,
    now: Instant,
) {
    match standing {
        Ok(expires_at) if expires_at == identity.expires_at => {}
        Ok(expires_at) => {
            cell.hold(now, None, |org, _| {
                (
                    org.handle_login_renewed(conn, identity, expires_at),
                    Handover::Free,
                )
            });
        }
        Err(gone) => {
            cell.hold(now, None, |org, effects| {
                let reason = reason_of(gone);
                let ended = org.handle_login_ended(conn, identity, reason, now, effects);
                (ended, Handover::Free)
            });
        }
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

#[cfg(test)]
mod tests;

//! How the process is told to stop or to reload, and how clients are sent away.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use cloudsignal_core::codec::ReasonCode;

use crate::net::shell::Shell;
use crate::orgs::cell::{Handover, OrgCell};

/// Clients are sent away in groups this far apart.
const STEP: Duration = Duration::from_millis(20);

/// What the system asks of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The signals that mean something.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    pub(crate) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }
}

/// Sends all clients away, spread over the configured time, and waits until they are gone or time is up.
pub(crate) async fn drain(shell: &Shell) {
    let config = shell.config.shutdown;
    let deadline = Duration::from_secs(u64::from(config.deadline_secs));
    let spread = Duration::from_millis(u64::from(config.spread_millis));
    let drained = async {
        send_away(shell, spread).await;
        shell.sources.drained().await;
    };
    if tokio::time::timeout(deadline, drained).await.is_err() {
        tracing::warn!(
            connections = shell.sources.total(),
            "shutdown.deadline_secs reached; connections are cut"
        );
    }
}

async fn send_away(shell: &Shell, spread: Duration) {
    let clients = connected(shell);
    tracing::info!(clients = clients.len(), "stopping: sending clients away");
    let steps = (spread.as_millis() / STEP.as_millis()).max(1);
    let group = clients
        .len()
        .div_ceil(usize::try_from(steps).unwrap_or(usize::MAX))
        .max(1);
    let mut groups = clients.chunks(group).peekable();
    while let Some(group) = groups.next() {
        for (cell, client_id) in group {
            let now = shell.clock.now();
            cell.hold(now, None, |org, effects| {
                let reason = ReasonCode::ServerShuttingDown;
                (org.handle_kick(client_id, reason, now, effects), Handover::Free)
            });
        }
        if groups.peek().is_some() {
            tokio::time::sleep(STEP).await;
        }
    }
    // Whoever was let in meanwhile.
    for cell in shell.orgs.cells() {
        let now = shell.clock.now();
        cell.hold(now, None, |org, effects| {
            let reason = ReasonCode::ServerShuttingDown;
            (org.handle_shutdown(reason, now, effects), Handover::Free)
        });
    }
}

fn connected(shell: &Shell) -> Vec<(Arc<OrgCell>, Box<str>)> {
    let mut clients = Vec::new();
    for cell in shell.orgs.cells() {
        let ids: Vec<Box<str>> = cell.read(|org| {
            let connected = org.sessions().filter(|session| session.connected);
            connected.map(|session| session.client_id.into()).collect()
        });
        clients.extend(ids.into_iter().map(|id| (Arc::clone(&cell), id)));
    }
    clients
}

//! What every connection of the process shares.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use cloudsignal_broker::{ConnId, Credential, Identity};
use cloudsignal_core::Instant;
use cloudsignal_core::codec::Connect;

use crate::accounts::{Directory, Secret};
use crate::authn::{Authenticator, Login, Refusal};
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::net::connection::Peer;
use crate::net::sources::Sources;
use crate::orgs::cell::OrgCell;
use crate::orgs::{Orgs, live};

/// Time between two warnings about limits: ten seconds.
const WARNING_MICROS_MIN: u64 = 10_000_000;

/// What every connection of the process shares.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) clock: Clock,
    pub(crate) config: Arc<Config>,
    pub(crate) directory: Directory,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) orgs: Arc<Orgs>,
    pub(crate) sources: Arc<Sources>,
    pub(crate) metrics: Arc<Metrics>,
    /// Turns true when the process stops.
    pub(crate) stop: watch::Receiver<bool>,
    /// When the next warning about a limit may be written.
    pub(crate) next_warning_micros: AtomicU64,
}

/// The answer about a login, when it is there.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Identity, Refusal>> + Send>>;

impl Shell {
    /// Asks who is connecting.
    pub(crate) fn authenticate(self: &Arc<Self>, connect: &Connect<'_>, peer: &Peer) -> Answer {
        let shell = Arc::clone(self);
        let (source, certificate) = (peer.addr.ip(), peer.certificate.clone());
        let username = connect.username.map(str::to_owned);
        let password = connect.password.map(<[u8]>::to_vec);
        let is_by_method = connect.auth_method.is_some();
        let data = connect.auth_data.map(<[u8]>::to_vec);
        Box::pin(async move {
            let asked_at = shell.clock.now();
            let login = Login {
                username: username.as_deref(),
                password: password.as_deref(),
                certificate: certificate.as_deref(),
                source,
            };
            let answer = if is_by_method {
                // The data of the method, or for clients that cannot set it the password.
                let token = data.as_deref().or(login.password);
                shell.authenticator.authenticate_token(login.username, token)
            } else {
                shell.authenticator.authenticate(login).await
            };
            shell.note_answer(&answer, asked_at);
            answer
        })
    }

    /// Asks who an open connection is with the token that it shows now.
    pub(crate) fn check_token(self: &Arc<Self>, token: &Secret) -> Answer {
        let (shell, token) = (Arc::clone(self), token.clone());
        Box::pin(async move {
            let asked_at = shell.clock.now();
            let token = token.expose().as_bytes();
            let answer = shell.authenticator.authenticate_token(None, Some(token));
            shell.note_answer(&answer, asked_at);
            answer
        })
    }

    fn note_answer(&self, answer: &Result<Identity, Refusal>, asked_at: Instant) {
        let refusal = answer.as_ref().err().copied();
        self.metrics
            .authenticated(refusal, self.clock.now().since(asked_at));
    }

    /// Asks the directory once more about a connection that was bound a moment ago: what happened since the login is
    /// made good. From then on the directory's events reach the connection.
    pub(crate) fn check_standing(&self, cell: &OrgCell, conn: ConnId, identity: &Identity) {
        match &identity.credential {
            Credential::Anonymous => {}
            Credential::Password { .. }
            | Credential::Token { .. }
            | Credential::Key { .. }
            | Credential::Certificate { .. } => {
                live::settle(
                    cell,
                    conn,
                    identity,
                    self.directory.standing(identity),
                    self.clock.now(),
                );
            }
        }
    }

    /// Says that a limit of the process was met, at most once in a while: whoever floods us must not flood the log.
    pub(crate) fn warn_of_limit(&self, key: &'static str) {
        let now = self.clock.now().as_micros();
        let next = self.next_warning_micros.load(Ordering::Relaxed);
        let later = now + WARNING_MICROS_MIN;
        let claim =
            self.next_warning_micros
                .compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed);
        if now >= next && claim.is_ok() {
            tracing::warn!(key, "limit reached: connections are closed");
        }
    }

    /// Waits until the process stops.
    pub(crate) fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.clone();
        async move {
            // The sender is gone: the process is as good as stopped.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }
}

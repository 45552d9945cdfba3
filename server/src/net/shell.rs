//! What every connection of the process shares.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use cloudsignal_broker::{Credential, Identity};
use cloudsignal_core::codec::Connect;

use crate::accounts::Directory;
use crate::authn::{Authenticator, Login, Refusal};
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
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
    pub(crate) fn authenticate(self: &Arc<Self>, connect: &Connect<'_>, source: IpAddr) -> Answer {
        let shell = Arc::clone(self);
        let username = connect.username.map(str::to_owned);
        let password = connect.password.map(<[u8]>::to_vec);
        Box::pin(async move {
            let asked_at = shell.clock.now();
            let login = Login {
                username: username.as_deref(),
                password: password.as_deref(),
                source,
            };
            let answer = shell.authenticator.authenticate(login).await;
            let refusal = answer.as_ref().err().copied();
            shell
                .metrics
                .authenticated(refusal, shell.clock.now().since(asked_at));
            answer
        })
    }

    /// Asks the directory once more about a connection that was bound a moment ago: what happened since the login is
    /// made good. From then on the directory's events reach the connection.
    pub(crate) fn check_standing(&self, cell: &OrgCell, identity: &Identity) {
        match &identity.credential {
            Credential::Anonymous => {}
            Credential::Password { .. } | Credential::Token { .. } | Credential::Key { .. } => {
                live::settle(
                    cell,
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

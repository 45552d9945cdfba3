//! What every connection of the process shares.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

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

    /// Waits until the process stops.
    pub(crate) fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.clone();
        async move {
            // The sender is gone: the process is as good as stopped.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }
}

//! A broker inside another program: no socket, no disk, no clock and no task of its own.
//!
//! Connections are pipes that the caller brings and polls, the store and the clock are the caller's, and what a
//! running broker does beside its connections happens when the caller says so. Everything between the bytes of a
//! connection, or a request, and the organizations is what a running broker has.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::io::DuplexStream;
use tokio::sync::{broadcast, watch};

use cloudsignal_broker::OrgId;
use cloudsignal_broker::counters::Counters;

use super::{ADMIN_TOKEN_PREFIX, Foundation, Kind, Routers, make_shell};
use crate::accounts::{AccountEvent, Directory, Secret};
use crate::authn::PasswordPool;
use crate::clock::Clock;
use crate::config::Config;
use crate::durable::Level;
use crate::http::{Phase, Readiness};
use crate::net::connection::{Connection, Peer};
use crate::net::shell::Shell;
use crate::net::transport::Transport;
use crate::orgs::{live, timekeeper};
use crate::store::{Store, StoreError};

/// A broker without listeners. When it is dropped, connections that are still polled end.
#[derive(Debug)]
pub struct InProcess {
    shell: Arc<Shell>,
    router: Router,
    admin_token: Secret,
    events: broadcast::Receiver<AccountEvent>,
    /// Connections end when it is gone.
    _stop: watch::Sender<bool>,
}

impl InProcess {
    /// A broker with the accounts of `store`. Of `config`, what is about listeners and files means nothing.
    ///
    /// # Errors
    /// What the store answers, or which record cannot be understood.
    pub async fn new(
        config: Config,
        store: Arc<dyn Store>,
        clock: Clock,
        passwords: PasswordPool,
    ) -> Result<Self, StoreError> {
        let foundation = Foundation::over(store, clock, passwords, &config.identity).await?;
        let (stop, stopping) = watch::channel(false);
        let shell = make_shell(config, &foundation, stopping, Level::Memory);
        let (admin_token, readiness) = (Secret::generate(ADMIN_TOKEN_PREFIX), Readiness::default());
        readiness.set(Phase::Ready);
        let router = Routers::new(foundation.api(&admin_token, readiness, &shell), &shell).api;
        Ok(Self {
            events: shell.directory.events(),
            shell,
            router,
            admin_token,
            _stop: stop,
        })
    }

    /// A client at the other end of `pipe`, as if it came to the plain MQTT listener from `addr`. The connection
    /// lives while it is polled, inside a runtime with time. `None`: there are as many as there may be.
    pub fn connect(
        &self,
        pipe: DuplexStream,
        addr: SocketAddr,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let mut place = self.shell.sources.enter().ok()?;
        place.set_source(addr.ip()).ok()?;
        let peer = Peer {
            addr,
            kind: Kind::Mqtt,
            certificate: None,
            place,
        };
        let shell = Arc::clone(&self.shell);
        Some(Connection::new(Transport::Pipe(pipe), None, &[], peer, shell))
    }

    /// The HTTP API. Requests need an [`http::Peer`](crate::http::Peer) among their extensions.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// What opens the administration's part of the API.
    #[must_use]
    pub const fn admin_token(&self) -> &Secret {
        &self.admin_token
    }

    /// All accounts.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.shell.directory
    }

    /// Lets open connections feel what the directory has decided since the last call.
    pub fn apply_changes(&mut self) {
        let now = self.shell.clock.now();
        live::catch_up(&self.shell.orgs, &self.shell.directory, &mut self.events, now);
    }

    /// Serves the time-outs of organizations that are due by the clock.
    pub fn serve_timeouts(&self) {
        timekeeper::serve_due(&self.shell.orgs, self.shell.clock.now());
    }

    /// What an organization has counted; `None` if nobody has entered it.
    #[must_use]
    pub fn counters(&self, org: &OrgId) -> Option<Counters> {
        let cell = self.shell.orgs.find(org)?;
        Some(cell.read(|org| org.counters().clone()))
    }

    /// Checks what must always hold inside every organization. It looks at everything.
    ///
    /// # Panics
    /// When something does not hold, which is our bug.
    pub fn check_invariants(&self) {
        for cell in self.shell.orgs.cells() {
            cell.read(cloudsignal_broker::Org::invariants);
        }
    }
}

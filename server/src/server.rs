//! A running broker: what it is laid on, its listeners, and how it stops. [`InProcess`] is one without listeners.

mod in_process;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::accounts::{Directory, Secret};
use crate::authn::password::HashCost;
use crate::authn::{Authenticator, PasswordPool};
use crate::cli::admin::AdminAccess;
use crate::cli::serve::Listen;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::durable::Level;
use crate::durable::restore::Totals;
use crate::first_run::announcement::announcement;
use crate::first_run::certificate::local_hostname;
use crate::first_run::{Bound, DataFolder, Endpoints, ensure_certificates, ensure_organization};
use crate::history::History;
use crate::http::{self, Api, Phase, Readiness};
use crate::metrics::Metrics;
use crate::net::listener::{Door, bind};
use crate::net::shell::Shell;
use crate::net::sources::Sources;
use crate::net::tls::{Certificates, Files};
use crate::net::web;
use crate::orgs::{Orgs, live, timekeeper};
use crate::shutdown;
use crate::store::{Store, StoreError, fjall};

pub use in_process::InProcess;

pub use crate::net::listener::Kind;

/// What the token of a running broker's administration begins with.
const ADMIN_TOKEN_PREFIX: &str = "adm_";

/// How long the store may take for what waits when the broker stops.
const WRITE_OUT: Duration = Duration::from_secs(5);

/// A running broker.
#[derive(Debug)]
pub struct Server {
    addresses: BTreeMap<Kind, SocketAddr>,
    shell: Arc<Shell>,
    folder: DataFolder,
    certificates: Option<Arc<Certificates>>,
    readiness: Readiness,
    stop: watch::Sender<bool>,
    /// Listeners, and what runs beside the connections.
    tasks: Vec<JoinHandle<()>>,
    announcement: Option<String>,
}

/// What a broker is laid on.
#[derive(Debug)]
struct Foundation {
    clock: Clock,
    directory: Directory,
    authenticator: Arc<Authenticator>,
    history: History,
}

impl Foundation {
    /// On disk: opens the store of a data folder.
    async fn lay(folder: &DataFolder, config: &Config) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let (path, store_clock, data_loss) = (folder.store(), clock.clone(), config.data_loss);
        let opened = tokio::task::spawn_blocking(move || fjall::open(&path, store_clock, data_loss)).await?;
        let store = opened.context("the store cannot be opened")?;
        let threads = available_parallelism().map_or(1, usize::from);
        let passwords = PasswordPool::start(HashCost::OWASP, threads).context("no thread for passwords")?;
        Self::over(Arc::new(store), clock, passwords, &config.identity)
            .await
            .context("the accounts cannot be read")
    }

    /// Reads back the accounts that a store holds.
    async fn over(
        store: Arc<dyn Store>,
        clock: Clock,
        passwords: PasswordPool,
        identity: &config::Identity,
    ) -> Result<Self, StoreError> {
        let history = History::new(Arc::clone(&store), clock.clone());
        let directory = Directory::open(store, clock.clone(), passwords.clone()).await?;
        directory.set_provider_reach(identity.hosts);
        let authenticator = Authenticator::new(directory.clone(), passwords, clock.clone());
        let authenticator = Arc::new(authenticator.with_identity(identity.into()));
        Ok(Self {
            clock,
            directory,
            authenticator,
            history,
        })
    }

    fn api(&self, admin_token: &Secret, readiness: Readiness, shell: &Shell) -> Api {
        Api::new(
            self.directory.clone(),
            Arc::clone(&self.authenticator),
            self.clock.clone(),
            admin_token,
            readiness,
            Arc::clone(&shell.orgs),
            shell.config.http.sign_up,
        )
    }
}

impl Server {
    /// Opens the data folder, binds the listeners, and serves until [`Server::stop`].
    ///
    /// # Errors
    /// What keeps the broker from running, in words for an operator.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let folder = DataFolder::open(&config.data_dir).context("the data folder cannot be used")?;
        let foundation = Foundation::lay(&folder, &config).await?;
        let listeners = bind_all(&config)?;
        let certificates = load_certificates(&config, &folder, &foundation.clock)?;
        let (stop, stopping) = watch::channel(false);
        let level = config.durability.level;
        let shell = make_shell(config, &foundation, stopping, level);
        let usage = shell.orgs.usage().load(&shell.orgs.ids()).await;
        usage.context("the usage of this month cannot be read")?;
        read_back(&shell).await?;
        let admin_token = Secret::generate(ADMIN_TOKEN_PREFIX);
        let mut server = Self {
            addresses: BTreeMap::new(),
            shell,
            folder,
            certificates,
            readiness: Readiness::default(),
            stop,
            tasks: Vec::new(),
            announcement: None,
        };
        for (kind, listener) in &listeners {
            server.addresses.insert(*kind, listener.local_addr()?);
        }
        server.provision(&foundation).await?;
        server.run_beside();
        let api = foundation.api(&admin_token, server.readiness.clone(), &server.shell);
        let api = api.with_data_dir(server.folder.path().to_owned());
        let routers = Routers::new(api, &server.shell);
        for (kind, listener) in listeners {
            server.open(kind, listener, &routers);
        }
        server.leave_access(admin_token)?;
        server.readiness.set(Phase::Ready);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), data_dir = %server.folder.path().display(), "ready");
        Ok(server)
    }

    /// Where a listener can be reached; `None` if it is off.
    #[must_use]
    pub fn address(&self, kind: Kind) -> Option<SocketAddr> {
        self.addresses.get(&kind).copied()
    }

    /// What the first start made, for the operator's eyes only, once. `None` at later starts.
    pub const fn take_announcement(&mut self) -> Option<String> {
        self.announcement.take()
    }

    /// Reads the certificates again. Connected clients stay; if the files cannot be used, so do the certificates.
    pub fn reload(&self) {
        let Some(certificates) = &self.certificates else {
            return;
        };
        match certificates.reload() {
            Ok(()) => tracing::info!("certificates reloaded"),
            Err(error) => tracing::warn!(%error, "certificates are not usable; the old ones stay"),
        }
    }

    /// Stops accepting, sends clients away over `shutdown.spread_millis`, and ends within `shutdown.deadline_secs`.
    pub async fn stop(mut self) {
        self.readiness.set(Phase::Draining);
        if let Err(error) = AdminAccess::remove(self.folder.path()) {
            tracing::warn!(%error, "the file for administration cannot be removed");
        }
        // Nobody is left to hear it: then everything has stopped.
        let _ = self.stop.send(true);
        shutdown::drain(&self.shell).await;
        for task in self.tasks.drain(..) {
            task.abort();
            // It has ended by itself, or was told to.
            let _ = task.await;
        }
        let orgs = &self.shell.orgs;
        if tokio::time::timeout(WRITE_OUT, orgs.write_out()).await.is_err() {
            tracing::warn!("the store does not take what nobody was promised; it is lost");
        }
        if let Err(error) = orgs.usage().write(orgs).await {
            tracing::warn!(%error, "the last of the usage is lost");
        }
        if let Err(error) = orgs.history().flush().await {
            tracing::warn!(%error, "the last of the session history is lost");
        }
    }

    /// At the first start: an organization, a user and a key.
    async fn provision(&mut self, foundation: &Foundation) -> anyhow::Result<()> {
        let of = |kind| self.address(kind);
        let endpoints = Endpoints::from(Bound {
            mqtt: of(Kind::Mqtt),
            mqtts: of(Kind::Mqtts),
            ws: of(Kind::Ws),
            wss: of(Kind::Wss),
            http: of(Kind::Http),
            https: of(Kind::Https),
        });
        let first = ensure_organization(&foundation.directory, &self.folder, endpoints).await?;
        self.announcement = first.map(|first| announcement(&first, &self.folder.first_run()));
        Ok(())
    }

    /// Starts what runs beside the connections.
    fn run_beside(&mut self) {
        let (orgs, clock) = (&self.shell.orgs, &self.shell.clock);
        self.tasks
            .push(tokio::spawn(timekeeper::run(Arc::clone(orgs), clock.clone())));
        let turns = orgs.turns();
        self.tasks.push(tokio::spawn(async move { turns.run().await }));
        self.tasks.push(tokio::spawn(orgs.history().clone().run()));
        let usage = orgs.usage().clone();
        self.tasks.push(tokio::spawn(usage.run(Arc::clone(orgs))));
        let directory = self.shell.directory.clone();
        let listener = directory.listen();
        let live = live::run(Arc::clone(orgs), directory, listener, clock.clone());
        self.tasks.push(tokio::spawn(live));
        let reload_secs = self.shell.config.tls.reload_secs;
        if let Some(certificates) = self.certificates.clone().filter(|_| reload_secs > 0) {
            self.tasks.push(tokio::spawn(certificates.watch(reload_secs)));
        }
    }

    fn open(&mut self, kind: Kind, listener: TcpListener, routers: &Routers) {
        let proxy = &self.shell.config.proxy;
        let is_proxied = proxy.listeners.iter().any(|name| name == kind.name());
        let router = match kind {
            Kind::Mqtt | Kind::Mqtts => Router::new(),
            Kind::Ws | Kind::Wss => routers.mqtt.clone(),
            Kind::Http | Kind::Https => routers.api.clone(),
            Kind::Metrics => routers.metrics.clone(),
        };
        let door = Door {
            kind,
            shell: Arc::clone(&self.shell),
            certificates: self.certificates.clone(),
            proxies: is_proxied.then(|| proxy.trusted.clone().into()),
            router,
        };
        if let Some(addr) = self.address(kind) {
            tracing::info!(listener = kind.name(), %addr, "listening");
        }
        self.tasks.push(tokio::spawn(door.run(listener)));
    }

    /// Tells the management commands on this machine where the API is.
    fn leave_access(&self, token: Secret) -> anyhow::Result<()> {
        let (scheme, addr) = match (self.address(Kind::Http), self.address(Kind::Https)) {
            (Some(addr), _) => ("http", addr),
            (None, Some(addr)) => ("https", addr),
            (None, None) => return Ok(()),
        };
        let is_local = addr.ip().is_unspecified() || addr.ip().is_loopback();
        let host = if is_local {
            "localhost".to_owned()
        } else {
            addr.ip().to_string()
        };
        let own_ca = self.shell.config.tls.cert_file.is_none() && scheme == "https";
        let access = AdminAccess {
            url: format!("{scheme}://{host}:{}", addr.port()),
            token,
            ca_file: own_ca.then(|| self.folder.ca_certificate()),
            pid: std::process::id(),
        };
        access
            .write(self.folder.path())
            .context("the file for administration cannot be written")
    }
}

/// What HTTP listeners answer.
struct Routers {
    api: Router,
    mqtt: Router,
    metrics: Router,
}

impl Routers {
    fn new(api: Api, shell: &Arc<Shell>) -> Self {
        Self {
            api: http::router(api.clone(), web::mqtt_route()),
            mqtt: web::mqtt_everywhere(),
            metrics: web::metrics_route(Arc::clone(shell)).merge(http::health_router(api)),
        }
    }
}

fn bind_all(config: &Config) -> anyhow::Result<Vec<(Kind, TcpListener)>> {
    let listen = &config.listen;
    let wanted = [
        (Kind::Mqtt, listen.mqtt),
        (Kind::Mqtts, listen.mqtts),
        (Kind::Ws, listen.ws),
        (Kind::Wss, listen.wss),
        (Kind::Http, listen.http),
        (Kind::Https, listen.https),
        (Kind::Metrics, listen.metrics),
    ];
    let mut listeners = Vec::new();
    for (kind, listen) in wanted {
        let Listen::At(addr) = listen else { continue };
        let listener = bind(addr, config.connections.backlog)
            .with_context(|| format!("listen.{}: {addr} cannot be opened", kind.name()))?;
        listeners.push((kind, listener));
    }
    if listeners.is_empty() {
        bail!("every listener is off");
    }
    Ok(listeners)
}

/// The configured certificate, or the one that the data folder has for this machine.
fn load_certificates(
    config: &Config,
    folder: &DataFolder,
    clock: &Clock,
) -> anyhow::Result<Option<Arc<Certificates>>> {
    let listen = &config.listen;
    let encrypted = [listen.mqtts, listen.wss, listen.https];
    if encrypted.iter().all(|listen| *listen == Listen::Off) {
        return Ok(None);
    }
    let tls = &config.tls;
    let (cert, key) = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => (cert.clone(), key.clone()),
        (None, _) | (_, None) => {
            ensure_certificates(folder, local_hostname().as_deref(), clock.wall())?;
            (folder.server_certificate(), folder.server_key())
        }
    };
    let client_ca = tls.client_ca_file.clone();
    let files = Files { cert, key, client_ca };
    Ok(Some(Certificates::load(files, tls)?))
}

/// Sessions, queues and retained messages, as the last run left them.
async fn read_back(shell: &Shell) -> anyhow::Result<()> {
    let started = shell.clock.now();
    let totals = shell.orgs.restore().await;
    let totals = totals.context("what organizations have stored cannot be read back")?;
    if totals.is_empty() {
        return Ok(());
    }
    let Totals {
        sessions,
        subscriptions,
        deliveries,
        retained,
        orphans,
        quarantined,
    } = totals;
    let millis = shell.clock.now().since(started).as_millis();
    tracing::info!(
        millis,
        sessions,
        subscriptions,
        deliveries,
        retained,
        orphans,
        "read back"
    );
    if quarantined > 0 {
        let data_dir = shell.config.data_dir.display();
        tracing::error!(
            quarantined,
            "stored entries could not be used and were put aside; to look at them, stop the broker and run: \
             cloudsignal store inspect quarantine --data-dir {data_dir}"
        );
    }
    Ok(())
}

fn make_shell(
    config: Config,
    foundation: &Foundation,
    stop: watch::Receiver<bool>,
    level: Level,
) -> Arc<Shell> {
    let (directory, history) = (foundation.directory.clone(), foundation.history.clone());
    let orgs = Orgs::new(&config, directory, history, level);
    let sources = Sources::new(config.connections);
    let metrics = Metrics::new(&orgs, &sources, config.metrics.orgs_max);
    Arc::new(Shell {
        clock: foundation.clock.clone(),
        directory: foundation.directory.clone(),
        authenticator: Arc::clone(&foundation.authenticator),
        config: Arc::new(config),
        orgs,
        sources,
        metrics,
        stop,
        next_warning_micros: AtomicU64::new(0),
    })
}

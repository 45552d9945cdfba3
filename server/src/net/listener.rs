//! From an open port to connections: accept, limits, PROXY header, TLS, and on to MQTT or HTTP.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::config::IpPrefix;
use crate::identity::certificate::ClientCertificate;
use crate::metrics::TurnedAway;
use crate::net::connection::{Connection, Peer};
use crate::net::proxy;
use crate::net::shell::Shell;
use crate::net::sources::Place;
use crate::net::tls::{Certificates, Inside};
use crate::net::transport::Transport;
use crate::net::web;

/// Pause after the system has refused to accept, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Silence after which the system asks whether the other end is still there: for clients without keep alive.
const PROBE_AFTER: Duration = Duration::from_secs(300);

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// MQTT without encryption.
    Mqtt,
    /// MQTT over TLS.
    Mqtts,
    /// MQTT over WebSocket, any path, without encryption.
    Ws,
    /// MQTT over WebSocket, any path, with TLS.
    Wss,
    /// HTTP API, and WebSocket at `/mqtt`, without encryption.
    Http,
    /// HTTP API, and WebSocket at `/mqtt`, with TLS.
    Https,
    /// Metrics and health.
    Metrics,
}

impl Kind {
    /// Its name in the configuration, in metrics and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Http => "http",
            Self::Https => "https",
            Self::Metrics => "metrics",
        }
    }

    /// What is spoken inside of TLS; `None` without TLS.
    pub(crate) const fn inside(self) -> Option<Inside> {
        match self {
            Self::Mqtts => Some(Inside::Mqtt),
            Self::Wss => Some(Inside::WebSocket),
            Self::Https => Some(Inside::Http),
            Self::Mqtt | Self::Ws | Self::Http | Self::Metrics => None,
        }
    }
}

/// Opens a port. Port 0 lets the system choose.
pub(crate) fn bind(addr: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last connections of the process before.
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit both, which saves two system calls for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER))?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// A listener and what it needs to turn sockets into connections.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) kind: Kind,
    pub(crate) shell: Arc<Shell>,
    /// For kinds with TLS.
    pub(crate) certificates: Option<Arc<Certificates>>,
    /// Who may connect and must say for whom, if that is required.
    pub(crate) proxies: Option<Arc<[IpPrefix]>>,
    /// For kinds with HTTP.
    pub(crate) router: Router,
}

impl Door {
    /// Accepts connections until the process stops.
    pub(crate) async fn run(self, listener: TcpListener) {
        let mut stopping = pin!(self.shell.stopping());
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stopping => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, addr)) => self.admit(stream, addr),
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(listener = self.kind.name(), %error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, addr: SocketAddr) {
        self.shell.metrics.accepted(self.kind.name());
        let place = match self.shell.sources.enter() {
            Ok(place) => place,
            Err(refusal) => {
                self.shell.warn_of_limit("connections.total_max");
                self.shell.metrics.turned_away(TurnedAway::Limit(refusal));
                return;
            }
        };
        let needs_handshake = self.proxies.is_some() || self.kind.inside().is_some();
        if self.kind == Kind::Mqtt && !needs_handshake {
            if let Some(peer) = self.peer(addr, place) {
                let shell = Arc::clone(&self.shell);
                tokio::spawn(Connection::new(Transport::Tcp(stream), None, &[], peer, shell));
            }
            return;
        }
        tokio::spawn(self.clone().receive(stream, addr, place));
    }

    /// Counts the connection for its source; `None` if that is one too many.
    fn peer(&self, addr: SocketAddr, mut place: Place) -> Option<Peer> {
        if let Err(refusal) = place.set_source(addr.ip()) {
            tracing::debug!(peer = %addr, "connections.per_source_max reached");
            self.shell.metrics.turned_away(TurnedAway::Limit(refusal));
            return None;
        }
        let kind = self.kind;
        Some(Peer {
            addr,
            kind,
            certificate: None,
            place,
        })
    }

    /// PROXY header and TLS handshake, in time; then MQTT or HTTP.
    async fn receive(self, stream: TcpStream, addr: SocketAddr, place: Place) {
        let time = Duration::from_secs(u64::from(self.shell.config.connections.handshake_secs));
        let ready = tokio::select! {
            ready = self.handshake(stream, addr, place) => ready,
            () = tokio::time::sleep(time) => {
                tracing::debug!(peer = %addr, listener = self.kind.name(), "handshake took too long");
                self.shell.metrics.turned_away(TurnedAway::Tls);
                return;
            }
            () = self.shell.stopping() => return,
        };
        let Some((transport, peer)) = ready else { return };
        let Self {
            kind, shell, router, ..
        } = self;
        match kind {
            Kind::Mqtt | Kind::Mqtts => {
                tokio::spawn(Connection::new(transport, None, &[], peer, shell));
            }
            Kind::Ws | Kind::Wss | Kind::Http | Kind::Https | Kind::Metrics => {
                tokio::spawn(web::serve(transport, peer, router, shell));
            }
        }
    }

    async fn handshake(
        &self,
        mut stream: TcpStream,
        addr: SocketAddr,
        place: Place,
    ) -> Option<(Transport, Peer)> {
        let addr = match &self.proxies {
            None => addr,
            Some(trusted) => self.ask_proxy(trusted, &mut stream, addr).await?,
        };
        let mut peer = self.peer(addr, place)?;
        let (Some(inside), Some(certificates)) = (self.kind.inside(), &self.certificates) else {
            return Some((Transport::Tcp(stream), peer));
        };
        match TlsAcceptor::from(certificates.offer(inside)).accept(stream).await {
            Ok(stream) => {
                self.shell.metrics.tls_handshake("ok");
                let shown = stream.get_ref().1.peer_certificates();
                let shown = shown.and_then(|chain| ClientCertificate::read(chain.first()?));
                peer.certificate = shown.map(Arc::new);
                Some((Transport::Tls(Box::new(stream)), peer))
            }
            Err(error) => {
                tracing::debug!(peer = %addr, listener = self.kind.name(), %error, "TLS handshake failed");
                self.shell.metrics.tls_handshake("failed");
                self.shell.metrics.turned_away(TurnedAway::Tls);
                None
            }
        }
    }

    /// The client's address, as a trusted proxy tells it.
    async fn ask_proxy(
        &self,
        trusted: &[IpPrefix],
        stream: &mut TcpStream,
        proxy: SocketAddr,
    ) -> Option<SocketAddr> {
        let is_trusted = |ip: IpAddr| trusted.iter().any(|prefix| prefix.contains(ip));
        let told = if is_trusted(proxy.ip()) {
            proxy::read_header(stream)
                .await
                .map_err(|error| error.to_string())
        } else {
            Err("not one of proxy.trusted".to_owned())
        };
        match told {
            Ok(addr) => Some(addr.unwrap_or(proxy)),
            Err(error) => {
                tracing::debug!(%proxy, listener = self.kind.name(), error, "proxied connection refused");
                self.shell.metrics.turned_away(TurnedAway::Proxy);
                None
            }
        }
    }
}

/// Whether only the connection that was to be accepted is lost.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

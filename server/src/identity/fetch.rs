//! One document of a provider's server, within bounds of time and size.
//!
//! Redirects are not followed: whatever is not a plain 200 from the host that the organization named is a
//! failure.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::endpoint::{Endpoint, Reach, Scheme};
use super::fault::FetchFault;
use super::key_set::KeySet;
use super::limits::{ADDRESSES_MAX, ANSWER_BYTES_MAX};

/// Most bytes of an answer's header.
const HEAD_BYTES_MAX: usize = 16 * 1_024;

/// Fetches documents.
#[derive(Debug)]
pub(super) struct Fetcher {
    reach: Reach,
    time: Duration,
    tls: OnceLock<Option<Arc<ClientConfig>>>,
}

/// What we read of a discovery document.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

impl Fetcher {
    /// Asks hosts within `reach`; each answer must be there within `time`.
    pub(super) fn new(reach: Reach, time: Duration) -> Self {
        Self {
            reach,
            time,
            tls: OnceLock::new(),
        }
    }

    /// A key set.
    pub(super) async fn key_set(&self, at: &Endpoint) -> Result<KeySet, FetchFault> {
        let body = self.get(at).await?;
        KeySet::parse(&body).ok_or(FetchFault::Nonsense)
    }

    /// The key set that a discovery document names. The document must be the issuer's own (OpenID Connect
    /// Discovery 1.0, 4.3).
    pub(super) async fn discovered_key_set(&self, at: &Endpoint, issuer: &str) -> Result<KeySet, FetchFault> {
        let body = self.get(at).await?;
        let found: Discovery = serde_json::from_slice(&body).map_err(|_| FetchFault::Nonsense)?;
        if found.issuer != issuer {
            return Err(FetchFault::Nonsense);
        }
        let keys = Endpoint::parse(&found.jwks_uri, self.reach).map_err(|_| FetchFault::Address)?;
        self.key_set(&keys).await
    }

    async fn get(&self, at: &Endpoint) -> Result<Bytes, FetchFault> {
        let got = tokio::time::timeout(self.time, self.get_untimed(at)).await;
        got.unwrap_or(Err(FetchFault::TooSlow))
    }

    async fn get_untimed(&self, at: &Endpoint) -> Result<Bytes, FetchFault> {
        let stream = self.open(at).await?;
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| FetchFault::Connect)?;
        let request = Request::get(&at.path)
            .header(HOST, at.authority())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("cloudsignal/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())
            .map_err(|_| FetchFault::Address)?;
        let answered = async {
            let answer = sender.send_request(request).await;
            let answer = answer.map_err(|_| FetchFault::Nonsense)?;
            if answer.status() != StatusCode::OK {
                return Err(FetchFault::Status);
            }
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            match body {
                Ok(body) => Ok(body.to_bytes()),
                Err(error) if error.is::<LengthLimitError>() => Err(FetchFault::TooLarge),
                Err(_cut) => Err(FetchFault::Nonsense),
            }
        };
        // The connection must be driven while the answer is awaited.
        let mut answered = core::pin::pin!(answered);
        tokio::select! {
            biased;
            answer = &mut answered => answer,
            _ended = connection => answered.await,
        }
    }

    async fn open(&self, at: &Endpoint) -> Result<Box<dyn ByteStream>, FetchFault> {
        let stream = self.connect(at).await?;
        match at.scheme {
            Scheme::Http => Ok(Box::new(stream)),
            Scheme::Https => {
                let tls = self.tls().ok_or(FetchFault::Connect)?;
                let name = ServerName::try_from(at.host.clone()).map_err(|_| FetchFault::Address)?;
                let stream = TlsConnector::from(tls).connect(name, stream).await;
                Ok(Box::new(stream.map_err(|_| FetchFault::Connect)?))
            }
        }
    }

    /// Resolves the name once and connects to what it resolved to, so that no second answer slips past the
    /// rule.
    async fn connect(&self, at: &Endpoint) -> Result<TcpStream, FetchFault> {
        let found = tokio::net::lookup_host((at.host.as_str(), at.port)).await;
        let found: Vec<SocketAddr> = found.map_err(|_| FetchFault::Connect)?.collect();
        let may_ask = |addr: &SocketAddr| {
            let is_local_http = at.scheme == Scheme::Http && !addr.ip().to_canonical().is_loopback();
            self.reach.allows(addr.ip()) && !is_local_http
        };
        let mut last: io::Result<TcpStream> = Err(io::ErrorKind::AddrNotAvailable.into());
        let mut asked = found.into_iter().filter(may_ask).take(ADDRESSES_MAX).peekable();
        if asked.peek().is_none() {
            return Err(FetchFault::Address);
        }
        for addr in asked {
            last = TcpStream::connect(addr).await;
            if last.is_ok() {
                break;
            }
        }
        last.map_err(|_| FetchFault::Connect)
    }

    /// TLS with the system's certificates, read at the first need. `None`: the system has none.
    fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.get_or_init(client_config).clone()
    }
}

fn client_config() -> Option<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        tracing::warn!("this system trusts no certificate: no identity provider can be asked for its keys");
        return None;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.ok()?.with_root_certificates(roots).with_no_client_auth();
    Some(Arc::new(config))
}

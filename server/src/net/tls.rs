//! Certificates: read at the start, read again when they change, while connected clients stay.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, RwLock};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::config::{ClientCert, Tls, TlsVersion};

/// What is spoken inside of TLS, which decides what is offered by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// MQTT: nothing is offered, because clients that ask for `mqtt` and those that do not are both served.
    Mqtt,
    /// WebSocket only, so HTTP/1.1.
    WebSocket,
    /// HTTP/2 or HTTP/1.1.
    Http,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("{what} {path}: {problem}", path = path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// They do not fit together.
    #[error("certificate {path}: {problem}", path = path.display())]
    Rejected {
        /// The certificate's file.
        path: PathBuf,
        /// What rustls says.
        problem: String,
    },
}

/// Where the certificates of the process are.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_ca: Option<PathBuf>,
}

/// The certificates in use.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: Files,
    client_cert: ClientCert,
    version_min: TlsVersion,
    current: RwLock<Offers>,
    /// What the files looked like when they were last read.
    seen: Mutex<Vec<Option<(SystemTime, u64)>>>,
}

/// One configuration per kind of content.
#[derive(Clone, Debug)]
struct Offers {
    mqtt: Arc<ServerConfig>,
    websocket: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
}

impl Certificates {
    /// Reads the files.
    pub(crate) fn load(files: Files, tls: &Tls) -> Result<Arc<Self>, TlsError> {
        let seen = files.look();
        let current = read(&files, tls.client_cert, tls.version_min)?;
        Ok(Arc::new(Self {
            files,
            client_cert: tls.client_cert,
            version_min: tls.version_min,
            current: RwLock::new(current),
            seen: Mutex::new(seen),
        }))
    }

    /// What the next handshake uses.
    pub(crate) fn offer(&self, inside: Inside) -> Arc<ServerConfig> {
        let current = self.current.read();
        Arc::clone(match inside {
            Inside::Mqtt => &current.mqtt,
            Inside::WebSocket => &current.websocket,
            Inside::Http => &current.http,
        })
    }

    /// Reads the files again. If they cannot be used, the certificates in use stay.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let seen = self.files.look();
        let read = read(&self.files, self.client_cert, self.version_min);
        *self.seen.lock() = seen;
        *self.current.write() = read?;
        Ok(())
    }

    /// Reads the files again if one of them has changed. Answers whether it did.
    pub(crate) fn reload_if_changed(&self) -> Result<bool, TlsError> {
        if *self.seen.lock() == self.files.look() {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    /// Looks at the files every `secs` seconds, until it is dropped.
    pub(crate) async fn watch(self: Arc<Self>, secs: u32) {
        let mut ticks = tokio::time::interval(Duration::from_secs(u64::from(secs)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let certificates = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || certificates.reload_if_changed()).await;
            match looked {
                Ok(Ok(true)) => tracing::info!(cert = %self.files.cert.display(), "certificates reloaded"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "changed certificates are not usable; the old ones stay");
                }
                Err(_stopping) => return,
            }
        }
    }
}

impl Files {
    /// What tells a changed file from the one that was read.
    fn look(&self) -> Vec<Option<(SystemTime, u64)>> {
        let files = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        let facts = files.into_iter().flatten().map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        });
        facts.collect()
    }
}

fn read(files: &Files, client_cert: ClientCert, version_min: TlsVersion) -> Result<Offers, TlsError> {
    let chain = read_certificates("certificate", &files.cert)?;
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| fault("private key", &files.key, &error))?;
    let verifier = client_verifier(files, client_cert)?;
    let versions: &[&SupportedProtocolVersion] = match version_min {
        TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let rejected = |error: rustls::Error| TlsError::Rejected {
        path: files.cert.clone(),
        problem: error.to_string(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(rejected)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(rejected)?;
    // One ticket lets a client that comes back skip the signature; the server keeps nothing for it.
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(rejected)?;
    config.send_tls13_tickets = 1;
    let with_alpn = |protocols: &[&[u8]]| {
        let mut config = config.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    };
    Ok(Offers {
        mqtt: with_alpn(&[]),
        websocket: with_alpn(&[b"http/1.1"]),
        http: with_alpn(&[b"h2", b"http/1.1"]),
    })
}

fn client_verifier(files: &Files, client_cert: ClientCert) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let (Some(path), ClientCert::Accept | ClientCert::Require) = (&files.client_ca, client_cert) else {
        return Ok(WebPkiClientVerifier::no_client_auth());
    };
    let refused = |problem: String| TlsError::File {
        what: "client CA",
        path: path.clone(),
        problem,
    };
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates("client CA", path)? {
        roots
            .add(certificate)
            .map_err(|error| refused(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match client_cert {
        ClientCert::Require => builder,
        ClientCert::Accept | ClientCert::Off => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| refused(error.to_string()))
}

fn read_certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| fault(what, path, &error))?;
    let certificates: Result<Vec<_>, _> = certificates.collect();
    let certificates = certificates.map_err(|error| fault(what, path, &error))?;
    if certificates.is_empty() {
        return Err(fault(what, path, &"the file holds no certificate"));
    }
    Ok(certificates)
}

fn fault(what: &'static str, path: &Path, problem: &dyn std::fmt::Display) -> TlsError {
    TlsError::File {
        what,
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}

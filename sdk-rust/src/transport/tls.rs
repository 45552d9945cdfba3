//! Whom the client trusts, and the certificate by which it is known.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, client::WantsClientCert};
#[cfg(any(target_vendor = "apple", windows))]
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::error::ConnectError;

/// Where certificates or a key come from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Pem {
    File(PathBuf),
    Text(Vec<u8>),
}

/// Whose signature makes a server's certificate a good one.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// Whom the system trusts, as it says itself.
    Platform,
    /// Whom the system trusts, as somebody else has asked it.
    Told(RootCertStore),
    /// These only.
    Only(Pem),
}

impl Trust {
    /// Certificates in DER. What cannot be used of the system's is none of ours; that there is nothing at all shows in the
    /// handshake.
    pub(crate) fn told(roots: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.into_iter().map(CertificateDer::from));
        Self::Told(store)
    }
}

/// A client certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) chain: Pem,
    pub(crate) key: Pem,
}

impl std::fmt::Debug for Pem {
    /// Never what is in it: it may be a key.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(file) => write!(out, "{}", file.display()),
            Self::Text(_) => out.write_str("PEM"),
        }
    }
}

impl Pem {
    fn certificates(&self, what: &'static str) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
        let certificates: Result<Vec<_>, _> = match self {
            Self::File(file) => CertificateDer::pem_file_iter(file).and_then(Iterator::collect),
            Self::Text(text) => CertificateDer::pem_slice_iter(text).collect(),
        };
        let certificates = certificates.map_err(|error| self.fault(what, &error))?;
        if certificates.is_empty() {
            return Err(self.fault(what, &"there is none in it"));
        }
        Ok(certificates)
    }

    fn fault(&self, what: &'static str, problem: &dyn std::fmt::Display) -> ConnectError {
        ConnectError::Certificate {
            what,
            file: match self {
                Self::File(file) => Some(file.clone()),
                Self::Text(_) => None,
            },
            problem: problem.to_string(),
        }
    }
}

/// What every handshake of a client uses. Reads files, so it blocks.
pub(crate) fn client_config(
    trust: &Trust,
    identity: Option<&Identity>,
) -> Result<Arc<ClientConfig>, ConnectError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fault_of_tls(&error))?;
    let builder = trusting(builder, trust)?;
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => {
            let read = match key {
                Pem::File(file) => PrivateKeyDer::from_pem_file(file),
                Pem::Text(text) => PrivateKeyDer::from_pem_slice(text),
            };
            let read = read.map_err(|error| key.fault("private key", &error))?;
            builder
                .with_client_auth_cert(chain.certificates("client certificate")?, read)
                .map_err(|error| chain.fault("client certificate", &error))?
        }
    };
    Ok(Arc::new(config))
}

/// Knows versions, and whose signature is good.
type Trusting = ConfigBuilder<ClientConfig, WantsClientCert>;

fn trusting(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    trust: &Trust,
) -> Result<Trusting, ConnectError> {
    match trust {
        Trust::Platform => as_platform(builder),
        Trust::Told(roots) => Ok(builder.with_root_certificates(roots.clone())),
        Trust::Only(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in pem.certificates("CA certificate")? {
                roots
                    .add(certificate)
                    .map_err(|error| pem.fault("CA certificate", &error))?;
            }
            Ok(builder.with_root_certificates(roots))
        }
    }
}

/// The system judges each certificate itself, by its settings and by those of the device's owner. On iOS there is no other
/// way to ask it.
#[cfg(any(target_vendor = "apple", windows))]
fn as_platform(builder: ConfigBuilder<ClientConfig, WantsVerifier>) -> Result<Trusting, ConnectError> {
    builder
        .with_platform_verifier()
        .map_err(|error| fault_of_tls(&error))
}

/// The system says whom it trusts.
#[cfg(not(any(target_vendor = "apple", windows)))]
fn as_platform(builder: ConfigBuilder<ClientConfig, WantsVerifier>) -> Result<Trusting, ConnectError> {
    let known = rustls_native_certs::load_native_certs().certs;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(known);
    Ok(builder.with_root_certificates(roots))
}

fn fault_of_tls(error: &rustls::Error) -> ConnectError {
    Pem::Text(Vec::new()).fault("TLS", error)
}

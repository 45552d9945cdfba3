//! Whom the client trusts, and the certificate by which it is known.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::error::ConnectError;

/// Where certificates or a key come from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Pem {
    File(PathBuf),
    Text(Vec<u8>),
}

/// Whose signature makes a server's certificate a good one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Whom the system trusts.
    Platform,
    /// These only.
    Only(Pem),
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
        .map_err(|error| Pem::Text(Vec::new()).fault("TLS", &error))?
        .with_root_certificates(roots(trust)?);
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

fn roots(trust: &Trust) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Platform => {
            // What cannot be used of the system's is none of ours; that there is nothing at all shows in the handshake.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Trust::Only(pem) => {
            for certificate in pem.certificates("CA certificate")? {
                roots
                    .add(certificate)
                    .map_err(|error| pem.fault("CA certificate", &error))?;
            }
        }
    }
    Ok(roots)
}

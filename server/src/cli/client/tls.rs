//! TLS towards a broker: whom we trust and who we are.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The files that decide whom we trust and who we are.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TlsArgs {
    /// Certificates to trust, PEM; without it, those of the system
    #[arg(long, value_name = "FILE", env = "CLOUDSIGNAL_CA")]
    pub ca: Option<PathBuf>,

    /// Our own certificate, PEM, for a broker that asks for one
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,

    /// The private key of our own certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
}

impl TlsArgs {
    /// Reads the files.
    pub fn client_config(&self) -> Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("the TLS library has no protocol version")?
            .with_root_certificates(self.trusted()?);
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(cert)?;
        let key = PrivateKeyDer::from_pem_slice(&read(key)?)
            .with_context(|| format!("{} holds no private key in PEM", key.display()))?;
        builder
            .with_client_auth_cert(chain, key)
            .context("the certificate and its key do not fit together")
    }

    fn trusted(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        if let Some(ca) = &self.ca {
            for certificate in certificates(ca)? {
                roots
                    .add(certificate)
                    .with_context(|| format!("{} cannot be trusted", ca.display()))?;
            }
            return Ok(roots);
        }
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        ensure!(
            !roots.is_empty(),
            "this system has no trusted certificates: name one with --ca"
        );
        Ok(roots)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} is not PEM", path.display()))?;
    ensure!(
        !certificates.is_empty(),
        "{} holds no certificate in PEM",
        path.display()
    );
    Ok(certificates)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

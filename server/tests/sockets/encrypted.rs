//! TLS: both versions, certificates that change under running clients, client certificates.

use std::path::Path;
use std::sync::Arc;

use cloudsignal_core::Version;
use cloudsignal_server::config::{ClientCert, Config, TlsVersion};
use cloudsignal_server::server::Kind;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::broker::{Broker, Client, connect, dial, in_time};

/// A certificate authority of a test, and what it has signed.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and its key, PEM.
    fn sign(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages.push(usage);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn write_server(&self, folder: &Path) {
        let (certificate, key) = self.sign("localhost", ExtendedKeyUsagePurpose::ServerAuth);
        std::fs::write(folder.join("server.pem"), certificate).unwrap();
        std::fs::write(folder.join("server-key.pem"), key).unwrap();
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }
}

fn configure(config: &mut Config, folder: &Path) {
    config.tls.cert_file = Some(folder.join("server.pem"));
    config.tls.key_file = Some(folder.join("server-key.pem"));
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];

type Dialed = std::io::Result<Client<TlsStream<TcpStream>>>;

async fn dial_tls(
    broker: &Broker,
    roots: RootCertStore,
    versions: &[&'static SupportedProtocolVersion],
    identity: Option<&(String, String)>,
) -> Dialed {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let stream = dial(broker.addr(Kind::Mqtts)).await;
    in_time(TlsConnector::from(Arc::new(config)).connect(name, stream))
        .await
        .map(Client::new)
}

/// Whether a client gets as far as a PINGRESP.
async fn speaks(dialed: Dialed, broker: &Broker) -> bool {
    let Ok(mut client) = dialed else { return false };
    let hello = [broker.connect(Version::V311, "tls"), vec![0xC0, 0]].concat();
    // With TLS 1.3 a refused client certificate shows after the handshake.
    let _ = in_time(client.stream.write_all(&hello)).await;
    let mut answer = vec![0; 6];
    let read = in_time(client.stream.read_exact(&mut answer)).await;
    read.is_ok() && answer == [0x20, 2, 0, 0, 0xD0, 0]
}

#[tokio::test]
async fn both_versions_are_spoken_and_the_older_one_can_be_refused() {
    let (authority, files) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.write_server(files.path());
    for version_min in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let broker = Broker::start(|config| {
            configure(config, files.path());
            config.tls.version_min = version_min;
        })
        .await;
        let old = dial_tls(&broker, authority.roots(), &[&rustls::version::TLS12], None).await;
        assert_eq!(speaks(old, &broker).await, version_min == TlsVersion::Tls12);
        let new = dial_tls(&broker, authority.roots(), &[&rustls::version::TLS13], None).await;
        assert!(speaks(new, &broker).await);
    }
}

#[tokio::test]
async fn a_client_without_a_login_is_refused_on_the_encrypted_listener() {
    let (authority, files) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.write_server(files.path());
    let broker = Broker::start(|config| configure(config, files.path())).await;
    let mut client = dial_tls(&broker, authority.roots(), BOTH, None).await.unwrap();
    client.send(&connect(Version::V5, "nobody")).await;
    client.expect_connack(0x86).await;
    client.expect_end().await;
}

#[tokio::test]
async fn certificates_change_under_clients_that_stay() {
    let (first, second, files) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    first.write_server(files.path());
    let broker = Broker::start(|config| {
        configure(config, files.path());
        config.tls.reload_secs = 0;
    })
    .await;
    let mut client = dial_tls(&broker, first.roots(), BOTH, None).await.unwrap();
    client.send(&broker.connect(Version::V311, "stays")).await;
    client.expect_connack(0).await;

    second.write_server(files.path());
    broker.server.reload();
    assert!(!speaks(dial_tls(&broker, first.roots(), BOTH, None).await, &broker).await);
    assert!(speaks(dial_tls(&broker, second.roots(), BOTH, None).await, &broker).await);
    client.send(&[0xC0, 0]).await;
    client.expect(&[0xD0, 0]).await;

    std::fs::write(files.path().join("server-key.pem"), "nonsense").unwrap();
    broker.server.reload();
    let good = dial_tls(&broker, second.roots(), BOTH, None).await;
    assert!(speaks(good, &broker).await, "unusable files change nothing");
}

#[tokio::test]
async fn changed_files_are_noticed_without_a_word() {
    let (first, second, files) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    first.write_server(files.path());
    let broker = Broker::start(|config| {
        configure(config, files.path());
        config.tls.reload_secs = 1;
    })
    .await;
    second.write_server(files.path());
    let noticed = async {
        while !speaks(dial_tls(&broker, second.roots(), BOTH, None).await, &broker).await {
            tokio::task::yield_now().await;
        }
    };
    in_time(noticed).await;
}

#[tokio::test]
async fn a_client_certificate_is_checked_if_shown_and_can_be_required() {
    let (servers, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let files = tempfile::tempdir().unwrap();
    servers.write_server(files.path());
    std::fs::write(files.path().join("clients.pem"), clients.0.pem()).unwrap();
    let known = clients.sign("device", ExtendedKeyUsagePurpose::ClientAuth);
    let unknown = strangers.sign("device", ExtendedKeyUsagePurpose::ClientAuth);
    for (asked, without, with_unknown) in [
        (ClientCert::Accept, true, false),
        (ClientCert::Require, false, false),
    ] {
        let broker = Broker::start(|config| {
            configure(config, files.path());
            config.tls.client_ca_file = Some(files.path().join("clients.pem"));
            config.tls.client_cert = asked;
        })
        .await;
        for (identity, wanted) in [
            (None, without),
            (Some(&known), true),
            (Some(&unknown), with_unknown),
        ] {
            let dialed = dial_tls(&broker, servers.roots(), BOTH, identity).await;
            let shown = identity.is_some();
            assert_eq!(
                speaks(dialed, &broker).await,
                wanted,
                "{asked:?}, certificate shown: {shown}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_no_tls_is_closed_in_time() {
    let broker = Broker::start(|config| config.connections.handshake_secs = 1).await;
    let mut plain = Client::new(dial(broker.addr(Kind::Mqtts)).await);
    plain.send(&connect(Version::V5, "plain")).await;
    plain.rest().await; // an alert, perhaps
    let mut silent = Client::new(dial(broker.addr(Kind::Wss)).await);
    silent.expect_end().await;
}

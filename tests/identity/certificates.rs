//! Clients that show a certificate instead of a password.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use tempfile::TempDir;

use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::packets::{field, packet};
use cloudsignal_tests::wait::DEADLINE;

use crate::bench::{BAD_LOGIN, Bench, EMAIL, LET_IN, NAME, NOT_AUTHORIZED};

const MAXIMUM_CONNECT_TIME: u8 = 0xA0;

/// An authority that signs clients' certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A client's certificate and its key.
struct Card {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a fresh key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Device authority");
        let pem = params.self_signed(&key).expect("an authority").pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// A card for a name in an organization; `adjust` makes it another one.
    fn card(&self, name: &str, organization: &str, adjust: impl FnOnce(&mut CertificateParams)) -> Card {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = date_time_ymd(2099, 1, 1);
        adjust(&mut params);
        let key = KeyPair::generate().expect("a fresh key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Card {
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::try_from(key.serialize_der()).expect("our own key"),
        }
    }
}

/// An MQTT connection over TLS.
type Secured = StreamOwned<ClientConnection, TcpStream>;

struct Stage {
    bench: Bench,
    authority: Authority,
    org: String,
    _folder: TempDir,
}

impl Stage {
    fn set() -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a temporary folder"));
        let file = folder.path().join("clients.pem");
        fs::write(&file, &authority.pem).expect("a file in a temporary folder");
        let file = file
            .to_str()
            .expect("temporary folders have plain names")
            .to_owned();
        let options = BrokerOptions::default()
            .with_text("TLS_CLIENT_CA_FILE", &file)
            .with_text("TLS_CLIENT_CERT", "accept");
        let bench = Bench::start(options);
        bench.broker.add_user("sensor-1", "not used here");
        let org = bench.first.org_id.clone();
        let stage = Self {
            bench,
            authority,
            org,
            _folder: folder,
        };
        stage.add(
            "devices",
            &json!({ "type": "client_certificate", "user": "common_name" }),
        );
        let people = json!({ "type": "client_certificate", "user": "email", "organization": "Acme" });
        stage.add("people", &people);
        stage
    }

    fn add(&self, name: &str, trust: &serde_json::Value) {
        let settings = json!({ "name": name, "trust": trust });
        let answer = self.bench.api("POST", "/v2/providers", Some(&settings));
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// The reason of the CONNACK, and the connection; `None` if the handshake fails.
    fn connect(
        &self,
        card: Option<&Card>,
        name: Option<&str>,
        password: Option<&str>,
    ) -> Option<(u8, Secured)> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(&self.bench.first.ca_file).expect("the broker's authority");
        roots.add(ca).expect("the broker's authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = match card {
            Some(card) => builder
                .with_client_auth_cert(vec![card.certificate.clone()], card.key.clone_key())
                .expect("a card with its key"),
            None => builder.with_no_client_auth(),
        };
        let host = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::new(config), host).expect("a session");
        let socket = TcpStream::connect(self.bench.broker.addr(Listener::Mqtts)).expect("a listener");
        socket
            .set_read_timeout(Some(DEADLINE))
            .expect("an open socket takes options");
        let mut stream = StreamOwned::new(session, socket);
        let username = name.map(|name| format!("{name}@{}", self.org));
        stream
            .write_all(&connect_packet(username.as_deref(), password))
            .ok()?;
        let mut head = [0; 4];
        stream.read_exact(&mut head).ok()?;
        assert_eq!(head[0], 0x20, "a CONNACK");
        let mut rest = vec![0; usize::from(head[1]) - 2];
        stream.read_exact(&mut rest).ok()?;
        Some((head[3], stream))
    }

    fn reason(&self, card: &Card, name: Option<&str>) -> Option<u8> {
        self.connect(Some(card), name, None).map(|(reason, _)| reason)
    }
}

fn connect_packet(username: Option<&str>, password: Option<&str>) -> Vec<u8> {
    let user_flag = if username.is_some() { 0x80 } else { 0 };
    let password_flag = if password.is_some() { 0x40 } else { 0 };
    let mut body = field(b"MQTT");
    body.extend([0x05, user_flag | password_flag | 0x02, 0x00, 0x00, 0x00]);
    body.extend(field(b"card"));
    for part in username.iter().chain(&password) {
        body.extend(field(part.as_bytes()));
    }
    packet(0x10, &body)
}

/// The reason of the DISCONNECT that comes next.
fn reason_of_end(stream: &mut Secured) -> u8 {
    let mut head = [0; 3];
    stream.read_exact(&mut head).expect("a DISCONNECT");
    assert_eq!(head[0], 0xE0, "a DISCONNECT, not {head:02X?}");
    head[2]
}

#[test]
fn a_certificate_stands_for_the_user_it_names_and_nobody_else() {
    let stage = Stage::set();
    let card = |name: &str, org: &str| stage.authority.card(name, org, |_| {});
    let sensor = card("sensor-1", &stage.org);
    assert_eq!(stage.reason(&sensor, Some("sensor-1")), Some(LET_IN));
    assert_eq!(
        stage.reason(&sensor, None),
        Some(LET_IN),
        "the certificate says it all"
    );
    assert_eq!(
        stage.reason(&sensor, Some("demo")),
        Some(BAD_LOGIN),
        "under another name"
    );
    assert_eq!(
        stage.reason(&card("sensor-2", &stage.org), None),
        Some(BAD_LOGIN),
        "no such user"
    );
    assert_eq!(
        stage.reason(&card("sensor-1", "org_aaaaaaaaaaaa"), Some("sensor-1")),
        Some(BAD_LOGIN)
    );
    assert_eq!(
        stage.reason(&card("sensor-1", "Acme"), Some("sensor-1")),
        Some(BAD_LOGIN)
    );
    let two_names = stage.authority.card("sensor-1", &stage.org, |params| {
        params
            .distinguished_name
            .push(DnType::CustomDnType(vec![2, 5, 4, 3]), "demo");
    });
    assert_eq!(
        stage.reason(&two_names, Some("demo")),
        Some(BAD_LOGIN),
        "two names are none"
    );
    let forged = Authority::new().card("sensor-1", &stage.org, |_| {});
    assert_eq!(
        stage.reason(&forged, Some("sensor-1")),
        None,
        "TLS lets no strange authority in"
    );
    let (reason, _) = stage.connect(None, Some("sensor-1"), None).expect("a CONNACK");
    assert_eq!(reason, BAD_LOGIN, "no certificate and no password");
    let (reason, _) = stage
        .connect(Some(&sensor), Some("sensor-1"), Some("wrong"))
        .expect("a CONNACK");
    assert_eq!(reason, BAD_LOGIN, "a password that is shown has to be right");
    let (reason, _) = stage
        .connect(None, Some("sensor-1"), Some("not used here"))
        .expect("a CONNACK");
    assert_eq!(reason, LET_IN, "passwords are good without certificates");
}

#[test]
fn an_address_in_a_certificate_becomes_a_user_name() {
    let stage = Stage::set();
    let with = |emails: &[&str], org: &str| {
        stage.authority.card("John", org, |params| {
            let address = |email: &&str| SanType::Rfc822Name((*email).try_into().expect("an address"));
            params.subject_alt_names = emails.iter().map(address).collect();
        })
    };
    let john = with(&[EMAIL], "Acme");
    assert_eq!(stage.reason(&john, Some(NAME)), Some(LET_IN));
    assert_eq!(
        stage.reason(&john, None),
        Some(BAD_LOGIN),
        "nothing says which organization"
    );
    assert_eq!(stage.reason(&john, Some("jane_example_com")), Some(BAD_LOGIN));
    assert_eq!(
        stage.reason(&with(&[EMAIL], "Other"), Some(NAME)),
        Some(BAD_LOGIN)
    );
    let both = with(&["jane@example.com", EMAIL], "Acme");
    assert_eq!(stage.reason(&both, Some(NAME)), Some(LET_IN));
    assert_eq!(stage.reason(&with(&[], "Acme"), Some(NAME)), Some(BAD_LOGIN));
}

#[test]
fn connections_end_with_user_certificate_or_provider() {
    let stage = Stage::set();
    let sensor = stage.authority.card("sensor-1", &stage.org, |_| {});
    let open = |card: &Card| {
        let (reason, stream) = stage.connect(Some(card), None, None).expect("a CONNACK");
        assert_eq!(reason, LET_IN);
        stream
    };
    let soon = stage.authority.card("sensor-1", &stage.org, |params| {
        params.not_after =
            (std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(crate::bench::now_secs() + 10)).into();
    });
    assert_eq!(reason_of_end(&mut open(&soon)), MAXIMUM_CONNECT_TIME);

    let switch = |how: &str, body: &serde_json::Value| {
        let answer = stage
            .bench
            .api("POST", &format!("/v2/providers/devices/{how}"), Some(body));
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let mut stream = open(&sensor);
    switch("disable", &json!({}));
    assert_eq!(stage.reason(&sensor, None), Some(BAD_LOGIN));
    switch("disable", &json!({ "end_connections": true }));
    assert_eq!(reason_of_end(&mut stream), NOT_AUTHORIZED);
    switch("enable", &json!({}));

    let mut stream = open(&sensor);
    drop(
        stage
            .bench
            .broker
            .cli(&["user", "delete", "sensor-1", "--org", &stage.org]),
    );
    assert_eq!(reason_of_end(&mut stream), NOT_AUTHORIZED);
    assert_eq!(stage.reason(&sensor, None), Some(BAD_LOGIN));
}

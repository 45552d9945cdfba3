//! A local certificate authority, and the server's certificate signed by it.
//!
//! Clients trust the authority once (`ca.pem`); the server's own certificate is short-lived and made anew
//! at a start that finds it near its end, without a name that it needs, or not fitting its files.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

use super::{DataFolder, FirstRunError};
use crate::accounts::secret::random;
use crate::clock::WallTime;

const DAY: Duration = Duration::from_secs(86_400);
/// How long the authority lives.
const CA_LIFE: Duration = Duration::from_secs(3_650 * 86_400);
/// How long the server's certificate lives: what strict clients accept.
const SERVER_LIFE: Duration = Duration::from_secs(397 * 86_400);
/// A certificate that ends sooner than this is made anew at the start.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// Names that the certificate always has.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What was found or done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issued {
    /// Everything was good.
    Kept,
    /// The server has a new certificate from the authority that clients trust already.
    Server,
    /// Both are new: clients have to trust the new authority.
    Authority,
}

/// Sees to it that the folder has a certificate for this machine, `hostname` included.
///
/// # Errors
/// [`FirstRunError`]; a file that cannot be understood is named and left alone.
pub fn ensure_certificates(
    folder: &DataFolder,
    hostname: Option<&str>,
    now: WallTime,
) -> Result<Issued, FirstRunError> {
    let names = names(hostname);
    let authority = load_authority(folder, now)?;
    if let Some(authority) = &authority
        && server_is_good(folder, &authority.certificate, &names, now)?
    {
        return Ok(Issued::Kept);
    }
    let (authority, issued) = match authority {
        Some(authority) => (authority, Issued::Server),
        None => (make_authority(folder, now)?, Issued::Authority),
    };
    make_server(folder, &authority, &names, now)?;
    Ok(issued)
}

/// The machine's name, if it has one that a certificate can hold.
#[must_use]
pub fn local_hostname() -> Option<String> {
    let name =
        fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| fs::read_to_string("/etc/hostname"));
    name.ok().map(|name| name.trim().to_ascii_lowercase())
}

fn names(hostname: Option<&str>) -> Vec<String> {
    let mut names: Vec<String> = LOCAL_NAMES.map(Into::into).into();
    if let Some(name) = hostname.filter(|name| is_dns_name(name) && !LOCAL_NAMES.contains(name)) {
        names.push(name.into());
    }
    names
}

fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

struct Authority {
    /// PEM.
    certificate: String,
    key: KeyPair,
}

/// The authority of the folder; `None` if there is none, or its time is nearly over.
fn load_authority(folder: &DataFolder, now: WallTime) -> Result<Option<Authority>, FirstRunError> {
    let (certificate_file, key_file) = (folder.ca_certificate(), folder.ca_key());
    let (Some(certificate), Some(key)) = (read(&certificate_file)?, read(&key_file)?) else {
        return Ok(None);
    };
    let key = KeyPair::from_pem(&key).map_err(|error| unusable(&key_file, &error.to_string()))?;
    let ends_at = with_certificate(&certificate, ends_at);
    let ends_at = ends_at.ok_or_else(|| unusable(&certificate_file, "not a certificate"))?;
    let lasts = ends_at > now.after(RENEW_BEFORE);
    Ok(lasts.then_some(Authority { certificate, key }))
}

fn make_authority(folder: &DataFolder, now: WallTime) -> Result<Authority, FirstRunError> {
    let key = new_key()?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "CloudSignal local CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_life(&mut params, now, now.after(CA_LIFE));
    let certificate = params.self_signed(&key).map_err(certificate_error)?.pem();
    folder.write_private(&folder.ca_key(), key.serialize_pem().as_bytes())?;
    folder.write_private(&folder.ca_certificate(), certificate.as_bytes())?;
    Ok(Authority { certificate, key })
}

fn make_server(
    folder: &DataFolder,
    authority: &Authority,
    names: &[String],
    now: WallTime,
) -> Result<(), FirstRunError> {
    let key = new_key()?;
    let mut params = CertificateParams::new(names).map_err(certificate_error)?;
    params.distinguished_name.push(DnType::CommonName, "CloudSignal");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let ca_ends_at = with_certificate(&authority.certificate, ends_at).unwrap_or(now);
    set_life(&mut params, now, now.after(SERVER_LIFE).min(ca_ends_at));
    let issuer =
        Issuer::from_ca_cert_pem(&authority.certificate, &authority.key).map_err(certificate_error)?;
    let certificate = params.signed_by(&key, &issuer).map_err(certificate_error)?.pem();
    // A crash in between leaves a key and a certificate that do not fit; the next start sees that.
    folder.write_private(&folder.server_key(), key.serialize_pem().as_bytes())?;
    folder.write_private(&folder.server_certificate(), certificate.as_bytes())
}

fn server_is_good(
    folder: &DataFolder,
    authority: &str,
    names: &[String],
    now: WallTime,
) -> Result<bool, FirstRunError> {
    let (Some(certificate), Some(key)) = (read(&folder.server_certificate())?, read(&folder.server_key())?)
    else {
        return Ok(false);
    };
    let Ok(key) = KeyPair::from_pem(&key) else {
        return Ok(false);
    };
    let good = with_certificate(&certificate, |server| {
        let lasts = ends_at(server)? > now.after(RENEW_BEFORE);
        let fits = *server.public_key().subject_public_key.data == *key.public_key_raw();
        let signed = with_certificate(authority, |ca| {
            server.verify_signature(Some(ca.public_key())).ok()
        });
        Some(lasts && fits && signed.is_some() && has_names(server, names))
    });
    Ok(good.unwrap_or(false))
}

fn has_names(certificate: &X509Certificate<'_>, names: &[String]) -> bool {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return false;
    };
    let Ok(wanted) = CertificateParams::new(names) else {
        return false;
    };
    wanted.subject_alt_names.iter().all(|wanted| {
        extension
            .value
            .general_names
            .iter()
            .any(|has| match (wanted, has) {
                (SanType::DnsName(wanted), GeneralName::DNSName(has)) => wanted.as_str() == *has,
                (SanType::IpAddress(wanted), GeneralName::IPAddress(has)) => match wanted {
                    std::net::IpAddr::V4(wanted) => wanted.octets() == **has,
                    std::net::IpAddr::V6(wanted) => wanted.octets() == **has,
                },
                _ => false,
            })
    })
}

fn ends_at(certificate: &X509Certificate<'_>) -> Option<WallTime> {
    let secs = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Some(WallTime::ZERO.after(Duration::from_secs(secs)))
}

/// Parses PEM and looks at the certificate; `None` if it is none.
fn with_certificate<T>(pem: &str, look: impl FnOnce(&X509Certificate<'_>) -> Option<T>) -> Option<T> {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).ok()?;
    look(&pem.parse_x509().ok()?)
}

fn new_key() -> Result<KeyPair, FirstRunError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(certificate_error)
}

fn set_life(params: &mut CertificateParams, now: WallTime, ends_at: WallTime) {
    // Clients whose clock is a little behind have to accept it too.
    params.not_before = now.before(DAY).date_time();
    params.not_after = ends_at.date_time();
    params.serial_number = Some(SerialNumber::from(random::<16>().to_vec()));
}

fn read(path: &Path) -> Result<Option<String>, FirstRunError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FirstRunError::File {
            path: path.into(),
            error,
        }),
    }
}

fn unusable(path: &Path, why: &str) -> FirstRunError {
    let text = format!("{why}; restore it, or remove the folder tls to make new certificates");
    FirstRunError::File {
        path: path.into(),
        error: io::Error::new(io::ErrorKind::InvalidData, text),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn certificate_error(error: rcgen::Error) -> FirstRunError {
    FirstRunError::Certificate(error.to_string())
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    use super::*;

    fn now() -> WallTime {
        WallTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap()
    }

    fn folder() -> (tempfile::TempDir, DataFolder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(temporary.path()).unwrap();
        (temporary, folder)
    }

    /// Whether a client that trusts our authority accepts the server under this name.
    fn accepts(folder: &DataFolder, name: &str, at: WallTime) -> bool {
        let ca = CertificateDer::from_pem_file(folder.ca_certificate()).unwrap();
        let server = CertificateDer::from_pem_file(folder.server_certificate()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(ca).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let at = UnixTime::since_unix_epoch(Duration::from_micros(at.unix_micros()));
        verifier.verify_server_cert(&server, &[], &name, &[], at).is_ok()
    }

    #[test]
    fn clients_that_trust_the_authority_accept_every_local_name() {
        let (_temporary, folder) = folder();
        assert_eq!(
            ensure_certificates(&folder, Some("box.example"), now()).unwrap(),
            Issued::Authority
        );
        for name in ["localhost", "127.0.0.1", "::1", "box.example"] {
            assert!(accepts(&folder, name, now()), "{name}");
        }
        assert!(!accepts(&folder, "elsewhere.example", now()));
        assert!(!accepts(&folder, "localhost", now().after(SERVER_LIFE + DAY)));
        assert!(
            fs::read_to_string(folder.server_key())
                .unwrap()
                .contains("PRIVATE KEY")
        );
    }

    #[test]
    fn a_good_certificate_is_kept_and_one_near_its_end_renewed() {
        let (_temporary, folder) = folder();
        ensure_certificates(&folder, None, now()).unwrap();
        let server = fs::read(folder.server_certificate()).unwrap();
        let ca = fs::read(folder.ca_certificate()).unwrap();
        let later = now().after(SERVER_LIFE - RENEW_BEFORE - DAY);
        assert_eq!(ensure_certificates(&folder, None, later).unwrap(), Issued::Kept);
        assert_eq!(fs::read(folder.server_certificate()).unwrap(), server);
        let later = later.after(2 * DAY);
        assert_eq!(ensure_certificates(&folder, None, later).unwrap(), Issued::Server);
        assert_ne!(fs::read(folder.server_certificate()).unwrap(), server);
        assert_eq!(
            fs::read(folder.ca_certificate()).unwrap(),
            ca,
            "clients need not trust anew"
        );
        assert!(accepts(&folder, "localhost", later.after(SERVER_LIFE - DAY)));
    }

    #[test]
    fn a_new_name_of_the_machine_gets_into_the_certificate() {
        let (_temporary, folder) = folder();
        ensure_certificates(&folder, Some("old"), now()).unwrap();
        assert_eq!(
            ensure_certificates(&folder, Some("new"), now()).unwrap(),
            Issued::Server
        );
        assert!(accepts(&folder, "new", now()));
        for odd in ["", "-x", "a_b", "a..b", "localhost"] {
            ensure_certificates(&folder, Some(odd), now()).unwrap();
            assert!(accepts(&folder, "localhost", now()), "{odd}");
        }
    }

    #[test]
    fn files_that_do_not_fit_are_replaced() {
        let (_temporary, folder) = folder();
        ensure_certificates(&folder, None, now()).unwrap();
        let other = new_key().unwrap().serialize_pem();
        for (file, content) in [
            (folder.server_key(), Some(other.as_str())),
            (folder.server_key(), None),
            (folder.server_certificate(), Some("nonsense")),
        ] {
            match content {
                Some(content) => fs::write(file, content).unwrap(),
                None => fs::remove_file(file).unwrap(),
            }
            assert_eq!(ensure_certificates(&folder, None, now()).unwrap(), Issued::Server);
            assert_eq!(ensure_certificates(&folder, None, now()).unwrap(), Issued::Kept);
        }
        fs::remove_file(folder.ca_certificate()).unwrap();
        assert_eq!(
            ensure_certificates(&folder, None, now()).unwrap(),
            Issued::Authority
        );
        assert!(accepts(&folder, "localhost", now()));
    }

    #[test]
    fn a_damaged_authority_is_named_and_left_alone() {
        let (_temporary, folder) = folder();
        ensure_certificates(&folder, None, now()).unwrap();
        fs::write(folder.ca_key(), "nonsense").unwrap();
        let error = ensure_certificates(&folder, None, now()).unwrap_err();
        assert!(error.to_string().contains("ca-key.pem"), "{error}");
        assert_eq!(fs::read_to_string(folder.ca_key()).unwrap(), "nonsense");
    }

    #[test]
    fn an_authority_near_its_end_is_made_anew() {
        let (_temporary, folder) = folder();
        ensure_certificates(&folder, None, now()).unwrap();
        let late = now().after(CA_LIFE - RENEW_BEFORE);
        assert_eq!(
            ensure_certificates(&folder, None, late).unwrap(),
            Issued::Authority
        );
        assert!(accepts(&folder, "localhost", late));
    }
}

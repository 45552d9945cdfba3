//! A client's certificate, as far as it says who somebody is. TLS has checked that one of the server's client
//! authorities signed it.

use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::AttributeTypeAndValue;

use super::limits::{CERTIFICATE_NAMES_MAX, SETTING_BYTES_MAX};
use crate::accounts::names::Email;
use crate::clock::WallTime;

/// Who a certificate is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// SHA-256 of it, as hex.
    pub fingerprint: Box<str>,
    /// The subject's common name, if there is exactly one.
    pub common_name: Option<Box<str>>,
    /// The subject's organizations; at most [`CERTIFICATE_NAMES_MAX`].
    pub organizations: Vec<Box<str>>,
    /// E-mail addresses among the alternative names; at most [`CERTIFICATE_NAMES_MAX`].
    pub emails: Vec<Email>,
    /// When it ends.
    pub not_after: WallTime,
}

impl ClientCertificate {
    /// Reads a certificate in DER; `None` if it cannot be read, which TLS would have refused.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let mut names = subject.iter_common_name().filter_map(text);
        let common_name = names.next().filter(|_| names.next().is_none());
        let organizations = subject.iter_organization().filter_map(text);
        let alternatives = certificate.subject_alternative_name().ok()?;
        let alternatives = alternatives.iter().flat_map(|names| &names.value.general_names);
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the library's list of kinds; one of them is an address"
        )]
        let emails = alternatives.filter_map(|name| match name {
            GeneralName::RFC822Name(address) => Email::parse(address).ok(),
            _ => None,
        });
        let ends_secs = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
        let digest = Sha256::digest(der);
        Some(Self {
            fingerprint: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            common_name,
            organizations: organizations.take(CERTIFICATE_NAMES_MAX).collect(),
            emails: emails.take(CERTIFICATE_NAMES_MAX).collect(),
            not_after: WallTime::from_unix_micros(ends_secs.saturating_mul(1_000_000)),
        })
    }
}

fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<Box<str>> {
    let text = attribute.as_str().ok()?;
    (text.len() <= SETTING_BYTES_MAX).then(|| text.into())
}

//! Secrets: how they are made, masked, digested and kept out of logs.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Random bytes of a secret key.
const SECRET_BYTES: usize = 32;
/// Random bytes of a generated password.
const PASSWORD_BYTES: usize = 18;

/// Text that must not be logged. It prints as `***`; serializing shows it, for the one answer that may.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(format = Password)]
pub struct Secret(String);

impl Secret {
    /// Takes text that somebody chose.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// `prefix` and 256 random bits as base64url.
    #[must_use]
    pub fn generate(prefix: &str) -> Self {
        Self(format!(
            "{prefix}{}",
            URL_SAFE_NO_PAD.encode(random::<SECRET_BYTES>())
        ))
    }

    /// A password of 24 characters, 144 random bits. It begins with a letter or a digit: people paste it
    /// where a `-` at the beginning would mean something.
    #[must_use]
    pub fn generate_password() -> Self {
        loop {
            let text = URL_SAFE_NO_PAD.encode(random::<PASSWORD_BYTES>());
            // One in 32 does not; that many in a row as would matter never happen.
            if text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
                return Self(text);
            }
        }
    }

    /// The text, for whoever may see it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `sk_...x7m4`: enough to tell secrets apart.
    #[must_use]
    pub fn masked(&self) -> String {
        let prefix = self.0.split_once('_').map_or("", |(prefix, _)| prefix);
        let tail: Vec<char> = self.0.chars().rev().take(4).collect();
        format!("{prefix}_...{}", tail.into_iter().rev().collect::<String>())
    }

    /// What is stored instead of a generated secret.
    #[must_use]
    pub fn digest(&self) -> SecretDigest {
        SecretDigest::of(self.0.as_bytes())
    }
}

/// In constant time for secrets of one length.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// SHA-256 of a secret that we generated.
///
/// A plain hash is enough here, unlike for passwords: with 256 random bits there is nothing to guess,
/// and a login must not cost what argon2 costs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// Digests what a client sent.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Whether both are the same, in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(***)")
    }
}

impl Serialize for SecretDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for SecretDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(serde::de::Error::custom)?;
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| serde::de::Error::custom("a digest has 32 bytes"))
    }
}

/// A key for signatures: 256 random bits.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SigningKey(#[serde(with = "base64_bytes")] [u8; 32]);

impl SigningKey {
    /// A fresh key.
    #[must_use]
    pub fn generate() -> Self {
        Self(random())
    }

    pub(crate) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(serde::de::Error::custom)?;
        bytes
            .try_into()
            .map_err(|_| serde::de::Error::custom("a key has 32 bytes"))
    }
}

/// Random bytes from the operating system.
///
/// # Panics
/// If the system has no randomness: nothing secret can be made then, so going on would be worse.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("invariant: the operating system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_random_and_masked() {
        let (one, other) = (Secret::generate("sk_"), Secret::generate("sk_"));
        assert_ne!(one.expose(), other.expose());
        assert_eq!(one.expose().len(), 3 + 43);
        assert_eq!(Secret::new("sk_abcdefx7m4".into()).masked(), "sk_...x7m4");
        assert_eq!(format!("{one:?}"), "***");
    }

    #[test]
    fn a_generated_password_can_be_pasted() {
        for _ in 0..500 {
            let password = Secret::generate_password();
            assert_eq!(password.expose().len(), 24);
            assert!(
                password
                    .expose()
                    .starts_with(|first: char| first.is_ascii_alphanumeric())
            );
        }
    }

    #[test]
    fn a_digest_matches_only_its_secret() {
        let secret = Secret::generate("sk_");
        assert!(
            secret
                .digest()
                .matches(&SecretDigest::of(secret.expose().as_bytes()))
        );
        assert!(!secret.digest().matches(&Secret::generate("sk_").digest()));
        let json = serde_json::to_string(&secret.digest()).unwrap();
        assert_eq!(
            serde_json::from_str::<SecretDigest>(&json).unwrap(),
            secret.digest()
        );
    }

    #[test]
    fn a_signing_key_is_stored_whole_and_never_printed() {
        let key = SigningKey::generate();
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(
            serde_json::from_str::<SigningKey>(&json).unwrap().bytes(),
            key.bytes()
        );
        assert_eq!(format!("{key:?}"), "SigningKey(***)");
        assert!(serde_json::from_str::<SigningKey>("\"c2hvcnQ\"").is_err());
    }
}

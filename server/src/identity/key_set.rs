//! A provider's published keys (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::limits::{KEYS_PER_SET_MAX, KID_BYTES_MAX};

/// Keys that are tried for a token that names none.
const TRIED_MAX: usize = 4;

/// The keys of a set that can check signatures.
#[derive(Debug)]
pub(super) struct KeySet(Vec<PublicKey>);

#[derive(Debug)]
struct PublicKey {
    kid: Option<String>,
    /// The only algorithm it is for, if the set says so.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a set. Keys that we cannot use are left out; `None` if it is no set.
    ///
    /// Secrets among them never count: what is published is known to everybody.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(body).ok()?;
        let keys = document.keys.into_iter().take(KEYS_PER_SET_MAX);
        Some(Self(keys.filter_map(PublicKey::read).collect()))
    }

    /// The keys that a token with this header may be signed with.
    pub(super) fn select(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&DecodingKey> {
        let fits = |key: &&PublicKey| {
            key.key.family() == algorithm.family() && key.algorithm.is_none_or(|only| only == algorithm)
        };
        let fitting = self.0.iter().filter(fits);
        match kid {
            Some(kid) => fitting
                .filter(|key| key.kid.as_deref() == Some(kid))
                .take(TRIED_MAX)
                .map(|key| &key.key)
                .collect(),
            None => fitting.take(TRIED_MAX).map(|key| &key.key).collect(),
        }
    }

    /// Whether a key of this name is there, for whatever algorithm.
    pub(super) fn has(&self, kid: Option<&str>) -> bool {
        match kid {
            Some(kid) => self.0.iter().any(|key| key.kid.as_deref() == Some(kid)),
            None => !self.0.is_empty(),
        }
    }
}

impl PublicKey {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        match jwk.common.public_key_use {
            Some(PublicKeyUse::Signature) | None => {}
            Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_)) => return None,
        }
        // Of the library's list, which may grow, these and no others.
        let is_public = matches!(
            jwk.algorithm,
            AlgorithmParameters::RSA(_)
                | AlgorithmParameters::EllipticCurve(_)
                | AlgorithmParameters::OctetKeyPair(_)
        );
        if !is_public
            || jwk
                .common
                .key_id
                .as_ref()
                .is_some_and(|kid| kid.len() > KID_BYTES_MAX)
        {
            return None;
        }
        let algorithm = match jwk.common.key_algorithm {
            // For something else than signatures, or unknown to us.
            Some(named) => Some(Algorithm::try_from(named).ok()?),
            None => None,
        };
        Some(Self {
            key: DecodingKey::from_jwk(&jwk).ok()?,
            kid: jwk.common.key_id,
            algorithm,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(keys: &Value) -> KeySet {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn rsa(kid: &str) -> Value {
        json!({ "kty": "RSA", "kid": kid, "n": "AQAB", "e": "AQAB" })
    }

    #[test]
    fn a_key_is_found_by_its_name_and_its_family() {
        let ed = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "b", "x": "AQAB", "alg": "EdDSA" });
        let set = set(&json!([rsa("a"), ed]));
        assert_eq!(set.select(Some("a"), Algorithm::RS256).len(), 1);
        assert_eq!(set.select(Some("a"), Algorithm::EdDSA).len(), 0);
        assert_eq!(set.select(Some("b"), Algorithm::EdDSA).len(), 1);
        assert_eq!(set.select(Some("c"), Algorithm::RS256).len(), 0);
        assert_eq!(set.select(None, Algorithm::RS256).len(), 1);
        assert!(set.has(Some("b")) && !set.has(Some("c")));
    }

    #[test]
    fn no_key_of_a_set_checks_a_shared_secret() {
        let oct = json!({ "kty": "oct", "kid": "a", "k": "AQAB" });
        let set = set(&json!([oct, rsa("a")]));
        assert_eq!(set.select(Some("a"), Algorithm::HS256).len(), 0);
        assert_eq!(set.select(Some("a"), Algorithm::RS256).len(), 1);
    }

    #[test]
    fn what_cannot_be_used_is_left_out() {
        let unusable = json!([
            null,
            {},
            { "kty": "RSA", "kid": "a" },
            { "kty": "EC", "crv": "secp256k1", "kid": "a", "x": "AQAB", "y": "AQAB" },
            { "kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB", "use": "enc" },
            { "kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB", "alg": "RSA-OAEP" },
            { "kty": "RSA", "kid": "a", "n": "!", "e": "AQAB" },
            { "kty": "RSA", "kid": "a".repeat(KID_BYTES_MAX + 1), "n": "AQAB", "e": "AQAB" },
        ]);
        assert!(!set(&unusable).has(None));
        let many = Value::Array(vec![rsa("a"); 10_000]);
        assert_eq!(set(&many).0.len(), KEYS_PER_SET_MAX);
        assert_eq!(set(&many).select(Some("a"), Algorithm::RS256).len(), TRIED_MAX);
        for body in ["", "{}", "[]", "null", r#"{"keys":{}}"#] {
            assert!(KeySet::parse(body.as_bytes()).is_none(), "{body}");
        }
    }
}

//! Keys and tokens. Headers and claims are written as the test wants them, right or wrong.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair as RsaKeyPair, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256,
};
use ring::{hmac, signature};
use serde_json::{Value, json};

/// Made for these tests, and known to everybody.
const RSA_KEYS: [&str; 2] = [include_str!("rsa_a.b64"), include_str!("rsa_b.b64")];

/// A key that signs tokens.
pub(crate) struct Signer {
    pub(crate) kid: String,
    key: Key,
}

enum Key {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Secret(Vec<u8>),
}

impl Signer {
    /// One of two RSA keys.
    pub(crate) fn rsa(kid: &str, which: usize) -> Self {
        let der = STANDARD
            .decode(RSA_KEYS[which].trim())
            .expect("the test's own key");
        let key = RsaKeyPair::from_der(&der).expect("the test's own key");
        Self::new(kid, Key::Rsa(Box::new(key)))
    }

    pub(crate) fn p256(kid: &str) -> Self {
        Self::new(kid, Key::P256(fresh_ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)))
    }

    pub(crate) fn p384(kid: &str) -> Self {
        Self::new(kid, Key::P384(fresh_ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING)))
    }

    pub(crate) fn ed25519(kid: &str) -> Self {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a fresh key");
        let key = Ed25519KeyPair::from_pkcs8(der.as_ref()).expect("a fresh key");
        Self::new(kid, Key::Ed25519(key))
    }

    pub(crate) fn secret(kid: &str, secret: &[u8]) -> Self {
        Self::new(kid, Key::Secret(secret.to_vec()))
    }

    fn new(kid: &str, key: Key) -> Self {
        let kid = kid.to_owned();
        Self { kid, key }
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match &self.key {
            Key::Rsa(_) => "RS256",
            Key::P256(_) => "ES256",
            Key::P384(_) => "ES384",
            Key::Ed25519(_) => "EdDSA",
            Key::Secret(_) => "HS256",
        }
    }

    /// As a key set shows it.
    pub(crate) fn jwk(&self) -> Value {
        let (kid, alg) = (&self.kid, self.algorithm());
        let point = |key: &EcdsaKeyPair, curve| {
            let point = &key.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y), "kid": kid, "alg": alg, "use": "sig" })
        };
        match &self.key {
            Key::Rsa(_) => {
                let (n, e) = self.rsa_components();
                json!({ "kty": "RSA", "n": encode(&n), "e": encode(&e), "kid": kid, "alg": alg, "use": "sig" })
            }
            Key::P256(key) => point(key, "P-256"),
            Key::P384(key) => point(key, "P-384"),
            Key::Ed25519(key) => {
                let x = encode(key.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "alg": alg, "use": "sig" })
            }
            Key::Secret(secret) => json!({ "kty": "oct", "k": encode(secret), "kid": kid, "alg": alg }),
        }
    }

    /// Modulus and exponent, which everybody may know.
    pub(crate) fn rsa_components(&self) -> (Vec<u8>, Vec<u8>) {
        let Key::Rsa(key) = &self.key else {
            panic!("not an RSA key")
        };
        let public = PublicKeyComponents::<Vec<u8>>::from(key.public());
        (public.n, public.e)
    }

    /// The public key in DER, which everybody may know.
    pub(crate) fn rsa_der(&self) -> Vec<u8> {
        let Key::Rsa(key) = &self.key else {
            panic!("not an RSA key")
        };
        key.public().as_ref().to_vec()
    }

    /// A token as this key's owner makes it.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_with(
            &json!({ "alg": self.algorithm(), "typ": "JWT", "kid": self.kid }),
            claims,
        )
    }

    /// A token with another header.
    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode_json(header), encode_json(claims));
        let signature = self.sign(signed.as_bytes());
        format!("{signed}.{}", encode(&signature))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                let signed = key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                signed.expect("an RSA key signs");
                signature
            }
            Key::P256(key) | Key::P384(key) => {
                let signature = key.sign(&random, message).expect("a key on a curve signs");
                signature.as_ref().to_vec()
            }
            Key::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Key::Secret(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
        }
    }
}

/// A token that nobody signed.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}.", encode_json(header), encode_json(claims))
}

fn fresh_ecdsa(algorithm: &'static signature::EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a fresh key");
    EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).expect("a fresh key")
}

fn encode_json(value: &Value) -> String {
    encode(value.to_string().as_bytes())
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

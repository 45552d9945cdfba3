//! Tokens of an identity provider that signs with a secret which the organization knows. Name and issuer are the same
//! in every organization, the secret is not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use cloudsignal_server::clock::WallTime;

use crate::judge::mark;

const ISSUER: &str = "https://login.example.com";

/// What an organization says about its provider.
pub(crate) fn provider(org: usize) -> Value {
    json!({
        "name": "website",
        "mqtt_password": true,
        "trust": { "type": "shared_secret", "issuer": ISSUER, "secret": secret(org) },
    })
}

fn secret(org: usize) -> String {
    format!("{}a secret of more than thirty-two bytes", mark(org))
}

/// A token of the provider of `org`, good for five minutes.
pub(crate) fn external_token(org: usize, email: &str, now: WallTime) -> String {
    let now = now.unix_micros() / 1_000_000;
    let claims = json!({ "iss": ISSUER, "sub": "u1", "email": email, "iat": now, "exp": now + 300 });
    let parts = [json!({ "alg": "HS256", "typ": "JWT" }), claims];
    let signed = parts
        .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
        .join(".");
    let mut mac = Hmac::<Sha256>::new_from_slice(secret(org).as_bytes()).expect("any length will do");
    mac.update(signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{signed}.{signature}")
}

//! Any text as a token password, and any change to a good one; any text as a secret.
//!
//! Only a text that was signed is a token: no change to it verifies, nor another spelling. Secrets are never shown.
//!
//! Input: one text. Its first line is looked at by itself; all of it also says how a good token is changed: pairs of
//! a place and a byte to put there.
#![no_main]

use std::sync::{Arc, LazyLock};

use cloudsignal_broker::policy::Actions;
use cloudsignal_broker::{OrgId, Scope, ScopePart};
use cloudsignal_core::TopicFilterBuf;
use cloudsignal_server::accounts::Secret;
use cloudsignal_server::accounts::names::Email;
use cloudsignal_server::accounts::secret::{SecretDigest, SigningKey};
use cloudsignal_server::accounts::token::{TOKEN_PASSWORD_BYTES_MAX, TokenClaims, Unverified};
use cloudsignal_server::clock::WallTime;
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

struct Good {
    key: SigningKey,
    password: Secret,
}

/// The same in every run, so that an input means the same.
static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let key = serde_json::from_str("\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"").expect("a key");
    let claims = TokenClaims {
        org: OrgId::new("org_abcdefgh2345"),
        id: Uuid::from_u128(7),
        email: Email::parse("ada@example.com").expect("an address"),
        provider: "cloudsignal".into(),
        facts: vec![("team".into(), "red".into())],
        scope: Some(Arc::new(Scope {
            parts: Box::new([ScopePart {
                filter: TopicFilterBuf::parse("rooms/+/#").expect("a filter"),
                actions: Actions::BOTH,
            }]),
        })),
        issued_at: WallTime::from_unix_micros(1_700_000_000_000_000),
        expires_at: WallTime::from_unix_micros(1_700_003_600_000_000),
        epoch: 3,
    };
    let password = claims.seal(&key);
    Good { key, password }
});

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        let line = text.lines().next().unwrap_or_default();
        check_token(line);
        check_secret(line);
        check_digest(line);
    }
    let mut changed = GOOD.password.expose().as_bytes().to_vec();
    for pair in input.chunks_exact(2) {
        let place = usize::from(pair[0]) % (changed.len() + 1);
        match pair[1] {
            0x80.. => changed.truncate(place.max(1)),
            byte if place == changed.len() => changed.push(byte),
            byte => changed[place] = byte,
        }
    }
    if let Ok(text) = String::from_utf8(changed) {
        check_token(&text);
    }
});

fn check_token(text: &str) {
    let Some(token) = Unverified::parse(text) else {
        assert_ne!(text, GOOD.password.expose());
        return;
    };
    assert!(text.starts_with("tkn_") && text.len() <= TOKEN_PASSWORD_BYTES_MAX);
    match token.verify(&GOOD.key) {
        Some(claims) => {
            let again = claims.seal(&GOOD.key);
            assert_eq!(text, again.expose(), "what a token says has one spelling");
        }
        None => assert_ne!(text, GOOD.password.expose()),
    }
}

fn check_secret(text: &str) {
    let secret = Secret::new(text.to_owned());
    assert_eq!(format!("{secret:?}"), "***");
    let masked = secret.masked();
    // A prefix that says which kind it is, and four characters at most.
    let prefix = text.split_once('_').map_or("", |(prefix, _)| prefix);
    let tail = masked
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix("_..."))
        .expect("the form of a masked secret");
    assert!(text.ends_with(tail) && tail.chars().count() <= 4);
    let digest = secret.digest();
    assert!(digest.matches(&SecretDigest::of(text.as_bytes())));
    assert!(!digest.matches(&SecretDigest::of(format!("{text}.").as_bytes())));
}

fn check_digest(text: &str) {
    if let Ok(digest) = serde_json::from_value::<SecretDigest>(text.into()) {
        assert_eq!(
            serde_json::to_value(digest).expect("it can be written"),
            text,
            "a digest has one spelling"
        );
    }
}

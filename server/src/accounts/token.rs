//! Temporary tokens: signed, self-contained passwords. Nothing is stored when one is made.
//!
//! ```text
//! tkn_ base64url( version u8 = 2 | organization, 16 bytes | token id, 16 bytes | issued at u64
//!                 | expires at u64 | epoch u64 | e-mail, text8 | provider, text8
//!                 | facts: count u8, each name text8 and value text16
//!                 | scope: 0 for none, else 1 + parts u8, each actions u8 (1 publish, 2 subscribe) and filter text16
//!                 | HMAC-SHA256 of all before, 32 bytes )
//! ```
//! Times are unix microseconds; numbers are big-endian; a text is its length (u8 or u16) and that many
//! bytes of UTF-8. The key of the signature belongs to the organization, so no token can speak for
//! another one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use cloudsignal_broker::policy::Actions;
use cloudsignal_broker::scope::SCOPE_PARTS_MAX;
use cloudsignal_broker::{OrgId, Scope, ScopePart};
use cloudsignal_core::TopicFilter;

use super::limits::{
    EMAIL_BYTES_MAX, PROVIDER_NAME_BYTES_MAX, TOKEN_FACTS_BYTES_MAX, TOKEN_FACTS_MAX, TOKEN_SCOPE_BYTES_MAX,
};
use super::names::{Email, OrgRef};
use super::secret::{Secret, SigningKey};
use crate::clock::WallTime;

/// How a token password begins.
pub const TOKEN_PREFIX: &str = "tkn_";

const VERSION: u8 = 2;
const ORG_BYTES: usize = 16;
const MAC_BYTES: usize = 32;
/// Everything whose length is always the same: the lengths of texts and lists too.
const FIXED_BYTES: usize = 1 + ORG_BYTES + 16 + 3 * 8 + 4 + MAC_BYTES;
const BYTES_MAX: usize = FIXED_BYTES
    + EMAIL_BYTES_MAX
    + PROVIDER_NAME_BYTES_MAX
    + TOKEN_FACTS_BYTES_MAX
    + TOKEN_FACTS_MAX * 3
    + TOKEN_SCOPE_BYTES_MAX
    + SCOPE_PARTS_MAX * 3;
/// Longest token password, bytes: base64 makes 4 characters of 3 bytes.
pub const TOKEN_PASSWORD_BYTES_MAX: usize = TOKEN_PREFIX.len() + BYTES_MAX.div_ceil(3) * 4;
const _: () = assert!(TOKEN_PASSWORD_BYTES_MAX <= 4_096, "a password stays within 4 KiB");
/// Keeps these signatures apart from any other use of the key.
const PURPOSE: &[u8] = b"cloudsignal temporary token 2";
const MAY_PUBLISH: u8 = 1;
const MAY_SUBSCRIBE: u8 = 2;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenClaims {
    /// The organization it is for.
    pub org: OrgId,
    /// Names the token in revocations and renewals; all renewals of a token share it.
    pub id: Uuid,
    /// Whose it is.
    pub email: Email,
    /// Who vouched for the user: `cloudsignal`, or the name of an identity provider.
    pub provider: Box<str>,
    /// What the provider said, for rules to bind to: at most [`TOKEN_FACTS_MAX`], together at most
    /// [`TOKEN_FACTS_BYTES_MAX`] bytes.
    pub facts: Vec<(Box<str>, Box<str>)>,
    /// What it is limited to; filters together at most [`TOKEN_SCOPE_BYTES_MAX`] bytes.
    pub scope: Option<Arc<Scope>>,
    /// When it was made.
    pub issued_at: WallTime,
    /// When it ends.
    pub expires_at: WallTime,
    /// The principal's epoch when it was made: a later epoch replaces it.
    pub epoch: u64,
}

/// A token whose signature has not been checked: good only to find the key that checks it.
#[derive(Clone, Debug)]
pub struct Unverified {
    claims: TokenClaims,
    signed: Vec<u8>,
    mac: [u8; MAC_BYTES],
}

impl TokenClaims {
    /// The token password. Whoever makes the claims has checked their bounds.
    #[must_use]
    pub fn seal(&self, key: &SigningKey) -> Secret {
        let mut bytes = Vec::with_capacity(BYTES_MAX);
        bytes.push(VERSION);
        bytes.extend_from_slice(self.org.as_str().as_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.issued_at.unix_micros().to_be_bytes());
        bytes.extend_from_slice(&self.expires_at.unix_micros().to_be_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        put_text8(&mut bytes, self.email.as_str());
        put_text8(&mut bytes, &self.provider);
        bytes.push(u8_of(self.facts.len()));
        for (name, value) in &self.facts {
            put_text8(&mut bytes, name);
            put_text16(&mut bytes, value);
        }
        let parts = self.scope.as_deref().map(|scope| &*scope.parts);
        bytes.push(parts.map_or(0, |parts| u8_of(parts.len() + 1)));
        for ScopePart { filter, actions } in parts.unwrap_or_default() {
            let publish = if actions.publish { MAY_PUBLISH } else { 0 };
            let subscribe = if actions.subscribe { MAY_SUBSCRIBE } else { 0 };
            bytes.push(publish | subscribe);
            put_text16(&mut bytes, filter.as_ref().as_str());
        }
        let mac = signature(key, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        debug_assert!(bytes.len() <= BYTES_MAX, "the claims keep their bounds");
        Secret::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    fn read(signed: &[u8]) -> Option<Self> {
        let mut rest = signed;
        let [version] = take(&mut rest)?;
        if version != VERSION {
            return None;
        }
        let org: [u8; ORG_BYTES] = take(&mut rest)?;
        let OrgRef::Id(org) = OrgRef::parse(std::str::from_utf8(&org).ok()?)? else {
            return None;
        };
        let claims = Self {
            org,
            id: Uuid::from_bytes(take(&mut rest)?),
            issued_at: WallTime::from_unix_micros(u64::from_be_bytes(take(&mut rest)?)),
            expires_at: WallTime::from_unix_micros(u64::from_be_bytes(take(&mut rest)?)),
            epoch: u64::from_be_bytes(take(&mut rest)?),
            email: Email::parse(text8(&mut rest)?).ok()?,
            provider: text8(&mut rest)?.into(),
            facts: read_facts(&mut rest)?,
            scope: read_scope(&mut rest)?,
        };
        rest.is_empty().then_some(claims)
    }
}

fn read_facts(rest: &mut &[u8]) -> Option<Vec<(Box<str>, Box<str>)>> {
    let [count] = take(rest)?;
    if usize::from(count) > TOKEN_FACTS_MAX {
        return None;
    }
    let fact = |_| Some((text8(rest)?.into(), text16(rest)?.into()));
    (0..count).map(fact).collect()
}

fn read_scope(rest: &mut &[u8]) -> Option<Option<Arc<Scope>>> {
    let [marker] = take(rest)?;
    let Some(count) = marker.checked_sub(1) else {
        return Some(None);
    };
    if usize::from(count) > SCOPE_PARTS_MAX {
        return None;
    }
    let part = |_| {
        let [actions] = take(rest)?;
        Some(ScopePart {
            filter: TopicFilter::parse(text16(rest)?).ok()?.to_owned(),
            actions: Actions {
                publish: actions & MAY_PUBLISH != 0,
                subscribe: actions & MAY_SUBSCRIBE != 0,
            },
        })
    };
    let parts = (0..count).map(part).collect::<Option<_>>()?;
    Some(Some(Arc::new(Scope { parts })))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

fn text8<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let [length] = take(rest)?;
    text(rest, length.into())
}

fn text16<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = u16::from_be_bytes(take(rest)?);
    text(rest, length.into())
}

fn text<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a str> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    std::str::from_utf8(taken).ok()
}

fn put_text8(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8_of(text.len()));
    bytes.extend_from_slice(text.as_bytes());
}

fn put_text16(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("invariant: what a token says has bounds");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn u8_of(length: usize) -> u8 {
    u8::try_from(length).expect("invariant: what a token says has bounds")
}

impl Unverified {
    /// Reads the shape of a token password; `None` if it is none.
    #[must_use]
    pub fn parse(password: &str) -> Option<Self> {
        if password.len() > TOKEN_PASSWORD_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(password.strip_prefix(TOKEN_PREFIX)?)
            .ok()?;
        let (signed, mac) = bytes.split_last_chunk::<MAC_BYTES>()?;
        Some(Self {
            claims: TokenClaims::read(signed)?,
            mac: *mac,
            signed: signed.to_vec(),
        })
    }

    /// The organization whose key must have signed it.
    #[must_use]
    pub const fn org(&self) -> &OrgId {
        &self.claims.org
    }

    /// The claims, if `key` signed them. Constant time in the signature.
    #[must_use]
    pub fn verify(self, key: &SigningKey) -> Option<TokenClaims> {
        let matches = signature(key, &self.signed).verify_slice(&self.mac).is_ok();
        matches.then_some(self.claims)
    }
}

fn signature(key: &SigningKey, signed: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.bytes()).expect("invariant: HMAC takes keys of any length");
    mac.update(PURPOSE);
    mac.update(signed);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::names::generate_org_id;

    fn scope(filters: &[&str]) -> Arc<Scope> {
        let parts = filters.iter().enumerate().map(|(at, filter)| ScopePart {
            filter: TopicFilter::parse(filter).unwrap().to_owned(),
            actions: Actions {
                publish: at % 2 == 0,
                subscribe: true,
            },
        });
        Arc::new(Scope {
            parts: parts.collect(),
        })
    }

    fn claims() -> TokenClaims {
        TokenClaims {
            org: generate_org_id(),
            id: Uuid::new_v4(),
            email: Email::parse("john@example.com").unwrap(),
            provider: "supabase".into(),
            facts: vec![("team".into(), "red".into()), ("role".into(), "".into())],
            scope: Some(scope(&["chat/+/#", "news"])),
            issued_at: WallTime::from_unix_micros(1_000_000),
            expires_at: WallTime::from_unix_micros(2_000_000),
            epoch: 7,
        }
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let (key, claims) = (SigningKey::generate(), claims());
        let password = claims.seal(&key);
        assert!(password.expose().starts_with("tkn_"));
        let unverified = Unverified::parse(password.expose()).unwrap();
        assert_eq!(unverified.org(), &claims.org);
        assert_eq!(unverified.verify(&key), Some(claims));
    }

    #[test]
    fn a_token_without_facts_or_scope_is_short() {
        let claims = TokenClaims {
            facts: Vec::new(),
            scope: None,
            ..claims()
        };
        let key = SigningKey::generate();
        let password = claims.seal(&key);
        assert!(password.expose().len() <= 160, "{}", password.expose().len());
        let verified = Unverified::parse(password.expose()).and_then(|it| it.verify(&key));
        assert_eq!(verified, Some(claims));
    }

    #[test]
    fn the_longest_claims_fit() {
        let texts = |bytes: usize, count: usize| vec!["v".repeat(bytes / count); count];
        let filters = texts(TOKEN_SCOPE_BYTES_MAX, SCOPE_PARTS_MAX);
        let filters: Vec<_> = filters.iter().map(String::as_str).collect();
        let values = texts(TOKEN_FACTS_BYTES_MAX - TOKEN_FACTS_MAX, TOKEN_FACTS_MAX);
        let claims = TokenClaims {
            email: Email::parse(&format!("{}@x.org", "a".repeat(EMAIL_BYTES_MAX - 6))).unwrap(),
            provider: "p".repeat(PROVIDER_NAME_BYTES_MAX).into(),
            facts: values
                .into_iter()
                .map(|value| ("n".into(), value.into()))
                .collect(),
            scope: Some(scope(&filters)),
            ..claims()
        };
        let key = SigningKey::generate();
        let password = claims.seal(&key);
        assert_eq!(
            password.expose().len().div_ceil(4),
            TOKEN_PASSWORD_BYTES_MAX.div_ceil(4)
        );
        assert_eq!(
            Unverified::parse(password.expose()).unwrap().verify(&key),
            Some(claims)
        );
    }

    #[test]
    fn another_organizations_key_does_not_verify() {
        let password = claims().seal(&SigningKey::generate());
        let unverified = Unverified::parse(password.expose()).unwrap();
        assert_eq!(unverified.verify(&SigningKey::generate()), None);
    }

    #[test]
    fn no_single_changed_bit_passes() {
        let key = SigningKey::generate();
        let password = claims().seal(&key);
        let bytes = URL_SAFE_NO_PAD
            .decode(password.expose().strip_prefix(TOKEN_PREFIX).unwrap())
            .unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let forged = format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(forged));
            let verified = Unverified::parse(&forged).and_then(|token| token.verify(&key));
            assert_eq!(verified, None, "bit {bit}");
        }
    }

    #[test]
    fn no_cut_or_grown_token_passes() {
        let key = SigningKey::generate();
        let password = claims().seal(&key);
        for length in 0..password.expose().len() {
            let verified = Unverified::parse(password.expose().get(..length).unwrap())
                .and_then(|token| token.verify(&key));
            assert_eq!(verified, None, "{length} bytes");
        }
        for grown in [
            format!("{}A", password.expose()),
            format!("{}=", password.expose()),
            "tkn_".repeat(1_000),
        ] {
            assert!(
                Unverified::parse(&grown)
                    .and_then(|token| token.verify(&key))
                    .is_none()
            );
        }
    }
}

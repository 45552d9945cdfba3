//! Temporary tokens: signed, self-contained passwords. Nothing is stored when one is made.
//!
//! ```text
//! tkn_ base64url( version u8 = 1 | organization, 16 bytes | token id, 16 bytes | issued at u64
//!                 | expires at u64 | epoch u64 | length u8, e-mail | HMAC-SHA256 of all before, 32 bytes )
//! ```
//! Times are unix microseconds; numbers are big-endian. The key of the signature belongs to the
//! organization, so no token can speak for another one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use cloudsignal_broker::OrgId;

use super::limits::EMAIL_BYTES_MAX;
use super::names::{Email, OrgRef};
use super::secret::{Secret, SigningKey};
use crate::clock::WallTime;

/// How a token password begins.
pub const TOKEN_PREFIX: &str = "tkn_";

const VERSION: u8 = 1;
const ORG_BYTES: usize = 16;
const MAC_BYTES: usize = 32;
const FIXED_BYTES: usize = 1 + ORG_BYTES + 16 + 3 * 8 + 1 + MAC_BYTES;
/// Longest token password, bytes: base64 makes 4 characters of 3 bytes.
pub const TOKEN_PASSWORD_BYTES_MAX: usize =
    TOKEN_PREFIX.len() + (FIXED_BYTES + EMAIL_BYTES_MAX).div_ceil(3) * 4;
/// Keeps these signatures apart from any other use of the key.
const PURPOSE: &[u8] = b"cloudsignal temporary token 1";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenClaims {
    /// The organization it is for.
    pub org: OrgId,
    /// Names the token in revocations and renewals; all renewals of a token share it.
    pub id: Uuid,
    /// Whose it is.
    pub email: Email,
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
    /// The token password.
    #[must_use]
    pub fn seal(&self, key: &SigningKey) -> Secret {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.email.as_str().len());
        bytes.push(VERSION);
        bytes.extend_from_slice(self.org.as_str().as_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.issued_at.unix_micros().to_be_bytes());
        bytes.extend_from_slice(&self.expires_at.unix_micros().to_be_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        let email = self.email.as_str().as_bytes();
        bytes.push(u8::try_from(email.len()).expect("invariant: an e-mail has at most 254 bytes"));
        bytes.extend_from_slice(email);
        let mac = signature(key, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        Secret::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }
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
        let (&version, rest) = signed.split_first()?;
        if version != VERSION {
            return None;
        }
        let (org, rest) = rest.split_first_chunk::<ORG_BYTES>()?;
        let OrgRef::Id(org) = OrgRef::parse(std::str::from_utf8(org).ok()?)? else {
            return None;
        };
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (issued_at, rest) = rest.split_first_chunk::<8>()?;
        let (expires_at, rest) = rest.split_first_chunk::<8>()?;
        let (epoch, rest) = rest.split_first_chunk::<8>()?;
        let (&length, email) = rest.split_first()?;
        if email.len() != usize::from(length) {
            return None;
        }
        let claims = TokenClaims {
            org,
            id: Uuid::from_bytes(*id),
            email: Email::parse(std::str::from_utf8(email).ok()?).ok()?,
            issued_at: WallTime::from_unix_micros(u64::from_be_bytes(*issued_at)),
            expires_at: WallTime::from_unix_micros(u64::from_be_bytes(*expires_at)),
            epoch: u64::from_be_bytes(*epoch),
        };
        Some(Self {
            claims,
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

    fn claims() -> TokenClaims {
        TokenClaims {
            org: generate_org_id(),
            id: Uuid::new_v4(),
            email: Email::parse("john@example.com").unwrap(),
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
    fn the_longest_address_fits() {
        let email = Email::parse(&format!("{}@x.org", "a".repeat(EMAIL_BYTES_MAX - 6))).unwrap();
        let (key, claims) = (SigningKey::generate(), TokenClaims { email, ..claims() });
        let password = claims.seal(&key);
        assert!(password.expose().len() <= TOKEN_PASSWORD_BYTES_MAX);
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

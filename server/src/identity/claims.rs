//! What is read of a token once its signature is known to be good.

use std::time::Duration;

use serde_json::{Map, Value};

use super::fault::{IdentityFault, Requirement};
use super::limits::{JWT_AGE_SECS_MAX, KEPT_BYTES_MAX};
use super::provider::{EmailVerification, ProviderSettings};
use crate::accounts::names::Email;
use crate::clock::WallTime;

/// Claims that are kept: names and values.
pub(super) type Facts = Vec<(Box<str>, Box<str>)>;

/// A token's claims.
pub(super) type Claims = Map<String, Value>;

/// What a token says about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// When it was made.
    pub(super) issued_at: WallTime,
    /// Until when it counts, the allowance for clocks included.
    pub(super) counts_until: WallTime,
}

/// Checks `exp`, `nbf` and `iat` against the clock.
///
/// `skew` is how far the issuer's clock may be from ours, in either direction. Nothing counts for longer
/// than [`JWT_AGE_SECS_MAX`], because revocations are not remembered for longer.
pub(super) fn check_times(claims: &Claims, now: WallTime, skew: Duration) -> Result<Times, IdentityFault> {
    let of = |name: &str| claims.get(name).and_then(time);
    let expires_at = of("exp").ok_or(IdentityFault::Claim(Requirement::Expiry))?;
    let issued_at = of("iat").ok_or(IdentityFault::Claim(Requirement::IssuedAt))?;
    let from = match claims.get("nbf") {
        Some(value) => time(value).ok_or(IdentityFault::Claim(Requirement::NotBefore))?,
        None => issued_at,
    };
    if issued_at.max(from) > now.after(skew) {
        return Err(IdentityFault::NotYet);
    }
    let oldest = issued_at.after(Duration::from_secs(JWT_AGE_SECS_MAX));
    let counts_until = expires_at.min(oldest).after(skew);
    if counts_until <= now {
        return Err(IdentityFault::Expired);
    }
    Ok(Times {
        issued_at,
        counts_until,
    })
}

/// NumericDate: seconds since 1970, perhaps with a fraction (RFC 7519, 2).
fn time(value: &Value) -> Option<WallTime> {
    /// The end of the year 9999.
    const SECS_MAX: f64 = 253_402_300_799.0;
    let secs = value.as_f64().filter(|secs| *secs >= 0.0)?;
    let micros = Duration::from_secs_f64(secs.min(SECS_MAX)).as_micros();
    u64::try_from(micros).ok().map(WallTime::from_unix_micros)
}

/// The e-mail address.
pub(super) fn email(claims: &Claims, settings: &ProviderSettings) -> Result<Email, IdentityFault> {
    let missing = IdentityFault::Claim(Requirement::Email);
    let text = look_up(claims, &settings.email_claim).and_then(Value::as_str);
    let email = Email::parse(text.ok_or(missing)?).map_err(|_| missing)?;
    // Some providers write the word.
    let verified = match claims.get("email_verified") {
        Some(Value::Bool(verified)) => Some(*verified),
        Some(Value::String(word)) => Some(word == "true"),
        Some(_) => Some(false),
        None => None,
    };
    let is_good = match settings.email_verification {
        EmailVerification::NotFalse => verified != Some(false),
        EmailVerification::Required => verified == Some(true),
        EmailVerification::Ignored => true,
    };
    is_good.then_some(email).ok_or(IdentityFault::EmailNotVerified)
}

/// Claims that are kept, under the names by which the organization asked for them. A claim that the token
/// lacks, or whose value is no text, number or boolean, is not there.
pub(super) fn kept(claims: &Claims, settings: &ProviderSettings) -> Result<Facts, IdentityFault> {
    let mut kept = Facts::new();
    // The subject is what providers call a user's id, and it is always wanted.
    if let Some(subject) = claims.get("sub").and_then(text) {
        kept.push(("user_id".into(), subject));
    }
    for name in &settings.claims {
        if let Some(value) = look_up(claims, name).and_then(text) {
            kept.push((name.as_str().into(), value));
        }
    }
    let bytes: usize = kept.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > KEPT_BYTES_MAX {
        return Err(IdentityFault::TooManyClaims);
    }
    Ok(kept)
}

/// A claim by its name, or else by its path.
fn look_up<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    look_up(claims.get(first)?.as_object()?, rest)
}

fn text(value: &Value) -> Option<Box<str>> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    let is_plain = !text.is_empty() && !text.chars().any(char::is_control);
    is_plain.then(|| text.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::accounts::Secret;
    use crate::identity::provider::Trust;

    const SKEW: Duration = Duration::from_secs(60);

    fn claims(value: Value) -> Claims {
        let Value::Object(claims) = value else { panic!() };
        claims
    }

    fn settings() -> ProviderSettings {
        ProviderSettings {
            name: "web".into(),
            trust: Trust::SharedSecret {
                issuer: "us".into(),
                audience: None,
                secret: Secret::new("x".repeat(32)),
            },
            email_claim: "email".into(),
            email_verification: EmailVerification::NotFalse,
            claims: vec!["app.role".into(), "https://x.example/level".into(), "tags".into()],
            mqtt_password: false,
        }
    }

    fn at(secs: u64) -> WallTime {
        WallTime::from_unix_micros(secs * 1_000_000)
    }

    fn until(value: Value) -> Result<WallTime, IdentityFault> {
        check_times(&claims(value), at(1_000), SKEW).map(|times| times.counts_until)
    }

    #[test]
    fn times_are_checked_with_the_allowance_for_clocks_and_no_more() {
        assert_eq!(until(json!({ "iat": 900, "exp": 1_001 })), Ok(at(1_061)));
        assert_eq!(until(json!({ "iat": 900, "exp": 941 })), Ok(at(1_001)));
        assert_eq!(
            until(json!({ "iat": 900, "exp": 940 })),
            Err(IdentityFault::Expired)
        );
        assert_eq!(
            until(json!({ "exp": 2_000, "nbf": 1_060, "iat": 1_060 })),
            Ok(at(2_060))
        );
        let early = json!({ "iat": 900, "exp": 2_000, "nbf": 1_061 });
        assert_eq!(until(early), Err(IdentityFault::NotYet));
        assert_eq!(
            until(json!({ "exp": 2_000, "iat": 1_061 })),
            Err(IdentityFault::NotYet)
        );
        let half = at(1_061).after(Duration::from_millis(500));
        assert_eq!(until(json!({ "iat": 900, "exp": 1_001.5 })), Ok(half));
        let day = at(900 + JWT_AGE_SECS_MAX).after(SKEW);
        assert_eq!(until(json!({ "iat": 900, "exp": 1e300 })), Ok(day));
        let old = json!({ "iat": 0, "exp": 1e9 });
        let later = at(JWT_AGE_SECS_MAX + 60);
        assert_eq!(
            check_times(&claims(old), later, SKEW),
            Err(IdentityFault::Expired)
        );
    }

    #[test]
    fn a_time_of_the_wrong_kind_is_not_overlooked() {
        let wrong = [
            json!(null),
            json!("2000"),
            json!(-1),
            json!([2_000]),
            json!(true),
            json!({}),
        ];
        let requirements = [
            ("exp", Requirement::Expiry),
            ("iat", Requirement::IssuedAt),
            ("nbf", Requirement::NotBefore),
        ];
        for (name, requirement) in requirements {
            for value in &wrong {
                let mut token = json!({ "iat": 900, "nbf": 900, "exp": 2_000 });
                token[name] = value.clone();
                assert_eq!(
                    until(token),
                    Err(IdentityFault::Claim(requirement)),
                    "{name}: {value}"
                );
            }
        }
        let expiry = Err(IdentityFault::Claim(Requirement::Expiry));
        assert_eq!(until(json!({ "iat": 900 })), expiry);
        let issued = Err(IdentityFault::Claim(Requirement::IssuedAt));
        assert_eq!(until(json!({ "exp": 2_000 })), issued);
    }

    #[test]
    fn an_address_is_needed_and_must_not_be_known_to_be_unproven() {
        let read = |value: Value| email(&claims(value), &settings()).map(|email| email.user_name());
        assert_eq!(
            read(json!({ "email": "John@Example.com" })),
            Ok("john_example_com".into())
        );
        let missing = Err(IdentityFault::Claim(Requirement::Email));
        for value in [
            json!({}),
            json!({ "email": "" }),
            json!({ "email": 1 }),
            json!({ "email": "john" }),
        ] {
            assert_eq!(read(value.clone()), missing, "{value}");
        }
        for unproven in [json!(false), json!("false"), json!(0)] {
            let value = json!({ "email": "john@example.com", "email_verified": unproven });
            assert_eq!(read(value), Err(IdentityFault::EmailNotVerified));
        }
        let mut strict = settings();
        strict.email_verification = EmailVerification::Required;
        let silent = claims(json!({ "email": "john@example.com" }));
        assert_eq!(email(&silent, &strict), Err(IdentityFault::EmailNotVerified));
        strict.email_claim = "profile.mail".into();
        let nested = json!({ "profile": { "mail": "john@example.com" }, "email_verified": "true" });
        assert!(email(&claims(nested), &strict).is_ok());
    }

    #[test]
    fn claims_are_kept_by_name_or_path_within_their_bound() {
        let token = claims(json!({
            "sub": "auth0|7",
            "app": { "role": "admin" },
            "https://x.example/level": 3,
            "tags": ["a"],
            "other": "x",
        }));
        let of = |name: &str, value: &str| (Box::from(name), Box::from(value));
        let expected = vec![
            of("user_id", "auth0|7"),
            of("app.role", "admin"),
            of("https://x.example/level", "3"),
        ];
        assert_eq!(kept(&token, &settings()), Ok(expected));
        let large = claims(json!({ "app.role": "x".repeat(KEPT_BYTES_MAX) }));
        assert_eq!(kept(&large, &settings()), Err(IdentityFault::TooManyClaims));
        let odd = claims(json!({ "app.role": "a\u{0}b", "sub": "" }));
        assert_eq!(kept(&odd, &settings()), Ok(Vec::new()));
    }
}

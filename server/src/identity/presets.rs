//! What each kind of provider means: its issuers, audiences, algorithms and keys.

use jsonwebtoken::Algorithm;

use super::endpoint::{Endpoint, Reach};
use super::limits::{AUDIENCES_MAX, ISSUERS_MAX, SHARED_SECRET_BYTES_MAX, SHARED_SECRET_BYTES_MIN};
use super::provider::{
    Issuer, KeySource, PublicAlgorithm, SettingsError, Trust, check_text, check_texts, wrong,
};
use crate::accounts::Secret;

impl Trust {
    /// Whom it trusts.
    ///
    /// # Errors
    /// [`SettingsError`]
    pub(super) fn issuers(&self, reach: Reach) -> Result<Vec<Issuer>, SettingsError> {
        match self {
            Self::Supabase {
                project_url,
                jwt_secret,
            } => supabase(project_url, jwt_secret.as_ref(), reach),
            Self::Firebase { project_id } => firebase(project_id, reach),
            Self::Auth0 { domain, audience } => auth0(domain, audience, reach),
            Self::Clerk { issuers, audience } => clerk(issuers, audience.as_deref(), reach),
            Self::Oidc {
                issuer,
                audiences,
                jwks_url,
                algorithms,
            } => oidc(issuer, audiences, jwks_url.as_deref(), algorithms, reach),
            // No token has such an issuer: certificates are shown in the handshake.
            Self::ClientCertificate { organization, .. } => {
                check_title("organization", organization.as_deref().unwrap_or("-"))?;
                Ok(Vec::new())
            }
            Self::SharedSecret {
                issuer,
                audience,
                secret,
            } => {
                check_text("issuer", issuer)?;
                check_texts("audience", audience.iter())?;
                check_secret("secret", secret)?;
                Ok(vec![Issuer {
                    issuer: issuer.clone(),
                    audiences: audience.iter().cloned().collect(),
                    algorithms: vec![Algorithm::HS256],
                    keys: KeySource::Secret(secret.clone()),
                }])
            }
        }
    }
}

fn supabase(url: &str, secret: Option<&Secret>, reach: Reach) -> Result<Vec<Issuer>, SettingsError> {
    let base = url.trim_end_matches('/');
    let keys_url = format!("{base}/auth/v1/.well-known/jwks.json");
    let endpoint = endpoint("project_url", &keys_url, reach)?;
    let (algorithms, keys) = match secret {
        Some(secret) => {
            check_secret("jwt_secret", secret)?;
            (vec![Algorithm::HS256], KeySource::Secret(secret.clone()))
        }
        None => (
            vec![Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA],
            KeySource::Jwks(endpoint),
        ),
    };
    Ok(vec![Issuer {
        issuer: format!("{base}/auth/v1"),
        audiences: vec!["authenticated".into()],
        algorithms,
        keys,
    }])
}

fn firebase(project_id: &str, reach: Reach) -> Result<Vec<Issuer>, SettingsError> {
    const KEYS: &str =
        "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com";
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-:.".contains(&byte);
    check_text("project_id", project_id)?;
    if !project_id.bytes().all(is_letter) {
        return Err(wrong(
            "project_id",
            "is no Firebase project id such as shop-12ab3",
        ));
    }
    Ok(vec![Issuer {
        issuer: format!("https://securetoken.google.com/{project_id}"),
        audiences: vec![project_id.into()],
        algorithms: vec![Algorithm::RS256],
        keys: KeySource::Jwks(endpoint("project_id", KEYS, reach)?),
    }])
}

fn auth0(domain: &str, audience: &str, reach: Reach) -> Result<Vec<Issuer>, SettingsError> {
    check_text("domain", domain)?;
    check_text("audience", audience)?;
    if domain.contains(['/', ':', '@', '?', '#']) {
        return Err(wrong(
            "domain",
            "is no domain such as tenant.eu.auth0.com, without https://",
        ));
    }
    let keys = format!("https://{domain}/.well-known/jwks.json");
    Ok(vec![Issuer {
        // With the slash, which is part of it.
        issuer: format!("https://{domain}/"),
        audiences: vec![audience.into()],
        algorithms: vec![Algorithm::RS256],
        keys: KeySource::Jwks(endpoint("domain", &keys, reach)?),
    }])
}

fn clerk(issuers: &[String], audience: Option<&str>, reach: Reach) -> Result<Vec<Issuer>, SettingsError> {
    if issuers.is_empty() || issuers.len() > ISSUERS_MAX {
        return Err(wrong(
            "issuers",
            format!("must be 1 to {ISSUERS_MAX} Frontend API URLs"),
        ));
    }
    check_texts("audience", audience.iter())?;
    let of = |url: &String| {
        let base = url.trim_end_matches('/');
        let keys = format!("{base}/.well-known/jwks.json");
        Ok(Issuer {
            issuer: base.into(),
            audiences: audience.iter().map(|audience| (*audience).into()).collect(),
            algorithms: vec![Algorithm::RS256],
            keys: KeySource::Jwks(endpoint("issuers", &keys, reach)?),
        })
    };
    issuers.iter().map(of).collect()
}

fn oidc(
    issuer: &str,
    audiences: &[String],
    jwks_url: Option<&str>,
    algorithms: &[PublicAlgorithm],
    reach: Reach,
) -> Result<Vec<Issuer>, SettingsError> {
    check_text("issuer", issuer)?;
    if audiences.is_empty() || audiences.len() > AUDIENCES_MAX {
        let problem =
            format!("must be 1 to {AUDIENCES_MAX}: without one, tokens for other applications would count");
        return Err(wrong("audiences", problem));
    }
    check_texts("audiences", audiences.iter())?;
    let keys = match jwks_url {
        Some(url) => KeySource::Jwks(endpoint("jwks_url", url, reach)?),
        None => {
            // OpenID Connect Discovery 1.0, 4: a slash at the issuer's end goes first.
            let base = issuer.trim_end_matches('/');
            let url = format!("{base}/.well-known/openid-configuration");
            KeySource::Discovery(endpoint("issuer", &url, reach)?)
        }
    };
    let usual = [
        PublicAlgorithm::RS256,
        PublicAlgorithm::ES256,
        PublicAlgorithm::EdDSA,
    ];
    let algorithms = if algorithms.is_empty() { &usual } else { algorithms };
    Ok(vec![Issuer {
        issuer: issuer.into(),
        audiences: audiences.to_vec(),
        algorithms: algorithms.iter().map(|&algorithm| algorithm.into()).collect(),
        keys,
    }])
}

fn endpoint(field: &'static str, url: &str, reach: Reach) -> Result<Endpoint, SettingsError> {
    Endpoint::parse(url, reach).map_err(|problem| wrong(field, problem))
}

fn check_title(field: &'static str, title: &str) -> Result<(), SettingsError> {
    let checked = crate::accounts::names::check_title(title);
    checked.map_err(|error| wrong(field, error.to_string()))
}

fn check_secret(field: &'static str, secret: &Secret) -> Result<(), SettingsError> {
    let bytes = secret.expose().len();
    if (SHARED_SECRET_BYTES_MIN..=SHARED_SECRET_BYTES_MAX).contains(&bytes) {
        Ok(())
    } else {
        let problem = format!("must have {SHARED_SECRET_BYTES_MIN} to {SHARED_SECRET_BYTES_MAX} bytes");
        Err(wrong(field, problem))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn issuers(trust: Value) -> Result<Vec<Issuer>, &'static str> {
        let trust: Trust = serde_json::from_value(trust).unwrap();
        trust.issuers(Reach::Public).map_err(|error| error.field)
    }

    fn only(trust: Value) -> Issuer {
        let mut issuers = issuers(trust).unwrap();
        assert_eq!(issuers.len(), 1);
        issuers.remove(0)
    }

    fn keys_at(url: &str) -> KeySource {
        KeySource::Jwks(Endpoint::parse(url, Reach::Public).unwrap())
    }

    #[test]
    fn each_provider_is_trusted_as_it_documents() {
        let supabase = only(json!({ "type": "supabase", "project_url": "https://abc.supabase.co/" }));
        assert_eq!(supabase.issuer, "https://abc.supabase.co/auth/v1");
        assert_eq!(supabase.audiences, ["authenticated"]);
        let url = "https://abc.supabase.co/auth/v1/.well-known/jwks.json";
        assert_eq!(supabase.keys, keys_at(url));

        let firebase = only(json!({ "type": "firebase", "project_id": "shop-1" }));
        assert_eq!(firebase.issuer, "https://securetoken.google.com/shop-1");
        assert_eq!(firebase.audiences, ["shop-1"]);
        assert_eq!(firebase.algorithms, [Algorithm::RS256]);

        let auth0 = only(json!({ "type": "auth0", "domain": "t.eu.auth0.com", "audience": "api" }));
        assert_eq!(auth0.issuer, "https://t.eu.auth0.com/");
        assert_eq!(
            auth0.keys,
            keys_at("https://t.eu.auth0.com/.well-known/jwks.json")
        );

        let urls = ["https://clerk.a.example", "https://x.clerk.accounts.dev/"];
        let clerk = issuers(json!({ "type": "clerk", "issuers": urls })).unwrap();
        assert_eq!(clerk[1].issuer, "https://x.clerk.accounts.dev");
        assert_eq!(
            clerk[1].keys,
            keys_at("https://x.clerk.accounts.dev/.well-known/jwks.json")
        );
        assert!(clerk[0].audiences.is_empty());

        let oidc = only(json!({ "type": "oidc", "issuer": "https://a.example/r/", "audiences": ["x"] }));
        let discovery = "https://a.example/r/.well-known/openid-configuration";
        assert_eq!(
            oidc.keys,
            KeySource::Discovery(Endpoint::parse(discovery, Reach::Public).unwrap())
        );
        assert_eq!(oidc.issuer, "https://a.example/r/");
    }

    #[test]
    fn no_settings_allow_secrets_and_public_keys_together() {
        let secret = "x".repeat(SHARED_SECRET_BYTES_MIN);
        for trust in [
            json!({ "type": "supabase", "project_url": "https://abc.supabase.co", "jwt_secret": secret }),
            json!({ "type": "supabase", "project_url": "https://abc.supabase.co" }),
            json!({ "type": "firebase", "project_id": "shop-1" }),
            json!({ "type": "oidc", "issuer": "https://a.example", "audiences": ["x"] }),
            json!({ "type": "shared_secret", "issuer": "us", "secret": secret }),
        ] {
            let issuer = only(trust);
            let with_secret = matches!(issuer.keys, KeySource::Secret(_));
            let by_secret = issuer.algorithms.contains(&Algorithm::HS256);
            assert_eq!(by_secret, with_secret);
            assert!(!by_secret || issuer.algorithms.len() == 1);
        }
        let asked = json!({ "type": "oidc", "issuer": "https://a.example", "audiences": ["x"], "algorithms": ["HS256"] });
        assert!(serde_json::from_value::<Trust>(asked).is_err());
    }

    #[test]
    fn what_cannot_be_trusted_is_refused_by_field() {
        let refused = |trust| issuers(trust).unwrap_err();
        assert_eq!(
            refused(json!({ "type": "firebase", "project_id": "a/b" })),
            "project_id"
        );
        assert_eq!(
            refused(json!({ "type": "auth0", "domain": "https://x", "audience": "y" })),
            "domain"
        );
        assert_eq!(
            refused(json!({ "type": "auth0", "domain": "127.0.0.1", "audience": "y" })),
            "domain"
        );
        assert_eq!(refused(json!({ "type": "clerk", "issuers": [] })), "issuers");
        assert_eq!(
            refused(json!({ "type": "clerk", "issuers": ["http://x.example"] })),
            "issuers"
        );
        assert_eq!(
            refused(json!({ "type": "oidc", "issuer": "https://a.example", "audiences": [] })),
            "audiences"
        );
        assert_eq!(
            refused(json!({ "type": "shared_secret", "issuer": "a b", "secret": "x" })),
            "issuer"
        );
        assert_eq!(
            refused(json!({ "type": "shared_secret", "issuer": "us", "secret": "short" })),
            "secret"
        );
        let url = json!({ "type": "supabase", "project_url": "https://10.0.0.1" });
        assert_eq!(refused(url), "project_url");
    }
}

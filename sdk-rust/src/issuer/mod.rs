//! Tokens for others: what a server does that lets its users connect.
//!
//! | file | holds |
//! |---|---|
//! | here | making, refreshing and revoking tokens |
//! | `request` | one HTTP request |

mod request;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::error::ConnectError;
use crate::token::Token;
use crate::transport::{Pem, TlsConnector, Trust, client_config};

use request::Api;

/// Makes tokens with the secret key of an organization, for users whom the application knows. Keep it on servers: whoever
/// has the key may do everything in the organization. Clones share what they have.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use cloudsignal::TokenIssuer;
///
/// let issuer = TokenIssuer::new("https://broker.example", std::env::var("CLOUDSIGNAL_SECRET_KEY")?);
/// let token = issuer.create("ada@example.com").await?;
/// println!("{}", serde_json::to_string(&token)?); // What a browser's `auth` function is given.
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TokenIssuer {
    url: Arc<str>,
    secret_key: Arc<str>,
    trust: Trust,
    tls: Arc<tokio::sync::OnceCell<TlsConnector>>,
}

impl fmt::Debug for TokenIssuer {
    /// Never the key.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TokenIssuer")
            .field("url", &self.url)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

/// A token and its password, as the HTTP API says it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedToken {
    /// The password, once more.
    pub access_token: String,
    /// Seconds it lives from when it was made.
    pub expires_in: u64,
    /// What to put into CONNECT.
    pub mqtt_credentials: MqttCredentials,
    /// Names it; not secret.
    pub token_id: String,
    /// Whose it is.
    pub user_email: String,
    /// When it ends, RFC 3339.
    pub expires_at: String,
    /// When to refresh it, RFC 3339.
    pub refresh_recommended_at: String,
}

/// What to put into CONNECT.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MqttCredentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for IssuedToken {
    /// Never the password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("IssuedToken")
            .field("token_id", &self.token_id)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MqttCredentials {
    /// Never the password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MqttCredentials").finish_non_exhaustive()
    }
}

impl From<IssuedToken> for Token {
    fn from(issued: IssuedToken) -> Self {
        let MqttCredentials { username, password } = issued.mqtt_credentials;
        Self::new(password)
            .username(username)
            .lifetime(Duration::from_secs(issued.expires_in))
    }
}

/// What a token may do with some topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    topic: String,
    action: &'static str,
}

impl Grant {
    /// Publish to topics that match this filter.
    pub fn publish(filter: impl Into<String>) -> Self {
        Self {
            topic: filter.into(),
            action: "pub",
        }
    }

    /// Subscribe to topics that match this filter.
    pub fn subscribe(filter: impl Into<String>) -> Self {
        Self {
            topic: filter.into(),
            action: "sub",
        }
    }

    /// Both.
    pub fn both(filter: impl Into<String>) -> Self {
        Self {
            topic: filter.into(),
            action: "pub+sub",
        }
    }
}

/// Whose tokens are revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoke {
    /// One token, by its id.
    Token(String),
    /// All of an e-mail address.
    User(String),
}

/// Why a request for a token has failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// The URL is none of `http://host:port` and `https://host:port`.
    #[error("the URL of the HTTP API is not of the form https://host:port")]
    Url,
    /// The key holds what no HTTP header can.
    #[error("the secret key is none")]
    Key,
    /// The CA cannot be used.
    #[error(transparent)]
    Trust(Box<ConnectError>),
    /// The server cannot be reached, or does not speak HTTP. It may have done what it was asked.
    #[error("the HTTP API: {0}")]
    Unreachable(#[source] std::io::Error),
    /// The server has said no.
    #[error("the HTTP API has refused ({status} {error}): {description}")]
    Refused {
        /// The status of HTTP.
        status: u16,
        /// What it is called: `not_found`, `token_expired`, …
        error: String,
        /// The same in a sentence.
        description: String,
    },
    /// The server has answered what this version does not understand.
    #[error("the HTTP API has answered something else than a token")]
    Nonsense,
}

impl TokenIssuer {
    /// An issuer that asks the HTTP API at this URL: `https://host:8443`. It connects when it is asked for something.
    pub fn new(url: impl Into<Arc<str>>, secret_key: impl Into<Arc<str>>) -> Self {
        Self {
            url: url.into(),
            secret_key: secret_key.into(),
            trust: Trust::Platform,
            tls: Arc::default(),
        }
    }

    /// Trusts servers with a certificate that one of these has signed, and no others; a file in PEM.
    #[must_use]
    pub fn ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.trust = Trust::Only(Pem::File(file.into()));
        self
    }

    /// The same with the text of such a file.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.trust = Trust::Only(Pem::Text(pem.into()));
        self
    }

    /// A token for an e-mail address, good for an hour. See [`order`](Self::order) for more.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn create(&self, user_email: &str) -> Result<IssuedToken, IssuerError> {
        self.order(user_email).create().await
    }

    /// A token with more to be said of it.
    pub fn order(&self, user_email: &str) -> TokenOrder<'_> {
        TokenOrder {
            issuer: self,
            body: json!({ "user_email": user_email }),
        }
    }

    /// A new password for a token; connections made with it stay until the new end, and the old password is good until its own.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn refresh(&self, token: &IssuedToken) -> Result<IssuedToken, IssuerError> {
        let body = json!({
            "token_id": token.token_id,
            "current_token_password": token.mqtt_credentials.password,
        });
        let answer = self.post("/v2/tokens/refresh", &body).await?;
        serde_json::from_slice(&answer).map_err(|_| IssuerError::Nonsense)
    }

    /// Makes tokens worthless, and closes their connections.
    ///
    /// # Errors
    /// Why that is not done.
    pub async fn revoke(&self, what: Revoke) -> Result<(), IssuerError> {
        let body = match what {
            Revoke::Token(token_id) => json!({ "token_id": token_id }),
            Revoke::User(user_email) => json!({ "user_email": user_email }),
        };
        self.post("/v2/tokens/revoke", &body).await.map(drop)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<bytes::Bytes, IssuerError> {
        let api = Api::parse(&self.url).ok_or(IssuerError::Url)?;
        let tls = self.tls.get_or_try_init(|| self.read_trust()).await?;
        api.post(tls, path, &self.secret_key, body.to_string()).await
    }

    async fn read_trust(&self) -> Result<TlsConnector, IssuerError> {
        let trust = self.trust.clone();
        let read = spawn_blocking(move || client_config(&trust, None)).await;
        let config = read.map_err(|error| IssuerError::Unreachable(std::io::Error::other(error)))?;
        Ok(TlsConnector::from(
            config.map_err(|error| IssuerError::Trust(Box::new(error)))?,
        ))
    }
}

/// A token that is about to be made: see [`TokenIssuer::order`].
#[derive(Debug)]
#[must_use = "nothing is made until `create`"]
pub struct TokenOrder<'a> {
    issuer: &'a TokenIssuer,
    body: Value,
}

impl TokenOrder<'_> {
    /// How long it lives, to the second: a minute to a day. Default: an hour.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.body["ttl"] = json!(lifetime.as_secs());
        self
    }

    /// Limits it to these topics, within what the access rules allow.
    pub fn grants(mut self, grants: &[Grant]) -> Self {
        self.body["scope"] = json!(grants);
        self
    }

    /// Earlier tokens of the address open no new connection from now on.
    pub fn replace_existing(mut self) -> Self {
        self.body["replace_existing"] = json!(true);
        self
    }

    /// Makes it.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn create(self) -> Result<IssuedToken, IssuerError> {
        let answer = self.issuer.post("/v2/tokens/create", &self.body).await?;
        serde_json::from_slice(&answer).map_err(|_| IssuerError::Nonsense)
    }
}
